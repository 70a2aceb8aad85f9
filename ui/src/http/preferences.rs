//! Language and theme: cookies that hold no secret, chosen in the footer of every page, without JavaScript too.

use std::convert::Infallible;

use axum::{
    Form, Router,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use serde::Deserialize;

use crate::{Lang, Theme};

/// The language to speak: the cookie `lang`, else the best of `Accept-Language`, else English.
#[must_use]
pub fn language(headers: &HeaderMap) -> Lang {
    cookie(headers, "lang").and_then(Lang::from_code).or_else(|| accepted(headers)).unwrap_or_default()
}

/// The theme to show: the cookie `theme`, else as the device is set.
#[must_use]
pub fn theme(headers: &HeaderMap) -> Theme {
    cookie(headers, "theme").and_then(Theme::from_code).unwrap_or_default()
}

impl<S: Send + Sync> FromRequestParts<S> for Lang {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(language(&parts.headers))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Theme {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(theme(&parts.headers))
    }
}

/// `POST /preferences` with `lang` or `theme` and `back`: where the footer's forms go. To be merged.
pub fn preferences<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/preferences", post(choose))
}

#[derive(Deserialize)]
struct Choice {
    lang: Option<String>,
    theme: Option<String>,
    back: Option<String>,
}

async fn choose(Form(choice): Form<Choice>) -> Response {
    let lang = choice.lang.as_deref().and_then(Lang::from_code).map(|l| ("lang", l.code()));
    let theme = choice.theme.as_deref().and_then(Theme::from_code).map(|t| ("theme", t.code()));
    let back = choice.back.as_deref().filter(|b| own_path(b)).unwrap_or("/");
    let mut answer = (StatusCode::SEE_OTHER, [(header::LOCATION, back)]).into_response();
    for (name, value) in [lang, theme].into_iter().flatten() {
        let cookie = format!("{name}={value}; Path=/; Max-Age=31536000; SameSite=Lax; Secure");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            answer.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    answer
}

/// Only a path of this site: `//elsewhere` and `/\elsewhere` lead away.
fn own_path(path: &str) -> bool {
    path.starts_with('/') && !path[1..].starts_with(['/', '\\']) && path.bytes().all(|b| b.is_ascii_graphic())
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|v| v.to_str().ok());
    all.flat_map(|line| line.split(';')).find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

fn accepted(headers: &HeaderMap) -> Option<Lang> {
    let asked = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
    let mut best: Option<(f32, Lang)> = None;
    for part in asked.split(',') {
        let (tag, weight) = part.split_once(";q=").unwrap_or((part, "1"));
        let weight = weight.trim().parse().unwrap_or(0.0);
        if let Some(lang) = Lang::from_code(tag)
            && weight > best.map_or(0.0, |(w, _)| w)
        {
            best = Some((weight, lang));
        }
    }
    best.map(|(_, lang)| lang)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn the_cookie_wins_then_the_browser_then_english() {
        assert_eq!(language(&headers(&[("cookie", "a=b; lang=it"), ("accept-language", "en")])), Lang::It);
        assert_eq!(
            language(&headers(&[("cookie", "lang=xx"), ("accept-language", "fr,it-CH;q=0.8,en;q=0.7")])),
            Lang::It
        );
        assert_eq!(language(&headers(&[("accept-language", "de, en;q=0.1, it;q=0")])), Lang::En);
        assert_eq!(language(&headers(&[])), Lang::En);
        assert_eq!(theme(&headers(&[("cookie", "theme=dark")])), Theme::Dark);
    }

    #[test]
    fn after_a_choice_one_stays_on_this_site() {
        for good in ["/", "/app/files?q=1", "/a/b"] {
            assert!(own_path(good), "{good}");
        }
        for bad in ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nb", "a"] {
            assert!(!own_path(bad), "{bad}");
        }
    }
}
