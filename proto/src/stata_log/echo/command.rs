//! Puts one echoed command together from its lines as shown: the first after its prompt, the others after `> `.
//!
//! A line continues below because it ends in `///`, because a comment goes on, because under `#delimit ;` only `;` ends a
//! command, or because it was as wide as this log's lines get. Only the last was one line in the source: it is glued, the
//! others are joined by a blank. How wide a log gets is its own matter (`set linesize`), so a line that has none of the
//! other reasons was wrapped, and under `#delimit ;` one is that is as wide as any so far.

/// Bytes kept of one command.
const MOST: usize = 64 * 1024;
/// The width of a batch log's lines, and the least that Stata takes.
const WIDTHS: (usize, usize) = (79, 39);

/// The command that was echoed last.
#[derive(Debug, Clone, Default)]
pub struct Echo {
    parts: Vec<(String, usize)>,
    bytes: usize,
    capturing: bool,
    widest: usize,
    semicolon: bool,
}

impl Echo {
    /// A command begins, in a line of this width.
    pub fn begin(&mut self, command: &str, width: usize) {
        self.widest = self.widest.max(width);
        self.capturing = true;
        self.bytes = command.len();
        self.parts.clear();
        self.parts.push((command.to_owned(), width));
        self.semicolon = delimiter(command).unwrap_or(self.semicolon);
    }

    /// It continues.
    pub fn more(&mut self, rest: &str, width: usize) {
        self.widest = self.widest.max(width);
        if self.capturing && self.bytes < MOST {
            self.bytes += rest.len() + 1;
            self.parts.push((rest.to_owned(), width));
        }
    }

    /// Something else was echoed that does not take its place.
    pub fn pass(&mut self, width: usize) {
        self.widest = self.widest.max(width);
        self.capturing = false;
    }

    /// Another command takes its place.
    pub fn restore(&mut self, command: String) {
        self.capturing = false;
        self.parts.clear();
        self.parts.push((command, 0));
    }

    /// Another command takes its place, of the same log.
    pub fn take_from(&mut self, other: Self) {
        let (widest, semicolon) = (self.widest, self.semicolon);
        *self = Self { widest, semicolon, capturing: false, ..other };
    }

    /// Whether the command may assign something to a macro.
    pub fn assigns(&self) -> bool {
        let assigns = |(part, _): &(String, usize)| part.contains("lo") || part.contains("gl");
        self.parts.iter().any(assigns)
    }

    /// The command in one line, comments and `;` included; none if nothing was echoed.
    pub fn command(&self) -> Option<String> {
        (!self.parts.is_empty()).then(|| joined(&self.parts, self.widest, self.semicolon)).filter(|c| !c.is_empty())
    }
}

/// What `#delimit ;` and `#delimit cr` say: whether `;` ends commands from here on.
pub fn delimiter(command: &str) -> Option<bool> {
    let command = command.trim().strip_prefix('#')?;
    let (word, rest) = command.split_at(command.find(|c: char| !c.is_alphabetic()).unwrap_or(command.len()));
    (!word.is_empty() && "delimit".starts_with(word)).then(|| rest.contains(';'))
}

/// Whether the next line was part of this one in the source.
pub fn is_wrapped(part: &str, width: usize, widest: usize, semicolon: bool) -> bool {
    if part.trim_end().ends_with("///") {
        return false;
    }
    let comment = part.rfind("/*").is_some_and(|open| !part[open..].contains("*/"));
    !(semicolon || comment) || width == WIDTHS.0 || (width == widest && width >= WIDTHS.1)
}

fn joined(parts: &[(String, usize)], widest: usize, semicolon: bool) -> String {
    let semicolon = semicolon || parts.last().is_some_and(|(last, _)| last.trim_end().ends_with(';'));
    let mut out = String::new();
    let mut glue = true;
    for (part, width) in parts {
        if glue {
            out.push_str(part);
        } else {
            out.truncate(out.trim_end().len());
            if let Some(kept) = out.strip_suffix("///") {
                out.truncate(kept.trim_end().len());
            }
            out.push(' ');
            out.push_str(part.trim_start());
        }
        glue = is_wrapped(part, *width, widest, semicolon);
    }
    out.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins() {
        fn check(parts: &[&str], widths: &[usize], expected: &str) {
            let parts: Vec<_> = parts.iter().zip(widths).map(|(p, w)| ((*p).to_owned(), *w)).collect();
            assert_eq!(joined(&parts, 61, false), expected);
        }
        check(&["reg y x"], &[9], "reg y x");
        check(&["reg y ///", "    x"], &[11, 7], "reg y x");
        check(&["file open using a", "bc"], &[79, 4], "file open using abc");
        check(&["file open using a", "bc"], &[61, 4], "file open using abc");
        check(&["do C:\\deep\\ma", "in2.do"], &[40, 8], "do C:\\deep\\main2.do");
        check(&["reg y", "x ;"], &[9, 5], "reg y x ;");
        check(&["gen x = 1 /* one", "two */ + 2"], &[20, 12], "gen x = 1 /* one two */ + 2");
    }

    #[test]
    fn delimiters() {
        assert_eq!(delimiter("#delimit ;"), Some(true));
        assert_eq!(delimiter("#d cr"), Some(false));
        assert_eq!(delimiter("# review"), None);
        assert_eq!(delimiter("display 1"), None);
    }
}
