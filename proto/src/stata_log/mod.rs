//! Reading Stata's logs line by line, for every part that shows or judges one.
//!
//! [`lines`] cuts bytes into clean lines, [`echo`] tells what Stata echoed from what it printed, [`commands`] what a
//! command is. On these, [`OutputOnly`] leaves the echo out, and [`DisplayedSmcl`] shows SMCL as text. Logs are written by
//! other people's code: every reader takes any bytes, in any chunks, in bounded memory.

pub mod commands;
pub mod echo;
pub mod lines;
mod output_only;
mod smcl_text;

pub use output_only::OutputOnly;
pub use smcl_text::{DisplayedSmcl, is_smcl};
