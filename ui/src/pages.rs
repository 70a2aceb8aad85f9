//! [`Pages`]: everything that a program shows; each page is read when it is first asked for.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context as _;
use serde::Serialize;
use tera::Tera;

use crate::{
    Asset, Lang, Page, View, accents,
    assets::{self, Assets},
    functions::{self, Speaker},
    library::Library,
    messages::Messages,
};

/// A template: its path and its text.
pub type Template = (&'static str, &'static str);

/// What this crate brings: shells, parts, and the pages' frames.
const OURS: &[Template] = crate::templates!("templates":
    "shell/frame.html", "shell/portal.html", "shell/app.html", "shell/home.html", "shell/plain.html",
    "parts/footer.html", "parts/components.html", "parts/media.html",
);

/// All templates, messages and assets of one program, ready to render. Cheap to clone.
#[derive(Clone)]
pub struct Pages(Arc<Inner>);

struct Inner {
    library: Library,
    messages: Arc<Messages>,
    assets: Arc<Assets>,
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}

/// Collects what a program shows.
#[derive(Debug, Default)]
pub struct Builder {
    templates: Vec<Template>,
    messages: Vec<(Lang, &'static str)>,
    assets: Vec<Asset>,
}

impl Builder {
    /// Adds templates; see [`crate::templates!`].
    #[must_use]
    pub fn templates(mut self, templates: &[Template]) -> Self {
        self.templates.extend_from_slice(templates);
        self
    }

    /// Adds a message file: flat JSON.
    #[must_use]
    pub fn messages(mut self, lang: Lang, json: &'static str) -> Self {
        self.messages.push((lang, json));
        self
    }

    /// Adds assets; see [`crate::assets!`].
    #[must_use]
    pub fn assets(mut self, assets: &[Asset]) -> Self {
        self.assets.extend_from_slice(assets);
        self
    }

    /// Takes everything in, and reads none of it yet: see [`Pages::read_all`].
    ///
    /// # Errors
    /// When two templates, components or assets have the same name; a programmer's mistake, found by any test.
    pub fn build(self) -> anyhow::Result<Pages> {
        let messages = Arc::new(Messages::new(self.messages));
        let assets = Arc::new(Assets::new(&self.assets)?);
        let mut tera = Tera::new();
        functions::register(&mut tera, &messages, &assets);
        let library = Library::new(&self.templates, tera)?;
        Ok(Pages(Arc::new(Inner { library, messages, assets })))
    }
}

impl Pages {
    /// Starts with what this crate brings.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
            .templates(OURS)
            .messages(Lang::En, include_str!("../locales/en.json"))
            .messages(Lang::It, include_str!("../locales/it.json"))
            .assets(assets::OURS)
    }

    /// Reads every template and message file now. A program that runs for long does so when it starts: then its first
    /// visitors wait for nothing, and nothing can be wrong with a page that is rarely asked for.
    ///
    /// # Errors
    /// When a template does not parse or needs what is not there, a message file is not flat JSON, or a key is there twice;
    /// a programmer's mistake, found by the samples test.
    pub fn read_all(&self) -> anyhow::Result<()> {
        self.0.messages.read_all()?;
        self.0.library.parse_all()
    }

    /// Renders a page for somebody.
    ///
    /// # Errors
    /// When the template is missing or asks for what the page does not hold; a programmer's mistake, found by the samples test.
    pub fn render<P: Page>(&self, page: &P, view: &View) -> anyhow::Result<String> {
        self.render_as(P::TEMPLATE, page, view)
    }

    /// Renders any template of ours with any fields: feeds, sheets, parts of a page.
    ///
    /// # Errors
    /// As [`Pages::render`].
    pub fn render_as(&self, template: &str, fields: &impl Serialize, view: &View) -> anyhow::Result<String> {
        #[derive(Serialize)]
        struct Shown<'a> {
            #[serde(flatten)]
            view: &'a View,
            accent_name: &'static str,
        }
        let accent_name = accents::find(view.accent.as_deref().unwrap_or_default()).name;
        let mut context = tera::Context::from_serialize(fields).context("a page is a struct")?;
        context.insert("view", &Shown { view, accent_name });
        let _speaking = Speaker { lang: view.lang, now: view.now }.speak();
        self.0.library.render(template, &context)
    }

    /// Renders a mail's part or another text in a language; `.txt` templates are not escaped.
    ///
    /// # Errors
    /// As [`Pages::render`].
    pub fn render_text(&self, template: &str, fields: &impl Serialize, lang: Lang) -> anyhow::Result<String> {
        self.render_as(template, fields, &View { lang, ..View::default() })
    }

    /// The text of a message, filled in: for JSON answers, subjects, the activity log. An argument `count` picks the
    /// form. What a language lacks is said in English.
    #[must_use]
    pub fn message(&self, lang: Lang, key: &str, args: &BTreeMap<String, String>) -> String {
        self.0.messages.say(lang, key, args)
    }

    /// The address of an asset, when there is one of that path.
    #[must_use]
    pub fn asset(&self, path: &str) -> Option<String> {
        self.0.assets.address(path)
    }

    /// Every asset with its address, to put them somewhere else than [`crate::http::assets`] does.
    pub fn assets(&self) -> impl Iterator<Item = (String, bytes::Bytes)> + '_ {
        self.0.assets.all()
    }

    pub(crate) fn messages(&self) -> &Messages {
        &self.0.messages
    }

    pub(crate) fn asset_files(&self) -> &Arc<Assets> {
        &self.0.assets
    }
}
