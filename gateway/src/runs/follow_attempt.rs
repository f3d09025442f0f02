//! From an attempt to its end: hand the run over, follow it, and reconnect after every break.
//!
//! Silence and broken streams change no state. When an agent does not know the attempt, the gateway asks for proof
//! ([`wire::RevokeRequest`]); only the agent's proof that the attempt never started brings the run back to the queue.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use longhaul_proto::{
    api::{ActivityView, ArtifactView, ProgressView, Retry},
    faults,
    ordered_watch::{Closed, OrderedReceiver},
    state::{Cause, RunState},
    visible::Foreign,
    wire::{self, run_event::Event},
};
use tonic::{Code, Status, Streaming};
use tracing::Instrument;

use super::{
    run_task::{Interrupted, RunTask},
    view::user_part,
};
use crate::{
    fleet::{
        bounds,
        connection::{self, Connection},
    },
    ledger::Condition,
    mirror::{Appended, Mirror},
    model::Stream,
};

/// Longest line of progress, characters.
const PROGRESS_TEXT: usize = 200;

/// How often an agent that has reported the end may break off without a new byte, before the run ends without the rest
/// of its output: some ten seconds.
const FRUITLESS: u32 = 8;

/// About how many bytes are written to the mirror at once, while output comes faster than it can be written.
const BATCH: usize = 1 << 20;

/// What the stream yielded.
type Received = Result<Option<wire::RunEvent>, Status>;

/// How one try to follow the attempt ended.
#[derive(Debug)]
enum Followed {
    /// The run has ended and that is recorded.
    Ended,
    /// The stream has ended and the run has not: follow again.
    Broken(String),
    /// Likewise, for a reason of the gateway's own.
    Ours(String),
    /// The agent reported the end and closed the stream, but some of the output that it recorded did not come.
    Short(Box<wire::Outcome>),
    /// The agent has not started this attempt.
    NotBegun,
    /// The call never left the gateway.
    NeverSent,
    /// The mirror has more output than the agent.
    Beyond,
    /// The agent cannot read the run's spool.
    Unreadable(String),
}

impl RunTask {
    /// Follows an attempt until its end, or until the agent proves that it never started.
    pub(super) async fn attend(&mut self) -> Result<(), Interrupted> {
        if self.unsent && self.record.cancel.is_some() {
            // The cancel came while the attempt was being recorded.
            return self.give_back("its end was asked for before it left").await;
        }
        if !self.unsent {
            // Before the first connection: the output that the mirror has can be read while the agent is away.
            self.open_mirror().await?;
        }
        let mut connections = self.inner.fleet.connections(&self.record.agent_id);
        let (first, longest) = self.inner.options.backoff;
        let mut pause = first;
        loop {
            let Some(connection) = self.usable(&mut connections).await? else {
                return self.give_back("its agent could not be reached").await;
            };
            let before = self.mirrored();
            let followed = if self.unsent { self.start(&connection).await? } else { self.follow(&connection).await? };
            match followed {
                Followed::Ended => return Ok(()),
                Followed::NeverSent => {}
                Followed::NotBegun if self.record.state == RunState::Starting => {
                    match self.revoke(&connection).await? {
                        Some(true) => return self.never_began().await,
                        Some(false) => {
                            let host = &self.record.host;
                            self.in_trouble(format!(
                                "agent {host} does not have this run, and does not say that it never began"
                            ));
                        }
                        None => {}
                    }
                }
                Followed::NotBegun => {
                    let host = &self.record.host;
                    self.in_trouble(format!("agent {host} does not know this run any more"));
                }
                Followed::Unreadable(why) => {
                    let host = &self.record.host;
                    self.in_trouble(format!("agent {host} cannot read the run's spool: {why}"));
                }
                // A crash of its host took the end of the log. The mirror keeps its bytes, and compares the agent's
                // with them.
                Followed::Beyond => self.from_start = true,
                Followed::Short(outcome) => {
                    if self.fruitless(before) && !faults::bug("short_output_awaited") {
                        let mirror = self.open_mirror().await?;
                        if self.end_short(&mirror, &outcome).await? {
                            return Ok(());
                        }
                    }
                }
                Followed::Broken(why) => {
                    tracing::debug!(run = %self.record.run, %why, "the run's stream broke; following again");
                    if self.stata_ended && self.fruitless(before) {
                        let host = &self.record.host;
                        self.in_trouble(format!(
                            "agent {host} says that this run has ended, and cannot send all of its output: {why}"
                        ));
                    }
                }
                Followed::Ours(why) => {
                    tracing::debug!(run = %self.record.run, %why, "following again");
                }
            }
            // What the agent reported over a stream that has ended does not hold any more.
            (self.live.activity, self.live.runs_again) = (None, false);
            if self.mirrored() > before {
                pause = first;
            }
            if !connection.is_broken() {
                self.during(Some(&connection), tokio::time::sleep(pause)).await?;
                pause = (pause * 2).min(longest);
            }
        }
    }

