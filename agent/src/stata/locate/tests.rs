use super::*;
use proptest::prelude::*;

const MAIN: &str = "* start\nclear all\nglobal sub \"sub dir\"\n\ndo one.do 5\ncd work\nforeach f in a b {\n    do `f'.do\n}\nforvalues i = 1/2 {\n    // run it\n    do \"loop.do\"\n}\ninclude inc.doh\ndisplay \"a very long line \" ///\n    \"that goes on\"\n#delimit ;\nregress y\n  x ;\n#delimit cr\nif 1 {\n    bad command\n}\n";

fn files(path: &Path) -> Option<Vec<u8>> {
    let text = match path.to_str()? {
        "/w/main.do" => MAIN,
        "/w/one.do" => "args n\ndo \"$sub/two.do\" `n'\n",
        "/w/sub dir/two.do" => "di 1\n\n\ndi 1\nerror `1'\n",
        "/w/work/loop.do" => "di \"in loop\"\nfails here\n",
        "/w/work/inc.doh" => "local included 1\nalso included\n",
        _ => return None,
    };
    Some(text.as_bytes().to_vec())
}

fn found(log: &str) -> Option<String> {
    let start = LogStart {
        working_dir: Path::new("/w"),
        do_file: Some(Path::new("/w/main.do")),
        args: &[],
        encoding: Encoding::default(),
    };
    let location = locate(log.as_bytes(), start, files)?;
    let mut places = location.callers;
    places.push(location.place);
    let show = |p: &Place| format!("{}:{}", p.file.trim_start_matches("/w/"), p.line);
    Some(places.iter().map(show).collect::<Vec<_>>().join(" > "))
}

const OPENING: &str = "\n. * start\n. clear all\n\n. global sub \"sub dir\"\n\n. \n. do one.do 5\n\n. args n\n\n. do \"$sub/two.do\" `n'\n\n. di 1\n1\n\n. \n. \n. di 1\n1\n\n";
const AFTER: &str = ". \nend of do-file\n\n. \nend of do-file\n\n. cd work\n/w/work\n\n. foreach f in a b {\n  2.     do `f'.do\n  3. }\n";

#[test]
fn places() {
    fn check(log: &str, expected: Option<&str>) {
        assert_eq!(found(log).as_deref(), expected, "{log}");
    }
    let fail = |s: &str| format!("{OPENING}{s}");
    let ok = |s: &str| format!("{OPENING}. error `1'\n{AFTER}{s}");
    check(
        &fail(". error `1'\nr(5);\n\nend of do-file\nr(5);\n\nend of do-file\nr(5);\n\nend of do-file\nr(5);\n"),
        Some("main.do:5 > one.do:2 > $sub/two.do:5"),
    );
    check(&ok("\n. strange one\nno\nr(9);\n\nend of do-file\nr(9);\n"), Some("main.do:7"));
    // A `do` of `capture noisily` that did not open its file: the end that follows is that of the do-file around it.
    let start = LogStart { do_file: None, ..LogStart::in_directory(Path::new("/w")) };
    let read = |path: &Path| match path.to_str()? {
        "/w/out.do" => Some(b"do in.do\nbad one\n".to_vec()),
        "/w/in.do" => Some(b"cap noi do \"none.do\"\n".to_vec()),
        _ => None,
    };
    let log = "\n. do out.do\n\n. do in.do\n\n. cap noi do \"none.do\"\nfile none.do not found\n\n. \nend of do-file\n\n. bad one\nr(9);\n\nend of do-file\nr(9);\n";
    let place = locate(log.as_bytes(), start, read).unwrap().place;
    assert_eq!((place.file.as_str(), place.line), ("out.do", 2));
    check(
        &ok(
            "\n. forvalues i = 1/2 {\n  2.     // run it\n.     do \"loop.do\"\n  3. }\n\n. di \"in loop\"\nin loop\n\n. fails here\nno\nr(9);\n\nend of do-file\nr(9);\n",
        ),
        Some("main.do:10 > loop.do:2"),
    );
    check(
        &ok("\n. forvalues i = 1/2 {\n  2.     // run it\n.     do \"loop.do\"\n  3. }\nno\nr(9);\n"),
        Some("main.do:10"),
    );
    check(
        &ok("\n. include inc.doh\n\n. local included 1\n\n. also included\nno\nr(9);\n"),
        Some("main.do:14 > inc.doh:2"),
    );
    check(
        &ok(
            "\n. include inc.doh\n\n. local included 1\n\n. also included\n\n. display \"a very long line \" //\n> /\n>     \"that goes on\"\nno\nr(9);\n",
        ),
        Some("main.do:15"),
    );
    check(&ok("\n. #delimit ;\ndelimiter now ;\n. regress y\n>   x ;\nno\nr(9);\n"), Some("main.do:18"));
    check(&ok("\n. if 1 {\n.     bad command\nno\nr(9);\n. }\nr(9);\n\nend of do-file\nr(9);\n"), Some("main.do:22"));
    check(". do one.do 5\nfile one.do not found\nr(601);\n", Some("main.do:5"));
    check(&ok(". }\n\n. \nend of do-file\n"), None);
    check("", None);
}

