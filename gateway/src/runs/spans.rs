//! The spans of a run at the gateway: each is sent when what it is about has ended, with its true times by the ledger's
//! clock, so that a long run is seen while it runs. docs/traces.md lists them.
//!
//! What a step of the run ends is known from the steps before it. A task that took its run up from the ledger reads them
//! there, beside its own work; where spans are sent nowhere, or the run's trace is not recorded, nothing is kept or read.

use longhaul_proto::{
    state::{Cause, RunState},
    telemetry::{self, Kind, RUN_CALL, Span},
    wire,
};

use super::{Inner, run_task::RunTask, snapshot};
use crate::{
    ledger::TransitionRow,
    model::{Asked, Attempt, Progress, Record},
};

/// Most steps of a run that its span tells; those in the middle are left out beyond it.
const STEPS: usize = 64;
/// Most stages of progress.
const STAGES: usize = 32;

/// The way of a run so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail {
    /// The run's trace is recorded, and spans are sent.
    on: bool,
    /// The steps, oldest first; `None` = an earlier process made some of them.
    steps: Option<Vec<Step>>,
    /// Stages of progress that are over.
    stages: Vec<Stage>,
    /// The one that is not.
    stage: Option<Stage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    state: RunState,
    cause: Cause,
    attempt: u32,
    at_ms: i64,
}

/// A part of a run's progress: it has another one when its percents reach the next tenth, or its words are others.
#[derive(Clone, Debug)]
struct Stage {
    from_ms: i64,
    progress: Progress,
}

impl Stage {
    fn is_of(&self, progress: &Progress) -> bool {
        let tenth = |of: &Progress| of.percent.map(|percent| (percent / 10.0).floor() as i64);
        // Numbers change with every line: `Iteration 12` is no other stage than `Iteration 11`.
        let words = |of: &Progress| of.text.chars().filter(|c| c.is_alphabetic()).take(40).collect::<String>();
        tenth(&self.progress) == tenth(progress) && words(&self.progress) == words(progress)
    }
}

impl Trail {
    /// Of a run whose task starts; `unsent` = its attempt was recorded with the run itself, a moment ago.
    pub(super) fn of(record: &Record, unsent: bool) -> Self {
        let asked = &record.detail.asked;
        if !telemetry::sends_spans() || !telemetry::is_recorded(&context(asked)) {
            return Self::default();
        }
        let step = |state, cause, attempt| Step { state, cause, attempt, at_ms: record.created_ms };
        let queued = step(RunState::Queued, Cause::Submitted, 0);
        let steps = match record.state {
            RunState::Queued if record.detail.attempts.is_empty() => Some(vec![queued]),
            RunState::Starting if unsent => Some(vec![queued, step(RunState::Starting, Cause::Dispatched, 1)]),
            _ => None,
        };
        Self { on: true, steps, ..Self::default() }
    }
}

/// The context that ties a run's spans together.
pub(super) fn context(asked: &Asked) -> wire::TraceContext {
    wire::TraceContext { traceparent: asked.traceparent.clone(), tracestate: asked.tracestate.clone() }
}

/// Notes which run a span is about, and of which attempt; 0 = of none.
pub(super) fn about(span: &mut Span, record: &Record, attempt: u32) {
    if !span.is_recorded() {
        return;
    }
    span.set("longhaul.run.id", record.run.to_string());
    span.set("longhaul.principal", record.principal.to_string());
    if attempt > 0 {
        span.set_count("longhaul.run.attempt", attempt);
        span.set_text("longhaul.agent.name", record.host());
        span.set_text("longhaul.pool", record.pool());
    }
}

/// The call by which an agent gets an attempt.
pub(super) fn of_call(record: &Record, parent: &wire::TraceContext) -> Span {
    let mut span = Span::begin(RUN_CALL, Kind::Client, parent);
    span.set("rpc.system.name", "grpc");
    span.set("rpc.method", RUN_CALL);
    span.set_text("server.address", record.host());
    span
}

impl RunTask {
    /// A step is recorded: what has ended with it goes into the run's trace.
    pub(super) fn trace_step(&mut self, at_ms: i64) {
        if !self.trail.on {
            return;
        }
        let record = &self.record;
        let step = Step { state: record.state, cause: record.cause, attempt: record.attempt_number(), at_ms };
        if !matches!(step.state, RunState::Starting | RunState::Running) {
            let over = self.trail.stage.take();
            self.trail.stages.extend(over.inspect(|stage| send_stage(record, stage, at_ms)));
        }
        if let Some(steps) = &mut self.trail.steps {
            if steps.len() >= STEPS {
                steps.remove(STEPS / 2);
            }
            steps.push(step);
            return send(record, steps, &self.trail.stages);
        }
        let (inner, record, stages) = (self.inner.clone(), record.clone(), self.trail.stages.clone());
        self.inner.deps.tasks.spawn(async move { read_and_send(&inner, &record, step, &stages).await });
    }