    /// Counts a try to fetch the rest of the output; `true` = enough of them brought nothing.
    fn fruitless(&mut self, before: u64) -> bool {
        self.fruitless = if self.mirrored() > before { 0 } else { self.fruitless + 1 };
        self.fruitless >= FRUITLESS
    }

    /// Bytes of both streams in the mirror.
    fn mirrored(&self) -> u64 {
        self.mirror.as_ref().map_or(0, |m| m.len(Stream::Log) + m.len(Stream::Console))
    }

    async fn open_mirror(&mut self) -> Result<Arc<Mirror>, Interrupted> {
        if let Some(mirror) = &self.mirror {
            return Ok(mirror.clone());
        }
        loop {
            match self.inner.mirrors.open(self.record.run).await {
                Ok(mirror) => {
                    mirror.begin_at(self.record.detail.log_base, self.record.detail.console_base);
                    (self.live.log_len, self.live.console_len) = (mirror.len(Stream::Log), mirror.len(Stream::Console));
                    self.mirror = Some(mirror.clone());
                    self.detail().clear(Condition::CopyUnopened);
                    self.publish();
                    return Ok(mirror);
                }
                Err(error) => {
                    tracing::error!(run = %self.record.run, %error, "cannot open the mirror; trying again");
                    let words = format!("the gateway cannot open its copy of the output: {error}");
                    self.detail().set(Condition::CopyUnopened, words);
                    self.publish();
                    self.during(None, tokio::time::sleep(Duration::from_secs(1))).await?;
                }
            }
        }
    }

    /// Waits for a usable connection. `None` when the attempt has not left and the agent does not connect in time.
    async fn usable(
        &mut self,
        connections: &mut OrderedReceiver<Option<Arc<Connection>>>,
    ) -> Result<Option<Arc<Connection>>, Interrupted> {
        let patience = self.inner.options.backoff.1 * 2;
        let mut patience = std::pin::pin!(tokio::time::sleep(patience));
        loop {
            let connection = connections.get();
            if let Some(connection) = connection.filter(|l| !l.is_broken()) {
                return Ok(Some(connection));
            }
            if !self.unsent {
                let changed = self.during(None, connections.changed()).await?;
                self.after(changed, connections)?;
                continue;
            }
            let (patience, changed) = (patience.as_mut(), connections.changed());
            let waited = self
                .during(None, async move {
                    tokio::select! {
                        biased;
                        changed = changed => Some(changed),
                        () = patience => None,
                    }
                })
                .await?;
            match waited {
                None => return Ok(None),
                Some(changed) => self.after(changed, connections)?,
            }
        }
    }

    /// The fleet may drop an agent that is silent and whose name another took; its run still waits for it.
    fn after(
        &self,
        changed: Result<(), Closed>,
        connections: &mut OrderedReceiver<Option<Arc<Connection>>>,
    ) -> Result<(), Interrupted> {
        if changed.is_err() {
            if faults::bug("closed_links_end_the_task") {
                return Err(Interrupted::Stopping);
            }
            *connections = self.inner.fleet.connections(&self.record.agent_id);
        }
        Ok(())
    }

