//! `merge 1:1`, `m:1` and `1:m`, with the table of its result.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::append::{accommodate, alike, blank, fresh, limit};
use super::data::varlist;
use super::dta;
use crate::data::{Column, Table, Values};
use crate::expr::format::with_commas;
use crate::expr::functions::size;
use crate::expr::is_missing;
use crate::interp::{Interp, Outcome, Stop};
use crate::text;

/// A value of a key, in Stata's order: missing values after all numbers.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    /// A number.
    Num(f64),
    /// A string.
    Str(String),
}

impl Ord for Cell {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            // -0 is 0.
            (Self::Num(a), Self::Num(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
            (Self::Str(a), Self::Str(b)) => a.cmp(b),
            (Self::Num(_), Self::Str(_)) => Ordering::Less,
            (Self::Str(_), Self::Num(_)) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Cell {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Cell {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Cell {}

/// The observations of each key, in the keys' order. Without names each observation is its own key: `_n`.
pub(crate) fn groups(table: &Table, names: &[String]) -> BTreeMap<Vec<Cell>, Vec<usize>> {
    let columns: Vec<&Values> = names.iter().filter_map(|n| table.column(n)).map(|c| &c.values).collect();
    let mut out: BTreeMap<Vec<Cell>, Vec<usize>> = BTreeMap::new();
    for i in 0..table.nobs {
        let cell = |values: &&Values| match values {
            Values::Num(v) => Cell::Num(v[i]),
            Values::Str(v) => Cell::Str(v[i].clone()),
        };
        let key = if names.is_empty() { vec![Cell::Num(size(i))] } else { columns.iter().map(cell).collect() };
        out.entry(key).or_default().push(i);
    }
    out
}

/// Where an observation of the result comes from: the codes of `_merge`.
const CODES: [(&str, u8); 5] = [("master", 1), ("using", 2), ("match", 3), ("match_update", 4), ("match_conflict", 5)];

/// What the options ask for.
struct Options {
    keep: Vec<u8>,
    assert: Vec<u8>,
    generate: Option<String>,
    using: Option<String>,
    report: bool,
    force: bool,
    update: Update,
}

/// What becomes of variables that both have, in observations that match.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Update {
    /// The master's stay.
    No,
    /// The master's missing values are filled (`update`).
    Missing,
    /// All that the using data have are taken (`update replace`).
    All,
}

fn options(s: &str) -> Outcome<Options> {
    let all = vec![1, 2, 3, 4, 5];
    let (mut update, mut replace) = (false, false);
    let generate = Some("_merge".to_owned());
    let mut out = Options {
        keep: all.clone(),
        assert: all,
        generate,
        using: None,
        report: true,
        force: false,
        update: Update::No,
    };
    for (option, value) in text::options(s) {
        let is = |full, min| text::abbreviates(&option, full, min);
        match value {
            Some(v) if option == "keep" => out.keep = codes(&v)?,
            Some(v) if option == "assert" => out.assert = codes(&v)?,
            Some(v) if is("keepusing", 5) => out.using = Some(v),
            Some(v) if is("generate", 3) => out.generate = Some(v.trim().to_owned()),
            None if is("nogenerate", 5) => out.generate = None,
            None if is("noreport", 5) => out.report = false,
            None if option == "force" => out.force = true,
            None if option == "update" => update = true,
            None if option == "replace" => replace = true,
            None if matches!(option.as_str(), "nolabel" | "nonotes" | "sorted") => {}
            _ => return Err(Stop::new(198, format!("option {option} not allowed"))),
        }
    }
    out.update = match (update, replace) {
        (false, false) => Update::No,
        (false, true) => return Err(Stop::new(198, "option replace may only be specified with option update")),
        (true, false) => Update::Missing,
        (true, true) => Update::All,
    };
    Ok(out)
}

fn codes(s: &str) -> Outcome<Vec<u8>> {
    let code = |word: &str| {
        let by_name =
            CODES.iter().find(|(name, _)| text::abbreviates(word, name, 3) || word == "matched" && *name == "match");
        let by_number = CODES.iter().find(|(_, code)| word == code.to_string());
        by_name.or(by_number).map(|(_, code)| *code).ok_or_else(Stop::syntax)
    };
    s.split_whitespace().map(code).collect()
}

/// `merge 1:1|m:1|1:m varlist|_n using file [, options]`.
pub(crate) fn merge(interp: &mut Interp, s: &str) -> Outcome {
    let (main, opts) = text::split_options(s);
    let (relation, rest) = text::word(main);
    let at = text::find_word(rest, "using").ok_or_else(Stop::syntax)?;
    let (list, file) = (rest[..at].trim(), rest[at + "using".len()..].trim());
    let (one_here, one_there) = match relation {
        "1:1" => (true, true),
        "m:1" => (false, true),
        "1:m" => (true, false),
        "m:m" => return Err(Stop::new(198, "m:m not allowed in the stand-in")),
        _ => return Err(Stop::syntax()),
    };
    let options = options(opts)?;
    let keys = if list == "_n" { Vec::new() } else { varlist(interp, list)? };
    if keys.is_empty() && list != "_n" {
        return Err(Stop::new(100, "varlist required"));
    }
    if let Some(name) = &options.generate {
        fresh(&interp.data, name)?;
    }
    let mut using = dta::read_file(&text::token(file).0)?;
    for key in &keys {
        let theirs = using.column(key).ok_or_else(|| Stop::new(111, format!("variable {key} not found")))?;
        if let Some(ours) = interp.data.column(key).filter(|ours| !alike(ours, theirs)) {
            return Err(Stop::new(
                106,
                format!(
                    "key variable {key} is {} in master but {} in using data\n    Each key variable -- the variables on \
                     which observations are matched -- must be of the same generic type in the master and using \
                     datasets.  Same generic type means both numeric or both string.",
                    ours.kind, theirs.kind
                ),
            ));
        }
    }
    if let Some(names) = &options.using {
        limit(&mut using, names, &keys)?;
    }
    let (here, there) = (groups(&interp.data, &keys), groups(&using, &keys));
    for (unique, groups, side) in [(one_here, &here, "master"), (one_there, &there, "using")] {
        if unique && groups.values().any(|rows| rows.len() > 1) {
            let subject = if keys.len() == 1 { ("variable", "does") } else { ("variables", "do") };
            let list = keys.join(" ");
            let text =
                format!("{} {list} {} not uniquely identify observations in the {side} data", subject.0, subject.1);
            return Err(Stop::new(459, text));
        }
    }
    accommodate(interp, &using, "merge", options.force)?;
    let mut rows = pairs(&here, &there);
    if options.update > Update::No {
        for row in &mut rows {
            row.2 = compared(&interp.data, &using, row);
        }
    }
    let count = |code: u8| rows.iter().filter(|r| r.2 == code).count();
    let wrong = CODES.iter().any(|(_, code)| !options.assert.contains(code) && count(*code) > 0);
    let kept: Vec<&Row> = rows.iter().filter(|r| wrong || options.keep.contains(&r.2)).collect();
    interp.data = joined(&interp.data, &using, &kept, &keys, options.update, options.generate.as_deref());
    if wrong {
        return Err(Stop::new(9, format!("{}\n(merged result left in memory)", complaint(&options.assert))));
    }
    if options.report {
        let count = |code: u8| kept.iter().filter(|r| r.2 == code).count();
        let counts = [1, 2, 3, 4, 5].map(count);
        let text = report(interp, counts, options.update > Update::No, options.generate.as_deref());
        interp.out.print(&text);
    }
    Ok(())
}

fn complaint(allowed: &[u8]) -> String {
    if allowed == [3] {
        return "after merge, not all observations matched".to_owned();
    }
    let names: Vec<&str> = CODES.iter().filter(|(_, c)| allowed.contains(c)).map(|(n, _)| *n).collect();
    format!("after merge, not all observations from {}", names.join(" or "))
}

/// An observation of the result: its place in the master and in the using data, and its code.
type Row = (Option<usize>, Option<usize>, u8);

/// Those of the master in the keys' order, each with what it matches; then those of the using data alone.
fn pairs(here: &BTreeMap<Vec<Cell>, Vec<usize>>, there: &BTreeMap<Vec<Cell>, Vec<usize>>) -> Vec<Row> {
    let mut out = Vec::new();
    for (key, ours) in here {
        match there.get(key) {
            Some(theirs) => {
                out.extend(ours.iter().flat_map(|a| theirs.iter().map(move |b| (Some(*a), Some(*b), 3))));
            }
            None => out.extend(ours.iter().map(|a| (Some(*a), None, 1))),
        }
    }
    let alone = there.iter().filter(|(key, _)| !here.contains_key(*key));
    out.extend(alone.flat_map(|(_, theirs)| theirs.iter().map(|b| (None, Some(*b), 2))));
    out
}

/// The code of an observation that may be updated.
fn compared(master: &Table, using: &Table, row: &Row) -> u8 {
    let (Some(i), Some(j)) = (row.0, row.1) else { return row.2 };
    let mut code = 3;
    for ours in &master.columns {
        let Some(theirs) = using.column(&ours.name).filter(|theirs| !missing(theirs, j)) else { continue };
        let same = match (&ours.values, &theirs.values) {
            (Values::Num(a), Values::Num(b)) => a[i].to_bits() == b[j].to_bits() || a[i] == b[j],
            (Values::Str(a), Values::Str(b)) => a[i] == b[j],
            _ => true,
        };
        match missing(ours, i) {
            true => code = code.max(4),
            false if !same => code = 5,
            false => {}
        }
    }
    code
}

fn missing(column: &Column, i: usize) -> bool {
    match &column.values {
        Values::Num(v) => is_missing(v[i]),
        Values::Str(v) => v[i].is_empty(),
    }
}

fn joined(
    master: &Table,
    using: &Table,
    rows: &[&Row],
    keys: &[String],
    update: Update,
    generate: Option<&str>,
) -> Table {
    let mut columns = Vec::new();
    for ours in &master.columns {
        let theirs = using.column(&ours.name);
        columns.push(filled(ours, rows, |row| {
            // What both have is the master's, except where there is no such observation, or it is updated.
            match (row.0, theirs.zip(row.1)) {
                (Some(i), Some((theirs, j)))
                    if !missing(theirs, j)
                        && (update == Update::All || (update == Update::Missing && missing(ours, i))) =>
                {
                    Some((theirs, j))
                }
                (Some(i), _) => Some((ours, i)),
                (None, there) => there,
            }
        }));
    }
    for theirs in using.columns.iter().filter(|c| master.column(&c.name).is_none() && !keys.contains(&c.name)) {
        columns.push(filled(theirs, rows, |row| row.1.map(|i| (theirs, i))));
    }
    if let Some(name) = generate {
        let values = Values::Num(rows.iter().map(|r| f64::from(r.2)).collect());
        columns.push(Column { name: name.to_owned(), kind: "byte".into(), values });
    }
    Table { columns, nobs: rows.len(), changed: true, sample: None }
}

fn filled<'a>(like: &Column, rows: &[&Row], from: impl Fn(&Row) -> Option<(&'a Column, usize)>) -> Column {
    let mut column = blank(like, rows.len());
    for (to, row) in rows.iter().enumerate() {
        let Some((source, i)) = from(row) else { continue };
        match (&mut column.values, &source.values) {
            (Values::Num(new), Values::Num(old)) => new[to] = old[i],
            (Values::Str(new), Values::Str(old)) => new[to].clone_from(&old[i]),
            _ => {}
        }
    }
    column
}

/// The table of the result; rows of what did not match only where there are any.
fn report(
    interp: &Interp,
    [master, using, matched, updated, conflict]: [usize; 5],
    update: bool,
    generate: Option<&str>,
) -> String {
    let modern = interp.faults.since(17.0);
    let (no, yes) = if modern { ("Not matched", "Matched") } else { ("not matched", "matched") };
    let head =
        if modern { "Result                      Number of obs" } else { "Result                           # of obs." };
    let row = |indent: usize, label: &str, n: usize, code: Option<u8>| {
        let lead = format!("{}{label}", " ".repeat(indent));
        let code = match (code, generate) {
            (None, _) => String::new(),
            (Some(code), Some(name)) => format!("  ({name}=={code})"),
            (Some(_), None) => "  ".to_owned(),
        };
        format!("{lead:<28}{:>17}{code}\n", with_commas(&n.to_string()))
    };
    let rule = format!("    {}\n", "-".repeat(41));
    let mut text = format!("\n    {head}\n{rule}{}", row(4, no, master + using, None));
    if master + using > 0 {
        text.push_str(&row(8, "from master", master, Some(1)));
        text.push_str(&row(8, "from using", using, Some(2)));
        text.push('\n');
    }
    if !update {
        return text + &row(4, yes, matched, Some(3)) + &rule;
    }
    let all = matched + updated + conflict;
    text.push_str(&row(4, yes, all, None));
    if all > 0 {
        text.push_str(&row(8, "not updated", matched, Some(3)));
        text.push_str(&row(8, "missing updated", updated, Some(4)));
        text.push_str(&row(8, "nonmissing conflict", conflict, Some(5)));
    }
    text + &rule
}
