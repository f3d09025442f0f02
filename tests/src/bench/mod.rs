//! The benchmark: each figure beside its bar, and beside a floor measured in the same run.
//!
//! Absolute figures drift with the machine; a floor and a figure taken side by side do not. The engine is the
//! benchmark itself ([`engine`]): it takes Stata's arguments and writes Stata's log, and stamps the machine's monotonic
//! clock (one for all processes) into what it writes, so that a moment in one process can be compared with a moment in
//! another.

pub mod calls;
pub mod engine;
pub mod figures;
pub mod gather;
pub mod observed;
pub mod parts;
pub mod quiet;
pub mod site;
pub mod tls;

use std::{path::PathBuf, process::ExitCode};

use figures::Line;
use site::Site;

/// The parts that start the program, by the name that selects one alone.
pub const PARTS: [&str; 12] = [
    "spawn",
    "call",
    "gather",
    "observed",
    "tls",
    "lines",
    "burst",
    "throughput",
    "quiet",
    "followers",
    "calls",
    "held",
];
/// Of these, those that measure both programs sample by sample, in turns: a disk that gives less after a while (many
/// virtual ones do) would otherwise favour the one that comes first.
const IN_TURNS: [&str; 2] = ["spawn", "call"];
/// The parts that measure a library of it.
pub const LIBRARY_PARTS: [&str; 2] = ["placement", "ledger"];

/// Followers, unless another number is given.
pub const FOLLOWERS: usize = 1_000;

/// What to measure.
#[derive(Debug)]
pub struct Plan {
    /// The installed program.
    pub program: PathBuf,
    /// Another version of it, measured beside.
    pub beside: Option<PathBuf>,
    /// One part alone.
    pub only: Option<String>,
    /// Followers.
    pub followers: usize,
}

/// Carries out the plan and prints the table. Exit status 1 when a bar is missed.
pub fn main(plan: &Plan) -> ExitCode {
    site::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (lines, beside) = runtime.block_on(measure(plan));
    let other = if plan.beside.is_some() { "beside" } else { "" };
    println!("{:<58} {other:>14} {:>14} {:>16}  met", "figure", "measured", "bar");
    let mut met = true;
    for (n, line) in lines.iter().enumerate() {
        let (bar, verdict) = match &line.bar {
            Some(bar) => (bar.text.as_str(), if bar.met { "yes" } else { "NO" }),
            None => ("", "(floor)"),
        };
        met &= line.bar.as_ref().is_none_or(|bar| bar.met);
        let other = beside.get(n).map_or("", |line| &line.measured);
        println!("{:<58} {other:>14} {:>14} {bar:>16}  {verdict}", line.what, line.measured);
    }
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Each part of both programs.
async fn measure(plan: &Plan) -> (Vec<Line>, Vec<Line>) {
    let wanted = |part: &&str| plan.only.as_deref().is_none_or(|only| only == *part);
    let (mut lines, mut beside) = (Vec::new(), Vec::new());
    for part in PARTS.into_iter().filter(wanted) {
        let programs = [Some(&plan.program), plan.beside.as_ref()].into_iter().flatten();
        if IN_TURNS.contains(&part) {
            let mut sites = Vec::new();
            for program in programs {
                sites.push(Site::start(program).await);
            }
            let measured = if part == "spawn" { parts::spawn(&sites).await } else { calls::one(&sites).await };
            let mut measured = measured.into_iter();
            lines.extend(measured.next().into_iter().flatten());
            beside.extend(measured.flatten());
            continue;
        }
        // One right after the other.
        for (program, lines) in programs.zip([&mut lines, &mut beside]) {
            if part == "gather" {
                lines.extend(gather::added(&Site::with_standin(program).await).await);
                continue;
            }
            if part == "observed" {
                lines.extend(observed::cost(program).await);
                continue;
            }
            if part == "tls" {
                lines.extend(tls::cost(program).await);
                continue;
            }
            lines.extend(of(part, &mut Site::start(program).await, plan.followers).await);
        }
    }
    for part in LIBRARY_PARTS.into_iter().filter(wanted) {
        lines.extend(if part == "placement" { parts::placement().await } else { parts::ledger().await });
    }
    (lines, beside)
}

async fn of(part: &str, site: &mut Site, followers: usize) -> Vec<Line> {
    match part {
        "lines" => parts::line_latency(site).await,
        "burst" => parts::burst(site).await,
        "throughput" => parts::throughput(site).await,
        "quiet" => quiet::silent(site).await,
        "held" => quiet::held(site).await,
        "followers" => parts::followers(site, followers).await,
        _ => calls::calls(site).await,
    }
}
