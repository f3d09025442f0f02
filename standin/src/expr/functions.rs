//! Functions of values. Functions of the whole table live with the table.

use std::cmp::Ordering;

use super::eval::number;
use super::format::{Format, display_number};
use super::{ExprError, MISSING, Value, is_missing};

/// Calls function `name`.
///
/// # Errors
/// `unknown function`, r(133), wrong counts r(198), wrong types r(109).
pub(crate) fn call(name: &str, args: &[Value], uniform: &dyn Fn() -> f64) -> Result<Value, ExprError> {
    numeric(name, args)
        .or_else(|| varied(name, args))
        .or_else(|| text(name, args))
        .or_else(|| random(name, args, uniform))
        .unwrap_or_else(|| Err(ExprError::new(133, format!("unknown function {name}()"))))
}

type Found = Option<Result<Value, ExprError>>;

fn num(v: &Value) -> Result<f64, ExprError> {
    match v {
        Value::Num(x) => Ok(*x),
        Value::Str(_) => Err(ExprError::types()),
    }
}

fn string(v: &Value) -> Result<&str, ExprError> {
    match v {
        Value::Str(s) => Ok(s),
        Value::Num(_) => Err(ExprError::types()),
    }
}

/// One number in, one out; missing in, missing out.
fn numeric(name: &str, args: &[Value]) -> Found {
    let f: fn(f64) -> f64 = match name {
        "abs" => f64::abs,
        "floor" => f64::floor,
        "ceil" => f64::ceil,
        "int" | "trunc" => f64::trunc,
        "sqrt" => f64::sqrt,
        "exp" => f64::exp,
        "ln" | "log" => f64::ln,
        "log10" => f64::log10,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "atan" => f64::atan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "sign" => |x| if x == 0.0 { 0.0 } else { x.signum() },
        "invlogit" => |x| 1.0 / (1.0 + (-x).exp()),
        "logit" => |x| (x / (1.0 - x)).ln(),
        #[allow(clippy::cast_possible_truncation)] // rounding to single precision is what float() is for
        "float" => |x| f64::from(x as f32),
        _ => return None,
    };
    let [arg] = args else { return Some(Err(ExprError::syntax())) };
    Some(num(arg).map(|x| if is_missing(x) { Value::Num(x) } else { number(f(x)) }))
}

/// Functions with several arguments, or that look at missing values.
fn varied(name: &str, args: &[Value]) -> Found {
    let flag = |b: bool| Value::Num(f64::from(b));
    let run = || -> Option<Result<Value, ExprError>> {
        Some(Ok(match (name, args) {
            ("mod", [a, b]) => match (num(a), num(b)) {
                (Ok(a), Ok(b)) if !is_missing(a) && !is_missing(b) && b > 0.0 => number(a - b * (a / b).floor()),
                (Ok(_), Ok(_)) => Value::Num(MISSING),
                (Err(e), _) | (_, Err(e)) => return Some(Err(e)),
            },
            ("round", [a]) => return Some(num(a).map(|a| round(a, 1.0))),
            ("round", [a, b]) => return Some(num(a).and_then(|a| Ok(round(a, num(b)?)))),
            ("max" | "min", [_, ..]) => {
                return Some(extreme(if name == "max" { Ordering::Greater } else { Ordering::Less }, args));
            }
            ("cond", [c, a, b]) => return Some(num(c).map(|c| if c == 0.0 { b.clone() } else { a.clone() })),
            ("missing" | "mi", [_, ..]) => flag(args.iter().any(|a| match a {
                Value::Num(x) => is_missing(*x),
                Value::Str(s) => s.is_empty(),
            })),
            ("inlist", [x, rest @ ..]) => flag(rest.iter().any(|r| r == x)),
            ("inrange", [Value::Num(x), Value::Num(lo), Value::Num(hi)]) => {
                flag(!is_missing(*x) && (is_missing(*lo) || x >= lo) && (is_missing(*hi) || x <= hi))
            }
            ("inrange", [Value::Str(x), Value::Str(lo), Value::Str(hi)]) => flag(x >= lo && x <= hi),
            ("comb", [n, k]) => return Some(num(n).and_then(|n| Ok(comb(n, num(k)?)))),
            _ => return None,
        }))
    };
    run()
}

fn round(a: f64, unit: f64) -> Value {
    if is_missing(a) || is_missing(unit) || unit == 0.0 {
        return Value::Num(if unit == 0.0 { a } else { MISSING });
    }
    number((a / unit + 0.5).floor() * unit)
}

fn comb(n: f64, k: f64) -> Value {
    if is_missing(n) || is_missing(k) || k < 0.0 || k > n || k > 1e6 {
        return Value::Num(MISSING);
    }
    let (mut out, mut i) = (1.0, 1.0);
    while i <= k {
        out *= (n - k + i) / i;
        i += 1.0;
    }
    number(out.round())
}

/// `max()` and `min()` pass over missing values.
fn extreme(wanted: Ordering, args: &[Value]) -> Result<Value, ExprError> {
    let mut best = MISSING;
    for a in args {
        let x = num(a)?;
        if !is_missing(x) && (is_missing(best) || x.partial_cmp(&best) == Some(wanted)) {
            best = x;
        }
    }
    Ok(Value::Num(best))
}

