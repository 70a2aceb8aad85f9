//! What is a link, which two links are the same, and where links hide in a text.

use url::Url;

/// Schemes that a bookmark may have: none of them runs anything here.
const SCHEMES: &[&str] = &["http", "https", "ftp", "mailto", "tel", "xmpp", "gemini", "gopher", "magnet"];
/// Longest address, in bytes.
const MOST_BYTES: usize = 8_000;
/// Query fields that say how somebody came, not where to.
const TRACKING: &[&str] =
    &["fbclid", "gclid", "dclid", "msclkid", "mc_cid", "mc_eid", "igshid", "igsh", "yclid", "_ga", "_gl"];

/// The address that a person meant, when it is a link that may be kept: `example.org` means `https://example.org/`.
#[must_use]
pub fn link(typed: &str) -> Option<String> {
    let typed = typed.trim();
    if typed.is_empty() || typed.len() > MOST_BYTES || typed.chars().any(|c| c.is_control()) {
        return None;
    }
    match Url::parse(typed) {
        Ok(url) if SCHEMES.contains(&url.scheme()) => {
            (url.has_host() || url.cannot_be_a_base()).then(|| url.to_string())
        }
        Ok(url) if url.cannot_be_a_base() && looks_like_host(url.scheme()) => without_scheme(typed),
        Ok(_) => None,
        Err(url::ParseError::RelativeUrlWithoutBase) => without_scheme(typed),
        Err(_) => None,
    }
}

/// `example.org:8080/x` parses as scheme `example.org`.
fn looks_like_host(scheme: &str) -> bool {
    scheme.contains('.') || scheme == "localhost"
}

fn without_scheme(typed: &str) -> Option<String> {
    let rest = typed.strip_prefix("//").unwrap_or(typed);
    let host = rest.split(['/', '?', '#', ':']).next().unwrap_or_default();
    let good = (host.contains('.') && !host.starts_with('.') && !host.ends_with('.')) || host == "localhost";
    if !good || host.chars().any(char::is_whitespace) || host.contains('@') {
        return None;
    }
    Url::parse(&format!("https://{rest}")).ok().map(String::from)
}

/// What two addresses of one page share: no matter http or https, `www.`, a slash at the end, a place in the page,
/// or how somebody came there.
#[must_use]
pub fn key(link: &str) -> String {
    let Ok(mut url) = Url::parse(link) else { return link.to_owned() };
    if !matches!(url.scheme(), "http" | "https") {
        return url.to_string();
    }
    // Applications in one page keep their place behind # (#!/inbox, #/inbox).
    let place = url.fragment().filter(|place| place.starts_with(['!', '/'])).map(|place| format!("#{place}"));
    let query: Vec<&str> = url.query().unwrap_or_default().split('&').filter(|field| !is_tracking(field)).collect();
    let query = query.join("&");
    url.set_fragment(None);
    let host = url.host_str().unwrap_or_default();
    let host = host.strip_prefix("www.").unwrap_or(host);
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = url.path().trim_end_matches('/');
    let query = if query.is_empty() { query } else { format!("?{query}") };
    format!("{host}{port}{path}{query}{}", place.unwrap_or_default())
}

fn is_tracking(field: &str) -> bool {
    let name = field.split('=').next().unwrap_or_default();
    name.is_empty() || name.starts_with("utm_") || TRACKING.contains(&name)
}

/// What a list shows small beside the title: the host without `www.`, or the address when it has none.
#[must_use]
pub fn host(link: &str) -> String {
    match Url::parse(link) {
        Ok(url) => match url.host_str() {
            Some(host) => host.strip_prefix("www.").unwrap_or(host).to_owned(),
            None => link.to_owned(),
        },
        Err(_) => link.to_owned(),
    }
}

/// What stands for a title where there is none: host and path.
#[must_use]
pub fn readable(link: &str) -> String {
    let path = Url::parse(link).ok().filter(Url::has_host).map(|url| url.path().trim_end_matches('/').to_owned());
    let path = path.map(|path| percent_encoding::percent_decode_str(&path).decode_utf8_lossy().into_owned());
    format!("{}{}", host(link), crate::text::line(&path.unwrap_or_default(), 200))
}

/// The links in a pasted text, in order, each once: one address a line (with or without scheme), or text with
/// addresses in it. What stands before an address on its line is its title.
#[must_use]
pub fn in_text(text: &str) -> Vec<(String, String)> {
    let mut seen = std::collections::BTreeSet::new();
    let found = text.lines().flat_map(in_line);
    found.filter(|(link, _)| seen.insert(key(link))).collect()
}

