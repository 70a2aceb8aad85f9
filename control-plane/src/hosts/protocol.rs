//! What is said over the host's socket: length-delimited JSON, one question and one answer a connection.

use std::time::Duration;

use bundle::{TenantId, TenantSpec};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::{Error, Layer, Unit, Usage};

/// A question is at most this long; a spec is about one kilobyte.
const QUESTION_MAX: usize = 64 << 10;
/// An answer is at most this long: what a quarter of a million perclouds have used.
const ANSWER_MAX: usize = 64 << 20;
/// A question must be there this soon after connecting.
pub const ASKED_WITHIN: Duration = Duration::from_secs(5);
/// An answer must be there this soon. Longer than the time that a runtime has to drain.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(25);

/// What a host can be asked; the calls of [`super::Host`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Question {
    /// [`super::Host::look`]
    Look {
        /// Which percloud.
        id: TenantId,
    },
    /// [`super::Host::place`]
    Place {
        /// What it shall be.
        spec: Box<TenantSpec>,
    },
    /// [`super::Host::retry`]
    Retry {
        /// Which percloud.
        id: TenantId,
    },
    /// [`super::Host::remove`]
    Remove {
        /// Which percloud.
        id: TenantId,
    },
    /// [`super::Host::layers`]
    Layers,
    /// [`super::Host::usage`]
    Usage,
    /// [`super::Host::list`]
    List,
}

/// What a host answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Question::Look`] and [`Question::Retry`]
    Looked(Option<Unit>),
    /// To [`Question::Place`]
    Placed(Unit),
    /// To [`Question::Remove`]
    Removed,
    /// To [`Question::Layers`]
    Layers(Vec<Layer>),
    /// To [`Question::Usage`]
    Usage(Usage),
    /// To [`Question::List`]
    List(Vec<TenantId>),
    /// To any.
    Error(Error),
}

/// One end of a connection, which reads frames of at most `max` bytes.
pub struct Line(Framed<UnixStream, LengthDelimitedCodec>);

impl Line {
    /// The host's end.
    #[must_use]
    pub fn of_host(stream: UnixStream) -> Self {
        Self::new(stream, QUESTION_MAX)
    }

    /// The end of whoever asks.
    #[must_use]
    pub fn of_client(stream: UnixStream) -> Self {
        Self::new(stream, ANSWER_MAX)
    }

    fn new(stream: UnixStream, max: usize) -> Self {
        Self(LengthDelimitedCodec::builder().max_frame_length(max).new_framed(stream))
    }

    /// Sends one frame.
    pub async fn say<T: Serialize + Sync>(&mut self, what: &T) -> std::io::Result<()> {
        let json = serde_json::to_vec(what)?;
        // The codec holds frames to the reading limit; an answer is held to its own.
        if json.len() > ANSWER_MAX {
            return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "too long to be said"));
        }
        self.0.codec_mut().set_max_frame_length(ANSWER_MAX);
        self.0.send(Bytes::from(json)).await
    }

    /// The next frame; none when the other end has gone.
    pub async fn hear<T: DeserializeOwned>(&mut self) -> std::io::Result<Option<T>> {
        match self.0.next().await {
            None => Ok(None),
            Some(frame) => Ok(Some(serde_json::from_slice(&frame?)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_that_is_too_long_is_not_read() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut client = Line::of_client(ours);
        let mut host = Line::of_host(theirs);
        let sent = tokio::spawn(async move { client.say(&"x".repeat(QUESTION_MAX)).await.map(|()| client) });
        assert!(host.hear::<Question>().await.is_err());
        drop(host);
        let _ = sent.await.unwrap();
    }

    #[tokio::test]
    async fn a_question_arrives_as_it_was_asked() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let question = Question::Look { id: TenantId::random() };
        Line::of_client(ours).say(&question).await.unwrap();
        let mut host = Line::of_host(theirs);
        assert_eq!(host.hear::<Question>().await.unwrap(), Some(question));
        assert_eq!(host.hear::<Question>().await.unwrap(), None);
    }
}
