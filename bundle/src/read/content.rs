//! One entry's content, held against what its headers promise while it is read.

use std::{
    io::{self, BufReader, Read},
    sync::Arc,
};

use crate::{
    refusal::{Refusal, Why},
    zip::{Method, ReadAt, directory::Record},
};

/// The content of an entry of a ZIP.
pub(super) fn of_record(zip: Arc<dyn ReadAt>, record: &Record) -> Box<dyn Read + Send> {
    let packed = Part { zip, at: record.data, end: record.data + record.packed };
    let promise = |inner| Promise {
        inner,
        name: record.name.clone(),
        left: record.size,
        crc: crc32fast::Hasher::new(),
        crc32: record.crc32,
        done: false,
    };
    match record.method {
        Method::Stored => Box::new(promise(Unpacked::Stored(packed))),
        Method::Deflated => {
            let buffered = BufReader::with_capacity(32 * 1024, packed);
            Box::new(promise(Unpacked::Deflated(flate2::bufread::DeflateDecoder::new(buffered))))
        }
    }
}

/// A refusal on its way through a reader.
pub(super) fn io_error(refusal: Refusal) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, refusal)
}

/// The refusal that came through a reader, or the disk's own error.
pub(super) fn refusal(error: io::Error) -> crate::refusal::Error {
    match error.downcast::<Refusal>() {
        Ok(refusal) => refusal.into(),
        Err(error) => error.into(),
    }
}

/// A range of the ZIP.
struct Part {
    zip: Arc<dyn ReadAt>,
    at: u64,
    end: u64,
}

impl Read for Part {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let room = buf.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        if room == 0 {
            return Ok(0);
        }
        let n = self.zip.read_at(&mut buf[..room], self.at)?;
        if n == 0 {
            return Err(io_error(Why::Truncated.into()));
        }
        self.at += n as u64;
        Ok(n)
    }
}

enum Unpacked {
    Stored(Part),
    Deflated(flate2::bufread::DeflateDecoder<BufReader<Part>>),
}

/// Declared sizes are promises: more or less than that is refused, and so is another CRC.
struct Promise {
    inner: Unpacked,
    name: String,
    left: u64,
    crc: crc32fast::Hasher,
    crc32: u32,
    done: bool,
}

impl Promise {
    fn refuse(&self, why: Why) -> io::Error {
        io_error(why.at(&self.name))
    }

    fn unpack(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.inner {
            Unpacked::Stored(part) => part.read(buf),
            Unpacked::Deflated(decoder) => decoder.read(buf).map_err(|error| match error.downcast::<Refusal>() {
                Ok(refusal) => io_error(refusal),
                Err(_) => io_error(Why::Damaged.at(&self.name)),
            }),
        }
    }

    /// All is read: nothing may be left, and the CRC must be the one that was said.
    fn end(&mut self) -> io::Result<()> {
        if self.unpack(&mut [0])? > 0 {
            return Err(self.refuse(Why::Size));
        }
        if let Unpacked::Deflated(decoder) = &mut self.inner
            && (!decoder.get_ref().buffer().is_empty()
                || decoder.get_ref().get_ref().at < decoder.get_ref().get_ref().end)
        {
            return Err(self.refuse(Why::Damaged)); // bytes behind the end of the deflate stream
        }
        self.done = true;
        if self.crc.clone().finalize() == self.crc32 { Ok(()) } else { Err(self.refuse(Why::Crc)) }
    }
}

impl Read for Promise {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() || self.done {
            return Ok(0);
        }
        if self.left == 0 {
            self.end()?;
            return Ok(0);
        }
        let room = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = self.unpack(&mut buf[..room])?;
        if n == 0 {
            return Err(self.refuse(Why::Size));
        }
        self.crc.update(&buf[..n]);
        self.left -= n as u64;
        Ok(n)
    }
}
