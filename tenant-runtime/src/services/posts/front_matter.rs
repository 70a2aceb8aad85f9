//! A post as a file: YAML between two lines of `---`, then Markdown. Obsidian, Hugo, Jekyll and people read it.

use anyhow::Context;
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest;

use super::{Address, Draft, Post, Status, Visibility};
use crate::text;

/// Longest front matter that is read.
const MOST_BYTES: usize = 64 << 10;

/// What stands above the text. Unknown fields are left alone; missing ones have a sensible value, so that a file written by
/// hand or by another program is a post too.
#[derive(Debug, Default, Serialize, Deserialize)]
struct FrontMatter {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slug: Option<String>,
    #[serde(default, with = "moment", skip_serializing_if = "Option::is_none")]
    date: Option<DateTime<Utc>>,
    #[serde(default, with = "moment")]
    created: Option<DateTime<Utc>>,
    #[serde(default, with = "moment")]
    updated: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "list")]
    tags: Vec<String>,
    #[serde(default)]
    visibility: Option<Visibility>,
    #[serde(default)]
    status: Option<Status>,
    #[serde(default)]
    revision: Option<i64>,
    /// Earlier addresses (Hugo's word).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
    #[serde(default, with = "moment", skip_serializing_if = "Option::is_none")]
    deleted: Option<DateTime<Utc>>,
}

/// Times as RFC 3339; days and times without a zone are read, too.
mod moment {
    use super::{DateTime, Deserialize, Deserializer, NaiveDate, NaiveDateTime, Serializer, Utc};

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(at: &Option<DateTime<Utc>>, to: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => to.serialize_str(&at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.and_then(|text| read(text.trim())))
    }

    fn read(text: &str) -> Option<DateTime<Utc>> {
        let naive = || {
            let formats = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"];
            formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        };
        let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
        let exact = DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc());
        let at = exact.or_else(|| naive().or_else(day).map(|at| at.and_utc()));
        // WordPress's "no date", 0000-00-00, comes as a day before the first year.
        at.filter(|at| *at == crate::imports::plain(*at))
    }
}

/// Tags as a list, or as one text with commas.
fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Tags {
        Many(Vec<String>),
        One(String),
        None(()),
    }
    Ok(match Tags::deserialize(from)? {
        Tags::Many(tags) => tags,
        Tags::One(text) => text.split(',').map(str::to_owned).collect(),
        Tags::None(()) => Vec::new(),
    })
}

/// A post and its earlier addresses as a file.
///
/// # Errors
/// When YAML cannot hold it; it can.
pub fn write(post: &Post, old: &[Address]) -> anyhow::Result<String> {
    let front = FrontMatter {
        id: Some(post.id.clone()),
        title: Some(post.text.title.clone()),
        slug: post.address.as_ref().map(|address| address.slug.clone()),
        date: post.published_at,
        created: Some(post.created_at),
        updated: Some(post.updated_at),
        tags: post.text.tags.clone(),
        visibility: Some(post.text.visibility),
        status: Some(post.status),
        revision: Some(post.revision),
        aliases: old.iter().map(Address::path).collect(),
        deleted: post.deleted_at,
    };
    Ok(format!("---\n{}---\n\n{}\n", serde_norway::to_string(&front)?, to_files(&post.text.body)))
}

/// Reads a post from a file; `name` is the file's, `now` for what it does not say.
///
/// # Errors
/// When it is not UTF-8, or what stands above the text is no YAML.
pub fn read(name: &str, content: &[u8], now: DateTime<Utc>) -> anyhow::Result<(Post, Vec<Address>)> {
    let content = std::str::from_utf8(content).context("not UTF-8")?.trim_start_matches('\u{feff}');
    let content = content.replace("\r\n", "\n");
    let (front, body) = match content.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")) {
        Some((front, body)) => {
            anyhow::ensure!(front.len() <= MOST_BYTES, "front matter too long");
            (serde_norway::from_str::<Option<FrontMatter>>(front).context("front matter")?.unwrap_or_default(), body)
        }
        None => (FrontMatter::default(), content.as_str()),
    };
    let title = text::line(&front.title.unwrap_or_else(|| name.replace(['-', '_'], " ")), super::TITLE_CHARS);
    let published = front.status.map_or(front.date.is_some(), |status| status == Status::Published);
    let date = front.date.or(front.created).or(front.updated).unwrap_or(now);
    let slug = front.slug.as_deref().map_or_else(|| text::slug(&title), text::slug);
    let has_address = published || front.slug.is_some();
    let post = Post {
        id: front.id.filter(|id| text::is_id(id)).unwrap_or_else(|| id_of(name)),
        revision: front.revision.unwrap_or(1).clamp(1, i64::from(i32::MAX)),
        text: Draft {
            title,
            body: text::lines(&from_files(body)),
            tags: text::unique_tags(front.tags.iter().map(String::as_str)),
            visibility: front.visibility.unwrap_or_default(),
        },
        status: if published { Status::Published } else { Status::Draft },
        address: has_address.then(|| Address { year: chrono::Datelike::year(&date), slug }),
        created_at: front.created.unwrap_or(date),
        updated_at: front.updated.unwrap_or(date),
        published_at: has_address.then_some(date),
        deleted_at: front.deleted,
    };
    let old = front.aliases.iter().filter_map(|path| Address::from_path(path)).collect();
    Ok((post, old))
}

