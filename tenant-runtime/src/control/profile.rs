//! The profile: what visitors see of the owner, and how the pages look.

use axum::{
    extract::{Multipart, Path, State, multipart::Field},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::Serialize;
use ui::{ACCENTS, Accent, Lang, Theme};

use crate::{
    activity,
    blobs::Hash,
    quota,
    runtime::Runtime,
    services::posts::images::{Kind, without_metadata},
    settings::{self, HomeSections, Picture, Settings},
    web::{Error, Request, Result, page_with_status, redirect_with_toast},
};

/// The largest picture that is taken.
pub const MAX_PICTURE: usize = 8 << 20;
/// Characters in a name, and in the short text.
const MAX_NAME: usize = 80;
const MAX_ABOUT: usize = 600;
/// Bytes of a picture that is too large and yet listened to.
const MAX_FORM: usize = 128 << 20;
/// Bytes in any other field.
const MAX_TEXT: usize = 16 << 10;

/// What visitors see, and how the pages look.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Profile {
    /// The name on Home.
    pub name: String,
    /// What stands there when it is empty.
    pub title: String,
    /// The short text.
    pub about: String,
    /// Where the picture is.
    pub picture: Option<String>,
    /// The accent colour's name.
    pub accent: String,
    /// All accent colours.
    pub accents: Vec<Accent>,
    /// The language's code; empty: as the browser wishes.
    pub language: String,
    /// The theme's code.
    pub theme: String,
    /// What Home shows.
    pub home: HomeSections,
    /// What is wrong, by field.
    pub name_error: Option<String>,
    /// What is wrong with the short text.
    pub about_error: Option<String>,
    /// What is wrong with the picture.
    pub picture_error: Option<String>,
}

impl ui::Page for Profile {
    const TEMPLATE: &'static str = "core/profile.html";
    fn samples() -> Vec<Self> {
        let plain = Self {
            name: "Ada".into(),
            title: "Ada".into(),
            about: "Engines & <poetry>".into(),
            picture: Some("/avatar/00".into()),
            accent: "sea".into(),
            accents: ACCENTS.to_vec(),
            theme: "dark".into(),
            ..Self::default()
        };
        let wrong = Self {
            name: "x".repeat(90),
            name_error: Some("profile.name.long".into()),
            about_error: Some("profile.about.long".into()),
            picture_error: Some("profile.picture.kind".into()),
            ..plain.clone()
        };
        let too_large = Self { picture_error: Some("profile.picture.large".into()), ..plain.clone() };
        let empty = Self { accents: ACCENTS.to_vec(), title: "ada".into(), theme: "auto".into(), ..Self::default() };
        vec![plain, wrong, too_large, empty]
    }
}

impl Profile {
    fn of(settings: &Settings, rt: &Runtime) -> Self {
        Self {
            name: settings.name.clone(),
            title: settings.title(rt.spec()),
            about: settings.about.clone(),
            picture: settings.avatar_url(),
            accent: settings.accent.clone().unwrap_or_else(|| ACCENTS[0].name.to_owned()),
            accents: ACCENTS.to_vec(),
            language: settings.language.map(Lang::code).unwrap_or_default().to_owned(),
            theme: settings.theme.code().to_owned(),
            home: settings.home,
            ..Self::default()
        }
    }
}

/// GET `/control/profile`.
pub(super) async fn show(State(rt): State<Runtime>, req: Request) -> Result<Response> {
    let settings = rt.store().read(settings::get).await?;
    page_with_status(&rt, &req, &Profile::of(&settings, &rt), StatusCode::OK)
}

/// What the form sends.
#[derive(Default)]
struct Form {
    settings: Settings,
    picture: Option<Vec<u8>>,
    remove_picture: bool,
    too_large: bool,
}

async fn read_form(mut form: Multipart) -> Result<Form> {
    let mut read = Form {
        settings: Settings {
            home: HomeSections { posts: false, files: false, bookmarks: false },
            ..Settings::default()
        },
        ..Form::default()
    };
    while let Some(field) = form.next_field().await.map_err(|_| Error::Invalid("error.bad-request"))? {
        let name = field.name().unwrap_or_default().to_owned();
        let most = if name == "picture" { MAX_PICTURE } else { MAX_TEXT };
        match (name.as_str(), content(field, most).await?) {
            ("picture", None) => read.too_large = true,
            (_, None) => return Err(Error::TooLarge),
            ("picture", Some(bytes)) if bytes.is_empty() => {}
            ("picture", Some(bytes)) => read.picture = Some(bytes),
            (_, Some(bytes)) => {
                let text = String::from_utf8(bytes).map_err(|_| Error::Invalid("error.bad-request"))?;
                take(&mut read, &name, text.replace("\r\n", "\n").trim().to_owned());
            }
        }
    }
    Ok(read)
}

