//! The benchmark: each figure beside its bar, and beside a floor measured in the same run.
//!
//! Absolute figures drift with the machine; a floor and a figure taken side by side do not. The engine is the
//! benchmark itself ([`engine`]): it takes Stata's arguments and writes Stata's log, and stamps the machine's monotonic
//! clock (one for all processes) into what it writes, so that a moment in one process can be compared with a moment in
//! another.

pub mod calls;
pub mod engine;
pub mod figures;
pub mod parts;
pub mod site;

use std::process::ExitCode;

/// The parts, by the name that selects one alone.
pub const PARTS: [&str; 6] = ["spawn", "lines", "throughput", "followers", "calls", "ledger"];

/// Followers, unless another number is given.
pub const FOLLOWERS: usize = 1_000;

/// Runs every part, or `only` one, and prints the table. Exit status 1 when a bar is missed.
pub fn main(only: Option<&str>, followers: usize) -> ExitCode {
    site::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let lines = runtime.block_on(async {
        let site = site::Site::start().await;
        let mut lines = Vec::new();
        for part in PARTS.into_iter().filter(|part| only.is_none_or(|only| only == *part)) {
            lines.extend(match part {
                "spawn" => parts::spawn(&site).await,
                "lines" => parts::line_latency(&site).await,
                "throughput" => parts::throughput(&site).await,
                "followers" => parts::followers(&site, followers).await,
                "calls" => calls::calls(&site).await,
                _ => parts::ledger().await,
            });
        }
        lines
    });
    println!("{:<58} {:>14} {:>16}  met", "figure", "measured", "bar");
    let mut met = true;
    for line in &lines {
        let (bar, verdict) = match &line.bar {
            Some(bar) => (bar.text.as_str(), if bar.met { "yes" } else { "NO" }),
            None => ("", "(floor)"),
        };
        met &= line.bar.as_ref().is_none_or(|bar| bar.met);
        println!("{:<58} {:>14} {:>16}  {verdict}", line.what, line.measured, bar);
    }
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
