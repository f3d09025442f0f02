//! The spans of a run at its host. The supervisor and Stata send none themselves: the agent does it for them, with the
//! times that the spool has, by the host's clock.

use longhaul_proto::{
    ids::RunId,
    state::RunState,
    telemetry::{self, Kind, Span},
    wire,
};

use crate::spool::{Exit, OutcomeRecord, Started};

/// A span of this run that begins now.
pub(super) fn begin(name: &'static str, kind: Kind, run: RunId, trace: &wire::TraceContext) -> Span {
    // A run without a trace, as an older gateway may send it, is no root of one.
    let none = trace.traceparent.is_empty();
    let mut span = if none { Span::default() } else { Span::begin(name, kind, trace) };
    if span.is_recorded() {
        span.set("longhaul.run.id", run.to_string());
    }
    span
}

/// Stata has been started: what its supervisor took for that, from the acceptance of the attempt.
pub(super) fn supervisor(run: RunId, accepted: &mut Option<(wire::TraceContext, i64)>, started: Option<&Started>) {
    let Some(started) = started else { return };
    let Some((trace, since_ms)) = accepted.take() else { return };
    let Some(mut span) = Span::past("longhaul.supervisor", Kind::Internal, &trace, (since_ms, started.at_ms)) else {
        return;
    };
    span.set("longhaul.run.id", run.to_string());
    span.set("process.child.pid", i64::from(started.pid));
}

/// Stata's process, from its start to its end; nothing of an attempt that started none.
pub(super) fn stata(run: RunId, trace: &wire::TraceContext, exit: &Exit, outcome: &OutcomeRecord) {
    let times = (exit.started_at_ms, exit.ended_at_ms);
    let Some(mut span) = Span::past("longhaul.stata", Kind::Internal, trace, times) else { return };
    span.set("longhaul.run.id", run.to_string());
    span.set_count("longhaul.run.attempt", exit.attempt);
    span.set_text("longhaul.run.result", outcome.state.meaning().map_or("", |meaning| meaning.result));
    if let Some(code) = exit.code {
        span.set("process.exit.code", i64::from(code));
    }
    if let Some(signal) = exit.signal {
        span.set("longhaul.process.signal", i64::from(signal));
    }
    if exit.running_at_ms > 0 {
        span.event("longhaul.stata.first_output", exit.running_at_ms, Vec::new());
    }
    if let Some(ending) = &exit.ending {
        let mut of = vec![("longhaul.run.cause", ending.cause.to_string().into())];
        if !ending.by.is_empty() {
            of.push(("longhaul.cancelled_by", ending.by.clone().into()));
        }
        span.event("longhaul.stata.ended_on_purpose", ending.at_ms, of);
    }
    if let Some(rc) = outcome.rc {
        span.set("longhaul.run.rc", rc);
    }
    if !matches!(outcome.state, RunState::Succeeded | RunState::Cancelled) {
        let cause = outcome.cause.to_string();
        let code = outcome.rc.map_or_else(|| cause.replace('_', " "), |rc| format!("r({rc})"));
        let told = telemetry::details() && !outcome.message.is_empty();
        span.failed(&cause, &if told { format!("{code}, {}", outcome.message) } else { code });
    }
}
