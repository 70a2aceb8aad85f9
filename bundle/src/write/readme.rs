//! `README.html`: for the person who opens the ZIP in ten years, with nothing but a browser.
//!
//! No script, nothing from the network, relative links only; English and Italian on one page.

use std::fmt::Write;

use data_encoding::BASE64;
use sha2::Digest;

use crate::manifest::{Percloud, Section};

const TEMPLATE: &str = include_str!("../../templates/readme.html");
const STYLE: &str = include_str!("../../templates/readme.css");

/// What there is to say of a section: where to look, and in both languages what it is and what reads it.
struct Words {
    id: &'static str,
    open: &'static str,
    en: (&'static str, &'static str),
    it: (&'static str, &'static str),
}

#[rustfmt::skip]
const WORDS: &[Words] = &[
    Words { id: "files", open: "data/files/tree/",
        en: ("Files", "Your folders and files, exactly as they were. Any program opens them. <code>meta.jsonl</code> beside them keeps original names, dates, tags and what was in the trash."),
        it: ("File", "Le tue cartelle e i tuoi file, esattamente com'erano. Li apre qualsiasi programma. Accanto, <code>meta.jsonl</code> conserva nomi originali, date, etichette e il contenuto del cestino.") },
    Words { id: "blog", open: "data/blog/index.html",
        en: ("Posts", "Every post as a page to read here, as Markdown (<code>posts/</code>), JSON Feed, Atom and a WordPress file. WordPress, Hugo, Ghost and feed readers take them."),
        it: ("Articoli", "Ogni articolo come pagina da leggere qui, come Markdown (<code>posts/</code>), JSON Feed, Atom e file WordPress. Li leggono WordPress, Hugo, Ghost e i lettori di feed.") },
    Words { id: "bookmarks", open: "data/bookmarks/bookmarks.html",
        en: ("Bookmarks", "All bookmarks on one page. Firefox, Chromium and Safari import this file; <code>bookmarks.json</code> holds the same with all details."),
        it: ("Segnalibri", "Tutti i segnalibri in una pagina. Firefox, Chromium e Safari importano questo file; <code>bookmarks.json</code> contiene gli stessi con tutti i dettagli.") },
    Words { id: "settings", open: "data/settings/",
        en: ("Settings", "Your name, picture, colours and choices, as JSON."),
        it: ("Impostazioni", "Il tuo nome, l'immagine, i colori e le scelte, in JSON.") },
    Words { id: "urls", open: "data/urls/urls.jsonl",
        en: ("Addresses", "Every public address that your percloud answered, so that links keep working after a move."),
        it: ("Indirizzi", "Ogni indirizzo pubblico a cui il tuo percloud rispondeva, perché i collegamenti funzionino anche dopo un trasloco.") },
    Words { id: "provenance", open: "data/provenance.jsonl",
        en: ("Origins", "Where this percloud has been before."),
        it: ("Provenienza", "Dove è stato questo percloud in precedenza.") },
    Words { id: "secrets", open: "data/secrets/",
        en: ("Secrets", "Password, keys and share links, sealed with your passphrase. The free program <code>age</code> opens <code>bundle-identity.age</code> with the passphrase, and the other files with what is in it."),
        it: ("Segreti", "Password, chiavi e collegamenti condivisi, sigillati con la tua frase segreta. Il programma libero <code>age</code> apre <code>bundle-identity.age</code> con la frase, e gli altri file con ciò che contiene.") },
];

/// The page.
pub(super) fn html(percloud: &Percloud) -> String {
    let hash = BASE64.encode(&sha2::Sha256::digest(STYLE));
    let whose = percloud.subject.domains.first().unwrap_or(&percloud.subject.handle);
    TEMPLATE
        .replace("{{csp}}", &format!("default-src 'none'; style-src 'sha256-{hash}'"))
        .replace("{{style}}", STYLE)
        .replace("{{whose}}", &escape(whose))
        .replace("{{handle}}", &escape(&percloud.subject.handle))
        .replace("{{created}}", &percloud.created.format("%Y-%m-%d %H:%M UTC").to_string())
        .replace("{{id}}", &escape(&percloud.id))
        .replace("{{version}}", &escape(&percloud.version))
        .replace("{{sections-en}}", &list(percloud, |w| w.en, ("file", "files")))
        .replace("{{sections-it}}", &list(percloud, |w| w.it, ("file", "file")))
}

fn list(percloud: &Percloud, words: fn(&Words) -> (&'static str, &'static str), file: (&str, &str)) -> String {
    let mut out = String::new();
    for section in percloud.sections.iter().filter(|s| s.id != "archive") {
        let known = WORDS.iter().find(|w| w.id == section.id);
        let (title, text) = known.map_or((escape(&section.id), ""), |w| (words(w).0.to_owned(), words(w).1));
        let open = known.map_or_else(|| link(section), |w| w.open.to_owned());
        let noun = if section.count == 1 { file.0 } else { file.1 };
        let size = bytes(section.bytes);
        let count = section.count;
        let _ = writeln!(
            out,
            "<li><h3><a href=\"{open}\">{title}</a></h3><p>{text}</p><p class=\"small\"><code>{}</code> · {count} {noun} · {size}</p></li>",
            escape(&section.path),
        );
    }
    out
}

/// A relative link to a section that this version does not know.
fn link(section: &Section) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    if section.path.chars().all(safe) { format!("{}/", section.path) } else { "data/".to_owned() }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // A value is put in where the template's own marks are looked for.
            '{' => out.push_str("&#123;"),
            c => out.push(c),
        }
    }
    out
}

fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut tenths = n / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_as_people_say_them() {
        let said: Vec<_> = [0, 999, 1000, 1_550, 999_999, 1_000_000, 5_000_000_000].map(bytes).into();
        assert_eq!(said, ["0 B", "999 B", "1.0 kB", "1.5 kB", "999.9 kB", "1.0 MB", "5.0 GB"]);
    }
}
