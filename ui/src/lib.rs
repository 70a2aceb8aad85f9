//! How pages are made: a page is a struct and a template. Used by the portal and by the runtime.

use std::collections::BTreeMap;

use serde::Serialize;

/// A page: its fields are what its template may use.
pub trait Page: Serialize {
    /// The template's path, as registered with [`Pages`].
    const TEMPLATE: &'static str;
    /// Every state worth looking at; one test renders all of them in all languages, and the gallery shows them.
    fn samples() -> Vec<Self>
    where
        Self: Sized;
}

/// A language that our pages speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Italian.
    It,
}

/// Who looks at a page and how; templates see it as `view`.
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
    /// The accent colour that the owner chose, `#rrggbb`.
    pub accent: Option<String>,
    /// A message to show once, as a toast: its key, its arguments, and where Undo posts to.
    pub toast: Option<Toast>,
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

/// All templates, messages and assets of one program, ready to render.
pub struct Pages;

impl Pages {
    /// Renders a page for somebody.
    ///
    /// # Errors
    /// When the template is missing or asks for what the page does not hold; a programmer's mistake, found by the samples test.
    pub fn render<P: Page>(&self, page: &P, view: &View) -> anyhow::Result<String> {
        let _ = (page, view);
        anyhow::bail!("no templates are registered")
    }
}
