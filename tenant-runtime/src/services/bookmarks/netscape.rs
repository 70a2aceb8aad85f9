//! The Netscape bookmark file, which browsers and bookmark services read and write. Every flavour is a little different:
//! `<DL>` nests folders, `<H3>` names one, `<A>` is a bookmark, `<DD>` describes the one before it; nothing is closed.

use chrono::{DateTime, Utc};
use html5gum::{StartTag, Token, Tokenizer};

use super::{Entry, Visibility, urls};

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// Its bookmarks, in order.
    pub items: Vec<Item>,
    /// Addresses that are no links to keep (bookmarklets, queries of a browser), each with its title.
    pub refused: Vec<(String, String)>,
}

/// A bookmark of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// What it says.
    pub entry: Entry,
    /// When it was made, where the file says so.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was changed, where the file says so.
    pub updated_at: Option<DateTime<Utc>>,
}

/// True when a file is of this kind, whatever its name.
#[must_use]
pub fn is_netscape(content: &str) -> bool {
    let start: String = content.chars().take(4_000).collect::<String>().to_ascii_lowercase();
    start.contains("netscape-bookmark-file") || start.contains("<dl") && start.contains("<dt")
}

/// Reads a file. `visibility` is for bookmarks that do not say.
#[must_use]
pub fn read(content: &str, visibility: Visibility) -> File {
    let mut reader = Reader { visibility, ..Reader::default() };
    for token in Tokenizer::new(content).flatten() {
        match token {
            Token::StartTag(tag) => reader.start(&tag),
            Token::EndTag(tag) => reader.end(&tag.name),
            Token::String(text) => reader.text(&String::from_utf8_lossy(&text.value)),
            _ => {}
        }
    }
    reader.finish_item();
    reader.file
}

/// What the text that comes next belongs to.
#[derive(Default, PartialEq, Eq)]
enum Place {
    #[default]
    Nowhere,
    Folder,
    Title,
    Note,
}

#[derive(Default)]
struct Reader {
    file: File,
    visibility: Visibility,
    /// Names of the folders around; none for those that a browser always has.
    folders: Vec<Option<String>>,
    /// The last `<H3>`, which the next `<DL>` opens; true when it is one of the browser's own.
    heading: String,
    is_builtin: bool,
    item: Option<(String, Item)>,
    place: Place,
}

impl Reader {
    fn start(&mut self, tag: &StartTag<()>) {
        match tag.name.as_slice() {
            b"dl" => {
                self.finish_item();
                let name = std::mem::take(&mut self.heading);
                let name = Some(name).filter(|name| !self.is_builtin && !name.trim().is_empty());
                self.folders.push(name);
                self.is_builtin = false;
            }
            b"h3" => {
                self.finish_item();
                self.heading.clear();
                self.is_builtin = ["personal_toolbar_folder", "unfiled_bookmarks_folder"]
                    .iter()
                    .any(|name| attribute(tag, name).is_some());
                self.place = Place::Folder;
            }
            b"a" => {
                self.finish_item();
                self.item = Some(self.item_of(tag));
                self.place = Place::Title;
            }
            b"dd" => self.place = Place::Note,
            b"dt" | b"hr" => self.finish_item(),
            b"br" if self.place == Place::Note => self.text("\n"),
            _ => {}
        }
    }

    fn end(&mut self, name: &[u8]) {
        match name {
            b"dl" => {
                self.finish_item();
                self.folders.pop();
            }
            b"a" | b"h3" | b"dd" => self.place = Place::Nowhere,
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        match (&self.place, &mut self.item) {
            (Place::Folder, _) => self.heading.push_str(text),
            (Place::Title, Some((_, item))) => item.entry.title.push_str(text),
            (Place::Note, Some((_, item))) => {
                // Some programs write both <br> and the line's end.
                let text = if item.entry.note.ends_with('\n') { text.strip_prefix('\n').unwrap_or(text) } else { text };
                item.entry.note.push_str(text);
            }
            _ => {}
        }
    }

    fn item_of(&self, tag: &StartTag<()>) -> (String, Item) {
        let time = |name| attribute(tag, name).and_then(|text| moment(&text));
        let folders = self.folders.iter().flatten().cloned();
        let written = attribute(tag, "tags").unwrap_or_default();
        let tags = folders.chain(written.split(',').map(str::to_owned)).collect();
        let visibility = match attribute(tag, "private").as_deref() {
            Some("0" | "false") => Visibility::Public,
            Some(_) => Visibility::Private,
            None => self.visibility,
        };
        let entry = Entry { tags, visibility, ..Entry::default() };
        let item = Item { entry, created_at: time("add_date"), updated_at: time("last_modified") };
        (attribute(tag, "href").unwrap_or_default(), item)
    }

    fn finish_item(&mut self) {
        self.place = Place::Nowhere;
        let Some((href, mut item)) = self.item.take() else { return };
        match urls::link(&href) {
            Some(url) => {
                item.entry.url = url;
                item.entry = item.entry.tidied();
                self.file.items.push(item);
            }
            None => self.file.refused.push((crate::text::line(&href, 200), crate::text::line(&item.entry.title, 200))),
        }
    }
}

fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
    tag.attributes.get(name.as_bytes()).map(|value| String::from_utf8_lossy(&value.value).into_owned())
}

/// Seconds since 1970; some programs write milliseconds, microseconds, or (Safari, Windows) 0 for "unknown".
fn moment(text: &str) -> Option<DateTime<Utc>> {
    let number: i64 = text.trim().parse().ok().filter(|number| *number > 0)?;
    let seconds = match number {
        ..100_000_000_000 => number,
        100_000_000_000..100_000_000_000_000 => number / 1_000,
        _ => number / 1_000_000,
    };
    DateTime::from_timestamp(seconds, 0).map(crate::imports::plain)
}