/// An id for a file that has none: the same file is the same post when it is read again.
fn id_of(name: &str) -> String {
    let mut bytes: [u8; 16] = std::array::from_fn(|_| 0);
    bytes.copy_from_slice(&sha2::Sha256::digest(name)[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Pictures as a file beside the posts' folder sees them.
fn to_files(body: &str) -> String {
    replace_before_hash(body, "/media/", "../uploads/")
}

/// The other way round.
fn from_files(body: &str) -> String {
    replace_before_hash(body, "../uploads/", "/media/")
}

/// Replaces `from` where a picture's hash follows.
pub(super) fn replace_before_hash(text: &str, from: &str, to: &str) -> String {
    let mut parts = text.split(from);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_hash = part.get(..65).is_some_and(|start| {
            start.ends_with('.') && start[..64].bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        });
        out.push_str(if is_hash { to } else { from });
        out.push_str(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_770_000_000, 0).unwrap()
    }

    #[test]
    fn a_post_reads_back_as_it_was_written() {
        let hash = "ab".repeat(32);
        let post = Post {
            id: text::new_id(),
            revision: 7,
            text: Draft {
                title: "---: \"yes\" # 'no'\u{1f389}".into(),
                body: format!("---\nnot: front\n---\n\n  code\n\n![a](/media/{hash}.png) /media/x"),
                tags: vec!["no".into(), "2026".into(), "a: b".into()],
                visibility: Visibility::Unlisted,
            },
            status: Status::Published,
            address: Some(Address { year: 2026, slug: "perché".into() }),
            created_at: now(),
            updated_at: now(),
            published_at: Some(now()),
            deleted_at: Some(now()),
        };
        let old = vec![Address { year: 2026, slug: "altro-nome-è".into() }];
        let file = write(&post, &old).unwrap();
        assert!(file.contains(&format!("(../uploads/{hash}.png)")), "{file}");
        assert_eq!(read("x", file.as_bytes(), now()).unwrap(), (post, old));
    }

    #[test]
    fn a_date_that_no_calendar_of_ours_has_is_no_date() {
        for date in ["-0001-11-30", "-0001-11-30 00:00:00", "+262142-12-31", "+10000-01-01T00:00:00"] {
            let file = format!("---\ntitle: Hello\nstatus: published\ndate: \"{date}\"\n---\nText\n");
            let (post, _) = read("hello", file.as_bytes(), now()).unwrap();
            assert_eq!(post.published_at, Some(now()), "{date}");
        }
    }

    #[test]
    fn files_of_other_programs_are_posts_too() {
        let hugo = "---\ntitle: Hello\ndate: 2020-05-06\ntags: a, b\ndraft: false\nlayout: post\n---\nText\n";
        let (post, _) = read("2020-05-06-hello", hugo.as_bytes(), now()).unwrap();
        assert_eq!(post.address, Some(Address { year: 2020, slug: "hello".into() }));
        assert_eq!((post.status, post.text.tags.len(), post.text.body.as_str()), (Status::Published, 2, "Text"));
        assert_eq!(read("2020-05-06-hello", hugo.as_bytes(), now()).unwrap().0.id, post.id);

        let (plain, _) = read("my-note", b"\xef\xbb\xbfJust text\r\nhere", now()).unwrap();
        assert_eq!(
            (plain.text.title.as_str(), plain.status, plain.text.body.as_str()),
            ("my note", Status::Draft, "Just text\nhere")
        );
        let (empty, _) = read("empty", b"---\n\n---\n", now()).unwrap();
        assert_eq!(empty.status, Status::Draft);
    }

    #[test]
    fn what_is_no_post_is_refused_and_what_lies_is_put_right() {
        assert!(read("x", b"---\ntitle: [\n---\n", now()).is_err());
        assert!(read("x", b"\xff\xfe", now()).is_err());
        let hostile = "---\nid: ../../etc\ntitle: \"a\\u202eb\\nc\"\nslug: ../../x\nrevision: -5\naliases: [/posts/2026/../x, //evil.example]\n---\n";
        let (post, old) = read("x", hostile.as_bytes(), now()).unwrap();
        assert!(text::is_id(&post.id) && old.is_empty() && post.revision == 1, "{post:?}");
        assert_eq!((post.text.title.as_str(), post.address.unwrap().slug.as_str()), ("ab c", "x"));
    }
}
