//! Following growing files: bytes by offset, in order, as soon as they are there.
//!
//! The kernel wakes us when a file in a spool changes; a poll every 250 ms stands behind it, for file systems where it
//! does not. A wake-up carries nothing: whoever is woken reads on from its own offset, so a lost or doubled one costs
//! nothing, and a slow reader holds up nobody.

mod tail;
mod watcher;

use std::time::Duration;

pub use tail::{Piece, Tail, length};
pub use watcher::{Pulse, Trigger, Watcher};

/// The poll behind the kernel's word.
pub const POLL: Duration = Duration::from_millis(250);
