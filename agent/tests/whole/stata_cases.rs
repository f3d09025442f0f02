//! The readers on small logs, each the smallest of a kind that was read wrong once: `fixtures/cases/INDEX.tsv` says what
//! is right. Logs are read whole, byte by byte and from a file, with the same answer.

use std::{
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};

use longhaul_agent::stata::{
    judge::{Judgement, judge_in},
    judge_file_in,
    lines::decode::Encoding,
    locate::{Locator, LogStart, Whereabouts},
    progress::ProgressReader,
};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("every_case_is_read_right", every_case_is_read_right),
    ("logs_cut_anywhere_are_read_alike", logs_cut_anywhere_are_read_alike),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cases")
}

/// The encoding of a case that is in none of the usual ones.
fn encoding(file: &str) -> Encoding {
    if file.starts_with("gbk") { "gbk".parse().unwrap() } else { Encoding::default() }
}

struct Case {
    file: String,
    fields: Vec<String>,
    log: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let index = fs::read_to_string(folder().join("INDEX.tsv")).unwrap();
    let rows = index.lines().skip(1).map(|row| row.split('\t').map(|f| f.replace("\\n", "\n")).collect::<Vec<_>>());
    rows.map(|mut fields| {
        let file = fields.remove(0);
        let log = fs::read(folder().join(&file)).unwrap();
        Case { file, fields, log }
    })
    .collect()
}

fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}

/// The columns of the table, as the readers see a log that comes in chunks of `size` bytes.
fn read(case: &Case, size: usize) -> Vec<String> {
    let encoding = encoding(&case.file);
    let found: Judgement = judge_in(&case.log, encoding);
    let sources = folder().join("sources").join(case.file.split('.').next().unwrap());
    let mut locator =
        Locator::new(LogStart::in_directory(&sources).in_encoding(encoding), |path: &Path| fs::read(path).ok());
    let mut progress = ProgressReader::new();
    for chunk in case.log.chunks(size) {
        locator.push(chunk);
        progress.push(chunk);
    }
    let (_, Whereabouts { mut open }) = locator.finish_at(found.command.as_deref());
    let show = |(file, line): (String, Option<u32>)| line.map_or(file.clone(), |line| format!("{file}:{line}"));
    let place = open.pop().map(show).unwrap_or_default();
    let callers = open.into_iter().map(show).collect::<Vec<_>>().join(" ");
    let progress = progress.current();
    let percent = progress.percent.map_or_else(String::new, |percent| format!("{percent} "));
    vec![
        word(found.state),
        word(found.reason),
        found.rc.map_or_else(String::new, |rc| rc.to_string()),
        found.command.unwrap_or_default(),
        found.message.unwrap_or_default(),
        place,
        callers,
        format!("{percent}{}", progress.text),
    ]
}

fn every_case_is_read_right() {
    let names = ["state", "reason", "rc", "command", "message", "place", "callers", "progress"];
    let mut wrong = vec![];
    for case in cases() {
        let found = read(&case, usize::MAX);
        for (n, name) in names.iter().enumerate() {
            // Only these say anything of progress.
            if *name == "progress" && case.fields[n].is_empty() {
                continue;
            }
            if found[n] != case.fields[n] {
                wrong.push(format!("{} {name}\n   found {}\n   right {}", case.file, found[n], case.fields[n]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn logs_cut_anywhere_are_read_alike() {
    for case in cases() {
        let whole = read(&case, usize::MAX);
        for size in [1, 7, 64] {
            assert_eq!(read(&case, size), whole, "{} in chunks of {size}", case.file);
        }
        let by_file = judge_file_in(&mut Cursor::new(&case.log), encoding(&case.file)).unwrap();
        assert_eq!(by_file, judge_in(&case.log, encoding(&case.file)), "{}", case.file);
    }
}
