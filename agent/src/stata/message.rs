//! Stata's error text for a failure, found in the output printed before `r(N);`.
//!
//! Plain logs do not mark errors, so rules decide: a message starts at a line that is not indented and continues in
//! lines indented by four or more; wide ones wrap with `> `. If the command printed few items, all it printed is the
//! message; else it is the last item only, and never a table or an iteration line.

/// A failing command that printed at most this many items printed only its message.
const FEW: usize = 8;

/// How much there is of the output since the last echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// All of it.
    Whole,
    /// The last lines.
    End,
}

/// The message at the end of `lines`, the output since the last echo.
pub(super) fn message(lines: &[&str], output: Output) -> Option<String> {
    let whole = unwrapped(lines);
    let end = whole.iter().rposition(|l| !l.trim().is_empty())? + 1;
    let start = whole[..end].iter().rposition(|l| l.trim().is_empty()).map_or(0, |i| i + 1);
    let alone = output == Output::Whole && whole[..start].iter().all(|l| l.trim().is_empty());
    let items = items(&whole[start..end]);

    let mut kept: Vec<&Item> = vec![];
    for item in items.iter().rev() {
        let follows = match kept.last() {
            None => true,
            Some(next) => {
                !item.text.starts_with('(')
                    && ((alone && items.len() <= FEW) || (item.mata && next.mata) || word_wrapped(item, next))
            }
        };
        if !follows || item.is_output() {
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

struct Item {
    text: String,
    width: usize,
    hanging: bool,
    mata: bool,
    orphan: bool,
}

impl Item {
    fn is_output(&self) -> bool {
        let text = &self.text;
        self.orphan
            || text.contains("----")
            || text.contains(" | ")
            || text.starts_with("Iteration ")
            || text.starts_with("(note:")
            || text.bytes().all(|b| b == b'.' || b == b'x')
    }
}

/// Lines that Stata wrapped with `> ` made whole.
fn unwrapped(lines: &[&str]) -> Vec<String> {
    let mut whole: Vec<String> = vec![];
    for line in lines {
        match (line.strip_prefix("> "), whole.last_mut()) {
            (Some(rest), Some(last)) if !last.trim().is_empty() => last.push_str(rest),
            _ => whole.push((*line).to_owned()),
        }
    }
    whole
}

/// Lines with their hanging indents joined.
fn items(lines: &[String]) -> Vec<Item> {
    let mut items: Vec<Item> = vec![];
    for line in lines {
        let mata = is_mata_trace(line);
        let indented = line.starts_with("    ") && !mata;
        let width = line.chars().count();
        match items.last_mut() {
            Some(last) if indented => {
                last.text.push(' ');
                last.text.push_str(line.trim());
                last.hanging = true;
            }
            _ => items.push(Item { text: line.trim().to_owned(), width, hanging: false, mata, orphan: indented }),
        }
    }
    items
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
    !item.hanging && item.width < 80 && item.width + word >= 79 && next.text.starts_with(char::is_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        fn check(output: &str, part: Output, expected: Option<&str>) {
            let lines: Vec<&str> = output.lines().collect();
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
            Some("outcome does not vary; remember: 0 = negative outcome, all other = positive"),
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
    }
}
