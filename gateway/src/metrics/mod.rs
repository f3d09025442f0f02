//! The numbers of a gateway: what it counts itself is in [`Counters`], and read when `/metrics` is asked for; durations
//! and counters with labels of their own are instruments. What other parts hold they show themselves
//! ([`Meters::observe`]). Each is declared in [`declared`].

pub mod declared;
mod ended;

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use longhaul_proto::{
    api::QuotaKind,
    telemetry::{Counter, Declared, Histogram, Meters, Push, lines_dropped, spans_dropped},
};

use crate::model::Record;
use ended::Ended;

/// What is counted, and what is noted as it is now.
#[derive(Debug, Default)]
pub struct Counters {
    /// Certificates issued to agents, renewals among them.
    pub certificates_issued: AtomicU64,
    ended: Ended,
    over_quota: [AtomicU64; QuotaKind::ALL.len()],
    /// Runs recorded.
    pub submitted: AtomicU64,
    /// Submissions that were answered with an earlier run.
    pub joined: AtomicU64,
    /// Submissions refused.
    pub refused: AtomicU64,
    /// Of those, because a limit on waiting or unfinished runs was reached.
    pub over_limit: AtomicU64,
    /// Runs imported from a spool.
    pub imported: AtomicU64,
    /// Imported runs that an operator gave to their principal.
    pub adopted: AtomicU64,
    /// Unfinished runs found in the ledger at the start.
    pub taken_up: AtomicU64,
    /// Bytes of output that are kept, as measured at the last sweep.
    pub kept_bytes: AtomicU64,
    /// Ended runs removed because the kept output took too much room.
    pub removed_for_room: AtomicU64,
    /// Sweeps that came to their end.
    pub sweeps: AtomicU64,
    /// 1 while nothing is removed by its age because the clock is in doubt.
    pub sweep_paused: AtomicU64,
    /// Runs that are queued now.
    pub queued: AtomicU64,
    /// Agents that are up now.
    pub agents_up: AtomicU64,
    /// Hosts that are drained now.
    pub hosts_draining: AtomicU64,
    /// Heartbeats.
    pub heartbeats: AtomicU64,
    /// Heartbeats that came late.
    pub heartbeats_late: AtomicU64,
    /// Bytes appended to mirrors.
    pub mirror_bytes: AtomicU64,
    /// Bytes of output read for clients.
    pub read_bytes: AtomicU64,
    /// Mirrors that were fetched again because their digest differed.
    pub mirror_refetched: AtomicU64,
    /// Attempts that were returned to the queue with the proof that they never started.
    pub returned: AtomicU64,
    /// Attempts that died and were followed by another.
    pub retried: AtomicU64,
    /// Tasks of runs that panicked or returned early; each run was taken up again.
    pub tasks_panicked: AtomicU64,
}

/// One of them.
type Field = fn(&Counters) -> &AtomicU64;

/// All numbers of one gateway.
#[derive(Debug)]
pub struct Metrics {
    /// Where they come together.
    pub meters: Meters,
    counters: Arc<Counters>,
    /// From the call that starts an attempt to the agent's first answer.
    pub dispatch: Histogram,
    /// From the start of a wait to the grant of its lease: each attempt's own wait.
    pub queue_wait: Histogram,
    /// From the submission to the first byte of the log.
    pub first_output: Histogram,
    /// How long transactions of the ledger take, and how many writes each commits.
    pub ledger: LedgerNumbers,
    /// Requests, by route, method and class of status.
    pub requests: Counter,
    /// How long they take, by route.
    pub request_time: Histogram,
    duration: Histogram,
    cpu: Histogram,
    memory: Histogram,
    refusals: Counter,
    notified: Counter,
}

/// What the ledger's writer records.
#[derive(Clone, Debug)]
pub struct LedgerNumbers {
    /// From the first statement of a transaction to its commit.
    pub commit: Histogram,
    /// Writes in it.
    pub batch: Histogram,
}

