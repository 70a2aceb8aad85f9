//! Header blocks read (RFC 7541 §3, §6).

use super::super::super::limits;
use super::table::{self, KNOWN, SIZE, Table};
use super::{Unreadable, huffman};

/// Bytes of most heads.
const USUAL: usize = 4 * 1024;
/// Size of a block's headers with which the connection ends: so small a block may say so much that to read it is work.
const ENDLESS: usize = 4 * limits::HEAD_BYTES;

/// The headers of one block, in their order. Whether they are good ones is not looked at here.
#[derive(Default)]
pub(in crate::edge::h2) struct Fields {
    text: Vec<u8>,
    /// For each where its name begins, where its value does and where that ends.
    places: Vec<[u32; 3]>,
    /// Size as RFC 9113 §6.5.2 counts it.
    size: usize,
}

impl Fields {
    pub(in crate::edge::h2) fn clear(&mut self) {
        self.text.clear();
        self.places.clear();
        self.size = 0;
    }

    /// Keeps room for what is usual.
    pub(in crate::edge::h2) fn shrink(&mut self) {
        if self.text.capacity() > USUAL {
            *self = Self::default();
        }
    }

    pub(in crate::edge::h2) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let part = |from, to| &self.text[from as usize..to as usize];
        self.places.iter().map(move |[name, value, end]| (part(*name, *value), part(*value, *end)))
    }

    /// Bytes of all their text.
    pub(in crate::edge::h2) fn len(&self) -> usize {
        self.text.len()
    }

    /// More than we take. Then not all of them are here: they were only read for what they do to the table.
    pub(in crate::edge::h2) fn is_too_large(&self) -> bool {
        self.size > limits::HEAD_BYTES
    }

    /// What was put behind `start` is a header, and its value begins at `value`.
    fn end(&mut self, start: usize, value: usize) {
        self.size += table::cost(&[], &self.text[start..]);
        if self.is_too_large() {
            return self.text.truncate(start);
        }
        // Less than what we take, so it has room.
        self.places.push([start, value, self.text.len()].map(|at| at as u32));
    }
}

/// What the other side has said so far.
pub(in crate::edge::h2) struct Decoder {
    table: Table,
}

impl Decoder {
    pub(in crate::edge::h2) fn new() -> Self {
        Self { table: Table::new() }
    }

    /// Reads a whole block.
    ///
    /// # Errors
    /// When it is none, or says more than anybody would. The table is of no use from then on.
    pub(in crate::edge::h2) fn decode(&mut self, block: &[u8], fields: &mut Fields) -> Result<(), Unreadable> {
        let mut coming = Coming(block);
        // Only here is it said how large the table is (§4.2).
        while let Some(0b0010_0000..=0b0011_1111) = coming.0.first() {
            let size = coming.number(5)?;
            if size > SIZE {
                return Err(Unreadable);
            }
            self.table.resize(size);
        }
        while let Some(first) = coming.0.first() {
            if fields.size > ENDLESS {
                return Err(Unreadable);
            }
            match first {
                0b1000_0000.. => self.known(coming.number(7)?, fields)?,
                0b0100_0000.. => self.literal(&mut coming, 6, fields)?,
                0b0010_0000.. => return Err(Unreadable),
                _ => self.literal(&mut coming, 4, fields)?,
            }
        }
        Ok(())
    }

    /// A header by its number.
    fn known(&self, number: usize, fields: &mut Fields) -> Result<(), Unreadable> {
        let (name, value) = self.get(number)?;
        let start = fields.text.len();
        fields.text.extend_from_slice(name);
        fields.text.extend_from_slice(value);
        fields.end(start, start + name.len());
        Ok(())
    }

    /// A header whose value is written out, and its name too where it has no number. With a prefix of 6 bits it is to be learnt.
    fn literal(&mut self, coming: &mut Coming<'_>, prefix: u32, fields: &mut Fields) -> Result<(), Unreadable> {
        let (number, start) = (coming.number(prefix)?, fields.text.len());
        match number {
            0 => coming.text(&mut fields.text)?,
            number => fields.text.extend_from_slice(self.get(number)?.0),
        }
        let value = fields.text.len();
        coming.text(&mut fields.text)?;
        if prefix == 6 {
            self.table.learn(&fields.text[start..value], &fields.text[value..]);
        }
        fields.end(start, value);
        Ok(())
    }

