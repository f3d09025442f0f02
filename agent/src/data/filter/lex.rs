//! The words of a condition.

use super::super::dates;

/// A word.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Number(f64),
    Text(String),
    Name(String),
    Op(&'static str),
}

const OPS: [&str; 18] = ["==", "!=", "~=", "<=", ">=", "<", ">", "&", "|", "!", "~", "+", "-", "*", "/", "^", "(", ")"];
const DATES: [&str; 7] = ["td", "tc", "tm", "tq", "tw", "th", "ty"];

/// All words of a text; the error says what is wrong with it.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, used) = match first {
            '"' => quoted(&rest[1..], "\"").map(|(text, used)| (text, used + 1))?,
            '`' if rest[1..].starts_with('"') => quoted(&rest[2..], "\"'").map(|(text, used)| (text, used + 2))?,
            '0'..='9' | '.' => number(rest)?,
            ',' => (Token::Op(","), 1),
            c if c.is_alphabetic() || c == '_' => name(rest)?,
            _ => operator(rest)?,
        };
        tokens.push(token);
        rest = rest[used..].trim_start();
    }
    Ok(tokens)
}

fn quoted(rest: &str, end: &str) -> Result<(Token, usize), String> {
    let at = rest.find(end).ok_or("a text has no closing quote")?;
    Ok((Token::Text(rest[..at].to_owned()), at + end.len()))
}

/// A number, `.` or `.a`.
fn number(rest: &str) -> Result<(Token, usize), String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let mut used = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    // 1e-5
    let exponent = rest[..used].ends_with(['e', 'E']) && rest.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if exponent && rest[used..].starts_with(['-', '+']) {
        let after = &rest[used + 1..];
        used += 1 + after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    }
    let word = &rest[..used];
    let value = match word.strip_prefix('.') {
        Some("") => Some(super::super::cell::missing(0)),
        Some(letter) if letter.len() == 1 && letter.as_bytes()[0].is_ascii_lowercase() => {
            Some(super::super::cell::missing(letter.as_bytes()[0] - b'a' + 1))
        }
        _ if word.contains(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')) => None,
        _ => word.parse::<f64>().ok(),
    };
    value.map(|value| (Token::Number(value), used)).ok_or_else(|| format!("`{word}` is no number"))
}

/// A name, or a date such as `td(5mar2024)`.
fn name(rest: &str) -> Result<(Token, usize), String> {
    let used = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let word = &rest[..used];
    if !DATES.contains(&word) || !rest[used..].starts_with('(') {
        return Ok((Token::Name(word.to_owned()), used));
    }
    let inner = &rest[used + 1..];
    let end = inner.find(')').ok_or("a parenthesis is not closed")?;
    let value = dates::literal(word, &inner[..end]).ok_or_else(|| {
        format!("{word}({}) is no date: write for example td(5mar2024), tc(5mar2024 14:30), tm(2024m3)", &inner[..end])
    })?;
    Ok((Token::Number(value), used + 1 + end + 1))
}

fn operator(rest: &str) -> Result<(Token, usize), String> {
    for (wrong, right) in [("&&", "&"), ("||", "|")] {
        if rest.starts_with(wrong) {
            return Err(format!("`{wrong}` is written `{right}`"));
        }
    }
    if let Some(op) = OPS.iter().find(|op| rest.starts_with(**op)) {
        let meant = match *op {
            "~=" => "!=",
            "~" => "!",
            op => op,
        };
        return Ok((Token::Op(meant), op.len()));
    }
    if rest.starts_with('=') {
        return Err("`=` compares nothing: write `==`".to_owned());
    }
    let first: String = rest.chars().take(1).collect();
    Err(format!("`{first}` means nothing here"))
}
