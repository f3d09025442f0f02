//! Code as its commands: without comments, with lines that are continued joined, and each with the line where it begins.
//!
//! Blocks of Python and Java are left out: what they hold is no Stata code.

/// One command of some code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// Where it begins, from 1.
    pub(super) line: u32,
    pub(super) text: String,
}

/// All commands of some code.
pub(super) fn commands(code: &str) -> Vec<Command> {
    let mut reader =
        Reader { rest: code, line: 1, semicolons: false, text: String::new(), begins: 1, done: Vec::new() };
    while !reader.rest.is_empty() {
        reader.step();
    }
    reader.end_command();
    reader.done
}

struct Reader<'a> {
    rest: &'a str,
    line: u32,
    /// After `#delimit ;`.
    semicolons: bool,
    text: String,
    begins: u32,
    done: Vec<Command>,
}

impl Reader<'_> {
    fn step(&mut self) {
        let fresh = self.text.trim().is_empty();
        let blank_before = self.text.is_empty() || self.text.ends_with([' ', '\t']);
        let rest = self.rest;
        let Some(c) = rest.chars().next() else { return };
        if fresh && c == '#' && rest[1..].trim_start().starts_with(['d', 'D']) {
            let words = self.skip(end_of_line(rest));
            self.semicolons = words.contains(';');
        } else if fresh && c == '*' {
            self.star();
        } else if blank_before && rest.starts_with("///") {
            self.skip((end_of_line(rest) + 1).min(rest.len()));
            self.text.push(' ');
        } else if blank_before && rest.starts_with("//") {
            self.skip(end_of_line(rest));
        } else if rest.starts_with("/*") {
            self.block();
        } else if c == '"' {
            self.quoted();
        } else if rest.starts_with("`\"") {
            self.compound();
        } else if c == '\n' {
            self.skip(1);
            if self.semicolons { self.push(' ') } else { self.end_command() }
        } else if c == ';' && self.semicolons {
            self.skip(1);
            self.end_command();
        } else {
            self.skip(c.len_utf8());
            self.push(c);
        }
    }

    fn push(&mut self, c: char) {
        if self.text.trim().is_empty() {
            // The blanks before a command are none of its text, and it begins with its first letter.
            self.begins = self.line;
            self.text.clear();
            if c.is_whitespace() {
                return;
            }
        }
        self.text.push(c);
    }

    fn push_all(&mut self, text: &str) {
        text.chars().for_each(|c| self.push(if c == '\n' { ' ' } else { c }));
    }

    /// Takes so many bytes, and returns them.
    fn skip(&mut self, bytes: usize) -> &str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line = self.line.saturating_add(u32::try_from(taken.matches('\n').count()).unwrap_or(u32::MAX));
        self.rest = rest;
        taken
    }

    fn end_command(&mut self) {
        let text = std::mem::take(&mut self.text).trim().to_owned();
        if !text.is_empty() {
            let opens = opens_block(&text);
            self.done.push(Command { line: self.begins, text });
            if opens {
                self.leave_block_out();
            }
        }
        self.begins = self.line;
    }

    /// A comment that begins with `*`: to the end of the command.
    fn star(&mut self) {
        loop {
            if self.semicolons {
                let end = self.rest.find(';').map_or(self.rest.len(), |at| at + 1);
                self.skip(end);
                return;
            }
            let end = end_of_line(self.rest);
            let goes_on = self.skip(end).contains(" ///");
            if !goes_on || self.rest.is_empty() {
                return;
            }
            self.skip(1);
        }
    }

    /// A comment between `/*` and `*/`, which may hold others.
    fn block(&mut self) {
        let bytes = self.rest.as_bytes();
        let (mut at, mut depth) = (2, 1);
        while at < bytes.len() && depth > 0 {
            match (bytes[at], bytes.get(at + 1)) {
                (b'/', Some(b'*')) => (at, depth) = (at + 2, depth + 1),
                (b'*', Some(b'/')) => (at, depth) = (at + 2, depth - 1),
                _ => at += 1,
            }
        }
        self.skip(at);
        if !self.text.is_empty() {
            self.text.push(' ');
        }
    }

    fn quoted(&mut self) {
        let line = if self.semicolons { self.rest.len() } else { end_of_line(self.rest) };
        let end = self.rest[1..line].find('"').map_or(line, |at| at + 2);
        let text = self.rest[..end].to_owned();
        self.begin_here();
        self.skip(end);
        self.push_all(&text);
    }

    /// A text between `` `" `` and `"'`, which may hold others.
    fn compound(&mut self) {
        let bytes = self.rest.as_bytes();
        let (mut at, mut depth) = (2, 1);
        while at < bytes.len() && depth > 0 && (self.semicolons || bytes[at] != b'\n') {
            match (bytes[at], bytes.get(at + 1)) {
                (b'`', Some(b'"')) => (at, depth) = (at + 2, depth + 1),
                (b'"', Some(b'\'')) => (at, depth) = (at + 2, depth - 1),
                _ => at += 1,
            }
        }
        let text = self.rest[..at].to_owned();
        self.begin_here();
        self.skip(at);
        self.push_all(&text);
    }

    fn begin_here(&mut self) {
        if self.text.trim().is_empty() {
            self.begins = self.line;
        }
    }

    fn leave_block_out(&mut self) {
        while !self.rest.is_empty() {
            let end = (end_of_line(self.rest) + 1).min(self.rest.len());
            if self.skip(end).trim().trim_end_matches(';').trim_end() == "end" {
                return;
            }
        }
    }
}

fn end_of_line(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// Whether a block of another language follows, which ends with `end`.
fn opens_block(command: &str) -> bool {
    let command = super::prefixes::without(command).unwrap_or(command);
    matches!(command.trim_end_matches(':').trim_end(), "python" | "java")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_apart() {
        #[track_caller]
        fn check(code: &str, want: &[(u32, &str)]) {
            let found = commands(code);
            let found: Vec<_> = found.iter().map(|command| (command.line, command.text.as_str())).collect();
            assert_eq!(found, want, "{code}");
        }
        check("a\n\n  b x // c\n", &[(1, "a"), (3, "b x")]);
        check("* a ///\n b\nc", &[(3, "c")]);
        check("a ///\n  b ///\n  c\nd", &[(1, "a    b    c"), (4, "d")]);
        check("/* a\nb */ c\n", &[(2, "c")]);
        check("a /* b /* c */ d */ e", &[(1, "a   e")]);
        check("#delimit ;\na\n b;\n* c\n d;\ne; f;\n#delimit cr\ng", &[(2, "a  b"), (6, "e"), (6, "f"), (8, "g")]);
        check("use http://a.b/c", &[(1, "use http://a.b/c")]);
        check("di \"// a\" // b", &[(1, "di \"// a\"")]);
        check("di `\"/* \"a\" */\"' x", &[(1, "di `\"/* \"a\" */\"' x")]);
        check("di \"a\nb", &[(1, "di \"a"), (2, "b")]);
        check("python\nprint('*/*')\n/*\nend\na", &[(1, "python"), (5, "a")]);
        check("python: print(1)\na", &[(1, "python: print(1)"), (2, "a")]);
        check("/* a", &[]);
        check("", &[]);
    }
}
