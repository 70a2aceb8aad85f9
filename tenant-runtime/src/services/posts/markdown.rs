//! Markdown to HTML that is safe to show: first pulldown-cmark, then ammonia. Nothing else makes HTML out of a text.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    sync::LazyLock,
};

use ammonia::UrlRelative;
use pulldown_cmark::{CowStr, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd};
use url::Url;

use super::images::Kind;
use crate::blobs::Hash;

/// Characters of a text that a list of posts shows.
const EXCERPT_CHARS: usize = 280;
/// What a writer puts where the excerpt shall end.
const MORE: &str = "<!--more-->";

/// The text as HTML for the percloud's own pages.
#[must_use]
pub fn html(body: &str) -> String {
    let mut out = String::with_capacity(body.len() * 2);
    pulldown_cmark::html::push_html(&mut out, events(body).into_iter());
    OWN_PAGES.clean(&out).to_string()
}

/// The text as HTML for feeds and other programs: every address absolute, relative to the post's own.
#[must_use]
pub fn html_for_feed(body: &str, post: &Url) -> String {
    let mut cleaner = ammonia::Builder::default();
    cleaner.add_generic_attributes(["id"]).url_schemes(SCHEMES.iter().copied().collect()).link_rel(None);
    cleaner.url_relative(UrlRelative::RewriteWithBase(post.clone()));
    cleaner.clean(&html(body)).to_string()
}

/// Schemes that a link in a text may have.
const SCHEMES: &[&str] = &["http", "https", "mailto", "tel", "xmpp", "ftp", "gemini"];

static OWN_PAGES: LazyLock<ammonia::Builder<'static>> = LazyLock::new(|| {
    let mut cleaner = ammonia::Builder::default();
    // These carry the page's own structure: a heading of the first level, landmarks, image maps.
    cleaner.rm_tags(["h1", "article", "aside", "footer", "header", "hgroup", "nav", "map", "area", "center"]);
    cleaner.add_generic_attributes(["id"]);
    cleaner.url_schemes(SCHEMES.iter().copied().collect());
    cleaner.link_rel(Some("nofollow noopener"));
    cleaner.set_tag_attribute_value("img", "loading", "lazy");
    cleaner.attribute_filter(|element, attribute, value| match (element, attribute) {
        // A picture from elsewhere would tell that place who reads here.
        ("img", "src") => own_image(value).map(|_| Cow::Borrowed(value)),
        // Only footnotes have names; any other could take the place of one of the page's own.
        (_, "id") => value.starts_with("fn-").then_some(Cow::Borrowed(value)),
        _ => Some(Cow::Borrowed(value)),
    });
    cleaner
});

fn parser(body: &str) -> Parser<'_> {
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_FOOTNOTES | Options::ENABLE_TASKLISTS;
    Parser::new_ext(body, options)
}

/// The parser's events, changed so that a text fits into a page: headings below the title, foreign pictures as links,
/// footnotes with names of their own, task boxes as characters.
fn events(body: &str) -> Vec<Event<'_>> {
    let mut notes = Notes::default();
    let mut foreign = Vec::new();
    let mut events: Vec<_> = parser(body).map(|event| adapt(event, &mut notes, &mut foreign)).collect();
    put_headings_right(&mut events);
    events
}

/// The title is the page's first heading: the text's highest become the second level, and no level is skipped on the way down.
fn put_headings_right(events: &mut [Event<'_>]) {
    let levels = events.iter().filter_map(|event| match event {
        Event::Start(Tag::Heading { level, .. }) => Some(*level as usize),
        _ => None,
    });
    let Some(highest) = levels.min() else { return };
    let mut last = 1;
    for event in events {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                last = (*level as usize - highest + 2).min(last + 1).min(6);
                *level = HeadingLevel::try_from(last).unwrap_or(HeadingLevel::H6);
            }
            Event::End(TagEnd::Heading(level)) => *level = HeadingLevel::try_from(last).unwrap_or(HeadingLevel::H6),
            _ => {}
        }
    }
}

fn adapt<'a>(event: Event<'a>, notes: &mut Notes, foreign: &mut Vec<bool>) -> Event<'a> {
    match event {
        Event::Start(Tag::Image { dest_url, title, id, link_type }) => {
            foreign.push(own_image(&dest_url).is_none());
            match foreign.last() {
                Some(true) => Event::Start(Tag::Link { link_type: LinkType::Inline, dest_url, title, id }),
                _ => Event::Start(Tag::Image { link_type, dest_url, title, id }),
            }
        }
        Event::End(TagEnd::Image) if foreign.pop() == Some(true) => Event::End(TagEnd::Link),
        Event::TaskListMarker(done) => Event::Text(CowStr::Borrowed(if done { "☑ " } else { "☐ " })),
        Event::FootnoteReference(name) => Event::Html(notes.reference(&name).into()),
        Event::Start(Tag::FootnoteDefinition(name)) => Event::Html(notes.definition(&name).into()),
        Event::End(TagEnd::FootnoteDefinition) => Event::Html("</div>\n".into()),
        other => other,
    }
}

