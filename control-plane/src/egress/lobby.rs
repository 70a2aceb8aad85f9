//! Those who have not said yet who they are: few, and of each user of the machine fewer. When it is full it is not closed: whoever comes
//! takes the place of the one who has waited longest, among those of the user who has most waiting. A request arrives in one piece, so
//! that somebody with a good token is through before that could be they; who holds places with nothing said loses them.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio_util::sync::CancellationToken;

use super::refusal::Refusal;

/// So many in all, and so many of one user.
pub(super) const MOST: usize = 512;
pub(super) const EACH: usize = 32;
/// A user comes in so many times more often than a percloud may connect: those who are refused later are among them.
const OFTENER: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

/// The lobby.
#[derive(Debug)]
pub(super) struct Lobby {
    rate: DefaultKeyedRateLimiter<u32>,
    waiting: Mutex<Those>,
}

#[derive(Debug, Default)]
struct Those {
    /// By user, and by when they came.
    of: HashMap<u32, BTreeMap<u64, CancellationToken>>,
    all: usize,
    next: u64,
}

/// A place in it.
#[derive(Debug)]
pub(super) struct Waiting {
    lobby: Arc<Lobby>,
    uid: u32,
    number: u64,
    away: CancellationToken,
}

impl Lobby {
    /// Of perclouds that may connect so often in a minute.
    pub(super) fn new(per_minute: NonZeroU32) -> Arc<Self> {
        let rate = RateLimiter::keyed(Quota::per_minute(per_minute.saturating_mul(OFTENER)));
        Arc::new(Self { rate, waiting: Mutex::default() })
    }

    fn waiting(&self) -> MutexGuard<'_, Those> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for this user; `each` is whether users are told apart.
    pub(super) fn enter(self: &Arc<Self>, uid: u32, each: bool) -> Result<Waiting, Refusal> {
        if each && self.rate.check_key(&uid).is_err() {
            return Err(Refusal::Crowded);
        }
        let mut waiting = self.waiting();
        if each && waiting.of.get(&uid).is_some_and(|own| own.len() >= EACH) {
            return Err(Refusal::Crowded);
        }
        if waiting.all >= MOST {
            waiting.make_room();
        }
        let (number, away) = (waiting.next, CancellationToken::new());
        waiting.next += 1;
        waiting.all += 1;
        waiting.of.entry(uid).or_default().insert(number, away.clone());
        drop(waiting);
        Ok(Waiting { lobby: self.clone(), uid, number, away })
    }
}

impl Those {
    fn remove(&mut self, uid: u32, number: u64) -> Option<CancellationToken> {
        let own = self.of.get_mut(&uid)?;
        let away = own.remove(&number)?;
        if own.is_empty() {
            self.of.remove(&uid);
        }
        self.all -= 1;
        Some(away)
    }

    fn make_room(&mut self) {
        let first = |own: &BTreeMap<u64, _>| own.keys().next().copied();
        let most = self.of.iter().max_by_key(|(_, own)| (own.len(), Reverse(first(own))));
        let oldest = most.and_then(|(uid, own)| Some((*uid, first(own)?)));
        if let Some(away) = oldest.and_then(|(uid, number)| self.remove(uid, number)) {
            away.cancel();
        }
    }
}

impl Waiting {
    /// Somebody else has this place now.
    pub(super) async fn sent_away(&self) {
        self.away.cancelled().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.lobby.waiting().remove(self.uid, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lobby() -> Arc<Lobby> {
        Lobby::new(NonZeroU32::new(120).unwrap())
    }

    #[test]
    fn one_user_does_not_fill_the_lobby() {
        let lobby = lobby();
        let places: Vec<_> = (0..EACH).map(|_| lobby.enter(7, true).unwrap()).collect();
        assert!(lobby.enter(7, true).is_err());
        assert!(lobby.enter(8, true).is_ok());
        drop(places);
        assert!(lobby.enter(7, true).is_ok());
        let left = lobby.waiting();
        assert_eq!((left.all, left.of.len()), (0, 0), "nobody is left behind");
    }

    #[test]
    fn many_users_who_fill_it_together_keep_nobody_out() {
        let lobby = lobby();
        let full = u32::try_from(MOST / EACH).unwrap();
        let hostile = |lobby: &Arc<Lobby>| lobby.enter(rand::random_range(0..full), true);
        let mut held: Vec<_> =
            (0..full).flat_map(|uid| (0..EACH).map(move |_| uid)).map(|uid| lobby.enter(uid, true).unwrap()).collect();
        let ada = lobby.enter(1000, true).unwrap();
        assert!(held.iter().filter(|one| one.away.is_cancelled()).count() == 1, "somebody had to go");
        assert!(held.iter().find(|one| one.away.is_cancelled()).is_some_and(|one| one.number == 0), "the oldest");
        // They come again and again; each time it is one of their own who goes.
        for _ in 0..1000 {
            if let Ok(again) = hostile(&lobby) {
                held.push(again);
            }
            held.retain(|one| !one.away.is_cancelled());
            assert!(!ada.away.is_cancelled());
        }
        assert_eq!(lobby.waiting().all, MOST);
        drop(held);
        drop(ada);
        assert_eq!(lobby.waiting().all, 0);
    }

    #[test]
    fn who_comes_too_often_is_not_let_in_and_others_are() {
        let lobby = Lobby::new(NonZeroU32::new(5).unwrap());
        let come = |uid| (0..30).filter(|_| lobby.enter(uid, true).is_ok()).count();
        let came = [come(7), come(8)];
        // A place comes back every six seconds, should this machine be slow.
        assert!(came.iter().all(|count| (10..30).contains(count)), "{came:?}");
        assert_eq!((0..30).filter(|_| lobby.enter(7, false).is_ok()).count(), 30, "where nobody is told apart");
    }

    #[test]
    fn where_users_are_not_told_apart_the_oldest_goes() {
        let lobby = lobby();
        let all: Vec<_> = (0..=MOST).map(|_| lobby.enter(7, false).unwrap()).collect();
        let away: Vec<_> = all.iter().filter(|one| one.away.is_cancelled()).map(|one| one.number).collect();
        assert_eq!(away, [0]);
    }
}
