//! Bytes from the network into a partial file: hashed on the way, durable at every checkpoint, nothing lost when cut.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::Path,
    time::Duration,
};

use axum::body::Bytes;
use futures_util::{Stream, StreamExt};
use sha2::{
    Digest, Sha256,
    digest::common::hazmat::{SerializableState, SerializedState},
};
use tokio_util::sync::CancellationToken;

use super::{Finished, Hashing, Upload, rows};
use crate::{
    blobs::{Blob, Blobs, Hash},
    runtime::Runtime,
    status, web,
};

/// After so many bytes they are made durable and the row says so.
const CHECKPOINT: u64 = 16 << 20;

/// How long a client may be silent before its line counts as cut.
const SILENCE: Duration = Duration::from_secs(60);

/// Why no more bytes came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The request's body ended.
    Whole,
    /// The line was cut, or a newer request took over.
    Cut,
    /// More bytes than were promised; the surplus is not stored.
    TooLong,
    /// The round is full; more may come.
    Round,
}

/// Appends a request's body to an upload; on return the row says how far it came.
pub(super) async fn append<S, E>(
    rt: &Runtime,
    mut upload: Upload,
    mut body: S,
    over: &CancellationToken,
) -> web::Result<(Upload, End)>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let path = rt.blobs().partial(&upload.id);
    let mut partial = blocking({
        let upload = upload.clone();
        move || Partial::open(&path, &upload)
    })
    .await?;
    loop {
        let (back, end) = round(partial, &mut body, upload.length, over).await?;
        partial = back;
        upload.received = partial.received;
        upload.hashing = partial.hashing();
        if partial.received == upload.length {
            upload.blob = Some(partial.blob());
        }
        let row = upload.clone();
        let now = rt.clock().now();
        rt.store().write(move |tx| rows::checkpoint(tx, &row, now)).await?;
        if end != End::Round {
            return Ok((upload, end));
        }
    }
}

/// Hands a whole upload to its purpose; doing it twice is doing it once.
pub(super) async fn finish(rt: &Runtime, upload: Upload) -> web::Result<Upload> {
    let Some(blob) = upload.blob.filter(|_| upload.result.is_none()) else { return Ok(upload) };
    let (blobs, id) = (rt.blobs().clone(), upload.id.clone());
    blocking(move || blobs.adopt(&blobs.partial(&id), &blob)).await?;
    let now = rt.clock().now();
    let goes_on = super::purpose(&upload.purpose)?.goes_on();
    let taken = rt.store().write(move |tx| {
        let purpose = super::purpose(&upload.purpose)?;
        let result = purpose.finish(tx, &Finished { blob, metadata: &upload.metadata, now })?;
        if let Some(result) = &result {
            rows::set_result(tx, &upload.id, result)?;
        }
        Ok(Upload { result, ..upload })
    });
    let taken = taken.await?;
    if goes_on {
        // Were we killed now, nobody else would wake us to go on.
        status::write(rt).await?;
    }
    Ok(taken)
}

/// Stores a stream as a blob at once, without a row; for plain forms. `limit` is the most it may be.
///
/// # Errors
/// When it is longer than `limit`, when the line is cut, and when the disk is full; nothing is left behind.
pub(super) async fn store<S, E>(blobs: &Blobs, mut body: S, limit: u64) -> web::Result<Blob>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let name = format!("form-{}", super::tus::new_id());
    let path = blobs.partial(&name);
    let _remove = RemoveOnDrop(path.clone());
    let mut partial = blocking(move || Partial::create(&path)).await?;
    let over = CancellationToken::new();
    loop {
        let (back, end) = round(partial, &mut body, limit, &over).await?;
        partial = back;
        match end {
            End::Round => {}
            End::Whole => break,
            End::TooLong => return Err(web::Error::TooLarge),
            End::Cut => return Err(web::Error::Invalid("uploads.cut-off")),
        }
    }
    let (blobs, blob) = (blobs.clone(), partial.blob());
    blocking(move || blobs.adopt(&blobs.partial(&name), &blob)).await?;
    Ok(blob)
}

