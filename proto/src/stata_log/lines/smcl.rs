//! SMCL, Stata's markup, as it is displayed: `{err}x` is `x`, `{search r(198):r(198);}` is `r(198);`, `{c |}` is `|`,
//! rules are dashes.
//!
//! Tags stand in tags, and what `{err}` begins goes on over lines until another tag says what follows. From `{p}` to
//! `{p_end}` or a blank line the lines are one paragraph, which a viewer fills.

/// Deeper nesting is no text that Stata writes.
const DEPTH: u32 = 8;

/// Whether a line belongs to a paragraph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Paragraph {
    /// It stands alone.
    #[default]
    None,
    /// It begins one.
    Begins,
    /// It continues one.
    GoesOn,
}

/// What earlier lines say about the next one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mode {
    error: bool,
    paragraph: bool,
}

/// A line as it is displayed.
pub(super) struct Shown {
    pub(super) text: String,
    /// Some of it is marked as an error.
    pub(super) error: bool,
    pub(super) paragraph: Paragraph,
}

/// Whether a line with its tags is the last that Stata writes into a log.
pub(super) fn closes_log(text: &str) -> bool {
    let line = text.trim_end().trim_end_matches("{smcl}");
    line.ends_with("{txt}{sf}{ul off}") || line.ends_with("{com}{sf}{ul off}")
}

impl Mode {
    /// Shows the next line.
    pub(super) fn show(&mut self, line: &str) -> Shown {
        let mut shown = Shown { text: String::with_capacity(line.len()), error: false, paragraph: Paragraph::None };
        // A blank line ends a paragraph as `{p_end}` does.
        self.paragraph &= !line.trim().is_empty();
        if self.paragraph {
            shown.paragraph = Paragraph::GoesOn;
        }
        self.text(line, &mut shown, 0);
        shown
    }

    fn text(&mut self, text: &str, shown: &mut Shown, depth: u32) {
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            self.plain(&rest[..open], shown);
            let inside = &rest[open + 1..];
            let Some(close) = closing(inside) else {
                return self.plain(&rest[open..], shown);
            };
            self.tag(&inside[..close], shown, depth);
            rest = &inside[close + 1..];
        }
        self.plain(rest, shown);
    }

    fn plain(&self, text: &str, shown: &mut Shown) {
        shown.error |= self.error && !text.trim().is_empty();
        shown.text.push_str(text);
    }

    fn tag(&mut self, tag: &str, shown: &mut Shown, depth: u32) {
        if depth >= DEPTH {
            return self.plain(tag, shown);
        }
        let (name, argument) = tag.split_once([' ', ':']).unwrap_or((tag, ""));
        if let Some((directive, text)) = outer_colon(tag) {
            let before = self.error;
            self.mode(directive.split(' ').next().unwrap_or(""), shown);
            self.text(text, shown, depth + 1);
            self.error = before;
            return;
        }
        let number = || argument.trim().parse::<usize>().unwrap_or(0).min(300);
        let out = &mut shown.text;
        match name {
            ".-" => out.extend(std::iter::repeat_n('-', 79)),
            "hline" => out.extend(std::iter::repeat_n('-', if argument.is_empty() { 79 } else { number() })),
            "space" => out.extend(std::iter::repeat_n(' ', number())),
            "col" => {
                let width = out.chars().count();
                out.extend(std::iter::repeat_n(' ', number().saturating_sub(width + 1)));
            }
            "c" | "char" => match argument.trim() {
                "-" => out.push('-'),
                "-(" => out.push('{'),
                ")-" => out.push('}'),
                "S|" => out.push('$'),
                "'g" => out.push('`'),
                "|" => out.push('|'),
                _ => out.push('+'),
            },
            "cmd" | "bf" | "it" | "help" | "stata" | "search" | "browse" => self.text(argument, shown, depth + 1),
            name => self.mode(name, shown),
        }
    }

    /// A tag that says what the text after it is.
    fn mode(&mut self, name: &str, shown: &mut Shown) {
        match name {
            "err" | "error" => self.error = true,
            "txt" | "text" | "res" | "result" | "com" | "inp" | "input" => self.error = false,
            "p" | "pstd" | "psee" | "phang" | "pmore" | "pin" => {
                self.paragraph = true;
                shown.paragraph = Paragraph::Begins;
            }
            "p_end" => self.paragraph = false,
            _ => {}
        }
    }
}

/// `name: text` of a tag, at the first colon that is not in a tag within it.
fn outer_colon(tag: &str) -> Option<(&str, &str)> {
    let colon = tag.find([':', '{']).filter(|at| tag[*at..].starts_with(':'))?;
    Some((&tag[..colon], &tag[colon + 1..]))
}

/// Position of the `}` that closes a tag whose inside starts at 0.
fn closing(inside: &str) -> Option<usize> {
    let mut depth = 0u32;
    for (i, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(i),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_shown_with_their_marks() {
        fn check(log: &[&str], expected: &[(&str, bool, Paragraph)]) {
            let mut mode = Mode::default();
            let shown: Vec<_> = log.iter().map(|line| mode.show(line)).collect();
            let shown: Vec<_> = shown.iter().map(|s| (s.text.as_str(), s.error, s.paragraph)).collect();
            assert_eq!(shown, expected, "{log:?}");
        }
        use Paragraph::{Begins, GoesOn, None};
        check(
            &["{err}{p 0 4 2}", "file {bf:{err}x.dta}", "not found", "{p_end}", "{txt}{search r(601), local:r(601);}"],
            &[
                ("", false, Begins),
                ("file x.dta", true, GoesOn),
                ("not found", true, GoesOn),
                ("", false, GoesOn),
                ("r(601);", false, None),
            ],
        );
        check(
            &["{p}", "a", "", "b"],
            &[("", false, Begins), ("a", false, GoesOn), ("", false, None), ("b", false, None)],
        );
        check(&["{res}1 {err:bad} {txt}x"], &[("1 bad x", true, None)]);
        check(&["{err}no {bf:x}", "{txt}{hline 3}{c |}"], &[("no x", true, None), ("---|", false, None)]);
        check(&["{col 5}a{cmd:di}", "{unclosed"], &[("    adi", false, None), ("{unclosed", false, None)]);
    }
}
