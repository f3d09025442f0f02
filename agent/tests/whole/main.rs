//! Whole-process tests of the agent: real supervisors, the stand-in as Stata, calls over a real connection.
//!
//! The program starts itself again with another first argument (`supervise`, `standin`, `agent`), as the installed one
//! does; with any other it runs the tests whose names contain its arguments.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod again;
mod blobs;
mod cancel;
mod children;
mod death;
mod executor;
mod fence;
mod golden;
mod kit;
mod outcome;
mod register;
mod source;
mod stata_cases;
mod stata_corpus;
mod stata_large;
mod stata_readers;

use std::{process::ExitCode, time::Duration};

type Test = (&'static str, fn());

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next().as_deref().and_then(|word| word.to_str()) {
        Some("supervise") => longhaul_agent::supervisor::main(args.collect()),
        Some("standin") => longhaul_standin::main(args.collect()),
        Some("agent") => kit::agent_process(args.collect()),
        Some("children") => {
            let args: Vec<_> = args.map(|arg| arg.into_string().unwrap_or_default()).collect();
            #[cfg(feature = "faults")]
            let _scope = longhaul_proto::faults::enter(args.get(2).map_or("", String::as_str));
            let seen = children::main(args[0].as_ref(), args[1].parse().unwrap_or_default());
            if seen { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        _ => run_tests(),
    }
}

fn run_tests() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let groups = [
        again::TESTS,
        blobs::TESTS,
        executor::TESTS,
        outcome::TESTS,
        source::TESTS,
        cancel::TESTS,
        fence::TESTS,
        death::TESTS,
        children::TESTS,
        register::TESTS,
        golden::TESTS,
        stata_cases::TESTS,
        stata_corpus::TESTS,
        stata_large::TESTS,
        stata_readers::TESTS,
    ];
    let chosen: Vec<Test> = groups
        .into_iter()
        .flatten()
        .copied()
        .filter(|(name, _)| words.is_empty() || words.iter().any(|w| name.contains(w)))
        .collect();
    let list = std::env::args().any(|a| a == "--list");
    let mut failed = vec![];
    for (name, test) in &chosen {
        if list {
            println!("{name}: test");
            continue;
        }
        // One at a time: they start processes, and there may be only two cores.
        let result = std::thread::spawn(*test).join();
        println!("test {name} ... {}", if result.is_ok() { "ok" } else { "FAILED" });
        if result.is_err() {
            failed.push(*name);
        }
    }
    println!("\n{} passed, {} failed {}", chosen.len() - failed.len(), failed.len(), failed.join(" "));
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Every wait in these tests ends here at the latest.
const PATIENCE: Duration = Duration::from_secs(60);
