//! The judge against real logs: right on every one that the corpus' index judges, and without a panic on the
//! others. The corpus is not part of the repository (its logs have their own licences): `LONGHAUL_CORPUS` names its
//! folder.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use longhaul_agent::stata::judge::{Judgement, LogEnd, judge};
use longhaul_agent::stata::judge_file;
use longhaul_agent::stata::locate::{Locator, LogStart, locate};
use longhaul_agent::stata::progress::ProgressReader;
use longhaul_agent::stata::surroundings::{Around, Surroundings};
use longhaul_proto::error_kind::{ErrorKind, Facts};
use longhaul_proto::state::{Cause, RunState};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("every_judged_log_is_judged_right", every_judged_log_is_judged_right),
    ("what_failed_is_what_people_read", what_failed_is_what_people_read),
    ("what_stands_around_the_errors_of_real_logs", what_stands_around_the_errors_of_real_logs),
    ("a_log_cut_short_is_never_a_success_by_its_end_alone", a_log_cut_short_is_never_a_success_by_its_end_alone),
    ("every_log_is_read_by_every_reader", every_log_is_read_by_every_reader),
    ("percents_rise_and_end_at_100_where_totals_are_known", percents_rise_and_end_at_100_where_totals_are_known),
];

/// The corpus folder; none (with a message) if it is not there and not required.
fn corpus() -> Option<PathBuf> {
    let required = std::env::var("LONGHAUL_REQUIRE").unwrap_or_default();
    let required = required.split([',', ' ']).any(|r| r == "corpus" || r == "all");
    let Some(folder) = std::env::var_os("LONGHAUL_CORPUS").map(PathBuf::from).filter(|f| f.join("INDEX.tsv").is_file())
    else {
        assert!(!required, "LONGHAUL_REQUIRE asks for the corpus: set LONGHAUL_CORPUS to a folder with INDEX.tsv");
        println!("skipped: corpus");
        return None;
    };
    Some(folder)
}

/// The index's verdict on a log: success, a code, or none that the judge could be held to.
fn expected(outcome: &str) -> Option<(LogEnd, Option<i64>)> {
    let outcome = outcome.trim_matches('"');
    if outcome == "success" {
        return Some((LogEnd::Succeeded, None));
    }
    let code = outcome.strip_prefix("fail r(")?.split(')').next()?.parse().ok()?;
    Some((LogEnd::Failed, Some(code)))
}

fn logs(folder: &Path) -> Vec<(String, String, Vec<u8>)> {
    let index = fs::read_to_string(folder.join("INDEX.tsv")).expect("the index is text");
    let mut rows = index.lines();
    let head: Vec<&str> = rows.next().expect("a header").split('\t').collect();
    let column = |name: &str| head.iter().position(|c| *c == name).expect("the column");
    let (file, outcome) = (column("file"), column("outcome_human"));
    rows.map(|row| {
        let fields: Vec<&str> = row.split('\t').collect();
        let bytes = fs::read(folder.join(fields[file])).expect("a log of the index");
        (fields[file].to_owned(), fields[outcome].to_owned(), bytes)
    })
    .collect()
}

/// The kinds of the failed logs of the index, by the beginning of their names, as their messages read.
const KINDS: &[(&str, ErrorKind)] = &[
    ("001_", ErrorKind::FileNotFound),
    ("005_", ErrorKind::VarnameNotFound),
    ("006_", ErrorKind::Syntax),
    ("007_", ErrorKind::Syntax),
    ("008_", ErrorKind::FileNotFound),
    ("011_", ErrorKind::FileNotFound),
    ("015_", ErrorKind::FileIo),
    ("016_", ErrorKind::FileNotFound),
    ("018_", ErrorKind::VarnameNotFound),
    // Codes of the authors' own.
    ("058_", ErrorKind::Unknown),
    ("059_", ErrorKind::Unknown),
    ("060_", ErrorKind::CommandNotFound),
    ("061_", ErrorKind::Unknown),
    ("092_", ErrorKind::CommandNotFound),
    ("094_", ErrorKind::Convergence),
    ("095_", ErrorKind::FileIo),
    // "outcome does not vary".
    ("096_", ErrorKind::EstimationFailure),
    ("097_", ErrorKind::Syntax),
    ("098_", ErrorKind::CommandNotFound),
    ("099_", ErrorKind::StataLimit),
    ("115_", ErrorKind::NameConflict),
    // "initial values not feasible".
    ("118_", ErrorKind::Infeasible),
    ("119_", ErrorKind::Infeasible),
    ("120_", ErrorKind::Convergence),
    ("122_", ErrorKind::Syntax),
    // "exceeded memory limits using exact(1)".
    ("123_", ErrorKind::StataLimit),
    ("124_", ErrorKind::VarnameNotFound),
    ("151_", ErrorKind::FileNotFound),
    // `exit 1`.
    ("159_", ErrorKind::Unknown),
];

