//! A ZIP file that is known before its first byte: every offset follows from names, sizes and CRCs.
//!
//! So an export has an exact length, answers ranges, needs no temporary file and hashes nothing twice.

use std::{
    fmt,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use sha2::Digest;

use super::{Method, records};
use crate::{Sum, paths, refusal::Refusal};

/// Pieces that [`Layout::read`] gives are at most this long.
pub const PIECE: usize = 64 * 1024;

/// A content that can be read from any place.
pub trait Content: Read + Seek + Send {}
impl<T: Read + Seek + Send> Content for T {}

/// Opens a blob by its SHA-256.
pub type OpenBlob = dyn Fn(&[u8; 32]) -> io::Result<Box<dyn Content>> + Send + Sync;
/// Opens one entry's content.
pub type Open = dyn Fn() -> io::Result<Box<dyn Content>> + Send + Sync;

#[derive(Clone)]
enum Source {
    Bytes(Bytes),
    Blob,
    Open(Arc<Open>),
}

/// A file in the ZIP.
#[derive(Clone)]
pub struct Entry {
    path: String,
    sum: Sum,
    method: Method,
    packed: u64,
    source: Source,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.path, self.sum)
    }
}

impl Entry {
    /// Text that is at hand; deflated where that makes it smaller.
    #[must_use]
    pub fn text(path: impl Into<String>, text: &[u8]) -> Self {
        let sum = Sum::of(text);
        // Below the reader's limit for bombs, with room: a very repetitive text is stored.
        let packed = deflate(text).filter(|p| p.len() < text.len() && text.len() < p.len() * 100);
        let (method, bytes) = match packed {
            Some(packed) => (Method::Deflated, Bytes::from(packed)),
            None => (Method::Stored, Bytes::copy_from_slice(text)),
        };
        Self { path: path.into(), sum, method, packed: bytes.len() as u64, source: Source::Bytes(bytes) }
    }

    /// A content that [`Layout`]'s opener finds by its SHA-256.
    #[must_use]
    pub fn blob(path: impl Into<String>, sum: Sum) -> Self {
        Self { path: path.into(), sum, method: Method::Stored, packed: sum.size, source: Source::Blob }
    }

    /// A content that `open` gives.
    #[must_use]
    pub fn opened(path: impl Into<String>, sum: Sum, open: Arc<Open>) -> Self {
        Self { path: path.into(), sum, method: Method::Stored, packed: sum.size, source: Source::Open(open) }
    }

    /// Its path, without the base folder.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its size and checksums.
    #[must_use]
    pub fn sum(&self) -> Sum {
        self.sum
    }
}

/// Level 6 of one implementation: the same text gives the same bytes.
fn deflate(text: &[u8]) -> Option<Vec<u8>> {
    use io::Write;
    if text.len() < 128 {
        return None;
    }
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(text).ok()?;
    encoder.finish().ok()
}

struct Placed {
    entry: Entry,
    /// Where its local header begins.
    offset: u64,
    /// Where its entry in the central directory begins.
    central: u64,
}

/// A ZIP file, laid out: one base folder and its entries in the order given.
pub struct Layout {
    base: String,
    placed: Vec<Placed>,
    directory: u64,
    end: u64,
    tail: Vec<u8>,
    etag: String,
    open_blob: Arc<OpenBlob>,
}

impl Layout {
    /// Lays entries out below the folder `base`.
    ///
    /// # Errors
    /// When a path may not stand in a bundle, or two clash.
    pub fn new(base: &str, entries: Vec<Entry>, open_blob: Arc<OpenBlob>) -> Result<Self, Refusal> {
        Self::lay(base, entries, open_blob, paths::check)
    }

    /// Lays out a ZIP that is no bundle (a folder for download): every name must be good, but paths may be long.
    ///
    /// # Errors
    /// When a name may not stand in a bundle, or two clash.
    pub fn download(base: &str, entries: Vec<Entry>, open_blob: Arc<OpenBlob>) -> Result<Self, Refusal> {
        Self::lay(base, entries, open_blob, paths::check_names)
    }

    fn lay(
        base: &str,
        entries: Vec<Entry>,
        open_blob: Arc<OpenBlob>,
        check: fn(&str) -> Result<(), Refusal>,
    ) -> Result<Self, Refusal> {
        check(base)?;
        let mut clashes = paths::Clashes::default();
        let mut placed = Vec::with_capacity(entries.len());
        let mut at = 0;
        for entry in entries {
            check(&entry.path)?;
            clashes.file(&entry.path)?;
            let offset = at;
            let name = base.len() + 1 + entry.path.len();
            at += records::local_len(name, entry.packed, entry.sum.size) + entry.packed;
            placed.push(Placed { entry, offset, central: 0 });
        }
        let directory = at;
        for p in &mut placed {
            p.central = at;
            let name = base.len() + 1 + p.entry.path.len();
            at += records::central_len(name, p.entry.packed, p.entry.sum.size, p.offset);
        }
        let tail = records::end(placed.len() as u64, directory, at - directory);
        let mut layout =
            Self { base: base.to_owned(), placed, directory, end: at, tail, etag: String::new(), open_blob };
        layout.etag = layout.hash();
        Ok(layout)
    }

