//! What templates may call: `t`, `t_html`, `icon`, `asset`, `date`, `bytes`, `number`.
//!
//! A component does not see its caller's variables, so the language and the time are not read from the template but
//! from the thread that renders: [`Speaker::speak`] sets them for as long as its guard lives. Rendering never waits.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use tera::{Error, Kwargs, State, Tera, TeraResult, Value};

use crate::{Lang, assets::Assets, icons, messages::Messages, words};

/// Whom we speak to now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Speaker {
    pub(crate) lang: Lang,
    pub(crate) now: Option<DateTime<Utc>>,
}

thread_local! {
    static SPEAKER: RefCell<Speaker> = RefCell::default();
    static HEARD: RefCell<Option<Vec<Heard>>> = const { RefCell::new(None) };
}

/// A message that a template asked for, as the samples test sees it.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) lang: Lang,
    pub(crate) key: String,
    pub(crate) missing: bool,
}

/// Takes the former speaker back when it is dropped.
pub(crate) struct Speaking(Speaker);

impl Speaker {
    pub(crate) fn speak(self) -> Speaking {
        Speaking(SPEAKER.replace(self))
    }
}

impl Drop for Speaking {
    fn drop(&mut self) {
        SPEAKER.set(self.0);
    }
}

/// Notes which messages are asked for while `f` runs.
pub(crate) fn listen<T>(f: impl FnOnce() -> T) -> (T, Vec<Heard>) {
    HEARD.set(Some(Vec::new()));
    let out = f();
    (out, HEARD.take().unwrap_or_default())
}

pub(crate) fn register(tera: &mut Tera, messages: &Arc<Messages>, assets: &Arc<Assets>) {
    let texts = Arc::clone(messages);
    tera.register_function("t", move |kwargs: Kwargs, _: &State| say(&texts, &kwargs, false));
    let texts = Arc::clone(messages);
    tera.register_function("t_html", move |kwargs: Kwargs, _: &State| say(&texts, &kwargs, true));
    let files = Arc::clone(assets);
    tera.register_function("asset", move |kwargs: Kwargs, _: &State| -> TeraResult<String> {
        let path: &str = kwargs.must_get("path")?;
        files.address(path).ok_or_else(|| Error::message(format!("there is no asset {path}")))
    });
    tera.register_function("icon", |kwargs: Kwargs, _: &State| -> TeraResult<Value> {
        let name: &str = kwargs.must_get("name")?;
        icons::svg(name)
            .map(|svg| Value::safe_string(&svg))
            .ok_or_else(|| Error::message(format!("there is no icon {name}; ui/src/icons.rs lists them, add a line")))
    });
    tera.register_function("date", date);
    tera.register_function("bytes", |kwargs: Kwargs, _: &State| -> TeraResult<String> {
        Ok(words::bytes(SPEAKER.with_borrow(|s| s.lang), kwargs.must_get("n")?))
    });
    tera.register_function("number", |kwargs: Kwargs, _: &State| -> TeraResult<String> {
        Ok(words::number(SPEAKER.with_borrow(|s| s.lang), kwargs.must_get("n")?))
    });
}

/// `t(key="files.count", count=3)`; `args=map` adds a whole map. With `html` the text is ours and may hold tags, and
/// what fills it is escaped; else the whole is a plain text, which the template escapes.
fn say(messages: &Messages, kwargs: &Kwargs, html: bool) -> TeraResult<Value> {
    let key: &str = kwargs.must_get("key")?;
    let mut args = BTreeMap::new();
    for (name, value) in kwargs.iter() {
        match (name.as_str(), value.as_map()) {
            (Some("key"), _) => {}
            (Some("args"), Some(map)) => args.extend(map.iter().map(|(k, v)| (k.to_string(), filling(v, html)))),
            (Some(name), _) => drop(args.insert(name.to_owned(), filling(value, html))),
            (None, _) => {}
        }
    }
    let lang = SPEAKER.with_borrow(|s| s.lang);
    let text = messages.get(lang, key, &args);
    HEARD.with_borrow_mut(|heard| {
        if let Some(heard) = heard {
            heard.push(Heard { lang, key: key.to_owned(), missing: text.is_none() });
        }
    });
    let text = text.unwrap_or_else(|| messages.say(lang, key, &args));
    Ok(if html { Value::safe_string(&text) } else { Value::from(text) })
}

fn filling(value: &Value, html: bool) -> String {
    let text = value.to_string();
    if !html || (value.is_string() && value.is_safe()) {
        return text;
    }
    let mut escaped = Vec::with_capacity(text.len());
    // Writing into memory does not fail; what would not be whole UTF-8 is dropped.
    let _ = tera::escape_html(&text, &mut escaped);
    String::from_utf8(escaped).unwrap_or_default()
}

/// `date(at=post.published)`: a `<time>` as people say it, with the exact moment on hover. `at` is RFC 3339 (as chrono
/// serialises) or seconds since 1970. `form="day"` leaves the time of day out, `form="text"` is plain text for mails.
fn date(kwargs: Kwargs, _: &State) -> TeraResult<Value> {
    let at: &Value = kwargs.must_get("at")?;
    let at = match (at.as_str(), at.as_i64()) {
        (Some(text), _) => text.parse::<DateTime<Utc>>().ok(),
        (None, Some(seconds)) => DateTime::from_timestamp(seconds, 0),
        _ => None,
    };
    let at = at.ok_or_else(|| Error::message("date: `at` is neither RFC 3339 nor seconds"))?;
    let Speaker { lang, now } = SPEAKER.with_borrow(|s| *s);
    let form: Option<&str> = kwargs.get("form")?;
    let exact = words::moment(lang, at);
    let said = match (form, now) {
        (Some("text"), _) => return Ok(Value::from(exact)),
        (Some("day"), _) => words::day(lang, at),
        (_, Some(now)) => words::when(lang, at, now),
        (_, None) => exact.clone(),
    };
    let stamp = at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let form = form.unwrap_or("when");
    let html = format!(r#"<time datetime="{stamp}" title="{exact}" data-form="{form}">{said}</time>"#);
    // A form is written by us in a template, but a quote in it must still not end the attribute.
    if form.contains(['"', '<', '&']) { Err(Error::message("date: odd form")) } else { Ok(Value::safe_string(&html)) }
}
