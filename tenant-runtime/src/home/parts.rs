//! What public pages share: what they tell other programs about themselves, posts in a list, ways to other pages of a list.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    services::posts::{Post, Visibility, feeds::Site, markdown},
    text,
};

/// What a page says about itself in its head: canonical address, OpenGraph, Twitter card, robots.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Meta {
    /// The one address of this page, whole.
    pub url: String,
    /// `website`, `article` or `profile`.
    pub kind: &'static str,
    /// What it is called where it is linked.
    pub title: String,
    /// One or two sentences.
    pub description: String,
    /// A picture, whole address.
    pub image: Option<String>,
    /// What the picture shows.
    pub image_alt: String,
    /// The picture is the page's own, not the owner's portrait: show it large.
    pub large: bool,
    /// Of a post: when it was published.
    pub published: Option<DateTime<Utc>>,
    /// Of a post: when it was changed.
    pub updated: Option<DateTime<Utc>>,
    /// Search engines shall not list it.
    pub hidden: bool,
}

impl Meta {
    /// Of a page that lists things.
    #[must_use]
    pub fn list(site: &Site, path: &str, title: String) -> Self {
        Self {
            url: site.url(path),
            kind: "website",
            title,
            description: site.about.lines().next().unwrap_or_default().to_owned(),
            image: site.avatar.as_ref().map(|path| site.url(path)),
            ..Self::default()
        }
    }

    /// Of a post.
    #[must_use]
    pub fn post(site: &Site, post: &Post) -> Self {
        let own = markdown::first_image(&post.text.body);
        let (image, image_alt) = own.clone().unzip();
        Self {
            url: site.url(&post.path().unwrap_or_default()),
            kind: "article",
            title: post.text.title.clone(),
            description: markdown::excerpt(&post.text.body),
            image: image.or_else(|| site.avatar.clone()).map(|path| site.url(&path)),
            image_alt: image_alt.unwrap_or_default(),
            large: own.is_some(),
            published: post.published_at,
            updated: Some(post.updated_at),
            hidden: post.text.visibility != Visibility::Public,
        }
    }
}

/// A tag as a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tag {
    /// The address part, percent-encoded.
    pub slug: String,
    /// The word.
    pub label: String,
    /// How many have it; 0 where that does not matter.
    pub count: i64,
}

impl Tag {
    /// From the word.
    #[must_use]
    pub fn new(label: &str, count: i64) -> Self {
        Self { slug: text::escape(&text::slug(label)), label: label.to_owned(), count }
    }
}

/// A post in a list.
#[derive(Clone, Debug, Serialize)]
pub struct Teaser {
    /// Its address.
    pub path: String,
    /// Its title.
    pub title: String,
    /// When it was published.
    pub at: Option<DateTime<Utc>>,
    /// How it begins.
    pub excerpt: String,
    /// Its first picture.
    pub image: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

impl Teaser {
    /// Of a post that has an address.
    #[must_use]
    pub fn of(post: &Post) -> Self {
        Self {
            path: post.path().unwrap_or_default(),
            title: post.text.title.clone(),
            at: post.published_at,
            excerpt: markdown::excerpt(&post.text.body),
            image: markdown::first_image(&post.text.body).map(|(path, _)| path),
            tags: post.text.tags.iter().map(|tag| Tag::new(tag, 0)).collect(),
        }
    }
}

/// Ways to the pages before and after this one of a long list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pager {
    /// Newer things.
    pub newer: Option<String>,
    /// Older things.
    pub older: Option<String>,
    /// This page, from 1.
    pub page: usize,
    /// All pages.
    pub pages: usize,
}

impl Pager {
    /// For page `page` of `total` things, `per` on each; `query` is kept in the addresses.
    #[must_use]
    pub fn new(path: &str, query: &[(&str, &str)], page: usize, total: usize, per: usize) -> Self {
        let to = |page: usize| {
            let mut fields = url::form_urlencoded::Serializer::new(String::new());
            fields.extend_pairs(query.iter().filter(|(_, value)| !value.is_empty()));
            if page > 1 {
                fields.append_pair("page", &page.to_string());
            }
            let query = fields.finish();
            if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
        };
        let pages = total.div_ceil(per).max(1);
        Self {
            newer: (page > 1).then(|| to((page - 1).min(pages))),
            older: (page < pages).then(|| to(page + 1)),
            page,
            pages,
        }
    }

    /// How many things stand before this page.
    #[must_use]
    pub fn skip(page: usize, per: usize) -> usize {
        page.saturating_sub(1).saturating_mul(per)
    }
}

/// The page that an address asks for, from 1.
#[derive(Clone, Debug, Default, serde::Deserialize)]
pub struct Paged {
    #[serde(default)]
    page: Option<String>,
}

impl Paged {
    /// Its number; nonsense is the first page.
    #[must_use]
    pub fn number(&self) -> usize {
        self.page.as_deref().and_then(|page| page.parse().ok()).filter(|page| (1..=100_000).contains(page)).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pager_leads_to_both_sides_and_keeps_the_search() {
        let pager = Pager::new("/x", &[("q", "a b"), ("tag", "")], 2, 41, 20);
        assert_eq!(
            (pager.newer.as_deref(), pager.older.as_deref(), pager.pages),
            (Some("/x?q=a+b"), Some("/x?q=a+b&page=3"), 3)
        );
        assert_eq!(Pager::new("/x", &[], 1, 0, 20), Pager { page: 1, pages: 1, ..Pager::default() });
        assert_eq!(Pager::new("/x", &[], 99, 41, 20).newer.as_deref(), Some("/x?page=3"));
    }
}
