//! The user's part of a live log, wherever the log is cut: what is shown of a live log is always a prefix of what is
//! shown at the end, at most one line of the wrapper's length is held back once the user's next line is whole, and
//! offsets never decrease. The logs are the stand-in's, of do-files put together at random.

use std::{fs, process::Command};

use longhaul_agent::stata::{
    view::{View, ViewFinder},
    wrapper::{Spec, Wrapper},
};

use super::{each, pick};
use crate::chance::Chance;

/// Cuts of each log.
const CUTS: u64 = 40;

const LINES: &[&str] = &[
    "display \"a line\"",
    "display \"end of do-file\"",
    "display \"r(9);\"",
    "display \"--Break--\"",
    "display \"\"",
    "display \"no end of line\" _continue",
    "display \"é 日本\"",
    "do sub.do",
    "capture noisily do sub.do",
    "capture noisily error 9",
    "quietly display 1",
    "* a comment",
    "local a 1",
    "forvalues i = 1/3 {\n    display `i'\n}",
    "if 1 {\n    do sub.do\n}",
    "set rmsg on",
    "file open lhx using \"other\", write text replace\nfile close lhx",
    "display \". file open lh\"",
    "mata:\n1 + 1\nend",
    "error 9",
    "exit",
];

fn code(chance: &mut Chance, most: u64) -> String {
    (0..chance.below(most)).map(|_| format!("{}\n", pick(chance, LINES))).collect()
}

/// A log of the wrapper, and the wrapper.
fn log(chance: &mut Chance) -> (Vec<u8>, Wrapper) {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    fs::create_dir(path("w")).unwrap();
    fs::write(path("w/sub.do"), code(chance, 4).replace("do sub.do", "display 2")).unwrap();
    fs::write(path("code.do"), code(chance, 9)).unwrap();
    if chance.below(2) == 0 {
        fs::write(path("profile.do"), "capture noisily do w/sub.do\n").unwrap();
    }
    let spec = Spec {
        working_dir: &path("w"),
        do_file: &path("code.do"),
        cores: (chance.below(3) == 0).then_some(1),
        args: &[],
        gather: None,
        sentinel: &path("sentinel"),
        tag: "t_1",
    };
    let wrapper = Wrapper::new(&spec).unwrap();
    fs::write(path("lh-t.do"), wrapper.text()).unwrap();
    let mut engine = Command::new(env!("CARGO_BIN_EXE_longhaul-under-test"));
    engine.args(["standin", "-b", "do", "lh-t.do"]).current_dir(home.path());
    assert!(engine.status().unwrap().success());
    (fs::read(path("lh-t.log")).unwrap(), wrapper)
}

/// The view of the whole log.
fn whole(log: &[u8], wrapper: &Wrapper) -> View {
    let mut finder = ViewFinder::new(wrapper);
    finder.push(log);
    finder.finish()
}

/// Checks one cut; `before` is what was shown at an earlier one.
fn check(log: &[u8], cut: usize, now: Option<View>, end: View, before: &mut Option<View>) -> Result<(), String> {
    let text = |from: u64, to: u64| String::from_utf8_lossy(&log[from as usize..to as usize]).into_owned();
    let last = end.end.unwrap();
    let Some(view) = now else {
        // Nothing is shown: then there is no whole line of the user's yet.
        let there = (end.start..last.min(cut as u64)).map(|at| log[at as usize]).filter(|b| *b == b'\n').count();
        let gone = before.is_some();
        return if there > 1 || gone { Err(format!("at {cut} nothing is shown of {end:?}")) } else { Ok(()) };
    };
    if view.start != end.start || view.safe_end > last.min(cut as u64) {
        return Err(format!("at {cut} {view:?} of {end:?} shows {:?}", text(end.start, view.safe_end.min(cut as u64))));
    }
    if before.is_some_and(|b| b.start != view.start || b.safe_end > view.safe_end) {
        return Err(format!("from {before:?} to {view:?}"));
    }
    *before = Some(view);
    // Of what is held back, only its last line, and lines that belong to an end, may be without a following line of the
    // user's.
    let held = text(view.safe_end, last.min(cut as u64).max(view.safe_end));
    let ends = |line: &str| {
        let line = line.trim_end();
        line.is_empty()
            || line == "."
            || line.starts_with("r(")
            || line.starts_with("r; t=")
            || line == "end of do-file"
            || line.ends_with("--Break--")
    };
    let lines: Vec<&str> = held.split_inclusive('\n').collect();
    match lines.iter().rev().skip(1).find(|line| !ends(line)) {
        Some(line) => Err(format!("at {cut} {line:?} is held back: {held:?}")),
        None => Ok(()),
    }
}

/// Cuts a log at random places; `safe` gives what may be shown of a live log.
fn cuts(chance: &mut Chance, safe: impl Fn(&ViewFinder, usize) -> Option<View>) -> Result<(), String> {
    let (log, wrapper) = log(chance);
    let end = whole(&log, &wrapper);
    // Most of them near the ends of the user's part, where it matters.
    let near = |chance: &mut Chance, at: u64| (at + chance.below(120)).saturating_sub(60).min(log.len() as u64);
    let mut places: Vec<u64> = (0..CUTS)
        .map(|_| match chance.below(4) {
            0 => near(chance, end.start),
            1 => near(chance, end.end.unwrap()),
            _ => chance.below(log.len() as u64 + 1),
        })
        .collect();
    places.sort_unstable();
    let mut finder = ViewFinder::new(&wrapper);
    let (mut at, mut before) = (0, None);
    for cut in places.into_iter().map(|cut| cut as usize) {
        finder.push(&log[at..cut]);
        at = cut;
        let shown = check(&log, cut, safe(&finder, cut), end, &mut before);
        shown.map_err(|wrong| format!("{wrong}\n{}", String::from_utf8_lossy(&log)))?;
    }
    Ok(())
}

#[test]
fn a_live_log_shows_a_beginning_of_the_users_part() {
    each("cuts of a live log", 60, |chance| cuts(chance, |finder, _| finder.view()));
}

#[test]
fn without_the_safe_end_it_would_show_the_wrapper() {
    let found = (1..=40).find_map(|seed| {
        let ignored = |finder: &ViewFinder, cut: usize| finder.view().map(|view| View { safe_end: cut as u64, ..view });
        cuts(&mut Chance::new(seed), ignored).err()
    });
    assert!(found.is_some_and(|wrong| wrong.contains("shows")), "the control finds nothing");
}
