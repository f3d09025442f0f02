//! `cargo run -p longhaul-tests --bin longhaul-chaos -- --trials 1000`: the chaos kit.
//!
//! One program in two parts: the kit, and the daemons, supervisors and stand-ins that it starts (`longhaul`'s own
//! `main`, built with the faults of `longhaul_proto::faults`).

#![allow(clippy::expect_used)] // test code: what fails here fails the kit

use std::process::ExitCode;

use clap::Parser;
use longhaul_proto::ids;
use longhaul_tests::chaos::{self, Plan};

/// Injects faults into real gateways and agents and judges what clients observed.
#[derive(Debug, Parser)]
struct Args {
    /// Trials in all, dealt to the cells in turn.
    #[arg(long, default_value_t = 100)]
    trials: u64,
    /// Seed of the whole; a fresh one by default, which is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Only cells whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Runs the trial of this seed again, in each of those cells.
    #[arg(long)]
    trial: Option<u64>,
    /// Switches a deliberate bug on.
    #[arg(long)]
    bug: Vec<String>,
    /// Trials at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Stops at the first violation.
    #[arg(long)]
    first: bool,
    /// Names the cells and does nothing.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    // A first argument that is a command of the product runs the product.
    if std::env::args().nth(1).is_some_and(|word| !word.starts_with('-')) {
        return longhaul::main();
    }
    let args = Args::parse();
    if args.list {
        chaos::cell::all().iter().for_each(|cell| println!("{}", cell.name()));
        return ExitCode::SUCCESS;
    }
    let fresh = ids::secret().map_or(1, u64::from_le_bytes);
    let plan = Plan {
        program: std::env::current_exe().expect("this program").to_string_lossy().into_owned(),
        trials: args.trials,
        seed: args.seed.unwrap_or(fresh),
        only: args.only,
        trial: args.trial,
        bugs: args.bug,
        jobs: args.jobs,
        first: args.first,
        limit: None,
        verbose: true,
    };
    println!("seed {}", plan.seed);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let report = runtime.block_on(chaos::run(plan));
    println!("{report}");
    if report.failed() || report.trials() == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