fn in_line(line: &str) -> Vec<(String, String)> {
    let line = line.trim().trim_start_matches(['-', '*', '•', '>']).trim();
    if !line.contains(char::is_whitespace)
        && !line.contains("](")
        && let Some(link) = link(trim_punctuation(line))
    {
        return vec![(link, String::new())];
    }
    let mut out = Vec::new();
    let mut rest = line;
    while let Some(start) = next_start(rest) {
        let end = rest[start..]
            .find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"'))
            .map_or(rest.len(), |n| start + n);
        let typed = trim_punctuation(&rest[start..end]);
        if let Some(link) = link(typed) {
            out.push((link, title_before(&rest[..start])));
        }
        rest = &rest[start + typed.len().max(1)..];
    }
    out
}

fn next_start(text: &str) -> Option<usize> {
    ["https://", "http://", "gemini://", "ftp://"].iter().filter_map(|scheme| text.find(scheme)).min()
}

/// Without what closes a sentence or a Markdown link; a closing bracket stays when the address opened it.
fn trim_punctuation(typed: &str) -> &str {
    let mut typed = typed.trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', '"', '*', '_']);
    for (open, close) in [('(', ')'), ('[', ']')] {
        while typed.ends_with(close) && typed.matches(close).count() > typed.matches(open).count() {
            typed = typed[..typed.len() - 1].trim_end_matches(['.', ',', ';']);
        }
    }
    typed
}

/// The title in `[title](`, `title - ` and `title: ` before an address; what merely stands before it is no title.
fn title_before(text: &str) -> String {
    let text = text.trim();
    let marked = text.strip_suffix("](").and_then(|text| text.rsplit_once('[')).map(|(_, title)| title);
    let title = marked.or_else(|| text.strip_suffix(['-', '–', '—', ':', '|']));
    crate::text::line(title.unwrap_or_default(), 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_what_opens_a_page_and_never_what_runs() {
        for (typed, kept) in [
            ("https://example.org", Some("https://example.org/")),
            ("  example.org/a b ", Some("https://example.org/a%20b")),
            ("example.org:8080/x", Some("https://example.org:8080/x")),
            ("//example.org", Some("https://example.org/")),
            ("HTTP://Example.ORG/A", Some("http://example.org/A")),
            ("https://bücher.example/", Some("https://xn--bcher-kva.example/")),
            ("mailto:ada@example.org", Some("mailto:ada@example.org")),
            ("gemini://example.org/", Some("gemini://example.org/")),
            ("localhost:3000", Some("https://localhost:3000/")),
            ("javascript:alert(1)", None),
            (" java\nscript:alert(1)", None),
            ("data:text/html,x", None),
            ("file:///etc/passwd", None),
            ("blob:https://x.example/1", None),
            ("about:config", None),
            ("place:sort=8", None),
            ("vbscript:x", None),
            ("just words", None),
            ("ada@example.org", None),
            ("https://", None),
            ("", None),
        ] {
            assert_eq!(link(typed).as_deref(), kept, "{typed}");
        }
        assert_eq!(link(&format!("https://example.org/{}", "a".repeat(9000))), None);
    }

    #[test]
    fn the_same_page_has_one_key() {
        let page = key("https://example.org/a");
        for same in [
            "http://example.org/a",
            "https://www.example.org/a/",
            "https://EXAMPLE.org:443/a#top",
            "https://example.org/a?utm_source=x&fbclid=1",
        ] {
            assert_eq!(key(&link(same).unwrap()), page, "{same}");
        }
        for other in [
            "https://example.org/b",
            "https://example.org/a?x=1",
            "https://example.org:8443/a",
            "https://example.org/a#!/in",
            "https://example.org/A",
        ] {
            assert_ne!(key(other), page, "{other}");
        }
        assert_eq!(key("https://example.org"), key("http://www.example.org/"));
        assert_ne!(key("mailto:a@example.org"), key("mailto:b@example.org"));
    }

    #[test]
    fn a_pasted_text_gives_its_links() {
        let text = "example.org\nhttps://a.example/x\n\nSee https://b.example/y, and (https://c.example/z_(q)).\n\
                    - [A title](https://d.example/)\nGood read: https://e.example/\nhttps://a.example/x#again\njavascript:alert(1)\nno link here\n";
        let expected = [
            ("https://example.org/", ""),
            ("https://a.example/x", ""),
            ("https://b.example/y", ""),
            ("https://c.example/z_(q)", ""),
            ("https://d.example/", "A title"),
            ("https://e.example/", "Good read"),
        ];
        let found = in_text(text);
        let found: Vec<(&str, &str)> = found.iter().map(|(link, title)| (link.as_str(), title.as_str())).collect();
        assert_eq!(found, expected);
    }
}
