//! The texts that people read: flat JSON files, one for each language and part of a program.
//!
//! `{name}` in a text is filled from the arguments. A key with an argument `count` picks `<key>.one` or `<key>.other`;
//! the plural rules of English and Italian are the same for whole numbers (one when it is 1).

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
    sync::OnceLock,
};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::{Lang, words};

/// All messages of a program. A file is read when a key of it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    files: Vec<MessageFile>,
}

#[derive(Debug)]
struct MessageFile {
    lang: Lang,
    json: &'static str,
    texts: OnceLock<Texts>,
}

/// Messages by their keys, most of them still where they stand in the file.
type Texts = HashMap<&'static str, Cow<'static, str>>;

/// A text of a file, copied only when it holds an escape.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl MessageFile {
    fn read(&self) -> anyhow::Result<Texts> {
        let texts: HashMap<&'static str, Text<'static>> = serde_json::from_str(self.json)
            .with_context(|| format!("a {} message file is not flat JSON", self.lang.code()))?;
        Ok(texts.into_iter().map(|(key, Text(text))| (key, text)).collect())
    }

    /// The texts. None of a file that is wrong, so that keys are shown instead; [`Messages::read_all`] says what is.
    fn texts(&self) -> &Texts {
        self.texts.get_or_init(|| self.read().unwrap_or_default())
    }

    /// The text of a key. A file in which the key does not stand is not read for it.
    fn get(&self, key: &str) -> Option<&str> {
        if self.texts.get().is_none() && !self.json.contains(&format!("\"{key}\"")) {
            return None;
        }
        self.texts().get(key).map(AsRef::as_ref)
    }
}

impl Messages {
    /// Takes flat JSON files in.
    pub(crate) fn new(files: Vec<(Lang, &'static str)>) -> Self {
        let files = files.into_iter().map(|(lang, json)| MessageFile { lang, json, texts: OnceLock::new() });
        Self { files: files.collect() }
    }

    /// Reads every file now, and looks whether any key is said twice.
    pub(crate) fn read_all(&self) -> anyhow::Result<()> {
        let mut known = HashSet::new();
        for file in &self.files {
            file.read()?;
            for key in file.texts().keys() {
                ensure!(known.insert((file.lang, key)), "the message {key} is there twice ({})", file.lang.code());
            }
        }
        Ok(())
    }

    fn of(&self, lang: Lang) -> impl Iterator<Item = &MessageFile> {
        self.files.iter().filter(move |file| file.lang == lang)
    }

    /// The text of a key, filled in; none when the language lacks it.
    pub(crate) fn get(&self, lang: Lang, key: &str, args: &BTreeMap<String, String>) -> Option<String> {
        let counted = args.get("count").map(|n| format!("{key}.{}", if n == "1" { "one" } else { "other" }));
        let text = counted.and_then(|key| self.raw(lang, &key)).or_else(|| self.raw(lang, key))?;
        Some(fill(text, lang, args))
    }

    /// The text of a key in the wanted language, else in English, else the key itself.
    pub(crate) fn say(&self, lang: Lang, key: &str, args: &BTreeMap<String, String>) -> String {
        self.get(lang, key, args).or_else(|| self.get(Lang::En, key, args)).unwrap_or_else(|| key.to_owned())
    }

    /// Every key of a language.
    pub(crate) fn keys(&self, lang: Lang) -> impl Iterator<Item = &str> {
        self.of(lang).flat_map(|file| file.texts().keys().copied())
    }

    /// A text as it is in the file.
    pub(crate) fn raw(&self, lang: Lang, key: &str) -> Option<&str> {
        self.of(lang).find_map(|file| file.get(key))
    }
}

/// Puts the arguments into the places of a text. An unknown place stays, so that the samples test can see it.
fn fill(text: &str, lang: Lang, args: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            out.push('{');
            rest = after;
            continue;
        };
        match args.get(name) {
            Some(value) if name == "count" => {
                out.push_str(&value.parse().map_or_else(|_| value.clone(), |n| words::number(lang, n)));
            }
            Some(value) => out.push_str(value),
            None => {
                out.push('{');
                out.push_str(name);
                out.push('}');
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn places_are_filled_and_counts_pick_their_form() {
        let json = r#"{"hi": "Hello {name}, {x} {", "files.one": "{count} file", "files.other": "{count} \u0066iles"}"#;
        let messages = Messages::new(vec![(Lang::En, json)]);
        let get = |key: &str, pairs: &[(&str, &str)]| messages.get(Lang::En, key, &args(pairs));
        assert_eq!(get("hi", &[("name", "Ada {x}")]).unwrap(), "Hello Ada {x}, {x} {");
        assert_eq!(get("files", &[("count", "1")]).unwrap(), "1 file");
        assert_eq!(get("files", &[("count", "12345")]).unwrap(), "12,345 files");
        assert_eq!(get("nothing", &[]), None);
        assert_eq!(messages.say(Lang::It, "files", &args(&[("count", "0")])), "0 files");
    }

    #[test]
    fn a_file_is_read_when_it_is_asked_and_what_is_wrong_is_told() {
        let wrong = |second: &'static str| {
            let messages = Messages::new(vec![(Lang::En, r#"{"hi": "Hi"}"#), (Lang::It, "{}"), (Lang::En, second)]);
            assert_eq!(messages.say(Lang::It, "hi", &args(&[])), "Hi");
            let read: Vec<_> = messages.files.iter().map(|file| file.texts.get().is_some()).collect();
            assert_eq!(read, [true, false, false], "the key stands in the first file");
            messages.read_all().err().map(|e| e.to_string()).unwrap_or_default()
        };
        assert_eq!(wrong(r#"{"ho": "hi"}"#), "");
        assert_eq!(wrong(r#"{"hi": "again"}"#), "the message hi is there twice (en)");
        assert_eq!(wrong("[]"), "a en message file is not flat JSON");
        assert_eq!(wrong(r#"{"ho": 1}"#), "a en message file is not flat JSON");
    }
}
