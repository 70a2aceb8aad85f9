//! What can be seen to be wrong in a page's HTML without a browser.
//!
//! A tiny scan over tags, made for the HTML that our templates write; axe-core in a browser looks deeper.

use std::collections::{BTreeMap, BTreeSet};

/// A start tag: its name and its attributes.
struct Tag<'a> {
    name: &'a str,
    attributes: BTreeMap<&'a str, &'a str>,
}

/// Everything wrong with a page: inline script or style, doubled ids, fields without a label, pictures without a
/// text, not one `h1`, headings that skip a level, tags left open.
#[must_use]
pub fn faults(html: &str) -> Vec<String> {
    let (tags, mut faults) = scan(html);
    faults.extend(policy(&tags));
    faults.extend(names(&tags));
    faults.extend(headings(&tags));
    if html.contains("{{") || html.contains("{%") {
        faults.push("a template tag is left in the page".into());
    }
    faults
}

/// What the content security policy would refuse.
fn policy(tags: &[Tag<'_>]) -> Vec<String> {
    let mut faults = Vec::new();
    for tag in tags {
        let has = |name| tag.attributes.contains_key(name);
        if tag.name == "style" || has("style") {
            faults.push(format!("inline style at <{}>", tag.name));
        }
        if tag.name == "script" && !has("src") {
            faults.push("inline script".into());
        }
        if let Some(handler) = tag.attributes.keys().find(|k| k.starts_with("on")) {
            faults.push(format!("inline handler {handler} at <{}>", tag.name));
        }
    }
    faults
}

/// Ids once, and a name for whatever needs one.
fn names(tags: &[Tag<'_>]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut ids = BTreeSet::new();
    for id in tags.iter().filter_map(|t| t.attributes.get("id")) {
        if !ids.insert(*id) {
            faults.push(format!("the id {id} is there twice"));
        }
    }
    let labels: BTreeSet<_> =
        tags.iter().filter(|t| t.name == "label").filter_map(|t| t.attributes.get("for").copied()).collect();
    for tag in tags {
        let has = |name| tag.attributes.contains_key(name);
        let kind = tag.attributes.get("type").copied().unwrap_or("text");
        let field =
            matches!(tag.name, "input" | "select" | "textarea") && !matches!(kind, "hidden" | "submit" | "button");
        let wrapped = matches!(kind, "checkbox" | "radio") || has("data-labelled");
        let labelled = has("aria-label")
            || has("aria-labelledby")
            || tag.attributes.get("id").is_some_and(|id| labels.contains(id));
        if field && !labelled && !wrapped {
            faults.push(format!("<{} name={:?}> has no label", tag.name, tag.attributes.get("name").unwrap_or(&"")));
        }
        if tag.name == "img" && !has("alt") {
            faults.push("a picture has no alt".into());
        }
        for reference in ["for", "aria-describedby", "aria-labelledby", "aria-controls"] {
            for id in tag.attributes.get(reference).into_iter().flat_map(|ids| ids.split_whitespace()) {
                if !ids.contains(id) {
                    faults.push(format!("{reference}={id} at <{}> leads nowhere", tag.name));
                }
            }
        }
    }
    faults
}

fn headings(tags: &[Tag<'_>]) -> Vec<String> {
    let levels: Vec<u8> = tags
        .iter()
        .filter(|t| t.name.len() == 2 && t.name.starts_with('h'))
        .filter_map(|t| t.name[1..].parse().ok())
        .collect();
    let mut faults = Vec::new();
    if !tags.iter().any(|t| t.name == "html") {
        return faults;
    }
    let ones = levels.iter().filter(|l| **l == 1).count();
    if ones != 1 {
        faults.push(format!("{ones} h1 instead of one"));
    }
    if let Some(pair) = levels.windows(2).find(|w| w[1] > w[0] + 1) {
        faults.push(format!("h{} follows h{}", pair[1], pair[0]));
    }
    if !tags.iter().any(|t| t.name == "html" && t.attributes.contains_key("lang")) {
        faults.push("the page does not say its language".into());
    }
    if !tags.iter().any(|t| t.name == "main") {
        faults.push("the page has no main".into());
    }
    faults
}

const VOID: [&str; 13] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];

/// Reads the start tags and whether they are closed in order.
fn scan(html: &str) -> (Vec<Tag<'_>>, Vec<String>) {
    let (mut tags, mut open, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = html;
    while let Some((_, after)) = rest.split_once('<') {
        rest = after;
        if let Some(comment) = after.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, r)| r);
        } else if let Some(closing) = after.strip_prefix('/') {
            let name = closing.split('>').next().unwrap_or_default().trim();
            match open.pop() {
                Some(opened) if opened == name => {}
                opened => faults.push(format!("</{name}> closes <{}>", opened.unwrap_or("nothing"))),
            }
        } else if after.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let (tag, closed, left) = start_tag(after);
            if !closed && !VOID.contains(&tag.name) {
                open.push(tag.name);
            }
            rest = left;
            tags.push(tag);
        }
    }
    faults.extend(open.iter().map(|name| format!("<{name}> is not closed")));
    (tags, faults)
}

/// One start tag, whether it closes itself, and what follows.
fn start_tag(text: &str) -> (Tag<'_>, bool, &str) {
    let end = text.find(|c: char| c.is_whitespace() || c == '>' || c == '/').unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    let mut attributes = BTreeMap::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix("/>") {
            return (Tag { name, attributes }, true, after);
        }
        if let Some(after) = rest.strip_prefix('>') {
            return (Tag { name, attributes }, false, after);
        }
        let Some(end) = rest.find(|c: char| c.is_whitespace() || c == '=' || c == '>') else {
            return (Tag { name, attributes }, false, "");
        };
        let (key, after) = rest.split_at(end.max(1));
        let (value, after) = match after.strip_prefix("=\"") {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => match after.strip_prefix('=') {
                Some(bare) => bare.split_at(bare.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(bare.len())),
                None => ("", after),
            },
        };
        attributes.insert(key, value);
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_seen() {
        let page = |inner: &str| {
            format!(r#"<!doctype html><html lang="en"><body><main><h1>x</h1>{inner}</main></body></html>"#)
        };
        assert_eq!(
            faults(&page(r#"<label for="a">A</label><input id="a" disabled><br><svg><path d="x"/></svg>"#)),
            [""; 0]
        );
        for (inner, fault) in [
            (r#"<p style="color:red">a</p>"#, "inline style at <p>"),
            ("<script>1</script>", "inline script"),
            (r#"<p onclick="x">a</p>"#, "inline handler onclick at <p>"),
            (r#"<p id="a"></p><p id="a"></p>"#, "the id a is there twice"),
            (r#"<input name="q">"#, "<input name=\"q\"> has no label"),
            (r#"<img src="x">"#, "a picture has no alt"),
            (r#"<p aria-describedby="no">a</p>"#, "aria-describedby=no at <p> leads nowhere"),
            ("<h1>y</h1>", "2 h1 instead of one"),
            ("<h3>y</h3>", "h3 follows h1"),
            ("<p><b></p>", "</p> closes <b>"),
        ] {
            assert!(faults(&page(inner)).iter().any(|f| f == fault), "{inner}: {:?}", faults(&page(inner)));
        }
    }
}
