//! The portal and the API over HTTP.
