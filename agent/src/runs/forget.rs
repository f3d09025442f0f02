//! Deletes the spool of an ended run once the gateway has shown that it has all of its output.

use longhaul_proto::{faults, wire};
use tokio::sync::oneshot;

use super::{Forgotten, NotForgotten, Status, run_task::RunTask};
use crate::spool::Spool;

impl RunTask {
    /// Deletes the run's spool, or all of it but its files. `true`: the run is gone.
    pub(super) async fn forget(
        &mut self,
        request: &wire::ForgetRequest,
        reply: oneshot::Sender<Result<Forgotten, NotForgotten>>,
    ) -> bool {
        let (outcome, only_files) = {
            let status = self.status.borrow();
            (status.outcome.clone().or_else(|| status.kept.clone()), status.attempt == 0)
        };
        let checked = match outcome {
            None => Err(NotForgotten::Unfinished),
            Some(o) => {
                let same = (request.log_len, request.console_len) == (o.log.len, o.console.len)
                    && request.log_sha256 == o.log.sha256
                    && request.console_sha256 == o.console.sha256;
                let differs = NotForgotten::Differs { log_len: o.log.len, console_len: o.console.len };
                if same || faults::bug("forget_without_digest") { Ok(()) } else { Err(differs) }
            }
        };
        let keep = request.keep_work && !faults::bug("work_goes_with_the_log");
        let work = if keep { WorkFolder::Keep } else { WorkFolder::Delete };
        let done = match checked {
            Ok(()) => self.blocking(move |spool| delete_spool(spool, work)).await.map_err(NotForgotten::Io),
            Err(error) => Err(error),
        };
        if matches!(done, Ok(Forgotten::ButItsFiles)) && !only_files {
            // Only files of it are left: as after a start that finds them.
            self.context.watcher.remove(&self.spool);
            self.status.send_modify(|status| {
                let kept = status.outcome.take().or_else(|| status.kept.take());
                *status = Status { read: true, kept, ..Status::default() };
            });
        }
        let gone = matches!(done, Ok(Forgotten::Whole));
        let _ = reply.send(done);
        gone
    }
}

/// What becomes of the folder of a run's files when its spool is deleted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WorkFolder {
    Keep,
    Delete,
}

fn delete_spool(spool: &Spool, work: WorkFolder) -> std::io::Result<Forgotten> {
    if work == WorkFolder::Keep && spool.has_work() {
        return spool.keep_work().map(|()| Forgotten::ButItsFiles);
    }
    spool.remove().map(|()| Forgotten::Whole)
}
