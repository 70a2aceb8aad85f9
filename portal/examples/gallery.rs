//! Every page of the portal with every sample in every language, every mail, and every component of `ui`, to look at
//! without a database: `cargo run -p portal --example gallery -- FOLDER`, then serve that folder
//! (`python3 -m http.server --bind 127.0.0.1 --directory FOLDER 8000`) and open `/`.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use chrono::{DateTime, Utc};
use portal::{mails, pages};
use serde::Serialize;
use ui::{Lang, Page, Pages, View};

/// The page of all components; its words are placeholders and need no translation.
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

struct Gallery {
    pages: Pages,
    out: PathBuf,
    index: String,
}

impl Gallery {
    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> anyhow::Result<()> {
        let path = self.out.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(&path, bytes).with_context(|| path.display().to_string())
    }

    fn show(&mut self, lang: Lang, path: &str, html: &str) -> anyhow::Result<()> {
        let path = format!("{}/{path}.html", lang.code());
        let _ = writeln!(self.index, "<li><a href=\"/{path}\">{path}</a></li>");
        self.write(&path, html)
    }

    fn page<P: Page>(&mut self) -> anyhow::Result<()> {
        let name = Path::new(P::TEMPLATE).file_stem().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        for lang in Lang::ALL {
            for (i, sample) in P::samples().iter().enumerate() {
                let path = "/app/files".to_owned();
                let view = View { lang, path, site: "percloud".into(), signed_in: true, ..View::default() };
                let html = self.pages.render(sample, &view)?;
                self.show(lang, &format!("{name}-{i}"), &html)?;
            }
        }
        Ok(())
    }

    fn mails(&mut self) -> anyhow::Result<()> {
        for lang in Lang::ALL {
            for (name, mail) in mails::samples(lang)? {
                self.show(lang, &format!("mail-{name}"), &mail.html)?;
                self.write(&format!("{}/mail-{name}.txt", lang.code()), format!("{}\n\n{}", mail.subject, mail.text))?;
            }
        }
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    let out = PathBuf::from(std::env::args_os().nth(1).context("which folder? gallery FOLDER")?);
    let kit = [("kit/components.html", include_str!("../../ui/kit/components.html"))];
    let pages = portal::builder().templates(&kit).build()?;
    let mut gallery = Gallery { pages, out, index: String::new() };
    for (address, bytes) in gallery.pages.assets() {
        gallery.write(&address, bytes)?;
    }
    gallery.page::<Components>()?;
    gallery.page::<pages::Start>()?;
    gallery.page::<pages::About>()?;
    gallery.page::<pages::SignUp>()?;
    gallery.page::<pages::CheckMail>()?;
    gallery.page::<pages::Confirm>()?;
    gallery.page::<pages::ConfirmGone>()?;
    gallery.page::<pages::NoSuchPercloud>()?;
    gallery.page::<pages::Suspended>()?;
    gallery.page::<pages::CannotStart>()?;
    gallery.page::<pages::Preparing>()?;
    gallery.page::<pages::Detour>()?;
    gallery.page::<pages::ErrorPage>()?;
    gallery.page::<pages::DevMails>()?;
    gallery.page::<pages::DevMail>()?;
    gallery.page::<pages::manage::WayIn>()?;
    gallery.page::<pages::manage::WayInSent>()?;
    gallery.page::<pages::manage::WayInLink>()?;
    gallery.page::<pages::manage::WayInGone>()?;
    gallery.page::<pages::manage::Entering>()?;
    gallery.page::<pages::manage::Ask>()?;
    gallery.page::<pages::manage::Records>()?;
    gallery.page::<pages::manage::Making>()?;
    gallery.page::<pages::manage::Active>()?;
    gallery.page::<pages::manage::Change>()?;
    gallery.page::<pages::manage::Remove>()?;
    gallery.mails()?;
    let index = format!("<!doctype html><meta charset=\"utf-8\"><title>Gallery</title><ul>{}</ul>", gallery.index);
    gallery.write("index.html", index)
}
