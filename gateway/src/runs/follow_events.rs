//! The events of an attempt as its agent sends them: snapshots, output, progress.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use longhaul_proto::{
    api::ArtifactView,
    faults,
    state::{Cause, RunState},
    visible::Foreign,
    wire::{self, run_event::Event},
};

use super::{
    follow_attempt::{Followed, broken},
    run_task::{Interrupted, RunTask},
    snapshot::user_part,
};
use crate::{
    fleet::{
        agent_port::{Events, Port, Received},
        bounds,
    },
    mirror::{Appended, Mirror},
    model::{Activity, Condition, Progress, Stream},
};

/// Longest line of progress, characters.
const PROGRESS_TEXT: usize = 200;

/// About how many bytes are written to the mirror at once, while output comes faster than it can be written.
const BATCH: usize = 1 << 20;

impl RunTask {
    /// Processes the events that the agent sends.
    pub(super) async fn pump(
        &mut self,
        connection: &Port,
        mirror: &Arc<Mirror>,
        mut events: Events,
    ) -> Result<Followed, Interrupted> {
        let mut ahead: Option<Received> = None;
        let mut told_end: Option<wire::Outcome> = None;
        loop {
            let received = match ahead.take() {
                Some(received) => received,
                None => self.during(Some(connection), events.next()).await?,
            };
            let event = match received {
                Ok(Some(event)) => event,
                Ok(None) => {
                    return Ok(match told_end {
                        Some(outcome) => Followed::Short(Box::new(outcome)),
                        None => Followed::Broken("the agent closed the stream".to_owned()),
                    });
                }
                Err(error) => return Ok(broken(error)),
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
                    (pieces, ahead) = gather(chunk, &mut events);
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
        if snapshot.attempt < self.record.attempt_number() {
            return Ok(Some(Followed::NotStarted));
        }
        self.live.runs_again = self.correcting && snapshot.outcome.is_none();
        let ended = snapshot.outcome.is_some() || RunState::from_wire(snapshot.state).is_some_and(RunState::is_end);
        let newly_ended = ended && !self.stata_ended;
        if newly_ended {
            // The agent's record of the end proves that Stata and all processes below it are gone. The rest of the
            // output needs no licence.
            (self.stata_ended, self.lease_to_free) = (true, true);
            self.detail()
                .conditions
                .set(Condition::Collecting, "Stata has ended; the rest of its output is being fetched");
            if !faults::bug("seat_held_until_sealed") {
                self.seat.free();
            }
        }
        if self.fruitless == 0 {
            self.trouble = None;
            self.detail().conditions.clear(Condition::Trouble);
        }
        self.note_snapshot(&snapshot);
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

    /// Notes in the record what a snapshot says of the attempt.
    fn note_snapshot(&mut self, snapshot: &wire::Snapshot) {
        let Some(attempt) = self.detail().present_mut() else { return };
        let keep = |to: &mut String, from: &str| {
            if !from.is_empty() {
                from.clone_into(to);
            }
        };
        let execution = &mut attempt.execution;
        keep(&mut execution.engine, &snapshot.engine);
        keep(&mut execution.engine_note, &snapshot.engine_note);
        keep(&mut execution.working_dir, &snapshot.working_dir);
        keep(&mut execution.code_sha256, &snapshot.code_sha256);
        execution.profile_ran |= snapshot.profile_ran;
        execution.cores = execution.cores.or(Some(snapshot.cores).filter(|cores| *cores > 0));
        if snapshot.started_at_ms > 0 {
            execution.started_ms = snapshot.started_at_ms;
        }
        if snapshot.running_at_ms > 0 {
            execution.host_running_ms = snapshot.running_at_ms;
        }
        if !snapshot.artifacts.is_empty() {
            let artifact = |a: &wire::Artifact| ArtifactView { path: a.path.clone(), bytes: a.bytes };
            execution.artifacts = snapshot.artifacts.iter().map(artifact).collect();
        }
        if let Some(reported) = &snapshot.view {
            attempt.user_part = user_part(attempt.user_part, reported, attempt.base.log);
        }
    }

    async fn on_output(
        &mut self,
        connection: &Port,
        mirror: &Arc<Mirror>,
        kind: i32,
        offset: u64,
        pieces: Vec<Bytes>,
    ) -> Result<Option<Followed>, Interrupted> {
        let base = self.record.detail.base();
        let (stream, base) = match wire::Stream::try_from(kind) {
            Ok(wire::Stream::Log) => (Stream::Log, base.log),
            Ok(wire::Stream::Console) => (Stream::Console, base.console),
            _ => return Ok(None),
        };
        let appending = mirror.append(stream, base.saturating_add(offset), pieces);
        match self.during(Some(connection), appending).await? {
            Ok(Appended::Grew(bytes)) => {
                self.inner.metrics.mirror_bytes.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
                self.detail().conditions.clear(Condition::CopyFails);
            }
            Ok(Appended::Had) => return Ok(None),
            Ok(Appended::Gap) => return Ok(Some(Followed::Broken("the agent left out some bytes".to_owned()))),
            Err(error) => {
                tracing::error!(run = %self.record.run, %error, "cannot write the mirror; trying again");
                let words = format!(
                    "the gateway cannot write its copy of the output ({error}); its agent has it, and it is fetched when there is room"
                );
                self.detail().conditions.set(Condition::CopyFails, words);
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
        let text: String = text;
        if progress.waits {
            (self.live.held, self.live.progress) = (Some(text), None);
            return;
        }
        self.live.held = None;
        self.live.progress = Some(Progress { percent: progress.percent.filter(|p| p.is_finite()), text });
        self.trace_progress();
    }
}

/// What people are shown of a run without new output; `None` = its log grows.
fn quiet(activity: &wire::Activity) -> Option<Activity> {
    let share = || activity.cpu_ms as f64 / 1000.0 / (activity.sample_ms as f64 / 1000.0);
    (activity.quiet_ms > 0).then(|| Activity {
        quiet: Duration::from_millis(activity.quiet_ms),
        cpus: (activity.sample_ms > 0).then(share),
    })
}

/// The chunk joined with those that have already arrived and continue it, and the event that came after them.
fn gather(first: wire::Chunk, events: &mut Events) -> (Vec<Bytes>, Option<Received>) {
    let (mut bytes, mut pieces) = (first.data.len(), vec![first.data]);
    while bytes < BATCH {
        match events.arrived() {
            None => break,
            Some(Ok(Some(Event::Chunk(next))))
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
