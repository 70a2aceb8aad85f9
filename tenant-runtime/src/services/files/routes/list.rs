//! How lists are shown: order, view and part, from the address or as last time.

use http::HeaderMap;
use rusqlite::Connection;

use super::fields::{Fields, encoded};
use crate::{
    services::files::{
        node::{Id, Node},
        pages::{Listing, Pager, Row, SortLink},
        store::read::{self, Slice, Sort},
        types::{self, Preview},
    },
    web,
};

/// Entries on one page.
pub(super) const PART: u32 = 200;
/// Larger pictures are not loaded just for a tile.
const THUMB: u64 = 3 << 20;
/// The cookie that remembers the order and the view.
const COOKIE: &str = "files-list";

/// How a list is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Wish {
    pub(super) sort: Sort,
    pub(super) turned: bool,
    pub(super) grid: bool,
    /// From 1.
    pub(super) page: u32,
}

impl Wish {
    /// What the address says; where it says nothing, what was chosen last.
    pub(super) fn read(fields: &Fields, headers: &HeaderMap) -> Self {
        let last = web::cookie(headers, COOKIE).unwrap_or_default();
        let mut last = last.split('.');
        let (sort, turned, grid) =
            (last.next().unwrap_or_default(), last.next() == Some("turned"), last.next() == Some("grid"));
        let sort_of = |text: &str| match text {
            "date" => Sort::Date,
            "size" => Sort::Size,
            _ => Sort::Name,
        };
        let turned = match fields.one("sort") {
            Some(_) => fields.one("turned").is_some(),
            None => turned,
        };
        Self {
            sort: sort_of(fields.one("sort").unwrap_or(sort)),
            turned,
            grid: fields.one("view").map_or(grid, |view| view == "grid"),
            page: fields.one("page").and_then(|page| page.parse().ok()).unwrap_or(1).clamp(1, 1_000_000),
        }
    }

    pub(super) fn slice(self) -> Slice {
        Slice { sort: self.sort, reversed: self.turned, skip: (self.page - 1) * PART, limit: PART }
    }

    /// The cookie that remembers this.
    pub(super) fn cookie(self) -> String {
        let (sort, turned, grid) =
            (sort_name(self.sort), if self.turned { "turned" } else { "" }, if self.grid { "grid" } else { "" });
        format!("{COOKIE}={sort}.{turned}.{grid}; Path=/app/files; Max-Age=31536000; Secure; HttpOnly; SameSite=Lax")
    }

    /// The links of a list of `total` entries at `path`, where `query` was searched for.
    pub(super) fn listing(self, path: &str, query: &str, total: u64) -> Listing {
        let q = if query.is_empty() { String::new() } else { format!("&q={}", encoded(query)) };
        let sort = |sort: Sort, key| {
            let current = sort == self.sort;
            let turned = if current && !self.turned { "&turned=1" } else { "" };
            SortLink {
                key,
                href: format!("{path}?sort={}{turned}{q}", sort_name(sort)),
                current,
                turned: current && self.turned,
            }
        };
        let view = if self.grid { "list" } else { "grid" };
        Listing {
            sorts: vec![
                sort(Sort::Name, "files.sort.name"),
                sort(Sort::Date, "files.sort.date"),
                sort(Sort::Size, "files.sort.size"),
            ],
            grid: self.grid,
            other_view: format!("{path}?view={view}{q}"),
            pager: pager(path, &q, self.page, total),
            total,
        }
    }
}

fn sort_name(sort: Sort) -> &'static str {
    match sort {
        Sort::Name => "name",
        Sort::Date => "date",
        Sort::Size => "size",
    }
}

/// The parts of a list of `total` entries; `more` is the rest of the query.
pub(super) fn pager(path: &str, more: &str, page: u32, total: u64) -> Pager {
    let pages = u32::try_from(total.div_ceil(u64::from(PART))).unwrap_or(u32::MAX).max(1);
    let link = |page: u32| format!("{path}?page={page}{more}");
    Pager { page, pages, before: (page > 1).then(|| link(page - 1)), after: (page < pages).then(|| link(page + 1)) }
}

/// The page of a file or folder of the owner.
pub(super) fn page_of(node: &Node) -> String {
    match (node.id.is_top(), node.is_folder()) {
        (true, _) => "/app/files".to_owned(),
        (_, true) => format!("/app/files/folder/{}", node.id),
        (_, false) => format!("/app/files/file/{}", node.id),
    }
}

/// Where the owner finds a file's content.
pub(super) fn raw_of(node: &Node) -> String {
    format!("/app/files/raw/{}/{}", node.id, path_segment(&node.name))
}

/// A name as one segment of an address.
pub(super) fn path_segment(name: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');
    utf8_percent_encode(name, KEPT).to_string()
}

/// The owner's rows for a list of things.
pub(super) fn rows(db: &Connection, nodes: &[Node]) -> anyhow::Result<Vec<Row>> {
    nodes
        .iter()
        .map(|node| {
            let download = match node.is_folder() {
                true => format!("/app/files/zip?id={}", node.id),
                false => format!("{}?download", raw_of(node)),
            };
            let mut row = row(db, node, page_of(node), download, raw_of(node))?;
            row.shared = !crate::services::files::shares::of_node(db, &node.id)?.is_empty();
            Ok(row)
        })
        .collect()
}

/// A row with addresses of one's own.
pub(super) fn row(db: &Connection, node: &Node, href: String, download: String, raw: String) -> anyhow::Result<Row> {
    let (icon, kind) = if node.is_folder() { ("folder", "files.type.folder") } else { types::look(&node.mime) };
    let pictured = types::preview(&node.mime) == Preview::Image && node.size() <= THUMB;
    Ok(Row {
        id: node.id.to_string(),
        name: node.name.clone(),
        href,
        download,
        folder: node.is_folder(),
        icon,
        kind,
        size: node.size(),
        count: if node.is_folder() { read::count(db, &node.id)? } else { 0 },
        at: node.modified_at,
        public: node.public_at.is_some(),
        shared: false,
        thumb: (!node.is_folder() && pictured).then_some(raw),
        place: None,
    })
}

/// An id in an address; anything else is not found.
pub(super) fn id(text: &str) -> web::Result<Id> {
    text.parse().map_err(|_| web::Error::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_remembered_until_another_is_said() {
        let wish = Wish::read(&Fields::parse(b"sort=size&turned=1&view=grid"), &HeaderMap::new());
        assert_eq!(wish, Wish { sort: Sort::Size, turned: true, grid: true, page: 1 });
        let mut headers = HeaderMap::new();
        headers.insert("cookie", wish.cookie().split(';').next().unwrap().parse().unwrap());
        assert_eq!(Wish::read(&Fields::default(), &headers), wish);
        let other = Wish::read(&Fields::parse(b"sort=size&page=3"), &headers);
        assert_eq!(other, Wish { turned: false, page: 3, ..wish });
    }
}
