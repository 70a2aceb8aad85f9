//! The texts that people read: flat JSON files, one for each language and part of a program.
//!
//! `{name}` in a text is filled from the arguments. A key with an argument `count` picks `<key>.one` or `<key>.other`;
//! the plural rules of English and Italian are the same for whole numbers (one when it is 1).

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, ensure};

use crate::{Lang, words};

/// All messages of a program.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    by_lang: HashMap<Lang, HashMap<String, String>>,
}

impl Messages {
    /// Takes a file in; a key may be said once only.
    pub(crate) fn add(&mut self, lang: Lang, json: &str) -> anyhow::Result<()> {
        let file: BTreeMap<String, String> =
            serde_json::from_str(json).with_context(|| format!("a {} message file is not flat JSON", lang.code()))?;
        let known = self.by_lang.entry(lang).or_default();
        for (key, text) in file {
            ensure!(known.insert(key.clone(), text).is_none(), "the message {key} is there twice ({})", lang.code());
        }
        Ok(())
    }

    /// The text of a key, filled in; none when the language lacks it.
    pub(crate) fn get(&self, lang: Lang, key: &str, args: &BTreeMap<String, String>) -> Option<String> {
        let texts = self.by_lang.get(&lang)?;
        let counted = args.get("count").map(|n| format!("{key}.{}", if n == "1" { "one" } else { "other" }));
        let text = counted.and_then(|key| texts.get(&key)).or_else(|| texts.get(key))?;
        Some(fill(text, lang, args))
    }

    /// The text of a key in the wanted language, else in English, else the key itself.
    pub(crate) fn say(&self, lang: Lang, key: &str, args: &BTreeMap<String, String>) -> String {
        self.get(lang, key, args).or_else(|| self.get(Lang::En, key, args)).unwrap_or_else(|| key.to_owned())
    }

    /// Every key of a language.
    pub(crate) fn keys(&self, lang: Lang) -> impl Iterator<Item = &str> {
        self.by_lang.get(&lang).into_iter().flat_map(|texts| texts.keys().map(String::as_str))
    }

    /// A text as it is in the file.
    pub(crate) fn raw(&self, lang: Lang, key: &str) -> Option<&str> {
        self.by_lang.get(&lang)?.get(key).map(String::as_str)
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
        let mut messages = Messages::default();
        let json = r#"{"hi": "Hello {name}, {x} {", "files.one": "{count} file", "files.other": "{count} files"}"#;
        messages.add(Lang::En, json).unwrap();
        let get = |key: &str, pairs: &[(&str, &str)]| messages.get(Lang::En, key, &args(pairs));
        assert_eq!(get("hi", &[("name", "Ada {x}")]).unwrap(), "Hello Ada {x}, {x} {");
        assert_eq!(get("files", &[("count", "1")]).unwrap(), "1 file");
        assert_eq!(get("files", &[("count", "12345")]).unwrap(), "12,345 files");
        assert_eq!(get("nothing", &[]), None);
        assert_eq!(messages.say(Lang::It, "files", &args(&[("count", "0")])), "0 files");
        assert!(messages.add(Lang::En, r#"{"hi": "again"}"#).is_err());
        assert!(messages.add(Lang::En, "[]").is_err());
    }
}
