//! Asks the host role over its socket.

use std::{path::PathBuf, time::Duration};

use bundle::{TenantId, TenantSpec};
use futures_util::future::BoxFuture;
use tokio::net::UnixStream;

use super::{
    Error, Host, Layer, Unit, Usage,
    protocol::{ANSWERED_WITHIN, Answer, Line, Question},
};

/// A host in another process of this machine.
#[derive(Clone, Debug)]
pub struct HostClient {
    socket: PathBuf,
    patience: Duration,
}

impl HostClient {
    /// A client of the host that listens at `socket` ([`crate::config::Paths::host_socket`]). Connects at each call, so
    /// that a host that was restarted is found again.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { socket, patience: ANSWERED_WITHIN }
    }

    /// Gives up on an answer after `patience`.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    async fn ask(&self, question: Question) -> Result<Answer, Error> {
        let answer = tokio::time::timeout(self.patience, self.exchange(question)).await;
        match answer {
            Err(_) => Err(Error::Unavailable("no answer in time".into())),
            Ok(Err(error)) => Err(Error::Unavailable(error.to_string())),
            Ok(Ok(None)) => Err(Error::Unavailable("it hung up without an answer".into())),
            Ok(Ok(Some(Answer::Error(error)))) => Err(error),
            Ok(Ok(Some(answer))) => Ok(answer),
        }
    }

    async fn exchange(&self, question: Question) -> std::io::Result<Option<Answer>> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (host, us) = (stream.peer_cred()?.uid(), rustix::process::geteuid().as_raw());
        // Root may ask an ordinary user's host: it chose the folder.
        if host != 0 && host != us && us != 0 {
            return Err(std::io::Error::other("someone else listens at the host's socket"));
        }
        let mut line = Line::of_client(stream);
        line.say(&question).await?;
        line.hear().await
    }
}

/// The answer does not fit the question: a host of another version.
fn odd<T>(answer: Answer) -> Result<T, Error> {
    let kind = match answer {
        Answer::Looked(_) => "looked",
        Answer::Placed(_) => "placed",
        Answer::Removed => "removed",
        Answer::Layers(_) => "layers",
        Answer::Usage(_) => "usage",
        Answer::List(_) => "list",
        Answer::Error(error) => return Err(error),
    };
    Err(Error::Unavailable(format!("the answer \"{kind}\" does not fit the question")))
}

impl Host for HostClient {
    fn look<'a>(&'a self, id: &'a TenantId) -> BoxFuture<'a, Result<Option<Unit>, Error>> {
        Box::pin(async move {
            match self.ask(Question::Look { id: id.clone() }).await? {
                Answer::Looked(unit) => Ok(unit),
                other => odd(other),
            }
        })
    }

    fn place<'a>(&'a self, spec: &'a TenantSpec) -> BoxFuture<'a, Result<Unit, Error>> {
        Box::pin(async move {
            match self.ask(Question::Place { spec: Box::new(spec.clone()) }).await? {
                Answer::Placed(unit) => Ok(unit),
                other => odd(other),
            }
        })
    }

    fn retry<'a>(&'a self, id: &'a TenantId) -> BoxFuture<'a, Result<Option<Unit>, Error>> {
        Box::pin(async move {
            match self.ask(Question::Retry { id: id.clone() }).await? {
                Answer::Looked(unit) => Ok(unit),
                other => odd(other),
            }
        })
    }

    fn remove<'a>(&'a self, id: &'a TenantId) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            match self.ask(Question::Remove { id: id.clone() }).await? {
                Answer::Removed => Ok(()),
                other => odd(other),
            }
        })
    }

    fn layers(&self) -> BoxFuture<'_, Result<Vec<Layer>, Error>> {
        Box::pin(async move {
            match self.ask(Question::Layers).await? {
                Answer::Layers(layers) => Ok(layers),
                other => odd(other),
            }
        })
    }

    fn usage(&self) -> BoxFuture<'_, Result<Usage, Error>> {
        Box::pin(async move {
            match self.ask(Question::Usage).await? {
                Answer::Usage(usage) => Ok(usage),
                other => odd(other),
            }
        })
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<TenantId>, Error>> {
        Box::pin(async move {
            match self.ask(Question::List).await? {
                Answer::List(ids) => Ok(ids),
                other => odd(other),
            }
        })
    }
}
