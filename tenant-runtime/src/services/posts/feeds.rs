//! Posts for feed readers: Atom (RFC 4287) and JSON Feed 1.1. An entry's id is made of the post's id, so that it stays
//! the same when the percloud moves to another name.

use atom_syndication::{Category, Content, Entry, Feed, Generator, Link, Person, Text};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use url::Url;

use super::{Post, markdown};
use crate::settings::Settings;

/// Whose posts they are.
#[derive(Clone, Debug)]
pub struct Site {
    /// The name on Home.
    pub title: String,
    /// The short text on Home.
    pub about: String,
    /// `https://ada.example`, no slash at the end.
    pub origin: String,
    /// Where the owner's picture is.
    pub avatar: Option<String>,
    /// The language of Home, where the owner chose one.
    pub language: Option<&'static str>,
}

impl Site {
    /// What the owner chose, at an address.
    #[must_use]
    pub fn of(settings: &Settings, origin: &str) -> Self {
        let host = origin.rsplit('/').next().unwrap_or_default();
        let first = host.split(['.', ':']).next().unwrap_or_default().to_owned();
        Self {
            title: if settings.name.is_empty() { first } else { settings.name.clone() },
            about: settings.about.clone(),
            origin: origin.to_owned(),
            avatar: settings.avatar_url(),
            language: settings.language.map(ui::Lang::code),
        }
    }

    /// An address of this percloud, whole.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
}

/// The moment of the last change that a feed shows.
#[must_use]
pub fn updated(posts: &[Post]) -> DateTime<Utc> {
    posts.iter().map(|post| post.updated_at).max().unwrap_or_default()
}

/// A feed's id: of the percloud as long as it has this name.
fn feed_id(site: &Site) -> String {
    site.url("/")
}

fn entry_id(post: &Post) -> String {
    format!("urn:uuid:{}", post.id)
}

fn content(site: &Site, post: &Post) -> String {
    let url = Url::parse(&site.url(&post.path().unwrap_or_default()));
    xml_safe(&url.map(|url| markdown::html_for_feed(&post.text.body, &url)).unwrap_or_default())
}

/// Without the characters that XML 1.0 cannot carry; a text may name them by number (`&#1;`).
#[must_use]
pub fn xml_safe(text: &str) -> String {
    text.chars()
        .filter(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..))
        .collect()
}

/// The Atom feed.
#[must_use]
pub fn atom(site: &Site, posts: &[Post]) -> String {
    let link = |rel: &str, path: &str, kind: &str| Link {
        href: site.url(path),
        rel: rel.into(),
        mime_type: Some(kind.into()),
        ..Link::default()
    };
    let feed = Feed {
        title: Text::plain(xml_safe(&site.title)),
        subtitle: Some(&site.about).filter(|about| !about.is_empty()).map(|about| Text::plain(xml_safe(about))),
        id: feed_id(site),
        updated: updated(posts).fixed_offset(),
        authors: vec![Person { name: xml_safe(&site.title), uri: Some(site.url("/")), ..Person::default() }],
        links: vec![
            link("self", "/feed.atom", "application/atom+xml"),
            link("alternate", "/", "text/html"),
            link("alternate", "/feed.json", "application/feed+json"),
        ],
        icon: site.avatar.as_ref().map(|path| site.url(path)),
        lang: site.language.map(str::to_owned),
        generator: Some(Generator { value: "percloud".into(), uri: None, version: None }),
        entries: posts.iter().map(|post| atom_entry(site, post)).collect(),
        ..Feed::default()
    };
    feed.to_string()
}

fn atom_entry(site: &Site, post: &Post) -> Entry {
    let url = site.url(&post.path().unwrap_or_default());
    Entry {
        title: Text::plain(xml_safe(&post.text.title)),
        id: entry_id(post),
        updated: post.updated_at.fixed_offset(),
        published: post.published_at.map(|at| at.fixed_offset()),
        links: vec![Link {
            href: url.clone(),
            rel: "alternate".into(),
            mime_type: Some("text/html".into()),
            ..Link::default()
        }],
        categories: post.text.tags.iter().map(|tag| Category { term: xml_safe(tag), ..Category::default() }).collect(),
        summary: Some(Text::plain(xml_safe(&markdown::excerpt(&post.text.body)))),
        content: Some(Content {
            value: Some(content(site, post)),
            content_type: Some("html".into()),
            ..Content::default()
        }),
        ..Entry::default()
    }
}

