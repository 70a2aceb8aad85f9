//! What is known of a content before it is sent or stored: size, CRC-32 and SHA-256.

use sha2::Digest;

/// Size and checksums of one content.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sum {
    /// Bytes.
    pub size: u64,
    /// CRC-32 (IEEE), as ZIP wants it.
    pub crc32: u32,
    /// SHA-256, as BagIt wants it.
    pub sha256: [u8; 32],
}

impl Sum {
    /// The sum of bytes at hand.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut summer = Summer::default();
        summer.update(bytes);
        summer.finish()
    }

    /// The SHA-256 as lower-case hex.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(self.sha256)
    }
}

impl std::fmt::Debug for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes, sha256 {}, crc {:08x}", self.size, self.hex(), self.crc32)
    }
}

/// Sums up a content piece by piece.
#[derive(Clone, Default)]
pub struct Summer {
    size: u64,
    crc32: crc32fast::Hasher,
    sha256: sha2::Sha256,
}

impl Summer {
    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.crc32.update(bytes);
        self.sha256.update(bytes);
    }

    /// The sum of all pieces.
    #[must_use]
    pub fn finish(self) -> Sum {
        Sum { size: self.size, crc32: self.crc32.finalize(), sha256: self.sha256.finalize().into() }
    }
}
