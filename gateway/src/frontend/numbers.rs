//! The frontend's own numbers in `/metrics`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use longhaul_proto::telemetry::{Declared, Meters};

use crate::metrics::declared;

/// Counters since this process began.
#[derive(Debug, Default)]
pub struct Numbers {
    /// MCP tool calls.
    pub calls: AtomicU64,
    /// MCP tool calls that panicked and were answered all the same.
    pub panics: AtomicU64,
    /// MCP calls whose headers were sent before there was an answer.
    pub flushed_early: AtomicU64,
    /// Callers that went away before their answer; their runs went on.
    pub callers_gone: AtomicU64,
    /// MCP calls resumed on another connection.
    pub resumed: AtomicU64,
    /// MCP calls answered with a handle because the run takes longer.
    pub handles: AtomicU64,
    /// MCP calls answered with a task.
    pub tasks: AtomicU64,
    /// Progress notifications sent.
    pub beats: AtomicU64,
    /// Progress notifications given up because the reader stalled.
    pub beats_stalled: AtomicU64,
    /// Open event streams (`…/events`), now.
    pub followers: AtomicU64,
    /// Streams over all runs that ended since their readers were too slow.
    pub streams_dropped: AtomicU64,
}

/// One of them.
type Field = fn(&Numbers) -> &AtomicU64;

impl Numbers {
    /// Adds one.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Shows them in `/metrics`.
    pub fn show(numbers: &Arc<Self>, meters: &Meters) {
        let all: [(&'static Declared, Field); 11] = [
            (&declared::CALLS, |n| &n.calls),
            (&declared::PANICS, |n| &n.panics),
            (&declared::FLUSHED, |n| &n.flushed_early),
            (&declared::GONE, |n| &n.callers_gone),
            (&declared::RESUMED, |n| &n.resumed),
            (&declared::HANDLES, |n| &n.handles),
            (&declared::TASKS, |n| &n.tasks),
            (&declared::BEATS, |n| &n.beats),
            (&declared::BEATS_STALLED, |n| &n.beats_stalled),
            (&declared::FOLLOWERS, |n| &n.followers),
            (&declared::STREAMS_DROPPED, |n| &n.streams_dropped),
        ];
        for (declared, field) in all {
            let numbers = numbers.clone();
            meters.observe(declared, move |told| told(field(&numbers).load(Ordering::Relaxed) as f64, &[]));
        }
    }
}
