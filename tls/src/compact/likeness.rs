//! Tells one text by another that is like it: stretches of the model by place and length, the rest as it is.
//!
//! `count | bytes as they are | length | place (2)`, again and again; a length of 0 has no place.

/// Four bytes of the model, as a number below the table's size.
fn slot(bytes: &[u8]) -> Option<usize> {
    let four = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
    Some((four.wrapping_mul(0x9e37_79b1) >> 20) as usize)
}

const SLOTS: usize = 1 << 12;
/// Stretches shorter than this cost more than they save.
const LEAST: usize = 6;

/// The text that others are told by.
pub(super) struct Model {
    text: Box<[u8]>,
    /// Where the model has the four bytes of each slot; places are off by one, 0 is nowhere.
    places: Box<[u16]>,
}

impl Model {
    /// None when the text is too long to have places in.
    pub(super) fn new(text: &[u8]) -> Option<Self> {
        let mut places = vec![0; SLOTS].into_boxed_slice();
        for at in (0..text.len()).rev() {
            if let Some(slot) = slot(&text[at..]) {
                places[slot] = u16::try_from(at + 1).ok()?;
            }
        }
        Some(Self { text: text.into(), places })
    }

    /// How far the model, from `place` on, is the same as `rest`.
    fn same(&self, place: usize, rest: &[u8]) -> usize {
        let model = self.text.get(place..).unwrap_or_default();
        model.iter().zip(rest).take(usize::from(u8::MAX)).take_while(|(a, b)| a == b).count()
    }

    /// The best stretch of the model for the beginning of `rest`: where the last one would go on, or where the table says.
    fn stretch(&self, expected: usize, rest: &[u8]) -> Option<(usize, usize)> {
        let known = slot(rest).and_then(|slot| usize::from(self.places[slot]).checked_sub(1));
        let both = [Some(expected), known].into_iter().flatten();
        let best = both.map(|place| (place, self.same(place, rest))).max_by_key(|(_, length)| *length);
        best.filter(|(_, length)| *length >= LEAST)
    }

    /// Appends what tells `text`.
    pub(super) fn tell(&self, text: &[u8], out: &mut Vec<u8>) {
        let (mut at, mut expected) = (0, 0);
        while at < text.len() {
            let start = at;
            let found = loop {
                let found = self.stretch(expected, &text[at..]);
                if found.is_some() || at == text.len() || at - start == usize::from(u8::MAX) {
                    break found;
                }
                (at, expected) = (at + 1, expected + 1);
            };
            // Both counts stay below 256: see above and `same`; places do, since the model has them all.
            out.push((at - start) as u8);
            out.extend_from_slice(&text[start..at]);
            let (place, length) = found.unwrap_or((0, 0));
            out.push(length as u8);
            if length > 0 {
                out.extend_from_slice(&(place as u16).to_be_bytes());
                (at, expected) = (at + length, place + length);
            }
        }
    }

    /// The text that was told; none when this tells none.
    pub(super) fn hear(&self, mut told: &[u8]) -> Option<Vec<u8>> {
        let mut text = Vec::with_capacity(self.text.len() + 64);
        while let Some((&count, rest)) = told.split_first() {
            let (plain, rest) = rest.split_at_checked(usize::from(count))?;
            text.extend_from_slice(plain);
            let (&length, rest) = rest.split_first()?;
            told = rest;
            if length > 0 {
                let (place, rest) = rest.split_first_chunk()?;
                let place = usize::from(u16::from_be_bytes(*place));
                text.extend_from_slice(self.text.get(place..place + usize::from(length))?);
                told = rest;
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(model: &[u8], text: &[u8]) -> usize {
        let model = Model::new(model).unwrap();
        let mut out = Vec::new();
        model.tell(text, &mut out);
        assert_eq!(model.hear(&out).as_deref(), Some(text));
        out.len()
    }

    #[test]
    fn every_text_comes_out_as_it_went_in() {
        let noise = |seed: u32, length: usize| -> Vec<u8> {
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            (0..length).map(|_| next()).collect()
        };
        for length in [0, 1, 3, 4, 5, 6, 7, 254, 255, 256, 257, 511, 1000, 3000] {
            let (a, b) = (noise(1, length), noise(2, length));
            told(&a, &b);
            told(&a, &[]);
            told(&[], &a);
            assert!(told(&a, &a) <= 8 * (length / 255 + 1));
            let mixed = [&a[..length / 3], &b[..length / 2], &a[length / 3..], &b].concat();
            told(&a, &mixed);
        }
    }

    #[test]
    fn what_was_cut_off_or_points_nowhere_is_no_text() {
        let model = Model::new(&[7; 100]).unwrap();
        for odd in [&[1][..], &[0], &[2, 7], &[0, 5], &[0, 5, 0], &[0, 5, 0, 99], &[0, 5, 255, 255]] {
            assert_eq!(model.hear(odd), None, "{odd:?}");
        }
        assert!(Model::new(&[0; 70_000]).is_none());
    }
}