/// The JSON feed.
#[must_use]
pub fn json(site: &Site, posts: &[Post]) -> Vec<u8> {
    let author = without_null(
        json!({ "name": site.title, "url": site.url("/"), "avatar": site.avatar.as_ref().map(|path| site.url(path)) }),
    );
    let feed = without_null(json!({
        "version": "https://jsonfeed.org/version/1.1",
        "title": site.title,
        "home_page_url": site.url("/"),
        "feed_url": site.url("/feed.json"),
        "description": Some(&site.about).filter(|about| !about.is_empty()),
        "icon": site.avatar.as_ref().map(|path| site.url(path)),
        "language": site.language,
        "authors": [author],
        "items": posts.iter().map(|post| json_item(site, post)).collect::<Vec<_>>(),
    }));
    let mut text = serde_json::to_vec_pretty(&feed).unwrap_or_default();
    text.push(b'\n');
    text
}

fn json_item(site: &Site, post: &Post) -> Value {
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    without_null(json!({
        "id": entry_id(post),
        "url": site.url(&post.path().unwrap_or_default()),
        "title": post.text.title,
        "content_html": content(site, post),
        "summary": markdown::excerpt(&post.text.body),
        "image": markdown::first_image(&post.text.body).map(|(path, _)| site.url(&path)),
        "date_published": post.published_at.map(time),
        "date_modified": time(post.updated_at),
        "tags": Some(&post.text.tags).filter(|tags| !tags.is_empty()),
    }))
}

/// JSON Feed leaves out what is not there.
fn without_null(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.into_iter().filter(|(_, value)| !value.is_null()).collect::<serde_json::Map<_, _>>().into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::posts::{Address, Draft, Status};

    fn site() -> Site {
        Site {
            title: "Ada & <friends>".into(),
            about: String::new(),
            origin: "https://ada.example".into(),
            avatar: None,
            language: Some("it"),
        }
    }

    fn post() -> Post {
        let at = DateTime::from_timestamp(1_770_000_000, 0).unwrap();
        Post {
            id: "0d1e2f30-0000-4000-8000-000000000000".into(),
            revision: 3,
            text: Draft {
                title: "A < B".into(),
                body: "Hi &#1; *you* [x](/y)".into(),
                tags: vec!["one & two".into()],
                ..Draft::default()
            },
            status: Status::Published,
            address: Some(Address { year: 2026, slug: "perché".into() }),
            created_at: at,
            updated_at: at,
            published_at: Some(at),
            deleted_at: None,
        }
    }

    #[test]
    fn atom_reads_back_with_the_same_content() {
        let text = atom(&site(), &[post()]);
        let feed: Feed = text.parse().unwrap();
        assert_eq!(feed.title.value, "Ada & <friends>");
        let entry = &feed.entries[0];
        assert_eq!(entry.id, "urn:uuid:0d1e2f30-0000-4000-8000-000000000000");
        assert_eq!(entry.links[0].href, "https://ada.example/posts/2026/perch%C3%A9");
        let content = entry.content.as_ref().unwrap().value.as_deref().unwrap();
        assert!(content.contains("<em>you</em>") && content.contains("https://ada.example/y"), "{content}");
        assert!(!text.contains('\u{1}'));
    }

    #[test]
    fn the_json_feed_says_what_there_is_and_nothing_else() {
        let feed: Value = serde_json::from_slice(&json(&site(), &[post()])).unwrap();
        assert_eq!(feed["version"], "https://jsonfeed.org/version/1.1");
        assert_eq!(feed["items"][0]["tags"][0], "one & two");
        assert_eq!(feed["items"][0]["date_published"], "2026-02-02T02:40:00Z");
        assert!(feed.get("description").is_none() && feed["items"][0].get("image").is_none());
        let empty: Value = serde_json::from_slice(&json(&site(), &[])).unwrap();
        assert_eq!(empty["items"], json!([]));
    }
}