    /// The one `Run` call of this attempt.
    async fn start(&mut self, connection: &Arc<Connection>) -> Result<Followed, Interrupted> {
        let mut submission = match self.submission.take() {
            Some(submission) => submission,
            None => match self.inner.ledger.submission(self.record.run).await {
                Ok(Some(submission)) => submission,
                Ok(None) => return Ok(Followed::Broken("the ledger has no submission".to_owned())),
                Err(error) => {
                    tracing::error!(run = %self.record.run, error = &error as &dyn std::error::Error, "cannot read a submission");
                    return Ok(Followed::Broken("the ledger cannot be read".to_owned()));
                }
            },
        };
        // Here, where every request leaves, so that requests that an older version recorded without a seal are sealed
        // too.
        self.inner.seal.seal(&mut submission);
        let span = tracing::info_span!(
            "longhaul.dispatch", longhaul.run.id = %self.record.run, longhaul.run.attempt = self.record.attempt,
            longhaul.agent.name = %self.record.host
        );
        self.in_trace(&span);
        let began = self.inner.deps.clock.monotonic();
        let attempt = self.record.attempt;
        let cluster_id = self.inner.ledger.cluster_id().to_owned();
        let (mut client, request) =
            connection.data(wire::RunRequest { submission: Some(submission), attempt, cluster_id });
        // From here on it is unknown whether the call left, until it is proven.
        self.unsent = false;
        faults::point("dispatch.before_run");
        let called = self.during(Some(connection), client.run(request).instrument(span.clone())).await?;
        drop(span);
        match called {
            Ok(stream) => {
                let took = self.inner.deps.clock.monotonic().saturating_sub(began);
                self.inner.metrics.dispatch.record(took);
                faults::point("dispatch.after_run");
                // Only now: the agent starts the process while the gateway creates the files for its output.
                let mirror = self.open_mirror().await?;
                self.pump(connection, &mirror, stream.into_inner()).await
            }
            Err(status) if connection::never_sent(&status) => {
                self.unsent = true;
                Ok(Followed::NeverSent)
            }
            Err(status) => {
                tracing::info!(run = %self.record.run, %status, "the agent did not take the run");
                let why = connection::said(&status);
                self.refused = Some(status);
                Ok(Followed::Broken(why))
            }
        }
    }

    async fn follow(&mut self, connection: &Arc<Connection>) -> Result<Followed, Interrupted> {
        let mirror = self.open_mirror().await?;
        let (log_base, console_base) = (self.record.detail.log_base, self.record.detail.console_base);
        // Only once: if that stream breaks, the mirror's length is the offset to follow from again.
        let from_start = self.from_start;
        self.from_start &= faults::bug("from_start_sticks");
        let (mut client, request) = connection.data(wire::FollowRequest {
            run_id: self.record.run.to_string(),
            log_offset: if from_start { 0 } else { mirror.len(Stream::Log).saturating_sub(log_base) },
            console_offset: if from_start { 0 } else { mirror.len(Stream::Console).saturating_sub(console_base) },
            with_submission: false,
        });
        match self.during(Some(connection), client.follow(request)).await? {
            Ok(stream) => self.pump(connection, &mirror, stream.into_inner()).await,
            Err(status) => Ok(broken(&status)),
        }
    }

    /// Processes the events that the agent sends.
    async fn pump(
        &mut self,
        connection: &Arc<Connection>,
        mirror: &Arc<Mirror>,
        mut stream: Streaming<wire::RunEvent>,
    ) -> Result<Followed, Interrupted> {
        let mut ahead: Option<Received> = None;
        let mut told_end: Option<wire::Outcome> = None;
        loop {
            let received = match ahead.take() {
                Some(received) => received,
                None => self.during(Some(connection), stream.message()).await?,
            };
            let event = match received {
                Ok(Some(wire::RunEvent { event: Some(event) })) => event,
                Ok(Some(_)) => continue,
                Ok(None) => {
                    return Ok(match told_end {
                        Some(outcome) => Followed::Short(Box::new(outcome)),
                        None => Followed::Broken("the agent closed the stream".to_owned()),
                    });
                }
                Err(status) => return Ok(broken(&status)),
            };
            let stop = match event {
                Event::Snapshot(mut snapshot) => {
                    snapshot.make_harmless();
                    told_end = snapshot.outcome.clone().or(told_end);
                    self.on_snapshot(mirror, snapshot).await?
                }
                Event::Chunk(chunk) => {
                    let (kind, offset) = (chunk.stream, chunk.offset);
                    let pieces;
                    (pieces, ahead) = gather(chunk, &mut stream);
                    self.on_output(connection, mirror, kind, offset, pieces).await?
                }
                Event::Progress(mut progress) => {
                    progress.make_harmless();
                    self.on_progress(&progress);
                    self.publish();
                    None
                }
                Event::Activity(activity) => {
                    self.live.activity = quiet(&activity);
                    self.publish();
                    None
                }
            };
            if let Some(followed) = stop {
                return Ok(followed);
            }
        }
    }

