//! Follows a run to its end, over every interruption on the way.
//!
//! Two tasks ask the gateway: one for the run's state once a second, one for its output as it comes. Both stop at the
//! first error; then the gateway is looked for again, and both continue from the byte and the state that were reached.
//! The run is not affected. Only the gateway knows which bytes of a log are the user's.

mod connection;
mod since;

use std::time::Duration;

use longhaul_proto::{api::RunView, back_off::BackOff, ids::RunId};

use crate::{
    client::{Client, ClientError, Stream},
    context::{Context, Failure},
    gateway_handle::GatewayHandle,
    output::{Status, When, no_end, say},
    printer::Printer,
    signals::{Asked, Signals, resizes},
};
use connection::{Connection, News};
use since::Since;

/// Pauses before the gateway is looked for again: first, and longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// A gateway that stays away this long is given up; the run goes on.
const GIVE_UP: Duration = Duration::from_secs(600);

/// A wait that nothing under way ends is reported after this time.
const NO_END: Duration = Duration::from_secs(10);

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
    since: Since,
    /// Since when the run waits for something that nothing under way brings about, and whether that was reported.
    no_end: Option<(Duration, bool)>,
    connection: Option<Connection>,
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
            since: Since::new(began),
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
        let mut resizes = resizes()?;
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
                true = resizes.next() => {
                    self.status.resized();
                    continue;
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
        let output = (!self.complete).then_some((self.stream, self.at));
        Connection::open(&self.context.tasks, client, self.run, output)
    }

    fn take(&mut self, news: News) -> Result<(), Failure> {
        match news {
            News::View(view, gateway_now) => {
                self.explain(&view);
                let now = self.context.clock.monotonic();
                let elapsed = self.since.elapsed(&view, gateway_now, now);
                self.report_no_end(&view, now);
                if !view.state.is_end() {
                    self.status.show(&When::new(self.context.utc).of_run(&view), elapsed, now);
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
        let Some(words) = no_end(&When::new(self.context.utc).of_run(view)) else { return self.no_end = None };
        let (since, reported) = *self.no_end.get_or_insert((now, false));
        if !reported && now - since >= NO_END {
            self.no_end = Some((since, true));
            self.status.finish();
            say(&words);
        }
    }

    /// Says once why an unfinished run shows nothing.
    fn explain(&mut self, view: &RunView) {
        if let Some(why) = view.withheld().filter(|_| !self.explained) {
            self.explained = true;
            self.status.finish();
            say(&format!("{}: {why}", view.run_id.short()));
        }
    }

    fn print(&mut self, at: u64, bytes: &[u8]) -> Result<(), Failure> {
        if let Some(show) = &mut self.show {
            self.status.before_output(bytes.first());
            show.bytes(at, bytes)?;
            self.status.after_output(show.line_end());
        }
        Ok(())
    }

    /// The final view, once all output was shown.
    fn ended(&mut self) -> Result<Option<Box<RunView>>, Failure> {
        let Some(view) = self.view.take_if(|v| v.state.is_end() && self.complete) else { return Ok(None) };
        if let Some(show) = &mut self.show {
            self.status.before_output(None);
            show.finish()?;
            self.status.after_output(show.line_end());
        }
        self.status.finish();
        self.connection = None;
        Ok(Some(view))
    }
}

#[cfg(test)]
mod tests;
