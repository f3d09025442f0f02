use super::*;
use crate::stata::locate::{Locator, LogStart};
use proptest::prelude::*;
use std::path::Path;

/// Lines as Stata writes them, in any order.
const LOG_LIKE: &str = "((\\{smcl\\}\n)?(\\. x\n|\\. \n|> y\n|  [12]\\. z\n|  3\\. \\}\n|\\. do a\n|\\. do \"b c\" 1\n|\\. foreach v in a \\{\n|\
    \\. program p\n|\\. p\n|\\. #delimit ;\n|\\. mata:\n|: x\n|\\. python:\n|>>> x\n|\\. exit, STATA\n|\\. log close\n|\\. }\n|end of do-file\n|\
    r\\([0-9]{1,3}\\);\n|--Break--\n| opened on:  1\n| closed on:  2\n|\n|out\r|    hanging\n|x not found\n|\\{err\\}|\\{p\\}|\\{p_end\\}|\
    \\. forvalues i = 1/2 \\{\n  2\\. do a\n  3\\. \\}\n|\\. foreach v of local w \\{\n  2\\. do a\n  3\\. stcox x\n  4\\. \\}\n|\\. local w 1 2\n|\
    file a_1.dta saved\n|Imputations \\(10\\):\n|no observations\n|option x\ny not allowed\n|convergence not achieved\n){0,40})";

