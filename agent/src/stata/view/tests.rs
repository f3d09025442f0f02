use super::*;
use proptest::prelude::*;

fn wrapper(epilogue: bool) -> Wrapper {
    let mut text = String::from(
        "cd `\"/a work dir\"'\ndo `\"/home/someone/a/very/long/path/that/will/have/to/be/wrapped/main.do\"' 1 \"b c\"\n",
    );
    if epilogue {
        text.push_str("* epilogue of ab_1\nreturn list\n");
    }
    text.push_str("file open lhab_1 using `\"/spool/s\"', write text\nfile close lhab_1\n");
    Wrapper::from_text(text)
}

const BANNER: &str = "\n  ___  ____\n /__    /   ____/   /   ____/      19.5\n\nNotes:\n      1. Stata is running in batch mode.\n\n. do lhab_1.do \n\n";
const BEGIN: &str = ". cd `\"/a work dir\"'\n/a work dir\n\n. do `\"/home/someone/a/very/long/path/that/will/have/to/be/wrapped/main.do\"' 1 \n> \"b c\"\n";
const GOOD: &str =
    "\n. file open lhab_1 using `\"/spool/s\"', write text\n\n. file close lhab_1\n\n. \nend of do-file\n";

fn shown<'a>(log: &'a str, wrapper: &Wrapper) -> &'a str {
    let mut finder = ViewFinder::new(wrapper);
    finder.push(log.as_bytes());
    let view = finder.finish();
    &log[view.start as usize..view.end.unwrap() as usize]
}

#[test]
fn views() {
    fn check(parts: &[&str], expected: &str) {
        let log = parts.concat();
        assert_eq!(shown(&log, &wrapper(false)), expected, "{log}");
    }
    let fine = ". di 1\n1\n\n. \nend of do-file\n";
    check(&[BANNER, BEGIN, "\n", fine, GOOD], fine);
    check(&[BEGIN, "\n", fine, GOOD], fine);
    check(&[BANNER, BEGIN, "\n", fine], fine);
    let fails = ". do b.do\n\n. bad\nno\nr(9);\n\nend of do-file\nr(9);\n\nend of do-file\nr(9);\n";
    check(&[BANNER, BEGIN, "\n", fails, "\nend of do-file\nr(9);\n"], fails);
    let broken = ". bad\n--Break--\nr(1);\n\nend of do-file\n--Break--\nr(1);\n";
    check(&[BANNER, BEGIN, "\n", broken, "\nend of do-file\n--Break--\nr(1);\n"], broken);
    let timed = ". bad\nr(9); t=0.00 1:00:00\n\nend of do-file\nr(9); t=0.00 1:00:00\n";
    check(&[BANNER, BEGIN, "\n", timed, "\nend of do-file\nr(9); t=0.00 1:00:00\n"], timed);
    check(
        &[BANNER, BEGIN, "file main.do not found\nr(601);\n", "\nend of do-file\nr(601);\n"],
        "file main.do not found\nr(601);\n",
    );
    check(
        &[BANNER, ". cd `\"/a work dir\"'\nunable to change\nr(170);\n\nend of do-file\nr(170);\n"],
        "unable to change\nr(170);\n",
    );
    let profile = "\nRunning /p/profile.do ...\n. set more off\n\n. do other.do\n\n. di 1\n1\n\nend of do-file\n\n. \nend of do-file\n\n";
    let (banner, launcher) = BANNER.split_at(BANNER.find(". do lhab_1.do").unwrap());
    check(&[banner, profile, launcher, BEGIN, "\n", fine, GOOD], fine);
    check(&[banner, profile, launcher, BEGIN, "\n", fine], fine);
    check(&[banner, profile], "");
    check(&[banner, profile, launcher], "");
    check(&[BANNER, ". something else\n\n. again\n"], ". something else\n\n. again\n");
    check(&[BANNER, BEGIN, "\n. killed in the mid"], ". killed in the mid");
    check(&["\n /__    /   ____/   /   ____/\nSerial number: 1\n"], "");
    check(&["cannot start\n"], "cannot start\n");
    check(
        &[BANNER, BEGIN, "\n. di 1\nno line end. file open lhab_1 using `\"/spool/s\"', write text\n"],
        ". di 1\nno line end",
    );
    check(
        &["\r\n. do w.do \r\n\r\n", &BEGIN.replace('\n', "\r\n"), "\r\n. x\r\n", &GOOD.replace('\n', "\r\n")],
        ". x\r\n",
    );
    check(&[BANNER, BEGIN, "\n", fine, "\n. file op"], fine);
    check(&[BANNER, BEGIN, "\n", fine, "\n. fi"], fine);
    check(&[BANNER, BEGIN, "\n. di 1\n1\n\n. fi"], ". di 1\n1\n\n. fi");
    check(&[""], "");
}