    /// The run has made progress.
    pub(super) fn trace_progress(&mut self) {
        let Some(progress) = self.live.progress.as_ref().filter(|_| self.trail.on) else { return };
        let untold = longhaul_proto::faults::bug("stages_untold");
        if untold || self.trail.stage.as_ref().is_some_and(|stage| stage.is_of(progress)) {
            return;
        }
        let now_ms = self.inner.wall_clock.now_ms();
        let next = Stage { from_ms: now_ms, progress: progress.clone() };
        if let Some(over) = self.trail.stage.replace(next)
            && self.trail.stages.len() < STAGES
        {
            send_stage(&self.record, &over, now_ms);
            self.trail.stages.push(over);
        }
    }
}

/// The same of a run whose earlier steps only the ledger knows.
async fn read_and_send(inner: &Inner, record: &Record, step: Step, stages: &[Stage]) {
    let rows = match inner.ledger.history(record.run).await {
        Ok(rows) => rows,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            return tracing::debug!(run = %record.run, error, "a step is not in the run's trace");
        }
    };
    let read = |row: &TransitionRow| Step {
        state: row.state,
        cause: row.cause,
        attempt: row.attempt.map_or(0, Attempt::number),
        at_ms: row.at_ms,
    };
    let mut steps: Vec<Step> = rows.iter().map(read).collect();
    // Others may have followed meanwhile.
    let this = steps.iter().rposition(|read| (read.state, read.attempt) == (step.state, step.attempt));
    steps.truncate(this.map_or(0, |at| at + 1));
    if steps.len() > STEPS {
        steps.drain(STEPS / 2..steps.len() - STEPS / 2);
    }
    send(record, &steps, stages);
}

/// Sends what the last of these steps has ended.
fn send(record: &Record, steps: &[Step], stages: &[Stage]) {
    let Some((step, before)) = steps.split_last() else { return };
    match before.last() {
        Some(queued) if queued.state == RunState::Queued => send_wait(record, queued, step),
        Some(given) if given.state == RunState::Starting && step.state == RunState::Running => {
            let parent = context(&record.detail.asked);
            if let Some(mut span) = Span::past("longhaul.starting", Kind::Internal, &parent, (given.at_ms, step.at_ms))
            {
                about(&mut span, record, step.attempt);
            }
        }
        Some(last) if last.state != RunState::Lost => send_attempt(record, before, step),
        _ => {}
    }
    if step.state.is_end() {
        send_run(record, steps, stages);
    }
}

/// A run that had its seat at once has not waited.
pub(super) fn send_no_wait(record: &Record) {
    let step = |state| Step { state, cause: record.cause, attempt: record.attempt_number(), at_ms: record.created_ms };
    send_wait(record, &step(RunState::Queued), &step(RunState::Starting));
}

/// The wait in the queue that this step has ended.
fn send_wait(record: &Record, queued: &Step, step: &Step) {
    let since = if longhaul_proto::faults::bug("waits_from_submission") { record.created_ms } else { queued.at_ms };
    let parent = context(&record.detail.asked);
    let Some(mut span) = Span::past("longhaul.queue", Kind::Internal, &parent, (since, step.at_ms)) else { return };
    about(&mut span, record, if step.state == RunState::Starting { step.attempt } else { 0 });
    span.set("longhaul.queue.waited_ms", step.at_ms - since);
    span.set_text("longhaul.queue.waited_for", &record.detail.queue.waited_for);
    if step.state.is_end() {
        close(&mut span, record, step);
    }
}

/// The attempt that this step has ended: with the run, by its own death, or since it never started.
fn send_attempt(record: &Record, before: &[Step], step: &Step) {
    let Some(given) = before.iter().rfind(|step| step.state == RunState::Starting) else { return };
    let parent = context(&record.detail.asked);
    let Some(mut span) = Span::past("longhaul.attempt", Kind::Internal, &parent, (given.at_ms, step.at_ms)) else {
        return;
    };
    about(&mut span, record, given.attempt);
    if step.cause == Cause::ProvenDead {
        let death = record.detail.dead().next_back().and_then(|attempt| attempt.death.as_ref());
        let how = death.filter(|_| telemetry::details()).map_or("the attempt is dead", |death| &death.how);
        span.set("longhaul.run.cause", step.cause.to_string());
        span.failed(&step.cause.to_string(), how);
    } else {
        close(&mut span, record, step);
    }
}

