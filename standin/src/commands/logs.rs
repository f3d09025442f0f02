//! Logs that a do-file opens itself. The batch log is none of their business and survives `log close _all`.

use std::fs::OpenOptions;
use std::path::Path;

use crate::clock;
use crate::interp::{Interp, Outcome, Stop};
use crate::out::LogSwitch;
use crate::text;

/// Width of the rules around the blocks.
const RULE: usize = 79;

/// `log using|close|on|off|query`.
pub(crate) fn log(interp: &mut Interp, s: &str) -> Outcome {
    let (verb, rest) = text::command_word(s);
    let rest = rest.trim();
    let unnamed = |r: &str| if r.is_empty() { "<unnamed>".to_owned() } else { r.to_owned() };
    match verb {
        "using" => using(interp, rest),
        "close" if rest == "_all" => {
            for name in interp.out.logs().iter().map(|l| l.name.clone()).collect::<Vec<_>>() {
                close(interp, &name);
            }
            Ok(())
        }
        "close" => {
            let name = unnamed(rest);
            if !interp.out.logs().iter().any(|l| l.name == name) {
                return Err(none_open(rest));
            }
            close(interp, &name);
            Ok(())
        }
        "off" | "on" => {
            let switch = if verb == "on" { LogSwitch::On } else { LogSwitch::Off };
            if interp.out.switch_log(&unnamed(rest), switch) { Ok(()) } else { Err(none_open(rest)) }
        }
        "" | "query" => {
            let any = interp
                .out
                .logs()
                .iter()
                .map(|l| format!("      name:  {}\n       log:  {}\n", l.name, l.path))
                .collect::<String>();
            interp.out.print(if any.is_empty() { "  (log is off)\n" } else { &any });
            Ok(())
        }
        _ => Err(Stop::syntax()),
    }
}

fn none_open(name: &str) -> Stop {
    if name.is_empty() { Stop::new(606, "no log file open") } else { Stop::new(111, format!("log {name} not found")) }
}

fn using(interp: &mut Interp, s: &str) -> Outcome {
    let (main, opts) = text::split_options(s);
    let (path, _) = text::token(main);
    let opts = text::options(opts);
    let has = |full, min| opts.iter().any(|(o, _)| text::abbreviates(o, full, min));
    let name =
        opts.iter().find(|(o, _)| o == "name").and_then(|(_, a)| a.clone()).unwrap_or_else(|| "<unnamed>".into());
    if interp.out.logs().iter().any(|l| l.name == name) {
        return Err(Stop::new(604, "log file already open"));
    }
    let base = path.rsplit('/').next().unwrap_or(&path);
    let path = match base.contains('.') {
        true => path.clone(),
        false if has("text", 1) => format!("{path}.log"),
        false => format!("{path}.smcl"),
    };
    let kind = if has("text", 1) || path.ends_with(".log") || path.ends_with(".txt") { "text" } else { "smcl" };
    let exists = Path::new(&path).exists();
    let (replace, append) = (has("replace", 3), has("append", 1));
    if exists && !replace && !append {
        return Err(Stop::new(602, format!("file {path} already exists")));
    }
    let mut options = OpenOptions::new();
    let options = if append { options.append(true) } else { options.write(true).truncate(true) };
    let file =
        options.create(true).open(&path).map_err(|_| Stop::new(603, format!("file {path} could not be opened")))?;
    if !exists && replace {
        interp.out.note(&format!("(file {path} not found)"));
    }
    let full = std::path::absolute(&path).map_or(path, |p| p.display().to_string());
    interp.out.open_log(name.clone(), full.clone(), file);
    let stamp = stamp();
    let text = format!(
        "{}\n      name:  {name}\n       log:  {full}\n  log type:  {kind}\n opened on:  {stamp}\n",
        "-".repeat(RULE)
    );
    interp.out.print(&text);
    Ok(())
}

fn close(interp: &mut Interp, name: &str) {
    let Some(log) = interp.out.logs().iter().find(|l| l.name == name) else { return };
    let kind = if log.path.ends_with(".smcl") { "smcl" } else { "text" };
    let text = format!(
        "      name:  {name}\n       log:  {}\n  log type:  {kind}\n closed on:  {}\n{}\n",
        log.path,
        stamp(),
        "-".repeat(RULE)
    );
    interp.out.print(&text);
    interp.out.close_log(name);
}

fn stamp() -> String {
    let now = clock::unix_seconds();
    format!("{}, {}", clock::date_text(now), clock::time_text(now))
}
