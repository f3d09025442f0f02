//! Which line of a loop or program failed, where the message says it by a name.
//!
//! A loop is echoed whole before it runs, and then nothing tells which of its lines runs. But `option llegend() not
//! allowed`, `command x is unrecognized` or `y not found` name something, and often one line of the loop alone has it. A
//! name that does not exist fails where it is first used. Macros are not expanded in an echo: where one stands, anything
//! may have stood in its place. Some messages only certain commands print ([`printers`]). Where nothing of this leads to
//! one line, the loop is all that is known.

mod printers;

use std::sync::LazyLock;

use regex::Regex;

use super::commands::{is_captured, is_comment, without_prefixes};
use super::echo::Echo;
use super::locate::{decides, opens_do_file};

/// Lines of a body that are kept.
const LINES: usize = 500;
/// Bytes of them: each program of a log and each do-file that is open may hold as many.
const BYTES: usize = 16 * 1024;

/// A loop or program as its body was read.
#[derive(Debug, Clone, Default)]
pub(super) struct Block {
    lines: Vec<Echo>,
    bytes: usize,
    /// Lines of the body are being read, or the block is what was echoed last.
    open: bool,
    /// How often its body runs, if that is known.
    times: Option<u32>,
    /// Lines of it that call do-files.
    calls: u32,
    /// Some line of it decides what runs, so that the calls cannot be counted.
    decides: bool,
    /// Do-files that it has called.
    called: u32,
}

/// How a name stands in a message.
#[derive(Clone, Copy)]
enum Named {
    /// A command: the line begins with it.
    Command,
    /// An option: with its parentheses, if the message has them.
    Option,
    /// Something that does not exist: the first line that has it.
    Missing,
    /// Anything else: a line that alone has it.
    Other,
}

static NAMES: LazyLock<Vec<(Named, Regex)>> = LazyLock::new(|| {
    [
        (Named::Command, r"^command (\w+) is unrecognized"),
        (Named::Command, r"^unrecognized command:\s+(\w+)"),
        (Named::Command, r"^(\w+): (?:invalid|unrecognized) subcommand"),
        (Named::Option, r"^option (\w+)(?:\(\))? (?:not allowed|required|incorrectly specified)"),
        (Named::Missing, r"^(?:variable|matrix|scalar|factor|frame|file|variable list)?\s*(\S+) not found"),
        (Named::Other, r"^(?:variable\s+)?(\S+) (?:already defined|ambiguous abbreviation|invalid name)"),
        (Named::Other, r"^file (\S+) (?:already exists|could not be opened|not Stata format)"),
    ]
    .into_iter()
    .filter_map(|(named, pattern)| Some((named, Regex::new(pattern).ok()?)))
    .collect()
});

impl Block {
    /// A command begins at the top level, perhaps a block, whose body runs so many times if that is known.
    pub(super) fn open(&mut self, times: Option<u32>) {
        self.close();
        (self.open, self.times) = (true, times);
    }

    /// Whether lines of it call do-files.
    pub(super) fn calls(&self) -> bool {
        self.calls > 0
    }

    /// How many do-files it is still to call; none if that cannot be told.
    pub(super) fn to_call(&self) -> Option<u32> {
        let all = self.times?.checked_mul(self.calls)?;
        (!self.decides).then(|| all.saturating_sub(self.called))
    }

    /// It has called one.
    pub(super) fn has_called(&mut self) {
        self.called = self.called.saturating_add(1);
    }

    /// Whether several of its lines could have failed.
    pub(super) fn has_several(&self) -> bool {
        let commands = self.lines.iter().filter_map(Echo::command);
        commands.filter(|line| !is_comment(line) && !matches!(line.as_str(), "}" | "end")).take(2).count() > 1
    }

    /// No block is being read.
    pub(super) fn close(&mut self) {
        *self = Self::default();
    }

    /// A line of its body.
    pub(super) fn line(&mut self, body: &str, width: usize) {
        if !is_comment(body.trim()) {
            self.calls += u32::from(opens_do_file(body));
            self.decides |= decides(body);
        }
        if self.open && self.lines.len() < LINES && self.bytes < BYTES {
            self.bytes += body.len();
            let mut line = Echo::default();
            line.begin(body, width);
            self.lines.push(line);
        }
    }

    /// The line continues.
    pub(super) fn more(&mut self, rest: &str, width: usize) {
        if let Some(line) = self.lines.last_mut() {
            line.more(rest, width);
        }
    }

    /// The line of the body that was printing when a Break interrupted it, by the heading of what it printed.
    pub(super) fn interrupted_in(&self, output: &[String]) -> Option<String> {
        printers::printing(&self.commands(), output)
    }

    fn commands(&self) -> Vec<String> {
        self.lines.iter().filter_map(Echo::command).collect()
    }

    /// The line of the body that a message points to, or what was printed before it.
    pub(super) fn named_by(&self, message: &str, output: &[String]) -> Option<String> {
        let message = message.lines().next()?;
        let whole = self.commands();
        if let Some(line) = printers::printed_by(&whole, message, output) {
            return line;
        }
        let may_fail = |line: &String| !is_comment(line) && !is_captured(line);
        let lines: Vec<String> = whole.into_iter().filter(may_fail).collect();
        let only = |found: &mut dyn Iterator<Item = &String>| found.next().filter(|_| found.next().is_none()).cloned();
        let (named, name) =
            NAMES.iter().find_map(|(named, p)| Some((*named, p.captures(message)?.get(1)?.as_str())))?;
        // `use x` is of x.dta.
        let stem = name.strip_suffix(".dta").or_else(|| name.strip_suffix(".do"));
        let mut having = lines.iter().filter(|line| match named {
            Named::Command => begins(line, name),
            _ => has(line, name) || stem.is_some_and(|stem| has(line, stem)),
        });
        let first = having.next();
        match (first, named) {
            (Some(first), Named::Missing) => Some(first.clone()),
            (Some(first), _) => having.next().is_none().then(|| first.clone()),
            (None, Named::Missing | Named::Other) => only(&mut lines.iter().filter(|line| may_have(line, name))),
            (None, _) => None,
        }
    }
}

