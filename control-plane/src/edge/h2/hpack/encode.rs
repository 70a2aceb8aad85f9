//! Header blocks of answers written (RFC 7541 §6). Names are said by number where they have one; of values, those are learnt that are the
//! same on every page. What differs from answer to answer is written out: learnt, it would push out what comes again.

use http::StatusCode;

use super::super::super::access::digits;
use super::table::{SIZE, Table};

/// What we have said so far.
pub(in crate::edge::h2) struct Encoder {
    table: Table,
    /// Sizes that the table had since the last block: the smallest, and the one that it has now (§4.2).
    sizes: Option<(usize, usize)>,
}

impl Encoder {
    pub(in crate::edge::h2) fn new() -> Self {
        Self { table: Table::new(), sizes: None }
    }

    /// The other side wants to remember no more than so many bytes, or as many again.
    pub(in crate::edge::h2) fn resize(&mut self, most: usize) {
        let most = most.min(SIZE);
        if most == self.table.most() && self.sizes.is_none() {
            return;
        }
        let smallest = self.sizes.map_or(most, |(smallest, _)| smallest.min(most));
        self.sizes = Some((smallest, most));
        self.table.resize(most);
    }

    /// Says what was not said yet of the table's size: the first thing in a block.
    pub(in crate::edge::h2) fn begin(&mut self, out: &mut Vec<u8>) {
        let Some((smallest, last)) = self.sizes.take() else { return };
        if smallest < last {
            number(out, 0b0010_0000, 5, smallest);
        }
        number(out, 0b0010_0000, 5, last);
    }

    /// Begins an answer's block.
    pub(in crate::edge::h2) fn status(&mut self, status: StatusCode, out: &mut Vec<u8>) {
        self.begin(out);
        let known = match status.as_u16() {
            200 => 8,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            _ => {
                number(out, 0, 4, 8);
                return text(out, status.as_str().as_bytes());
            }
        };
        out.push(0x80 | known);
    }

    /// Adds the length of a body.
    pub(in crate::edge::h2) fn length(&mut self, length: u64, out: &mut Vec<u8>) {
        number(out, 0, 4, known(b"content-length"));
        let at = out.len();
        out.push(0);
        digits(out, length, 1);
        // No number has more than 20 digits.
        out[at] = (out.len() - at - 1) as u8;
    }

    /// Adds a header; its name is in lower case.
    pub(in crate::edge::h2) fn put(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let known = known(name);
        if is_the_same_on_every_page(name) && value.len() < SIZE / 4 {
            if let Some(found) = self.table.find(name, value) {
                return number(out, 0x80, 7, 62 + found);
            }
            self.table.learn(name, value);
            literal(out, (0x40, 6), known, name, value);
        } else if name == b"set-cookie" {
            // Nobody on the way may learn it either (§6.2.3).
            literal(out, (0x10, 4), known, name, value);
        } else {
            literal(out, (0, 4), known, name, value);
        }
    }
}

/// Headers whose values are learnt.
fn is_the_same_on_every_page(name: &[u8]) -> bool {
    matches!(
        name,
        b"content-type"
            | b"cache-control"
            | b"content-security-policy"
            | b"strict-transport-security"
            | b"x-content-type-options"
            | b"x-frame-options"
            | b"referrer-policy"
            | b"permissions-policy"
            | b"cross-origin-opener-policy"
            | b"cross-origin-resource-policy"
            | b"cross-origin-embedder-policy"
            | b"access-control-allow-origin"
            | b"accept-ranges"
            | b"content-encoding"
            | b"content-language"
            | b"dav"
            | b"allow"
            | b"vary"
            | b"server"
    )
}

/// The number of a name that an answer may have.
fn known(name: &[u8]) -> usize {
    match name {
        b"accept-ranges" => 18,
        b"access-control-allow-origin" => 20,
        b"age" => 21,
        b"allow" => 22,
        b"cache-control" => 24,
        b"content-disposition" => 25,
        b"content-encoding" => 26,
        b"content-language" => 27,
        b"content-length" => 28,
        b"content-location" => 29,
        b"content-range" => 30,
        b"content-type" => 31,
        b"date" => 33,
        b"etag" => 34,
        b"expires" => 36,
        b"last-modified" => 44,
        b"link" => 45,
        b"location" => 46,
        b"refresh" => 52,
        b"retry-after" => 53,
        b"server" => 54,
        b"set-cookie" => 55,
        b"strict-transport-security" => 56,
        b"vary" => 59,
        b"via" => 60,
        b"www-authenticate" => 61,
        _ => 0,
    }
}

/// A header written out, its name by number where it has one.
fn literal(out: &mut Vec<u8>, (kind, prefix): (u8, u32), known: usize, name: &[u8], value: &[u8]) {
    number(out, kind, prefix, known);
    if known == 0 {
        text(out, name);
    }
    text(out, value);
}

/// A number behind some bits that say what it is (§5.1).
fn number(out: &mut Vec<u8>, kind: u8, prefix: u32, number: usize) {
    let most = (1_usize << prefix) - 1;
    if number < most {
        return out.push(kind | number as u8);
    }
    out.push(kind | most as u8);
    let mut left = number - most;
    while left >= 0x80 {
        out.push(0x80 | (left & 0x7f) as u8);
        left >>= 7;
    }
    out.push(left as u8);
}

/// A text as it is.
fn text(out: &mut Vec<u8>, text: &[u8]) {
    number(out, 0, 7, text.len());
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::super::table::KNOWN;
    use super::*;

    #[test]
    fn names_have_the_numbers_that_everybody_knows() {
        for (at, (name, _)) in KNOWN.iter().enumerate() {
            let number = known(name.as_bytes());
            assert!(number == 0 || number == at + 1, "{name} is {} and not {number}", at + 1);
        }
        for status in [200, 204, 206, 304, 400, 404, 500] {
            let mut out = Vec::new();
            Encoder::new().status(StatusCode::from_u16(status).unwrap(), &mut out);
            assert_eq!(KNOWN[usize::from(out[0] & 0x7f) - 1], (":status", status.to_string().as_str()));
            assert_eq!(out.len(), 1);
        }
    }
}
