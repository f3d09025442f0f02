//! `cargo run --release -p longhaul-tests --bin longhaul-bench -- [--beside PROGRAM] [PART] [FOLLOWERS]`: each figure
//! beside its floor and its bar.
//!
//! It measures the installed program, which lies beside it (`cargo build --release` makes both), or `--program PROGRAM`;
//! with `--beside PROGRAM` another version too, in the same run. With the name of a part (`spawn`, `call`, `gather`, `observed`, `lines`,
//! `burst`, `throughput`, `quiet`, `followers`, `calls`, `held`, `placement`, `ledger`) it measures that part alone; `followers
//! 10000` measures that many followers.
//!
//! It is also the engine that the agent starts (`-b do …`).

use std::{path::PathBuf, process::ExitCode};

use longhaul_tests::bench::{self, FOLLOWERS, LIBRARY_PARTS, PARTS, Plan};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|a| a == "-b") {
        return bench::engine::main(&args);
    }
    match plan(args.into_iter()) {
        Ok(plan) => bench::main(&plan),
        Err(words) => {
            eprintln!("longhaul-bench: {words}");
            ExitCode::from(2)
        }
    }
}

fn plan(mut args: impl Iterator<Item = std::ffi::OsString>) -> Result<Plan, String> {
    let beside_this = std::env::current_exe().map_err(|e| e.to_string())?.with_file_name("longhaul");
    let mut plan = Plan { program: beside_this, beside: None, only: None, followers: FOLLOWERS };
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--program") => plan.program = args.next().map(PathBuf::from).ok_or("--program needs a path")?,
            Some("--beside") => plan.beside = Some(args.next().map(PathBuf::from).ok_or("--beside needs a path")?),
            Some(part) if PARTS.contains(&part) || LIBRARY_PARTS.contains(&part) => plan.only = Some(part.to_owned()),
            Some(number) if number.parse::<usize>().is_ok() => plan.followers = number.parse().unwrap_or(FOLLOWERS),
            _ => return Err(format!("{} is no part, no option and no number", arg.display())),
        }
    }
    if !plan.program.is_file() {
        return Err(format!("{} is not there: `cargo build --release` makes it", plan.program.display()));
    }
    Ok(plan)
}
