//! Answers on the host's socket, for whoever may ask.

use std::{path::Path, sync::Arc};

use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Error, Host,
    protocol::{ANSWERED_WITHIN, ASKED_WITHIN, Answer, Line, Question},
};
use crate::sockets;

/// Questions answered at once; more wait in the socket's queue.
const AT_ONCE: usize = 256;

/// Listens at `path`; only `group` besides the owner can reach it when one is given.
pub fn listen(path: &Path, group: Option<u32>) -> anyhow::Result<UnixListener> {
    Ok(UnixListener::from_std(sockets::listen_for(path, group)?)?)
}

/// Answers until `stop`; only root, our own user and `allowed` are heard.
pub async fn serve(listener: UnixListener, host: Arc<dyn Host>, allowed: Option<u32>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(place) = stop.run_until_cancelled(places.clone().acquire_owned()).await {
        let Ok(place) = place else { return };
        match stop.run_until_cancelled(listener.accept()).await {
            None => return,
            Some(Err(error)) => {
                // Out of descriptors, most likely: others must end before it makes sense to go on.
                tracing::error!(%error, "the host's socket");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            Some(Ok((stream, _))) => {
                let host = host.clone();
                tokio::spawn(async move {
                    if let Err(error) = answer(stream, host.as_ref(), allowed).await {
                        tracing::debug!(%error, "a question to the host");
                    }
                    drop(place);
                });
            }
        }
    }
}

async fn answer(stream: UnixStream, host: &dyn Host, allowed: Option<u32>) -> std::io::Result<()> {
    let asker = stream.peer_cred()?.uid();
    if asker != 0 && asker != rustix::process::geteuid().as_raw() && Some(asker) != allowed {
        tracing::warn!(uid = asker, "a stranger at the host's socket");
        return Ok(());
    }
    let mut line = Line::of_host(stream);
    let Some(question) = timeout(ASKED_WITHIN, line.hear()).await?? else { return Ok(()) };
    let answer = reply(host, question).await;
    match timeout(ANSWERED_WITHIN, line.say(&answer)).await? {
        // Whoever asked must hear why there is no answer, and a person from them.
        Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
            let why = "its answer is too long to be said: it has more perclouds than one host can tell of".to_owned();
            line.say(&Answer::Error(Error::Refused(why))).await
        }
        said => said,
    }
}

async fn reply(host: &dyn Host, question: Question) -> Answer {
    let answer = match question {
        Question::Look { id } => host.look(&id).await.map(Answer::Looked),
        Question::Place { spec } => host.place(&spec).await.map(Answer::Placed),
        Question::Retry { id } => host.retry(&id).await.map(Answer::Looked),
        Question::Remove { id } => host.remove(&id).await.map(|()| Answer::Removed),
        Question::Layers => host.layers().await.map(Answer::Layers),
        Question::Usage => host.usage().await.map(Answer::Usage),
        Question::List => host.list().await.map(Answer::List),
    };
    answer.unwrap_or_else(Answer::Error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::{Usage, simulated::Simulated};

    #[tokio::test]
    async fn whoever_asks_for_more_than_can_be_said_hears_why_there_is_no_answer() {
        let host = Simulated::new();
        host.set_usage(Usage { epoch: "x".repeat(65 << 20), of: Vec::new() });
        let (ours, theirs) = UnixStream::pair().unwrap();
        let answering = tokio::spawn(async move { answer(theirs, &host, None).await });
        let mut line = Line::of_client(ours);
        line.say(&Question::Usage).await.unwrap();
        let Some(Answer::Error(Error::Refused(why))) = line.hear().await.unwrap() else { panic!("no answer") };
        assert!(why.contains("too long to be said"), "{why}");
        answering.await.unwrap().unwrap();
    }
}
