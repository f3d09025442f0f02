//! Ctrl-C and SIGTERM, as things that happen and not as the end of the process.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What somebody asked this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Ctrl-C at the terminal.
    Interrupt,
    /// A service manager, or `kill`.
    Terminate,
}

/// The signals of this process from now on.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over; from here on none of them ends the process by itself.
    ///
    /// # Errors
    /// When the system refuses, which it does not.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The next one. Dropping the future loses none.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Interrupt,
            _ = self.terminate.recv() => Asked::Terminate,
        }
    }
}
