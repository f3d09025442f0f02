//! `append`, and what it shares with `merge`: reading the other file and making room for its values.

use super::dta;
use crate::data::{Column, Table, Values};
use crate::expr::MISSING;
use crate::interp::{Interp, Outcome, Stop};
use crate::text;

/// `append using file [file …] [, keep(varlist) generate(name) force]`.
pub(crate) fn append(interp: &mut Interp, s: &str) -> Outcome {
    let (main, options) = text::split_options(s);
    let files =
        text::tokens(main.strip_prefix("using").filter(|r| r.starts_with([' ', '"'])).ok_or_else(Stop::syntax)?);
    if files.is_empty() {
        return Err(Stop::syntax());
    }
    let (mut keep, mut generate, mut force) = (None, None, false);
    for (option, value) in text::options(options) {
        match value {
            Some(v) if option == "keep" => keep = Some(v),
            Some(v) if text::abbreviates(&option, "generate", 3) => generate = Some(v.trim().to_owned()),
            None if option == "force" => force = true,
            None if matches!(option.as_str(), "nolabel" | "nonotes") => {}
            _ => return Err(Stop::new(198, format!("option {option} not allowed"))),
        }
    }
    if let Some(name) = &generate {
        fresh(&interp.data, name)?;
    }
    let mut from = vec![0.0; interp.data.nobs];
    for (i, file) in files.iter().enumerate() {
        let mut using = dta::read_file(file)?;
        if let Some(keep) = &keep {
            limit(&mut using, keep, &[])?;
        }
        from.extend(std::iter::repeat_n(crate::expr::functions::size(i + 1), using.nobs));
        below(interp, using, force)?;
    }
    if let Some(name) = generate {
        interp.data.columns.push(Column { name, kind: "byte".into(), values: Values::Num(from) });
    }
    interp.data.changed = true;
    Ok(())
}

/// Puts a table below the one in memory.
fn below(interp: &mut Interp, using: Table, force: bool) -> Outcome {
    let before = interp.data.nobs;
    accommodate(interp, &using, "append", force)?;
    let after = before + using.nobs;
    interp.data.grow(after);
    for column in using.columns {
        let at = match interp.data.columns.iter().position(|c| c.name == column.name) {
            Some(at) => at,
            None => {
                interp.data.columns.push(blank(&column, after));
                interp.data.columns.len() - 1
            }
        };
        match (&mut interp.data.columns[at].values, column.values) {
            (Values::Num(have), Values::Num(more)) => have[before..].copy_from_slice(&more),
            (Values::Str(have), Values::Str(more)) => have[before..].clone_from_slice(&more),
            // Forced: the values of the other type stay missing.
            _ => {}
        }
    }
    Ok(())
}

/// A variable of the same name and type without values.
pub(crate) fn blank(like: &Column, nobs: usize) -> Column {
    let values = match like.values {
        Values::Num(_) => Values::Num(vec![MISSING; nobs]),
        Values::Str(_) => Values::Str(vec![String::new(); nobs]),
    };
    Column { name: like.name.clone(), kind: like.kind.clone(), values }
}

/// Checks that a new variable may have this name.
pub(crate) fn fresh(data: &Table, name: &str) -> Outcome {
    if !text::is_name(name) {
        return Err(Stop::new(198, format!("{name} invalid name")));
    }
    match data.column(name) {
        Some(_) => Err(Stop::new(110, format!("variable {name} already defined"))),
        None => Ok(()),
    }
}

/// Keeps these variables of a table, and the keys.
pub(crate) fn limit(table: &mut Table, names: &str, keys: &[String]) -> Outcome {
    let names: Vec<&str> = names.split_whitespace().collect();
    if let Some(unknown) = names.iter().find(|n| table.column(n).is_none()) {
        return Err(Stop::new(111, format!("variable {unknown} not found")));
    }
    table.columns.retain(|c| names.contains(&c.name.as_str()) || keys.contains(&c.name));
    Ok(())
}

/// Both numbers, or both strings.
pub(crate) fn alike(a: &Column, b: &Column) -> bool {
    matches!((&a.values, &b.values), (Values::Num(_), Values::Num(_)) | (Values::Str(_), Values::Str(_)))
}

/// Widens the types of variables that both tables have, and says so; refuses numbers beside strings.
pub(crate) fn accommodate(interp: &mut Interp, using: &Table, by: &str, force: bool) -> Outcome {
    let note = if interp.faults.since(17.0) { "" } else { "note: " };
    let mut widened = Vec::new();
    for theirs in &using.columns {
        let Some(ours) = interp.data.columns.iter_mut().find(|c| c.name == theirs.name) else { continue };
        let name = &ours.name;
        let same = alike(ours, theirs);
        if !same && !force {
            let as_if = if matches!(ours.values, Values::Num(_)) { "numeric missing value" } else { "\"\"" };
            return Err(Stop::new(
                106,
                format!(
                    "variable {name} is {} in master but {} in using data\n    You could specify {by}'s force option to \
                     ignore this numeric/string mismatch.  The using variable would then be treated as if it contained \
                     {as_if}.",
                    ours.kind, theirs.kind
                ),
            ));
        }
        let kind = if same { wider(&ours.kind, &theirs.kind) } else { ours.kind.clone() };
        if kind != ours.kind {
            widened.push(format!(
                "({note}variable {name} was {}, now {kind} to accommodate using data's values)",
                ours.kind
            ));
            ours.kind = kind;
        }
    }
    for text in widened {
        interp.out.note(&text);
    }
    Ok(())
}

/// The smallest type that holds the values of both.
fn wider(a: &str, b: &str) -> String {
    let width = |kind: &str| kind.strip_prefix("str").and_then(|n| n.parse::<usize>().ok());
    if let (Some(x), Some(y)) = (width(a), width(b)) {
        return format!("str{}", x.max(y));
    }
    let rank = |kind: &str| ["byte", "int", "long", "float", "double", "strL"].iter().position(|k| *k == kind);
    let pair = [a, b];
    if pair.contains(&"long") && pair.contains(&"float") {
        return "double".to_owned();
    }
    if rank(b) > rank(a) { b.to_owned() } else { a.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_make_room() {
        let check = |a: &str, b: &str, want: &str| assert_eq!(wider(a, b), want, "{a} {b}");
        check("byte", "int", "int");
        check("int", "byte", "int");
        check("long", "float", "double");
        check("float", "long", "double");
        check("int", "float", "float");
        check("str5", "str12", "str12");
        check("str5", "strL", "strL");
    }
}
