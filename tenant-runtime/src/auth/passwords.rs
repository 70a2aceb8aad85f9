//! Passwords: hashed with argon2id, a few at a time, and judged before they are taken.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version, password_hash::phc::PasswordHash};
use serde::Serialize;
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization;
use zxcvbn::feedback::Warning;

use crate::web;

/// Shorter ones are refused whatever they look like.
pub const MIN_CHARS: usize = 8;
/// Longer ones are refused: nobody types them.
pub const MAX_CHARS: usize = 256;
/// zxcvbn's score that a new password must reach.
pub const MIN_SCORE: u8 = 3;

/// How many hashes are made at once (19 MiB each), and how many may wait.
const AT_ONCE: usize = 2;
const WAITING: usize = 16;

/// Hashes and checks passwords off the async thread, a bounded number at a time.
#[derive(Clone, Debug)]
pub struct Hasher {
    hashing: Pool,
    judging: Pool,
}

/// Work of one kind: so much at once, and no more than so much waiting.
#[derive(Clone, Debug)]
struct Pool {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Hasher {
    fn default() -> Self {
        let pool = |at_once| Pool {
            running: Arc::new(Semaphore::new(at_once)),
            waiting: Arc::new(Semaphore::new(at_once + WAITING)),
        };
        // Apart, so that nobody who types a password keeps the owner from signing in.
        Self { hashing: pool(AT_ONCE), judging: pool(1) }
    }
}

impl Hasher {
    /// Hashes a password with a new salt; a PHC string.
    ///
    /// # Errors
    /// [`web::Error::TooMany`] when too many wait already.
    pub async fn hash(&self, password: String) -> web::Result<String> {
        let work = move || argon2().hash_password(normal(&password).as_bytes()).map(|hash| hash.to_string());
        Ok(self.hashing.run(work).await?.map_err(|e| anyhow::anyhow!("argon2: {e}"))?)
    }

    /// Whether `password` is the one that was hashed. It takes as long when there is none (`hash` is None).
    ///
    /// # Errors
    /// [`web::Error::TooMany`] when too many wait already.
    pub async fn verify(&self, password: String, hash: Option<String>) -> web::Result<bool> {
        let work = move || {
            let password = normal(&password);
            let Some(hash) = hash else {
                let _same_work = argon2().hash_password(password.as_bytes());
                return false;
            };
            let hash = PasswordHash::new(&hash);
            hash.is_ok_and(|hash| argon2().verify_password(password.as_bytes(), &hash).is_ok())
        };
        self.hashing.run(work).await
    }

    /// Takes every turn, as if so much was being hashed; until dropped.
    #[cfg(test)]
    pub(crate) async fn occupy(&self) -> tokio::sync::OwnedSemaphorePermit {
        let all = u32::try_from(AT_ONCE).unwrap();
        self.hashing.running.clone().acquire_many_owned(all).await.unwrap()
    }

    /// Judges a password's strength, off the async thread too.
    ///
    /// # Errors
    /// [`web::Error::TooMany`] when too many wait already.
    pub async fn judge(&self, password: String, known: Vec<String>) -> web::Result<Strength> {
        self.judging.run(move || judge(&password, &known)).await
    }
}

impl Pool {
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> web::Result<T> {
        let Ok(queued) = self.waiting.clone().try_acquire_owned() else { return Err(web::Error::TooMany(5)) };
        let turn = self.running.clone().acquire_owned().await.map_err(anyhow::Error::from)?;
        // The work keeps both: it goes on though whoever asked for it hangs up.
        let work = move || {
            let _held = (queued, turn);
            work()
        };
        Ok(tokio::task::spawn_blocking(work).await.map_err(anyhow::Error::from)?)
    }
}

/// OWASP's first choice for argon2id: 19 MiB, two passes, one lane. In debug builds as well: tests measure the real thing.
fn argon2() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The same password typed on two keyboards gives the same bytes.
fn normal(password: &str) -> String {
    password.nfc().collect()
}

/// How hard a password is to guess.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Strength {
    /// 0 (guessed at once) to 4.
    pub score: u8,
    /// Whether it is taken.
    pub enough: bool,
    /// The message that says so in words.
    pub label: &'static str,
    /// The message that says what is wrong or what would help.
    pub hint: &'static str,
}

