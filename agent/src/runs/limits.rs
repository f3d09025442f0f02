//! What each run may use of this host, and what keeps it to that.

use super::Runs;
use crate::spool::LimitsRecord;

impl Runs {
    /// As the agent tells it of its host.
    pub(crate) fn limits(&self) -> LimitsRecord {
        let preparer = &self.context.preparer;
        LimitsRecord::new(preparer.limits, preparer.max_run_spool, self.context.executor.means())
    }
}