#[test]
fn a_plain_batch_log_names_its_do_file_itself() {
    let start = LogStart::in_directory(Path::new("/w"));
    let log = "StataCorp\n\n. do \"main.do\" \n\n. * start\n. clear all\nno\nr(9);\n\nend of do-file\nr(9);\n";
    let location = locate(log.as_bytes(), start, files).unwrap();
    assert_eq!((location.place.file.as_str(), location.place.line), ("main.do", 2));
    assert!(location.callers.is_empty());
}

#[test]
fn a_directory_too_long_for_a_line_is_entered_all_the_same() {
    let folder = format!("/w/{}", "d".repeat(90));
    let (first, rest) = folder.split_at(79);
    let log = format!(
        "\n. cd \"{}\n> {}\"\n{first}\n> {rest}\n\n. do \"one.do\" 5\n\n. error `1'\nno\nr(9);\n\nend of do-file\nr(9);\n",
        &folder[..73],
        &folder[73..]
    );
    let read = |path: &Path| (path == Path::new(&folder).join("one.do")).then(|| b"error `1'\n".to_vec());
    let location = locate(log.as_bytes(), LogStart::in_directory(Path::new("/w")), read).unwrap();
    assert_eq!((location.place.path, location.place.line), (Path::new(&folder).join("one.do"), 1));
}

/// The place in a log of the do-files that `sources` names, called from `/w/main.do`.
fn among(sources: &[(&str, &str)], log: &str) -> Option<String> {
    let read = |path: &Path| {
        let name = path.to_str()?.strip_prefix("/w/")?;
        sources.iter().find(|s| s.0 == name).map(|s| s.1.as_bytes().to_vec())
    };
    let location = locate(log.as_bytes(), LogStart::in_directory(Path::new("/w")), read)?;
    let mut places = location.callers;
    places.push(location.place);
    Some(
        places
            .iter()
            .map(|p| format!("{}:{}", p.path.file_name().unwrap().to_str().unwrap(), p.line))
            .collect::<Vec<_>>()
            .join(" > "),
    )
}

const SUB: (&str, &str) = ("sub.do", "display \"sub\"\n\nassert 1 == 2\n");
const SUB_FAILS: &str = "\n. display \"sub\"\nsub\n\n. \n. assert 1 == 2\nassertion is false\nr(9);\n\nend of do-file\nr(9);\n\nend of do-file\nr(9);\n";

#[test]
fn files_that_a_macro_a_condition_or_a_loop_names() {
    #[track_caller]
    fn check(main: &str, echoed: &str, want: &str) {
        let log = format!("\n. do main.do\n\n{echoed}{SUB_FAILS}");
        assert_eq!(among(&[("main.do", main), SUB], &log).as_deref(), Some(want), "{log}");
    }
    check("  if 1 do \"sub.do\"\n", ".   if 1 do \"sub.do\"\n", "main.do:1 > sub.do:3");
    check("local f \"sub\"\ndo `f'\n", ". local f \"sub\"\n\n. do `f'\n", "main.do:2 > sub.do:3");
    check("#delimit ;\ndo sub.do;\n", ". #delimit ;\ndelimiter now ;\n. do sub.do;\n", "main.do:2 > sub.do:3");
    check(
        "#delimit ;\nglobal root \".\";\ndo \"$root/sub.do\";\n",
        ". #delimit ;\ndelimiter now ;\n. global root \".\";\n\n. do \"$root/sub.do\";\n",
        "main.do:3 > sub.do:3",
    );
    check(
        "global root \"`c(pwd)'\"\ndo \"$root/sub.do\"\n",
        ". global root \"`c(pwd)'\"\n\n. do \"$root/sub.do\"\n",
        "main.do:2 > sub.do:3",
    );
    check(
        "foreach f in sub {\n  do \"`f'.do\"\n}\n",
        ". foreach f in sub {\n  2.   do \"`f'.do\"\n  3. }\n",
        "main.do:1 > sub.do:3",
    );
    check(
        "foreach f in none sub {\n  if 1 do \"`f'.do\"\n}\n",
        ". foreach f in none sub {\n  2.   if 1 do \"`f'.do\"\n  3. }\n",
        "main.do:1 > sub.do:3",
    );
    // A call that cannot be followed: the place is the known one outside.
    check("local f = lower(\"SUB\")\ndo `f'\n", ". local f = lower(\"SUB\")\n\n. do `f'\n", "main.do:2");
    check("cd `c(tmpdir)'\ndo sub\n", ". cd `c(tmpdir)'\n\n. do sub\n", "main.do:2");
    // The file has changed since the run.
    let log = format!("\n. do main.do\n\n. do sub.do\n{}", SUB_FAILS.replace("display \"sub\"", "display \"then\""));
    let changed = [("main.do", "do sub.do\ndisplay \"then\"\n"), ("sub.do", "display 2\nassert 1 == 2\n")];
    assert_eq!(among(&changed, &log).as_deref(), Some("main.do:2"), "nothing of it can be told, and nothing false is");
}