/// Footnotes numbered in the order in which the text refers to them.
#[derive(Default)]
struct Notes(HashMap<String, usize>);

impl Notes {
    fn number(&mut self, name: &str) -> usize {
        let next = self.0.len() + 1;
        *self.0.entry(name.to_owned()).or_insert(next)
    }

    fn reference(&mut self, name: &str) -> String {
        let n = self.number(name);
        format!(r##"<sup id="fn-{n}-back"><a href="#fn-{n}">{n}</a></sup>"##)
    }

    fn definition(&mut self, name: &str) -> String {
        let n = self.number(name);
        format!(r##"<div id="fn-{n}"><sup><a href="#fn-{n}-back">{n}</a></sup> "##)
    }
}

/// The hash in `/media/<sha256>.<ext>`; nothing for any other address.
#[must_use]
pub fn own_image(address: &str) -> Option<(Hash, Kind)> {
    let (hash, extension) = address.strip_prefix("/media/")?.split_once('.')?;
    Some((lower_hex(hash)?, extension.parse().ok()?))
}

/// A hash as [`struct@Hash`] writes it, so that one picture has one address.
fn lower_hex(text: &str) -> Option<Hash> {
    let lower = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if lower { text.parse().ok() } else { None }
}

/// Every picture that the text names, wherever it stands (raw HTML too).
#[must_use]
pub fn images(body: &str) -> BTreeSet<Hash> {
    body.split("/media/")
        .skip(1)
        .filter_map(|rest| lower_hex(rest.get(..64)?).filter(|_| rest[64..].starts_with('.')))
        .collect()
}

/// The first picture in the text: its address and its description; for previews elsewhere.
#[must_use]
pub fn first_image(body: &str) -> Option<(String, String)> {
    let mut found: Option<(String, String)> = None;
    for event in parser(body) {
        match (&mut found, event) {
            (None, Event::Start(Tag::Image { dest_url, .. })) if own_image(&dest_url).is_some() => {
                found = Some((dest_url.into_string(), String::new()));
            }
            (Some((_, alt)), Event::Text(text) | Event::Code(text)) => alt.push_str(&text),
            (Some(_), Event::End(TagEnd::Image)) => return found,
            _ => {}
        }
    }
    found
}

/// The beginning of the text in plain words, for lists and previews; up to `<!--more-->` when the writer put it.
#[must_use]
pub fn excerpt(body: &str) -> String {
    let text = words(body.split(MORE).next().unwrap_or_default(), EXCERPT_CHARS + 1);
    if text.chars().count() <= EXCERPT_CHARS {
        return text;
    }
    let short: String = text.chars().take(EXCERPT_CHARS).collect();
    let end = short.rfind(' ').filter(|at| *at > short.len() / 2).unwrap_or(short.len());
    format!("{}…", short[..end].trim_end_matches([',', ';', ':', '.', ' ', '–', '—']))
}

/// About the first `enough` characters of running text, without headings, code, notes, tables and pictures.
fn words(body: &str, enough: usize) -> String {
    let mut out = String::new();
    let mut hidden = 0_usize;
    for event in parser(body) {
        match event {
            Event::Start(tag) if is_aside(&tag) => hidden += 1,
            Event::End(end) if is_aside_end(end) => hidden = hidden.saturating_sub(1),
            Event::Text(text) | Event::Code(text) if hidden == 0 => out.push_str(&text),
            Event::SoftBreak | Event::HardBreak if hidden == 0 => out.push(' '),
            Event::End(TagEnd::Paragraph | TagEnd::Item) => out.push(' '),
            _ => {}
        }
        if out.len() > enough * 4 {
            break;
        }
    }
    crate::text::line(&out, enough)
}

fn is_aside(tag: &Tag<'_>) -> bool {
    use Tag::{CodeBlock, FootnoteDefinition, Heading, HtmlBlock, Image, Table};
    matches!(tag, Heading { .. } | CodeBlock(_) | FootnoteDefinition(_) | Table(_) | Image { .. } | HtmlBlock)
}

fn is_aside_end(end: TagEnd) -> bool {
    use TagEnd::{CodeBlock, FootnoteDefinition, Heading, HtmlBlock, Image, Table};
    matches!(end, Heading(_) | CodeBlock | FootnoteDefinition | Table | Image | HtmlBlock)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &str = "/media/00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff.png";

    #[test]
    fn a_text_becomes_html_with_headings_below_the_title() {
        let out = html("# One\n\nHello *you*, `x < y`.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- [x] done\n- [ ] not\n");
        for part in ["<h2>One</h2>", "<em>you</em>", "<code>x &lt; y</code>", "<td>1</td>", "☑ done", "☐ not"] {
            assert!(out.contains(part), "{part} in {out}");
        }
    }

    #[test]
    fn nothing_that_runs_or_styles_gets_through() {
        for bad in [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "[x](javascript:alert(1))",
            "[x](data:text/html;base64,PHNjcmlwdD4=)",
            "<a href='jAvAsCrIpT:alert(1)'>x</a>",
            "<a href=\"java\nscript:alert(1)\">x</a>",
            "<p style='position:fixed' onclick='x()'>a</p>",
            "<style>body{display:none}</style>",
            "<form action=//evil.example><input name=password><button>ok</button></form>",
            "<iframe src=//evil.example></iframe>",
            "<svg><animate onbegin=alert(1)></svg>",
            "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
            "<base href=//evil.example>",
            "<meta http-equiv=refresh content=0>",
            "<link rel=stylesheet href=//evil.example>",
            "<h1 class=p-name id=main>a</h1>",
            "<object data=x></object><embed src=x>",
        ] {
            let out = html(bad).to_lowercase();
            for word in [
                "<script",
                "onerror",
                "onclick",
                "onbegin",
                "javascript:",
                "data:",
                "style",
                "<form",
                "<input",
                "<button",
                "<iframe",
                "<svg",
                "<math",
                "<base",
                "<meta",
                "<link",
                "class=",
                "id=",
                "<object",
                "<embed",
                "<h1",
            ] {
                assert!(!out.contains(word), "{word} of {bad} in {out}");
            }
        }
    }

    #[test]
    fn links_are_marked_and_pictures_are_our_own() {
        let out = html(&format!(
            "[a](https://example.org/) ![alt text]({PNG}) ![far](https://example.org/a.png) <img src=\"https://example.org/t.gif\">"
        ));
        assert!(out.contains(r#"<a href="https://example.org/" rel="nofollow noopener">a</a>"#), "{out}");
        assert!(out.contains(&format!(r#"<img src="{PNG}" alt="alt text""#)), "{out}");
        assert!(out.contains(r#"<a href="https://example.org/a.png" rel="nofollow noopener">far</a>"#), "{out}");
        assert!(!out.contains("t.gif"), "{out}");
    }

    #[test]
    fn headings_start_below_the_title_and_skip_no_level() {
        let out = html("## A\n\n#### B\n\n### C\n\n## D\n");
        let levels: Vec<&str> =
            ["<h2>A", "<h3>B", "<h3>C", "<h2>D"].into_iter().filter(|part| out.contains(part)).collect();
        assert_eq!(levels.len(), 4, "{out}");
    }

    #[test]
    fn footnotes_lead_there_and_back() {
        let out = html("Yes[^a].\n\n[^a]: Because.\n");
        assert!(out.contains(r##"<sup id="fn-1-back"><a href="#fn-1""##), "{out}");
        assert!(out.contains(r#"<div id="fn-1">"#) && out.contains("Because."), "{out}");
    }

    #[test]
    fn a_feed_has_absolute_addresses() {
        let post = Url::parse("https://ada.example/posts/2026/x").unwrap();
        let out = html_for_feed(&format!("![a]({PNG}) [b](/about) [c](#fn-1)"), &post);
        assert!(out.contains(&format!("https://ada.example{PNG}")), "{out}");
        assert!(
            out.contains("https://ada.example/about") && out.contains("https://ada.example/posts/2026/x#fn-1"),
            "{out}"
        );
    }

    #[test]
    fn an_excerpt_is_plain_words() {
        assert_eq!(excerpt("# Title\n\nHello **big** [world](x).\n\n```\ncode\n```\n\nBye."), "Hello big world. Bye.");
        assert_eq!(excerpt("One.\n\n<!--more-->\n\nTwo."), "One.");
        let long = excerpt(&"word ".repeat(200));
        assert!(long.ends_with("word…") && long.chars().count() <= EXCERPT_CHARS + 1);
        assert_eq!(excerpt(""), "");
    }

    #[test]
    fn pictures_are_found_in_markdown_and_in_html() {
        assert_eq!(images(&format!("![]({PNG}) <img src='{PNG}'> /media/short.png /media/")).len(), 1);
        assert_eq!(first_image(&format!("a ![two *words*]({PNG})")), Some((PNG.into(), "two words".into())));
        assert!(images(&format!("/media/{}", "é".repeat(64))).is_empty());
    }
}