/// Writes a file that browsers, Pinboard, Shaarli, linkding and this program read: flat, with tags.
#[must_use]
pub fn write<'a>(title: &str, bookmarks: impl IntoIterator<Item = &'a super::Bookmark>) -> String {
    let mut out = format!(
        "<!DOCTYPE NETSCAPE-Bookmark-file-1>\n<!-- This is an automatically generated file. It will be read and overwritten. DO NOT EDIT! -->\n\
         <META HTTP-EQUIV=\"Content-Type\" CONTENT=\"text/html; charset=UTF-8\">\n<TITLE>{0}</TITLE>\n<H1>{0}</H1>\n<DL><p>\n",
        escape(title)
    );
    for bookmark in bookmarks {
        let entry = &bookmark.entry;
        let private = i32::from(entry.visibility == Visibility::Private);
        let title = if entry.title.is_empty() { &entry.url } else { &entry.title };
        out.push_str(&format!(
            "    <DT><A HREF=\"{}\" ADD_DATE=\"{}\" LAST_MODIFIED=\"{}\" PRIVATE=\"{private}\" TAGS=\"{}\">{}</A>\n",
            escape(&entry.url),
            bookmark.created_at.timestamp(),
            bookmark.updated_at.timestamp(),
            escape(&entry.tags.join(",")),
            escape(title),
        ));
        if !entry.note.is_empty() {
            out.push_str(&format!("    <DD>{}\n", escape(&entry.note)));
        }
    }
    out.push_str("</DL><p>\n");
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_private(content: &str) -> File {
        read(content, Visibility::Private)
    }

    fn titles(file: &File) -> Vec<(&str, String)> {
        file.items.iter().map(|item| (item.entry.title.as_str(), item.entry.tags.join("/"))).collect()
    }

    #[test]
    fn firefox_nests_folders_and_keeps_tags_apart() {
        let file = read_private(include_str!("fixtures/firefox.html"));
        let expected = [
            ("Get Involved", "Mozilla Firefox".to_owned()),
            ("MDN & friends", "Web/Reference/docs/html".to_owned()),
            ("On the toolbar", String::new()),
            ("Unfiled", String::new()),
        ];
        assert_eq!(titles(&file), expected);
        assert_eq!(file.items[1].entry.note, "All about the web.\nTwo lines.");
        assert_eq!(file.items[1].created_at.unwrap().timestamp(), 1_600_000_000);
        assert_eq!(file.refused.len(), 2, "a bookmarklet and a query of the browser: {:?}", file.refused);
    }

    #[test]
    fn chrome_has_a_bar_and_icons() {
        let file = read_private(include_str!("fixtures/chrome.html"));
        assert_eq!(titles(&file), [("Ricette", "Cucina".to_owned()), ("Plain", String::new())]);
        assert!(file.items[0].entry.note.is_empty());
    }

    #[test]
    fn pinboard_and_shaarli_say_who_may_see() {
        let pinboard = read_private(include_str!("fixtures/pinboard.html"));
        assert_eq!(titles(&pinboard), [("Public one", "a/b".to_owned()), ("Private one", String::new())]);
        assert_eq!(pinboard.items[0].entry.visibility, Visibility::Public);
        assert_eq!(pinboard.items[0].entry.note, "It says \"hi\" & more");
        assert_eq!(pinboard.items[1].entry.visibility, Visibility::Private);

        let shaarli = read_private(include_str!("fixtures/shaarli.html"));
        assert_eq!(titles(&shaarli), [("Note with lines", "todo/più-tardi".to_owned())]);
        assert_eq!(shaarli.items[0].entry.note, "First line\nSecond line");
    }

    #[test]
    fn times_come_in_seconds_milliseconds_and_microseconds() {
        for text in ["1600000000", "1600000000000", "1600000000000000"] {
            assert_eq!(moment(text).unwrap().timestamp(), 1_600_000_000);
        }
        for text in ["0", "", "-5", "yesterday", "99999999999999999999999"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let read_ = read_private(include_str!("fixtures/pinboard.html"));
        let time = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let stored: Vec<super::super::Bookmark> = read_
            .items
            .iter()
            .map(|item| super::super::Bookmark {
                entry: item.entry.clone(),
                created_at: time,
                updated_at: time,
                ..Default::default()
            })
            .collect();
        let file = write("Ada's <bookmarks>", &stored);
        let again = read_private(&file);
        let entries = |file: &File| file.items.iter().map(|item| item.entry.clone()).collect::<Vec<_>>();
        assert_eq!(entries(&again), entries(&read_));
        assert_eq!(again.items[0].created_at, Some(time));
        assert!(is_netscape(&file));
    }

    #[test]
    fn what_is_broken_or_hostile_is_read_as_far_as_it_goes() {
        for bad in [
            "",
            "<DL>",
            "</DL></DL><A HREF='https://a.example/'>",
            "<DD>x",
            "<A>",
            "<H3>x<DL><A HREF=\"https://a.example/",
            "\u{0}<DT",
        ] {
            let _ = read_private(bad);
        }
        let deep = format!("{}<A HREF=https://a.example/>x</A>", "<H3>f</H3><DL>".repeat(20_000));
        assert_eq!(read_private(&deep).items.len(), 1);
        let script = read_private("<DT><A HREF='https://a.example/\"onclick=x'><script>alert(1)</script>T</A>");
        assert!(!script.items[0].entry.url.contains('"'));
    }
}
