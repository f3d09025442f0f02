use super::*;
use proptest::prelude::*;

fn after(log: &str) -> Progress {
    let mut reader = ProgressReader::new();
    reader.push(log.as_bytes());
    reader.current()
}

#[test]
fn percents_and_texts() {
    fn check(log: &str, percent: Option<f64>, text: &str) {
        let found = after(log);
        assert_eq!((found.percent, found.text.as_str()), (percent, text), "{log}");
    }
    let ruler = "----+--- 1 ---+--- 2 ---+--- 3 ---+--- 4 ---+--- 5 \n";
    let fifty = ".".repeat(50);
    check("", None, "");
    check(". regress y x\n", None, "regress y x");
    check(". reg", None, "reg");
    check(&format!(". x\n\nSimulations (200)\n{ruler}"), Some(0.0), "Simulations 0 of 200");
    check(&format!(". x\n\nSimulations (200)\n{ruler}{fifty}    50\n"), Some(25.0), "Simulations 50 of 200");
    check(&format!(". x\n\nSimulations (200)\n{ruler}{fifty}    50\n..x.."), Some(27.5), "Simulations 55 of 200");
    check(
        &format!(". x\n\nSimulations (1,000)\n{ruler}{fifty}   500\n.........."),
        Some(60.0),
        "Simulations 600 of 1000",
    );
    check("Bootstrap replications (50): .........10........", Some(36.0), "Bootstrap replications 18 of 50");
    check("Bootstrap replications (50): .........10.........2", Some(38.0), "Bootstrap replications 19 of 50");
    check("Bootstrap replications (50): .........1\n> 0.", Some(22.0), "Bootstrap replications 11 of 50");
    check(
        "Bootstrap replications (50): xxxxxxxxxxxxxx.xxxxxxxxxx..x.xxxxxxxxx.40xxx.xxxxxx done\n",
        Some(100.0),
        "Bootstrap replications 50 of 50",
    );
    check("Imputations (10):\n  ..", Some(20.0), "Imputations 2 of 10");
    check("Imputations (10):\n  ....done\n", Some(40.0), "Imputations 4 of 10");
    check("rep 3 of 10\nBootstrap replications (50): .........10", Some(30.0), "Bootstrap replications 10 of 50");
    check(
        "rep 3 of 10\nIteration 3:   log likelihood = -43305.008  \n",
        Some(30.0),
        "Iteration 3: log likelihood = -43305.008",
    );
    check("rep 3 of 10\n. next\n", None, "next");
    check("(1,461,870 observations deleted)\n(note: file x.dta not found)\nModel (3)\n12,000\n.5\n", None, "");
    check("Source | SS  df (10)\n..........\n", None, "");
}

#[test]
fn a_log_that_tells_times_tells_that_of_the_last_command() {
    fn check(log: &str, text: &str) {
        assert_eq!(after(log).text, text, "{log}");
    }
    check(". set rmsg on\nr; t=0.00 2:04:05\n\n. sleep 1\n", "sleep 1");
    check(". sleep 1\nr; t=12.31 2:04:05\n\n. next\n", "next · the command before took 12 s");
    check(". sleep 1\nr; t=1,662.31 2:04:05\n\n. next\n", "next · the command before took 27 min 42 s");
    check(". a\nr; t=12.31 2:04:05\n\n. b\nr; t=0.31 2:04:06\n\n. c\n", "c");
    check(". a\nr; t=x 2:04:05\n. b\n", "b");
    let long = after(&format!(". a\nr; t=12.31 2:04:05\n\n. {}\n", "b".repeat(500))).text;
    assert!(long.ends_with("… · the command before took 12 s") && long.chars().count() <= TEXT, "{long}");
}

#[test]
fn nested_blocks_show_the_outermost() {
    let outer = "Permutations (10)\n----+--- 1 ---+--- 2\n...";
    let inner = "Bootstrap replications (4): ....";
    assert_eq!(after(&format!("{outer}\n{inner}")).percent, Some(30.0));
    assert_eq!(after(&format!("{outer}\n{inner}")).block.as_deref(), Some("Permutations"));
}

#[test]
fn a_source_tells_the_line() {
    let mut reader = ProgressReader::with_source(b"di 1\n\nregress y x\n", Encoding::default());
    reader.push(b". di 1\n1\n\n. \n. regress y x\n\n");
    assert_eq!(reader.current().text, "line 3 of 3: regress y x");
}