#[test]
fn files_that_begin_alike_are_told_apart_or_not_at_all() {
    let main = ("main.do", "foreach f in a b {\n  if \"`f'\" != \"x\" do `f'\n}\n");
    let head = "\n. do main.do\n\n. foreach f in a b {\n  2.   if \"`f'\" != \"x\" do `f'\n  3. }\n\n. clear all\n\n";
    let (a, b) = (("a.do", "clear all\ndisplay 1\nfails\n"), ("b.do", "clear all\n\ndisplay 2\nfails\n"));
    let log = format!("{head}. display 2\n2\n\n. fails\nno\nr(9);\n");
    assert_eq!(among(&[main, a, b], &log).as_deref(), Some("main.do:1 > b.do:4"));
    let log = format!("{head}. fails\nno\nr(9);\n");
    let (a, b) = (("a.do", "clear all\nfails\n"), ("b.do", "clear all\n\nfails\n"));
    assert_eq!(among(&[main, a, b], &log).as_deref(), Some("main.do:1"));
}

/// Real logs and their peculiarities: what is echoed but did not run, bodies of programs, a prompt after the end.
#[test]
fn echoes_that_open_nothing() {
    let sub = ("sub.do", "display 7\n");
    let check = |main: &str, log: &str, want: &str| {
        assert_eq!(among(&[("main.do", main), sub, ("setup2.do", "bad\n")], log).as_deref(), Some(want), "{log}");
    };
    let block = "if 1 {\n    di 1\n    bad cmd\n    di 2\n\n    save x, replace\n}\n";
    let head = "\n. do main.do\n\n. if 1 {\n.     di 1\n1\n.     bad cmd\ncommand bad is unrecognized\nr(199);\n";
    check(
        block,
        &format!("{head}.     di 2\n. \n.     save x, replace\n. }}\nr(199);\n\nend of do-file\nr(199);\n"),
        "main.do:3",
    );
    check(
        "capture do \"setup.do\"\nif _rc != 0 {\n    do \"setup2.do\"\n}\n\nquietly {\n}\ndi 5\nbad\n",
        "\n. do main.do\n\n. capture do \"setup.do\"\n\n. if _rc != 0 {\n.     do \"setup2.do\"\n. }\n\n. \n. quietly {\n. }\n\n. di 5\n5\n\n. bad\ncommand bad is unrecognized\nr(199);\n\nend of do-file\nr(199);\n",
        "main.do:9",
    );
    check(
        "program main\n    di 1\n\n    do sub.do\n    di 2\nend\n\ndi 3\nbad\n",
        "\n. do main.do\n\n. program main\n  1.     di 1\n  2. \n.     do sub.do\n  3.     di 2\n  4. end\n\n. \n. di 3\n3\n\n. bad\ncommand bad is unrecognized\nr(199);\n\nend of do-file\nr(199);\n",
        "main.do:9",
    );
    check(
        "di 5\nbad\n",
        "\n. do main.do\n\n. di 5\n5\n\n. bad\ncommand bad is unrecognized\nr(199);\n\nend of do-file\n\nr(199);\n\n. \n",
        "main.do:2",
    );
    // A failure that was caught is not the one that counts, though it has the same code.
    check(
        "capture noisily do sub.do\nbad\n",
        "\n. do main.do\n\n. capture noisily do sub.do\n\n. display 7\nno\nr(199);\n\nend of do-file\nr(199);\n\n. bad\ncommand bad is unrecognized\nr(199);\n\nend of do-file\nr(199);\n",
        "main.do:2",
    );
}

#[test]
fn an_escape_in_the_source_is_no_trouble() {
    let main = ("main.do", "display \"a\"\nassert 1 == 2 // \u{1b}[31mred\n");
    let log = "\n. do main.do\n\n. display \"a\"\na\n\n. assert 1 == 2 // \u{1b}[31mred\nassertion is false\nr(9);\n\nend of do-file\nr(9);\n";
    assert_eq!(among(&[main], log).as_deref(), Some("main.do:2"));
}

proptest! {
    #[test]
    fn chunks_make_no_difference(log in "(\\. do one\\.do\n|\\. di 1\n|> x\n|  2\\. }\n|end of do-file\n|r\\([1-3]\\);\n|\n|/w\n|\\. cd x\n|\\. include inc\\.doh\n){0,30}", size in 1usize..7) {
        let start = LogStart { working_dir: Path::new("/w"), do_file: Some(Path::new("/w/main.do")), args: &[], encoding: Encoding::default() };
        let mut locator = Locator::new(start, files);
        for chunk in log.as_bytes().chunks(size) { locator.push(chunk); }
        prop_assert_eq!(locator.finish(), locate(log.as_bytes(), start, files));
    }
}
