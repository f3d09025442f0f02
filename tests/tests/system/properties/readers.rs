//! The log's readers take any bytes in any chunks: they do not panic, their results do not depend on the chunks, and
//! the offsets they give lie in the log.

use std::io::Cursor;

use longhaul_agent::stata::{
    banner, judge, judge_file, licence, progress::ProgressReader, view::ViewFinder, wrapper::Wrapper,
};

use super::{each, pick};
use crate::chance::Chance;

const WRAPPER: &str =
    "cd `\"/w\"'\ndo `\"/s/code.do\"' 1\nfile open lhab_1 using `\"/s/sentinel\"', write text\nfile close lhab_1\n";

/// Pieces that logs consist of, and pieces that they do not.
const PIECES: &[&str] = &[
    "\n",
    ". ",
    "> ",
    "  2. ",
    "\n. do `\"/s/code.do\"' 1\n",
    "\n. cd `\"/w\"'\n/w\n",
    "end of do-file\n",
    "r(111);\n",
    "r(",
    ");",
    "--Break--\nr(1);\n",
    "\n. file open lhab_1 using `\"/s/sentinel\"', write text\n",
    "exit, STATA clear\n",
    "x not found\n",
    "Iteration 12: log likelihood = -43305.0\n",
    "....+--- 1 ---+\n..........",
    "rep 3 of 7\n",
    "\r\n",
    "\t",
    "\u{1b}[0m",
    "é",
    "{txt}",
    "Simulations (400): .........10.........20",
    ". forvalues i = 1/3 {\n  2. display `i'\n  3. }\n",
    ". foreach f of local files {\n  2. do \"`f'\"\n  3. }\n",
    "\u{feff}",
    "no observations\n",
    "License is invalid\n",
    "___  ____  ____  ____  ____ ®\n",
    "Stata license: 2-user network perpetual\n",
    ": ",
    "mata:\n",
    "end\n",
];

fn log(chance: &mut Chance) -> Vec<u8> {
    let mut log = pick(chance, &[&b""[..], b"", b"", b"\xff\xfe", b"\xfe\xff"]).to_vec();
    for _ in 0..chance.below(60) {
        match chance.below(12) {
            0 => log.extend((0..chance.below(200)).map(|_| chance.below(256) as u8).collect::<Vec<_>>()),
            1 => log.extend(std::iter::repeat_n(b'x', usize::try_from(chance.below(400)).unwrap())),
            _ => log.extend_from_slice(pick(chance, PIECES).as_bytes()),
        }
    }
    log
}

fn chunks<'a>(mut log: &'a [u8], chance: &mut Chance) -> Vec<&'a [u8]> {
    let mut all = Vec::new();
    while !log.is_empty() {
        let (chunk, rest) = log.split_at(usize::try_from(1 + chance.below(40)).unwrap().min(log.len()));
        all.push(chunk);
        log = rest;
    }
    all
}

#[test]
fn any_log_in_any_chunks() {
    let wrapper = Wrapper::from_text(WRAPPER);
    each("log readers", 4_000, |chance| {
        let log = log(chance);
        let whole = judge::judge(&log);
        let filed = judge_file(&mut Cursor::new(&log)).map_err(|e| e.to_string())?;
        if whole != filed {
            return Err(format!("judged {whole:?} and from a file {filed:?}"));
        }
        let (mut view, mut progress) = (
            ViewFinder::new(&wrapper),
            ProgressReader::for_run(&wrapper, b"forvalues i = 1/3 {\n}\n", Default::default()),
        );
        let (mut view_at_once, mut progress_at_once) = (
            ViewFinder::new(&wrapper),
            ProgressReader::for_run(&wrapper, b"forvalues i = 1/3 {\n}\n", Default::default()),
        );
        for chunk in chunks(&log, chance) {
            view.push(chunk);
            progress.push(chunk);
            if let Some(percent) = progress.current().percent
                && !(0.0..=100.0).contains(&percent)
            {
                return Err(format!("{percent} percent"));
            }
        }
        view_at_once.push(&log);
        progress_at_once.push(&log);
        if view.reached_sentinel() != view_at_once.reached_sentinel() {
            return Err("the sentinel's echo was seen by one and not by the other".to_owned());
        }
        let (a, b) = (view.finish(), view_at_once.finish());
        let len = log.len() as u64;
        if a != b || a.start > len || a.end.is_some_and(|end| end < a.start || end > len) {
            return Err(format!("{a:?} and {b:?} of {len} bytes"));
        }
        let (a, b) = (progress.current(), progress_at_once.current());
        if (a.percent, &a.text) != (b.percent, &b.text) {
            return Err(format!("{a:?} and {b:?}"));
        }
        let _ = (banner::read(&log), licence::recognise(&log));
        Ok(())
    });
}