/// The same log as another program saves it: UTF-16 with a mark.
fn saved_again(log: &str) -> Vec<u8> {
    std::iter::once(0xfeff).chain(log.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

#[test]
fn verdicts() {
    fn check(log: &str, state: LogEnd, rc: Option<i64>, message: Option<&str>, command: Option<&str>) {
        let found = judge(log.as_bytes());
        assert_eq!(
            (found.state, found.rc, found.message.as_deref(), found.command.as_deref()),
            (state, rc, message, command),
            "{log}"
        );
    }
    use LogEnd::{Failed, Incomplete, Succeeded};
    check("", Incomplete, None, None, None);
    check(". di 1\n1\n\n. \nend of do-file\n", Succeeded, None, None, None);
    check(". \nend of do-file\nr; t=0.00 2:04:05\n", Succeeded, None, None, None);
    let nested = ". do a.do\n\n. gen y = bad_var + 1\nbad_var not found\nr(111);\n\nend of do-file\nr(111);\n\nend of do-file\nr(111);\n";
    check(nested, Failed, Some(111), Some("bad_var not found"), Some("gen y = bad_var + 1"));
    check(&nested.replace('\n', "\r\n"), Failed, Some(111), Some("bad_var not found"), Some("gen y = bad_var + 1"));
    let named = "end of do-file\nr(111);\n\nend of do-file\n\nr(111);\n\n. \n";
    check(named, Failed, Some(111), None, None);
    check(". x\nr(1);\n\nend of do-file\nr(1);\n. di 1\n1\n", Incomplete, None, None, Some("di 1"));
    check(". do x.do\nfile x.do not found\nr(601);\n", Failed, Some(601), Some("file x.do not found"), Some("do x.do"));
    check(". exit 123456789\nr(123456789);\n", Failed, Some(123_456_789), None, Some("exit 123456789"));
    check(
        ". bad\nr(199); t=0.69 22:24:13\n\nend of do-file\nr(199); t=0.00 22:24:13\n",
        Failed,
        Some(199),
        None,
        Some("bad"),
    );
    check(
        ". foreach x in a {\n  2.   bad\n  3. }\nno\nr(9);\n\nend of do-file\nr(9);\n",
        Failed,
        Some(9),
        Some("no"),
        Some("foreach x in a {"),
    );
    check(
        ". if 1 {\n.   exit 1\n--Break--\nr(1);\n. }\n--Break--\nr(1);\n\nend of do-file\n--Break--\nr(1);\n",
        Failed,
        Some(1),
        None,
        Some("exit 1"),
    );
    check(
        "{smcl}\n{com}. x\n{err}no {bf:x}\n{txt}{search r(198):r(198);}\n\nend of do-file\n\n{search r(198):r(198);}\n\n{smcl}\n{txt}{sf}{ul off}",
        Failed,
        Some(198),
        Some("no x"),
        Some("x"),
    );
}

#[test]
fn verdicts_on_logs_that_were_closed() {
    let check = |log: &str, ended: LogEnd, command: Option<&str>| {
        let found = judge(log.as_bytes());
        assert_eq!(
            (found.state, found.rc, found.message.as_deref(), found.command.as_deref()),
            (ended, None, None, command),
            "{log}"
        );
    };
    use LogEnd::{Incomplete, Succeeded};
    check("{smcl}\n{com}. x\n{txt}fine\n{smcl}\n{txt}{sf}{ul off}", Succeeded, None);
    check("{smcl}\n{com}. x\n{txt}fin", Incomplete, Some("x"));
    let closed = "      name:  <unnamed>\n opened on:  1\n. x\n closed on:  2\n------\n";
    check(closed, Succeeded, None);
    check(&format!(" /__    /   ____/   /   ____/      17.0\n{closed}"), Incomplete, Some("x"));
    check(&format!("{closed}. y\n"), Incomplete, Some("y"));
}

#[test]
fn exits_and_breaks() {
    fn check(log: &str, exit_stata: bool, break_seen: bool) {
        let found = judge(log.as_bytes());
        assert_eq!((found.exit_stata, found.break_seen), (exit_stata, break_seen), "{log}");
    }
    check(". exit, STATA\n", true, false);
    check(". quietly exit 3, STATA clear\n", true, false);
    check(". exit, clear\n", false, false);
    check(". di \"exit\", STATA_x\n", false, false);
    check("  ..--Break--\nr(1);\n\nend of do-file\n--Break--\nr(1);\n", false, true);
    check(". exit 1\nr(1);\n", false, false);
}

#[test]
fn the_end_tells_how_many_do_files_it_leaves() {
    fn check(log: &str, unwound: u32) {
        assert_eq!(judge(log.as_bytes()).unwound, unwound, "{log}");
    }
    let user = ". error 459\nr(459);\n\nend of do-file\nr(459);\n";
    check(user, 1);
    check(&format!("{user}\nend of do-file\nr(459);\n"), 2);
    check(&format!("{user}\nend of do-file\n\nr(459);\n"), 2);
    check("--Break--\nr(1);\n\nend of do-file\n--Break--\nr(1);\n\nend of do-file\n--Break--\nr(1);\n", 2);
    check(". display \"r(111);\"\nr(111);\n", 0);
    check(&format!("{user}\nend of do-file\nr(459);\n\n. file open x\n"), 0);
    // The user's code left the interpreter in Mata: the wrapper's line fails, and only the wrapper is left.
    check(": file open lh1 using x\n<istmt>: 3000\nr(3000);\n\nend of do-file\nr(3000);\n", 1);
}

#[test]
fn the_json_is_the_promised_object() {
    let json = serde_json::to_string(&judge(b". xx\ncommand xx is unrecognized\nr(199);\n")).unwrap();
    assert_eq!(
        json,
        r#"{"state":"failed","reason":"code","rc":199,"message":"command xx is unrecognized","command":"xx"}"#
    );
}

proptest! {
    #[test]
    fn any_bytes_are_judged(log in proptest::collection::vec(any::<u8>(), 0..400)) {
        judge(&log);
    }

    #[test]
    fn any_log_like_text_is_judged(log in LOG_LIKE) {
        let found = judge(log.as_bytes());
        prop_assert_eq!(found.rc.is_some(), found.state == LogEnd::Failed);
        prop_assert_eq!(found.reason == Reason::ExitStata, found.exit_stata);
        prop_assert_eq!(judge(&saved_again(&log)), found);
    }

    #[test]
    fn it_is_located_alike_however_it_is_cut(log in LOG_LIKE, size in 1usize..40) {
        let read = |path: &Path| path.ends_with("a.do").then(|| b"x\nforeach v in a {\n  z\n}\ndo b\n".to_vec());
        let found = |size: usize| {
            let mut locator = Locator::new(LogStart::in_directory(Path::new("/w")), read);
            log.as_bytes().chunks(size).for_each(|chunk| locator.push(chunk));
            locator.finish_at(judge(log.as_bytes()).command.as_deref())
        };
        let whole = found(usize::MAX);
        for (_, line) in &whole.1.open {
            prop_assert!(line.is_none_or(|line| line > 0));
        }
        prop_assert_eq!(found(size), whole);
    }
}
