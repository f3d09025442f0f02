//! From lines to statements: comments, continuations, `#delimit`, and the raw lines to echo.
//!
//! A statement keeps its raw lines, because the log shows the source as written. Nothing is expanded here.

use std::io::BufRead;

use crate::bytes;

/// Where lines come from.
pub(crate) enum Feed {
    /// A file read at once, and the next line's index.
    Lines(Vec<String>, usize),
    /// Standard input, read as it comes.
    Input(Box<dyn BufRead>),
}

impl Feed {
    /// The lines of a do-file. Carriage returns before a line feed are removed; a lone one does not end a line, as in
    /// Stata.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let text = bytes::text(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut lines: Vec<String> = text.split('\n').map(|l| l.strip_suffix('\r').unwrap_or(l).to_owned()).collect();
        if lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        Self::Lines(lines, 0)
    }

    fn next_line(&mut self) -> Option<String> {
        match self {
            Self::Lines(lines, at) => {
                let line = lines.get(*at).cloned();
                *at += 1;
                line
            }
            Self::Input(reader) => {
                let mut bytes = Vec::new();
                let n = reader.read_until(b'\n', &mut bytes).unwrap_or(0);
                (n > 0).then(|| bytes::text(&bytes).trim_end_matches(['\n', '\r']).to_owned())
            }
        }
    }
}

/// One command, or a line with nothing but a comment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statement {
    /// The command without comments; empty for blank and comment lines.
    pub(crate) text: String,
    /// The lines as they stand in the file.
    pub(crate) raw: Vec<String>,
    /// Line number of the first of them, from 1.
    pub(crate) line: usize,
}

impl Statement {
    /// Whether this statement opens a block.
    pub(crate) fn opens(&self) -> bool {
        self.text.ends_with('{')
    }

    /// Whether this statement closes one.
    pub(crate) fn closes(&self) -> bool {
        self.text.starts_with('}')
    }
}

/// What ends a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Delimiter {
    /// `#delimit cr`.
    #[default]
    LineEnd,
    /// `#delimit ;`.
    Semicolon,
}

/// Whether a source's lines are echoed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Echo {
    /// They are.
    On,
    /// They are not.
    Off,
}

/// A do-file being read.
pub(crate) struct Source {
    feed: Feed,
    line: usize,
    delimiter: Delimiter,
    pending: Option<String>,
    /// File name for messages and for faults that name a line.
    pub(crate) name: String,
    /// Whether its lines are echoed.
    pub(crate) echo: Echo,
}

/// What the scanner is inside of.
#[derive(Default)]
struct Scan {
    comment: usize,
    quote: bool,
    compound: usize,
    star: bool,
}

/// How a physical line ended.
enum LineEnd {
    Plain,
    Continued,
    Semicolon(String),
}

impl Source {
    /// A source over `feed`.
    pub(crate) fn new(name: String, feed: Feed, echo: Echo) -> Self {
        Self { feed, line: 0, delimiter: Delimiter::LineEnd, pending: None, name, echo }
    }

    /// Carries out `#delimit`.
    pub(crate) fn delimit(&mut self, delimiter: Delimiter) {
        self.delimiter = delimiter;
        if delimiter == Delimiter::LineEnd {
            self.pending = None;
        }
    }

    /// The next statement, or `None` at the end of the file.
    pub(crate) fn next_statement(&mut self) -> Option<Statement> {
        let mut out = Statement::default();
        let mut scan = Scan::default();
        let mut text = String::new();
        loop {
            let line = match self.pending.take() {
                Some(rest) => rest,
                None => match self.feed.next_line() {
                    Some(line) => {
                        self.line += 1;
                        line
                    }
                    None if out.raw.is_empty() => return None,
                    None => break,
                },
            };
            if out.raw.is_empty() {
                out.line = self.line;
            }
            let end = scan_line(&line, &mut scan, &mut text, self.delimiter);
            match end {
                LineEnd::Semicolon(rest) => {
                    let cut = line.len() - rest.len();
                    out.raw.push(line[..cut].to_owned());
                    if !rest.trim().is_empty() {
                        self.pending = Some(rest);
                    }
                    break;
                }
                LineEnd::Continued => out.raw.push(line),
                LineEnd::Plain => {
                    out.raw.push(line);
                    let semicolons = self.delimiter == Delimiter::Semicolon;
                    let directive = semicolons && text.trim_start().starts_with("#d");
                    let blank = text.trim().is_empty() && !scan.star;
                    if scan.comment == 0 && (!semicolons || directive || blank) {
                        break;
                    }
                    text.push(' ');
                }
            }
        }
        let trimmed = text.trim();
        trimmed.clone_into(&mut out.text);
        Some(out)
    }
}