struct RemoveOnDrop(std::path::PathBuf);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Writes up to one checkpoint's bytes on a thread of its own while the network goes on, and makes them durable.
async fn round<S, E>(
    mut partial: Partial,
    body: &mut S,
    length: u64,
    over: &CancellationToken,
) -> web::Result<(Partial, End)>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let (to_disk, mut from_network) = tokio::sync::mpsc::channel::<Bytes>(8);
    let mut expected = partial.received;
    let full_at = partial.received + CHECKPOINT;
    let writing = tokio::task::spawn_blocking(move || {
        let before = partial.received;
        while let Some(bytes) = from_network.blocking_recv() {
            if let Err(error) = partial.write(&bytes) {
                // The half-written tail is cut off again; what was durable stays.
                let _ = partial.file.set_len(before);
                return Err(error);
            }
        }
        partial.file.sync_data().map(|()| partial)
    });
    let end = loop {
        let next = tokio::select! {
            () = over.cancelled() => break End::Cut,
            next = tokio::time::timeout(SILENCE, body.next()) => next,
        };
        let bytes = match next {
            Ok(None) => break End::Whole,
            Ok(Some(Ok(bytes))) => bytes,
            Ok(Some(Err(_))) | Err(_) => break End::Cut,
        };
        if expected + bytes.len() as u64 > length {
            break End::TooLong;
        }
        expected += bytes.len() as u64;
        if to_disk.send(bytes).await.is_err() {
            break End::Cut; // the writer failed and says why
        }
        if expected >= full_at {
            break End::Round;
        }
    };
    drop(to_disk);
    Ok((writing.await??, end))
}

/// Runs file work off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> anyhow::Result<T> + Send + 'static) -> web::Result<T> {
    Ok(tokio::task::spawn_blocking(work).await??)
}

/// The partial file and its running hashes.
struct Partial {
    file: File,
    sha256: Sha256,
    crc32: crc32fast::Hasher,
    received: u64,
}

impl Partial {
    fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::options().create(true).truncate(true).write(true).open(path)?;
        Ok(Self { file, sha256: Sha256::new(), crc32: crc32fast::Hasher::new(), received: 0 })
    }

    /// Opens the file where the row says that it is durable; a tail beyond it is cut off.
    fn open(path: &Path, upload: &Upload) -> anyhow::Result<Self> {
        if upload.received == 0 {
            return Self::create(path);
        }
        let mut file = File::options().read(true).write(true).open(path)?;
        anyhow::ensure!(file.metadata()?.len() >= upload.received, "the partial file is shorter than its row says");
        file.set_len(upload.received)?;
        let sha256 = match upload.hashing.sha256_state.as_deref().and_then(restore) {
            Some(sha256) => sha256,
            None => {
                // Written by a version that hashed differently: read it once more.
                let mut sha256 = Sha256::new();
                std::io::copy(&mut file, &mut Hashed(&mut sha256))?;
                sha256
            }
        };
        file.seek(SeekFrom::End(0))?;
        let crc32 = crc32fast::Hasher::new_with_initial_len(upload.hashing.crc32, upload.received);
        Ok(Self { file, sha256, crc32, received: upload.received })
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)?;
        self.sha256.update(bytes);
        self.crc32.update(bytes);
        self.received += bytes.len() as u64;
        Ok(())
    }

    fn hashing(&self) -> Hashing {
        let state = self.sha256.serialize();
        Hashing { sha256_state: Some(state.to_vec()), crc32: self.crc32.clone().finalize() }
    }

    fn blob(&self) -> Blob {
        let sha256 = Hash(self.sha256.clone().finalize().into());
        Blob { sha256, crc32: self.crc32.clone().finalize(), size: self.received }
    }
}

fn restore(state: &[u8]) -> Option<Sha256> {
    let state = SerializedState::<Sha256>::try_from(state).ok()?;
    Sha256::deserialize(&state).ok()
}

/// A writer that only hashes.
struct Hashed<'a>(&'a mut Sha256);

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
