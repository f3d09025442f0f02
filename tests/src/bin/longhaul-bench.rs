//! `cargo run --release -p longhaul-tests --bin longhaul-bench`: each figure beside its floor and its bar.
//!
//! One program in three parts: the benchmark, the daemons it measures (`longhaul`'s own `main`), and the engine that
//! the agent starts (`-b do …`).

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    match args.first().and_then(|a| a.to_str()) {
        None => longhaul_tests::bench::main(),
        Some("-b") => longhaul_tests::bench::engine::main(&args),
        Some(_) => longhaul::main(),
    }
}
