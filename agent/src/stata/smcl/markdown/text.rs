//! Text in its styles as Markdown.

use super::super::span::{Span, Style, is_blank, text};

/// Longest code that is one piece because of its parentheses, bytes.
const PIECE: usize = 300;

/// On one line, with single blanks.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether all of it is to be typed.
pub(super) fn is_code(line: &[Span]) -> bool {
    let seen = || line.iter().filter(|span| !span.text.trim().is_empty());
    seen().next().is_some_and(|span| span.style == Style::Code) && seen().all(|span| span.style == Style::Code)
}

/// Whether lines are set in columns, or indented as code is.
pub(super) fn laid_out(lines: &[Vec<Span>]) -> bool {
    let indents = lines.iter().filter(|line| !is_blank(line)).map(|line| {
        let text = text(line);
        text.len() - text.trim_start().len()
    });
    if indents.clone().max() > indents.min().map(|least| least + 1) {
        return true;
    }
    lines.iter().filter(|line| !is_blank(line)).any(|line| {
        let text = text(line);
        let text = text.trim();
        text.contains("   ") || text.contains('\t') || text.contains("----") || text.contains("| ")
    })
}

/// A line in its styles; with `links`, with where its parts lead.
pub(super) fn inline(spans: &[Span], links: bool) -> String {
    let mut out = String::new();
    for span in pieces(spans) {
        let text = span.text.trim();
        let (before, after) =
            if text.is_empty() { (span.text.as_str(), "") } else { (ends(&span.text, true), ends(&span.text, false)) };
        out.push_str(before);
        let link = links && !span.link.is_empty() && !text.is_empty();
        if link {
            out.push('[');
        }
        match span.style {
            _ if text.is_empty() => {}
            Style::Code => code(&mut out, text),
            Style::Bold => marked(&mut out, text, "**"),
            Style::Italic => marked(&mut out, text, "*"),
            Style::Plain => escaped(&mut out, text),
        }
        if link {
            let kind = if span.link.contains(':') { "" } else { "help:" };
            out.push_str(&format!("]({kind}{})", span.link));
        }
        out.push_str(after);
    }
    out.trim().to_owned()
}

/// The white space at one end.
fn ends(text: &str, start: bool) -> &str {
    if start { &text[..text.len() - text.trim_start().len()] } else { &text[text.trim_end().len()..] }
}

fn code(out: &mut String, text: &str) {
    if !text.contains('`') {
        out.push('`');
        out.push_str(text);
        return out.push('`');
    }
    let mut fence = "``".to_owned();
    while text.contains(&fence) {
        fence.push('`');
    }
    out.push_str(&format!("{fence} {text} {fence}"));
}

fn marked(out: &mut String, text: &str, mark: &str) {
    out.push_str(mark);
    escaped(out, text);
    out.push_str(mark);
}

fn escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        if matches!(c, '*' | '`') {
            out.push('\\');
        }
        out.push(c);
    }
}

/// Code and what touches it, or stands in its parentheses, is one piece of code.
fn pieces(spans: &[Span]) -> Vec<Span> {
    let mut out: Vec<Span> = vec![];
    let mut at = 0;
    while let Some(span) = spans.get(at) {
        at += 1;
        if span.style != Style::Code || span.text.trim().is_empty() {
            out.push(span.clone());
            continue;
        }
        let mut whole = span.clone();
        // `{it:name}{cmd:=}`
        if let Some(before) = out.last()
            && before.style == Style::Italic
            && touch(&before.text, &whole.text)
        {
            whole.text.insert_str(0, &before.text);
            whole.link.clear();
            out.pop();
        }
        loop {
            let inside = open(&whole.text) > 0;
            if inside && let Some(more) = closes(&whole.text, &spans[at..]) {
                for span in &spans[at..at + more] {
                    whole.text.push_str(&span.text);
                }
                at += more;
                whole.link.clear();
                continue;
            }
            match spans.get(at) {
                Some(next)
                    if next.style != Style::Plain
                        && touch(&whole.text, &next.text)
                        && whole.text.len() + next.text.len() < PIECE =>
                {
                    whole.text.push_str(&next.text);
                    if next.link != whole.link {
                        whole.link.clear();
                    }
                    at += 1;
                }
                _ => break,
            }
        }
        out.push(whole);
    }
    out
}

fn touch(before: &str, after: &str) -> bool {
    !before.is_empty()
        && !after.is_empty()
        && !before.ends_with(char::is_whitespace)
        && !after.starts_with(char::is_whitespace)
}

/// How many parentheses are open at the end.
fn open(text: &str) -> i32 {
    text.bytes().map(|b| i32::from(b == b'(') - i32::from(b == b')')).sum()
}

/// How many of the next pieces close what is open.
fn closes(text: &str, next: &[Span]) -> Option<usize> {
    let (mut depth, mut len) = (open(text), text.len());
    for (n, span) in next.iter().enumerate() {
        len += span.text.len();
        if len > PIECE {
            return None;
        }
        depth += open(&span.text);
        if depth <= 0 {
            return Some(n + 1);
        }
    }
    None
}
