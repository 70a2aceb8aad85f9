//! What is known by number: 61 headers from the beginning (RFC 7541 appendix A), and those that were said before.

use std::collections::VecDeque;

/// Headers that everybody knows, the first by number 1.
pub(super) const KNOWN: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// Bytes that a table may have unless it is said otherwise (RFC 9113 §6.5.2); we never say otherwise.
pub(super) const SIZE: usize = 4096;

/// A header with what it costs beside its text (RFC 7541 §4.1).
pub(super) fn cost(name: &[u8], value: &[u8]) -> usize {
    name.len() + value.len() + 32
}

/// Name and value in one piece of memory.
struct Entry {
    text: Box<[u8]>,
    name: usize,
}

impl Entry {
    fn parts(&self) -> (&[u8], &[u8]) {
        self.text.split_at(self.name)
    }

    fn cost(&self) -> usize {
        self.text.len() + 32
    }
}

/// What was said before, the latest first.
pub(super) struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    most: usize,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { entries: VecDeque::new(), size: 0, most: SIZE }
    }

    /// Bytes that it may have.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn resize(&mut self, most: usize) {
        self.most = most;
        self.shrink(most);
    }

    /// By its number behind the known ones, from 0.
    pub(super) fn get(&self, number: usize) -> Option<(&[u8], &[u8])> {
        self.entries.get(number).map(Entry::parts)
    }

    /// The number of a header that is in it.
    pub(super) fn find(&self, name: &[u8], value: &[u8]) -> Option<usize> {
        let same = |entry: &Entry| entry.text.len() == name.len() + value.len() && entry.parts() == (name, value);
        self.entries.iter().position(same)
    }

    /// Learns a header; what was said longest ago makes room. One that is larger than all of it empties it (RFC 7541 §4.4).
    pub(super) fn learn(&mut self, name: &[u8], value: &[u8]) {
        let cost = cost(name, value);
        self.shrink(self.most.saturating_sub(cost));
        if cost <= self.most {
            self.size += cost;
            self.entries.push_front(Entry { text: [name, value].concat().into(), name: name.len() });
        }
    }

    fn shrink(&mut self, most: usize) {
        while self.size > most
            && let Some(entry) = self.entries.pop_back()
        {
            self.size -= entry.cost();
        }
    }
}
