//! Which certificate stands for which name: all of them, in a few dozen bytes a name.
//!
//! A name is kept as its hash under a key that is drawn anew in each process, so nobody can make two names meet on purpose; should two meet
//! all the same (once in 2⁶⁴ pairs), the visitor of one is shown the other's certificate and their browser refuses it.

use std::collections::HashSet;
use std::collections::hash_map::{Entry as Place, HashMap};
use std::hash::{BuildHasher, RandomState};

/// A certificate's id without its prefix: 80 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::edge) struct Id(pub(super) [u8; 10]);

impl Id {
    /// Reads `c-` and 16 letters of base 32; none when it is anything else.
    pub(in crate::edge) fn parse(text: &str) -> Option<Self> {
        let letters = text.strip_prefix("c-")?.to_ascii_uppercase();
        let bytes = data_encoding::BASE32_NOPAD.decode(letters.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "c-{}", data_encoding::BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

/// What is known of a certificate before it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::edge) struct Entry {
    pub(in crate::edge) id: Id,
    /// Another one for each key that was ever sealed: whoever has this version has what is in the database.
    pub(in crate::edge) version: u64,
    /// When it ends, in seconds since 1970, until 2106.
    pub(in crate::edge) not_after: u32,
    /// Issued by an authority that browsers know without being asked to, not by our own.
    pub(in crate::edge) public: bool,
}

/// All names.
#[derive(Debug, Default)]
pub(in crate::edge) struct Index {
    hasher: RandomState,
    names: HashMap<u64, Entry>,
    /// Certificates for names that another one, which lasts longer, stands for: few, but they must come back when that one goes.
    spare: Vec<(u64, Entry)>,
    certificates: usize,
}

impl Index {
    /// An empty one, about as large as this one.
    pub(in crate::edge) fn like(&self) -> Self {
        Self { names: HashMap::with_capacity(self.names.len()), ..Self::default() }
    }

    /// Knows a certificate that it did not know. Where two stand for one name, the one that lasts longer wins.
    pub(in crate::edge) fn put<'a>(&mut self, entry: Entry, names: impl IntoIterator<Item = &'a str>) {
        for name in names {
            let hash = hash(&self.hasher, "", name);
            match self.names.entry(hash) {
                Place::Vacant(place) => drop(place.insert(entry)),
                Place::Occupied(place) if place.get().id == entry.id => {}
                Place::Occupied(mut place) if place.get().not_after <= entry.not_after => {
                    self.spare.push((hash, place.insert(entry)));
                }
                Place::Occupied(_) => self.spare.push((hash, entry)),
            }
        }
        self.certificates += 1;
    }

    /// Knows these certificates no more.
    pub(in crate::edge) fn forget(&mut self, ids: &HashSet<Id>) {
        let mut gone = HashSet::new();
        let mut free = Vec::new();
        self.names.retain(|hash, entry| {
            let stays = !ids.contains(&entry.id);
            if !stays {
                gone.insert(entry.id);
                free.push(*hash);
            }
            stays
        });
        self.spare.retain(|(_, entry)| {
            let stays = !ids.contains(&entry.id);
            if !stays {
                gone.insert(entry.id);
            }
            stays
        });
        self.certificates -= gone.len();
        if self.spare.is_empty() {
            return;
        }
        for hash in free {
            let waiting = self.spare.iter().enumerate().filter(|(_, (h, _))| *h == hash);
            if let Some(next) = waiting.max_by_key(|(_, (_, entry))| entry.not_after).map(|(at, _)| at) {
                self.names.insert(hash, self.spare.swap_remove(next).1);
            }
        }
    }

    /// The certificate for a name: its own, or the wildcard's above it.
    pub(in crate::edge) fn find(&self, name: &str) -> Option<Entry> {
        let name = name.trim_end_matches('.');
        let wildcard = || name.split_once('.').and_then(|(_, above)| self.names.get(&hash(&self.hasher, "*.", above)));
        self.names.get(&hash(&self.hasher, "", name)).or_else(wildcard).copied()
    }

    /// How many certificates it knows.
    pub(in crate::edge) fn certificates(&self) -> usize {
        self.certificates
    }

    /// What it knows of certificates, of each as often as it has names.
    pub(in crate::edge) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.names.values().chain(self.spare.iter().map(|(_, entry)| entry))
    }

