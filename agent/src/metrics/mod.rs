//! The numbers of an agent, for those who watch its host, and the address at which they are read.
//!
//! They tell nothing of anybody's code, files or names: counts, bytes and times alone. A series for each run or principal
//! there is not.

pub(crate) mod serve;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use longhaul_proto::{
    state::RunState,
    telemetry::{
        Counter, Declared, Histogram,
        Instrument::{self, Gauge},
        LONG, MEMORY, Meters, lines_dropped, spans_dropped,
    },
};

use crate::spool::OutcomeRecord;

longhaul_proto::declare_numbers! {
    /// All numbers of an agent, without those of its process.
    DECLARED;

    BUILD: Gauge, "longhaul_build_info", "1, with the version of this part.";
    ACTIVE: Gauge, "longhaul_agent_runs_active", "Runs that started here and have no verdict yet.";
    HELD: Gauge, "longhaul_agent_runs_held", "Runs of which this agent keeps something, ended ones included.";
    STARTED: Instrument::Counter, "longhaul_agent_attempts_started_total", "Attempts that this agent accepted and started.";
    ENDED: Instrument::Counter, "longhaul_agent_runs_ended_total", "Runs that ended here, by state.";
    ADOPTED: Instrument::Counter, "longhaul_agent_attempts_adopted_total", "Unfinished attempts of an earlier process of this agent that this one went on with.";
    REFUSED: Instrument::Counter, "longhaul_agent_attempts_refused_total", "Attempts that this agent did not take, by the kind of refusal.";
    CPU: Instrument::Histogram(LONG), "longhaul_agent_run_cpu_seconds", "Processor time of a run that ended here, its children's included, seconds.";
    MEMORY_PEAK: Instrument::Histogram(MEMORY), "longhaul_agent_run_peak_memory_bytes", "The most memory that a run that ended here had at once, bytes.";
    TAKES: Gauge, "longhaul_agent_takes_runs", "1 = this agent takes runs; 0 = it has a problem that its log and `longhaul hosts` tell.";
    CONNECTED: Gauge, "longhaul_agent_connected", "1 while this agent is registered with its gateway.";
    REGISTRATIONS: Instrument::Counter, "longhaul_agent_registrations_total", "How often this agent registered with its gateway; each after the first follows a lost connection.";
    BEATS: Instrument::Counter, "longhaul_agent_heartbeats_total", "Heartbeats that the gateway answered.";
    BEATS_FAILED: Instrument::Counter, "longhaul_agent_heartbeats_failed_total", "Heartbeats that the gateway did not answer.";
    FOLLOWERS: Gauge, "longhaul_agent_followers", "Streams of runs to the gateway that are open now.";
    SENT: Instrument::Counter, "longhaul_agent_output_sent_bytes_total", "Output of runs that was sent to the gateway, bytes.";
    SPOOL: Gauge, "longhaul_spool_size_bytes", "What all spools take, as last measured, bytes; absent until all have been measured.";
    SPOOL_LIMIT: Gauge, "longhaul_spool_limit_bytes", "What all spools may take, bytes; 0 = no limit.";
    SPOOL_FREE: Gauge, "longhaul_spool_free_bytes", "Free on the disk with the spools, bytes.";
    LINES_DROPPED: Instrument::Counter, "longhaul_log_lines_dropped_total", "Lines of this process's log that could not be delivered to the collector, where they are to be sent.";
    SPANS_DROPPED: Instrument::Counter, "longhaul_spans_dropped_total", "Spans of this process that could not be delivered to the collector.";
}

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) active: AtomicU64,
    pub(crate) started: AtomicU64,
    pub(crate) adopted: AtomicU64,
    pub(crate) connected: AtomicU64,
    pub(crate) registrations: AtomicU64,
    pub(crate) beats: AtomicU64,
    pub(crate) beats_failed: AtomicU64,
    pub(crate) followers: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
    ended: [AtomicU64; RunState::ALL.len()],
}

/// One of them.
type Field = fn(&Counters) -> &AtomicU64;

/// One more, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Held {
    counters: Arc<Counters>,
    gauge: Field,
}

