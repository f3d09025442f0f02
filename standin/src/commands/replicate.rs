//! What `simulate` and `bootstrap` share: the prefix and its expressions, the dots, and the loop.

use crate::exec;
use crate::expr::format::with_commas;
use crate::expr::is_missing;
use crate::interp::{Interp, Outcome, Stop};
use crate::out::Level;
use crate::text;

/// Symbols on a line of dots up to Stata 17.
const PER_LINE: u32 = 50;

/// A statistic to be collected.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wanted {
    /// `name = exp`; the name may be missing.
    Exp(Option<String>, String),
    /// `_b`: all coefficients.
    Coefficients,
    /// `_se`: their standard errors.
    Errors,
}

/// A prefix, taken apart.
pub(crate) struct Prefix {
    /// What to collect, as it was given.
    pub(crate) wanted: Vec<Wanted>,
    /// The command to repeat.
    pub(crate) command: String,
    /// `reps(#)`.
    pub(crate) reps: Option<u32>,
    /// Repetitions for each dot; 0 = no dots.
    pub(crate) dots: u32,
    /// `noisily`.
    pub(crate) noisy: bool,
    /// `nolegend`.
    pub(crate) legend: bool,
    /// `saving(file, replace)`.
    pub(crate) saving: Option<String>,
    /// `level(#)`.
    pub(crate) level: f64,
    /// `size(#)`.
    pub(crate) size: Option<usize>,
}

/// Reads `explist, options: command` and sets the seed.
///
/// # Errors
/// `invalid syntax`; `option … not allowed` for one that is not in `allowed`.
pub(crate) fn prefix(interp: &mut Interp, s: &str, allowed: &[&str]) -> Outcome<Prefix> {
    let at = text::find_top(s, |_, c| c == ':').ok_or_else(Stop::syntax)?;
    let (head, command) = (&s[..at], s[at + 1..].trim());
    if command.is_empty() {
        return Err(Stop::syntax());
    }
    let (list, options) = text::split_options(head);
    let mut found = Prefix {
        wanted: expressions(list)?,
        command: command.to_owned(),
        reps: None,
        dots: 1,
        noisy: false,
        legend: true,
        saving: None,
        level: interp.set.level,
        size: None,
    };
    for (option, value) in text::options(options) {
        let whole = |v: &str, least: f64| {
            let x = interp.eval_number(v)?;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked
            let n = (x >= least && x <= 1e9 && x.fract() == 0.0).then_some(x as u32);
            n.ok_or_else(|| Stop::new(198, format!("option {option}() invalid")))
        };
        let is = |full: &str, min: usize| text::abbreviates(&option, full, min) && allowed.contains(&full);
        match value.as_deref() {
            Some(v) if is("reps", 1) => found.reps = Some(whole(v, 1.0)?),
            Some(v) if is("dots", 4) => found.dots = whole(v, 0.0)?,
            Some(v) if is("size", 2) => found.size = Some(whole(v, 1.0)? as usize),
            Some(v) if is("saving", 2) => found.saving = Some(v.trim().to_owned()),
            Some(v) if is("seed", 4) => super::settings::set(interp, &format!("seed {v}"))?,
            Some(v) if is("level", 1) => {
                found.level = Some(interp.eval_number(v)?)
                    .filter(|l| (10.0..=99.99).contains(l))
                    .ok_or_else(|| Stop::new(198, "level() must be between 10 and 99.99 inclusive"))?;
            }
            None if is("nodots", 4) => found.dots = 0,
            None if is("noisily", 1) => found.noisy = true,
            None if is("nolegend", 5) => found.legend = false,
            _ => return Err(Stop::new(198, format!("option {option} not allowed"))),
        }
    }
    Ok(found)
}

