//! Reads a ZIP file's directory and believes nothing: every byte of the file must have exactly one meaning.
//!
//! Readers that guess (from the front, from the back, around gaps) can be made to see different contents in one file. So: no
//! guessing. Local headers and directory must agree, entries must lie one after another without a gap, and what follows
//! the last one must be the end. Checks after uv's list and `docs/bundle-format.md` §6.

mod end;

use std::io;

use end::End;

use super::{Method, records};
use crate::{
    paths,
    refusal::{Error, Refusal, Why},
};

/// Something that can be read anywhere: a file, bytes, a layout.
pub trait ReadAt: Send + Sync {
    /// Bytes in all.
    ///
    /// # Errors
    /// When it cannot be told.
    fn size(&self) -> io::Result<u64>;
    /// Reads at a place; fewer bytes than asked for only at the end.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
}

impl ReadAt for std::fs::File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buf, at)
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let rest = usize::try_from(at).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

/// How much a reader is ready to take in.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Bytes of all contents, unpacked.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 5_000_000, bytes: u64::MAX }
    }
}

/// Bytes that an entry may unpack to, for each byte that it takes.
const MAX_RATIO: u64 = 200;

/// A file in the ZIP, as both of its headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its whole name.
    pub name: String,
    /// How it is kept.
    pub method: Method,
    /// CRC-32 of the content.
    pub crc32: u32,
    /// Bytes it takes.
    pub packed: u64,
    /// Bytes of its content.
    pub size: u64,
    /// Where its bytes begin.
    pub data: u64,
    /// Where its local header begins.
    offset: u64,
    flags: u16,
    folder: bool,
}

/// The files of a ZIP, in the order of their bytes. Folders' own entries are checked and left out.
///
/// # Errors
/// With the first thing that is not as it must be.
pub fn read(zip: &dyn ReadAt, limits: &Limits) -> Result<Vec<Record>, Error> {
    let end = end::find(zip)?;
    if end.count > limits.entries {
        return Err(Why::TooMany.into());
    }
    let mut records = central(zip, &end)?;
    // Already sorted in what we write; others may list in another order than they store.
    records.sort_by_key(|r| r.offset);
    let mut at = 0;
    let mut bytes = 0_u64;
    for (index, record) in records.iter_mut().enumerate() {
        if record.offset != at {
            return Err(match (record.offset < at, index) {
                (true, _) => Why::Overlap.at(&record.name),
                (false, 0) => Why::Prepended.into(),
                (false, _) => Why::Gap.at(&record.name),
            }
            .into());
        }
        at = local(zip, record, end.start)?;
        bytes = bytes.checked_add(record.size).filter(|b| *b <= limits.bytes).ok_or(Why::TooBig)?;
    }
    if at != end.start {
        return Err(if records.is_empty() { Why::Prepended } else { Why::Gap }.into());
    }
    no_clashes(&records)?;
    records.retain(|r| !r.folder);
    Ok(records)
}

fn no_clashes(records: &[Record]) -> Result<(), Refusal> {
    let mut clashes = paths::Clashes::default();
    for file in records.iter().filter(|r| !r.folder) {
        clashes.file(&file.name)?;
    }
    for folder in records.iter().filter(|r| r.folder) {
        clashes.file(&format!("{}/.", folder.name))?; // no file has this name, so two folders clash with each other only
    }
    Ok(())
}

/// All entries of the central directory, read through a small window.
fn central(zip: &dyn ReadAt, end: &End) -> Result<Vec<Record>, Error> {
    let mut found = Vec::with_capacity(usize::try_from(end.count.min(100_000)).unwrap_or(0));
    let mut buffer = Buffered { zip, at: end.start, end: end.start + end.len, bytes: Vec::new(), read: 0 };
    for _ in 0..end.count {
        let fixed = buffer.take(usize::try_from(records::CENTRAL_LEN).unwrap_or(46))?.to_vec();
        if u32_at(&fixed, 0) != records::CENTRAL {
            return Err(Why::Count.into());
        }
        let (name_len, extra_len) = (usize::from(u16_at(&fixed, 28)), usize::from(u16_at(&fixed, 30)));
        let variable = buffer.take(name_len + extra_len)?;
        let (name, extra) = variable.split_at(name_len);
        found.push(central_record(&fixed, name, extra)?);
    }
    if buffer.left() > 0 { Err(Why::Count.into()) } else { Ok(found) }
}

