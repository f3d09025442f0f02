//! An exit record that cannot be read, because the run's own code wrote it or the disk damaged it, still ends the run.
//!
//! While a supervisor is at work it will write a true one in its place, and a cancel request reaches it as ever.
//! Without a supervisor the record is read some times more, at growing intervals; then it is renamed, and either a
//! supervisor takes over (Stata lives) or the run ends as an error that says what could not be read.

use std::{io, time::Duration};

use super::run_task::{ALIVE, RunTask};
use crate::{
    os,
    spool::{Exit, Running, Started, process_lives},
    supervisor::unseen,
};

/// Tries without a supervisor before the record is given up.
const TRIES: u32 = 6;
/// Wait after the first of them; doubled after each: 8 s in all.
const FIRST: Duration = Duration::from_millis(250);

/// How often the record was tried.
#[derive(Debug)]
pub(super) struct Unreadable {
    tries: u32,
    next: Duration,
}

impl RunTask {
    /// Handles an exit record that exists and could not be read.
    pub(super) async fn exit_unreadable(&mut self, error: io::Error) {
        let now = self.context.clock.monotonic();
        let known = self.unreadable.get_or_insert_with(|| {
            tracing::warn!(run = %self.spool.run(), %error, "the run's exit record cannot be read; it is read again");
            Unreadable { tries: 0, next: now }
        });
        if now < known.next {
            return;
        }
        let executor = std::sync::Arc::clone(&self.context.executor);
        let alive = self.blocking(move |spool| executor.alive(spool)).await;
        let Some(known) = &mut self.unreadable else { return };
        match alive {
            Ok(false) => {
                known.tries += 1;
                known.next = now + FIRST * 2_u32.saturating_pow(known.tries);
                if known.tries >= TRIES {
                    self.give_record_up(&error).await;
                }
            }
            Ok(true) => *known = Unreadable { tries: 0, next: now + ALIVE },
            Err(error) => tracing::warn!(run = %self.spool.run(), %error, "the run's lock could not be looked at"),
        }
    }

    async fn give_record_up(&mut self, error: &io::Error) {
        let words = error.to_string();
        let now = self.context.clock.unix_ms();
        let limit = self.context.preparer.output_limit;
        let attempt = self.attempt().map_or(0, |a| a.number);
        let ended = self.blocking(move |spool| {
            let Some(_lock) = os::FileLock::try_take(&spool.lock())? else { return Ok(None) };
            // No process writes any more: the file is final.
            if let Ok(read) = spool.read::<Exit>(&spool.exit()) {
                return Ok(read);
            }
            let mut damaged = vec![];
            let started = spool.read_or_name::<Started>(&spool.started(), &mut damaged)?;
            let running = spool.read_or_name::<Running>(&spool.running(), &mut damaged)?;
            let lives = process_lives(spool.run(), started.as_ref());
            spool.rename_unreadable(&spool.exit())?;
            if lives {
                // As for any run without a supervisor: a new one takes over.
                return Ok(None);
            }
            let exit = Exit { unreadable: Some(words), ..unseen(spool, attempt, (started, running), limit, now)? };
            spool.write(&spool.exit(), &exit)?;
            Ok(Some(exit))
        });
        match ended.await {
            Ok(exit) => {
                self.unreadable = None;
                if let Some(exit) = exit {
                    self.finish(exit).await;
                }
            }
            Err(error) => tracing::warn!(run = %self.spool.run(), %error, "the run's end could not be recorded yet"),
        }
    }
}
