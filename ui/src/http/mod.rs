//! What both programs' routers share: assets, security headers, the check against forged requests, language and theme.
//!
//! ```ignore
//! let app = Router::new()
//!     .merge(my_pages)
//!     .merge(ui::http::assets(&pages))
//!     .merge(ui::http::preferences())
//!     .layer(axum::middleware::from_fn(ui::http::same_origin))
//!     .layer(ui::http::security_headers(ui::http::Csp::default()));
//! ```

mod assets;
mod csp;
mod preferences;
mod same_origin;

pub use assets::assets;
pub use csp::{Csp, security_headers};
pub use preferences::{language, preferences, theme};
pub use same_origin::{Forged, same_origin};
