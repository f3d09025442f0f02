//! Ctrl-C, SIGTERM and SIGHUP as events, so that they do not end the process by themselves.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Ctrl-C at the terminal.
    Interrupt,
    /// Sent by a service manager or `kill`.
    Terminate,
    /// The terminal closed.
    HangUp,
}

/// The signals of this process from its creation on.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None`: this process was started to outlive its terminal, by `nohup` or the like.
    hangup: Option<Signal>,
}

impl Signals {
    /// Takes the signals over; from here on none of them ends the process by itself.
    ///
    /// # Errors
    /// When the system refuses, which does not happen.
    pub(crate) fn listen() -> io::Result<Self> {
        let hangup = if ignored(SignalKind::hangup()) { None } else { Some(signal(SignalKind::hangup())?) };
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, hangup })
    }

    /// The next signal. Dropping the future loses none.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Interrupt,
            _ = self.terminate.recv() => Asked::Terminate,
            true = hung_up(&mut self.hangup) => Asked::HangUp,
        }
    }
}

/// Changes of the terminal's size.
#[derive(Debug)]
pub(crate) struct Resizes(Signal);

/// Takes the signal over that tells them.
///
/// # Errors
/// As [`Signals::listen`].
pub(crate) fn resizes() -> io::Result<Resizes> {
    signal(SignalKind::window_change()).map(Resizes)
}

impl Resizes {
    /// `true` at the next one. Dropping the future loses none.
    pub(crate) async fn next(&mut self) -> bool {
        self.0.recv().await.is_some()
    }
}

async fn hung_up(signal: &mut Option<Signal>) -> bool {
    match signal {
        Some(signal) => signal.recv().await.is_some(),
        None => std::future::pending().await,
    }
}

/// Whether the signal was ignored when this process started. Where the system does not tell, it counts as not ignored.
fn ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    u32::try_from(kind.as_raw_value() - 1).is_ok_and(|bit| mask.checked_shr(bit).unwrap_or(0) & 1 == 1)
}