    /// Names, sizes, CRCs, offsets and SHA-256s of everything: equal hashes mean equal bytes.
    fn hash(&self) -> String {
        let mut hash = sha2::Sha256::new();
        for p in &self.placed {
            hash.update(self.header(p).central());
            hash.update(p.entry.sum.sha256);
        }
        hex::encode(hash.finalize())
    }

    /// Bytes of the whole file.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.end + self.tail.len() as u64
    }

    /// Where the contents end and the central directory begins.
    #[must_use]
    pub fn directory(&self) -> u64 {
        self.directory
    }

    /// The base folder's name.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The entries and where each begins.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&Entry, u64)> {
        self.placed.iter().map(|p| (&p.entry, p.offset))
    }

    /// A name for exactly these bytes, without quotes; HTTP's strong validator.
    #[must_use]
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// Reads a part of the file, in pieces of at most 64 KiB; what lies beyond the end is left out.
    #[must_use]
    pub fn read(self: &Arc<Self>, range: Range<u64>) -> Pieces {
        let end = range.end.min(self.size());
        Pieces { layout: self.clone(), at: range.start.min(end), end, open: None }
    }

    fn header(&self, p: &Placed) -> records::Header {
        records::Header {
            name: format!("{}/{}", self.base, p.entry.path),
            method: p.entry.method,
            crc32: p.entry.sum.crc32,
            packed: p.entry.packed,
            size: p.entry.sum.size,
            offset: p.offset,
        }
    }

    fn open(&self, entry: &Entry) -> io::Result<Box<dyn Content>> {
        match &entry.source {
            Source::Bytes(bytes) => Ok(Box::new(io::Cursor::new(bytes.clone()))),
            Source::Blob => (self.open_blob)(&entry.sum.sha256),
            Source::Open(open) => open(),
        }
    }
}

/// A content being read.
struct Opened {
    index: usize,
    content: Box<dyn Content>,
    at: u64,
    /// Follows the CRC of a stored content that is read from its beginning.
    crc: Option<crc32fast::Hasher>,
}

/// The pieces of a range; an iterator. After an error it ends.
pub struct Pieces {
    layout: Arc<Layout>,
    at: u64,
    end: u64,
    open: Option<Opened>,
}

impl Pieces {
    /// Appends what comes next, up to the end of one header or content, or until `piece` is full.
    fn fill(&mut self, piece: &mut BytesMut) -> io::Result<()> {
        let layout = self.layout.clone();
        let room = (PIECE - piece.len()) as u64;
        let room = room.min(self.end - self.at);
        if self.at >= layout.end {
            self.take(piece, &layout.tail, self.at - layout.end, room);
        } else if self.at >= layout.directory {
            let index = layout.placed.partition_point(|p| p.central <= self.at) - 1;
            let p = &layout.placed[index];
            self.take(piece, &layout.header(p).central(), self.at - p.central, room);
        } else {
            let index = layout.placed.partition_point(|p| p.offset <= self.at) - 1;
            let p = &layout.placed[index];
            let name = layout.base.len() + 1 + p.entry.path.len();
            let header = records::local_len(name, p.entry.packed, p.entry.sum.size);
            if self.at - p.offset < header {
                self.take(piece, &layout.header(p).local(), self.at - p.offset, room);
            } else {
                self.content(piece, index, self.at - p.offset - header, room)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, piece: &mut BytesMut, record: &[u8], from: u64, room: u64) {
        let from = usize::try_from(from).unwrap_or(record.len());
        let rest = &record[from..];
        let n = rest.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        piece.extend_from_slice(&rest[..n]);
        self.at += n as u64;
    }

    fn content(&mut self, piece: &mut BytesMut, index: usize, from: u64, room: u64) -> io::Result<()> {
        let entry = &self.layout.placed[index].entry;
        let (packed, crc32) = (entry.packed, entry.sum.crc32);
        let mut opened = match self.open.take() {
            Some(o) if o.index == index && o.at == from => o,
            _ => {
                let mut content = self.layout.open(entry)?;
                if from > 0 {
                    content.seek(SeekFrom::Start(from))?;
                }
                let crc = (from == 0 && entry.method == Method::Stored).then(crc32fast::Hasher::new);
                Opened { index, content, at: from, crc }
            }
        };
        let want = usize::try_from(room.min(packed - from)).unwrap_or(PIECE);
        let start = piece.len();
        piece.resize(start + want, 0);
        opened.content.read_exact(&mut piece[start..])?;
        opened.at += want as u64;
        self.at += want as u64;
        if let Some(crc) = &mut opened.crc {
            crc.update(&piece[start..]);
        }
        if opened.at < packed {
            self.open = Some(opened);
        } else if opened.crc.is_some_and(|crc| crc.finalize() != crc32) {
            // Better a download that breaks off than a bundle that is silently bad.
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a stored content is not what it was"));
        }
        Ok(())
    }
}

impl Iterator for Pieces {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut piece = BytesMut::with_capacity(PIECE.min(usize::try_from(self.end - self.at).unwrap_or(PIECE)));
        while self.at < self.end && piece.len() < PIECE {
            let before = self.at;
            if let Err(error) = self.fill(&mut piece) {
                self.end = self.at;
                return Some(Err(error));
            }
            // Only an empty content moves nothing; its header was just read, and the next entry begins here.
            debug_assert!(self.at > before, "an empty content is skipped by partition_point");
        }
        if piece.is_empty() { None } else { Some(Ok(piece.freeze())) }
    }
}
