//! Names that people pick: what may be one, and what would fool or hurt others.
//!
//! [`check`] is pure and says why not; whether a name is still free only the database knows ([`find_holder`], and in the end its unique
//! constraints on the name and on its looks).

mod lists;
pub mod sql;

use std::borrow::Cow;

use bundle::Domain;
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization;
use unicode_security::{GeneralSecurityProfile, RestrictionLevel, RestrictionLevelDetection};

use crate::db;

/// A name that may be handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    label: String,
    shown: String,
    skeleton: String,
}

impl Name {
    /// The label in ASCII, as DNS has it.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }
    /// The name as people read it.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }
    /// What it looks like: two names with the same skeleton can be taken for each other.
    #[must_use]
    pub fn skeleton(&self) -> &str {
        &self.skeleton
    }
    /// The host name below `base`.
    ///
    /// # Errors
    /// When both together are longer than DNS allows.
    pub fn domain(&self, base: &Domain) -> Result<Domain, Refusal> {
        format!("{}.{base}", self.label).parse().map_err(|_| Refusal::TooLong)
    }
}

/// Why a name may not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Nothing was typed.
    #[error("nothing was typed")]
    Empty,
    /// Fewer than three characters.
    #[error("a name has three characters or more")]
    TooShort,
    /// More than thirty characters, or too long for DNS.
    #[error("a name has thirty characters at most")]
    TooLong,
    /// Something else than letters, digits and hyphens.
    #[error("a name is made of letters, digits and hyphens")]
    Characters,
    /// A hyphen at the beginning or the end, or `xn--` and its like typed.
    #[error("hyphens stand between other characters")]
    Hyphens,
    /// Letters of several scripts that are told apart badly.
    #[error("letters of several alphabets look alike")]
    MixedScripts,
    /// Looks like plain ASCII but is not.
    #[error("looks like another name in plain letters")]
    LooksPlain,
    /// Kept for the provider and for the Internet's own customs.
    #[error("is kept for the provider")]
    Reserved,
    /// Would hurt people.
    #[error("would hurt people")]
    Offensive,
    /// Somebody has it, or had it.
    #[error("is taken")]
    Taken,
    /// Somebody has one that looks the same.
    #[error("looks like one that is taken")]
    TooAlike,
}

impl Refusal {
    /// All of them, for the test that every one has its words.
    pub const ALL: [Self; 11] = [
        Self::Empty,
        Self::TooShort,
        Self::TooLong,
        Self::Characters,
        Self::Hyphens,
        Self::MixedScripts,
        Self::LooksPlain,
        Self::Reserved,
        Self::Offensive,
        Self::Taken,
        Self::TooAlike,
    ];

    /// The key of its words in the message files.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Empty => "sign-up.name.empty",
            Self::TooShort => "sign-up.name.too-short",
            Self::TooLong => "sign-up.name.too-long",
            Self::Characters => "sign-up.name.characters",
            Self::Hyphens => "sign-up.name.hyphens",
            Self::MixedScripts => "sign-up.name.mixed-scripts",
            Self::LooksPlain => "sign-up.name.looks-plain",
            Self::Reserved => "sign-up.name.reserved",
            Self::Offensive => "sign-up.name.offensive",
            Self::Taken => "sign-up.name.taken",
            Self::TooAlike => "sign-up.name.too-alike",
        }
    }
}

/// Parses what a person typed.
///
/// # Errors
/// Says the first reason why not.
pub fn check(typed: &str) -> Result<Name, Refusal> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Err(Refusal::Empty);
    }
    if typed.len() > 400 {
        return Err(Refusal::TooLong); // before anything that costs
    }
    let lower: String = typed.nfc().collect::<String>().to_lowercase();
    if lower.starts_with('-') || lower.ends_with('-') || lower.get(2..4) == Some("--") {
        return Err(Refusal::Hyphens);
    }
    let (label, shown) = to_label(&lower)?;
    match shown.chars().count() {
        ..3 => return Err(Refusal::TooShort),
        31.. => return Err(Refusal::TooLong),
        _ => {}
    }
    let skeleton = skeleton(&shown);
    if !shown.is_ascii() {
        if !shown.as_str().check_restriction_level(RestrictionLevel::HighlyRestrictive) {
            return Err(Refusal::MixedScripts);
        }
        if skeleton.is_ascii() && !has_latin(&shown) {
            return Err(Refusal::LooksPlain);
        }
    }
    if lists::reserved(&shown, &skeleton) {
        return Err(Refusal::Reserved);
    }
    if lists::offensive(&shown) {
        return Err(Refusal::Offensive);
    }
    Ok(Name { label, shown, skeleton })
}

/// Lower-case text to an A-label and its one canonical form for people.
fn to_label(lower: &str) -> Result<(String, String), Refusal> {
    if lower.contains('.') || !lower.chars().all(|c| c == '-' || c.identifier_allowed()) {
        return Err(Refusal::Characters);
    }
    let uts46 = Uts46::new();
    let ascii: Cow<'_, str> = uts46
        .to_ascii(lower.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Ignore)
        .map_err(|_| Refusal::Characters)?;
    if ascii.len() > 63 {
        return Err(Refusal::TooLong);
    }
    if ascii.contains('.') {
        return Err(Refusal::Characters);
    }
    let (shown, fine) = uts46.to_unicode(ascii.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
    fine.map_err(|_| Refusal::Characters)?;
    let shown = shown.into_owned();
    Ok((ascii.into_owned(), shown))
}

/// An accented Latin letter ("josé") may well look like a plain one; a Cyrillic or Greek one may not.
fn has_latin(text: &str) -> bool {
    text.chars().any(|c| {
        c.is_ascii_alphabetic() || ('\u{c0}'..='\u{24f}').contains(&c) || ('\u{1e00}'..='\u{1eff}').contains(&c)
    })
}

/// What a name looks like (UTS #39), case aside: `m` is `rn`, `1` is `l`, `0` is `o`.
fn skeleton(shown: &str) -> String {
    unicode_security::skeleton(shown).collect::<String>().to_lowercase()
}

/// Who has the name or one that looks the same, as a reason; `None` when it is free at this moment.
///
/// # Errors
/// When the database does not answer.
pub async fn find_holder(db: &impl db::GenericClient, name: &Name) -> Result<Option<Refusal>, db::Error> {
    let statement = db.prepare_cached(sql::HOLDER).await?;
    let row = db.query_opt(&statement, &[&name.label, &name.skeleton]).await?;
    Ok(match row {
        None => None,
        Some(row) if row.try_get::<_, bool>(0)? => Some(Refusal::Taken),
        Some(_) => Some(Refusal::TooAlike),
    })
}

/// A label as people read it.
#[must_use]
pub fn shown(label: &str) -> String {
    let (shown, fine) = Uts46::new().to_unicode(label.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
    if fine.is_ok() { shown.into_owned() } else { label.to_owned() }
}

#[cfg(test)]
mod tests;
