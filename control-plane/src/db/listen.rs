//! News from Postgres (LISTEN), over any number of cut connections.
//!
//! NOTIFY is lost while nobody listens. So a [`Listener`] says [`Wake::Missed`] each time it has (re)subscribed, the first time included: who
//! hears that looks at everything. Subscribe, then look; never the other way round.

use std::{pin::Pin, task::Poll, time::Duration};

use futures_util::{Stream, StreamExt, stream};
use tokio::{sync::mpsc, task::JoinHandle, time};
use tokio_postgres::{AsyncMessage, NoTls};

/// Something may be new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// A NOTIFY came.
    Notified {
        /// On which channel.
        channel: String,
        /// With what.
        payload: String,
    },
    /// Listening (again) from now on; whatever came before may have been missed.
    Missed,
}

/// A stream of [`Wake`] that never ends; dropped, it stops listening.
#[derive(Debug)]
pub struct Listener {
    news: mpsc::Receiver<Wake>,
    task: JoinHandle<()>,
}

impl Stream for Listener {
    type Item = Wake;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Option<Wake>> {
        self.news.poll_recv(cx)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens on channels; reconnects with back-off when the connection breaks or answers no more.
///
/// # Errors
/// When the URL cannot be read.
pub fn listen(url: &str, channels: &[&str]) -> anyhow::Result<Listener> {
    let config = super::config(url)?;
    let subscribe: String = channels.iter().map(|c| format!("listen \"{}\";", c.replace('"', "\"\""))).collect();
    let (tx, news) = mpsc::channel(1024);
    let task = tokio::spawn(async move {
        let mut pause = Duration::from_millis(100);
        while !tx.is_closed() {
            let began = time::Instant::now();
            match once(&config, &subscribe, &tx).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(error = format!("{error:#}"), "listening to the database broke off"),
            }
            pause = if began.elapsed() > Duration::from_secs(30) {
                Duration::from_millis(100)
            } else {
                (pause * 2).min(Duration::from_secs(5))
            };
            time::sleep(pause).await;
        }
    });
    Ok(Listener { news, task })
}

/// One connection's life; `Ok` when nobody listens to us any more.
async fn once(config: &tokio_postgres::Config, subscribe: &str, tx: &mpsc::Sender<Wake>) -> anyhow::Result<()> {
    let (client, mut connection) = config.connect(NoTls).await?;
    let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
    // The messages must be read while LISTEN is answered, or it never is. A slow reader holds back this connection only.
    let read = async {
        while let Some(message) = messages.next().await {
            if let AsyncMessage::Notification(note) = message? {
                let wake = Wake::Notified { channel: note.channel().to_owned(), payload: note.payload().to_owned() };
                if tx.send(wake).await.is_err() {
                    return Ok(());
                }
            }
        }
        anyhow::bail!("the server closed the connection")
    };
    let talk = async {
        client.batch_execute(subscribe).await?;
        if tx.send(Wake::Missed).await.is_err() {
            return Ok(());
        }
        loop {
            // A connection that is dead without saying so (a pulled cable) shows itself here.
            time::sleep(Duration::from_secs(20)).await;
            time::timeout(Duration::from_secs(10), client.batch_execute("select 1")).await??;
        }
    };
    tokio::select! { ended = read => ended, ended = talk => ended }
}
