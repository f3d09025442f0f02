//! The value of an expression for one observation. Types were checked before.

use std::borrow::Cow;

use super::{
    super::{
        cell::{is_missing, missing},
        dates,
        row::Row,
        varlist::matches,
    },
    parse::Expr,
};

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// What arithmetic gave: what is no number is missing.
fn result(x: f64) -> f64 {
    if x.is_finite() && !is_missing(x) { x } else { missing(0) }
}

fn compared(op: &str, order: std::cmp::Ordering) -> bool {
    match op {
        "==" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    }
}

fn order(a: f64, b: f64) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal)
}

/// Of an expression that is a number.
pub(super) fn number(expr: &Expr, row: &Row<'_>) -> f64 {
    match expr {
        Expr::Number(x) => *x,
        Expr::Variable(n) => row.number(*n),
        Expr::Observation => row.observation() as f64,
        Expr::Observations => row.head.observations as f64,
        Expr::Not(inner) => truth(number(inner, row) == 0.0),
        Expr::Negative(inner) => arithmetic("-", 0.0, number(inner, row)),
        Expr::Binary("&", left, right) => truth(number(left, row) != 0.0 && number(right, row) != 0.0),
        Expr::Binary("|", left, right) => truth(number(left, row) != 0.0 || number(right, row) != 0.0),
        Expr::Binary(op, left, right) => arithmetic(op, number(left, row), number(right, row)),
        Expr::Compare(op, left, right) => truth(compared(op, text(left, row).cmp(&text(right, row)))),
        Expr::Call(function, args) => call(function.name, args, row),
        Expr::Text(_) | Expr::TextVariable(_) | Expr::Join(..) => missing(0),
    }
}

fn arithmetic(op: &str, a: f64, b: f64) -> f64 {
    if matches!(op, "==" | "!=" | "<" | "<=" | ">" | ">=") {
        return truth(compared(op, order(a, b)));
    }
    if is_missing(a) || is_missing(b) {
        return missing(0);
    }
    result(match op {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" => a / b,
        _ => a.powf(b),
    })
}

/// Of an expression that is text.
fn text<'a>(expr: &'a Expr, row: &'a Row<'_>) -> Cow<'a, str> {
    match expr {
        Expr::Text(text) => Cow::Borrowed(text),
        Expr::TextVariable(n) => row.text(*n),
        Expr::Join(left, right) => text(left, row) + text(right, row),
        Expr::Call(function, args) => {
            let inner = text(&args[0], row);
            match function.name {
                "strlower" | "lower" => Cow::Owned(inner.to_lowercase()),
                "strupper" => Cow::Owned(inner.to_uppercase()),
                "strtrim" => Cow::Owned(inner.trim_matches(' ').to_owned()),
                _ => Cow::Owned(part(&inner, number(&args[1], row), number(&args[2], row))),
            }
        }
        _ => Cow::Borrowed(""),
    }
}

/// Characters from a place on, which counts from 1, or from the end where it is negative; `.` = to the end.
fn part(text: &str, from: f64, len: f64) -> String {
    let count = text.chars().count() as f64;
    let start = if from < 0.0 { count + from } else { from - 1.0 };
    if start < 0.0 || is_missing(from) {
        return String::new();
    }
    let len = if is_missing(len) { usize::MAX } else { len.max(0.0) as usize };
    text.chars().skip(start as usize).take(len).collect()
}

fn call(name: &str, args: &[Expr], row: &Row<'_>) -> f64 {
    let of = |n: usize| number(&args[n], row);
    let same = |a: &Expr, b: &Expr| match a.is_text() {
        true => text(a, row).cmp(&text(b, row)),
        false => order(number(a, row), number(b, row)),
    };
    match name {
        "missing" | "mi" => truth(args.iter().any(|arg| match arg.is_text() {
            true => text(arg, row).is_empty(),
            false => is_missing(number(arg, row)),
        })),
        "inlist" => truth(args[1..].iter().any(|one| same(&args[0], one).is_eq())),
        "inrange" if args[0].is_text() => truth(same(&args[0], &args[1]).is_ge() && same(&args[0], &args[2]).is_le()),
        "inrange" => {
            let (z, a, b) = (of(0), of(1), of(2));
            truth(!is_missing(z) && (is_missing(a) || a <= z) && (is_missing(b) || z <= b))
        }
        "strlen" => text(&args[0], row).len() as f64,
        "ustrlen" => text(&args[0], row).chars().count() as f64,
        "strpos" => {
            let (whole, part) = (text(&args[0], row), text(&args[1], row));
            if part.is_empty() { 0.0 } else { whole.find(&*part).map_or(0.0, |at| at as f64 + 1.0) }
        }
        "strmatch" => truth(matches(&text(&args[0], row), &text(&args[1], row))),
        _ if args.iter().any(|arg| is_missing(number(arg, row))) => missing(0),
        _ => result(of_numbers(name, args.len(), of)),
    }
}

/// Of numbers that are not missing.
fn of_numbers(name: &str, count: usize, of: impl Fn(usize) -> f64) -> f64 {
    let x = of(0);
    let date = |field: fn((i64, i64, i64)) -> i64| match x.abs() < 1e9 {
        true => field(dates::civil(x.floor() as i64)) as f64,
        false => f64::NAN,
    };
    match name {
        "abs" => x.abs(),
        "int" => x.trunc(),
        "floor" => x.floor(),
        "ceil" => x.ceil(),
        "round" if count == 2 && of(1) != 0.0 => (x / of(1)).round() * of(1),
        "round" => x.round(),
        "mod" => x - of(1) * (x / of(1)).floor(),
        "float" => f64::from(x as f32),
        "ln" => x.ln(),
        "sqrt" => x.sqrt(),
        "year" => date(|date| date.0),
        "month" => date(|date| date.1),
        "day" => date(|date| date.2),
        "mdy" => dates::from_civil(of(2) as i64, x as i64, of(1) as i64).map_or(f64::NAN, |days| days as f64),
        _ => (x / 86_400_000.0).floor(),
    }
}
