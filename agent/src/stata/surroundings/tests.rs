//! Logs as Stata writes them, and what stands around their errors.

use std::path::PathBuf;

use super::*;
use crate::stata::judge::judge;

fn of(log: &str, source: &str) -> Around {
    let read = |path: &Path| (path == Path::new("/p/a.do")).then(|| source.as_bytes().to_vec());
    let mut reader = Surroundings::new(LogStart::in_directory(Path::new("/p")), 0..u64::MAX, read);
    let found = judge(log.as_bytes());
    for chunk in log.as_bytes().chunks(7) {
        reader.push(chunk);
    }
    reader.finish(found.command.as_deref(), found.rc).2
}

fn suppressed(log: &str) -> Vec<(Option<i64>, String, String)> {
    of(log, "").suppressed.into_iter().map(|error| (error.rc, error.message, error.command)).collect()
}

fn error(rc: i64, message: &str, command: &str) -> (Option<i64>, String, String) {
    (Some(rc), message.to_owned(), command.to_owned())
}

#[test]
fn what_stands_before_and_after_an_error() {
    let log = "\n. do a.do\n\n. display \"begin\"\nbegin\n\n. gen y = bad_var + 1\nbad_var not found\nr(111);\n\nend of do-file\nr(111);\n";
    let found = of(log, "display \"begin\"\ngen y = bad_var + 1\n");
    assert_eq!(
        found.before,
        [". do a.do", ". display \"begin\"", "begin", ". gen y = bad_var + 1", "bad_var not found"]
    );
    assert_eq!(found.after, ["end of do-file", "r(111);"]);
    assert_eq!((found.suppressed, found.left_out), (vec![], 0));
    let long = of(&format!("\n. di 1\n{}\n", "x\n".repeat(30) + &"é".repeat(300)), "");
    assert_eq!((long.before.len(), long.after.len()), (BEFORE, 0));
    assert_eq!(long.before.last().unwrap().chars().count(), COLUMNS + 1);
}

#[test]
fn errors_of_capture_noisily_are_told_with_their_place() {
    let source = "capture noisily summarize z\ncap noi regress y x\ncapture noisily {\n  drop q\n}\nbad\n";
    let log = "\n. do a.do\n\n. capture noisily summarize z\nvariable z not found\n\n. cap noi regress y x\nno observations\n\n\
        . bad\ncommand bad is unrecognized\nr(199);\n\nend of do-file\nr(199);\n";
    let found = of(log, source);
    let told: Vec<_> = found.suppressed.iter().map(|e| (e.rc, e.command.as_str())).collect();
    assert_eq!(told, [(Some(111), "capture noisily summarize z"), (Some(2000), "cap noi regress y x")]);
    let place = found.suppressed[1].place.clone().unwrap().place;
    assert_eq!((place.path, place.line), (PathBuf::from("/p/a.do"), 2));
    assert_eq!(found.before.last().unwrap(), "command bad is unrecognized");
}

#[test]
fn only_what_is_surely_an_error_is_one() {
    let end = "\n. bad\ncommand bad is unrecognized\nr(199);\n\nend of do-file\nr(199);\n";
    let check = |before: &str, want: &[(Option<i64>, String, String)]| {
        assert_eq!(suppressed(&format!("{before}{end}")), want, "{before}");
    };
    check("\n. capture noisily su z\n\n", &[]);
    check("\n. cap noi su x\n\n    Variable |  Obs\n", &[]);
    check("\n. cap noi di \"z not found\"\nz not found\n", &[]);
    check("\n. su z\nz not found\n", &[]);
    check("\n. cap noi graph export a.png, replace\nfile a.png not found\nfile a.png saved as PNG format\n", &[]);
    check("\n. cap noi use a\nfile a.dta not found\n", &[error(601, "file a.dta not found", "cap noi use a")]);
    let last = "\n. do b\n\n. cap noi do c\nfile c.do not found\n\n. \nend of do-file\n";
    check(last, &[error(601, "file c.do not found", "cap noi do c")]);
    // In a loop each message counts once, and the failure's own is not among them.
    let looped = "\n. foreach v in a b {\n  2.   cap noi su `v'\n  3.   gen x`v' = 1\n  4. }\n\
        variable a not found\nvariable a not found\nvariable b not found\n";
    let own =
        [error(111, "variable a not found", "cap noi su `v'"), error(111, "variable b not found", "cap noi su `v'")];
    check(looped, &own);
    let fails = format!("{looped}variable xa already defined\nr(110);\n\nend of do-file\nr(110);\n");
    assert_eq!(suppressed(&fails), own);
    let marked =
        "{smcl}\n{com}. cap noi myprogram\n{err}something odd\n{txt}\n{com}. bad\n{err}no\n{txt}{search r(9):r(9);}\n";
    assert_eq!(suppressed(marked), [(None, "something odd".to_owned(), "cap noi myprogram".to_owned())]);
}

