//! The editor's form as it arrives: fields, and pictures that are stored at once.

use axum::extract::Multipart;
use bytes::Bytes;
use std::collections::BTreeMap;

use super::{
    Draft, TITLE_CHARS, Visibility,
    images::{self, Kind},
    pictures::{self, Picture},
};
use crate::{
    quota,
    runtime::Runtime,
    text,
    web::{Error, Result},
};

/// Longest text, in bytes.
const BODY_BYTES: usize = 4 << 20;

/// What the editor sent.
#[derive(Debug, Default)]
pub(super) struct Form {
    fields: BTreeMap<String, String>,
    /// Pictures that came along, stored.
    pub(super) pictures: Vec<Arrived>,
    /// A file came along that is no picture.
    pub(super) other_files: bool,
}

/// A picture that was stored.
#[derive(Debug)]
pub(super) struct Arrived {
    /// What it is.
    pub(super) picture: Picture,
    /// Its file's name without the ending: a first description.
    pub(super) name: String,
}

impl Form {
    /// Reads the request, one part after the other; no more than one picture is in memory at a time.
    pub(super) async fn read(rt: &Runtime, mut parts: Multipart) -> Result<Self> {
        let mut form = Self::default();
        while let Some(part) = parts.next_field().await.map_err(refused)? {
            let name = part.name().unwrap_or_default().to_owned();
            match part.file_name().map(str::to_owned) {
                None => {
                    form.fields.insert(name, part.text().await.map_err(refused)?);
                }
                Some(file) => {
                    let content = part.bytes().await.map_err(refused)?;
                    form.file(rt, &file, content).await?;
                }
            }
        }
        Ok(form)
    }

    async fn file(&mut self, rt: &Runtime, name: &str, content: Bytes) -> Result<()> {
        if content.is_empty() {
            return Ok(());
        }
        match store(rt, content).await? {
            None => self.other_files = true,
            Some(picture) => {
                let name = name.rsplit_once('.').map_or(name, |(name, _)| name);
                self.pictures.push(Arrived { picture, name: text::line(name, 80).replace(['[', ']'], "") });
            }
        }
        Ok(())
    }

    /// A field as it came; empty when it is missing.
    pub(super) fn get(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// The revision that the editor started from.
    pub(super) fn revision(&self) -> i64 {
        self.get("revision").parse().unwrap_or(0)
    }

    /// The address part that the owner typed.
    pub(super) fn slug(&self) -> Option<&str> {
        Some(self.get("slug").trim()).filter(|slug| !slug.is_empty())
    }

    /// The text, with the pictures that came along at its end.
    pub(super) fn draft(&self) -> Result<Draft> {
        let mut body = text::lines(self.get("body"));
        for arrived in &self.pictures {
            let gap = if body.is_empty() { "" } else { "\n\n" };
            body.push_str(&format!("{gap}![{}]({})", arrived.name, arrived.picture.path()));
        }
        if body.len() > BODY_BYTES {
            return Err(Error::TooLarge);
        }
        Ok(Draft {
            title: text::line(self.get("title"), TITLE_CHARS),
            body,
            tags: text::tags(self.get("tags")),
            visibility: self.get("visibility").parse().unwrap_or(Visibility::Public),
        })
    }
}

fn refused(error: axum::extract::multipart::MultipartError) -> Error {
    match error.status() {
        http::StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge,
        _ => Error::Invalid("error.bad-request"),
    }
}

/// Keeps a picture without what it tells about where it was taken; nothing when it is no picture.
async fn store(rt: &Runtime, content: Bytes) -> Result<Option<Picture>> {
    if content.len() > images::MOST_BYTES {
        return Err(Error::TooLarge);
    }
    let (spec, size) = (rt.spec().clone(), content.len() as u64);
    rt.store().read(move |db| Ok(quota::ensure_room(db, &spec, size)?)).await?;
    let blobs = rt.blobs().clone();
    let stored = tokio::task::spawn_blocking(move || -> anyhow::Result<Option<Picture>> {
        let Some(kind) = Kind::of(&content) else { return Ok(None) };
        let Some(clean) = images::without_metadata(kind, &content) else { return Ok(None) };
        Ok(Some(Picture { blob: blobs.put(&clean)?, kind, size: images::size(kind, &clean) }))
    });
    let Some(picture) = stored.await?? else { return Ok(None) };
    let (kept, now) = (picture.clone(), rt.clock().now());
    rt.store().write(move |tx| pictures::put(tx, &kept, now)).await?;
    Ok(Some(picture))
}
