//! How strong a password is, while it is typed; the same judgement that counts when it is sent.

use axum::{
    Form,
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;
use serde::Deserialize;

use crate::{
    auth::passwords::MAX_CHARS,
    runtime::Runtime,
    web::{Request, Result},
};

#[derive(Deserialize)]
pub(super) struct Typed {
    password: String,
}

/// Words that everybody knows of this percloud, and so are worth nothing in its password.
pub(crate) fn known_words(rt: &Runtime) -> Vec<String> {
    let spec = rt.spec();
    let mut words: Vec<String> = spec.domain.as_str().split(['.', '-']).map(str::to_owned).collect();
    words.extend(spec.provider.iter().map(|provider| provider.name.clone()));
    words.extend([spec.domain.to_string(), "percloud".to_owned()]);
    words
}

/// `{"score": 0–4, "enough": bool, "label": "…", "hint": "…"}` in the reader's language. Nothing is kept or logged.
pub(super) async fn judge(State(rt): State<Runtime>, req: Request, Form(typed): Form<Typed>) -> Result<Response> {
    let password: String = typed.password.chars().take(MAX_CHARS + 1).collect();
    let strength = rt.hasher().judge(password, known_words(&rt)).await?;
    let say = |key: &str| rt.pages().message(req.lang, key, &Default::default());
    let body = serde_json::json!({
        "score": strength.score,
        "enough": strength.enough,
        "label": say(strength.label),
        "hint": say(strength.hint),
    });
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response())
}
