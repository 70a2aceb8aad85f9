//! Where a ZIP file says that its directory is.

use super::{ReadAt, records, u16_at, u32_at, u64_at, window};
use crate::refusal::{Error, Why};

/// Where the directory is.
pub(super) struct End {
    pub(super) count: u64,
    pub(super) start: u64,
    pub(super) len: u64,
}

/// Finds the end records, which must be the last bytes of the file, and nothing else.
pub(super) fn find(zip: &dyn ReadAt) -> Result<End, Error> {
    let size = zip.size()?;
    let first = window(zip, 0, size.min(4))?;
    if size < records::END_LEN || !matches!(u32_at(&first, 0), records::LOCAL | records::END) {
        return Err(not_a_zip(zip, size)?.into());
    }
    let at = size - records::END_LEN;
    let end = window(zip, at, records::END_LEN)?;
    if u32_at(&end, 0) != records::END {
        return Err(no_end(zip, size)?.into());
    }
    if u16_at(&end, 20) != 0 {
        return Err(Why::Comment.into()); // cannot be: the record is the last thing and says that a comment follows
    }
    let locator = match at.checked_sub(records::LOCATOR64_LEN) {
        Some(place) => Some(window(zip, place, records::LOCATOR64_LEN)?).filter(|l| u32_at(l, 0) == records::LOCATOR64),
        None => None,
    };
    let found = match locator {
        Some(locator) => end64(zip, at - records::LOCATOR64_LEN, &locator, &end)?,
        None => end32(&end, at)?,
    };
    if found.count.saturating_mul(records::CENTRAL_LEN) > found.len {
        return Err(Why::Count.into());
    }
    Ok(found)
}

/// The file does not begin like a ZIP: something else, or a ZIP behind something.
fn not_a_zip(zip: &dyn ReadAt, size: u64) -> Result<Why, Error> {
    if size < records::END_LEN {
        return Ok(Why::NotZip);
    }
    let end = window(zip, size - records::END_LEN, records::END_LEN)?;
    Ok(if u32_at(&end, 0) == records::END { Why::Prepended } else { Why::NotZip })
}

/// The last bytes are not the end record: find out why, for the words only.
fn no_end(zip: &dyn ReadAt, size: u64) -> Result<Why, Error> {
    let len = size.min(records::END_LEN + u64::from(records::FULL16));
    let tail = window(zip, size - len, len)?;
    let found = (0..tail.len().saturating_sub(21)).rev().find(|i| u32_at(&tail, *i) == records::END);
    Ok(match found {
        None => Why::Truncated,
        Some(at) if at + 22 + usize::from(u16_at(&tail, at + 20)) == tail.len() => Why::Comment,
        Some(_) => Why::Trailing,
    })
}

fn end32(end: &[u8], at: u64) -> Result<End, Error> {
    if u16_at(end, 4) != 0 || u16_at(end, 6) != 0 {
        return Err(Why::Disks.into());
    }
    let (here, count) = (u16_at(end, 8), u16_at(end, 10));
    let (len, start) = (u32_at(end, 12), u32_at(end, 16));
    if count == records::FULL16 || len == records::FULL32 || start == records::FULL32 {
        return Err(Why::Zip64.into()); // it points to a record that is not there
    }
    if here != count {
        return Err(Why::Count.into());
    }
    place(u64::from(count), u64::from(start), u64::from(len), at)
}

fn end64(zip: &dyn ReadAt, locator_at: u64, locator: &[u8], end: &[u8]) -> Result<End, Error> {
    if u32_at(locator, 4) != 0 || u32_at(locator, 16) != 1 {
        return Err(Why::Disks.into());
    }
    let at = u64_at(locator, 8);
    // Exactly in front of the locator, and so without "extensible data".
    if at.checked_add(records::END64_LEN) != Some(locator_at) {
        return Err(Why::Zip64.into());
    }
    let big = window(zip, at, records::END64_LEN)?;
    if u32_at(&big, 0) != records::END64 || u64_at(&big, 4) != records::END64_LEN - 12 {
        return Err(Why::Zip64.into());
    }
    if u32_at(&big, 16) != 0 || u32_at(&big, 20) != 0 {
        return Err(Why::Disks.into());
    }
    let (here, count, len, start) = (u64_at(&big, 24), u64_at(&big, 32), u64_at(&big, 40), u64_at(&big, 48));
    let same16 = |small: u16, value: u64| small == records::FULL16 || u64::from(small) == value;
    let same32 = |small: u32, value: u64| small == records::FULL32 || u64::from(small) == value;
    let agree = same16(u16_at(end, 8), count)
        && same16(u16_at(end, 10), count)
        && same32(u32_at(end, 12), len)
        && same32(u32_at(end, 16), start);
    if u16_at(end, 4) != 0 || u16_at(end, 6) != 0 {
        return Err(Why::Disks.into());
    }
    if !agree {
        return Err(Why::Zip64.into());
    }
    if here != count {
        return Err(Why::Count.into());
    }
    place(count, start, len, at)
}

fn place(count: u64, start: u64, len: u64, end: u64) -> Result<End, Error> {
    match start.checked_add(len) {
        Some(at) if at == end => Ok(End { count, start, len }),
        // The directory ends before the end record, or would end after it: bytes in front shift everything.
        Some(at) if at < end => Err(Why::Prepended.into()),
        _ => Err(Why::Truncated.into()),
    }
}
