//! The one test that every program runs over its pages: all samples in all languages.
//!
//! ```ignore
//! ui::testing::check(&pages)
//!     .page::<Start>()
//!     .page::<SignUp>()
//!     .said_elsewhere(&["toast.", "mail."])   // keys (or beginnings of keys) that code says, not templates
//!     .finish();
//! ```
//!
//! With `PERCLOUD_GALLERY=FOLDER` in the environment the same test writes what it rendered, and the assets, into that
//! folder, to be served and looked at.

mod html;

use std::{collections::BTreeSet, fs, path::PathBuf};

use crate::{Lang, Page, Pages, Theme, View, functions};

pub use html::faults;

/// Collects what is wrong; see the module.
#[must_use = "call finish()"]
pub struct Check<'a> {
    pages: &'a Pages,
    said: BTreeSet<String>,
    elsewhere: Vec<&'static str>,
    wrong: Vec<String>,
    gallery: Option<PathBuf>,
}

/// Starts to check a program's pages.
pub fn check(pages: &Pages) -> Check<'_> {
    let gallery = std::env::var_os("PERCLOUD_GALLERY").map(PathBuf::from);
    let wrong = pages.read_all().err().map(|why| format!("{why:#}")).into_iter().collect();
    let check = Check { pages, said: BTreeSet::new(), elsewhere: vec!["ui."], wrong, gallery };
    for (address, bytes) in pages.assets() {
        check.show(&address, &bytes);
    }
    check
}

/// A view worth testing with.
#[must_use]
pub fn view(lang: Lang) -> View {
    View { lang, path: "/".into(), site: "Ada & Böb <b>".into(), theme: Theme::Auto, ..View::default() }
}

impl Check<'_> {
    /// Renders every sample of a page in every language and looks at the HTML.
    pub fn page<P: Page>(mut self) -> Self {
        let samples = P::samples();
        if samples.is_empty() {
            self.wrong.push(format!("{} has no samples", P::TEMPLATE));
        }
        for (i, sample) in samples.iter().enumerate() {
            for lang in Lang::ALL {
                let (html, heard) = functions::listen(|| self.pages.render(sample, &view(lang)));
                let place = format!("{} sample {i} ({})", P::TEMPLATE, lang.code());
                match html {
                    Err(why) => self.wrong.push(format!("{place}: {why:#}")),
                    Ok(html) => {
                        self.show(
                            &format!("{}/{}-{i}.html", lang.code(), P::TEMPLATE.replace(['/', '.'], "_")),
                            html.as_bytes(),
                        );
                        self.wrong.extend(faults(&html).into_iter().map(|f| format!("{place}: {f}")));
                    }
                }
                self.hear(&place, heard);
            }
        }
        self
    }

    /// Renders a template that is not a page (a mail's part, a feed) in every language and counts its messages as said.
    pub fn text(mut self, template: &str, fields: &impl serde::Serialize) -> Self {
        for lang in Lang::ALL {
            let (text, heard) = functions::listen(|| self.pages.render_text(template, fields, lang));
            if let Err(why) = text {
                self.wrong.push(format!("{template} ({}): {why:#}", lang.code()));
            }
            self.hear(template, heard);
        }
        self
    }

    /// Keys, or beginnings of keys, that code says and no template: toasts, errors, the activity log.
    pub fn said_elsewhere(mut self, beginnings: &[&'static str]) -> Self {
        self.elsewhere.extend_from_slice(beginnings);
        self
    }

    /// Writes a file of the gallery, when one is wished for.
    fn show(&self, path: &str, bytes: &[u8]) {
        let Some(folder) = &self.gallery else { return };
        let path = folder.join(path.trim_start_matches('/'));
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, bytes));
        assert!(written.is_ok(), "the gallery cannot be written: {written:?}");
    }

    fn hear(&mut self, place: &str, heard: Vec<functions::Heard>) {
        for message in heard {
            if message.missing {
                self.wrong.push(format!("{place}: no message {} ({})", message.key, message.lang.code()));
            }
            self.said.insert(message.key);
        }
    }

    /// Every language has the same keys with the same places, and nothing is there that nobody says.
    fn keys(&mut self) {
        let messages = self.pages.messages();
        let all: BTreeSet<&str> = Lang::ALL.into_iter().flat_map(|lang| messages.keys(lang)).collect();
        for key in all {
            let texts: Vec<_> = Lang::ALL.into_iter().map(|lang| (lang, messages.raw(lang, key))).collect();
            for (lang, text) in &texts {
                match text {
                    None => self.wrong.push(format!("the message {key} is missing ({})", lang.code())),
                    Some("") => self.wrong.push(format!("the message {key} is empty ({})", lang.code())),
                    Some(text) if places(text) != texts[0].1.map_or_else(BTreeSet::new, places) => {
                        self.wrong.push(format!("the message {key} has other places in {}", lang.code()));
                    }
                    Some(_) => {}
                }
            }
            let stem = key.strip_suffix(".one").or_else(|| key.strip_suffix(".other")).unwrap_or(key);
            let said = self.said.contains(key) || self.said.contains(stem);
            if !said && !self.elsewhere.iter().any(|beginning| key.starts_with(beginning)) {
                self.wrong.push(format!("nobody says the message {key}"));
            }
        }
    }

    /// Ends the check.
    ///
    /// # Panics
    /// With the list of everything that is wrong.
    pub fn finish(mut self) {
        self.keys();
        let wrong: BTreeSet<_> = std::mem::take(&mut self.wrong).into_iter().collect();
        assert!(
            wrong.is_empty(),
            "{} things are wrong:\n{}",
            wrong.len(),
            wrong.into_iter().collect::<Vec<_>>().join("\n")
        );
    }
}

/// The names of the places in a text; `{count}` may be left out where the form is for one thing only.
fn places(text: &str) -> BTreeSet<&str> {
    let names = text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
    names.filter(|name| *name != "count").collect()
}