    async fn on_snapshot(
        &mut self,
        mirror: &Arc<Mirror>,
        mut snapshot: wire::Snapshot,
    ) -> Result<Option<Followed>, Interrupted> {
        bounds::cut(&mut snapshot);
        if snapshot.attempt < self.record.attempt {
            return Ok(Some(Followed::NotBegun));
        }
        self.live.runs_again = self.correcting && snapshot.outcome.is_none();
        let ended = snapshot.outcome.is_some() || RunState::from_wire(snapshot.state).is_some_and(RunState::is_end);
        if ended && !self.stata_ended {
            // The agent's record of the end proves that Stata and all processes below it are gone. The rest of the
            // output needs no licence.
            self.stata_ended = true;
            self.detail().set(Condition::Collecting, "Stata has ended; the rest of its output is being fetched");
            if !faults::bug("seat_held_until_sealed") {
                self.seat.free();
            }
        }
        if self.fruitless == 0 {
            self.trouble = None;
            self.detail().clear(Condition::Trouble);
        }
        let detail = self.detail();
        let keep = |to: &mut String, from: &str| {
            if !from.is_empty() {
                from.clone_into(to);
            }
        };
        keep(&mut detail.engine, &snapshot.engine);
        keep(&mut detail.engine_note, &snapshot.engine_note);
        keep(&mut detail.working_dir, &snapshot.working_dir);
        keep(&mut detail.code_sha256, &snapshot.code_sha256);
        if snapshot.started_at_ms > 0 {
            detail.started_ms = snapshot.started_at_ms;
        }
        if snapshot.running_at_ms > 0 {
            detail.host_running_ms = snapshot.running_at_ms;
        }
        if let Some(told) = &snapshot.view {
            detail.view = user_part(detail.view, told, detail.log_base);
        }
        if !snapshot.artifacts.is_empty() {
            let artifact = |a: &wire::Artifact| ArtifactView { path: a.path.clone(), bytes: a.bytes };
            detail.artifacts = snapshot.artifacts.iter().map(artifact).collect();
        }
        if let Some(progress) = &snapshot.progress {
            self.on_progress(progress);
        }
        if let Some(outcome) = &snapshot.outcome {
            // The outcome may come before the last bytes too; then it comes again after them.
            let (log, console) = self.lengths(outcome);
            let whole = (mirror.len(Stream::Log) >= log || mirror.is_cut(Stream::Log))
                && (mirror.len(Stream::Console) >= console || mirror.is_cut(Stream::Console));
            if whole {
                return self.end(mirror, outcome).await.map(|ended| {
                    Some(if ended {
                        Followed::Ended
                    } else {
                        Followed::Ours("the output has to be fetched again".to_owned())
                    })
                });
            }
        } else if self.record.state == RunState::Starting
            && RunState::from_wire(snapshot.state) == Some(RunState::Running)
        {
            self.step(RunState::Running, Cause::FirstOutput).await?;
        }
        self.publish();
        Ok(None)
    }

    async fn on_output(
        &mut self,
        connection: &Arc<Connection>,
        mirror: &Arc<Mirror>,
        kind: i32,
        offset: u64,
        pieces: Vec<Bytes>,
    ) -> Result<Option<Followed>, Interrupted> {
        let (stream, base) = match wire::Stream::try_from(kind) {
            Ok(wire::Stream::Log) => (Stream::Log, self.record.detail.log_base),
            Ok(wire::Stream::Console) => (Stream::Console, self.record.detail.console_base),
            _ => return Ok(None),
        };
        let appending = mirror.append(stream, base.saturating_add(offset), pieces);
        match self.during(Some(connection), appending).await? {
            Ok(Appended::Grew(bytes)) => {
                self.inner.metrics.mirror_bytes.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
                self.detail().clear(Condition::CopyFails);
            }
            Ok(Appended::Had) => return Ok(None),
            Ok(Appended::Gap) => return Ok(Some(Followed::Broken("the agent left out some bytes".to_owned()))),
            Err(error) => {
                tracing::error!(run = %self.record.run, %error, "cannot write the mirror; trying again");
                let words = format!(
                    "the gateway cannot write its copy of the output ({error}); its agent has it, and it is fetched when there is room"
                );
                self.detail().set(Condition::CopyFails, words);
                self.publish();
                return Ok(Some(Followed::Ours(error.to_string())));
            }
        }
        (self.live.log_len, self.live.console_len) = (mirror.len(Stream::Log), mirror.len(Stream::Console));
        if stream == Stream::Log {
            self.live.activity = None;
        }
        // Publish first: watchers must not wait for the commit.
        self.publish();
        if self.record.state == RunState::Starting && stream == Stream::Log {
            self.step(RunState::Running, Cause::FirstOutput).await?;
        }
        Ok(None)
    }

