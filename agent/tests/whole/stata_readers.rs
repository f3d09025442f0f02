//! All readers on one whole log of a run under a wrapper (made with the stand-in): they must agree about it.

use std::io::Cursor;
use std::path::Path;

use longhaul_agent::stata::banner;
use longhaul_agent::stata::judge::LogEnd;
use longhaul_agent::stata::judge_wrapped;
use longhaul_agent::stata::lines::decode::Encoding;
use longhaul_agent::stata::locate::{Locator, LogStart, locate};
use longhaul_agent::stata::progress::ProgressReader;
use longhaul_agent::stata::view::ViewFinder;
use longhaul_agent::stata::wrapper::Wrapper;

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("the_verdict_has_code_message_and_command", the_verdict_has_code_message_and_command),
    ("the_view_is_what_a_direct_start_would_show", the_view_is_what_a_direct_start_would_show),
    ("the_place_is_found_with_and_without_the_wrapper", the_place_is_found_with_and_without_the_wrapper),
    ("progress_goes_up_and_names_the_line", progress_goes_up_and_names_the_line),
];

const LOG: &[u8] = include_bytes!("../fixtures/nested_fail.log");
const WRAPPER: &str = "cd `\"/home/ana/lh/work dir\"'\n\
    do `\"/home/ana/lh/work dir/main.do\"' 1 \"b c\"\n\
    file open lhab_1 using `\"/home/ana/lh/spool/sentinel\"', write text\n\
    file close lhab_1\n";
const MAIN: &str = "* main\nclear all\nset obs 10\ndisplay \"one\"\nforvalues i = 1/3 {\n    * note\n    \
    display \"rep `i' of 3\"\n}\ndo \"nested/deep.do\" 7\ndisplay \"never\"\n";
const DEEP: &str = "args code\ndisplay \"deep\"\n\ndisplay \"a long line that has to be wrapped because it is longer \
    than seventy-nine columns\" ///\n    \" and continued\"\nif 1 {\n    error `code'\n}\n";

fn read(path: &Path) -> Option<Vec<u8>> {
    let text = match path.to_str()? {
        "/home/ana/lh/spool/lhab_1.do" => WRAPPER,
        "/home/ana/lh/work dir/main.do" => MAIN,
        "/home/ana/lh/work dir/nested/deep.do" => DEEP,
        _ => return None,
    };
    Some(text.as_bytes().to_vec())
}

fn the_verdict_has_code_message_and_command() {
    let found = judge_wrapped(&mut Cursor::new(LOG), &Wrapper::from_text(WRAPPER), Encoding::default()).unwrap();
    assert_eq!((found.state, found.rc), (LogEnd::Failed, Some(7)));
    assert_eq!((found.message.as_deref(), found.command.as_deref()), (Some("type mismatch"), Some("error `code'")));
    assert!(banner::read(LOG).is_some_and(|b| b.standin));
}

fn the_view_is_what_a_direct_start_would_show() {
    let mut finder = ViewFinder::new(&Wrapper::from_text(WRAPPER));
    finder.push(LOG);
    assert!(!finder.reached_sentinel());
    let view = finder.finish();
    let shown = String::from_utf8_lossy(&LOG[view.start as usize..view.end.unwrap() as usize]);
    assert!(shown.starts_with(". * main\n. clear all\n"), "{shown}");
    assert!(shown.ends_with("r(7);\n. }\nr(7);\n\nend of do-file\nr(7);\n\nend of do-file\nr(7);\n"), "{shown}");
}

fn the_place_is_found_with_and_without_the_wrapper() {
    let whole = locate(LOG, LogStart::in_directory(Path::new("/home/ana/lh/spool")), read).unwrap();
    assert_eq!((whole.place.file.as_str(), whole.place.line), ("nested/deep.do", 7));
    let lines: Vec<_> = whole.callers.iter().map(|c| (c.file.as_str(), c.line)).collect();
    assert_eq!(lines, [("lhab_1.do", 2), ("/home/ana/lh/work dir/main.do", 9)]);

    let mut finder = ViewFinder::new(&Wrapper::from_text(WRAPPER));
    finder.push(LOG);
    let view = finder.finish();
    let main = Path::new("/home/ana/lh/work dir/main.do");
    let start = LogStart {
        working_dir: Path::new("/home/ana/lh/work dir"),
        do_file: Some(main),
        args: &[],
        encoding: Encoding::default(),
    };
    let mut locator = Locator::new(start, read);
    locator.push(&LOG[view.start as usize..view.end.unwrap() as usize]);
    let found = locator.finish().unwrap();
    assert_eq!(found.place, whole.place);
    assert_eq!(found.callers, whole.callers[1..]);
}

fn progress_goes_up_and_names_the_line() {
    let mut reader = ProgressReader::for_run(&Wrapper::from_text(WRAPPER), MAIN.as_bytes(), Encoding::default());
    let mut seen = vec![];
    for line in LOG.split_inclusive(|&b| b == b'\n') {
        reader.push(line);
        let now = reader.current();
        if now.percent.is_some() && seen.last() != Some(&now.text) {
            seen.push(now.text);
        }
    }
    assert_eq!(seen, ["line 5 of 10: rep 1 of 3", "line 5 of 10: rep 2 of 3", "line 5 of 10: rep 3 of 3"]);
}
