//! Distinguishes what Stata echoed from what it printed.
//!
//! A command echoes as `. ` and its source line, macros not expanded; `///`, `/* … */` and lines wider than the line
//! size continue with `> `. Loops and programs echo their body with right-aligned numbers from 2, and nothing is
//! printed while a body is being read, so the first line that is neither ends it. Mata's prompt is `: `, Python's `>>> `. Output can
//! look like an echo (`display ". x"`): where it matters, the sentinel or the source text decides.

mod command;

use super::commands::program_name;

pub use command::{Echo, delimiter, is_wrapped};

/// What one line of a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A new command at the top level of a do-file; the source text after the prompt.
    Command(&'a str),
    /// A line of a loop's or program's body.
    Body(&'a str),
    /// The rest of a command or body line that was continued or wrapped; the text after `> `.
    More(&'a str),
    /// `end of do-file`
    End,
    /// `r(N);`, with or without the time that `set rmsg on` adds.
    Code(i64),
    /// `--Break--`, also at the end of a line of dots.
    Break,
    /// The time line of `set rmsg on`: how long the command before it took, ms.
    Rmsg(u64),
    /// Nothing, or blanks.
    Blank,
    /// Anything else.
    Output,
}

/// Classifies lines in order. Small and cheap to clone, so that a partial line can be tried.
#[derive(Debug, Clone, Default)]
pub struct Classifier {
    in_echo: bool,
    next_body: Option<u32>,
    body: bool,
    depth: i64,
    program: bool,
    inside: Inside,
}

/// Which interpreter reads the lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Inside {
    #[default]
    Stata,
    Mata,
    Python,
}

impl Classifier {
    /// What `text` is after all lines before it.
    pub fn next<'a>(&mut self, text: &'a str) -> Kind<'a> {
        let kind = self.look(text);
        match kind {
            Kind::Command(command) => self.command(command),
            Kind::Body(line) => self.body_line(text, line),
            // A wrapped line may begin with any character of the line above.
            Kind::More(rest) => self.depth += opens(rest),
            _ => {
                self.in_echo = false;
                self.body = false;
                self.next_body = None;
            }
        }
        kind
    }

    /// Whether a line that [`is_output`] is [`Kind::Output`] here, and leaves this classifier unchanged.
    #[inline]
    pub fn is_idle(&self) -> bool {
        !self.in_echo && !self.body && self.next_body.is_none()
    }

    fn look<'a>(&self, text: &'a str) -> Kind<'a> {
        let trimmed = text.trim_end();
        if trimmed.is_empty() {
            return Kind::Blank;
        }
        if self.in_echo {
            if let Some(rest) = text.strip_prefix("> ") {
                return Kind::More(rest);
            }
            if trimmed == ">" {
                return Kind::More("");
            }
            if let Some(rest) = text.strip_prefix("... ").filter(|_| self.inside == Inside::Python) {
                return Kind::More(rest);
            }
            if let Some(line) = self.next_body.and_then(|n| self.body_number(text, n)) {
                return Kind::Body(line);
            }
        }
        let other = match self.inside {
            Inside::Stata => None,
            Inside::Mata => prompt(text, ':'),
            Inside::Python => text.strip_prefix(">>>").map(|rest| rest.strip_prefix(' ').unwrap_or(rest)),
        };
        if let Some(command) = prompt(text, '.').or(other) {
            return if self.body { Kind::Body(command) } else { Kind::Command(command) };
        }
        if trimmed == "end of do-file" {
            return Kind::End;
        }
        if trimmed.ends_with("--Break--") {
            return Kind::Break;
        }
        if let Some(ms) = rmsg(trimmed) {
            return Kind::Rmsg(ms);
        }
        code(trimmed).map_or(Kind::Output, Kind::Code)
    }

    /// A line of a body by its number `n`: loops start with 2, programs with 1.
    fn body_number<'a>(&self, text: &'a str, n: u32) -> Option<&'a str> {
        let first = self.program && !self.body && n == 2;
        numbered(text, n).or_else(|| if first { numbered(text, 1) } else { None })
    }

    fn command(&mut self, command: &str) {
        let word = command.trim();
        self.inside = match (self.inside, word) {
            (Inside::Stata, "mata" | "mata:") => Inside::Mata,
            (Inside::Stata, "python" | "python:") => Inside::Python,
            (_, "end") => Inside::Stata,
            (inside, _) => inside,
        };
        self.in_echo = true;
        self.body = false;
        self.next_body = Some(2);
        self.depth = net_braces(command);
        self.program = program_name(word).is_some();
    }

    fn body_line(&mut self, text: &str, line: &str) {
        self.body = true;
        self.depth += net_braces(line);
        // The line after a comment shows `. ` instead of a number, and does not count.
        if let Some(n) = self.next_body.filter(|&n| numbered(text, n).is_some()) {
            self.next_body = Some(n.saturating_add(1));
        }
        let over = if self.program { line.trim() == "end" } else { self.depth <= 0 };
        if over {
            self.body = false;
            self.next_body = None;
        }
    }
}

