//! The two lists: names kept back, and words that hurt.

use std::collections::HashSet;
use std::sync::LazyLock;

/// What is kept back, by looks.
static RESERVED: LazyLock<HashSet<String>> =
    LazyLock::new(|| lines(include_str!("reserved.txt")).map(super::skeleton).collect());

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Whether a name looks like one that is kept back: `adm1n`, `ad-min` and `admin2` look like `admin`.
pub(super) fn reserved(shown: &str, skeleton: &str) -> bool {
    let stem = shown.trim_end_matches(|c: char| c.is_ascii_digit());
    let unleeted: String = shown.chars().map(unleet).collect();
    let looks = [skeleton.to_owned(), super::skeleton(stem), super::skeleton(&unleeted)];
    let kept = looks.iter().any(|look| RESERVED.contains(look.replace('-', "").as_str()));
    // "percloud-support", "admin-percloud": the provider's name with such a word beside it poses as the provider.
    let posing =
        skeleton.contains("percloud") && skeleton.split('-').any(|part| part != "percloud" && RESERVED.contains(part));
    kept || posing
}

/// Whether a name holds a word that hurts.
pub(super) fn offensive(shown: &str) -> bool {
    let plain: String = shown.chars().map(unleet).collect();
    let joined: String = plain.chars().filter(|c| *c != '-').collect();
    lines(include_str!("offensive.txt")).any(|word| match word.strip_prefix('*') {
        Some(anywhere) => joined.contains(&anywhere.replace('-', "")),
        None => joined == word || plain.split('-').any(|part| part == word),
    })
}

fn unleet(c: char) -> char {
    match c {
        '0' => 'o',
        '1' => 'i',
        '3' => 'e',
        '4' => 'a',
        '5' => 's',
        '7' => 't',
        'à' | 'á' | 'ä' | 'â' => 'a',
        'è' | 'é' | 'ë' | 'ê' => 'e',
        'ì' | 'í' | 'ï' | 'î' => 'i',
        'ò' | 'ó' | 'ö' | 'ô' => 'o',
        'ù' | 'ú' | 'ü' | 'û' => 'u',
        other => other,
    }
}