/// A field's bytes, or none when there are more than `most`; it is then read to its end all the same, so that what was
/// typed into the other fields is not lost.
async fn content(mut field: Field<'_>, most: usize) -> Result<Option<Vec<u8>>> {
    let (mut bytes, mut length) = (Vec::new(), 0);
    while let Some(chunk) = field.chunk().await.map_err(|_| Error::Invalid("error.bad-request"))? {
        length += chunk.len();
        if length > MAX_FORM {
            return Err(Error::TooLarge);
        }
        if length <= most {
            bytes.extend_from_slice(&chunk);
        }
    }
    Ok((length <= most).then_some(bytes))
}

fn take(form: &mut Form, name: &str, value: String) {
    let settings = &mut form.settings;
    match name {
        "name" => settings.name = value.split_whitespace().collect::<Vec<_>>().join(" "),
        "about" => settings.about = value,
        "accent" => settings.accent = ACCENTS.iter().find(|accent| accent.name == value).map(|a| a.name.to_owned()),
        "language" => settings.language = Lang::from_code(&value),
        "theme" => settings.theme = Theme::from_code(&value).unwrap_or_default(),
        "show_posts" => settings.home.posts = true,
        "show_files" => settings.home.files = true,
        "show_bookmarks" => settings.home.bookmarks = true,
        "remove_picture" => form.remove_picture = true,
        _ => {}
    }
}

/// POST `/control/profile`.
pub(super) async fn save(State(rt): State<Runtime>, req: Request, form: Multipart) -> Result<Response> {
    let Form { mut settings, picture, remove_picture, too_large } = read_form(form).await?;
    let before = rt.store().read(settings::get).await?;
    settings.avatar = before.avatar;
    let long = |text: &str, most| text.chars().count() > most;
    let name_error = long(&settings.name, MAX_NAME).then(|| "profile.name.long".to_owned());
    let about_error = long(&settings.about, MAX_ABOUT).then(|| "profile.about.long".to_owned());
    let kind = picture.as_deref().map(Kind::of);
    let picture_error = match kind {
        _ if too_large => Some("profile.picture.large".to_owned()),
        Some(None) => Some("profile.picture.kind".to_owned()),
        _ => None,
    };
    if name_error.is_some() || about_error.is_some() || picture_error.is_some() {
        let wrong = Profile { name_error, about_error, picture_error, ..Profile::of(&settings, &rt) };
        let status = if too_large { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::UNPROCESSABLE_ENTITY };
        return page_with_status(&rt, &req, &wrong, status);
    }
    if let (Some(picture), Some(Some(kind))) = (picture, kind) {
        settings.avatar = Some(keep(&rt, picture, kind).await?);
    } else if remove_picture {
        settings.avatar = None;
    }
    let (now, device, cookies) = (rt.clock().now(), req.device, cookies(&settings));
    let saved = rt.store().write(move |tx| {
        settings::put(tx, &settings)?;
        activity::note(tx, now, "activity.profile", &[("device", &device)])
    });
    saved.await?;
    let mut response = redirect_with_toast("/control/profile", "toast.profile", &[], None);
    for cookie in cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

async fn keep(rt: &Runtime, picture: Vec<u8>, kind: Kind) -> Result<Picture> {
    // Everybody can download it: where and with what it was taken is nobody's business.
    let shown = without_metadata(kind, &picture).ok_or(Error::Invalid("profile.picture.kind"))?;
    let (spec, size) = (rt.spec().clone(), shown.len() as u64);
    rt.store().read(move |db| Ok(quota::ensure_room(db, &spec, size)?)).await?;
    let blobs = rt.blobs().clone();
    let blob = tokio::task::spawn_blocking(move || blobs.put(&shown)).await??;
    Ok(Picture { blob, media_type: kind.media_type().to_owned() })
}

/// What this browser chose in a page's footer gives way to what the owner chose here.
fn cookies(settings: &Settings) -> Vec<http::HeaderValue> {
    let cookie = |name: &str, value: &str| {
        let age = if value.is_empty() { 0 } else { 31_536_000 };
        format!("{name}={value}; Path=/; Max-Age={age}; SameSite=Lax; Secure")
    };
    let language = cookie("lang", settings.language.map(Lang::code).unwrap_or_default());
    let theme = cookie("theme", settings.theme.code());
    [language, theme].iter().filter_map(|cookie| http::HeaderValue::from_str(cookie).ok()).collect()
}

/// GET `/avatar/{sha256}`: the owner's picture, for everybody. The address changes with the picture.
pub async fn avatar(State(rt): State<Runtime>, Path(hash): Path<String>) -> Result<Response> {
    let hash: Hash = hash.parse().map_err(|_| Error::NotFound)?;
    let picture = rt.store().read(settings::get).await?.avatar.filter(|picture| picture.blob.sha256 == hash);
    let picture = picture.ok_or(Error::NotFound)?;
    let blobs = rt.blobs().clone();
    let bytes = tokio::task::spawn_blocking(move || std::fs::read(blobs.path(&hash))).await??;
    let headers = [
        (header::CONTENT_TYPE, picture.media_type.as_str()),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::CONTENT_DISPOSITION, "inline"),
    ];
    Ok((headers, bytes).into_response())
}
