//! The two tasks that ask the gateway for a run's state and for its output.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use longhaul_proto::{api::RunView, ids::RunId, tasks::Tasks};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};

use crate::client::{Client, ClientError, Part, Stream};

/// How long one request for output waits at the gateway.
const WAIT: Duration = Duration::from_secs(25);
/// Pauses between requests for the state: first, and longest.
const POLL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What the two tasks report.
pub(super) enum News {
    /// The state, and the gateway's own time then.
    View(Box<RunView>, Option<Timestamp>),
    /// Bytes, and the offset of the first.
    Bytes(u64, Vec<u8>),
    /// All output up to here was sent.
    Upto(u64),
    /// All output was sent.
    Complete,
    Trouble(ClientError),
}

/// The two tasks of one connection; they end when it is dropped.
pub(super) struct Connection {
    pub(super) news: mpsc::Receiver<News>,
    pub(super) hurry: Arc<Notify>,
    poller: JoinHandle<()>,
    reader: Option<JoinHandle<()>>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.poller.abort();
        if let Some(reader) = &self.reader {
            reader.abort();
        }
    }
}

impl Connection {
    /// Starts both; `output` is the stream and the offset from which it is read, `None` = it is not.
    pub(super) fn open(tasks: &Tasks, client: Client, run: RunId, output: Option<(Stream, u64)>) -> Self {
        let (sender, news) = mpsc::channel(8);
        let hurry = Arc::new(Notify::new());
        let poller = tasks.spawn(poll(client.clone(), run, hurry.clone(), sender.clone()));
        let reader = output.map(|(stream, at)| tasks.spawn(read(client, run, stream, at, sender)));
        Self { news, hurry, poller, reader }
    }
}

/// Asks for the state, at first often, then once a second, until the end.
async fn poll(client: Client, run: RunId, hurry: Arc<Notify>, news: mpsc::Sender<News>) {
    let run = run.to_string();
    let mut pause = POLL.0;
    loop {
        let (last, item) = match client.get_at(&run).await {
            Ok((view, at)) => (view.state.is_end(), News::View(Box::new(view), at)),
            Err(error) => (true, News::Trouble(error)),
        };
        if news.send(item).await.is_err() || last {
            return;
        }
        tokio::select! {
            () = hurry.notified() => {}
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(POLL.1),
        }
    }
}

/// Asks for output from `at` on, until there is no more.
async fn read(client: Client, run: RunId, stream: Stream, at: u64, news: mpsc::Sender<News>) {
    if let Err(error) = read_on(&client, &run.to_string(), stream, at, &news).await {
        // If the follower is gone, the error concerns no one.
        let _ = news.send(News::Trouble(error)).await;
    }
}

async fn read_on(
    client: &Client,
    run: &str,
    stream: Stream,
    mut at: u64,
    news: &mpsc::Sender<News>,
) -> Result<(), ClientError> {
    loop {
        let mut reading = client.output(run, stream, Part::From(at, WAIT)).await?;
        while let Some((at, bytes)) = reading.chunk().await? {
            if news.send(News::Bytes(at, bytes)).await.is_err() {
                return Ok(());
            }
        }
        at = reading.next();
        if news.send(News::Upto(at)).await.is_err() {
            return Ok(());
        }
        if reading.complete {
            let _ = news.send(News::Complete).await;
            return Ok(());
        }
    }
}