/// Whether a line is sure to be output where no echo is open, judged by its first and last bytes: true of most lines of
/// a large log. False for a line that may be more (also part of Stata's banner, or an absolute path).
// Inlined so that the agent, which looks at every line of a log, has it optimized for speed like its own code.
#[inline]
pub fn is_output(raw: &[u8]) -> bool {
    let (first, last) = (raw.trim_ascii_start(), raw.trim_ascii_end());
    let ([head, ..], [.., tail]) = (first, last) else { return false };
    if !head.is_ascii_graphic() || !tail.is_ascii_graphic() || *tail == b'-' || matches!(head, b'/' | b'_') {
        return false;
    }
    match raw {
        [b'.', b' ', ..] | [b'.'] | [b':', ..] | [b'>', b'>', b'>', ..] => false,
        [b'r', b'(' | b';', ..] => false,
        [b'e', ..] => !raw.starts_with(b"end of do-file"),
        _ => true,
    }
}

/// `. command`, and `. . command` as a piped console shows it.
fn prompt(text: &str, mark: char) -> Option<&str> {
    let rest = text.strip_prefix(mark)?;
    if rest.is_empty() {
        return Some("");
    }
    let command = rest.strip_prefix(' ')?;
    Some(command.strip_prefix(". ").unwrap_or(command))
}

/// `  2. text` with the number right-aligned in three columns.
fn numbered(text: &str, n: u32) -> Option<&str> {
    let mut rest = text.as_bytes();
    let mut blanks = 0;
    while let [b' ', more @ ..] = rest {
        rest = more;
        blanks += 1;
    }
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let number = text.get(blanks..blanks + digits)?;
    if digits == 0 || blanks + digits != digits.max(3) || number.parse() != Ok(n) {
        return None;
    }
    let after = text.get(blanks + digits..)?.strip_prefix('.')?;
    if after.is_empty() { Some("") } else { after.strip_prefix(' ') }
}

/// N of `r(N);` or `r(N); t=0.69 22:24:13`. Codes have no bound: programs end with any integer.
pub fn code(line: &str) -> Option<i64> {
    let (digits, rest) = line.strip_prefix("r(")?.split_once(");")?;
    let rest = rest.trim_end();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) || !(rest.is_empty() || rest.starts_with(" t="))
    {
        return None;
    }
    digits.parse().ok()
}

/// The time of `r; t=0.05 12:01:22`, milliseconds.
fn rmsg(line: &str) -> Option<u64> {
    let time = line.strip_prefix("r; t=")?.split_whitespace().next()?.replace(',', "");
    let time: f64 = time.parse().ok()?;
    u64::try_from(std::time::Duration::try_from_secs_f64(time).ok()?.as_millis()).ok()
}

