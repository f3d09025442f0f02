//! `set`, `clear`, `program drop` and other switches.

use crate::expr::format::with_commas;
use crate::interp::{Interp, Outcome, Stop};
use crate::macros::expand;
use crate::source::Delimiter;
use crate::{exec, text};

/// Settings that exist and change nothing here.
const ACCEPTED: &[&str] = &[
    "more",
    "scheme",
    "graphics",
    "matsize",
    "maxvar",
    "tracedepth",
    "logtype",
    "dp",
    "pagesize",
    "emptycells",
    "cformat",
    "pformat",
    "sformat",
    "niceness",
    "max_memory",
    "min_memory",
    "rng",
    "rngstream",
    "sortseed",
    "showbaselevels",
    "iterlog",
    "segmentsize",
    "adosize",
    "notifyuser",
    "output",
];

/// `set name value`.
pub(crate) fn set(interp: &mut Interp, s: &str) -> Outcome {
    let (name, rest) = text::word(s);
    let (value, _) = text::split_options(rest);
    let on = || match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(Stop::syntax()),
    };
    match name {
        "obs" => obs(interp, value),
        "seed" => {
            let x = interp.eval_number(value)?;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // any number makes a seed
            interp.seed(x as u64);
            Ok(())
        }
        "linesize" | "li" => {
            let width = value.parse().ok().filter(|n| (40..=255).contains(n));
            interp.out.linesize = width.ok_or_else(|| Stop::new(198, "linesize must be between 40 and 255"))?;
            Ok(())
        }
        "rmsg" => {
            interp.set.rmsg = on()?;
            Ok(())
        }
        "varabbrev" => {
            interp.set.varabbrev = on()?;
            Ok(())
        }
        "trace" => {
            interp.set.trace = on()?;
            Ok(())
        }
        "level" => {
            let level = value.parse().ok().filter(|l| (10.0..=99.99).contains(l));
            interp.set.level = level.ok_or_else(Stop::syntax)?;
            Ok(())
        }
        "processors" => {
            // In range, and whole.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let wanted = Some(interp.eval_number(value)?).filter(|n| *n >= 1.0 && *n < 1e6).map(|n| n as u32);
            interp.set.processors = wanted.ok_or_else(Stop::syntax)?.min(interp.faults.cores);
            Ok(())
        }
        "type" => {
            if !matches!(value, "byte" | "int" | "long" | "float" | "double") {
                return Err(Stop::syntax());
            }
            value.clone_into(&mut interp.set.kind);
            Ok(())
        }
        _ if ACCEPTED.contains(&name) => Ok(()),
        _ => Err(Stop::new(198, format!("set {name} not recognized").replace("set  ", "set "))),
    }
}

fn obs(interp: &mut Interp, value: &str) -> Outcome {
    let wanted = interp.eval_number(value)?;
    let old = interp.data.nobs;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // range checked by the filter
    let n = Some(wanted).filter(|x| (0.0..=20_000_000.0).contains(x)).map(|x| x as usize);
    let n = n.ok_or_else(Stop::syntax)?;
    if n < old {
        let all = with_commas(&old.to_string());
        return Err(Stop::new(198, format!("Number of observations (_N) is {all}; it cannot be decreased.")));
    }
    interp.data.grow(n);
    let show = |n: usize| with_commas(&n.to_string());
    interp.out.println(&format!("Number of observations (_N) was {}, now {}.", show(old), show(n)));
    Ok(())
}

/// `clear`, `clear all`, and the parts.
pub(crate) fn clear(interp: &mut Interp, s: &str) -> Outcome {
    let what = s.trim();
    if matches!(what, "" | "all" | "*") {
        interp.data = crate::data::Table::default();
    }
    if matches!(what, "all" | "*" | "programs" | "ado") {
        interp.programs.clear();
    }
    if matches!(what, "all" | "*") {
        interp.scalars.clear();
        interp.timers.clear();
    }
    if matches!(what, "all" | "*" | "results") {
        interp.results.clear();
        interp.estimates.clear();
        interp.sreturns.clear();
    }
    if matches!(what, "all" | "*" | "matrix") {
        interp.matrices.clear();
    }
    if matches!(what, "" | "all" | "*" | "programs" | "ado" | "results" | "matrix" | "mata" | "frames" | "collect") {
        return Ok(());
    }
    Err(Stop::syntax())
}

/// `version #` and `version #: command`.
pub(crate) fn version(interp: &mut Interp, s: &str) -> Outcome {
    if let Some((_, command)) = s.split_once(':') {
        return exec::command(interp, command.trim());
    }
    let (number, _) = text::split_options(s);
    if number.is_empty() {
        interp.out.println(&format!("version {}", crate::banner::VERSION));
        return Ok(());
    }
    match number.parse::<f64>() {
        Ok(v) if v > crate::banner::VERSION + 1.9 => {
            let have = crate::banner::VERSION;
            Err(Stop::new(
                9,
                format!("this is version {have:.1} of the stand-in; it cannot run version {number} programs"),
            ))
        }
        Ok(_) => Ok(()),
        Err(_) => Err(Stop::syntax()),
    }
}

/// `program drop|list|dir`.
pub(crate) fn program(interp: &mut Interp, s: &str) -> Outcome {
    let (verb, rest) = text::command_word(s);
    match verb {
        "drop" => {
            for name in rest.split_whitespace() {
                if name == "_all" {
                    interp.programs.clear();
                } else if interp.programs.remove(name).is_none() {
                    return Err(Stop::new(111, format!("program {name} not found")));
                }
            }
            Ok(())
        }
        "dir" | "list" => {
            let mut names: Vec<&String> = interp.programs.keys().collect();
            names.sort();
            let text: String = names.iter().map(|n| format!("         {n}\n")).collect();
            interp.out.print(&text);
            Ok(())
        }
        _ => Err(Stop::syntax()),
    }
}

/// Commands that are accepted and do nothing.
pub(crate) fn nothing(_: &mut Interp, _: &str) -> Outcome {
    Ok(())
}

/// `#delimit ;` and `#delimit cr`.
pub(crate) fn delimit(interp: &mut Interp, s: &str) -> Outcome {
    let s = expand(interp, s)?;
    let delimiter = match s.trim().trim_end_matches(';').trim() {
        "" => Delimiter::Semicolon,
        "cr" => Delimiter::LineEnd,
        _ => return Err(Stop::syntax()),
    };
    interp.delimit = Some(delimiter);
    interp.out.println(match delimiter {
        Delimiter::Semicolon => "delimiter now ;",
        Delimiter::LineEnd => "delimiter now cr",
    });
    Ok(())
}
