//! How a question reaches the task of a run, also while that task leaves.
//!
//! A task leaves when its run was deleted. What is asked about the run at that moment is answered by the next task, as a
//! moment later: the answer is in the spools' proofs, and does not depend on when it was asked.

use longhaul_proto::{faults, ids::RunId};
use tokio::sync::{mpsc, mpsc::error::SendError, oneshot};

use super::{Command, Handle, Runs, run_task::RunTask};

/// Asks the task of this handle. `None`: it has left, or the agent is stopping.
pub(super) async fn ask<T>(handle: &Handle, make: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    handle.commands.send(Box::new(make(reply))).await.ok()?;
    answer.await.ok()
}

impl Runs {
    /// Asks the task of a run, which may be unknown here. `None`: the agent is stopping.
    pub(super) async fn ask_task_of<T>(
        &self,
        run: RunId,
        make: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Option<T> {
        let spool = self.context.root.of(run);
        let (reply, answer) = oneshot::channel();
        let command = Box::new(make(reply));
        // Once more where the task that was asked first has just left; the next one stays.
        if let Err(SendError(command)) = self.handle(&spool).commands.send(command).await {
            self.handle(&spool).commands.send(command).await.ok()?;
        }
        answer.await.ok()
    }
}

impl RunTask {
    /// Leaves to the next task what was asked about attempts and is not answered yet.
    pub(super) async fn leave(self, mut commands: mpsc::Receiver<Box<Command>>) {
        commands.close();
        while let Some(command) = commands.recv().await {
            let of_attempts = matches!(*command, Command::Begin { .. } | Command::Revoke { .. });
            if of_attempts && !faults::bug("questions_go_with_their_task") {
                let next = self.context.registry.handle(&self.context, &self.spool);
                // It fails only where the agent is stopping.
                let _ = next.commands.send(command).await;
            }
        }
    }
}
