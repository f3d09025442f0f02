//! Follows a run to its end, over every interruption on the way.
//!
//! Two tasks ask the gateway: one for the run's state once a second, one for its output as it comes. Both stop at the
//! first error; then the gateway is looked for again, and both continue from the byte and the state that were reached.
//! The run is not affected. Only the gateway knows which bytes of a log are the user's.

use std::{sync::Arc, time::Duration};

use longhaul_proto::{api::RunView, back_off::BackOff, ids::RunId};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};

use crate::{
    client::{Client, ClientError, Part, Stream},
    context::{Context, Failure},
    gateway_handle::GatewayHandle,
    output::{Status, no_end, say},
    printer::Printer,
    signals::{Asked, Signals},
};

/// How long one request for output waits at the gateway.
const WAIT: Duration = Duration::from_secs(25);
/// Pauses between requests for the state: first, and longest.
const POLL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Pauses before the gateway is looked for again: first, and longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// A gateway that stays away this long is given up; the run goes on.
const GIVE_UP: Duration = Duration::from_secs(600);

/// A wait that nothing under way ends is reported after this time.
const NO_END: Duration = Duration::from_secs(10);

/// What the two tasks report.
enum News {
    View(Box<RunView>),
    /// Bytes, and the offset of the first.
    Bytes(u64, Vec<u8>),
    /// All output up to here was sent.
    Upto(u64),
    /// All output was sent.
    Complete,
    Trouble(ClientError),
}

/// Why following stopped.
#[derive(Debug)]
pub(crate) enum End {
    /// The run ended.
    Ended(Box<RunView>),
    /// The caller's own limit was reached.
    Limit,
    /// This process got a signal; following may be continued.
    Asked(Asked),
}

/// The time for which the gateway is away.
struct Absence {
    since: Option<Duration>,
    back_off: BackOff,
}

impl Absence {
    fn new(run: RunId) -> Self {
        Self { since: None, back_off: BackOff::new(BACKOFF.0, BACKOFF.1, &run.to_string()) }
    }

    fn length(&self, now: Duration) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// The gateway answers. `true` = it was away.
    fn over(&mut self) -> bool {
        if self.since.is_some() {
            self.back_off.reset();
        }
        self.since.take().is_some()
    }
}

/// Follows one run.
pub(crate) struct Follower<'a> {
    context: &'a Context,
    run: RunId,
    stream: Stream,
    show: Option<Printer>,
    status: Status,
    /// Offset of the next byte.
    at: u64,
    /// Whether it was said why nothing is shown.
    explained: bool,
    view: Option<Box<RunView>>,
    complete: bool,
    began: Duration,
    running_since: Option<Duration>,
    /// Since when the run waits for something that nothing under way brings about, and whether that was reported.
    no_end: Option<(Duration, bool)>,
    connection: Option<Connection>,
}

/// The two tasks of one connection; they end when it is dropped.
struct Connection {
    news: mpsc::Receiver<News>,
    hurry: Arc<Notify>,
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

impl<'a> Follower<'a> {
    /// Follows `run`; `show` takes its output, `None` waits for the end only.
    pub(crate) fn new(context: &'a Context, run: RunId, show: Option<Printer>, status: Status) -> Self {
        let complete = show.is_none();
        let began = context.clock.monotonic();
        Self {
            context,
            run,
            stream: Stream::Log,
            show,
            status,
            at: 0,
            explained: complete,
            view: None,
            complete,
            began,
            running_since: None,
            no_end: None,
            connection: None,
        }
    }

    /// Starts at this byte of this stream.
    pub(crate) fn from(mut self, stream: Stream, at: u64) -> Self {
        self.stream = stream;
        self.at = at;
        self.explained |= stream == Stream::Console;
        self
    }

    /// The latest known view of the run.
    pub(crate) fn view(&self) -> Option<&RunView> {
        self.view.as_deref()
    }

    /// The run's id.
    pub(crate) fn run(&self) -> RunId {
        self.run
    }

