//! Following growing files: bytes by offset, in order, as soon as they are there.
//!
//! The kernel wakes the readers when a file in a spool changes; a poll every 250 ms covers file systems where it does
//! not. A wake-up carries no data: each reader reads on from its own offset, so a lost or doubled wake-up costs
//! nothing, and a slow reader delays no other.

pub(crate) mod entered;
mod live;
mod tail;
mod watcher;

use std::time::Duration;

pub(crate) use live::LiveReader;
pub use tail::{Piece, Tail, length};
pub use watcher::{Changes, Trigger, Watcher};

/// The poll that backs up the kernel's wake-ups.
pub const POLL: Duration = Duration::from_millis(250);
