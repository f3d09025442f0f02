//! Logs that a do-file opens itself, as text or SMCL. The batch log is none of their business and survives
//! `log close _all`.

use std::fs::OpenOptions;
use std::path::Path;

use crate::clock;
use crate::interp::{Interp, Outcome, Stop};
use crate::out::{Level, LogSwitch, Style};
use crate::text;

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
        "close" | "off" | "on" => {
            let name = unnamed(rest);
            if !interp.out.logs().iter().any(|l| l.name == name) {
                return Err(none_open(rest));
            }
            match verb {
                "close" => close(interp, &name),
                "off" => {
                    block(interp, &name, " paused on", &stamp());
                    rule(interp);
                    interp.out.switch_log(&name, LogSwitch::Off);
                }
                _ => {
                    interp.out.switch_log(&name, LogSwitch::On);
                    rule(interp);
                    block(interp, &name, "resumed on", &stamp());
                }
            }
            Ok(())
        }
        "" | "query" => {
            let wanted = |name: &str| rest.is_empty() || rest == "_all" || rest == name;
            let open: Vec<(String, String)> = interp
                .out
                .logs()
                .iter()
                .filter(|l| wanted(&l.name))
                .map(|l| (l.name.clone(), l.opened.clone()))
                .collect();
            if open.is_empty() {
                interp.out.print("  (log is off)\n");
            }
            for (name, opened) in open {
                block(interp, &name, " opened on", &opened);
            }
            Ok(())
        }
        _ => Err(Stop::syntax()),
    }
}

fn none_open(name: &str) -> Stop {
    if name.is_empty() { Stop::new(606, "no log file open") } else { Stop::new(111, format!("log {name} not found")) }
}

/// `log using file [, text|smcl replace|append name(name)]`.
fn using(interp: &mut Interp, s: &str) -> Outcome {
    let (main, opts) = text::split_options(s);
    let (path, _) = text::token(main);
    if path.is_empty() {
        return Err(Stop::new(198, "invalid file specification"));
    }
    let (mut text_wanted, mut smcl_wanted, mut replace, mut append) = (false, false, false, false);
    let mut name = "<unnamed>".to_owned();
    for (option, value) in text::options(opts) {
        let is = |full, min| text::abbreviates(&option, full, min);
        match value {
            None if is("text", 1) => text_wanted = true,
            None if is("smcl", 1) => smcl_wanted = true,
            None if is("replace", 3) => replace = true,
            None if is("append", 1) => append = true,
            None if option == "nomsg" => {}
            Some(v) if option == "name" && text::is_name(v.trim()) => v.trim().clone_into(&mut name),
            Some(v) if option == "name" => return Err(Stop::new(198, format!("{} invalid name", v.trim()))),
            _ => return Err(Stop::new(198, format!("option {option} not allowed"))),
        }
    }
    if text_wanted && smcl_wanted || replace && append {
        return Err(Stop::new(198, "options text and smcl, or replace and append, may not be combined"));
    }
    if interp.out.logs().iter().any(|l| l.name == name) {
        return Err(Stop::new(604, "log file already open"));
    }
    let base = path.rsplit('/').next().unwrap_or(&path);
    let path = match base.contains('.') {
        true => path.clone(),
        false if text_wanted => format!("{path}.log"),
        false => format!("{path}.smcl"),
    };
    // Without an option only the extension .log means text.
    let smcl = smcl_wanted || !text_wanted && !path.ends_with(".log");
    let exists = Path::new(&path).exists();
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
    let stamp = stamp();
    interp.out.open_log(name.clone(), full, stamp.clone(), smcl, file);
    rule(interp);
    block(interp, &name, " opened on", &stamp);
    Ok(())
}

fn close(interp: &mut Interp, name: &str) {
    block(interp, name, " closed on", &stamp());
    rule(interp);
    interp.out.close_log(name);
}

/// The rule above or below a block.
fn rule(interp: &mut Interp) {
    if interp.out.level == Level::Noisy {
        interp.out.rule();
    }
}

/// What a log is, and since when.
fn block(interp: &mut Interp, name: &str, event: &str, when: &str) {
    let Some(log) = interp.out.logs().iter().find(|l| l.name == name) else { return };
    let kind = if log.smcl { "smcl" } else { "text" };
    let lines = [
        ("      name:  ".to_owned(), name.to_owned()),
        ("       log:  ".to_owned(), log.path.clone()),
        ("  log type:  ".to_owned(), kind.to_owned()),
        (format!("{event}:  "), when.to_owned()),
    ];
    if interp.out.level != Level::Noisy {
        return;
    }
    for (label, value) in lines {
        interp.out.put(&label);
        interp.out.put_as(Style::Result, &format!("{value}\n"));
    }
}

fn stamp() -> String {
    let now = clock::unix_seconds();
    format!("{}, {}", clock::date_text(now), clock::time_text(now))
}