fn text(name: &str, args: &[Value]) -> Found {
    let s = |i: usize| string(&args[i]);
    let n = |i: usize| num(&args[i]);
    let len = |s: &str| Value::Num(size(s.chars().count()));
    let out = |s: String| Ok(Value::Str(s));
    let result = match (name, args.len()) {
        ("strlen" | "length", 1) => s(0).map(|s| Value::Num(size(s.len()))),
        ("ustrlen", 1) => s(0).map(len),
        ("upper" | "strupper" | "ustrupper", 1) => s(0).and_then(|s| out(s.to_uppercase())),
        ("lower" | "strlower" | "ustrlower", 1) => s(0).and_then(|s| out(s.to_lowercase())),
        ("proper" | "strproper", 1) => s(0).and_then(|s| out(proper(s))),
        ("trim" | "strtrim", 1) => s(0).and_then(|s| out(s.trim_matches(' ').to_owned())),
        ("ltrim" | "strltrim", 1) => s(0).and_then(|s| out(s.trim_start_matches(' ').to_owned())),
        ("rtrim" | "strrtrim", 1) => s(0).and_then(|s| out(s.trim_end_matches(' ').to_owned())),
        ("itrim" | "stritrim", 1) => s(0).and_then(|s| out(squeeze(s))),
        ("reverse" | "strreverse", 1) => s(0).and_then(|s| out(s.chars().rev().collect())),
        ("substr" | "usubstr", 3) => s(0).and_then(|t| out(substr(t, n(1)?, n(2)?))),
        ("strpos" | "index", 2) => s(0).and_then(|a| Ok(Value::Num(position(a.find(s(1)?))))),
        ("strrpos", 2) => s(0).and_then(|a| Ok(Value::Num(position(a.rfind(s(1)?))))),
        ("subinstr" | "usubinstr", 4) => s(0).and_then(|t| out(subinstr(t, s(1)?, s(2)?, n(3)?))),
        ("string" | "strofreal", 1) => n(0).and_then(|x| out(display_number(x))),
        ("string" | "strofreal", 2) => n(0).and_then(|x| {
            let f = Format::parse(s(1)?).ok_or_else(ExprError::syntax)?;
            out(f.number(x).trim().to_owned())
        }),
        ("real", 1) => s(0).map(|s| Value::Num(real(s))),
        ("char", 1) => n(0).and_then(|x| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked by the filter
            let c = Some(x).filter(|x| (0.0..128.0).contains(x)).map(|x| char::from(x as u8));
            out(c.map(String::from).unwrap_or_default())
        }),
        ("word", 2) => s(0).and_then(|t| out(word(t, n(1)?))),
        ("wordcount", 1) => s(0).map(|s| Value::Num(size(s.split_whitespace().count()))),
        ("strmatch", 2) => s(0).and_then(|t| Ok(Value::Num(f64::from(wildcard(t, s(1)?))))),
        ("plural", 2) => n(0).and_then(|x| out(format!("{}{}", s(1)?, if x == 1.0 { "" } else { "s" }))),
        _ => return None,
    };
    Some(result)
}

/// A count as a number.
#[allow(clippy::cast_precision_loss)] // counts of bytes and words are far below 2^53
pub(crate) fn size(n: usize) -> f64 {
    n as f64
}

fn position(at: Option<usize>) -> f64 {
    at.map_or(0.0, |i| size(i + 1))
}

/// The number a string spells, or missing.
pub(crate) fn real(s: &str) -> f64 {
    let s = s.trim();
    let plain = s.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E'));
    if plain { s.parse().unwrap_or(MISSING) } else { MISSING }
}

fn proper(s: &str) -> String {
    let mut start = true;
    let mut out = String::new();
    for c in s.chars() {
        if start {
            out.extend(c.to_uppercase())
        } else {
            out.extend(c.to_lowercase())
        }
        start = !c.is_alphabetic();
    }
    out
}

