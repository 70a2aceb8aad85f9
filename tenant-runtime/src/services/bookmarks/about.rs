//! What a page says of itself, for a bookmark whose owner left that out.
//!
//! The bookmark is kept before anything is asked, so that nothing is lost when the page does not answer.

use std::time::Duration;

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};
use url::Url;

use super::store;
use crate::{egress::Limits, runtime::Runtime, text};

/// A page may take so long to answer; the owner does not wait for it.
const LIMITS: Limits = Limits { patience: Duration::from_secs(8), most: 256 << 10 };
/// So long the owner waits, so that the title is usually there when the list is shown.
const WAIT: Duration = Duration::from_millis(1500);
/// What is read: pages.
const ACCEPT: &str = "text/html,application/xhtml+xml";

/// What a page says of itself; empty where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    pub(super) title: String,
    pub(super) description: String,
}

/// Asks the page of a bookmark for its title, and puts it in if there is still none then. Comes back after a moment; the rest goes
/// on by itself.
pub(super) async fn fill_in(rt: &Runtime, id: &str, url: &str) {
    let Ok(url) = Url::parse(url) else { return };
    if !rt.egress().is_open() {
        return;
    }
    let (rt, id, busy) = (rt.clone(), id.to_owned(), rt.busy());
    let filling = tokio::spawn(async move {
        match rt.egress().get(&url, ACCEPT, LIMITS).await {
            Ok(page) if page.media_type.to_ascii_lowercase().contains("html") => {
                let (about, now) = (read(&page.body, &page.media_type), rt.clock().now());
                if let Err(error) = rt.store().write(move |tx| store::fill_in(tx, &id, &about, now)).await {
                    tracing::warn!(error = format!("{error:#}"), "the title of a bookmarked page was lost");
                }
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "a bookmarked page does not say its title"),
        }
        drop(busy);
    });
    // It goes on when this moment is over.
    let _ = tokio::time::timeout(WAIT, filling).await;
}

/// Reads a page's head.
pub(super) fn read(body: &[u8], media_type: &str) -> About {
    let html = decoded(body, media_type);
    let (mut title, mut in_title, mut described) = (None::<String>, false, [const { None::<String> }; 3]);
    // What stands in scripts, styles and titles is text.
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    for token in Tokenizer::new_with_emitter(&*html, emitter).flatten() {
        match token {
            Token::StartTag(tag) => match tag.name.as_slice() {
                b"title" if title.is_none() => (title, in_title) = (Some(String::new()), true),
                b"meta" => meta(&tag, &mut described),
                b"body" => break,
                _ => {}
            },
            Token::EndTag(tag) if tag.name.as_slice() == b"title" => in_title = false,
            Token::String(part) if in_title => {
                title.get_or_insert_default().push_str(&String::from_utf8_lossy(&part.value));
            }
            _ => {}
        }
    }
    let [og_title, og_description, description] = described;
    let first = |these: [Option<String>; 2], most| {
        let lines = these.into_iter().flatten().map(|found| text::line(&found, most));
        lines.into_iter().find(|line| !line.is_empty()).unwrap_or_default()
    };
    About { title: first([title, og_title], 500), description: first([description, og_description], 1000) }
}

/// `og:title`, `og:description` and `description`; of each the first.
fn meta(tag: &StartTag<()>, found: &mut [Option<String>; 3]) {
    let of = |name: &[u8]| tag.attributes.get(name).map(|value| String::from_utf8_lossy(&value.value).into_owned());
    let Some(name) = of(b"property").or_else(|| of(b"name")) else { return };
    let place = match name.to_ascii_lowercase().as_str() {
        "og:title" => 0,
        "og:description" => 1,
        "description" => 2,
        _ => return,
    };
    if found[place].is_none() {
        found[place] = of(b"content");
    }
}

/// UTF-8, as nearly all pages are; what is not is taken for Latin 1, unless the server says UTF-8.
fn decoded(body: &[u8], media_type: &str) -> String {
    match std::str::from_utf8(body) {
        Ok(text) => text.to_owned(),
        // Cut in the middle of a letter at the most.
        Err(error) if error.error_len().is_none() || media_type.to_ascii_lowercase().contains("utf-8") => {
            String::from_utf8_lossy(body).into_owned()
        }
        Err(_) => body.iter().map(|byte| char::from(*byte)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{egress, testing::TestRuntime};

    #[test]
    fn a_page_says_its_title_and_what_it_is_about() {
        let about = |html: &str| read(html.as_bytes(), "text/html");
        let page = "<!doctype html><html><head><meta charset=utf-8><TITLE>\n A &amp; B \n</TITLE>\
                    <meta name=Description content='What it is'><meta property='og:title' content='Other'></head>\
                    <body><svg><title>no</title></svg><meta name=description content=no></body>";
        assert_eq!(about(page), About { title: "A & B".into(), description: "What it is".into() });
        assert_eq!(about("<meta property=og:title content=Open><title> </title>").title, "Open");
        assert_eq!(about("<title>never ended <b>x").title, "never ended <b>x");
        assert_eq!(about("<script>'<title>no</title>'</script><title>yes</title>").title, "yes");
        assert_eq!(about("just text"), About::default());
        assert_eq!(read(b"<title>caf\xe9</title>", "text/html").title, "café");
        assert_eq!(read("<title>né".as_bytes(), "text/html").title, "né");
    }

    #[tokio::test]
    async fn a_bookmark_without_a_title_gets_the_pages_and_is_kept_without_one() {
        let played = egress::tests::Played::start(|host, _| match host {
            "closed.example" => String::new(),
            _ => "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<title>The page &lt;b&gt;</title>\
                  <meta name=description content='About it'>"
                .to_owned(),
        });
        let mut rt = TestRuntime::new();
        rt.reach(played.client());
        rt.sign_in().await;
        let list = "/app/bookmarks";
        let added = rt.post("/app/bookmarks/add", &[("url", "https://example.org/a")]).await;
        assert_eq!(added.location(), list, "{}", added.text());
        let page = rt.get(list).await.text();
        assert!(page.contains("The page &lt;b&gt;") && page.contains("About it"), "{page}");

        rt.post("/app/bookmarks/add", &[("url", "https://example.org/b"), ("title", "Mine")]).await;
        rt.post("/app/bookmarks/add", &[("url", "https://closed.example/c")]).await;
        let page = rt.get(list).await.text();
        assert!(page.contains("Mine") && page.contains("closed.example/c"), "{page}");
        let asked = played.asked.lock().unwrap().clone();
        assert_eq!(asked, ["example.org:443", "/a", "closed.example:443"], "who has a title is not asked");
    }
}