/// `a=r(x) (r(y)/2) _b`.
fn expressions(list: &str) -> Outcome<Vec<Wanted>> {
    let mut out = Vec::new();
    let mut rest = list.trim();
    while !rest.is_empty() {
        let (word, after) = text::command_word(rest);
        let assigned = after.trim_start().strip_prefix('=').filter(|r| !r.starts_with('='));
        let name = assigned.filter(|_| text::is_name(word)).map(|_| word.to_owned());
        let from = assigned.filter(|_| name.is_some()).unwrap_or(rest).trim_start();
        let end = text::find_top(from, |_, c| c.is_whitespace()).unwrap_or(from.len());
        let exp = from[..end].trim();
        rest = from[end..].trim_start();
        if exp.is_empty() {
            return Err(Stop::syntax());
        }
        out.push(match exp {
            "_b" | "_b[]" if name.is_none() => Wanted::Coefficients,
            "_se" | "_se[]" if name.is_none() => Wanted::Errors,
            _ => Wanted::Exp(name, exp.to_owned()),
        });
    }
    Ok(out)
}

/// The commands' name.
pub(crate) fn first_word(command: &str) -> &str {
    text::command_word(command).0
}

/// Runs the command once, so that an error shows before anything is repeated. Returns whether it estimated something,
/// which is in `e()` then; otherwise what was there is there again.
///
/// # Errors
/// The command's, after a line that says what was tried.
pub(crate) fn first(interp: &mut Interp, by: &str, prefix: &Prefix) -> Outcome<bool> {
    let before = std::mem::take(&mut interp.estimates);
    interp.results.clear();
    let outcome = tried(interp, by, prefix);
    let estimates = interp.estimates.matrix("b").is_some();
    if !estimates {
        interp.estimates = before;
    }
    outcome.map(|()| estimates)
}

fn tried(interp: &mut Interp, by: &str, prefix: &Prefix) -> Outcome {
    let outcome = at_level(interp, if prefix.noisy { Level::Noisy } else { Level::Quiet }, &prefix.command);
    match exec::announce(interp, outcome) {
        Err(Stop::Error { rc, .. }) if rc != 1 => {
            let name = first_word(&prefix.command);
            Err(Stop::new(rc, format!("an error occurred when {by} executed {name}")))
        }
        other => other,
    }
}

fn at_level(interp: &mut Interp, level: Level, command: &str) -> Outcome {
    let before = interp.out.level;
    interp.out.level = level.min(before);
    let outcome = exec::command(interp, command);
    interp.out.level = before;
    match outcome {
        Err(Stop::Exit) => Ok(()),
        other => other,
    }
}

/// The values of expressions; `None` if one cannot be had or is missing.
pub(crate) fn values(interp: &Interp, exps: &[String]) -> Option<Vec<f64>> {
    exps.iter().map(|e| interp.eval_number(e).ok().filter(|x| !is_missing(*x))).collect()
}

/// Repeats the command and collects a row from each time that `collect` gives one; with dots.
///
/// # Errors
/// A break, and `exit, STATA`. Any other error of the command is one failed repetition.
pub(crate) fn repeat(
    interp: &mut Interp,
    title: &str,
    reps: u32,
    prefix: &Prefix,
    mut before: impl FnMut(&mut Interp),
    collect: impl Fn(&Interp) -> Option<Vec<f64>>,
) -> Outcome<Vec<Option<Vec<f64>>>> {
    let mut dots = Dots::start(interp, title, reps, prefix.dots);
    let level = if prefix.noisy { Level::Noisy } else { Level::Silent };
    let mut rows = Vec::new();
    for _ in 0..reps {
        before(interp);
        if interp.signals.take_break() {
            return Err(Stop::silent(1));
        }
        let row = match at_level(interp, level, &prefix.command) {
            Ok(()) => collect(interp),
            Err(Stop::Error { rc, .. }) if rc != 1 => None,
            Err(stop) => return Err(stop),
        };
        dots.mark(interp, row.is_some());
        rows.push(row);
    }
    dots.finish(interp);
    Ok(rows)
}

/// The dots of one run of repetitions.
struct Dots {
    every: u32,
    /// From Stata 18 on: one logical line in which numbers stand in the tenth places.
    numbered: bool,
    done: u32,
    failed: bool,
}