/// Scans one physical line, adding its code to `text`.
fn scan_line(line: &str, scan: &mut Scan, text: &mut String, delimiter: Delimiter) -> LineEnd {
    if delimiter == Delimiter::LineEnd {
        scan.quote = false;
        scan.compound = 0;
    }
    let mut prev = ' ';
    let mut iter = line.char_indices().peekable();
    while let Some((at, c)) = iter.next() {
        let rest = &line[at..];
        if scan.comment > 0 {
            if scan.inside_comment(rest) {
                iter.next();
            }
            prev = ' ';
            continue;
        }
        let in_string = scan.quote || scan.compound > 0;
        if !in_string {
            if c == '*' && !scan.star && text.trim().is_empty() {
                scan.star = true;
            }
            if rest.starts_with("///") && prev.is_whitespace() {
                text.push(' ');
                return LineEnd::Continued;
            }
            if rest.starts_with("//") && prev.is_whitespace() && !scan.star {
                return LineEnd::Plain;
            }
            if rest.starts_with("/*") {
                scan.comment += 1;
                iter.next();
                text.push(' ');
                continue;
            }
            if c == ';' && delimiter == Delimiter::Semicolon {
                return LineEnd::Semicolon(line[at + 1..].to_owned());
            }
        }
        if !scan.star && scan.code(rest, c, text) {
            iter.next();
        }
        prev = c;
    }
    LineEnd::Plain
}

impl Scan {
    /// Takes a character inside a comment; `true` = with the one after it.
    fn inside_comment(&mut self, rest: &str) -> bool {
        if rest.starts_with("/*") {
            self.comment += 1;
        } else if rest.starts_with("*/") {
            self.comment -= 1;
        } else {
            return false;
        }
        true
    }

    /// Adds a character of the code to `text`; `true` = with the one after it.
    fn code(&mut self, rest: &str, c: char, text: &mut String) -> bool {
        if rest.starts_with("`\"") && !self.quote {
            self.compound += 1;
            text.push_str("`\"");
            return true;
        }
        if rest.starts_with("\"'") && self.compound > 0 && !self.quote {
            self.compound -= 1;
            text.push_str("\"'");
            return true;
        }
        if c == '"' && self.compound == 0 {
            self.quote = !self.quote;
        }
        text.push(c);
        false
    }
}

/// Tabs become blanks up to the next multiple of eight, counted in the source line, not on the screen.
pub(crate) fn expand_tabs(line: &str) -> String {
    if !line.contains('\t') {
        return line.to_owned();
    }
    let mut out = String::new();
    let mut col = 0;
    for c in line.chars() {
        if c == '\t' {
            let n = 8 - col % 8;
            out.extend(std::iter::repeat_n(' ', n));
            col += n;
        } else {
            out.push(c);
            col += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(src: &str) -> Vec<String> {
        let mut source = Source::new("t".into(), Feed::from_bytes(src.as_bytes()), Echo::On);
        let mut out = Vec::new();
        while let Some(s) = source.next_statement() {
            if s.text.starts_with("#d") {
                let semicolon = s.text.ends_with(';') || s.text.ends_with("delimit") || s.raw[0].contains(';');
                source.delimit(if semicolon { Delimiter::Semicolon } else { Delimiter::LineEnd });
            }
            out.push(s.text);
        }
        out
    }

    #[test]
    fn statements_lose_their_comments() {
        let check = |src: &str, want: &[&str]| assert_eq!(texts(src), want, "{src:?}");
        check("di 1\ndi 2", &["di 1", "di 2"]);
        check("di 1 // one\n// two\n* three\n", &["di 1", "", ""]);
        check("di 1 ///\n  + 2\n", &["di 1    + 2"]);
        check("di \"http://x\" /* y */ \"/* z\"\n", &["di \"http://x\"   \"/* z\""]);
        check("/* a\nb */ di 1\n", &["di 1"]);
        check("/* a /* b */\n c */\ndi 2\n", &["", "di 2"]);
        check("* a ///\n b\ndi 3\n", &["", "di 3"]);
        check("di 2 * 3\n", &["di 2 * 3"]);
        check("di `\"a // \"b\" c\"'\n", &["di `\"a // \"b\" c\"'"]);
        check("di 1\r\ndi 2\r\n", &["di 1", "di 2"]);
        check("di 1\rdi 2\r", &["di 1\rdi 2"]);
    }

    #[test]
    fn semicolons_delimit_when_told() {
        let check = |src: &str, want: &[&str]| assert_eq!(texts(src), want, "{src:?}");
        check(
            "#delimit ;\ndi\n 1;\ndi 2; di 3;\n#delimit cr\ndi 4\n",
            &["#delimit ;", "di  1", "di 2", "di 3", "#delimit cr", "di 4"],
        );
    }

    #[test]
    fn tabs_stop_at_eights() {
        assert_eq!(expand_tabs("\tx"), "        x");
        assert_eq!(expand_tabs("abc\tx"), "abc     x");
    }
}
