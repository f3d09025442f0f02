//! The span of a submission by the command line.

use longhaul_proto::{
    ids::RunId,
    telemetry::{self, Kind, Span},
    wire::TraceContext,
};

/// A submission under way.
pub(crate) struct RequestSpan(Span);

impl RequestSpan {
    /// It continues the trace that the environment names.
    pub(crate) fn begin() -> Self {
        let given = |name| std::env::var(name).unwrap_or_default();
        let caller = TraceContext { traceparent: given("TRACEPARENT"), tracestate: given("TRACESTATE") };
        let mut span = Span::begin("longhaul.request", Kind::Client, &caller);
        span.set("http.request.method", "POST");
        Self(span)
    }

    /// What the gateway's part continues; where spans are sent nowhere, the caller's own.
    pub(crate) fn context(&self) -> TraceContext {
        self.0.context()
    }

    /// The submission itself.
    pub(crate) fn around<F: Future>(&self, work: F) -> impl Future<Output = F::Output> {
        self.0.around(work)
    }

    /// The gateway has taken it as this run, or not at all. It is sent while the run goes on: at its end there may be
    /// nothing left to send.
    pub(crate) fn answered(mut self, run: Option<RunId>) {
        match run {
            Some(run) => self.0.set_text("longhaul.run.id", &run.to_string()),
            None => self.0.failed("refused", "the gateway took no run"),
        }
        drop(self.0);
        telemetry::flush_soon();
    }
}
