//! Posts as WordPress reads them: WXR 1.2 (an RSS 2.0 file with WordPress's own elements).

use chrono::{DateTime, Utc};
use quick_xml::{
    Writer,
    events::{BytesCData, BytesDecl, BytesEnd, BytesStart, BytesText, Event},
};

use super::{Post, Status, Visibility, feeds::Site, feeds::xml_safe, markdown, pictures::Picture};

type Out = Writer<Vec<u8>>;

const NAMESPACES: [(&str, &str); 6] = [
    ("version", "2.0"),
    ("xmlns:excerpt", "http://wordpress.org/export/1.2/excerpt/"),
    ("xmlns:content", "http://purl.org/rss/1.0/modules/content/"),
    ("xmlns:wfw", "http://wellformedweb.org/CommentAPI/"),
    ("xmlns:dc", "http://purl.org/dc/elements/1.1/"),
    ("xmlns:wp", "http://wordpress.org/export/1.2/"),
];

/// All posts that are not in the trash, drafts and private ones too, and the pictures that they use.
///
/// # Errors
/// Never in practice: it writes into memory.
pub fn write(site: &Site, posts: &[Post], pictures: &[Picture]) -> anyhow::Result<Vec<u8>> {
    let mut out = Writer::new_with_indent(Vec::new(), b' ', 1);
    out.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    out.write_event(Event::Start(BytesStart::new("rss").with_attributes(NAMESPACES)))?;
    out.write_event(Event::Start(BytesStart::new("channel")))?;
    channel(&mut out, site)?;
    for (number, post) in (1..).zip(posts) {
        item(&mut out, site, post, number)?;
    }
    for (number, picture) in (posts.len() + 1..).zip(pictures) {
        attachment(&mut out, site, picture, number)?;
    }
    out.write_event(Event::End(BytesEnd::new("channel")))?;
    out.write_event(Event::End(BytesEnd::new("rss")))?;
    let mut text = out.into_inner();
    text.push(b'\n');
    Ok(text)
}

fn text(out: &mut Out, name: &str, value: &str) -> anyhow::Result<()> {
    out.write_event(Event::Start(BytesStart::new(name)))?;
    out.write_event(Event::Text(BytesText::new(&xml_safe(value))))?;
    out.write_event(Event::End(BytesEnd::new(name)))?;
    Ok(())
}

fn cdata(out: &mut Out, start: BytesStart<'_>, value: &str) -> anyhow::Result<()> {
    let end = start.to_end().into_owned();
    out.write_event(Event::Start(start))?;
    for part in BytesCData::escaped(&xml_safe(value)) {
        out.write_event(Event::CData(part))?;
    }
    out.write_event(Event::End(end))?;
    Ok(())
}

fn channel(out: &mut Out, site: &Site) -> anyhow::Result<()> {
    let home = site.url("");
    text(out, "title", &site.title)?;
    text(out, "link", &home)?;
    text(out, "description", &site.about)?;
    text(out, "language", site.language.unwrap_or("en"))?;
    text(out, "wp:wxr_version", "1.2")?;
    text(out, "wp:base_site_url", &home)?;
    text(out, "wp:base_blog_url", &home)?;
    out.write_event(Event::Start(BytesStart::new("wp:author")))?;
    text(out, "wp:author_id", "1")?;
    text(out, "wp:author_login", "owner")?;
    text(out, "wp:author_display_name", &site.title)?;
    out.write_event(Event::End(BytesEnd::new("wp:author")))?;
    text(out, "generator", "percloud")
}

fn item(out: &mut Out, site: &Site, post: &Post, number: usize) -> anyhow::Result<()> {
    let path = post.path().unwrap_or_else(|| format!("/app/posts/{}", post.id));
    let slug = post.address.as_ref().map_or("", |address| &address.slug);
    let status = match (post.status, post.text.visibility) {
        (Status::Draft, _) => "draft",
        (Status::Published, Visibility::Public) => "publish",
        // WordPress has no "unlisted": rather too few see it than too many.
        (Status::Published, Visibility::Unlisted | Visibility::Private) => "private",
    };
    out.write_event(Event::Start(BytesStart::new("item")))?;
    text(out, "title", &post.text.title)?;
    text(out, "link", &site.url(&path))?;
    let at = post.published_at.unwrap_or(post.updated_at);
    // As `to_rfc2822` has it, which panics when a year has not four digits.
    text(out, "pubDate", &at.format("%a, %-d %b %Y %H:%M:%S %z").to_string())?;
    text(out, "dc:creator", "owner")?;
    let guid = BytesStart::new("guid").with_attributes([("isPermaLink", "false")]);
    cdata(out, guid, &format!("urn:uuid:{}", post.id))?;
    text(out, "description", "")?;
    let html =
        url::Url::parse(&site.url(&path)).map(|url| markdown::html_for_feed(&post.text.body, &url)).unwrap_or_default();
    cdata(out, BytesStart::new("content:encoded"), &html)?;
    cdata(out, BytesStart::new("excerpt:encoded"), &markdown::excerpt(&post.text.body))?;
    common(out, number, at, slug, status, "post")?;
    for tag in &post.text.tags {
        let slug = crate::text::slug(tag);
        let tag_ = BytesStart::new("category").with_attributes([("domain", "post_tag"), ("nicename", slug.as_str())]);
        cdata(out, tag_, tag)?;
    }
    out.write_event(Event::End(BytesEnd::new("item")))?;
    Ok(())
}

fn attachment(out: &mut Out, site: &Site, picture: &Picture, number: usize) -> anyhow::Result<()> {
    let url = site.url(&picture.path());
    out.write_event(Event::Start(BytesStart::new("item")))?;
    text(out, "title", &picture.file_name())?;
    text(out, "link", &url)?;
    text(out, "dc:creator", "owner")?;
    common(out, number, DateTime::UNIX_EPOCH, &picture.blob.sha256.to_string(), "inherit", "attachment")?;
    text(out, "wp:attachment_url", &url)?;
    out.write_event(Event::End(BytesEnd::new("item")))?;
    Ok(())
}

fn common(out: &mut Out, number: usize, at: DateTime<Utc>, slug: &str, status: &str, kind: &str) -> anyhow::Result<()> {
    let at = at.format("%Y-%m-%d %H:%M:%S").to_string();
    let fields = [
        ("wp:post_id", number.to_string()),
        ("wp:post_date", at.clone()),
        ("wp:post_date_gmt", at),
        ("wp:comment_status", "closed".into()),
        ("wp:ping_status", "closed".into()),
        ("wp:post_name", slug.to_owned()),
        ("wp:status", status.to_owned()),
        ("wp:post_parent", "0".into()),
        ("wp:menu_order", "0".into()),
        ("wp:post_type", kind.to_owned()),
        ("wp:post_password", String::new()),
        ("wp:is_sticky", "0".into()),
    ];
    fields.iter().try_for_each(|(name, value)| text(out, name, value))
}
