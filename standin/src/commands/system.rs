//! Timers, shell commands, and help.

use std::process::{Command, Stdio};

use crate::clock;
use crate::interp::{Interp, Outcome, Stop};
use crate::text;

/// `timer on|off|list|clear [#]`.
pub(crate) fn timer(interp: &mut Interp, s: &str) -> Outcome {
    let (verb, rest) = text::word(s);
    let number: Option<u32> = match rest.trim() {
        "" => None,
        n => Some(n.parse().ok().filter(|n| (1..=100).contains(n)).ok_or_else(Stop::syntax)?),
    };
    match (verb, number) {
        ("clear", None) => interp.timers.clear(),
        ("clear", Some(n)) => {
            interp.timers.remove(&n);
        }
        ("on", Some(n)) => interp.timers.entry(n).or_default().since = Some(clock::now()),
        ("off", Some(n)) => {
            let timer = interp.timers.entry(n).or_default();
            if let Some(since) = timer.since.take() {
                timer.total += since.elapsed().as_secs_f64();
                timer.runs += 1;
            }
        }
        ("list", _) => list(interp, number),
        _ => return Err(Stop::syntax()),
    }
    Ok(())
}

fn list(interp: &mut Interp, only: Option<u32>) {
    let mut text = String::new();
    let mut results = Vec::new();
    for (n, t) in interp.timers.iter().filter(|(n, _)| only.is_none_or(|o| o == **n)) {
        let runs = f64::from(t.runs);
        let mean = if t.runs == 0 { 0.0 } else { t.total / runs };
        text.push_str(&format!("{n:>4}: {:>9.2} / {:>8} = {mean:>12.4}\n", t.total, t.runs));
        results.push((format!("t{n}"), t.total));
        results.push((format!("nt{n}"), runs));
    }
    interp.results.clear();
    for (name, x) in results {
        interp.put_result(&name, x);
    }
    interp.out.print(&text);
}

/// `shell` and `!`: its output goes to this process's own streams, not to the log.
pub(crate) fn shell(_: &mut Interp, s: &str) -> Outcome {
    if s.is_empty() {
        return Ok(());
    }
    // Stata ignores the shell's status.
    let _ = Command::new("sh").arg("-c").arg(s).stdin(Stdio::null()).status();
    Ok(())
}

/// `help`: in batch mode Stata says no and calls it no error.
pub(crate) fn help(interp: &mut Interp, _: &str) -> Outcome {
    interp.out.println("request ignored because of batch mode");
    Ok(())
}

/// `which`: there are no ado-files here.
pub(crate) fn which(_: &mut Interp, s: &str) -> Outcome {
    Err(Stop::new(111, format!("command {s} not found as either built-in or ado-file")))
}