impl LedgerNumbers {
    /// Those of these meters.
    pub fn of(meters: &Meters) -> Self {
        Self { commit: meters.histogram(&declared::COMMIT), batch: meters.histogram(&declared::COMMITTED) }
    }
}

/// Why submissions and agents are refused: the series of `longhaul_refusals_total`.
const REFUSALS: &[&[(&str, &str)]] = &[
    &[("what", "submission"), ("kind", "malformed")],
    &[("what", "submission"), ("kind", "forbidden")],
    &[("what", "submission"), ("kind", "not_there")],
    &[("what", "submission"), ("kind", "refused_by_agent")],
    &[("what", "submission"), ("kind", "unconfirmed")],
    &[("what", "submission"), ("kind", "changed")],
    &[("what", "submission"), ("kind", "missing_files")],
    &[("what", "submission"), ("kind", "too_large")],
    &[("what", "submission"), ("kind", "busy")],
    &[("what", "submission"), ("kind", "over_quota")],
    &[("what", "submission"), ("kind", "key_taken")],
    &[("what", "submission"), ("kind", "ours")],
    &[("what", "agent"), ("kind", "protocol")],
    &[("what", "agent"), ("kind", "revoked")],
    &[("what", "agent"), ("kind", "unproven")],
    &[("what", "agent"), ("kind", "refused")],
    &[("what", "agent"), ("kind", "senseless")],
    &[("what", "agent"), ("kind", "not_now")],
];

/// What becomes of messages about ends: the series of `longhaul_notifications_total`.
const NOTIFIED: &[&[(&str, &str)]] = &[
    &[("way", "webhook"), ("result", "delivered")],
    &[("way", "webhook"), ("result", "failed")],
    &[("way", "webhook"), ("result", "refused")],
    &[("way", "webhook"), ("result", "given_up")],
    &[("way", "mail"), ("result", "delivered")],
    &[("way", "mail"), ("result", "failed")],
    &[("way", "mail"), ("result", "refused")],
    &[("way", "mail"), ("result", "given_up")],
];

impl Metrics {
    /// Numbers that are sent by OTLP where `push` says so.
    pub fn pushed(push: &Push) -> Self {
        Self::new(Meters::new("longhaul-gateway", "", push))
    }

    /// Numbers that come together in these meters.
    pub fn new(meters: Meters) -> Self {
        let counters = Arc::<Counters>::default();
        show(&meters, &counters);
        Self {
            counters,
            dispatch: meters.histogram(&declared::DISPATCH),
            queue_wait: meters.histogram(&declared::QUEUE),
            first_output: meters.histogram(&declared::FIRST_OUTPUT),
            ledger: LedgerNumbers::of(&meters),
            requests: meters.counter(&declared::REQUESTS, &[]),
            request_time: meters.histogram(&declared::REQUEST_TIME),
            duration: meters.histogram(&declared::DURATION),
            cpu: meters.histogram(&declared::RUN_CPU),
            memory: meters.histogram(&declared::RUN_MEMORY),
            refusals: meters.counter(&declared::REFUSALS, REFUSALS),
            notified: meters.counter(&declared::NOTIFIED, NOTIFIED),
            meters,
        }
    }

    /// Counts a run that ended, and what it took.
    pub fn ended(&self, record: &Record) {
        self.counters.ended.count(record.state, record.cause);
        let result = record.state.meaning().map_or("", |meaning| meaning.result);
        let Some(execution) = record.detail.attempts.last().map(|last| &last.execution) else { return };
        if execution.running_ms == 0 && execution.host_running_ms > 0 {
            // It ended before the gateway saw it run.
            self.first_output(record.created_ms, execution.host_running_ms);
        }
        if let Some(took) = execution.duration_ms {
            self.duration.value(Duration::from_millis(took).as_secs_f64(), &[("result", result)]);
            // Less than the kernel counts is none.
            self.cpu.value(execution.process.as_ref().and_then(|process| process.cpu).unwrap_or_default(), &[]);
        }
        if let Some(bytes) = execution.process.as_ref().and_then(|process| process.max_rss_bytes) {
            self.memory.value(bytes as f64, &[]);
        }
    }