fn central_record(fixed: &[u8], name: &[u8], extra: &[u8]) -> Result<Record, Refusal> {
    let flags = u16_at(fixed, 8);
    let (name, folder) = check_name(name, flags)?;
    let method = check_method(flags, u16_at(fixed, 10), &name)?;
    if u16_at(fixed, 32) != 0 {
        return Err(Why::Comment.at(name));
    }
    if u16_at(fixed, 34) != 0 {
        return Err(Why::Disks.at(name));
    }
    check_kind(u16_at(fixed, 4) >> 8, u32_at(fixed, 38), folder, &name)?;
    let mut fields = Fields64 {
        size: u64::from(u32_at(fixed, 24)),
        packed: u64::from(u32_at(fixed, 20)),
        offset: Some(u64::from(u32_at(fixed, 42))),
    };
    fields.read(extra, &name)?;
    let Fields64 { size, packed, offset } = fields;
    let crc32 = u32_at(fixed, 16);
    if method == Method::Stored && size != packed {
        return Err(Why::Size.at(name));
    }
    if size > packed.saturating_mul(MAX_RATIO) {
        return Err(Why::Ratio.at(name));
    }
    if folder && (size != 0 || crc32 != 0) {
        return Err(Why::FileAndFolder.at(name));
    }
    Ok(Record { name, method, crc32, packed, size, data: 0, offset: offset.unwrap_or(0), flags, folder })
}

fn check_name(name: &[u8], flags: u16) -> Result<(String, bool), Refusal> {
    let lossy = || String::from_utf8_lossy(name).into_owned();
    let text = std::str::from_utf8(name).map_err(|_| Why::NotUtf8.at(lossy()))?;
    if !text.is_ascii() && flags & records::UTF8 == 0 {
        return Err(Why::NotUtf8.at(text));
    }
    let (path, folder) = match text.strip_suffix('/') {
        Some(path) => (path, true),
        None => (text, false),
    };
    // The base folder's name comes on top of what a path may have.
    let (base, inside) = path.split_once('/').unwrap_or((path, "."));
    paths::check(base)?;
    if inside != "." || path.contains('/') {
        paths::check(inside).map_err(|r| r.why.at(text))?;
    }
    Ok((path.to_owned(), folder))
}

fn check_method(flags: u16, method: u16, name: &str) -> Result<Method, Refusal> {
    const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
    const DESCRIPTOR: u16 = 1 << 3;
    const LEVEL: u16 = 1 << 1 | 1 << 2;
    if flags & ENCRYPTED != 0 {
        return Err(Why::Encrypted.at(name));
    }
    if flags & DESCRIPTOR != 0 {
        return Err(Why::Descriptor.at(name));
    }
    if flags & !(records::UTF8 | LEVEL) != 0 {
        return Err(Why::Flags.at(name));
    }
    match method {
        0 => Ok(Method::Stored),
        8 => Ok(Method::Deflated),
        99 => Err(Why::Encrypted.at(name)),
        _ => Err(Why::Method.at(name)),
    }
}

/// Refuses links, devices and folders that call themselves files, by the attributes of Unix and of DOS.
fn check_kind(system: u16, attributes: u32, folder: bool, name: &str) -> Result<(), Refusal> {
    const UNIX: u16 = 3;
    const MAC: u16 = 19;
    const DOS_VOLUME: u32 = 0x08;
    const DOS_FOLDER: u32 = 0x10;
    const DOS_REPARSE: u32 = 0x400;
    if matches!(system, UNIX | MAC) {
        match attributes >> 16 & 0o170_000 {
            0 => {}
            0o100_000 if !folder => {}
            0o040_000 if folder => {}
            _ => return Err(Why::Link.at(name)),
        }
    } else if attributes & DOS_REPARSE != 0 {
        return Err(Why::Link.at(name));
    }
    if attributes & DOS_VOLUME != 0 || (attributes & DOS_FOLDER != 0 && !folder) {
        return Err(Why::Link.at(name));
    }
    Ok(())
}

/// The values that move into the ZIP64 extra field when 32 bits are too few.
struct Fields64 {
    size: u64,
    packed: u64,
    offset: Option<u64>,
}

impl Fields64 {
    /// Reads the extra fields; only those that cannot change what the entry means are let through.
    fn read(&mut self, extra: &[u8], name: &str) -> Result<(), Refusal> {
        let mut rest = extra;
        let mut seen = false;
        while !rest.is_empty() {
            if rest.len() < 4 {
                return Err(Why::Extra.at(name));
            }
            let (id, len) = (u16_at(rest, 0), usize::from(u16_at(rest, 2)));
            let Some(field) = rest.get(4..4 + len) else { return Err(Why::Extra.at(name)) };
            match id {
                records::EXTRA64 if !seen => {
                    seen = true;
                    self.take(field, name)?;
                }
                // Times and owners, which we ignore: Info-ZIP's UT, ux, UX and NTFS.
                0x5455 | 0x7875 | 0x5855 | 0x000a => {}
                _ => return Err(Why::Extra.at(name)),
            }
            rest = &rest[4 + len..];
        }
        let full = u64::from(records::FULL32);
        if !seen && (self.size == full || self.packed == full || self.offset == Some(full)) {
            return Err(Why::Zip64.at(name));
        }
        Ok(())
    }

