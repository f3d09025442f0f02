//! What an interrupt does.
//!
//! Whether console Stata in batch mode ends a do-file with `--Break--` on SIGINT or simply dies is not documented, so
//! both behaviours exist, and a third one, ignoring the signal, that a driver must survive too. SIGTERM is never
//! handled: it kills without a marker, as the real program's logs show.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;

/// What SIGINT means to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnInterrupt {
    /// Finish the current command, print `--Break--` and unwind with return code 1.
    Break,
    /// Die by the signal, as a program without a handler does.
    Die,
    /// Carry on as if nothing had happened.
    Ignore,
}

impl OnInterrupt {
    /// Reads `break`, `die` or `ignore`.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word.trim() {
            "break" => Some(Self::Break),
            "die" => Some(Self::Die),
            "ignore" => Some(Self::Ignore),
            _ => None,
        }
    }
}

/// The interrupt flag and the chosen behaviour.
pub(crate) struct Signals {
    pending: Arc<AtomicBool>,
    die: Arc<AtomicBool>,
    mode: OnInterrupt,
}

impl Signals {
    /// Installs the handler. `Die` is a conditional default action, so that the behaviour can change while running.
    pub(crate) fn install(mode: OnInterrupt) -> Self {
        let this = Self { pending: Arc::default(), die: Arc::default(), mode };
        // Registration fails only for signals that may not be caught; SIGINT may. The order matters: death first.
        let _ = signal_hook::flag::register_conditional_default(SIGINT, Arc::clone(&this.die));
        let _ = signal_hook::flag::register(SIGINT, Arc::clone(&this.pending));
        let mut this = this;
        this.set(mode);
        this
    }

    /// Chooses the behaviour from here on.
    pub(crate) fn set(&mut self, mode: OnInterrupt) {
        self.mode = mode;
        self.die.store(mode == OnInterrupt::Die, Ordering::SeqCst);
        self.pending.store(false, Ordering::SeqCst);
    }

    /// Whether an interrupt waits to be turned into a break.
    pub(crate) fn break_pending(&self) -> bool {
        self.mode == OnInterrupt::Break && self.pending.load(Ordering::SeqCst)
    }

    /// Takes the waiting interrupt, if the mode is [`OnInterrupt::Break`].
    pub(crate) fn take_break(&self) -> bool {
        self.mode == OnInterrupt::Break && self.pending.swap(false, Ordering::SeqCst)
    }
}
