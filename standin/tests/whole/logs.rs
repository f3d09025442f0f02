//! Logs that a do-file opens itself.

use super::support::{Lab, log};

/// A log's lines with the time and the folder taken out.
fn lines(lab: &Lab, name: &str) -> Vec<String> {
    let folder = std::fs::canonicalize(lab.path()).unwrap().display().to_string();
    let text = lab.text(name).replace(&folder, "FOLDER").replace(&lab.path().display().to_string(), "FOLDER");
    let plain = |line: &str| match line.split_once(" on:  ") {
        Some((head, rest)) => {
            let result = if rest.starts_with("{res}") { "{res}" } else { "" };
            format!("{head} on:  {result}TIME")
        }
        None => line.to_owned(),
    };
    text.lines().map(plain).collect()
}

#[test]
fn a_text_log_holds_the_part_between() {
    let lab = Lab::new(&[(
        "x.do",
        "log using own, text replace name(a)\ndisplay 1\nlog off a\ndisplay 2\nlog on a\nlog close a\n",
    )]);
    lab.log_of("x.do");
    let rule = "-".repeat(79);
    let head = ["      name:  a", "       log:  FOLDER/own.log", "  log type:  text"];
    let mut want = vec![rule.as_str()];
    want.extend(head);
    want.extend([" opened on:  TIME", "", ". display 1", "1", "", ". log off a"]);
    want.extend(head);
    want.extend([" paused on:  TIME", &rule, &rule]);
    want.extend(head);
    want.extend(["resumed on:  TIME", "", ". log close a"]);
    want.extend(head);
    want.extend([" closed on:  TIME", &rule]);
    assert_eq!(lines(&lab, "own.log"), want);
}

#[test]
fn a_log_in_smcl_is_marked_as_stata_marks_it() {
    let lab = Lab::new(&[("x.do", "log using own\ndisplay \"a {c -(}b}\"\ncapture noisily error 198\nnothere\n")]);
    lab.log_of("x.do");
    let found = lines(&lab, "own.smcl");
    let want = [
        "{smcl}",
        "{com}{sf}{ul off}{txt}{.-}",
        "      name:  {res}<unnamed>",
        "       {txt}log:  {res}FOLDER/own.smcl",
        "  {txt}log type:  {res}smcl",
        " {txt}opened on:  {res}TIME",
        "{txt}",
        "{com}. display \"a {c -(}c -({c )-}b{c )-}\"",
        "{txt}a {c -(}b{c )-}",
        "",
        "{com}. capture noisily error 198",
        "{err}invalid syntax",
        "{txt}",
        "{com}. nothere",
        "{err}command nothere is unrecognized",
        "{txt}{search r(199), local:r(199);}",
        "",
        "end of do-file",
        "{search r(199), local:r(199);}",
    ];
    assert_eq!(found, want);
    let closed =
        Lab::new(&[("x.do", "log using own.txt\nlog close\nlog using own.txt, append\nlog close _all\nlog close\n")]);
    let whole = closed.log_of("x.do");
    assert!(whole.contains("  log type:  smcl\n") && whole.contains("no log file open\nr(606);"), "{whole}");
    let text = closed.text("own.txt");
    assert_eq!(text.matches("{txt}{.-}\n{smcl}\n{txt}{sf}{ul off}").count(), 2, "{text}");
    assert!(text.contains("{ul off}{smcl}\n{com}{sf}{ul off}{txt}{.-}\n") && text.ends_with("{ul off}"), "{text}");
}

#[test]
fn mistakes_with_logs_have_the_codes_of_stata() {
    let check = |commands: &str, words: &str| {
        let found = log(commands);
        assert!(found.contains(words), "{words}\nis not in\n{found}");
    };
    check("log using a, text\nlog using b, text\n", "log file already open\nr(604);");
    check("log using a, text\nlog close\nlog using a, text\n", "file a.log already exists\nr(602);");
    check("log using nothere/a, text\n", "file nothere/a.log could not be opened\nr(603);");
    check("log close\n", "no log file open\nr(606);");
    check("log using a, text nothing\n", "option nothing not allowed\nr(198);");
    check("cmdlog using a\n", "command cmdlog is unrecognized\nr(199);");
    check(
        "log using a, text name(one)\nlog using b, smcl name(two)\nlog query _all\nlog close _all\nlog\n",
        "\n  (log is off)\n",
    );
    // A log that is new although it was to be replaced is named whole, and a name too long for the line is broken.
    check("set linesize 40\nquietly log using a, text\nlog close\nlog using b, text replace\n", "not found)\n----");
}
