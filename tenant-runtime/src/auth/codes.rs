//! Recovery codes: ten words on paper that let the owner in when the password is forgotten, each once.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Transaction};
use sha2::Digest;

/// How many are made.
pub const COUNT: usize = 10;

/// Without letters that look alike on paper (no i, l, o, u, 0, 1).
const ALPHABET: &[u8; 30] = b"23456789abcdefghjkmnpqrstvwxyz";
/// 16 letters of 30: 78 random bits.
const LENGTH: usize = 16;

/// Makes new codes; older ones are void. They are shown once, and only their hashes are kept.
///
/// # Errors
/// When the store does not answer.
pub fn renew(tx: &Transaction<'_>) -> anyhow::Result<Vec<String>> {
    tx.execute("delete from recovery_codes", [])?;
    let codes: Vec<String> = (0..COUNT).map(|_| random()).collect();
    for code in &codes {
        tx.execute("insert into recovery_codes (sha256) values (?1)", [hash(code)])?;
    }
    Ok(codes)
}

/// Uses a code up. Answers false when it is none of ours or was used before.
///
/// # Errors
/// When the store does not answer.
pub fn redeem(tx: &Transaction<'_>, code: &str, now: DateTime<Utc>) -> anyhow::Result<bool> {
    let sql = "update recovery_codes set used_at = ?2 where sha256 = ?1 and used_at is null";
    Ok(tx.execute(sql, (hash(code), now))? == 1)
}

/// How many codes are left.
///
/// # Errors
/// When the store does not answer.
pub fn left(db: &Connection) -> anyhow::Result<u32> {
    Ok(db.query_row("select count(*) from recovery_codes where used_at is null", [], |row| row.get(0))?)
}

/// Whether all of these are unused codes of this percloud (for the sheet that hands them back as a file).
///
/// # Errors
/// When the store does not answer.
pub fn all_ours(db: &Connection, codes: &[&str]) -> anyhow::Result<bool> {
    let mut find = db.prepare("select 1 from recovery_codes where sha256 = ?1 and used_at is null")?;
    for code in codes {
        if !find.exists([hash(code)])? {
            return Ok(false);
        }
    }
    Ok(!codes.is_empty())
}

/// However it was typed: capitals, spaces and hyphens do not count.
fn hash(code: &str) -> Vec<u8> {
    let plain: String = code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    sha2::Sha256::digest(format!("recovery:{plain}")).to_vec()
}

fn random() -> String {
    use rand::RngExt;
    let mut rng = rand::rng();
    let mut code = String::with_capacity(LENGTH + 3);
    for place in 0..LENGTH {
        if place > 0 && place % 4 == 0 {
            code.push('-');
        }
        code.push(char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]));
    }
    code
}