impl Drop for Held {
    fn drop(&mut self) {
        (self.gauge)(&self.counters).fetch_sub(1, Ordering::Relaxed);
    }
}

/// All numbers of one agent.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) meters: Meters,
    pub(crate) counters: Arc<Counters>,
    refused: Counter,
    cpu: Histogram,
    memory: Histogram,
}

/// The kinds of refusal: the series of their counter.
const REFUSALS: &[&[(&str, &str)]] = &[
    &[("kind", "older")],
    &[("kind", "revoked")],
    &[("kind", "started")],
    &[("kind", "freed")],
    &[("kind", "no_room")],
    &[("kind", "no_engine")],
    &[("kind", "no_files")],
    &[("kind", "io")],
    &[("kind", "stopping")],
];

impl Metrics {
    /// Numbers that come together in these meters.
    pub(crate) fn new(meters: Meters) -> Self {
        let counters = Arc::<Counters>::default();
        let single: [(&'static Declared, Field); 9] = [
            (&ACTIVE, |c| &c.active),
            (&STARTED, |c| &c.started),
            (&ADOPTED, |c| &c.adopted),
            (&CONNECTED, |c| &c.connected),
            (&REGISTRATIONS, |c| &c.registrations),
            (&BEATS, |c| &c.beats),
            (&BEATS_FAILED, |c| &c.beats_failed),
            (&FOLLOWERS, |c| &c.followers),
            (&SENT, |c| &c.sent_bytes),
        ];
        for (declared, field) in single {
            let counters = counters.clone();
            meters.observe(declared, move |told| told(field(&counters).load(Ordering::Relaxed) as f64, &[]));
        }
        let ended = counters.clone();
        meters.observe(&ENDED, move |told| {
            for (state, count) in RunState::ALL.iter().zip(&ended.ended).filter(|(state, _)| state.is_end()) {
                told(count.load(Ordering::Relaxed) as f64, &[("state", state.as_str())]);
            }
        });
        meters.observe(&LINES_DROPPED, |told| told(lines_dropped() as f64, &[]));
        meters.observe(&SPANS_DROPPED, |told| told(spans_dropped() as f64, &[]));
        meters.build_info(&BUILD, "agent");
        meters.process();
        Self {
            refused: meters.counter(&REFUSED, REFUSALS),
            cpu: meters.histogram(&CPU),
            memory: meters.histogram(&MEMORY_PEAK),
            counters,
            meters,
        }
    }

    /// Counts one more until what is returned is dropped.
    pub(crate) fn hold(&self, gauge: Field) -> Held {
        hold(&self.counters, gauge)
    }

    /// Counts a run that ended here, and what it took.
    pub(crate) fn ended(&self, outcome: &OutcomeRecord) {
        let state = RunState::ALL.iter().position(|state| *state == outcome.state);
        if let Some(count) = state.and_then(|at| self.counters.ended.get(at)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if outcome.running_at_ms > 0 {
            self.cpu.value(outcome.cpu_ms as f64 / 1000.0, &[]);
        }
        if outcome.max_rss_bytes > 0 {
            self.memory.value(outcome.max_rss_bytes as f64, &[]);
        }
    }

    /// Counts an attempt that was not taken.
    pub(crate) fn refuse(&self, kind: &'static str) {
        self.refused.add(1, &[("kind", kind)]);
    }
}

/// Counts one more until what is returned is dropped.
pub(crate) fn hold(counters: &Arc<Counters>, gauge: Field) -> Held {
    gauge(counters).fetch_add(1, Ordering::Relaxed);
    Held { counters: counters.clone(), gauge }
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_and_refused_is_shown() {
        let metrics = Metrics::new(Meters::default());
        let held = metrics.hold(|counters| &counters.active);
        metrics.refuse("no_engine");
        let text = metrics.meters.text();
        for line in [
            "longhaul_agent_attempts_refused_total{kind=\"no_engine\"} 1\n",
            "longhaul_agent_attempts_refused_total{kind=\"older\"} 0\n",
            "longhaul_agent_runs_active 1\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        drop(held);
        assert!(metrics.meters.text().contains("longhaul_agent_runs_active 0\n"));
    }
}
