//! Which lines of a loop can have printed a message, and which of them the output before it points to.
//!
//! Some messages only certain commands print. Where several lines of a loop are such commands, the output tells more: a
//! file that was saved shows how far the loop had come, a note or a table of coefficients names the variables of the
//! command that failed. Every rule leaves out only lines that cannot be meant; where two are left, neither is told.

use std::sync::LazyLock;

use regex::Regex;

use super::{begins, has, is_part, may_have};
use crate::stata::commands::{first_word, is_captured, is_comment, without_prefixes};

/// Which of several lines that could have failed is meant.
#[derive(Clone, Copy, PartialEq)]
enum Which {
    First,
    /// The one that the output points to.
    Pointed,
}

/// Who prints a message.
enum Printers {
    /// These commands.
    These(&'static str),
    /// Any that is not known to print none such.
    AllBut(&'static str),
}

const MAXIMIZERS: &str = "\
    ml stcox stcrreg streg stpm2 stpm3 mixed gsem sem meglm melogit mepoisson mestreg nbreg poisson logit \
    logistic probit cloglog hetprobit clogit mlogit ologit oprobit glm tobit heckman xtlogit xtprobit \
    xtpoisson xtmixed xtnbreg zip zinb arima mi";

/// Commands that end without a word, or with other words, where there is no observation.
const NEED_NO_OBSERVATIONS: &str = "\
    use import insheet infile append merge joinby sysuse webuse save saveold export outsheet erase cd mkdir \
    file copy confirm generate gen g replace egen drop keep rename ren label la lab format order sort gsort \
    recode encode decode destring tostring reshape collapse preserve restore tempfile tempvar tempname local \
    loc global scalar matrix mat mata display di dis summarize sum su summ tabulate tab ta tab1 tab2 count \
    list l describe desc d codebook assert estimates est esttab estout foreach forvalues forval forv while if \
    else continue set version capture timer sleep graph log note notes char macro end program args syntax \
    return exit clear xtset tsset";

/// Messages that only certain commands print (Stata's manuals and `search rc`).
const PRINTED_BY: [(&str, Which, Printers); 7] = [
    ("too many values", Which::Pointed, Printers::These("tab tabulate tab1 tab2 ta")),
    // What does not vary fails the first that is fitted to it.
    ("outcome does not vary", Which::First, Printers::These("logit logistic probit cloglog hetprobit blogit")),
    ("initial values not feasible", Which::Pointed, Printers::These(MAXIMIZERS)),
    ("flat region resulting in a missing likelihood", Which::Pointed, Printers::These(MAXIMIZERS)),
    ("convergence not achieved", Which::Pointed, Printers::These(MAXIMIZERS)),
    ("no observations", Which::Pointed, Printers::AllBut(NEED_NO_OBSERVATIONS)),
    ("insufficient observations", Which::Pointed, Printers::AllBut(NEED_NO_OBSERVATIONS)),
];

/// Headings over what certain commands print while they run.
const HEADINGS: [(&str, &[&str]); 4] = [
    ("Imputations (", &["mi estimate", "mi estim", "mi est"]),
    ("Bootstrap replications (", &["bootstrap", "bs"]),
    ("Jackknife replications (", &["jackknife", "jknife"]),
    ("Simulations (", &["simulate", "simul"]),
];

/// Commands that say of a name that the model has it not.
const AFTER_A_MODEL: &str = "estat lincom nlcom test testparm testnl margins predict";

/// Whether a line can have printed a message.
type MayPrint<'a> = Box<dyn Fn(&str) -> bool + 'a>;

static SAVED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^\(?file (.+?) (?:saved|written in|written to)").ok());
static NOTED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^note: (\S+) (?:omitted|dropped|!= 0 predicts)").ok());

/// The line of `body` that a message of a kind only some commands print points to. `None`: it is of no such kind;
/// `Some(None)`: it is, and several lines could have printed it, or none.
pub(super) fn printed_by(body: &[String], message: &str, output: &[String]) -> Option<Option<String>> {
    let (which, may_print): (Which, MayPrint<'_>) = match message.split_once(" not found in model") {
        Some((name, _)) => (
            Which::Pointed,
            Box::new(move |line| begins_with_one(line, AFTER_A_MODEL) && (has(line, name) || may_have(line, name))),
        ),
        None => {
            let (_, which, printers) = PRINTED_BY.iter().find(|(text, ..)| message.starts_with(text))?;
            (
                *which,
                match printers {
                    Printers::These(commands) => Box::new(|line| begins_with_one(line, commands)),
                    Printers::AllBut(commands) => Box::new(|line| !is_brace(line) && !begins_with_one(line, commands)),
                },
            )
        }
    };
    let candidates: Vec<usize> = (0..body.len())
        .filter(|&at| !is_comment(&body[at]) && !is_captured(&body[at]) && may_print(&body[at]))
        .collect();
    let line = match which {
        Which::First => candidates.first().copied(),
        Which::Pointed => only(body, &candidates)
            .or_else(|| after_what_was_saved(body, &candidates, output))
            .or_else(|| only(body, &with_the_names(body, &candidates, message, output))),
    };
    Some(line.map(|at| body[at].clone()))
}

/// The line of `body` that was printing below a heading with which the output ends.
pub(super) fn printing(body: &[String], output: &[String]) -> Option<String> {
    let heading = output.iter().rposition(|line| !line.trim().is_empty())?;
    let (_, commands) = HEADINGS.iter().find(|(text, _)| output[heading].starts_with(text))?;
    let may_print = |line: &str| commands.iter().any(|command| begins(line, command));
    let candidates: Vec<usize> = (0..body.len()).filter(|&at| may_print(&body[at])).collect();
    let line = only(body, &candidates).or_else(|| after_what_was_saved(body, &candidates, &output[..heading]));
    line.map(|at| body[at].clone())
}

/// Whether a line's command is one of these, which stand with blanks between.
fn begins_with_one(line: &str, commands: &str) -> bool {
    commands.split(' ').any(|command| begins(line, command))
}

fn is_brace(line: &str) -> bool {
    line.trim().bytes().all(|b| matches!(b, b'{' | b'}'))
}

/// The one of these lines, or the first if all say the same.
fn only(body: &[String], lines: &[usize]) -> Option<usize> {
    let (first, rest) = lines.split_first()?;
    rest.iter().all(|at| body[*at] == body[*first]).then_some(*first)
}

/// The first of these lines behind the one that saved the file which was saved last, if nothing lies between them that
/// could have led elsewhere, and if it would have printed results had it not failed.
fn after_what_was_saved(body: &[String], candidates: &[usize], output: &[String]) -> Option<usize> {
    let (said, name) = output.iter().enumerate().rev().find_map(|(at, line)| {
        let name = SAVED.as_ref()?.captures(line)?.get(1)?.as_str();
        Some((at, name))
    })?;
    if output[said + 1..].iter().any(|line| is_results(line)) {
        return None;
    }
    let saving = |line: &str| saves(line, name);
    let mut savers = (0..body.len()).filter(|&at| !is_comment(&body[at]) && saving(&body[at]));
    let saver = savers.next().filter(|_| savers.next().is_none())?;
    let next = *candidates.iter().find(|at| **at > saver)?;
    let leads_elsewhere = |line: &String| {
        let line = line.trim();
        line.starts_with('}')
            || line.ends_with('{')
            || matches!(first_word(line), "if" | "else" | "continue" | "while" | "foreach")
    };
    let is_quiet = without_prefixes(&body[next]).len() < body[next].trim().len();
    let between = body[saver + 1..=next].iter().filter(|line| !is_comment(line));
    (!is_quiet && !between.into_iter().any(leads_elsewhere)).then_some(next)
}

/// Whether a line of a body writes the file of this name.
fn saves(line: &str, name: &str) -> bool {
    let words = without_prefixes(line);
    let estimates = begins(words, "estimates") || begins(words, "est");
    let writes = ["save", "saving", "export", "outsheet", "saveold"].iter().any(|word| has(line, word));
    let name = name.trim_matches('"');
    if !writes || estimates != name.ends_with(".ster") {
        return false;
    }
    let stem = [".dta", ".ster"].iter().find_map(|ending| name.strip_suffix(ending));
    [Some(name), stem].into_iter().flatten().any(|name| has(line, name) || may_have(line, name))
}

/// Those of the lines that may hold all names which the failing command printed before its message.
fn with_the_names(body: &[String], candidates: &[usize], message: &str, output: &[String]) -> Vec<usize> {
    let results = output.iter().rposition(|line| is_results(line)).map_or(0, |at| at + 1);
    let noted = output[results..].iter().filter_map(|line| Some(NOTED.as_ref()?.captures(line)?.get(1)?.as_str()));
    let mut names: Vec<&str> = noted.collect();
    // It says so once before its own table, and again where it gives up.
    let heading = message.lines().next().unwrap_or(message);
    let said_before = output.iter().rev().skip_while(|line| line.trim().is_empty() || *line == heading);
    let above: Vec<&String> = said_before.collect();
    if let Some(at) = above.iter().position(|line| *line == heading) {
        names.extend(above[..at].iter().filter_map(|line| row_name(line)));
    }
    names.retain(|name| candidates.iter().any(|at| has(&body[*at], name)));
    let may_be = |at: &usize| {
        let line = &body[*at];
        line.contains(['`', '$']) || names.iter().all(|name| has(line, name))
    };
    if names.is_empty() { candidates.to_vec() } else { candidates.iter().copied().filter(may_be).collect() }
}

/// A line that closes or divides a table.
fn is_results(line: &str) -> bool {
    line.contains("--------") || line.contains("Number of obs")
}

/// The variable that a row of a table of coefficients is about; abbreviated ones (`any_high_r~n`) tell nothing.
fn row_name(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once('|')?;
    let name = name.trim();
    (!name.is_empty() && name.chars().all(is_part) && rest.contains(|c: char| c.is_ascii_digit())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &[&str], output: &[&str], message: &str, expected: Option<&str>) {
        let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let found = printed_by(&owned(body), message, &owned(output)).flatten();
        assert_eq!(found.as_deref(), expected, "{message}");
    }

    #[test]
    fn what_can_print_a_message() {
        let body = ["use x", "gen y = 1", "regress y x", "estimates save m", "}"];
        check(&body, &[], "no observations", Some("regress y x"));
        check(&["regress y x", "rreg y x"], &[], "no observations", None);
        check(&["logit y x", "logit y z"], &[], "outcome does not vary; remember:", Some("logit y x"));
        check(&["stcox x", "di 1", "stcox x"], &[], "flat region resulting in a missing likelihood", Some("stcox x"));
        check(&["stcox x", "stcox z"], &[], "flat region resulting in a missing likelihood", None);
        check(
            &["estat a, plot(`v'_flag)", "stset t, f(`v'_flag)"],
            &[],
            "z_flag not found in model",
            Some("estat a, plot(`v'_flag)"),
        );
        assert!(printed_by(&[], "type mismatch", &[]).is_none());
    }

    #[test]
    fn what_was_saved_shows_how_far_it_came() {
        let body = ["stcox x", "save out_`v'_1, replace", "stcox z", "save out_`v'_2, replace", "stcox w"];
        let flat = "flat region resulting in a missing likelihood";
        check(&body, &["file out_a_1.dta saved"], flat, Some("stcox z"));
        check(&body, &["file out_a_1.dta saved", "file out_a_2.dta saved", "id: p"], flat, Some("stcox w"));
        // Results after it: the one behind it did not fail, or printed them first.
        check(&body, &["file out_a_1.dta saved", "-----------+------"], flat, None);
        check(&body, &["file other.dta saved"], flat, None);
        let quiet = ["save out_`v'_1", "qui stcox z", "stcox w"];
        check(&quiet, &["file out_a_1.dta saved"], flat, None);
        let guarded = ["save out_`v'_1", "if _rc == 0 {", "stcox z", "}", "stcox w"];
        check(&guarded, &["file out_a_1.dta saved"], flat, None);
        let twice = ["save out_`v'_1", "stcox z", "save out_`v'_1", "stcox w"];
        check(&twice, &["file out_a_1.dta saved"], flat, None);
    }

    #[test]
    fn a_heading_shows_what_was_printing() {
        let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let check = |body: &[&str], output: &[&str], expected: Option<&str>| {
            assert_eq!(printing(&owned(body), &owned(output)).as_deref(), expected, "{body:?}");
        };
        let body = ["mi estimate, dots: stcox x", "save out_`v', replace", "mi estimate, dots: stcox y"];
        check(&body, &["file out_a.dta saved", "", "Imputations (10):", ""], Some(body[2]));
        check(&body, &["Imputations (10):"], None);
        check(&body[..2], &["Imputations (10):"], Some(body[0]));
        check(&body, &["Imputations (10):", "x not found"], None);
    }

    #[test]
    fn what_was_named_was_in_the_command() {
        let body = ["stpm2 x long_name, df(3)", "stpm2 x, df(3)"];
        let (not, never) = ("initial values not feasible", "convergence not achieved");
        check(&body, &["note: long_name omitted because of collinearity"], not, Some(body[0]));
        check(&body, &["note: x omitted because of collinearity"], not, None);
        check(&body, &["note: long_name omitted because of collinearity", "--------------"], not, None);
        let table = ["x |  1.0", "long_name |  2.0", "----------"];
        check(&body, &[&[never][..], &table, &[never]].concat(), never, Some(body[0]));
        check(&body, &[&table[..], &[never]].concat(), never, None);
        check(&["stpm2 x `more'", "stpm2 x y"], &["note: y omitted because of collinearity"], not, None);
    }
}