fn squeeze(s: &str) -> String {
    let mut out = String::new();
    for c in s.chars() {
        if c != ' ' || !out.ends_with(' ') {
            out.push(c);
        }
    }
    out
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // bounds are checked before the casts
fn substr(s: &str, from: f64, count: f64) -> String {
    let chars: Vec<char> = s.chars().collect();
    let n = size(chars.len());
    let start = if from < 0.0 { n + from } else { from - 1.0 };
    if is_missing(from) || from == 0.0 || start < 0.0 || start >= n {
        return String::new();
    }
    let count = if is_missing(count) { n } else { count.max(0.0) };
    chars[start as usize..(start + count).min(n) as usize].iter().collect()
}

fn subinstr(s: &str, from: &str, to: &str, count: f64) -> String {
    if from.is_empty() {
        return s.to_owned();
    }
    if is_missing(count) {
        return s.replace(from, to);
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturating casts are right here
    s.replacen(from, to, count.max(0.0) as usize)
}

fn word(s: &str, n: f64) -> String {
    let words: Vec<&str> = s.split_whitespace().collect();
    let at = if n < 0.0 { size(words.len()) + n } else { n - 1.0 };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked by the filter
    let at = Some(at).filter(|a| *a >= 0.0 && !is_missing(*a)).map(|a| a as usize);
    at.and_then(|a| words.get(a)).copied().unwrap_or_default().to_owned()
}

/// `*` and `?` patterns, as in variable lists and `strmatch()`.
pub(crate) fn wildcard(s: &str, pattern: &str) -> bool {
    match pattern.chars().next() {
        None => s.is_empty(),
        Some('*') => {
            let rest = &pattern[1..];
            wildcard(s, rest) || s.chars().next().is_some_and(|c| wildcard(&s[c.len_utf8()..], pattern))
        }
        Some('?') => s.chars().next().is_some_and(|c| wildcard(&s[c.len_utf8()..], &pattern[1..])),
        Some(p) => s.strip_prefix(p).is_some_and(|rest| wildcard(rest, &pattern[p.len_utf8()..])),
    }
}

fn random(name: &str, args: &[Value], uniform: &dyn Fn() -> f64) -> Found {
    let n = |i: usize| args.get(i).map_or(Ok(if i == 0 { 0.0 } else { 1.0 }), num);
    let two = |f: &dyn Fn(f64, f64) -> f64| n(0).and_then(|a| Ok(number(f(a, n(1)?))));
    Some(match (name, args.len()) {
        ("runiform" | "uniform", 0 | 2) => two(&|a, b| a + (b - a) * uniform()),
        ("runiformint", 2) => two(&|a, b| a + ((b - a + 1.0) * uniform()).floor()),
        ("rnormal", 0) => Ok(number(normal(uniform))),
        ("rnormal", 1) => n(0).map(|m| number(m + normal(uniform))),
        ("rnormal", 2) => two(&|m, s| m + s * normal(uniform)),
        _ => return None,
    })
}

/// A normal draw by Box and Muller.
fn normal(uniform: &dyn Fn() -> f64) -> f64 {
    let (u, v) = (uniform(), uniform());
    (-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()
}

#[cfg(test)]
mod tests {
    use super::super::eval::{Env, text as eval_text};
    use super::super::parse::Expr;
    use super::*;

    struct Nothing;

    impl Env for Nothing {
        fn name(&self, name: &str, _: Option<usize>) -> Option<Value> {
            (name == "x").then_some(Value::Num(3.0))
        }
        fn result(&self, _: &str, _: &str, _: Option<usize>) -> Value {
            Value::Num(MISSING)
        }
        fn count(&self) -> usize {
            0
        }
        fn uniform(&self) -> f64 {
            0.5
        }
        fn table_function(&self, _: &str, _: &[Expr], _: Option<usize>) -> Option<Result<Value, ExprError>> {
            None
        }
    }

    #[test]
    fn expressions_have_values() {
        let check = |text: &str, want: Value| assert_eq!(eval_text(&Nothing, text), Ok(want), "{text}");
        let n = |text: &str, want: f64| check(text, Value::Num(want));
        let s = |text: &str, want: &str| check(text, Value::Str(want.into()));
        n("1 + 2*3", 7.0);
        n("-2^2", -4.0);
        n("2^-1", 0.5);
        n("2^3^2", 64.0);
        n("(1+2)*x", 9.0);
        n("!0 & 1 | 0", 1.0);
        n("1 <= 2", 1.0);
        n("1/0", MISSING);
        n(". > 1000", 1.0);
        n("mod(7, 3)", 1.0);
        n("round(2.567, .1) == 2.6", 1.0);
        n("max(1, ., 3)", 3.0);
        n("cond(0, 1, 2)", 2.0);
        n("inlist(\"a\", \"b\", \"a\")", 1.0);
        n("inrange(5, 1, 10)", 1.0);
        n("strlen(\"abc\")", 3.0);
        n("strpos(\"abc\", \"c\")", 3.0);
        n("real(\"1.5\")", 1.5);
        n("1e3", 1000.0);
        n(".5", 0.5);
        s("\"a\" + \"b\"", "ab");
        s("substr(\"hello\", 2, 3)", "ell");
        s("substr(\"hello\", -3, .)", "llo");
        s("upper(\"ab\")", "AB");
        s("`\"say \"hi\"\"'", "say \"hi\"");
        s("subinstr(\"a b c\", \" \", \"_\", .)", "a_b_c");
        s("word(\"a b c\", -1)", "c");
        s("string(2.5)", "2.5");
    }

    #[test]
    fn mistakes_have_return_codes() {
        let check = |text: &str, rc: i32, msg: &str| {
            assert_eq!(eval_text(&Nothing, text), Err(ExprError::new(rc, msg)), "{text}");
        };
        check("nothere + 1", 111, "nothere not found");
        check("1 + \"a\"", 109, "type mismatch");
        check("nofun(1)", 133, "unknown function nofun()");
        check("", 198, "invalid syntax");
        check("(1", 132, "too few ')' or ']'");
        check("1)", 132, "too many ')' or ']'");
    }
}