/// How a line changes the depth of blocks: one opens at the end of a line, and closes at the beginning of one. Braces in
/// between belong to texts and names.
fn net_braces(text: &str) -> i64 {
    opens(text) - i64::from(text.trim_start().starts_with('}'))
}

/// Whether a command opens a block, whose body is echoed below it.
pub fn opens_block(command: &str) -> bool {
    opens(command) > 0
}

fn opens(text: &str) -> i64 {
    let code = text.find("//").map_or(text, |comment| &text[..comment]);
    let code = code.trim_end().strip_suffix(';').unwrap_or(code).trim_end();
    let code = match code.strip_suffix("*/").and_then(|kept| kept.rfind("/*")) {
        Some(comment) => code[..comment].trim_end(),
        None => code,
    };
    i64::from(code.ends_with('{'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(log: &str) -> String {
        let mut classifier = Classifier::default();
        log.lines()
            .map(|l| match classifier.next(l) {
                Kind::Command(_) => 'C',
                Kind::Body(_) => 'b',
                Kind::More(_) => '>',
                Kind::End => 'E',
                Kind::Code(_) => 'r',
                Kind::Break => 'B',
                Kind::Rmsg(_) => 't',
                Kind::Blank => '_',
                Kind::Output => 'o',
            })
            .collect()
    }

    #[test]
    fn commands_and_output() {
        fn check(log: &str, expected: &str) {
            assert_eq!(kinds(log), expected, "{log}");
        }
        check(". di 1\n1\n\n. \nend of do-file\n", "Co_CE");
        check(". di \"a ///\n> b\"\na b\n> not an echo\n", "C>oo");
        check(". forvalues i = 1/2 {\n  2.     di `i'\n  3. }\n1\n2\n", "Cbboo");
        check(". foreach x in a {\n  2.   * note\n.   di 1\n  3. \n. }\n1\n. di 2\n", "CbbbboC");
        check(
            ". program main\n  1.     di 1\n  2. \n.     do sub.do\n  3.   di 2\n  4. end\n\n. p\n",
            "CbbbbbC".replace("bC", "b_C").as_str(),
        );
        check(". program define p\n  2.   di 1\n  3. end\n\n. p\n", "Cbb_C");
        check(". if 1 {\n.     di 1\n1\n. }\n", "CCoC");
        check(". foreach x in a {\n  2.   file write h \"}\" _n // }\n  3.   di \"{\"\n  4. }\n1\n", "Cbbbo");
        check(". foreach x in a { // all\n  2.   di 1\n  3. } /* { */\n1\n", "Cbbo");
        check(". list\n\n  1. | 3 |\n  2. | 4 |\n", "C_oo");
        check(". list x\n  2. | 4 |\n", "Cb");
        check(". mata:\n: x = 1\n: end\n: no\n", "CCCo");
        check(". python:\n>>> for x in a:\n...     print(x)\n1\n>>> end\n>>> no\n", "CC>oCo");
        check(" ..--Break--\nr(1);\nr(111); t=0.69 22:24:13\nr; t=0.00 2:04:05\n", "Brrt");
        check("r(); r(1)\nr(12x);\nr(99999999999999999999);\n.5\n.\n", "ooooC");
        check(". . file close output\n", "C");
    }

    proptest::proptest! {
        #[test]
        fn sure_output_is_output(line in r"([.:>er/_ x1-]|end of do-file|r\(1\);|--Break--| |\u{3000}|\u{b}|\PC){0,6}") {
            for before in ["", "x", ". mata", ". mata\n: x = 1\nout", ". python:\n>>> x\nout"] {
                let mut classifier = Classifier::default();
                before.lines().for_each(|l| { classifier.next(l); });
                if is_output(line.as_bytes()) && classifier.is_idle() {
                    let as_it_was = format!("{classifier:?}");
                    proptest::prop_assert_eq!(classifier.next(&line), Kind::Output);
                    proptest::prop_assert_eq!(format!("{classifier:?}"), as_it_was);
                }
            }
        }
    }
}