    /// Records when a run's log got its first byte, both Unix ms.
    pub fn first_output(&self, submitted_ms: i64, at_ms: i64) {
        let waited = u64::try_from(at_ms.saturating_sub(submitted_ms)).unwrap_or_default();
        self.first_output.record(Duration::from_millis(waited));
    }

    /// Counts what became of a message about an end: the way that it went, and the result.
    pub fn notified(&self, way: &'static str, result: &'static str) {
        self.notified.add(1, &[("way", way), ("result", result)]);
    }

    /// Counts a refusal: what, and one of its kinds.
    pub fn refuse(&self, what: &'static str, kind: &'static str) {
        self.refusals.add(1, &[("what", what), ("kind", kind)]);
    }
}

impl Default for Metrics {
    /// Numbers that nothing sends.
    fn default() -> Self {
        Self::new(Meters::default())
    }
}

impl Deref for Metrics {
    type Target = Counters;

    fn deref(&self) -> &Counters {
        &self.counters
    }
}

impl Counters {
    /// Counts a refusal by a quota of this kind.
    pub fn refused_by(&self, kind: QuotaKind) {
        if let Some(at) = QuotaKind::ALL.iter().position(|k| *k == kind) {
            self.over_quota[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many requests each kind of quota refused since this process started.
    pub fn over_quota(&self) -> impl Iterator<Item = (QuotaKind, u64)> + '_ {
        QuotaKind::ALL.into_iter().zip(&self.over_quota).map(|(kind, n)| (kind, n.load(Ordering::Relaxed)))
    }
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Shows what is counted here.
fn show(meters: &Meters, counters: &Arc<Counters>) {
    let single: [(&'static Declared, Field); 22] = [
        (&declared::SUBMITTED, |c| &c.submitted),
        (&declared::JOINED, |c| &c.joined),
        (&declared::REFUSED, |c| &c.refused),
        (&declared::OVER_LIMIT, |c| &c.over_limit),
        (&declared::IMPORTED, |c| &c.imported),
        (&declared::ADOPTED, |c| &c.adopted),
        (&declared::TAKEN_UP, |c| &c.taken_up),
        (&declared::RETURNED, |c| &c.returned),
        (&declared::RETRIED, |c| &c.retried),
        (&declared::PANICKED, |c| &c.tasks_panicked),
        (&declared::QUEUED, |c| &c.queued),
        (&declared::AGENTS_UP, |c| &c.agents_up),
        (&declared::DRAINING, |c| &c.hosts_draining),
        (&declared::HEARTBEATS, |c| &c.heartbeats),
        (&declared::LATE, |c| &c.heartbeats_late),
        (&declared::MIRRORED, |c| &c.mirror_bytes),
        (&declared::REFETCHED, |c| &c.mirror_refetched),
        (&declared::READ, |c| &c.read_bytes),
        (&declared::KEPT, |c| &c.kept_bytes),
        (&declared::SWEEPS, |c| &c.sweeps),
        (&declared::SWEEP_PAUSED, |c| &c.sweep_paused),
        (&declared::REMOVED, |c| &c.removed_for_room),
    ];
    for (declared, field) in single {
        let counters = counters.clone();
        meters.observe(declared, move |told| told(field(&counters).load(Ordering::Relaxed) as f64, &[]));
    }
    let issued = counters.clone();
    meters.observe(&declared::CERTIFIED, move |told| {
        told(issued.certificates_issued.load(Ordering::Relaxed) as f64, &[]);
    });
    let ended = counters.clone();
    meters.observe(&declared::ENDED, move |told| {
        ended.ended.each(|state, cause, result, count| {
            told(count as f64, &[("state", state.as_str()), ("result", result), ("cause", cause.as_str())]);
        });
    });
    meters.observe(&declared::LINES_DROPPED, |told| told(lines_dropped() as f64, &[]));
    meters.observe(&declared::SPANS_DROPPED, |told| told(spans_dropped() as f64, &[]));
    meters.build_info(&declared::BUILD, "gateway");
    meters.process();
}
