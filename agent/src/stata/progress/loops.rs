//! What people print in their loops: `iter 3 of 10`, `[12/50]`, `... 1000 of 1000 done`, `24% done`.

use std::collections::HashMap;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use regex::Regex;

/// A line of a loop that counts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Count {
    /// The line with its numbers taken out: the same loop prints the same shape.
    pub(super) key: String,
    pub(super) done: f64,
    pub(super) total: f64,
}

/// Shapes that do not count as progress yet, with the last number.
#[derive(Debug, Clone, Default)]
pub(super) struct Loops {
    shapes: HashMap<String, (f64, f64)>,
}

/// A compiled pattern; a pattern that does not compile (a test compiles them all) matches nothing.
fn pattern(text: &str) -> Option<Regex> {
    Regex::new(text).ok()
}

static OF: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"(?:^|[\s(\[:#=])(\d[\d,]*)(?:\s+of\s+|\s*/\s*)(\d[\d,]*)(?:$|[\s)\].,;:])"));
static PERCENT: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"(?:^|[\s(\[:=])(\d{1,3}(?:\.\d+)?)\s?%(?:$|[\s)\].,;:])"));
static WORD: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(iter\w*|reps?|replic\w*|steps?|done|sim\w*|draws?|folds?|chunks?|files?|loops?|process\w*|complet\w*|progress|batch\w*|rounds?|samples?|runs?|tasks?|jobs?|finished|pass\s+#?\d|working|bootstrap)\b",
    )
});
/// Counts of data, not of work.
static DATA: LazyLock<Option<Regex>> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(obs|observations?|missing|values?|variables?|vars|conf|confidence|interval|ci|level|percentiles?|deleted|matched|changes|years?)\b|\|",
    )
});
static NUMBER: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"\d[\d,]*(?:\.\d+)?"));

fn is(pattern: &LazyLock<Option<Regex>>, text: &str) -> bool {
    pattern.as_ref().is_some_and(|p| p.is_match(text))
}

static OF_BYTES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("of"));

/// Longest line of a loop, bytes.
const LONGEST: usize = 200;

/// Whether a line can be one that counts; cheap, and right whenever it answers no.
pub(super) fn may_count(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let count = line.len() <= LONGEST && (memchr::memchr2(b'%', b'/', line).is_some() || OF_BYTES.find(line).is_some());
    count && line.iter().any(u8::is_ascii_digit) && memchr::memchr(b'|', line).is_none()
}

impl Loops {
    pub(super) fn clear(&mut self) {
        self.shapes.clear();
    }

    /// The count of a line, if it is taken for progress.
    pub(super) fn count(&mut self, line: &str) -> Option<Count> {
        let text = line.trim();
        if !may_count(text.as_bytes()) || is(&DATA, text) {
            return None;
        }
        let (done, total, bracketed) = counted(text)?;
        let key = NUMBER.as_ref()?.replace_all(text, "#").into_owned();
        let sure = bracketed || is(&WORD, text);
        let last = self.shapes.get(&key).copied();
        if last.is_none() && self.shapes.len() >= 64 {
            return None;
        }
        self.shapes.insert(key.clone(), (done, total));
        let grew = last.is_some_and(|(d, t)| done > d && t == total);
        (sure || grew).then_some(Count { key, done, total })
    }
}

/// Done and total of a line, and whether it is in brackets of its own.
fn counted(text: &str) -> Option<(f64, f64, bool)> {
    let number = |s: &str| s.replace(',', "").parse::<f64>().ok();
    if let Some(found) = OF.as_ref()?.captures(text) {
        let (done, total) = (number(&found[1])?, number(&found[2])?);
        let whole = found.get(0)?;
        let bracketed = whole.as_str().starts_with('[') && whole.as_str().ends_with(']');
        // A second slash makes it a date.
        let date = text[whole.end()..].starts_with('/') || text[..whole.start()].ends_with('/');
        return (done <= total && total >= 2.0 && !date).then_some((done, total, bracketed));
    }
    let found = PERCENT.as_ref()?.captures(text)?;
    let percent = number(&found[1]).filter(|p| *p <= 100.0)?;
    // Beside other numbers it is a row of a table, unless a word says what it is.
    let alone = NUMBER.as_ref()?.find_iter(text).count() == 1;
    (alone || is(&WORD, text)).then_some((percent, 100.0, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patterns_compile() {
        for p in [&OF, &PERCENT, &WORD, &DATA, &NUMBER] {
            assert!(p.is_some());
        }
    }

    #[test]
    fn what_counts_and_what_does_not() {
        fn check(lines: &[&str], expected: Option<(f64, f64)>) {
            let mut loops = Loops::default();
            let last = lines.iter().map(|l| loops.count(l)).last().flatten();
            assert_eq!(last.map(|s| (s.done, s.total)), expected, "{lines:?}");
        }
        check(&["iter 3 of 10"], Some((3.0, 10.0)));
        check(&["  ... 1000 of 1000 done (rep 1000)"], Some((1000.0, 1000.0)));
        check(&["[12/50] firm x"], Some((12.0, 50.0)));
        check(&["Processing file 1,000/2,000"], Some((1000.0, 2000.0)));
        check(&["24% done"], Some((24.0, 100.0)));
        check(&["24%"], None);
        check(&["24%", "30%"], Some((30.0, 100.0)));
        check(&["county 3 of 10"], None);
        check(&["county 3 of 10", "county 4 of 10"], Some((4.0, 10.0)));
        check(&["county 3 of 10", "county 2 of 10"], None);
        check(&["12 of 50 observations deleted"], None);
        check(&["(12 of 50 missing values generated)"], None);
        check(&["file dated 1/2/2020"], None);
        check(&["95% conf. interval"], None);
        check(
            &["10%     .2277739       .0071843       Obs  816", "25%     .5941271       .0144944       Obs  816"],
            None,
        );
        check(&["a | 3 of 10"], None);
        check(&["run 11 of 10"], None);
    }
}