    fn get(&self, number: usize) -> Result<(&[u8], &[u8]), Unreadable> {
        let known = number.checked_sub(1).and_then(|at| KNOWN.get(at));
        match known {
            Some((name, value)) => Ok((name.as_bytes(), value.as_bytes())),
            None => self.table.get(number.wrapping_sub(KNOWN.len() + 1)).ok_or(Unreadable),
        }
    }
}

/// What is left of a block.
struct Coming<'a>(&'a [u8]);

impl<'a> Coming<'a> {
    fn byte(&mut self) -> Result<u8, Unreadable> {
        let (first, rest) = self.0.split_first().ok_or(Unreadable)?;
        self.0 = rest;
        Ok(*first)
    }

    /// A number of which the first byte holds so many bits (§5.1).
    fn number(&mut self, prefix: u32) -> Result<usize, Unreadable> {
        let most = (1_u32 << prefix) - 1;
        let mut number = u32::from(self.byte()?) & most;
        if number < most {
            return Ok(number as usize);
        }
        // Nothing here has more than 28 bits.
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            number += u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number as usize);
            }
        }
        Err(Unreadable)
    }

    /// A text (§5.2), put behind what is there.
    fn text(&mut self, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let coded = self.0.first().ok_or(Unreadable)? & 0x80 != 0;
        let length = self.number(7)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(Unreadable)?;
        self.0 = rest;
        if coded {
            return huffman::decode(text, out);
        }
        out.extend_from_slice(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bytes, read};
    use super::*;

    /// Appendix C: three requests on one connection, written out and shortened.
    #[test]
    fn the_standards_own_requests() {
        let plain = [
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ];
        let short = [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ];
        let host = (":authority", "www.example.com");
        let said: [&[(&str, &str)]; 3] = [
            &[(":method", "GET"), (":scheme", "http"), (":path", "/"), host],
            &[(":method", "GET"), (":scheme", "http"), (":path", "/"), host, ("cache-control", "no-cache")],
            &[(":method", "GET"), (":scheme", "https"), (":path", "/index.html"), host, ("custom-key", "custom-value")],
        ];
        for blocks in [plain, short] {
            let mut decoder = Decoder::new();
            for (block, said) in blocks.iter().zip(said) {
                let said = said.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
                assert_eq!(read(&mut decoder, &bytes(block)), Ok(said));
            }
        }
    }

    /// Appendix C.6: answers with a table of 256 bytes, out of which what is oldest falls.
    #[test]
    fn the_standards_own_answers() {
        let mut decoder = Decoder::new();
        decoder.decode(&bytes("3f e101"), &mut Fields::default()).unwrap();
        for (block, date, more) in [
            (
                "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                "Mon, 21 Oct 2013 20:13:21 GMT",
                4,
            ),
            ("4883 640e ffc1 c0bf", "Mon, 21 Oct 2013 20:13:21 GMT", 4),
            (
                "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
                "Mon, 21 Oct 2013 20:13:22 GMT",
                6,
            ),
        ] {
            let fields = read(&mut decoder, &bytes(block)).unwrap();
            assert_eq!(fields.iter().find(|(name, _)| name == "date").unwrap().1, date);
            assert_eq!((fields.len(), fields[0].0.as_str()), (more, ":status"));
        }
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for odd in [
            "80",                      // number 0
            "be",                      // nothing was learnt yet
            "ff ffff ffff 0f",         // a number without end
            "40 05 61",                // a name that is cut off
            "40 01 61",                // no value
            "00",                      // neither
            "82 20",                   // the table's size amid headers
            "3f e2 1f",                // 4097
            "00 81 ff 01 61",          // a name that is badly shortened
            "5f ff ff ff ff ff ff 7f", // a name's number without end
        ] {
            assert_eq!(read(&mut Decoder::new(), &bytes(odd)), Err(Unreadable), "{odd}");
        }
    }

    #[test]
    fn more_than_is_taken_is_still_read_for_the_table() {
        let value = vec![b'x'; 100];
        let field = [&[0x40, 1, b'n', 100][..], &value].concat();
        let (mut decoder, mut fields) = (Decoder::new(), Fields::default());
        decoder.decode(&field.repeat(900), &mut fields).unwrap();
        assert!(fields.is_too_large());
        assert!(fields.len() <= limits::HEAD_BYTES);
        assert_eq!(read(&mut decoder, &[0xbe]).unwrap()[0].1.len(), 100);
        assert_eq!(decoder.decode(&[0xbe; 2000], &mut Fields::default()), Err(Unreadable));
    }
}
