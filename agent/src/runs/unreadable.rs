//! An exit record that cannot be read, because the run's own code wrote it or the disk damaged it, still ends the run.
//!
//! While a supervisor is at work it will write a true one in its place, and a cancel request reaches it as ever.
//! Without a supervisor the record is read some times more; then it is renamed, and either a successor takes over (Stata
//! lives) or the run ends as an error that says what could not be read.

use super::{journal::About, run_task::RunTask};
use crate::{
    executor::{Probe, Supervision},
    spool::Exit,
};

/// Answers without a supervisor before the record is given up; a second lies between two.
const TRIES: u32 = 8;

/// How often the record was tried.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    tries: u32,
    /// Why it could not be read.
    words: String,
}

impl RunTask {
    /// Notes that an exit record exists and could not be read.
    pub(super) fn note_unreadable(&mut self, error: &std::io::Error) {
        let words = error.to_string();
        let known = self.unreadable.get_or_insert_with(|| {
            tracing::warn!(run = %self.spool.run(), %error, "the run's exit record cannot be read; it is read again");
            Unreadable::default()
        });
        known.words = words;
    }

    /// Acts on what is known of a job whose exit record cannot be read.
    pub(super) async fn exit_unreadable(&mut self, probe: Probe) {
        let Some(known) = &mut self.unreadable else { return };
        match probe {
            Probe::Alive(Supervision::Attended) => known.tries = 0,
            Probe::Alive(Supervision::Orphaned) | Probe::Gone(_) => {
                known.tries += 1;
                if known.tries >= TRIES {
                    self.give_record_up(probe).await;
                }
            }
            Probe::Pending(_) | Probe::Unknown(_) => {}
        }
    }

    /// Renames the record. No process writes it any more: one that did held the job, and it is orphaned or gone.
    async fn give_record_up(&mut self, probe: Probe) {
        let renamed = self.blocking(|spool| {
            if let Ok(read) = spool.read::<Exit>(&spool.exit()) {
                return Ok(read.map(|exit| (exit, About::in_spool(spool))));
            }
            spool.rename_unreadable(&spool.exit()).map(|()| None)
        });
        let read = match renamed.await {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(run = %self.spool.run(), %error, "the run's end could not be recorded yet");
                return;
            }
        };
        let words = self.unreadable.take().map(|known| known.words);
        match (read, probe) {
            (Some((exit, about)), _) => self.finish(exit, about).await,
            (None, Probe::Gone(proof)) => self.conclude(proof, words).await,
            // As for any run without a supervisor: a successor takes over.
            (None, _) => {}
        }
    }
}
