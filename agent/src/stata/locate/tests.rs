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
    let start = Start { working_dir: Path::new("/w"), do_file: Some(Path::new("/w/main.do")), args: &[] };
    let location = locate(log.as_bytes(), start, files)?;
    let mut places = location.callers;
    places.push(location.place);
    let show = |p: &Place| {
        format!("{}:{}", p.file.trim_start_matches("/w/"), p.line.map_or("?".to_owned(), |l| l.to_string()))
    };
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
    check(&ok("\n. strange one\nno\nr(9);\n\nend of do-file\nr(9);\n"), Some("main.do:7 > :?"));
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
    check("", Some("main.do:?"));
}

#[test]
fn a_plain_batch_log_names_its_do_file_itself() {
    let start = Start::in_directory(Path::new("/w"));
    let log = "StataCorp\n\n. do \"main.do\" \n\n. * start\n. clear all\nno\nr(9);\n\nend of do-file\nr(9);\n";
    let location = locate(log.as_bytes(), start, files).unwrap();
    assert_eq!((location.place.file.as_str(), location.place.line), ("main.do", Some(2)));
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
    let location = locate(log.as_bytes(), Start::in_directory(Path::new("/w")), read).unwrap();
    assert_eq!((location.place.path, location.place.line), (Some(Path::new(&folder).join("one.do")), Some(1)));
}

proptest! {
    #[test]
    fn chunks_make_no_difference(log in "(\\. do one\\.do\n|\\. di 1\n|> x\n|  2\\. }\n|end of do-file\n|r\\([1-3]\\);\n|\n|/w\n|\\. cd x\n|\\. include inc\\.doh\n){0,30}", size in 1usize..7) {
        let start = Start { working_dir: Path::new("/w"), do_file: Some(Path::new("/w/main.do")), args: &[] };
        let mut locator = Locator::new(start, files);
        for chunk in log.as_bytes().chunks(size) { locator.push(chunk); }
        prop_assert_eq!(locator.finish(), locate(log.as_bytes(), start, files));
    }
}