    /// Each value is in the field exactly when its place in the header says so, in this order.
    fn take(&mut self, field: &[u8], name: &str) -> Result<(), Refusal> {
        let mut values = field.chunks(8);
        let full = u64::from(records::FULL32);
        let mut next = |value: &mut u64| -> Result<(), Refusal> {
            if *value == full {
                let eight = values.next().filter(|v| v.len() == 8).ok_or_else(|| Why::Zip64.at(name))?;
                *value = u64_at(eight, 0);
            }
            Ok(())
        };
        next(&mut self.size)?;
        next(&mut self.packed)?;
        if let Some(offset) = &mut self.offset {
            next(offset)?;
        }
        if values.next().is_some() { Err(Why::Zip64.at(name)) } else { Ok(()) }
    }
}

/// Compares the local header with the directory's entry; gives where the content ends.
fn local(zip: &dyn ReadAt, record: &mut Record, limit: u64) -> Result<u64, Error> {
    let room = limit - record.offset.min(limit);
    if room < records::LOCAL_LEN {
        return Err(Why::Overlap.at(&record.name).into());
    }
    // Name and extra fields of nearly every entry fit into one read.
    let head = window(zip, record.offset, room.min(records::LOCAL_LEN + 300))?;
    if u32_at(&head, 0) != records::LOCAL {
        return Err(Why::Headers.at(&record.name).into());
    }
    let (name_len, extra_len) = (u64::from(u16_at(&head, 26)), u64::from(u16_at(&head, 28)));
    let len = records::LOCAL_LEN + name_len + extra_len;
    if len > room {
        return Err(Why::Overlap.at(&record.name).into());
    }
    let whole = if len > head.len() as u64 { window(zip, record.offset, len)? } else { head };
    same(&whole, record)?;
    record.data = record.offset + len;
    match record.data.checked_add(record.packed) {
        Some(end) if end <= limit => Ok(end),
        _ => Err(Why::Overlap.at(&record.name).into()),
    }
}

fn same(local: &[u8], record: &Record) -> Result<(), Refusal> {
    let name_end = 30 + usize::from(u16_at(local, 26));
    let extra_end = name_end + usize::from(u16_at(local, 28));
    let mut fields =
        Fields64 { size: u64::from(u32_at(local, 22)), packed: u64::from(u32_at(local, 18)), offset: None };
    fields.read(&local[name_end..extra_end], &record.name)?;
    let slash = if record.folder { "/" } else { "" };
    let agree = &local[30..name_end] == format!("{}{slash}", record.name).as_bytes()
        && u16_at(local, 6) == record.flags
        && u16_at(local, 8) == record.method.number()
        && u32_at(local, 14) == record.crc32
        && fields.packed == record.packed
        && fields.size == record.size;
    if agree { Ok(()) } else { Err(Why::Headers.at(&record.name)) }
}

/// Reads forward through a range in pieces of 64 KiB.
struct Buffered<'a> {
    zip: &'a dyn ReadAt,
    at: u64,
    end: u64,
    bytes: Vec<u8>,
    read: usize,
}

impl Buffered<'_> {
    fn left(&self) -> u64 {
        self.end - self.at + (self.bytes.len() - self.read) as u64
    }

    fn take(&mut self, len: usize) -> Result<&[u8], Error> {
        if (len as u64) > self.left() {
            return Err(Why::Count.into());
        }
        if self.bytes.len() - self.read < len {
            self.bytes.drain(..self.read);
            self.read = 0;
            let more = (self.end - self.at).min((len as u64).max(64 * 1024));
            self.bytes.extend(window(self.zip, self.at, more)?);
            self.at += more;
        }
        let start = self.read;
        self.read += len;
        Ok(&self.bytes[start..self.read])
    }
}

fn window(zip: &dyn ReadAt, at: u64, len: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| Why::Truncated)?];
    let mut done = 0;
    while done < bytes.len() {
        match zip.read_at(&mut bytes[done..], at + done as u64)? {
            0 => return Err(Why::Truncated.into()),
            n => done += n,
        }
    }
    Ok(bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}
