//! Following growing files: bytes by offset, in order, as soon as they are there.
//!
//! The kernel wakes the readers when a file in a spool changes. Where it does not they look every 250 ms, and where it
//! does every 10 s, in case it missed something. A wake-up carries no data: each reader reads on from its own offset, so
//! a lost or doubled wake-up costs nothing, and a slow reader delays no other.

pub(crate) mod do_files;
pub(crate) mod entered;
mod live;
mod tail;
mod watcher;

use std::time::Duration;

pub(crate) use live::LiveReader;
pub use tail::{Piece, Tail, length};
pub use watcher::{Changes, Trigger, Watched, Watcher};

/// Time between two looks at a run whose folders the kernel does not watch.
pub const POLL: Duration = Duration::from_millis(250);
/// The same where it does: a silent run costs next to nothing.
pub const SLOW_POLL: Duration = Duration::from_secs(10);

/// How long a reader of these changes waits at most until it looks again.
pub(crate) fn poll(changes: &Changes) -> Duration {
    match *changes.borrow() {
        Watched::ByKernel if changes.has_changed().is_ok() => SLOW_POLL,
        _ => POLL,
    }
}
