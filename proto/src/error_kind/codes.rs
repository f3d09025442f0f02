//! Stata's return codes, and the kind of each.
//!
//! The source is StataCorp's manual, [P] error ("Return codes" and "Summary"), releases 13 to 18; of Mata's codes, [M-2] errors. The
//! manual gives each code a text and each range a class ("100-199 syntax errors"). Single codes come first, then the class,
//! where a class is one kind. What neither names (a code of the user's own, above all) is [`ErrorKind::Unknown`].

use std::ops::RangeInclusive;

use super::ErrorKind;

/// Single codes and runs of them, in order.
pub const CODES: &[(RangeInclusive<i64>, ErrorKind)] = &[
    (1..=1, ErrorKind::Interrupt),
    (2..=2, ErrorKind::Network),
    (3..=4, ErrorKind::DataInMemory),
    (5..=5, ErrorKind::NotSorted),
    // `confirm` and `assert`.
    (6..=7, ErrorKind::ExpectationFailed),
    (9..=9, ErrorKind::ExpectationFailed),
    (18..=18, ErrorKind::DataInMemory),
    (106..=109, ErrorKind::TypeMismatch),
    (110..=110, ErrorKind::NameConflict),
    (111..=111, ErrorKind::VarnameNotFound),
    (130..=130, ErrorKind::StataLimit),
    (134..=134, ErrorKind::StataLimit),
    (145..=146, ErrorKind::StataLimit),
    (147..=147, ErrorKind::NoEstimationResults),
    // Too few categories, too many.
    (148..=149, ErrorKind::EstimationFailure),
    // `cd` to a folder that is not there, or may not be entered.
    (170..=170, ErrorKind::FileIo),
    (175..=175, ErrorKind::EstimationFailure),
    (180..=180, ErrorKind::Unknown),
    (181..=181, ErrorKind::TypeMismatch),
    (182..=182, ErrorKind::Unknown),
    (196..=196, ErrorKind::Unknown),
    (199..=199, ErrorKind::CommandNotFound),
    (310..=310, ErrorKind::Unknown),
    (322..=322, ErrorKind::ExpectationFailed),
    (399..=399, ErrorKind::Unknown),
    (416..=416, ErrorKind::EstimationFailure),
    (430..=430, ErrorKind::Convergence),
    (459..=459, ErrorKind::ExpectationFailed),
    (480..=480, ErrorKind::Infeasible),
    (491..=491, ErrorKind::Infeasible),
    // "Various messages": programs say what they mean.
    (498..=499, ErrorKind::Unknown),
    (501..=501, ErrorKind::Syntax),
    (503..=503, ErrorKind::MatrixConformability),
    (504..=504, ErrorKind::MatrixMissing),
    (505..=506, ErrorKind::MatrixSingular),
    (507..=507, ErrorKind::NameConflict),
    (508..=508, ErrorKind::MatrixSingular),
    (509..=509, ErrorKind::Syntax),
    (601..=601, ErrorKind::FileNotFound),
    (602..=602, ErrorKind::FileExists),
    (603..=603, ErrorKind::FileIo),
    (604..=607, ErrorKind::LogState),
    (608..=608, ErrorKind::Permission),
    (609..=610, ErrorKind::FileCorrupt),
    (611..=611, ErrorKind::StataLimit),
    (612..=616, ErrorKind::FileCorrupt),
    // `preserve` twice, `restore` of nothing.
    (621..=622, ErrorKind::DataInMemory),
    (630..=639, ErrorKind::Network),
    (640..=641, ErrorKind::FileCorrupt),
    (660..=678, ErrorKind::Network),
    (681..=681, ErrorKind::StataLimit),
    // A data source of ODBC: a file or another computer.
    (680..=683, ErrorKind::Unknown),
    (688..=688, ErrorKind::FileCorrupt),
    (699..=699, ErrorKind::DiskFull),
    (791..=791, ErrorKind::Permission),
    (900..=900, ErrorKind::StataLimit),
    (901..=901, ErrorKind::OutOfMemory),
    (902..=908, ErrorKind::StataLimit),
    (909..=909, ErrorKind::OutOfMemory),
    // "Value too small", "too large": of a setting.
    (910..=912, ErrorKind::Unknown),
    (913..=913, ErrorKind::OutOfMemory),
    (914..=914, ErrorKind::FileIo),
    (915..=915, ErrorKind::OutOfMemory),
    (920..=920, ErrorKind::StataLimit),
    (950..=950, ErrorKind::OutOfMemory),
    // "Numerical overflow", also of starting values: its message decides.
    (1400..=1400, ErrorKind::Unknown),
    (2000..=2001, ErrorKind::NoObservations),
    (3200..=3205, ErrorKind::MatrixConformability),
    (3250..=3261, ErrorKind::TypeMismatch),
    (3304..=3305, ErrorKind::StataLimit),
    (3351..=3351, ErrorKind::MatrixMissing),
    (3352..=3353, ErrorKind::MatrixSingular),
    (3360..=3360, ErrorKind::Convergence),
    (3499..=3499, ErrorKind::VarnameNotFound),
    (3500..=3500, ErrorKind::InvalidName),
    (3601..=3603, ErrorKind::FileIo),
    (3611..=3612, ErrorKind::StataLimit),
    (3621..=3621, ErrorKind::Permission),
    (3622..=3623, ErrorKind::FileIo),
    (3698..=3698, ErrorKind::FileIo),
    (3900..=3900, ErrorKind::OutOfMemory),
    (3998..=3998, ErrorKind::StataLimit),
];