/// How many of the lines before a message belong to the command, which the log shows as it was typed: with line breaks and
/// without a mark at the lines below the first. A message that names something with a line break in it proves that, since
/// the same two words stand around a line break above.
pub(super) fn lines_of_the_command(lines: &[&str]) -> Option<usize> {
    let [before @ .., first, second] = lines else { return None };
    let (end, start) = (last_part(first)?, first_part(second)?);
    let name = format!("{end}_{start}");
    let message = format!("{}_{}", first.trim_end(), second.trim_start());
    let named =
        NAMES.iter().any(|(_, p)| p.captures(&message).is_some_and(|c| c.get(1).is_some_and(|n| n.as_str() == name)));
    let breaks = |pair: &[&str]| last_part(pair[0]) == Some(end) && first_part(pair[1]) == Some(start);
    (named && before.windows(2).any(breaks)).then_some(before.len())
}

fn last_part(line: &str) -> Option<&str> {
    let line = line.trim_end();
    let part = &line[line.trim_end_matches(is_part).len()..];
    (!part.is_empty()).then_some(part)
}

fn first_part(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let part = &line[..line.len() - line.trim_start_matches(is_part).len()];
    (!part.is_empty()).then_some(part)
}

/// Whether a line's command is this one.
fn begins(line: &str, command: &str) -> bool {
    let words = without_prefixes(line.trim_start_matches(['}', ' ', '\t']));
    words.strip_prefix(command).is_some_and(|rest| !rest.starts_with(is_part))
}

fn has(line: &str, name: &str) -> bool {
    let mut rest = line;
    while let Some(at) = rest.find(name) {
        let (before, after) = (&rest[..at], &rest[at + name.len()..]);
        if !before.ends_with(is_part) && !after.starts_with(is_part) {
            return true;
        }
        rest = after;
    }
    false
}

/// Literal characters that a word with a macro must share with a name.
const LITERAL: usize = 4;

/// Whether some word of a line is the name once its macros are filled in.
fn may_have(line: &str, name: &str) -> bool {
    line.split(|c: char| !(is_part(c) || matches!(c, '`' | '\'' | '$' | '{' | '}' | '.' | '/' | '~' | '-'))).any(
        |word| {
            let (mut pattern, mut literal, mut rest) = ("^".to_owned(), 0, word);
            while let Some(at) = rest.find(['`', '$']) {
                let (before, after) = (&rest[..at], &rest[at..]);
                literal += before.len();
                pattern += &regex::escape(before);
                pattern += ".*";
                rest = match after.strip_prefix('`') {
                    Some(inner) => inner.split_once('\'').map_or("", |(_, rest)| rest),
                    None => after[1..].trim_start_matches(|c: char| is_part(c) || matches!(c, '{' | '}')),
                };
            }
            literal += rest.len();
            pattern += &regex::escape(rest);
            pattern += "$";
            literal >= LITERAL
                && literal < word.len()
                && Regex::new(&pattern).is_ok_and(|pattern| pattern.is_match(name))
        },
    )
}

/// Whether a character belongs to a name.
fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patterns_compile() {
        assert_eq!(NAMES.len(), 7);
    }

    #[test]
    fn a_name_with_a_line_break_proves_that_the_command_has_one() {
        let check = |lines: &[&str], expected| assert_eq!(lines_of_the_command(lines), expected, "{lines:?}");
        check(&["predict p, xb", "su p", "option xb", "su not allowed"], Some(2));
        check(&["predict p, xb", "di 1", "option xb", "su not allowed"], None);
        check(&["xb", "su", "some other", "su not allowed"], None);
        check(&["option xb", "su not allowed"], None);
    }

    #[test]
    fn a_line_is_found_by_what_it_names() {
        fn check(body: &[&str], message: &str, expected: Option<&str>) {
            let mut block = Block::default();
            block.open(None);
            body.iter().for_each(|line| block.line(line, 20));
            assert_eq!(block.named_by(message, &[]).as_deref(), expected, "{message}");
        }
        let body =
            ["  gen y_2 = y + z", "  sts graph, llegend(cols(3))", "  qui safecount if z", "  use `x', clear", "}"];
        check(&body, "option llegend() not allowed", Some("sts graph, llegend(cols(3))"));
        check(&body, "command safecount is unrecognized", Some("qui safecount if z"));
        check(&body, "z not found", Some("gen y_2 = y + z"));
        check(&body, "y_2 already defined", Some("gen y_2 = y + z"));
        check(&body, "z ambiguous abbreviation", None);
        check(&body, "file a.dta not found", None);
        check(&body, "no observations", None);
        check(&["  merge 1:1 id using nofile"], "file nofile.dta not found", Some("merge 1:1 id using nofile"));
        let body = ["  estat phtest, plot(`outcome'_flag)", "  tab a `b', row col", "  use \"$data/x.dta\""];
        check(&body, "died_flag not found in model", Some("estat phtest, plot(`outcome'_flag)"));
        check(&body, "file /d/x.dta not found", Some("use \"$data/x.dta\""));
        check(&body, "too many values", Some("tab a `b', row col"));
    }
}
