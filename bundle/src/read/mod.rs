//! Reads a bundle that comes from anybody: opened strictly, checked whole, before anything is taken in.
//!
//! [`Package::open`] finds the files, in a ZIP or in an unzipped folder. [`Package::check`] reads every byte once and holds it
//! against the bag's lists; only then is there a [`Checked`], from which contents may be taken.

mod bag;
mod check;
mod content;
mod folder;

use std::{fs::File, io::Read, path::Path, sync::Arc};

pub use check::{Checked, Item, MAX_SECTIONS, Signature};

use crate::{
    refusal::{Error, Why},
    zip::{
        Limits, ReadAt,
        directory::{self, Record},
    },
};

/// Where a file's bytes are.
#[derive(Clone, Debug)]
enum Place {
    /// In the ZIP.
    Zip(Record),
    /// In the folder, under the name that the disk knows it by.
    Disk(std::path::PathBuf),
}

/// A file found in a bundle that is not checked yet.
#[derive(Clone, Debug)]
struct Found {
    path: String,
    size: u64,
    place: Place,
}

impl Found {
    fn crc32(&self) -> u32 {
        match &self.place {
            Place::Zip(record) => record.crc32,
            Place::Disk(_) => 0,
        }
    }
}

enum From {
    Zip(Arc<dyn ReadAt>),
    Folder,
}

/// A bundle that was opened: its files are known, their contents are not believed yet.
pub struct Package {
    name: String,
    from: From,
    found: Vec<Found>,
}

impl Package {
    /// Opens a ZIP file, or the folder that it was unzipped into.
    ///
    /// # Errors
    /// When it is not as it must be, or cannot be read.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, Error> {
        if path.is_dir() {
            let found = folder::walk(path, limits)?;
            let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
            return Ok(Self { name, from: From::Folder, found });
        }
        Self::zip(Arc::new(File::open(path)?), limits)
    }

    /// Opens a ZIP.
    ///
    /// # Errors
    /// When it is not as it must be, or cannot be read.
    pub fn zip(zip: Arc<dyn ReadAt>, limits: &Limits) -> Result<Self, Error> {
        let records = directory::read(zip.as_ref(), limits)?;
        let name = records.first().and_then(|r| r.name.split_once('/')).ok_or(Why::Base)?.0.to_owned();
        let mut found = Vec::with_capacity(records.len());
        for record in records {
            let path = record.name.strip_prefix(&name).and_then(|n| n.strip_prefix('/')).ok_or(Why::Base)?;
            found.push(Found { path: path.to_owned(), size: record.size, place: Place::Zip(record) });
        }
        Ok(Self { name, from: From::Zip(zip), found })
    }

    /// The base folder's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of all contents, as the bundle says.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.found.iter().map(|f| f.size).sum()
    }

    /// How many files there are.
    #[must_use]
    pub fn files(&self) -> usize {
        self.found.len()
    }

    /// A file's content. Reading it fails when it is longer or shorter than it says, or its CRC is another.
    fn content(&self, found: &Found) -> Result<Box<dyn Read + Send>, Error> {
        match (&self.from, &found.place) {
            (From::Zip(zip), Place::Zip(record)) => Ok(content::of_record(zip.clone(), record)),
            (_, Place::Disk(path)) => Ok(Box::new(folder::open(path, found.size)?)),
            (From::Folder, Place::Zip(_)) => Err(Why::Damaged.at(&found.path).into()),
        }
    }
}