/// The classes of the manual's summary, with the kind of a code that is not listed by itself.
pub const CLASSES: &[(RangeInclusive<i64>, &str, ErrorKind)] = &[
    (1..=99, "sundry minor errors", ErrorKind::Unknown),
    (100..=199, "syntax errors", ErrorKind::Syntax),
    (300..=399, "failure to find previously stored result", ErrorKind::NoEstimationResults),
    (400..=499, "statistical problems", ErrorKind::EstimationFailure),
    (500..=599, "matrix-manipulation errors", ErrorKind::Unknown),
    (600..=699, "file errors", ErrorKind::FileIo),
    (700..=799, "operating-system errors", ErrorKind::Unknown),
    (900..=999, "insufficient-memory errors", ErrorKind::OutOfMemory),
    (1000..=1999, "system-limit-exceeded errors", ErrorKind::StataLimit),
    (2000..=2999, "nonerrors (continuation of 400-499)", ErrorKind::Unknown),
    (3000..=3999, "Mata run-time errors", ErrorKind::Unknown),
    (4000..=4999, "class system errors", ErrorKind::Unknown),
    (9000..=9999, "system-failure errors", ErrorKind::Unknown),
];

/// Codes that Stata gives for several things, of which the message tells one: its words, in lower case, and the kind.
pub const SAID: &[(i64, &str, ErrorKind)] = &[
    (198, "invalid name", ErrorKind::InvalidName),
    (198, "invalid varname", ErrorKind::InvalidName),
    (910, "exceeded memory limits", ErrorKind::StataLimit),
    (1400, "not feasible", ErrorKind::Infeasible),
    (1400, "could not find feasible values", ErrorKind::Infeasible),
    (2000, "outcome does not vary", ErrorKind::EstimationFailure),
];

/// The kind of `r(rc)` with this message, of this command.
pub fn kind(rc: i64, message: &str, command: &str) -> ErrorKind {
    if leaves(command) {
        // The code chose the number itself.
        return ErrorKind::Unknown;
    }
    let words = message.to_lowercase();
    let said = SAID.iter().find(|(code, text, _)| *code == rc && words.contains(text)).map(|(.., kind)| *kind);
    let single = || CODES.iter().find(|(codes, _)| codes.contains(&rc)).map(|(_, kind)| *kind);
    let class = || CLASSES.iter().find(|(codes, ..)| codes.contains(&rc)).map(|(.., kind)| *kind);
    said.or_else(single).or_else(class).unwrap_or(ErrorKind::Unknown)
}

/// Whether a command is `exit` with a code: that code is the author's own, whatever it means to Stata.
pub(super) fn leaves(command: &str) -> bool {
    let prefix = |word: &&str| {
        let word = word.trim_end_matches(':');
        let is = |whole: &str, least: usize| word.len() >= least && whole.starts_with(word);
        is("quietly", 3) || is("noisily", 1) || is("capture", 3)
    };
    let mut words = command.split([' ', '\t', ',', '(']).filter(|word| !word.is_empty()).skip_while(prefix);
    words.next().is_some_and(|word| word.len() >= 3 && "exit".starts_with(word)) && words.next().is_some()
}