/// The run itself, from its first output to its end; of one that wrote nothing, from its submission.
fn send_run(record: &Record, steps: &[Step], stages: &[Stage]) {
    let Some(step) = steps.last() else { return };
    let (detail, parent) = (&record.detail, context(&record.detail.asked));
    let running = detail.present().map_or(0, |attempt| attempt.execution.running_ms);
    let from = if running > 0 { running } else { record.created_ms };
    let Some(mut span) = Span::past("longhaul.run", Kind::Internal, &parent, (from, step.at_ms)) else { return };
    about(&mut span, record, step.attempt);
    close(&mut span, record, step);
    if let Some(present) = detail.present() {
        span.set_text("longhaul.run.engine", &present.execution.engine);
    }
    let untold = longhaul_proto::faults::bug("steps_untold");
    for step in steps.iter().filter(|_| !untold) {
        let of = vec![
            ("longhaul.run.state", step.state.to_string().into()),
            ("longhaul.run.cause", step.cause.to_string().into()),
            ("longhaul.run.attempt", i64::from(step.attempt).into()),
        ];
        span.event("longhaul.run.state", step.at_ms, of);
    }
    if let Some(cancel) = &record.cancel {
        span.event("longhaul.run.cancel", cancel.at_ms, vec![("longhaul.cancelled_by", cancel.by.clone().into())]);
    }
    for stage in stages {
        let mut of = Vec::new();
        if let Some(percent) = stage.progress.percent {
            of.push(("longhaul.progress.percent", percent.into()));
        }
        if telemetry::details() {
            of.push(("longhaul.progress.text", stage.progress.text.clone().into()));
        }
        span.event("longhaul.run.stage", stage.from_ms, of);
    }
}

fn send_stage(record: &Record, stage: &Stage, to_ms: i64) {
    let parent = context(&record.detail.asked);
    let Some(mut span) = Span::past("longhaul.stage", Kind::Internal, &parent, (stage.from_ms, to_ms)) else { return };
    about(&mut span, record, record.attempt_number());
    if let Some(percent) = stage.progress.percent {
        span.set("longhaul.progress.percent", percent);
    }
    if telemetry::details() {
        span.set_text("longhaul.progress.text", &stage.progress.text);
    }
}

/// Notes how the run ended, and that it did so in an error: the script's (result `failure`), or another one.
fn close(span: &mut Span, record: &Record, step: &Step) {
    let (detail, end) = (&record.detail, &record.detail.end);
    span.set("longhaul.run.state", step.state.to_string());
    span.set("longhaul.run.cause", step.cause.to_string());
    let Some(meaning) = step.state.meaning() else { return };
    span.set("longhaul.run.result", meaning.result);
    if let Some(rc) = end.rc {
        span.set("longhaul.run.rc", rc);
    }
    let by = record.cancel.as_ref().map(|cancel| cancel.by.as_str());
    let by = by.or_else(|| Some(detail.present()?.execution.ended_by.as_str()));
    span.set_text("longhaul.cancelled_by", by.unwrap_or_default());
    let place = end.location.as_ref().filter(|place| place.line > 0);
    if let Some(place) = place {
        span.set("code.line.number", i64::from(place.line));
        span.set("longhaul.run.error.depth", place.callers.len() as i64);
    }
    if telemetry::details() {
        span.set_text("longhaul.run.source", &detail.asked.source);
        span.set_text("code.file.path", place.map_or("", |place| &place.file));
        span.set_text("longhaul.run.command", &end.command);
    }
    if let Some((error_type, words)) = failure(record, step) {
        span.failed(&error_type, &words);
    }
}

/// The type of the error that ended a run, and what people read; `None` = it succeeded, or a person ended it.
fn failure(record: &Record, step: &Step) -> Option<(String, String)> {
    if matches!(step.state, RunState::Succeeded | RunState::Cancelled) {
        return None;
    }
    let (end, details) = (&record.detail.end, telemetry::details());
    let error = snapshot::error(record);
    let kind = error.as_ref().map_or("", |error| error.kind.as_str());
    let code = end.rc.map(|rc| format!("r({rc})"));
    let plain = if step.state == RunState::Failed { kind.to_owned() } else { step.cause.to_string() };
    let what = if details && !end.message.is_empty() { end.message.clone() } else { plain.replace('_', " ") };
    let place = end.location.as_ref().filter(|place| place.line > 0).map(|place| match details {
        true => format!("{} line {}", place.file, place.line),
        false => format!("line {}", place.line),
    });
    let words = [code, Some(what), place].into_iter().flatten().filter(|word| !word.is_empty());
    Some((plain, words.collect::<Vec<_>>().join(", ")))
}
