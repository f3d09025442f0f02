//! Waiting for runs, with progress at a fixed cadence whatever the runs do.

use std::{sync::Arc, time::Duration};

use futures_util::future::select_all;
use longhaul_proto::{faults, ids::RunId};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until};

use super::{
    call::{Call, Caller},
    egress::Live,
    progress::Reporter,
    waiting, words,
};
use crate::{
    frontend::{part::Part, utf8},
    model::{RunSnapshot, Stream},
};

/// How far before the end of a log its last line is looked for, bytes.
const LAST_LINE: u64 = 4096;

/// Time limit on reading that line: progress must not wait for a disk.
const LAST_LINE_LIMIT: Duration = Duration::from_secs(1);

/// A limit beyond this one means no limit: the clock has an end, too.
const FAR: Duration = Duration::from_secs(366 * 86_400);

/// A run that this call follows.
pub(super) struct Followed {
    pub(super) run: RunId,
    pub(super) live: Live,
}

impl Followed {
    /// The run as it is now.
    pub(super) fn view(&self) -> Arc<RunSnapshot> {
        self.live.now()
    }

    fn ended(&self) -> bool {
        self.live.now().state.is_end()
    }

    fn abandoned(&self) -> bool {
        self.live.is_over() && !self.ended()
    }
}

/// When to stop waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// All have ended.
    All,
    /// One has ended.
    Any,
}

impl Until {
    fn is_reached(self, runs: &[Followed]) -> bool {
        match self {
            Self::All => runs.iter().all(Followed::ended),
            Self::Any => runs.iter().any(Followed::ended),
        }
    }
}

/// Why the waiting stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// What the call waited for has happened.
    Ended,
    /// The time limit is reached.
    TimeOver,
    /// Nothing under way ends this wait, or only the caller can end it.
    NoEnd,
    /// The caller is gone or withdrew the request.
    Gone,
    /// The gateway stops.
    Stopping,
}

/// Follows until one of [`Waited`] happens; `limit` counts from now. `first` is the first progress message.
pub(super) async fn follow(
    call: &Call,
    runs: &mut [Followed],
    until: Until,
    limit: Option<Duration>,
    first: Option<&str>,
) -> Waited {
    let mut reporter = call.reporter();
    let waited = wait(call, runs, until, limit, first, &mut reporter).await;
    if let Some(reporter) = reporter {
        let ended = (waited == Waited::Ended).then(|| text(runs, None, call.now_ms()));
        reporter.stop(ended.as_deref()).await;
    }
    waited
}

async fn wait(
    call: &Call,
    runs: &mut [Followed],
    until: Until,
    limit: Option<Duration>,
    first: Option<&str>,
    reporter: &mut Option<Reporter>,
) -> Waited {
    let cadence = call.frontend.options().heartbeat;
    let mut ticks = interval_at(Instant::now() + cadence, cadence);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (patience, mut no_end_at) = (call.frontend.options().no_end_after, None::<Instant>);
    let mut deadline = std::pin::pin!(sleep(limit.map_or(FAR, |limit| limit.min(FAR))));
    if until.is_reached(runs) {
        return Waited::Ended;
    }
    // At acceptance: this also makes the library send the response's headers.
    match (first, &mut *reporter) {
        (Some(first), Some(reporter)) => reporter.beat(None, &words::cut(first, words::MAX_MESSAGE)),
        _ => beat(call, runs, reporter).await,
    }
    let mut states = states(runs);
    loop {
        if until.is_reached(runs) {
            return Waited::Ended;
        }
        if !call.asked_to_wait() {
            if forgot_own(call, runs) {
                return Waited::NoEnd;
            }
            no_end_at = if none_ends(runs) { no_end_at.or(Some(Instant::now() + patience)) } else { None };
        }
        let woken = tokio::select! {
            // In this order: a run that prints without pause must not keep progress from being sent.
            biased;
            waited = given_up(call) => Woken::Stop(waited),
            _ = ticks.tick() => Woken::Tick,
            () = &mut deadline => Woken::Stop(Waited::TimeOver),
            () = sleep_until(no_end_at.unwrap_or_else(Instant::now)), if no_end_at.is_some() => {
                Woken::Stop(Waited::NoEnd)
            }
            () = news(runs) => Woken::Change,
        };
        match woken {
            // A call whose result is there is never answered with a handle.
            Woken::Stop(_) if until.is_reached(runs) => return Waited::Ended,
            Woken::Stop(waited) => return waited,
            // A run's task ended before its run: the gateway stops.
            Woken::Change if runs.iter().any(Followed::abandoned) => return Waited::Stopping,
            Woken::Change if self::states(runs) == states => {}
            Woken::Tick => beat(call, runs, reporter).await,
            Woken::Change => {
                states = self::states(runs);
                beat(call, runs, reporter).await;
            }
        }
    }
}