#[test]
fn a_command_that_prints_nothing_is_told_with_its_own_line() {
    let mut reader = ProgressReader::with_source(b"di 1\nsleep 600000\ndo \"inner.do\"\ndi 2\n", Encoding::default());
    for (bytes, expected) in [
        (". di 1\n", "line 1 of 4: di 1"),
        ("1\n\n. sleep 600000\n", "line 2 of 4: sleep 600000"),
        ("\n. do \"inner.do\"\n", "line 3 of 4: do \"inner.do\""),
        ("\n. display 5\n", "line 3 of 4: display 5"),
        ("5\n\n. \nend of do-file\n\n. di 2\n", "line 4 of 4: di 2"),
    ] {
        reader.push(bytes.as_bytes());
        assert_eq!(reader.current().text, expected, "after {bytes}");
    }
}

#[test]
fn a_run_shows_neither_banner_nor_wrapper() {
    let text = "cd `\"/w\"'\ndo `\"/w/main.do\"'\nfile open lha_1 using `\"/s\"', write text\nfile close lha_1\n";
    let mut reader =
        ProgressReader::for_run(&Wrapper::from_text(text), b"clear\n\nregress y x\nrun it\n", Encoding::default());
    let steps = [
        ("\n /__    /   ____/   /   ____/      19.5\n\n. do lha_1.do \n\n. cd `\"/w\"'\n/w\n\n", ""),
        (". do `\"/w/main.do\"'\n\n", ""),
        (". clear\n\n. \n. regr", "line 1 of 4: regr"),
        ("ess y x\n\n", "line 3 of 4: regress y x"),
        ("rep 3 of 10\n", "line 3 of 4: rep 3 of 10"),
        (". run it\n\n. \nend of do-file\n\n. fi", "run it"),
        ("le open lha_1 using `\"/s\"', write text\n\n", "run it"),
    ];
    for (bytes, expected) in steps {
        reader.push(bytes.as_bytes());
        assert_eq!(reader.current().text, expected, "after {bytes}");
    }
}

#[test]
fn behind_the_stack_of_blocks_stays_right() {
    fn check(log: &str, expected: Option<f64>, text: &str) {
        let mut reader = ProgressReader::with_source(b"forvalues\nsecond\n", Encoding::default());
        for batch in log.as_bytes().chunks(256 * 1024) {
            reader.push(batch);
        }
        let found = reader.current();
        assert_eq!((found.percent, found.text.as_str()), (expected, text), "{}", log.len());
    }
    let noise = "some output of a program\n".repeat(15_000);
    let loops = |of: u32| (1..=of).map(|i| format!("rep {i} of {of}\n")).collect::<String>();
    check(&format!("{}{noise}", loops(12_000)), Some(100.0), "rep 12000 of 12000");
    check(&format!("{}. second\n{noise}", loops(12_000)), None, "line 2 of 2: second");
    check(&format!("{noise}{}", loops(4)), Some(100.0), "rep 4 of 4");
    check(&format!("Simulations (40)\n{noise}....\n{noise}"), Some(10.0), "Simulations 4 of 40");
    check(&format!("{noise}Iteration 1: f = 2\n{noise}"), None, "Iteration 1: f = 2");
}

#[test]
fn a_long_line_stays_small() {
    let mut reader = ProgressReader::new();
    reader.push("Simulations (100)\n".as_bytes());
    for _ in 0..1024 {
        reader.push(&[b'y'; 1024]);
    }
    assert_eq!(reader.current().percent, Some(0.0));
    let long = after(&format!(". {}\n", "é\u{7}".repeat(500)));
    assert_eq!(long.text.chars().count(), TEXT);
    assert!(!long.text.contains('\u{7}'));
}

proptest! {
    #[test]
    fn any_bytes_in_any_chunks(log in proptest::collection::vec(
        prop_oneof![Just(b'\n'), Just(b'.'), Just(b'5'), Just(b' '), Just(b'%'), any::<u8>()], 0..200), size in 1usize..9)
    {
        let mut whole = ProgressReader::new();
        whole.push(&log);
        let mut parts = ProgressReader::new();
        for chunk in log.chunks(size) { parts.push(chunk); parts.current(); }
        prop_assert_eq!(whole.current(), parts.current());
    }

    #[test]
    fn logs_in_any_chunks(log in "(Simulations \\(20\\)\n|\\.{5}|x\n|> 1\n|10|rep [1-9] of 9\n|\\. cmd\n|Iteration 1: f\n|[0-9]{1,2}% done\n|\r){0,30}", size in 1usize..9) {
        let mut whole = ProgressReader::new();
        whole.push(log.as_bytes());
        let mut parts = ProgressReader::new();
        for chunk in log.as_bytes().chunks(size) { parts.push(chunk); parts.current(); }
        prop_assert_eq!(whole.current(), parts.current());
    }
}
