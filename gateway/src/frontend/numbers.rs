//! The frontend's own numbers in `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

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
}

impl Numbers {
    /// Adds one.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Name, kind, help and value of each, for `/metrics`.
    pub fn read(&self) -> [(&'static str, &'static str, &'static str, u64); 10] {
        let n = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("longhaul_mcp_calls_total", "counter", "MCP tool calls", n(&self.calls)),
            ("longhaul_mcp_panics_total", "counter", "MCP tool calls that panicked", n(&self.panics)),
            (
                "longhaul_mcp_flushed_early_total",
                "counter",
                "MCP answers started before there was a result",
                n(&self.flushed_early),
            ),
            ("longhaul_mcp_callers_gone_total", "counter", "Callers gone before their answer", n(&self.callers_gone)),
            ("longhaul_mcp_resumed_total", "counter", "Calls resumed on another connection", n(&self.resumed)),
            ("longhaul_mcp_handles_total", "counter", "Calls answered with a handle", n(&self.handles)),
            ("longhaul_mcp_tasks_total", "counter", "Calls answered with a task", n(&self.tasks)),
            ("longhaul_mcp_progress_total", "counter", "Progress notifications sent", n(&self.beats)),
            (
                "longhaul_mcp_progress_stalled_total",
                "counter",
                "Progress notifications given up",
                n(&self.beats_stalled),
            ),
            ("longhaul_followers", "gauge", "Open event streams", n(&self.followers)),
        ]
    }
}
