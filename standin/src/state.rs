//! All that a do-file can have left in this process, as text: two of them show what ran in between left behind.

use std::fmt::Write;

use crate::expr::Value;
use crate::interp::Interp;

/// One line for each thing that is there. The macros of the do-file that runs now are not in it: they go with it.
pub(crate) fn describe(interp: &Interp) -> String {
    let mut text = String::new();
    let mut line = |what: &str, name: &str, value: &str| {
        let _ = writeln!(text, "{what} {name} {value}");
    };
    let value = |v: &Value| match v {
        Value::Num(x) => format!("{:016x}", x.to_bits()),
        Value::Str(s) => format!("{s:?}"),
    };
    for (name, v) in &interp.globals {
        line("global", name, &format!("{v:?}"));
    }
    if let Some(outermost) = interp.frames.first() {
        let mut locals: Vec<_> = outermost.locals.iter().collect();
        locals.sort();
        for (name, v) in locals {
            line("local", name, &format!("{v:?}"));
        }
    }
    let mut scalars: Vec<_> = interp.scalars.iter().collect();
    scalars.sort_by_key(|(name, _)| name.as_str());
    for (name, v) in scalars {
        line("scalar", name, &value(v));
    }
    for (name, m) in &interp.matrices {
        line("matrix", name, &format!("{m:?}"));
    }
    for (class, stored) in [("r", &interp.results), ("e", &interp.estimates), ("s", &interp.sreturns)] {
        line(class, "()", &format!("{stored:?}"));
    }
    for (name, held) in &interp.held {
        line("held", name, &format!("{held:?}"));
    }
    let mut names: Vec<_> = interp.programs.keys().map(|n| ("program", n.as_str())).collect();
    names.extend(interp.files.keys().map(|n| ("file", n.as_str())));
    names.sort_unstable();
    for (what, name) in names {
        line(what, name, "");
    }
    for log in interp.out.logs() {
        line("log", &log.name, &log.path);
    }
    let folder = std::env::current_dir().map(|d| d.display().to_string()).unwrap_or_default();
    line("folder", "", &folder);
    line("random", "", &format!("{:016x}", interp.rng.get()));
    line("_rc", "", &interp.rc.to_string());
    let set = &interp.set;
    line("set", "", &format!("{} {} {} {} {}", set.rmsg, set.varabbrev, set.kind, set.level, set.trace));
    line("set", "processors", &set.processors.to_string());
    line("set", "linesize", &interp.out.linesize.to_string());
    line("timers", "", &interp.timers.len().to_string());
    line("data", "", &format!("{:?}", interp.data));
    text
}

/// Writes it to a file. A path that cannot be written is said on the terminal.
pub(crate) fn write(interp: &Interp, path: &std::path::Path) {
    if let Err(error) = std::fs::write(path, describe(interp)) {
        eprintln!("the stand-in could not write its state to {}: {error}", path.display());
    }
}