    /// Follows until the end, the limit, or a signal. After a signal it may be called again and continues.
    ///
    /// # Errors
    /// When the gateway refuses, or stays away for [`GIVE_UP`].
    pub(crate) async fn follow(
        &mut self,
        gateway: &mut GatewayHandle,
        signals: &mut Signals,
        limit: Option<Duration>,
    ) -> Result<End, Failure> {
        let limit = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(limit);
        let mut absence = Absence::new(self.run);
        loop {
            if let Some(end) = self.ended()? {
                return Ok(End::Ended(end));
            }
            if self.connection.is_none() {
                self.connection = Some(self.connect(gateway.client.clone()));
            }
            let Some(connection) = &mut self.connection else { continue };
            let news = tokio::select! {
                biased;
                asked = signals.next() => {
                    self.status.finish();
                    return Ok(End::Asked(asked));
                }
                () = &mut limit => {
                    self.status.finish();
                    return Ok(End::Limit);
                }
                news = connection.news.recv() => news,
            };
            match news {
                Some(News::Trouble(error)) if error.may_pass() => {
                    let pause = self.lost(&mut absence, &error)?;
                    tokio::select! {
                        asked = signals.next() => return Ok(End::Asked(asked)),
                        () = &mut limit => return Ok(End::Limit),
                        () = tokio::time::sleep(pause) => {}
                    }
                    gateway.reopen(self.context, absence.length(self.context.clock.monotonic())).await?;
                }
                Some(News::Trouble(error)) => {
                    self.status.finish();
                    return Err(error.into());
                }
                Some(news) => {
                    if absence.over() {
                        self.status.finish();
                        say("the gateway is back");
                    }
                    self.take(news)?;
                }
                None => self.connection = None,
            }
        }
    }

    /// Handles a connection that broke; returns the pause before the next.
    fn lost(&mut self, absence: &mut Absence, error: &ClientError) -> Result<Duration, Failure> {
        self.connection = None;
        let now = self.context.clock.monotonic();
        let first = absence.since.is_none();
        absence.since.get_or_insert(now);
        if absence.length(now) > GIVE_UP {
            self.status.finish();
            let run = self.run.short();
            return Err(Failure::system(format!("{error}. The run is {run}: `longhaul wait {run}`")));
        }
        if first {
            self.status.finish();
            say("the gateway went away; the run goes on, looking for it again (Ctrl-C leaves)");
        }
        Ok(absence.back_off.wait())
    }

    fn connect(&self, client: Client) -> Connection {
        let (sender, news) = mpsc::channel(8);
        let hurry = Arc::new(Notify::new());
        let poller = self.context.tasks.spawn(poll(client.clone(), self.run, hurry.clone(), sender.clone()));
        let reader =
            (!self.complete).then(|| self.context.tasks.spawn(read(client, self.run, self.stream, self.at, sender)));
        Connection { news, hurry, poller, reader }
    }

    fn take(&mut self, news: News) -> Result<(), Failure> {
        match news {
            News::View(view) => {
                self.explain(&view);
                let now = self.context.clock.monotonic();
                if view.started_at.is_some() {
                    self.running_since.get_or_insert(now);
                }
                let elapsed = now - self.running_since.unwrap_or(self.began);
                self.report_no_end(&view, now);
                if !view.state.is_end() {
                    self.status.show(&view, elapsed.as_secs_f64());
                }
                self.view = Some(view);
            }
            News::Bytes(at, bytes) => {
                self.at = at + bytes.len() as u64;
                self.print(at, &bytes)?;
            }
            News::Upto(next) => self.at = next,
            News::Complete => {
                self.complete = true;
                if let Some(connection) = &self.connection {
                    connection.hurry.notify_one();
                }
            }
            News::Trouble(_) => {}
        }
        Ok(())
    }

    /// Reports once that this wait has no end in sight, and what to do.
    fn report_no_end(&mut self, view: &RunView, now: Duration) {
        let Some(words) = no_end(view) else { return self.no_end = None };
        let (since, reported) = *self.no_end.get_or_insert((now, false));
        if !reported && now - since >= NO_END {
            self.no_end = Some((since, true));
            self.status.clear();
            say(&words);
        }
    }

    /// Says once why an unfinished run shows nothing.
    fn explain(&mut self, view: &RunView) {
        if let Some(why) = view.withheld().filter(|_| !self.explained) {
            self.explained = true;
            self.status.clear();
            say(&format!("{}: {why}", view.run_id.short()));
        }
    }

    fn print(&mut self, at: u64, bytes: &[u8]) -> Result<(), Failure> {
        if let Some(show) = &mut self.show {
            self.status.clear();
            show.bytes(at, bytes)?;
            self.status.after_output(bytes);
        }
        Ok(())
    }

    /// The final view, once all output was shown.
    fn ended(&mut self) -> Result<Option<Box<RunView>>, Failure> {
        let Some(view) = self.view.take_if(|v| v.state.is_end() && self.complete) else { return Ok(None) };
        if let Some(show) = &mut self.show {
            show.finish()?;
        }
        self.status.finish();
        self.connection = None;
        Ok(Some(view))
    }
}

/// Asks for the state, at first often, then once a second, until the end.
async fn poll(client: Client, run: RunId, hurry: Arc<Notify>, news: mpsc::Sender<News>) {
    let run = run.to_string();
    let mut pause = POLL.0;
    loop {
        let (last, item) = match client.get(&run).await {
            Ok(view) => (view.state.is_end(), News::View(Box::new(view))),
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

#[cfg(test)]
mod tests;