#[test]
fn a_code_after_which_the_run_went_on_is_suppressed() {
    let log = "\n. do b, nostop\n\n. bad\ncommand bad is unrecognized\nr(199);\n\n. di 1\n1\n\n. worse\n\
        command worse is unrecognized\nr(199);\n\nend of do-file\nr(199);\n";
    assert_eq!(suppressed(log), [error(199, "command bad is unrecognized", "bad")]);
    let succeeded = "\n. bad\ncommand bad is unrecognized\nr(199);\n\n. di 1\n1\n\n. \nend of do-file\n";
    assert_eq!(suppressed(succeeded), [error(199, "command bad is unrecognized", "bad")]);
}

#[test]
fn there_are_bounds() {
    let one = |n: usize| format!("\n. cap noi su z{n}\nvariable z{n} not found\n");
    let many: String = (0..50).map(one).collect();
    let found = of(&format!("{many}\n. bad\nno\nr(9);\n\nend of do-file\nr(9);\n"), "");
    assert_eq!((found.suppressed.len(), found.left_out, found.after.len()), (20, 30, 2));
    let codes: String = (0..50).map(|n| format!("\n. bad{n}\nno\nr(9);\n\n. di {n}\n{n}\n")).collect();
    let found = of(&format!("{codes}\n. bad\nlast\nr(9);\n\nend of do-file\nr(9);\n"), "");
    assert_eq!((found.suppressed.len(), found.left_out), (20, 30));
    assert_eq!(found.before.last().unwrap(), "last");
}

#[test]
fn only_the_users_part_is_told() {
    let log = "\n. cd `\"/w\"'\n/w\n\n. do `\"/p/a.do\"'\n\n. bad\nno\nr(9);\n\nend of do-file\nr(9);\n\nend of do-file\nr(9);\n";
    let from = log.find(". bad").unwrap() as u64;
    let to = log.find("\nend of do-file\nr(9);\n\nend").unwrap() as u64 + 21;
    let mut reader = Surroundings::new(LogStart::in_directory(Path::new("/w")), from..to, |_: &Path| None);
    reader.push(log.as_bytes());
    let found = reader.finish(Some("bad"), Some(9)).2;
    assert_eq!(found.before, [". bad", "no"]);
    assert_eq!(found.after, ["end of do-file", "r(9);"]);
}

proptest::proptest! {
    /// Any bytes, in any chunks, are read alike.
    #[test]
    fn chunks_do_not_matter(log in "(\\. cap noi x\n|\\. foreach v in a \\{\n|  2\\.   cap noi su z\n|  3\\. \\}\n|z not found\n|r\\(9\\);\n|\
        end of do-file\n|--Break--\n|\n|out\n|\\. \n|\\. x\n|r; t=1\n){0,30}", size in 1_usize..20) {
        let read = |size: usize| {
            let mut reader = Surroundings::new(LogStart::in_directory(Path::new("/p")), 0..u64::MAX, |_: &Path| None);
            log.as_bytes().chunks(size).for_each(|chunk| reader.push(chunk));
            reader.finish(None, judge(log.as_bytes()).rc).2
        };
        let whole = read(log.len().max(1));
        proptest::prop_assert!(whole.before.len() <= BEFORE && whole.suppressed.len() <= 20);
        proptest::prop_assert_eq!(read(size), whole);
    }
}
