//! Stata's error text for a failure, found in the output printed before `r(N);`.
//!
//! SMCL marks what is an error, and then that is the message. Plain logs do not, so rules decide: a message starts at a
//! line that is not indented and continues in lines indented by four or more, also in further paragraphs; wide ones wrap
//! with `> `. If the command printed few items, all it printed is the message; else it is the last item only, and never a
//! table, a note or an iteration line. Of a trace of Java only its first line counts, of one of Python all.

use super::lines::Paragraph;

/// A failing command that printed at most this many items printed only its message.
const FEW: usize = 8;

/// Least indent of a line that continues the one above it.
const HANGING: usize = 4;

/// From this indent on, lines below each other are a list of their own and are not joined.
const LISTED: usize = 8;

/// Dashes of a rule that closes a block.
const RULE: usize = 40;

/// How much there is of the output since the last echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// All of it.
    Whole,
    /// The last lines.
    End,
}

/// A line that was printed.
#[derive(Clone, Debug, Default)]
pub(super) struct Printed {
    pub(super) text: String,
    /// SMCL marks it as an error.
    pub(super) error: bool,
    pub(super) paragraph: Paragraph,
}

impl Printed {
    pub(super) fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Whether it can only be the rest of a line above it.
    pub(super) fn continues(&self) -> bool {
        indent(&self.text) >= HANGING || self.text.starts_with("> ")
    }
}

/// The message at the end of `lines`, the output since the last echo.
pub(super) fn message(lines: &[Printed], output: Output) -> Option<String> {
    if lines.iter().any(|line| line.error) {
        return marked(lines);
    }
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    plain(&texts, output)
}

/// What SMCL marks.
fn marked(lines: &[Printed]) -> Option<String> {
    let mut out: Vec<String> = vec![];
    for line in lines.iter().filter(|line| line.error) {
        let wrapped = line.text.strip_prefix("> ");
        let words = line.text.trim();
        match (out.last_mut(), wrapped) {
            (Some(last), Some(rest)) => last.push_str(rest.trim_end()),
            (Some(last), None) if line.paragraph == Paragraph::GoesOn => {
                last.push(' ');
                last.push_str(words);
            }
            _ => out.push(words.to_owned()),
        }
    }
    Some(out.join("\n"))
}

/// What was printed, each wrapped line made whole.
pub(super) fn unwrapped(lines: &[Printed]) -> Vec<String> {
    joined(&lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>())
}