fn kind(found: &Judgement) -> ErrorKind {
    let facts = Facts {
        state: RunState::Failed,
        cause: Cause::StataError,
        rc: found.rc,
        message: found.message.as_deref().unwrap_or_default(),
        command: found.command.as_deref().unwrap_or_default(),
        host: "",
        working_dir: "",
    };
    ErrorKind::of(&facts).expect("a failure has a kind")
}

fn every_judged_log_is_judged_right() {
    let Some(folder) = corpus() else { return };
    let mut judged = 0;
    let mut wrong = vec![];
    for (file, outcome, bytes) in logs(&folder) {
        let found = judge(&bytes);
        if std::env::var_os("LONGHAUL_CORPUS_PRINT").is_some() {
            println!("{file}: {}", serde_json::to_string(&found).expect("serializes"));
        }
        let streamed = judge_file(&mut Cursor::new(&bytes)).expect("memory reads");
        assert_eq!(streamed, found, "{file}: by file");
        let Some(expected) = expected(&outcome) else { continue };
        judged += 1;
        if (found.state, found.rc) != expected {
            wrong.push(format!("{file}: {outcome:?}, judged {:?} {:?}", found.state, found.rc));
        }
        if found.state == LogEnd::Failed {
            assert!(found.command.is_some(), "{file}: a failure without its command");
            let kind = kind(&found);
            let want = KINDS.iter().find(|(log, _)| file.starts_with(log)).map(|(_, kind)| *kind);
            if want != Some(kind) {
                wrong.push(format!("{file}: {outcome:?} is {kind}, not {want:?}"));
            }
        }
    }
    assert!(judged >= 50, "only {judged} logs of the index are judged");
    assert!(wrong.is_empty(), "{} of {judged} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// What stands around the error of a log.
fn around(log: &[u8], found: &Judgement) -> Around {
    let start = LogStart::in_directory(Path::new("/nowhere"));
    let mut reader = Surroundings::new(start, 0..u64::MAX, |_: &Path| None);
    reader.push(log);
    reader.finish(found.command.as_deref(), found.rc).2
}

/// Behind a failure stands what leaves its do-files, before it its message; and the errors of real logs that ended nothing are
/// those that people read in them.
fn what_stands_around_the_errors_of_real_logs() {
    let Some(folder) = corpus() else { return };
    let mut all = vec![];
    for (file, outcome, bytes) in logs(&folder) {
        let found = judge(&bytes);
        if found.state != LogEnd::Failed || expected(&outcome).is_none() {
            continue;
        }
        let around = around(&bytes, &found);
        assert!(!around.before.is_empty() && around.before.len() <= 8 && around.after.len() <= 4, "{file}: {around:?}");
        if std::env::var_os("LONGHAUL_CORPUS_PRINT").is_some() {
            println!("{file}: {around:#?}");
        }
        all.extend(around.suppressed.iter().map(|e| format!("{} {:?} {}", &file[..3], e.rc, e.message)));
    }
    assert_eq!(all, SUPPRESSED, "{all:#?}");
}

/// By log, code and message: of a session in which more was typed, and of a do-file that was called by `capture noisily run`.
const SUPPRESSED: &[&str] = &["115 Some(198) parentheses do not balance", "159 Some(198) "];

/// Verdict, command, message, do-file with its callers, and progress of each log as two people read them, each alone; where they differed they read again.
/// Blanks and line continuations are made equal, and the lines of a message stand beside each other with ` / `.
const AS_READ: &str = include_str!("real_logs.tsv");

fn what_failed_is_what_people_read() {
    let Some(folder) = corpus() else { return };
    let plain = |text: &str| text.replace("///", " ").split_whitespace().collect::<Vec<_>>().join(" ");
    let mut wrong = vec![];
    for row in AS_READ.lines().skip(1) {
        let fields: Vec<&str> = row.split('\t').collect();
        let [file, state, code, command, message, do_file, callers, progress] = fields[..] else { panic!("{row}") };
        let log = fs::read(folder.join(file)).expect("a log of the table");
        let found = judge(&log);
        let judged = match found.state {
            LogEnd::Succeeded => "succeeded",
            LogEnd::Failed => "failed",
            LogEnd::Incomplete => "unknown",
        };
        let mut differs = |what: &'static str, found: &str, read: &str| {
            if plain(found) != plain(read) {
                println!("{file}: {what}\n  judged {found}\n  read   {read}");
                wrong.push((file, what));
            }
        };
        differs("state", judged, state);
        differs("code", &found.rc.map(|rc| rc.to_string()).unwrap_or_default(), code);
        if found.state == LogEnd::Failed {
            differs("command", found.command.as_deref().unwrap_or_default(), command);
            differs("message", &found.message.unwrap_or_default().replace('\n', " / "), message);
            let mut locator = Locator::new(LogStart::in_directory(Path::new("/nowhere")), |_: &Path| None);
            locator.push(&log);
            let mut open = locator.finish_at(found.command.as_deref()).1.open;
            let name = |(file, _): (String, Option<u32>)| file;
            differs("do_file", &open.pop().map(name).unwrap_or_default(), do_file);
            differs("callers", &open.into_iter().map(name).collect::<Vec<_>>().join(" "), callers);
        }
        if !progress.is_empty() && !last_progress(&log).contains(progress.trim_start_matches("dots ")) {
            differs("progress", &last_progress(&log), progress);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// What was last told while the log grew and was progress, not only the command that ran.
fn last_progress(log: &[u8]) -> String {
    let (mut reader, mut last) = (ProgressReader::new(), String::new());
    for line in log.split_inclusive(|&b| b == b'\n') {
        reader.push(line);
        let now = reader.current();
        if now.block.is_some() || ["Iteration ", "dots "].iter().any(|word| now.text.starts_with(word)) {
            last = now.text;
        }
    }
    last
}

fn a_log_cut_short_is_never_a_success_by_its_end_alone() {
    let Some(folder) = corpus() else { return };
    for (file, outcome, bytes) in logs(&folder) {
        if expected(&outcome) != Some((LogEnd::Succeeded, None)) {
            continue;
        }
        // Cut in the middle, at a line: as a killed run leaves it.
        let half = bytes.len() / 2;
        let Some(end) = bytes[half..].windows(3).position(|w| w == b"\n. ").map(|i| half + i + 1) else { continue };
        let found = judge(&bytes[..end]);
        let text = String::from_utf8_lossy(&bytes[..end]);
        let nested = text.trim_end_matches(['\n', '\r', ' ', '.']).ends_with("end of do-file");
        assert!(found.state != LogEnd::Succeeded || nested, "{file}");
    }
}

fn every_log_is_read_by_every_reader() {
    let Some(folder) = corpus() else { return };
    for (file, _, bytes) in logs(&folder) {
        let start = LogStart::in_directory(Path::new("/nowhere"));
        locate(&bytes, start, |_| None);
        let mut reader = ProgressReader::new();
        for chunk in bytes.chunks(1000) {
            reader.push(chunk);
            let progress = reader.current();
            assert!(progress.percent.is_none_or(|p| (0.0..=100.0).contains(&p)), "{file}");
            assert!(progress.text.chars().count() <= 200 && !progress.text.contains('\n'), "{file}");
        }
    }
}

/// Blocks that did not come to their end, by file: their logs stop or fail within them.
const CUT: [(&str, &str); 1] = [
    // The user pressed Break.
    ("102_ethnicity-covid-resear_08c_eth_an_mi_eth5.log", "Imputations"),
];

/// What a log shows line by line as it grew.
#[derive(Default)]
struct Shown {
    /// Blocks with a total.
    blocks: u32,
    /// Lines at which there was no percent.
    without: u32,
    /// Blocks that were left before they were whole, with the last percent.
    left: Vec<(String, f64)>,
}

impl Shown {
    fn of(file: &str, log: &[u8]) -> Self {
        let (mut shown, mut reader) = (Self::default(), ProgressReader::new());
        // The block that is open, and its percent.
        let mut open: Option<(String, f64)> = None;
        for (line, at) in log.split_inclusive(|&b| b == b'\n').zip(1..) {
            reader.push(line);
            let now = reader.current();
            match (now.percent.zip(now.block), &mut open) {
                (Some((percent, block)), Some((known, last))) if *known == block && percent >= *last => *last = percent,
                (Some((percent, block)), _) => {
                    shown.close(open.take());
                    open = Some((block, percent));
                }
                (None, _) => {
                    assert_eq!(now.percent, None, "{file}:{at}: a percent of no block");
                    shown.close(open.take());
                    shown.without += 1;
                }
            }
        }
        shown.close(open.take());
        shown
    }

    /// A block whose percent fell is one that was left.
    fn close(&mut self, open: Option<(String, f64)>) {
        self.blocks += u32::from(open.is_some());
        self.left.extend(open.filter(|(_, percent)| *percent < 100.0));
    }
}

/// Each log, line by line: within a block the percent never falls, a block that is left was whole, and where no total is known
/// there is no percent.
fn percents_rise_and_end_at_100_where_totals_are_known() {
    // The control: both are found.
    let broken = b"rep 3 of 10\nrep 2 of 10\nrep 4 of 10\n. next\n";
    assert_eq!(Shown::of("", broken).left.iter().map(|(_, last)| *last).collect::<Vec<_>>(), [30.0, 40.0]);
    let Some(folder) = corpus() else { return };
    let (mut all, mut wrong) = (Shown::default(), vec![]);
    for (file, _, bytes) in logs(&folder) {
        let shown = Shown::of(&file, &bytes);
        (all.blocks, all.without) = (all.blocks + shown.blocks, all.without + shown.without);
        let left = shown.left.into_iter().filter(|(block, _)| !CUT.contains(&(&*file, &**block)));
        wrong.extend(left.map(|(block, percent)| format!("{file}: `{block}` was left at {percent:.1} %")));
    }
    println!("{} blocks with a total, {} lines without one", all.blocks, all.without);
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(all.blocks >= 10 && all.without > 10_000);
}