    fn on_progress(&mut self, progress: &wire::Progress) {
        let text = progress.text.chars().filter(|c| !c.is_control()).take(PROGRESS_TEXT).collect();
        self.live.progress = Some(ProgressView { percent: progress.percent.filter(|p| p.is_finite()), text });
    }

    /// The agent is connected and cannot help: only a person can.
    fn in_trouble(&mut self, why: String) {
        if self.trouble.as_ref() != Some(&why) {
            tracing::warn!(run = %self.record.run, why, "a run is in trouble");
            self.detail().set(Condition::Trouble, format!("{why}; an operator can declare it dead"));
            self.trouble = Some(why);
            self.publish();
        }
    }

    /// Asks for the proof that this attempt never started; `None` = no answer.
    async fn revoke(&mut self, connection: &Arc<Connection>) -> Result<Option<bool>, Interrupted> {
        let (mut client, request) = connection
            .control(wire::RevokeRequest { run_id: self.record.run.to_string(), attempt: self.record.attempt });
        let limit = self.inner.options.call_timeout;
        let asked = self.during(Some(connection), tokio::time::timeout(limit, client.revoke(request))).await?;
        Ok(asked.ok().and_then(Result::ok).map(|reply| reply.get_ref().revoked))
    }

    /// The agent proved that the attempt never started.
    async fn never_began(&mut self) -> Result<(), Interrupted> {
        // With these codes an agent says that it will never take this run; asking again would go on for ever.
        let refused = self.refused.as_ref().filter(|status| {
            matches!(
                status.code(),
                Code::InvalidArgument | Code::PermissionDenied | Code::Unimplemented | Code::OutOfRange
            )
        });
        if let Some(status) = refused {
            let message = format!("agent {} did not take it: {}", self.record.host, connection::said(status));
            self.detail().message = message;
            self.detail().complete = self.record.earlier_whole();
            return self.step(RunState::Errored, Cause::SpawnFailed).await;
        }
        self.give_back("the agent proved that it never began").await
    }

    async fn give_back(&mut self, why: &str) -> Result<(), Interrupted> {
        tracing::info!(run = %self.record.run, attempt = self.record.attempt, why, "back to the queue");
        self.unsent = false;
        if self.record.cancel.is_some() {
            self.record.detail.complete = self.record.earlier_whole();
            return self.step(RunState::Cancelled, Cause::CancelRequested).await;
        }
        if self.record.detail.retry == Retry::Never {
            let host = &self.record.host;
            self.record.detail.message = format!("it never began on {host}: {why}; its owner wanted no other attempt");
            self.record.detail.complete = self.record.earlier_whole();
            return self.step(RunState::Errored, Cause::NotStarted).await;
        }
        self.step(RunState::Queued, Cause::Returned).await
    }
}

/// What people are shown of a run without new output; `None` = its log grows.
fn quiet(activity: &wire::Activity) -> Option<ActivityView> {
    let seconds = |ms: u64| ms as f64 / 1000.0;
    (activity.quiet_ms > 0).then(|| ActivityView {
        quiet_for: seconds(activity.quiet_ms),
        cpus: (activity.sample_ms > 0).then(|| seconds(activity.cpu_ms) / seconds(activity.sample_ms)),
    })
}

/// The chunk joined with those that have already arrived and continue it, and the event that came after them.
fn gather(first: wire::Chunk, stream: &mut Streaming<wire::RunEvent>) -> (Vec<Bytes>, Option<Received>) {
    let (mut bytes, mut pieces) = (first.data.len(), vec![first.data]);
    while bytes < BATCH {
        match stream.message().now_or_never() {
            None => break,
            Some(Ok(Some(wire::RunEvent { event: Some(Event::Chunk(next)) })))
                if next.stream == first.stream && next.offset == first.offset + bytes as u64 =>
            {
                bytes += next.data.len();
                pieces.push(next.data);
            }
            other => return (pieces, other),
        }
    }
    (pieces, None)
}

fn broken(status: &Status) -> Followed {
    match status.code() {
        _ if connection::never_sent(status) => Followed::Broken("the connection broke".to_owned()),
        Code::NotFound => Followed::NotBegun,
        Code::OutOfRange => Followed::Beyond,
        Code::DataLoss => Followed::Unreadable(connection::said(status)),
        _ => Followed::Broken(connection::said(status)),
    }
}
