//! Message files are complete: every language has every key, with the same places to fill.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};

use crate::tree::tracked_files;

/// The language in which texts are written first.
const FIRST: &str = "en";
/// The languages that are complete from the first day.
const OTHERS: [&str; 1] = ["it"];

/// Compares each `locales/en.json` with its neighbours.
///
/// # Errors
/// Names the file and the key that is missing, left over, empty or filled differently.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let firsts: Vec<PathBuf> =
        tracked_files(root)?.into_iter().filter(|path| path.ends_with(format!("locales/{FIRST}.json"))).collect();
    ensure!(!firsts.is_empty(), "no message file was found");
    for first in firsts {
        let texts = read(&root.join(&first))?;
        for language in OTHERS {
            let path = first.with_file_name(format!("{language}.json"));
            compare(&texts, &read(&root.join(&path))?).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} is missing", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a flat object of texts", path.display()))
}

fn compare(first: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> anyhow::Result<()> {
    for (key, text) in first {
        let translated = other.get(key).with_context(|| format!("{key} is missing"))?;
        ensure!(!translated.trim().is_empty() || text.trim().is_empty(), "{key} is empty");
        let (wanted, got) = (places(text), places(translated));
        ensure!(wanted == got, "{key} fills {got:?} where the first language fills {wanted:?}");
    }
    let left_over: Vec<_> = other.keys().filter(|key| !first.contains_key(*key)).collect();
    ensure!(left_over.is_empty(), "left over: {left_over:?}");
    Ok(())
}

/// The names between braces.
fn places(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_translation_has_every_key_and_fills_the_same_places() {
        let first = texts(&[("a", "Hello {name}"), ("b", "Bye")]);
        assert!(compare(&first, &texts(&[("a", "Ciao {name}"), ("b", "Addio")])).is_ok());
        assert!(compare(&first, &texts(&[("a", "Ciao {name}")])).is_err());
        assert!(compare(&first, &texts(&[("a", "Ciao {nome}"), ("b", "Addio")])).is_err());
        assert!(compare(&first, &texts(&[("a", "Ciao {name}"), ("b", "")])).is_err());
        assert!(compare(&first, &texts(&[("a", "Ciao {name}"), ("b", "Addio"), ("c", "x")])).is_err());
    }
}
