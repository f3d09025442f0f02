//! What the runs show in the agent's numbers.

use std::sync::{Arc, Weak};

use tokio_util::sync::CancellationToken;

use super::{Context, Refused, Runs, run_task::RunTask};
use crate::{metrics::Metrics, spool::OutcomeRecord};

impl Refused {
    /// The word for this kind in the agent's numbers.
    pub(super) fn kind_word(&self) -> &'static str {
        match self {
            Self::Older { .. } => "older",
            Self::Revoked(_) => "revoked",
            Self::Started(_) => "started",
            Self::Freed => "freed",
            Self::NoRoom(_) => "no_room",
            Self::NoEngine(_) => "no_engine",
            Self::NoBlobs(_) => "no_files",
            Self::Io(_) => "io",
            Self::Stopping => "stopping",
        }
    }
}

/// The runs, which may be gone.
pub(crate) struct WeakRuns {
    context: Weak<Context>,
    taken_up: CancellationToken,
}

impl WeakRuns {
    pub(crate) fn upgrade(&self) -> Option<Runs> {
        Some(Runs { context: self.context.upgrade()?, taken_up: self.taken_up.clone() })
    }
}

impl Runs {
    /// The runs, without keeping them.
    pub(crate) fn downgrade(&self) -> WeakRuns {
        WeakRuns { context: Arc::downgrade(&self.context), taken_up: self.taken_up.clone() }
    }

    /// The numbers of this agent.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.context.metrics
    }

    /// How many runs there are of which something is kept here.
    pub(crate) fn held(&self) -> usize {
        self.context.registry.len()
    }
}

impl RunTask {
    /// Counts the run as active while it is unfinished; whether it is.
    pub(super) fn count_active(&mut self) -> bool {
        let active = self.unfinished();
        if active != self.execution.active.is_some() {
            self.execution.active = active.then(|| self.context.metrics.hold(|counters| &counters.active));
        }
        active
    }

    /// Publishes an end that this process found, and counts it.
    pub(super) fn count_end(&mut self, outcome: OutcomeRecord) {
        self.context.metrics.ended(&outcome);
        self.publish_end(outcome);
    }
}