/// Returns when nobody waits for the answer any more: the caller is gone, or the gateway stops.
async fn given_up(call: &Call) -> Waited {
    let (gone, stopping) = (call.caller.gone().clone(), call.frontend.core.deps.tasks.stopping());
    tokio::select! {
        biased;
        () = gone.cancelled() => Waited::Gone,
        () = call.cancelled() => Waited::Gone,
        () = stopping.cancelled() => Waited::Stopping,
    }
}

/// Whether all unfinished runs wait for something that nothing under way brings about.
fn none_ends(runs: &[Followed]) -> bool {
    let mut unfinished = runs.iter().filter(|f| !f.ended()).peekable();
    unfinished.peek().is_some() && unfinished.all(|f| f.view().has_no_end())
}

/// Whether the only run waits for another run of the same caller for which no call waits.
fn forgot_own(call: &Call, runs: &[Followed]) -> bool {
    let [one] = runs else { return false };
    waiting::behind(call, &one.view()).is_some_and(|behind| behind.forgotten)
}

/// The next change of an unfinished run; at once when there is none, since the last may end between two looks at it.
async fn news(runs: &mut [Followed]) {
    let changes: Vec<_> = runs.iter_mut().filter(|f| !f.ended()).map(|f| Box::pin(f.live.changed())).collect();
    if !changes.is_empty() || faults::bug("wait_for_none") {
        drop(select_all(changes).await);
    }
}

enum Woken {
    Change,
    Tick,
    Stop(Waited),
}

fn states(runs: &[Followed]) -> Vec<longhaul_proto::state::RunState> {
    runs.iter().map(|f| f.view().state).collect()
}

async fn beat(call: &Call, runs: &[Followed], reporter: &mut Option<Reporter>) {
    let Some(reporter) = reporter else { return };
    let first = runs.iter().find(|f| !f.ended());
    let line = match first {
        Some(followed) => last_line(call, &followed.view()).await,
        None => None,
    };
    // The percent of one run says nothing about several.
    let percent = match runs {
        [one] => one.view().progress.as_ref().and_then(|p| p.percent),
        _ => None,
    };
    reporter.beat(percent, &text(runs, line.as_deref(), call.now_ms()));
}

fn text(runs: &[Followed], line: Option<&str>, now_ms: i64) -> String {
    let shown = runs.iter().find(|f| !f.ended()).or(runs.first());
    let text = shown.map(|f| words::message(&f.view(), line, now_ms)).unwrap_or_default();
    if runs.len() < 2 {
        return text;
    }
    let ended = runs.iter().filter(|f| f.ended()).count();
    words::cut(&format!("{ended} of {} ended · {text}", runs.len()), words::MAX_MESSAGE)
}

/// The last line of the user's part of the log that is not blank.
pub(super) async fn last_line(caller: &Caller, view: &RunSnapshot) -> Option<String> {
    let part = Part::user(view);
    let output = caller.output(view, Stream::Log);
    let read = output.range(&part, part.last(LAST_LINE), part.end());
    // Without the line the message is only shorter.
    let bytes = tokio::time::timeout(LAST_LINE_LIMIT, read).await.ok()?.ok()?;
    let (text, _) = output.encoding().lines(&bytes[utf8::torn(&bytes)..]);
    text.lines().rev().map(words::plain).find(|line| !line.is_empty() && line != ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run may end between two looks at it: then there is nothing left to wait for, which is no fault.
    #[tokio::test]
    async fn the_end_of_all_runs_is_news_too() {
        let looked = tokio::time::timeout(Duration::from_secs(5), news(&mut [])).await;
        assert!(looked.is_ok(), "it does not wait for what cannot come");
    }

    #[cfg(feature = "faults")]
    #[tokio::test]
    #[should_panic(expected = "assertion")]
    async fn control_a_wait_for_none() {
        let _bug = faults::enter("bug=wait_for_none");
        news(&mut []).await;
    }
}
