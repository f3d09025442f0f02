//! Everything that knows Stata at its process boundary, and nothing else: no async, no network, no clock.
//!
//! Stata reports to the outside by one file, the batch log; its exit status does not show success. So this folder reads
//! logs: [`lines`] cuts bytes into clean lines, [`echo`] separates commands from output (both shared with all that
//! shows logs), and on these two build
//! [`judge`] (how did it end), [`culprit`] (which line of a loop failed), [`locate`] (in which do-file and line), [`surroundings`] (what stands around an error, and which errors ended nothing), [`progress`] (how far is it), [`view`] (which
//! bytes are the user's), [`saved`] (which files it left) and [`banner`] (edition, version and licence). [`wrapper`]
//! writes the do-file that Stata is started with, [`gather`] the one that writes down results, which [`gathered`] reads,
//! [`find`] looks for Stata on the host, and [`licence`] recognises a start that failed for the licence. [`smcl`] shows help
//! files, [`installs`] tells code that installs packages, and [`trk`] reads which are installed.
//!
//! Logs are written by other people's code: every reader takes any bytes, in any chunks, in bounded memory.

pub mod banner;
mod culprit;
mod data_use;
pub mod find;
pub mod gather;
pub mod gathered;
pub mod installs;
pub mod judge;
pub mod judge_file;
mod known_errors;
pub mod licence;
pub mod locate;
mod message;
pub mod progress;
pub mod saved;
pub mod smcl;
pub mod surroundings;
pub mod trk;
pub mod view;
pub mod wrapper;

use longhaul_proto::stata_log::commands;
pub use longhaul_proto::stata_log::{echo, lines};

pub use judge_file::{judge_file, judge_file_in, judge_wrapped};