/// Judges a password; `known` are words that everybody knows of the owner, such as the domain.
#[must_use]
pub fn judge(password: &str, known: &[String]) -> Strength {
    let count = password.chars().count();
    if count < MIN_CHARS {
        return Strength { score: 0, enough: false, label: "password.score.0", hint: "password.hint.short" };
    }
    if count > MAX_CHARS {
        return Strength { score: 0, enough: false, label: "password.score.0", hint: "password.hint.long" };
    }
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let found = zxcvbn::zxcvbn(password, &known);
    let score = u8::from(found.score());
    let warning = found.feedback().and_then(zxcvbn::feedback::Feedback::warning);
    let enough = score >= MIN_SCORE;
    Strength { score, enough, label: label(score), hint: if enough { "password.hint.good" } else { hint(warning) } }
}

fn label(score: u8) -> &'static str {
    match score {
        0 => "password.score.0",
        1 => "password.score.1",
        2 => "password.score.2",
        3 => "password.score.3",
        _ => "password.score.4",
    }
}

fn hint(warning: Option<Warning>) -> &'static str {
    use Warning::*;
    match warning {
        Some(StraightRowsOfKeysAreEasyToGuess | ShortKeyboardPatternsAreEasyToGuess) => "password.hint.keyboard",
        Some(RepeatsLikeAaaAreEasyToGuess | RepeatsLikeAbcAbcAreOnlySlightlyHarderToGuess) => "password.hint.repeats",
        Some(ThisIsATop10Password | ThisIsATop100Password | ThisIsACommonPassword) => "password.hint.common",
        Some(ThisIsSimilarToACommonlyUsedPassword) => "password.hint.similar",
        Some(SequencesLikeAbcAreEasyToGuess) => "password.hint.sequence",
        Some(RecentYearsAreEasyToGuess | DatesAreOftenEasyToGuess) => "password.hint.dates",
        Some(NamesAndSurnamesByThemselvesAreEasyToGuess | CommonNamesAndSurnamesAreEasyToGuess) => {
            "password.hint.names"
        }
        Some(AWordByItselfIsEasyToGuess) | None => "password.hint.words",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_odd_is_strong_and_what_everybody_picks_is_not() {
        for (password, enough) in [
            ("short", false),
            ("password123", false),
            ("qwertyuiop", false),
            ("ada.percloud", false),
            ("violet ladder seventy kettle", true),
            ("R7#qpz!vLm2x", true),
        ] {
            assert_eq!(judge(password, &["ada.percloud".into()]).enough, enough, "{password}");
        }
        assert!(!judge(&"x".repeat(300), &[]).enough);
    }

    #[tokio::test]
    async fn who_hangs_up_does_not_make_room_for_more_work_before_theirs_is_done() {
        let pool = Hasher::default().judging;
        let (begun, begins) = tokio::sync::oneshot::channel();
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let work = pool.run(move || {
            begun.send(()).unwrap();
            ends.recv().unwrap();
        });
        tokio::select! {
            _ = work => panic!("it is not done"),
            begun = begins => begun.unwrap(), // and nobody waits for it any more
        }
        assert_eq!((pool.running.available_permits(), pool.waiting.available_permits()), (0, WAITING));
        end.send(()).unwrap();
        let _turn = pool.running.acquire().await.unwrap();
        assert_eq!(pool.waiting.available_permits(), WAITING + 1);
    }

    #[tokio::test]
    async fn a_password_is_known_again_however_its_accents_were_typed() {
        let hasher = Hasher::default();
        let hash = hasher.hash("caff\u{e8} e cornetto".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hasher.verify("caffe\u{300} e cornetto".into(), Some(hash.clone())).await.unwrap());
        assert!(!hasher.verify("caffe e cornetto".into(), Some(hash)).await.unwrap());
        assert!(!hasher.verify("caffe e cornetto".into(), None).await.unwrap());
    }
}