fn plain(lines: &[&str], output: Output) -> Option<String> {
    let whole = joined(lines);
    let end = whole.iter().rposition(|line| !is_dressing(line))? + 1;
    if let Some(at) = whole[..end].iter().rposition(|line| line.trim_end() == "Traceback (most recent call last):") {
        return Some(whole[at..end].iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n"));
    }
    let start = beginning(&whole[..end]);
    let alone = output == Output::Whole && whole[..start].iter().all(|line| line.trim().is_empty());
    let items = items(&whole[start..end]);

    let mut kept: Vec<&Item> = vec![];
    for item in items.iter().rev() {
        let follows = match kept.last() {
            None => true,
            Some(next) => {
                !item.text.starts_with('(')
                    && ((alone && items.len() <= FEW)
                        || (item.mata && next.mata)
                        || word_wrapped(item, next)
                        || belongs(item, next))
            }
        };
        if !follows || item.is_output(alone && items.len() == 1) {
            break;
        }
        kept.push(item);
    }
    if kept.is_empty() {
        return None;
    }
    kept.reverse();
    let mut text = String::new();
    for (i, item) in kept.iter().enumerate() {
        if i > 0 {
            text.push(if word_wrapped(kept[i - 1], item) { ' ' } else { '\n' });
        }
        text.push_str(&item.text);
    }
    Some(text)
}

/// A line that a block of Mata or Python prints when an error leaves it, or nothing.
fn is_dressing(line: &str) -> bool {
    let words = line.trim();
    let skipped = words.strip_prefix('(').and_then(|w| w.strip_suffix(')')).map(|w| w.split(' ').collect::<Vec<_>>());
    let skipped = matches!(skipped.as_deref(), Some([n, "lines" | "line", "skipped"]) if n.parse::<u32>().is_ok());
    // What `set trace on` prints while programs are left.
    let traced = words == "}" || (words.starts_with("---") && words.ends_with("---") && words.contains(" end "));
    words.is_empty() || skipped || traced || (words.len() >= RULE && words.bytes().all(|b| b == b'-'))
}

/// Messages that Stata prints in two lines.
fn belongs(item: &Item, next: &Item) -> bool {
    match next.text.as_str() {
        "assertion is false" => item.text.contains("contradiction"),
        "no results will be saved" => item.text.starts_with("insufficient observations"),
        _ => false,
    }
}

/// Where the last message begins: after the last empty line, unless what follows that is all indented, which makes it a
/// further paragraph of what is above.
fn beginning(lines: &[String]) -> usize {
    let mut start = lines.len();
    loop {
        start = lines[..start].iter().rposition(|line| line.trim().is_empty()).map_or(0, |i| i + 1);
        let hangs = lines[start..]
            .iter()
            .take_while(|line| !line.trim().is_empty())
            .all(|line| indent(line) >= HANGING && !is_mata_trace(line));
        let Some(above) = lines[..start].iter().rposition(|line| !line.trim().is_empty()).filter(|_| hangs) else {
            return start;
        };
        start = above + 1;
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

struct Item {
    text: String,
    width: usize,
    /// The indent of the last line that was joined to it.
    hanging: Option<usize>,
    mata: bool,
    orphan: bool,
}

impl Item {
    /// `single`: the command printed nothing else.
    fn is_output(&self, single: bool) -> bool {
        let text = &self.text;
        let begins = |words: &str| text.get(..words.len()).is_some_and(|head| head.eq_ignore_ascii_case(words));
        (self.orphan && !single)
            || text.contains("----")
            || text.contains(" | ")
            || begins("iteration ")
            // A line of a program under `set trace on`.
            || begins("- ")
            || begins("= ")
            || begins("note:")
            || begins("(note:")
            || (!self.mata && has_columns(text.lines().next().unwrap_or("")))
            || text.bytes().all(|b| b == b'.' || b == b'x')
    }
}

/// Whether words stand below others in columns: a message has at most two blanks between its words.
fn has_columns(words: &str) -> bool {
    words.contains("   ")
}

/// Lines that Stata wrapped with `> ` made whole. Where a wrapped line is indented, so is the mark.
fn joined(lines: &[&str]) -> Vec<String> {
    let mut whole: Vec<String> = vec![];
    let mut above = "";
    for line in lines {
        let rest = line[indent(line)..].strip_prefix("> ");
        let fits = indent(line) == 0 || indent(line) == indent(above);
        match (rest.filter(|_| fits), whole.last_mut()) {
            (Some(rest), Some(last)) if !last.trim().is_empty() => last.push_str(rest),
            _ => whole.push((*line).to_owned()),
        }
        above = line;
    }
    whole
}

/// Lines with their hanging indents joined, without the frames of a trace.
fn items(lines: &[String]) -> Vec<Item> {
    let mut items: Vec<Item> = vec![];
    for line in lines.iter().filter(|line| !line.trim().is_empty()) {
        let (mata, words) = (is_mata_trace(line), line.trim());
        let indented = Some(indent(line)).filter(|indent| *indent >= HANGING && !mata);
        // `bye...` is a whole.
        let open = |last: &&mut Item| !last.mata && !last.text.ends_with("...");
        let first = items.is_empty();
        match (items.last_mut().filter(open), indented) {
            (Some(_), Some(_)) if is_frame(words) || is_drawn(words) => {}
            (Some(last), Some(by)) => {
                // A list keeps its lines, and so does what is indented otherwise than the line above.
                let listed = by >= LISTED || last.hanging.is_some_and(|above| above >= LISTED);
                last.text.push(if listed { '\n' } else { ' ' });
                last.text.push_str(words);
                last.hanging = Some(by);
            }
            _ => {
                let width = line.chars().count();
                let orphan = first && indented.is_some();
                items.push(Item { text: words.to_owned(), width, hanging: None, mata, orphan });
            }
        }
    }
    items
}

/// `at java.desktop/sun.font.Fonts.open(Fonts.java:100)`: where an exception of Java came by.
fn is_frame(words: &str) -> bool {
    words.starts_with("at ") && words.ends_with(')') || words.starts_with("... ") && words.ends_with(" more")
}

/// A line of a diagram, as `reshape` draws one into its message.
fn is_drawn(words: &str) -> bool {
    words.starts_with(['+', '|']) || has_columns(words)
}

/// `<istmt>:  3499  foo not found`, `foo():     -  function returned error`
fn is_mata_trace(line: &str) -> bool {
    let Some((place, rest)) = line.trim_start().split_once(": ") else { return false };
    let mut words = rest.split_whitespace();
    let code = words.next().is_some_and(|w| w == "-" || w.bytes().all(|b| b.is_ascii_digit()));
    code && words.next().is_some() && !place.contains(' ') && (place.ends_with("()") || place.ends_with('>'))
}

/// Whether `item` ended only because the first word of `next` did not fit on the line.
fn word_wrapped(item: &Item, next: &Item) -> bool {
    let word = next.text.split_whitespace().next().map_or(0, |w| w.chars().count());
    let full = item.hanging.is_none() && !item.mata && !next.mata && item.width < 80 && item.width + word >= 79;
    full && next.text.starts_with(char::is_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        fn check(output: &str, part: Output, expected: Option<&str>) {
            let lines: Vec<Printed> =
                output.lines().map(|text| Printed { text: text.to_owned(), ..Printed::default() }).collect();
            assert_eq!(message(&lines, part).as_deref(), expected, "{output}");
        }
        check("", Output::Whole, None);
        check("bad_var not found", Output::Whole, Some("bad_var not found"));
        check(
            "3 contradictions in 10 observations\nassertion is false",
            Output::Whole,
            Some("3 contradictions in 10 observations\nassertion is false"),
        );
        check(
            "(note: file a not fou\n> nd)\nfile a could not be\n    opened",
            Output::Whole,
            Some("file a could not be opened"),
        );
        check(
            "outcome does not vary; remember:\n             0 = negative outcome,\n        all other = positive",
            Output::End,
            Some("outcome does not vary; remember:\n0 = negative outcome,\nall other = positive"),
        );
        check(
            "a table\n\nexceeded memory limits using exact(1); try again with larger #; see help \ntabulate for details\n",
            Output::Whole,
            Some("exceeded memory limits using exact(1); try again with larger #; see help tabulate for details"),
        );
        check("   id:  patient_id\nmore\n     id:  x\nflat region", Output::End, Some("flat region"));
        check("  7.73 |   2.56 | int1", Output::End, None);
        check(
            "note\n                 f():  3499  g not found\n                 <istmt>:     -  function returned error",
            Output::End,
            Some("f():  3499  g not found\n<istmt>:     -  function returned error"),
        );
        check("------+-----\nNote: x.\nconvergence not achieved", Output::End, Some("convergence not achieved"));
        check(
            "java.lang.NullPointerException\n        at java.desktop/sun.font.F.a(F.java:1\n> )\n        at x.y(Y.java:2)",
            Output::Whole,
            Some("java.lang.NullPointerException"),
        );
        check(
            "no room;\n    You asked\n    for much.\n\n    You have little.",
            Output::End,
            Some("no room; You asked for much. You have little."),
        );
        check(
            "i.e       _Ie_1-5     (coded)\nnote: x\ncommand y is unrecognized",
            Output::Whole,
            Some("command y is unrecognized"),
        );
        check(
            "values of variable t not unique within id\n    Your data are long.\n\n         long       wide\n        \
             +----+     +----+\n    Type reshape error for a list.",
            Output::End,
            Some("values of variable t not unique within id Your data are long. Type reshape error for a list."),
        );
        check(
            "  ---- begin foo ---\n  - confirm variable nope\nvariable nope not found\n    }\n  ------ end foo ---",
            Output::Whole,
            Some("variable nope not found"),
        );
        check(
            "x\n\n3 contradictions in 9 observations\nassertion is false",
            Output::End,
            Some("3 contradictions in 9 observations\nassertion is false"),
        );
        check("    file /a/b\n    > c.dta not found", Output::Whole, Some("file /a/bc.dta not found"));
    }
}
