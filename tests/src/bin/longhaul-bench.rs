//! `cargo run --release -p longhaul-tests --bin longhaul-bench`: each figure beside its floor and its bar.
//!
//! With the name of a part (`spawn`, `lines`, `throughput`, `followers`, `calls`, `ledger`) it measures that part
//! alone; `followers 10000` measures that many followers.
//!
//! One program in three parts: the benchmark, the daemons it measures (`longhaul`'s own `main`), and the engine that
//! the agent starts (`-b do …`).

use std::process::ExitCode;

use longhaul_tests::bench::FOLLOWERS;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    match args.first().and_then(|a| a.to_str()) {
        None => longhaul_tests::bench::main(None, FOLLOWERS),
        Some("-b") => longhaul_tests::bench::engine::main(&args),
        Some(part) if longhaul_tests::bench::PARTS.contains(&part) => {
            let followers = args.get(1).and_then(|n| n.to_str()?.parse().ok()).unwrap_or(FOLLOWERS);
            longhaul_tests::bench::main(Some(part), followers)
        }
        Some(_) => longhaul::main(),
    }
}
