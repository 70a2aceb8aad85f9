//! The ticket with which an owner walks from the own Control panel to the provider's portal.
//!
//! The provider has no password of an owner, so the percloud vouches for them: with a key of its own whose public half it tells the host. A
//! ticket names the percloud and the portal, is good for two minutes, and the portal takes it once. As text:
//! `base64url(JSON).base64url(Ed25519 over "percloud owner ticket 1\n" and that JSON)`.

use std::str::FromStr;

use anyhow::Context;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::TenantId;

/// How long a ticket is good: the time of a redirect, and of a percloud that is looked at first.
pub const LIFE: TimeDelta = TimeDelta::minutes(2);

/// What is signed begins so: a signature of this key over anything else is no ticket.
const CONTEXT: &[u8] = b"percloud owner ticket 1\n";

/// Longer than any ticket of ours.
const LONGEST: usize = 1024;

/// What a ticket says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
    /// Whose owner comes.
    pub percloud: TenantId,
    /// The origin of the portal that it is for.
    pub audience: String,
    /// 128 random bits, so that each is another one.
    pub nonce: String,
    /// When it ends.
    #[serde(with = "chrono::serde::ts_seconds")]
    pub expires: DateTime<Utc>,
}

impl Ticket {
    /// A new one.
    #[must_use]
    pub fn new(percloud: &TenantId, audience: &str, now: DateTime<Utc>) -> Self {
        let nonce = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>());
        Self { percloud: percloud.clone(), audience: audience.to_owned(), nonce, expires: now + LIFE }
    }
}

/// The percloud's key; never leaves it, not even in a bundle.
pub struct OwnerKey(Ed25519KeyPair);

impl OwnerKey {
    /// A new key, as PKCS #8: what [`OwnerKey::read`] takes.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub fn random() -> anyhow::Result<Vec<u8>> {
        // Not by the library's own random numbers: it begins them by measuring the processor's jitter, which takes 30 ms of every new percloud.
        let seed = rand::random::<[u8; 32]>();
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).ok().context("cannot make an owner's key")?;
        Ok(key.to_pkcs8().ok().context("cannot write an owner's key down")?.as_ref().to_vec())
    }

    /// Reads a kept key.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(pkcs8: &[u8]) -> anyhow::Result<Self> {
        Ok(Self(Ed25519KeyPair::from_pkcs8(pkcs8).ok().context("not an owner's key")?))
    }

    /// The public half, 43 characters of base64url.
    #[must_use]
    pub fn public(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0.public_key())
    }

    /// A ticket as text.
    ///
    /// # Errors
    /// When it cannot be written down; it always can.
    pub fn sign(&self, ticket: &Ticket) -> anyhow::Result<String> {
        let json = serde_json::to_vec(ticket)?;
        let signature = self.0.sign(&signed(&json));
        Ok(format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(&json), BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn signed(json: &[u8]) -> Vec<u8> {
    [CONTEXT, json].concat()
}

/// Whether a text is a public half; what a percloud says of itself is looked at before it is kept.
#[must_use]
pub fn is_public_key(text: &str) -> bool {
    BASE64_URL_SAFE_NO_PAD.decode(text).is_ok_and(|key| key.len() == 32)
}

/// Why a ticket is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a ticket at all.
    #[error("not a ticket")]
    Unreadable,
    /// Not signed by that key.
    #[error("not signed by that percloud")]
    Signature,
    /// For another portal.
    #[error("for another portal")]
    Audience,
    /// Its time is over, or further away than a ticket's may be.
    #[error("its time is over")]
    Expired,
}

/// A ticket that somebody shows, not believed yet.
#[derive(Clone, Debug)]
pub struct Shown {
    json: Vec<u8>,
    signature: Vec<u8>,
    ticket: Ticket,
}

impl FromStr for Shown {
    type Err = Refused;
    fn from_str(text: &str) -> Result<Self, Refused> {
        let parts = (text.len() <= LONGEST).then(|| text.split_once('.')).flatten().ok_or(Refused::Unreadable)?;
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Unreadable);
        let (json, signature) = (decode(parts.0)?, decode(parts.1)?);
        let ticket = serde_json::from_slice(&json).map_err(|_| Refused::Unreadable)?;
        Ok(Self { json, signature, ticket })
    }
}

