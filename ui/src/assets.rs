//! Files that browsers keep: styles, scripts, pictures. Each has an address that changes when any of them does.
//!
//! One hash stands for all assets of a program, so that a module may import its neighbour by a relative path.

use std::collections::HashMap;

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// An asset: its path below `/assets/<hash>/` and its bytes.
pub type Asset = (&'static str, &'static [u8]);

/// What this crate brings: one style sheet, joined from files that each hold one matter, and the scripts.
pub(crate) const OURS: &[Asset] = &[
    (
        "css/ui.css",
        concat!(
            include_str!("../static/css/tokens.css"),
            include_str!("../static/css/base.css"),
            include_str!("../static/css/layout.css"),
            include_str!("../static/css/shells.css"),
            include_str!("../static/css/controls.css"),
            include_str!("../static/css/fields.css"),
            include_str!("../static/css/content.css"),
            include_str!("../static/css/overlays.css"),
            include_str!("../static/css/print.css"),
        )
        .as_bytes(),
    ),
    ("js/ui.js", include_bytes!("../static/js/ui.js")),
    ("js/toast.js", include_bytes!("../static/js/toast.js")),
    ("js/keys.js", include_bytes!("../static/js/keys.js")),
    ("js/live.js", include_bytes!("../static/js/live.js")),
    ("js/words.js", include_bytes!("../static/js/words.js")),
    ("js/upload.js", include_bytes!("../static/js/upload.js")),
    ("icon.svg", include_bytes!("../static/icon.svg")),
    ("icon-180.png", include_bytes!("../static/icon-180.png")),
    ("icon-512.png", include_bytes!("../static/icon-512.png")),
];

/// All assets of a program.
#[derive(Debug)]
pub(crate) struct Assets {
    hash: String,
    files: HashMap<&'static str, Bytes>,
}

impl Assets {
    pub(crate) fn new(all: &[Asset]) -> anyhow::Result<Self> {
        let mut sum = Sha256::new();
        let mut files = HashMap::new();
        for (path, bytes) in all {
            sum.update(path.as_bytes());
            sum.update((bytes.len() as u64).to_be_bytes());
            sum.update(bytes);
            anyhow::ensure!(files.insert(*path, Bytes::from_static(bytes)).is_none(), "two assets are called {path}");
        }
        Ok(Self { hash: hex::encode(&sum.finalize()[..6]), files })
    }

    /// The address of an asset, when there is one.
    pub(crate) fn address(&self, path: &str) -> Option<String> {
        self.files.contains_key(path).then(|| format!("/assets/{}/{path}", self.hash))
    }

    /// Every asset with its address.
    pub(crate) fn all(&self) -> impl Iterator<Item = (String, Bytes)> + '_ {
        self.files.iter().map(|(path, bytes)| (format!("/assets/{}/{path}", self.hash), bytes.clone()))
    }

    /// The bytes of an asset, and whether this hash is the present one, so that the answer may be kept for ever.
    pub(crate) fn get(&self, hash: &str, path: &str) -> Option<(Bytes, bool)> {
        self.files.get(path).map(|bytes| (bytes.clone(), hash == self.hash))
    }
}
