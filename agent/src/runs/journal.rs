//! One line of the log for each run that starts here, whose end is asked for, and that ends: who asked for what.
//!
//! The lines have a target of their own: where gateway and agent are one process, the gateway's lines say it already.

use longhaul_proto::{ids::RunId, telemetry, visible, wire, wire::submission::Source};

use crate::spool::{CancelMode, OutcomeRecord, Spool};

/// The target of these lines.
const TARGET: &str = "longhaul_agent::journal";
/// Most of a do-file and its arguments that a line shows, characters.
const SHOWN: usize = 160;

/// What the request in a spool says of its run.
pub(super) struct About {
    /// The trace that the run belongs to.
    pub(super) trace: Option<wire::TraceContext>,
    by: String,
    what: String,
}

impl About {
    pub(super) fn of(submission: &wire::Submission) -> Self {
        let source = match &submission.source {
            Some(Source::Path(path)) => path.as_str(),
            Some(Source::Bundle(bundle)) => bundle.entry.as_str(),
            _ => "text",
        };
        let words = std::iter::once(source).chain(submission.args.iter().map(String::as_str));
        Self {
            trace: submission.trace.clone(),
            by: visible::line(&submission.principal).into_owned(),
            what: visible::shortened(words, SHOWN),
        }
    }

    /// `None` where the request cannot be read.
    pub(super) fn in_spool(spool: &Spool) -> Option<Self> {
        spool.submission().ok().flatten().map(|submission| Self::of(&submission))
    }

    fn trace_id(&self) -> Option<String> {
        self.trace.as_ref().and_then(telemetry::trace_id)
    }
}

/// An attempt was accepted and starts.
pub(super) fn started(run: RunId, attempt: u32, about: &About) {
    let (by, what, trace) = (&about.by, &about.what, about.trace_id());
    tracing::info!(target: TARGET, parent: None, %run, %by, what, attempt, trace, "run started");
}

/// The gateway passed on that its end is wanted.
pub(super) fn cancel_requested(run: RunId, by: &str, mode: CancelMode) {
    tracing::info!(target: TARGET, parent: None, %run, by, ?mode, "end of run requested");
}

/// The run was judged.
pub(super) fn ended(run: RunId, outcome: &OutcomeRecord, about: Option<&About>) {
    let (by, what) = (about.map(|a| a.by.as_str()), about.map(|a| a.what.as_str()));
    let trace = about.and_then(About::trace_id);
    tracing::info!(
        target: TARGET, parent: None, %run, state = %outcome.state, cause = %outcome.cause, rc = outcome.rc, by, what, trace,
        "run ended"
    );
}
