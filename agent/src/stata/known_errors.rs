//! Messages of errors that Stata prints in these words and with one code only, whichever command fails: by them an error is
//! recognized whose code the log does not show, as after `capture noisily`.

use std::sync::LazyLock;

use regex::Regex;

/// Each with its code; all of a message is matched ([P] error, and the messages of real logs).
const MESSAGES: &[(i64, &str)] = &[
    (4, "no; (?:dataset|data) in memory (?:has|have) changed since last saved"),
    (4, "no; data in memory would be lost"),
    (5, "not sorted"),
    (9, "(?:[0-9,]+ contradictions? in [0-9,]+ observations?\n)?assertion is false"),
    (100, "varlist required"),
    (102, "too few variables specified"),
    (103, "too many variables specified"),
    (109, "type mismatch"),
    (110, r"(?:variable )?\S+ already defined"),
    (111, r"(?:variable )?\S+ not found"),
    (111, "no variables defined"),
    (133, r"unknown function \S*\(\)"),
    (198, "invalid syntax"),
    (198, r"option \S+ (?:not allowed|required)"),
    (198, r"'?\S+'? invalid name"),
    (199, r"command \S+ is unrecognized"),
    (199, r"unrecognized command:\s+\S+"),
    (301, "last estimates not found"),
    (430, "convergence not achieved"),
    (503, "conformability error"),
    (504, "matrix has missing values"),
    (506, "matrix not positive definite"),
    (601, r"file .+ not found"),
    (602, r"file .+ already exists"),
    (603, r"file .+ could not be opened"),
    (604, "log file already open"),
    (606, "no log file open"),
    (610, r"file .+ not Stata format"),
    (2000, "no observations"),
    (2001, "insufficient observations"),
];

static PATTERNS: LazyLock<Vec<(i64, Regex)>> = LazyLock::new(|| {
    let compiled = |(code, pattern): &(i64, &str)| Some((*code, Regex::new(&format!("^(?:{pattern})$")).ok()?));
    MESSAGES.iter().filter_map(compiled).collect()
});

/// Longest message that is looked at, bytes: the known ones are a line or two.
const MOST: usize = 1_000;

/// The code of a message; `None` = it is none of these.
pub(super) fn code(message: &str) -> Option<i64> {
    let message = message.trim();
    if message.is_empty() || message.len() > MOST {
        return None;
    }
    PATTERNS.iter().find(|(_, pattern)| pattern.is_match(message)).map(|(code, _)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_codes() {
        assert_eq!(PATTERNS.len(), MESSAGES.len(), "all compile");
        let check = |message: &str, want: Option<i64>| assert_eq!(code(message), want, "{message}");
        check("variable z not found", Some(111));
        check("z not found", Some(111));
        check("the variable z was not found", None);
        check("(file a.png not found)", None);
        check("file my data.dta not found", Some(601));
        check("2 contradictions in 10 observations\nassertion is false", Some(9));
        check("option xb not allowed", Some(198));
        check("command eststo is unrecognized", Some(199));
        check("variable price already defined", Some(110));
        check("done", None);
        check("", None);
    }
}
