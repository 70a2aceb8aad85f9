//! The records of a ZIP file, byte by byte.

use super::Method;

pub(super) const LOCAL: u32 = 0x0403_4b50;
pub(super) const CENTRAL: u32 = 0x0201_4b50;
pub(super) const END: u32 = 0x0605_4b50;
pub(super) const END64: u32 = 0x0606_4b50;
pub(super) const LOCATOR64: u32 = 0x0706_4b50;

pub(super) const LOCAL_LEN: u64 = 30;
pub(super) const CENTRAL_LEN: u64 = 46;
pub(super) const END_LEN: u64 = 22;
pub(super) const END64_LEN: u64 = 56;
pub(super) const LOCATOR64_LEN: u64 = 20;

/// "See the ZIP64 record."
pub(super) const FULL32: u32 = u32::MAX;
pub(super) const FULL16: u16 = u16::MAX;
/// The extra field that holds what 32 bits cannot.
pub(super) const EXTRA64: u16 = 1;
/// General purpose bit 11: the name is UTF-8.
pub(super) const UTF8: u16 = 1 << 11;
/// 1 January 1980, midnight: the first moment that ZIP knows; always the same, so that bundles can be reproduced.
const DATE: u16 = 0x0021;

/// What the headers say of an entry.
pub(super) struct Header {
    pub(super) name: String,
    pub(super) method: Method,
    pub(super) crc32: u32,
    pub(super) packed: u64,
    pub(super) size: u64,
    pub(super) offset: u64,
}

fn is_big(value: u64) -> bool {
    value >= u64::from(FULL32)
}

fn low32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(FULL32)
}

/// Bytes of the local header in front of a content.
pub(super) fn local_len(name: usize, packed: u64, size: u64) -> u64 {
    LOCAL_LEN + name as u64 + if is_big(packed) || is_big(size) { 20 } else { 0 }
}

/// Bytes of the entry in the central directory.
pub(super) fn central_len(name: usize, packed: u64, size: u64, offset: u64) -> u64 {
    let extra = 8 * [packed, size, offset].into_iter().filter(|v| is_big(*v)).count() as u64;
    CENTRAL_LEN + name as u64 + if extra > 0 { extra + 4 } else { 0 }
}

impl Header {
    /// The local header. It holds both sizes in its ZIP64 field as soon as one of them needs it (APPNOTE 4.5.3).
    pub(super) fn local(&self) -> Vec<u8> {
        let big = is_big(self.packed) || is_big(self.size);
        let mut out = Vec::with_capacity(usize::try_from(LOCAL_LEN).unwrap_or(30) + self.name.len() + 20);
        out.extend(LOCAL.to_le_bytes());
        self.common(&mut out, big, big.then_some((FULL32, FULL32)));
        out.extend((if big { 20_u16 } else { 0 }).to_le_bytes());
        out.extend(self.name.as_bytes());
        if big {
            extra64(&mut out, &[self.size, self.packed]);
        }
        out
    }

    /// The entry in the central directory.
    pub(super) fn central(&self) -> Vec<u8> {
        let values: Vec<u64> = [self.size, self.packed, self.offset].into_iter().filter(|v| is_big(*v)).collect();
        let mut out = Vec::with_capacity(usize::try_from(CENTRAL_LEN).unwrap_or(46) + self.name.len() + 28);
        out.extend(CENTRAL.to_le_bytes());
        out.extend((3_u16 << 8 | 45).to_le_bytes()); // made by: Unix, 4.5
        self.common(&mut out, !values.is_empty(), None);
        let extra = if values.is_empty() { 0 } else { 4 + 8 * values.len() };
        out.extend(u16::try_from(extra).unwrap_or(0).to_le_bytes());
        out.extend([0; 6]); // no comment, disk 0, no internal attributes
        out.extend((0o100_644_u32 << 16).to_le_bytes()); // a plain file that its owner may write
        out.extend(low32(self.offset).to_le_bytes());
        out.extend(self.name.as_bytes());
        if !values.is_empty() {
            extra64(&mut out, &values);
        }
        out
    }

    /// The fields from "version needed" to "name length", which both headers share.
    fn common(&self, out: &mut Vec<u8>, zip64: bool, sizes: Option<(u32, u32)>) {
        let (packed, size) = sizes.unwrap_or((low32(self.packed), low32(self.size)));
        out.extend((if zip64 { 45_u16 } else { 20 }).to_le_bytes());
        out.extend(UTF8.to_le_bytes());
        out.extend(self.method.number().to_le_bytes());
        out.extend([0; 2]); // midnight
        out.extend(DATE.to_le_bytes());
        out.extend(self.crc32.to_le_bytes());
        out.extend(packed.to_le_bytes());
        out.extend(size.to_le_bytes());
        out.extend(u16::try_from(self.name.len()).unwrap_or(FULL16).to_le_bytes());
    }
}

fn extra64(out: &mut Vec<u8>, values: &[u64]) {
    out.extend(EXTRA64.to_le_bytes());
    out.extend(u16::try_from(values.len() * 8).unwrap_or(0).to_le_bytes());
    for value in values {
        out.extend(value.to_le_bytes());
    }
}

/// What stands after the last entry of the central directory.
pub(super) fn end(count: u64, start: u64, len: u64) -> Vec<u8> {
    let mut out = Vec::new();
    if count >= u64::from(FULL16) || is_big(start) || is_big(len) {
        out.extend(END64.to_le_bytes());
        out.extend((END64_LEN - 12).to_le_bytes());
        out.extend((3_u16 << 8 | 45).to_le_bytes());
        out.extend(45_u16.to_le_bytes());
        out.extend([0; 8]); // disk 0 of disk 0
        for value in [count, count, len, start] {
            out.extend(value.to_le_bytes());
        }
        out.extend(LOCATOR64.to_le_bytes());
        out.extend([0; 4]);
        out.extend((start + len).to_le_bytes());
        out.extend(1_u32.to_le_bytes());
    }
    out.extend(END.to_le_bytes());
    out.extend([0; 4]);
    let count = u16::try_from(count).unwrap_or(FULL16);
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(low32(len).to_le_bytes());
    out.extend(low32(start).to_le_bytes());
    out.extend([0; 2]); // no comment
    out
}