impl Dots {
    fn start(interp: &mut Interp, title: &str, reps: u32, every: u32) -> Self {
        let numbered = interp.faults.since(18.0);
        if every > 0 && numbered {
            interp.out.print(&format!("{title} ({}): ", with_commas(&reps.to_string())));
        } else if every > 0 {
            interp.out.println(&format!("{title} ({reps})\n----+--- 1 ---+--- 2 ---+--- 3 ---+--- 4 ---+--- 5 "));
        }
        Self { every, numbered, done: 0, failed: false }
    }

    fn mark(&mut self, interp: &mut Interp, ok: bool) {
        self.done += 1;
        self.failed |= !ok;
        if self.every == 0 || !self.done.is_multiple_of(self.every) {
            return;
        }
        let symbol = if self.failed { "x" } else { "." };
        let place = self.done / self.every;
        if self.numbered && place.is_multiple_of(10) && !self.failed {
            interp.out.print(&with_commas(&self.done.to_string()));
        } else {
            interp.out.print(symbol);
        }
        if !self.numbered && place.is_multiple_of(PER_LINE) {
            interp.out.println(&format!("{:>6}", self.done));
        }
        self.failed = false;
    }

    fn finish(&self, interp: &mut Interp) {
        if self.every > 0 && self.numbered {
            interp.out.println(" done");
        } else if self.every > 0 && !(self.done / self.every).is_multiple_of(PER_LINE) {
            interp.out.println("");
        }
    }
}

/// `Command: …` and one line for each expression, right-aligned at their colons.
pub(crate) fn legend(interp: &Interp, command: &str, named: &[(String, String)]) -> String {
    let (title, gap) = if interp.faults.since(17.0) { ("Command", " ") } else { ("command", "  ") };
    let longest = named.iter().map(|(n, _)| n.chars().count()).max().unwrap_or(0).min(16);
    let width = longest.max(13);
    let row = |name: &str, text: &str| {
        let lead = format!("{:>width$}:{gap}", super::table::abbreviate(name, width));
        hanging(&format!("{lead}{text}"), width + 1 + gap.len() + 4, interp.out.linesize)
    };
    let rows: String = named.iter().map(|(name, text)| row(name, text)).collect();
    format!("\n{}{rows}", row(title, command))
}

/// A paragraph whose following lines are indented, with its newline.
pub(crate) fn hanging(text: &str, indent: usize, width: usize) -> String {
    let mut lines = vec![String::new()];
    for (i, word) in text.split(' ').enumerate() {
        let room = lines.last().map_or(0, |l| l.chars().count());
        let Some(last) = lines.last_mut() else { continue };
        if i > 0 && room + 1 + word.chars().count() > width && !last.trim().is_empty() {
            lines.push(format!("{}{word}", " ".repeat(indent)));
            continue;
        }
        if i > 0 {
            last.push(' ');
        }
        last.push_str(word);
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_taken_apart() {
        let exp = |n: Option<&str>, e: &str| Wanted::Exp(n.map(str::to_owned), e.to_owned());
        let check = |list: &str, want: &[Wanted]| assert_eq!(expressions(list).unwrap(), want, "{list}");
        check("", &[]);
        check(
            "m=r(mean) s = (r(sd) / 2) r(N)",
            &[exp(Some("m"), "r(mean)"), exp(Some("s"), "(r(sd) / 2)"), exp(None, "r(N)")],
        );
        check("_b _se", &[Wanted::Coefficients, Wanted::Errors]);
        check("d=(_b[x]-_b[z])", &[exp(Some("d"), "(_b[x]-_b[z])")]);
    }

    #[test]
    fn long_commands_hang() {
        let text = format!("{:>13}:  psmatch2 {}", "command", "age educ black hisp married re74 re75 u74 ".repeat(2));
        let out = hanging(text.trim_end(), 20, 79);
        assert!(out.lines().all(|l| l.chars().count() <= 79));
        assert!(out.lines().skip(1).all(|l| l.starts_with(&" ".repeat(20))) && out.lines().count() == 2, "{out}");
    }
}
