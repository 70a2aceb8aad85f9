//! Sessions: a random value in a cookie, its hash in the store.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension, Transaction};
use sha2::Digest;

/// The cookie's name; `__Host-` binds it to this very host and to HTTPS.
pub const COOKIE: &str = "__Host-session";

/// A session ends when it was not used for so long.
pub const LIFE: TimeDelta = TimeDelta::days(30);

/// How old a session's last sign of life may be before it is written down anew.
const FRESH: TimeDelta = TimeDelta::hours(1);

/// One browser that is signed in.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Session {
    /// Its name on the owner's pages; no secret.
    pub id: String,
    /// Browser and system, as far as they say.
    pub device: String,
    /// When it signed in.
    pub created_at: DateTime<Utc>,
    /// When it was last seen, to the hour.
    pub seen_at: DateTime<Utc>,
}

/// Signs a browser in. Answers the cookie's value.
///
/// # Errors
/// When the store does not answer.
pub fn start(tx: &Transaction<'_>, device: &str, now: DateTime<Utc>) -> anyhow::Result<String> {
    let token = data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 32]>()).to_lowercase();
    let id = data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 10]>()).to_lowercase();
    let sql = "insert into sessions (id, sha256, device, created_at, seen_at) values (?1, ?2, ?3, ?4, ?4)";
    tx.execute(sql, (id, hash(&token), device, now))?;
    Ok(token)
}

/// The session of this cookie, if it still lives.
///
/// # Errors
/// When the store does not answer.
pub fn find(db: &Connection, token: &str, now: DateTime<Utc>) -> anyhow::Result<Option<Session>> {
    let sql = "select id, device, created_at, seen_at from sessions where sha256 = ?1 and seen_at > ?2";
    Ok(db.prepare_cached(sql)?.query_row((hash(token), now - LIFE), from_row).optional()?)
}

/// All sessions that live, the last seen first.
///
/// # Errors
/// When the store does not answer.
pub fn list(db: &Connection, now: DateTime<Utc>) -> anyhow::Result<Vec<Session>> {
    let sql = "select id, device, created_at, seen_at from sessions where seen_at > ?1 order by seen_at desc, id";
    let mut query = db.prepare_cached(sql)?;
    let rows = query.query_map([now - LIFE], from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session { id: row.get(0)?, device: row.get(1)?, created_at: row.get(2)?, seen_at: row.get(3)? })
}

impl Session {
    /// Whether its last sign of life is worth writing down anew (and the cookie worth sending again).
    #[must_use]
    pub fn is_stale(&self, now: DateTime<Utc>) -> bool {
        now - self.seen_at > FRESH
    }
}

/// Notes that a session was seen.
///
/// # Errors
/// When the store does not answer.
pub fn touch(tx: &Transaction<'_>, id: &str, now: DateTime<Utc>) -> anyhow::Result<()> {
    tx.execute("update sessions set seen_at = ?2 where id = ?1", (id, now))?;
    Ok(())
}

/// Ends a session; answers the device it was on.
///
/// # Errors
/// When the store does not answer.
pub fn end(tx: &Transaction<'_>, id: &str) -> anyhow::Result<Option<String>> {
    let sql = "delete from sessions where id = ?1 returning device";
    Ok(tx.query_row(sql, [id], |row| row.get(0)).optional()?)
}

/// Ends all sessions but one (or all); answers how many.
///
/// # Errors
/// When the store does not answer.
pub fn end_others(tx: &Transaction<'_>, but: Option<&str>) -> anyhow::Result<usize> {
    Ok(tx.execute("delete from sessions where id is not ?1", [but])?)
}

/// Removes sessions that have ended by themselves.
///
/// # Errors
/// When the store does not answer.
pub fn tidy(tx: &Transaction<'_>, now: DateTime<Utc>) -> anyhow::Result<()> {
    tx.execute("delete from sessions where seen_at <= ?1", [now - LIFE])?;
    Ok(())
}

/// When [`tidy`] will next find something to do.
///
/// # Errors
/// When the tables cannot be read.
pub fn due(db: &Connection) -> anyhow::Result<Option<DateTime<Utc>>> {
    crate::due::first(db, "select min(seen_at) from sessions", LIFE)
}

fn hash(token: &str) -> Vec<u8> {
    sha2::Sha256::digest(format!("session:{token}")).to_vec()
}

/// Browser and system in a few words, from a User-Agent; good enough to know one's own devices by.
#[must_use]
pub fn device(user_agent: &str) -> String {
    let first = |table: &[(&str, &'static str)]| table.iter().find(|(mark, _)| user_agent.contains(mark)).map(|f| f.1);
    let browser = first(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser", "Samsung Internet"),
        ("Firefox", "Firefox"),
        ("FxiOS", "Firefox"),
        ("CriOS", "Chrome"),
        ("Chromium", "Chromium"),
        ("Chrome", "Chrome"),
        ("Safari", "Safari"),
        ("curl", "curl"),
    ]);
    let system = first(&[
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Mac OS X", "Mac"),
        ("CrOS", "Chromebook"),
        ("Linux", "Linux"),
    ]);
    [browser, system].into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

#[cfg(test)]
mod tests {
    use super::device;

    #[test]
    fn a_user_agent_becomes_a_few_words() {
        let android = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/129.0 Mobile Safari/537.36";
        assert_eq!(device(android), "Chrome · Android");
        let phone =
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Safari/604.1";
        assert_eq!(device(phone), "Safari · iPhone");
        assert_eq!(device("<script>"), "");
    }
}