impl Shown {
    /// Whose it says to be: for finding the key, and for showing a way back.
    #[must_use]
    pub fn percloud(&self) -> &TenantId {
        &self.ticket.percloud
    }

    /// The ticket, once signature, portal and time are right. Whether it was taken before is for the portal to know.
    ///
    /// # Errors
    /// [`Refused`], the signature first: nothing else about a forged one is worth saying.
    pub fn check(self, public: &str, audience: &str, now: DateTime<Utc>) -> Result<Ticket, Refused> {
        let key = BASE64_URL_SAFE_NO_PAD.decode(public).map_err(|_| Refused::Signature)?;
        let key = UnparsedPublicKey::new(&ED25519, key);
        key.verify(&signed(&self.json), &self.signature).map_err(|_| Refused::Signature)?;
        if self.ticket.audience != audience {
            return Err(Refused::Audience);
        }
        // Both clocks are a provider's; a little of a difference between its machines is forgiven.
        let latest = now + LIFE + TimeDelta::minutes(1);
        if self.ticket.expires <= now || self.ticket.expires > latest {
            return Err(Refused::Expired);
        }
        Ok(self.ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTAL: &str = "https://percloud.localhost:8443";

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_366_400, 0).unwrap()
    }

    fn check(text: &str, public: &str, audience: &str, now: DateTime<Utc>) -> Result<Ticket, Refused> {
        text.parse::<Shown>()?.check(public, audience, now)
    }

    #[test]
    fn a_ticket_is_for_one_portal_and_two_minutes() {
        let key = OwnerKey::read(&OwnerKey::random().unwrap()).unwrap();
        assert!(is_public_key(&key.public()) && key.public().len() == 43);
        let ticket = Ticket::new(&TenantId::random(), PORTAL, now());
        let text = key.sign(&ticket).unwrap();
        assert!(text.len() < 400 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{text}");
        assert_eq!(text.parse::<Shown>().unwrap().percloud(), &ticket.percloud);
        assert_eq!(check(&text, &key.public(), PORTAL, now()), Ok(ticket));
        assert_eq!(check(&text, &key.public(), "https://other.example", now()), Err(Refused::Audience));
        for late in [now() + LIFE, now() + TimeDelta::days(1), now() - TimeDelta::hours(1)] {
            assert_eq!(check(&text, &key.public(), PORTAL, late), Err(Refused::Expired));
        }
    }

    #[test]
    fn a_ticket_that_was_changed_or_signed_by_another_is_none() {
        let key = OwnerKey::read(&OwnerKey::random().unwrap()).unwrap();
        let other = OwnerKey::read(&OwnerKey::random().unwrap()).unwrap();
        let ticket = Ticket::new(&TenantId::random(), PORTAL, now());
        let text = key.sign(&ticket).unwrap();
        assert_eq!(check(&text, &other.public(), PORTAL, now()), Err(Refused::Signature));
        assert_eq!(check(&text, "", PORTAL, now()), Err(Refused::Signature));
        let (_, signature) = text.split_once('.').unwrap();
        let longer = Ticket { expires: now() + TimeDelta::minutes(3), ..ticket };
        let json = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&longer).unwrap());
        assert_eq!(check(&format!("{json}.{signature}"), &key.public(), PORTAL, now()), Err(Refused::Signature));
        // The same key's word about something else is no ticket either.
        let bare = BASE64_URL_SAFE_NO_PAD.encode(key.0.sign(&serde_json::to_vec(&longer).unwrap()));
        assert_eq!(check(&format!("{json}.{bare}"), &key.public(), PORTAL, now()), Err(Refused::Signature));
        let long = "a".repeat(2000);
        for nonsense in ["", ".", "a.b", "e30.e30", &long] {
            assert_eq!(nonsense.parse::<Shown>().err(), Some(Refused::Unreadable), "{nonsense}");
        }
    }
}