    /// Which certificates it knows.
    pub(in crate::edge) fn ids(&self) -> HashSet<Id> {
        self.entries().map(|entry| entry.id).collect()
    }

    /// When the first of them ends.
    pub(in crate::edge) fn first_end(&self) -> Option<u32> {
        self.names.values().map(|entry| entry.not_after).min()
    }
}

/// Hashes `prefix` and `name`, in lower case, without asking for memory.
fn hash(hasher: &RandomState, prefix: &str, name: &str) -> u64 {
    let mut text = [0; 256];
    let length = prefix.len() + name.len();
    let Some(whole) = text.get_mut(..length) else { return hasher.hash_one([0xff]) }; // no name is that long
    whole[..prefix.len()].copy_from_slice(prefix.as_bytes());
    whole[prefix.len()..].copy_from_slice(name.as_bytes());
    whole.make_ascii_lowercase();
    hasher.hash_one(&*whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u8, not_after: u32) -> Entry {
        Entry { id: Id([id; 10]), version: u64::from(id), not_after, public: true }
    }

    fn found(index: &Index, name: &str) -> Option<u8> {
        index.find(name).map(|entry| entry.id.0[0])
    }

    #[test]
    fn an_id_is_what_the_database_says() {
        for id in ["c-aaaaaaaaaaaaaaaa", "c-abcdefghijklmnop", "c-7777777777777777"] {
            assert_eq!(Id::parse(id).unwrap().to_string(), id);
        }
        for odd in ["", "c-", "c-aaaaaaaaaaaaaaa", "c-aaaaaaaaaaaaaaaaa", "d-aaaaaaaaaaaaaaaa", "c-aaaaaaaaaaaaaaa1"] {
            assert_eq!(Id::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn an_exact_name_wins_over_a_wildcard_that_stands_for_one_label() {
        let mut index = Index::default();
        index.put(entry(1, 10), ["cloud.example", "*.cloud.example"]);
        index.put(entry(2, 5), ["ada.cloud.example"]);
        for (name, id) in [
            ("cloud.example", Some(1)),
            ("ADA.cloud.Example.", Some(2)),
            ("bob.cloud.example", Some(1)),
            ("deep.bob.cloud.example", None),
            ("evilcloud.example", None),
            ("example", None),
            ("", None),
        ] {
            assert_eq!(found(&index, name), id, "{name}");
        }
        assert_eq!(found(&index, &"a".repeat(300)), None);
        assert_eq!((index.certificates(), index.first_end()), (2, Some(5)));
    }

    #[test]
    fn of_two_for_one_name_the_one_that_lasts_serves_and_the_other_comes_back() {
        let mut index = Index::default();
        index.put(entry(1, 10), ["a.example", "b.example"]);
        index.put(entry(2, 30), ["a.example"]);
        index.put(entry(3, 20), ["a.example"]);
        assert_eq!((found(&index, "a.example"), found(&index, "b.example")), (Some(2), Some(1)));
        index.forget(&HashSet::from([entry(2, 0).id]));
        assert_eq!(found(&index, "a.example"), Some(3));
        index.forget(&HashSet::from([entry(3, 0).id]));
        assert_eq!(found(&index, "a.example"), Some(1));
        index.forget(&HashSet::from([entry(1, 0).id, entry(9, 0).id]));
        assert_eq!((found(&index, "a.example"), found(&index, "b.example"), index.certificates()), (None, None, 0));
    }

    #[test]
    fn a_name_costs_a_few_dozen_bytes() {
        assert_eq!(size_of::<(u64, Entry)>(), 32, "two to a line of the processor's cache, and none in two");
    }
}
