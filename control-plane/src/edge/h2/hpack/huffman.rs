//! The code in which texts are shortened (RFC 7541 appendix B). It is canonical: codes of one length follow each other in the order of
//! their symbols, shorter ones before longer ones, so the lengths say all.

use super::Unreadable;

/// Bits of each byte's code, and of the end's.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The symbol that ends a text; nobody may say it.
const END: u16 = 256;
const LONGEST: usize = 30;

/// What the lengths say, made ready for reading.
struct Codes {
    /// All symbols in the order of their codes.
    symbols: [u16; 257],
    /// For each length, what the next 32 bits are less than if the code is no longer than that.
    below: [u64; LONGEST + 1],
    /// For each length, its first code and where its symbol stands.
    first: [(u32, u16); LONGEST + 1],
    /// For each byte that may come next, the symbol whose code it begins with and its length, where that is no more than 8.
    short: [(u8, u8); 256],
}

static READY: Codes = {
    let mut codes =
        Codes { symbols: [0; 257], below: [0; LONGEST + 1], first: [(0, 0); LONGEST + 1], short: [(0, 0); 256] };
    let (mut length, mut code, mut at) = (1, 0_u32, 0_u16);
    while length <= LONGEST {
        codes.first[length] = (code, at);
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                codes.symbols[at as usize] = symbol as u16;
                if length <= 8 {
                    let (from, many) = ((code as usize) << (8 - length), 1 << (8 - length));
                    let mut next = from;
                    while next < from + many {
                        codes.short[next] = (symbol as u8, length as u8);
                        next += 1;
                    }
                }
                code += 1;
                at += 1;
            }
            symbol += 1;
        }
        codes.below[length] = (code as u64) << (32 - length);
        code <<= 1;
        length += 1;
    }
    codes
};

/// Puts the text behind what is there.
///
/// # Errors
/// When it holds the end's code, or is filled up with anything but the beginning of that (RFC 7541 §5.2).
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), Unreadable> {
    // Bits that are not used yet, the next one on top.
    let (mut held, mut count) = (0_u64, 0_u32);
    let mut coming = coded.iter();
    loop {
        while count <= 56 {
            let Some(byte) = coming.next() else { break };
            held |= u64::from(*byte) << (56 - count);
            count += 8;
        }
        let (symbol, length) = next(held);
        if length > count {
            let filler = held.leading_ones() >= count;
            return if filler && count < 8 { Ok(()) } else { Err(Unreadable) };
        }
        out.push(u8::try_from(symbol).map_err(|_| Unreadable)?);
        held <<= length;
        count -= length;
    }
}

/// The symbol whose code is on top, and how many bits that has.
fn next(held: u64) -> (u16, u32) {
    let (symbol, length) = READY.short[(held >> 56) as usize];
    if length > 0 {
        return (u16::from(symbol), u32::from(length));
    }
    let top = held >> 32;
    let length = (9..LONGEST).find(|length| top < READY.below[*length]).unwrap_or(LONGEST);
    let (first, at) = READY.first[length];
    let code = (top >> (32 - length)) as u32;
    let symbol = usize::from(at) + (code - first) as usize;
    (READY.symbols.get(symbol).copied().unwrap_or(END), length as u32)
}

#[cfg(test)]
mod tests {
    use super::super::tests::bytes;
    use super::*;

    fn text(coded: &[u8]) -> Result<String, Unreadable> {
        let mut out = Vec::new();
        decode(coded, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    /// Every byte's code, written from the lengths alone.
    fn encode(text: &[u8]) -> Vec<u8> {
        let (mut bits, mut out) = (String::new(), Vec::new());
        for byte in text {
            let length = LENGTHS[usize::from(*byte)];
            let before = |l: u8, s: usize| l < length || (l == length && s < usize::from(*byte));
            // Codes of one length follow each other: each shorter or earlier one takes its share of all bits.
            let share: u64 =
                LENGTHS.iter().enumerate().filter(|(s, l)| before(**l, *s)).map(|(_, l)| 1 << (32 - l)).sum();
            bits.push_str(&format!("{:0width$b}", share >> (32 - length), width = usize::from(length)));
        }
        while bits.len() % 8 > 0 {
            bits.push('1');
        }
        for at in (0..bits.len()).step_by(8) {
            out.push(u8::from_str_radix(&bits[at..at + 8], 2).unwrap());
        }
        out
    }

    #[test]
    fn the_standards_own_examples() {
        for (coded, said) in [
            ("f1e3 c2e5 f23a 6ba0 ab90 f4ff", "www.example.com"),
            ("a8eb 1064 9cbf", "no-cache"),
            ("25a8 49e9 5bb8 e8b4 bf", "custom-value"),
            ("d07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3", "https://www.example.com"),
            (
                "94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
                "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
            ),
        ] {
            assert_eq!(text(&bytes(coded)).as_deref(), Ok(said));
        }
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
        let mut out = Vec::new();
        decode(&encode(&all), &mut out).unwrap();
        assert_eq!(out, all);
    }

    #[test]
    fn only_the_beginning_of_the_end_fills_up() {
        assert_eq!(text(&[]).as_deref(), Ok(""));
        // "a" is 00011.
        assert_eq!(text(&[0b0001_1111]).as_deref(), Ok("a"));
        for odd in [&[0b0001_1000][..], &[0b0001_1110], &[0b0001_1111, 0xff], &[0xff], &[0xff; 4], &[0xff; 8]] {
            assert_eq!(text(odd), Err(Unreadable), "{odd:x?}");
        }
    }
}