#[test]
fn an_epilogue_is_not_the_users() {
    let log =
        [BANNER, BEGIN, "\n. x\n\n. \nend of do-file\n", "\n. * epilogue of ab_1\n. return list\n", GOOD].concat();
    assert_eq!(shown(&log, &wrapper(true)), ". x\n\n. \nend of do-file\n");
}

#[test]
fn the_sentinel_line_proves_success() {
    fn check(log: &str, expected: bool) {
        let mut finder = ViewFinder::new(&wrapper(false));
        finder.push(log.as_bytes());
        assert_eq!(finder.reached_sentinel(), expected, "{log}");
    }
    check(&[BANNER, BEGIN, "\n. x\n", GOOD].concat(), true);
    check(
        &[BANNER, BEGIN, "\n: x\n\n: file open lhab_1 using `\"/spool/s\"', write text\n<istmt>\nr(3000);\n"].concat(),
        true,
    );
    check(&[BANNER, BEGIN, "\n. x\n\n. \nend of do-file\n"].concat(), false);
    check(". di \"file open lhab_1\"\n", false);
}

fn line() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        ". di 1\n",
        "1\n",
        "\n",
        ". \n",
        "end of do-file\n",
        "r(9);\n",
        "--Break--\n",
        "..--Break--\n",
        "r; t=0.1 1\n",
        "out. fi\n",
        "> x\n",
        ". file close\n",
        "é. file open lhab_1 using `\"/spool/s\"', write text\n",
        "\r\n",
        "\u{1b}[1mx\n",
        ". file open lhab_1 using `\"/spool/s\"', write text\n",
        ". file open lhab_1 x\n",
        "r(",
        "end of do",
        ". ",
        "  2. }\n",
    ])
    .prop_map(str::to_owned)
}

/// Checks that what is shown of a live log, pushed in chunks of `size` bytes, only grows, and ends as the whole log does.
fn check_live(log: &str, size: usize) -> Result<(), TestCaseError> {
    let mut whole = ViewFinder::new(&wrapper(false));
    whole.push(log.as_bytes());
    let expected = whole.finish();
    let mut finder = ViewFinder::new(&wrapper(false));
    let mut last = 0;
    for chunk in log.as_bytes().chunks(size) {
        finder.push(chunk);
        if let Some(View { start, safe_end, .. }) = finder.view() {
            prop_assert!(safe_end >= last, "the safe end went back from {last} to {safe_end}");
            prop_assert!(safe_end <= expected.end.unwrap(), "{safe_end} of {expected:?}");
            prop_assert_eq!(start, expected.start);
            last = safe_end;
        }
    }
    prop_assert_eq!(finder.finish(), expected);
    Ok(())
}

#[test]
fn a_repeated_prompt_after_the_end_of_a_do_file_is_held_back() {
    for repeated in [". . \n", ". .\n", ". .  \n", ". . x\n"] {
        for tail in [GOOD, "\nend of do-file\nr(9);\n", "r(9);\n", ""] {
            let log = [BANNER, BEGIN, "\n1\n\nend of do-file\n", repeated, "\n", tail].concat();
            check_live(&log, 1).unwrap_or_else(|e| panic!("{e}: {log}"));
        }
    }
}

proptest! {
    #[test]
    fn live_never_shows_what_the_end_hides(
        lines in prop::collection::vec(line(), 0..12), head in 0..3usize, tail in 0..3usize, size in 1usize..30)
    {
        let whole_head = [BANNER, BEGIN, "\n"].concat();
        let head = [whole_head.as_str(), BEGIN, ""][head];
        let tail = [GOOD, "\nend of do-file\nr(9);\n", ""][tail];
        let log = format!("{head}{}{tail}", lines.concat());
        check_live(&log, size)?;
    }

    #[test]
    fn any_bytes(log in prop::collection::vec(any::<u8>(), 0..300), size in 1usize..9) {
        let mut finder = ViewFinder::new(&wrapper(false));
        for chunk in log.chunks(size) { finder.push(chunk); finder.view(); }
        let view = finder.finish();
        prop_assert!(view.start <= view.end.unwrap() && view.end.unwrap() <= log.len() as u64);
    }
}
