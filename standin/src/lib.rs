//! A stand-in for Stata at its process boundary.
//!
//! Longhaul must be tested end to end where there is no licensed Stata: in its own tests, on a first trial, on a
//! laptop. This program behaves as Stata does wherever a program that drives Stata can observe it: how it reads its
//! command line, where it writes its log and when, what an error looks like at every level of nesting, what an
//! interrupt does, and that its exit status does not show success. It runs the small everyday part of the language,
//! knows a table of numbers and strings, and has least squares as its only estimator: any other command is
//! `command … is unrecognized`, r(199), in Stata's own words. It never pretends to be Stata; its banner says so.
//!
//! Its fidelity is tested against real logs, not against Longhaul's readers of logs.
//!
//! How a command is executed: [`argv`] reads the arguments, [`source`] makes statements of lines, [`run`] echoes them
//! and prints the endings, [`macros`] expands, [`exec`] handles prefixes and blocks, `commands` do the work on the
//! state in [`interp`], and [`out`] writes one line at a time. [`faults`] lists the faults on demand, and [`help`] has files on the
//! commands.

mod argv;
mod banner;
mod bytes;
mod clock;
mod commands;
mod constants;
mod data;
mod exec;
mod expr;
mod faults;
mod graph;
mod help;
mod interp;
mod macros;
mod matrices;
mod out;
mod run;
mod signals;
mod source;
mod state;
mod stats;
mod stored;
mod text;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufReader, IsTerminal, Write};
use std::process::ExitCode;

use argv::Invocation;
use faults::{Faults, Licence};
use interp::{Frame, Interp, Settings, Stop};
use out::Out;
use signals::Signals;
use source::{Feed, Source};

/// Runs the stand-in with the arguments after its own name.
///
/// The exit status is 0 however a do-file ends, as with Stata; it is something else only for a licence fault, an
/// unknown flag, a log that cannot be made, or `exit #, STATA`.
pub fn main(args: Vec<OsString>) -> ExitCode {
    if let [flag, folder] = &args[..]
        && flag == "-write-help"
    {
        return match help::write(folder.as_ref()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(&format!("the help files could not be written: {error}\n"), 1),
        };
    }
    let start = argv::parse(&args).and_then(|inv| Ok((inv, Faults::from_env(|name| std::env::var(name).ok())?)));
    let (mut invocation, faults) = match start {
        Ok(start) => start,
        Err(message) => return refuse(&format!("{message}\n{}", banner::USAGE), 2),
    };
    if let Some((word, ending)) = invocation
        .log_name
        .split_once(' ')
        .zip(invocation.log_name.rsplit_once('.'))
        .map(|((word, _), (_, ending))| (word, ending))
        .filter(|_| faults.one_word_log)
    {
        invocation.log_name = format!("{word}.{ending}");
    }
    if invocation.help {
        let _ = std::io::stdout().write_all(banner::USAGE.as_bytes());
        return ExitCode::SUCCESS;
    }
    let signals = Signals::install(faults.sigint);
    match faults.licence {
        Some(Licence::Hang) => clock::hang(),
        Some(what) => return refuse(faults::licence_text(what), 1),
        None => {}
    }
    if !clock::sleep(faults.start_delay, &signals) {
        return ExitCode::from(130);
    }
    let sink: Box<dyn Write> = if invocation.batch {
        match File::create(&invocation.log_name) {
            Ok(file) => Box::new(file),
            Err(e) => return refuse(&format!("log file {} could not be opened: {e}\n", invocation.log_name), 1),
        }
    } else {
        Box::new(std::io::stdout())
    };
    let sink = if faults.flush_at_end { Box::new(out::Late::new(sink)) } else { sink };
    let mut interp = new_interp(sink, signals, faults, invocation.mode());
    let status = session(&mut interp, &invocation);
    if let Some(path) = &interp.faults.end_state {
        state::write(&interp, path);
    }
    while !interp.frames.is_empty() {
        exec::drop_frame(&mut interp);
    }
    ExitCode::from(status)
}

/// A message on the terminal, and the end.
fn refuse(message: &str, status: u8) -> ExitCode {
    let _ = std::io::stderr().write_all(message.as_bytes());
    ExitCode::from(status)
}

fn new_interp(sink: Box<dyn Write>, signals: Signals, faults: Faults, mode: banner::Mode) -> Interp {
    let batch = mode == banner::Mode::Batch;
    let (.., processors) = constants::processors(&faults);
    let temp = ["STATATMP", "TMPDIR"].iter().find_map(std::env::var_os).map_or_else(|| "/tmp".into(), Into::into);
    let mut interp = Interp {
        out: Out::new(sink),
        signals,
        faults,
        set: Settings {
            rmsg: false,
            varabbrev: true,
            kind: "float".into(),
            level: 95.0,
            trace: false,
            processors,
            sort_seed: interp::SEED,
            batch,
            terminal: !batch && std::io::stdin().is_terminal(),
        },
        globals: BTreeMap::new(),
        frames: vec![Frame::default()],
        programs: HashMap::new(),
        scalars: HashMap::new(),
        matrices: BTreeMap::new(),
        results: stored::Stored::default(),
        estimates: stored::Stored::default(),
        sreturns: stored::Stored::default(),
        held: BTreeMap::new(),
        data: data::Table::default(),
        preserved: Vec::new(),
        graph: None,
        files: HashMap::new(),
        timers: BTreeMap::new(),
        rc: 0,
        decided: Vec::new(),
        depth: 0,
        temp: (temp, 0),
        rng: Cell::new(0),
        seeded: 0,
        took: 0.0,
        dots: 0,
        ended_do: false,
        delimit: None,
    };
    interp.seed(interp::SEED);
    interp
}

/// Everything between the banner and the end; returns the exit status.
fn session(interp: &mut Interp, invocation: &Invocation) -> u8 {
    if let Some(words) = interp.faults.child.clone()
        && let Err(Stop::Error { msg: Some(msg), .. }) = faults::act(interp, &format!("child {words}"))
    {
        interp.out.put(&format!("{msg}\n"));
    }
    if invocation.smcl {
        interp.out.put("{smcl}\n");
    }
    if !invocation.quiet {
        interp.out.put(&banner::banner(
            invocation.mode(),
            interp.faults.version,
            interp.faults.serial.as_deref(),
            interp.faults.licensed.as_deref(),
        ));
    }
    // As a slow licence server, and everything else that a start can wait for.
    if let Some(file) = interp.faults.start_hold.clone() {
        while !file.exists() {
            if !clock::sleep(std::time::Duration::from_millis(5), &interp.signals) {
                return 1;
            }
        }
    }
    if let Err(Stop::Leave(status)) = run::profile(interp) {
        return status;
    }
    if let Some(command) = &invocation.command {
        if !invocation.quiet || !invocation.batch {
            interp.out.put(&format!(". {command} \n"));
        }
        if let Err(Stop::Leave(status)) = run::command_line(interp, command) {
            return status;
        }
    }
    if invocation.batch {
        return 0;
    }
    let mut source =
        Source::new(String::new(), Feed::Input(Box::new(BufReader::new(std::io::stdin()))), source::Echo::On);
    match run::run_source(interp, &mut source, run::Kind::Console) {
        Err(Stop::Leave(status)) => status,
        _ => 0,
    }
}
