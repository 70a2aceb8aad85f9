//! How pages are made: a page is a struct and a template. Used by the portal and by the runtime.
//!
//! A program collects its templates, messages and assets once with [`Pages::builder`] and then only calls
//! [`Pages::render`]. Shells, icons, base styles and scripts are always in. `README.md` beside this crate shows what
//! a template may use; `portal/examples/gallery.rs` shows how it looks.
//!
//! Invariant: a text that a person reads comes from a message file, and everything that is not ours is escaped.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

mod accents;
mod assets;
mod functions;
pub mod http;
mod icons;
mod lang;
mod library;
mod messages;
mod pages;
pub mod testing;
pub mod words;

pub use accents::{ACCENTS, Accent};
pub use assets::Asset;
pub use lang::{Lang, Theme};
pub use pages::{Builder, Pages, Template};

/// A page: its fields are what its template may use.
pub trait Page: Serialize {
    /// The template's path, as registered with [`Pages`].
    const TEMPLATE: &'static str;
    /// Every state worth looking at; one test renders all of them in all languages, and the gallery shows them.
    fn samples() -> Vec<Self>
    where
        Self: Sized;
}

/// Who looks at a page and how; templates see it as `view`. Build it with `..View::default()`: fields are added.
#[derive(Clone, Debug, Default, Serialize)]
pub struct View {
    /// The language to speak.
    pub lang: Lang,
    /// The path of the request, to mark the place in navigation.
    pub path: String,
    /// The percloud's or provider's name, for the shell.
    pub site: String,
    /// True when the owner is signed in.
    pub signed_in: bool,
    /// The accent colour that the owner chose: the name or the `#rrggbb` of one of [`ACCENTS`]. Another colour becomes
    /// the nearest of them, because each of these is known to be readable in light and dark.
    pub accent: Option<String>,
    /// A message to show once, as a toast: its key, its arguments, and where Undo posts to.
    pub toast: Option<Toast>,
    /// Light, dark, or as the device is set.
    pub theme: Theme,
    /// The time now, so that dates can be said as people say them; without it they are said in full.
    pub now: Option<DateTime<Utc>>,
    /// Where the owner's picture is, for the shells.
    pub avatar: Option<String>,
}

/// A short message after something was done.
#[derive(Clone, Debug, Serialize)]
pub struct Toast {
    /// The message's key.
    pub key: String,
    /// What fills its places.
    pub args: BTreeMap<String, String>,
    /// Where a POST takes it back.
    pub undo: Option<String>,
}

/// Templates of the calling crate, from its folder `$folder`, as [`Builder::templates`] wants them:
/// `ui::templates!("templates": "pages/start.html", "pages/about.html")`.
#[macro_export]
macro_rules! templates {
    ($folder:literal: $($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $folder, "/", $path)))),*]
    };
}

/// Assets of the calling crate, from its folder `$folder`, as [`Builder::assets`] wants them; their addresses begin
/// with `$prefix`: `ui::assets!("static", "portal": "sign-up.js")` is `asset(path="portal/sign-up.js")`.
#[macro_export]
macro_rules! assets {
    ($folder:literal, $prefix:literal: $($path:literal),* $(,)?) => {
        &[$((concat!($prefix, "/", $path), include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $folder, "/", $path)))),*]
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Components {
        moment: DateTime<Utc>,
    }

    impl Page for Components {
        const TEMPLATE: &'static str = "kit/components.html";
        fn samples() -> Vec<Self> {
            vec![Self { moment: DateTime::UNIX_EPOCH }]
        }
    }

    macro_rules! bare {
        ($($page:ident $template:literal)*) => {$(
            #[derive(Serialize)]
            struct $page {}
            impl Page for $page {
                const TEMPLATE: &'static str = $template;
                fn samples() -> Vec<Self> {
                    vec![Self {}]
                }
            }
        )*};
    }
    bare! { Portal "shell/portal.html" App "shell/app.html" Home "shell/home.html" Plain "shell/plain.html" }

    fn pages() -> Pages {
        let kit = [("kit/components.html", include_str!("../kit/components.html"))];
        Pages::builder().templates(&kit).build().unwrap()
    }

    #[test]
    fn every_component_and_shell_renders_well_in_all_languages() {
        testing::check(&pages())
            .page::<Components>()
            .page::<Portal>()
            .page::<App>()
            .page::<Home>()
            .page::<Plain>()
            .finish();
    }

    #[test]
    fn what_is_not_ours_is_escaped_wherever_it_stands() {
        let pages = Pages::builder()
            .templates(&[(
                "x.html",
                r#"{{ name }} {{ t(key="x", n=name) }} {{ t_html(key="x", n=name) }} {{ <ui.badge text={name} /> }}"#,
            )])
            .messages(Lang::En, r#"{"x": "<b>{n}</b>"}"#)
            .build()
            .unwrap();
        #[derive(Serialize)]
        struct Fields {
            name: &'static str,
        }
        let html = pages.render_as("x.html", &Fields { name: "<i>\"&" }, &View::default()).unwrap();
        let escaped = "&lt;i&gt;&quot;&amp;";
        let want =
            format!("{escaped} &lt;b&gt;{escaped}&lt;/b&gt; <b>{escaped}</b> <span class=\"badge\">{escaped}</span>");
        assert_eq!(html, want);
    }
}
