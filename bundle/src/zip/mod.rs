//! ZIP as a bundle uses it (APPNOTE 6.3): a writer whose layout is known before its first byte ([`layout`]) and a reader
//! that believes nothing ([`directory`]).

pub mod directory;
pub mod layout;
mod records;

pub use directory::{Limits, ReadAt};
pub use layout::{Content, Entry, Layout};

/// How an entry's content is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// As it is (0).
    Stored,
    /// Deflate (8).
    Deflated,
}

impl Method {
    /// The number in the headers.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Stored => 0,
            Self::Deflated => 8,
        }
    }
}
