//! What real logs say around simulations, logs, graphs and changes, and what the stand-in says there.

use std::path::Path;

use crate::support::{Lab, corpus};

/// A real log's text.
fn real(dir: &Path, number: &str) -> String {
    let names = std::fs::read_dir(dir).unwrap().filter_map(|e| e.ok()?.file_name().into_string().ok());
    let name = names.into_iter().find(|n| n.starts_with(number)).unwrap_or_else(|| panic!("no log {number}"));
    String::from_utf8_lossy(&std::fs::read(dir.join(name)).unwrap()).replace("\r\n", "\n")
}

/// What a do-file prints under a release's manners.
fn ours(version: &str, source: &str) -> (Lab, String) {
    let lab = Lab::new(&[("x.do", source)]);
    let run = lab.command(&["-q", "-b", "do", "x.do"]).env("LONGHAUL_STANDIN_VERSION", version).output().unwrap();
    assert!(run.status.success());
    let text = lab.text("x.log");
    (lab, text)
}

/// The part of a text from `from` to before `to`.
fn cut<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let start = text.find(from).unwrap_or_else(|| panic!("{from:?} is not in\n{text}"));
    let rest = &text[start..];
    let end = rest[from.len()..].find(to).unwrap_or_else(|| panic!("{to:?} does not follow {from:?}"));
    &rest[..end + from.len()]
}

/// A date or a number by its form: every digit is 9, every letter a.
fn form(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_digit() {
                '9'
            } else if c.is_alphabetic() {
                'a'
            } else {
                c
            }
        })
        .collect()
}

#[test]
fn a_simulation_s_legend_and_dots_are_those_of_a_real_one() {
    let Some(dir) = corpus() else { return };
    let wanted = cut(&real(&dir, "126"), "\n         command:", "\n\n    Variable").to_owned();
    let source = "program is_beta_covered, rclass\nlocal u = runiform()\nreturn scalar pw_critical_value = 1\n\
                  return scalar pw_beta_covered = `u'\nreturn scalar un_critical_value = 2\n\
                  return scalar un_beta_covered = `u'\nend\n\
                  simulate pw_critical_value=r(pw_critical_value) pw_beta_covered=r(pw_beta_covered) ///\n\
                  un_critical_value=r(un_critical_value) un_beta_covered=r(un_beta_covered), reps(1000): ///\n\
                  is_beta_covered, conf_level(.95)\n";
    let (_, found) = ours("15.1", source);
    assert!(found.contains(&wanted), "=== wanted\n{wanted}\n=== got\n{found}");
}

/// A block's lines from the rule or label that it begins with, values by their form; `None` = there is no such block.
fn block(text: &str, event: &str) -> Option<Vec<String>> {
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|l| l.contains(event))?;
    let from = (0..at).rev().find(|i| lines[*i].contains("name:  "))?;
    let shape = |line: &&str| match line.split_once(":  ") {
        Some((label, value)) if label.ends_with(" on") => format!("{label}:  {}", form(value)),
        Some((label, value)) if label.ends_with("log") => {
            format!("{label}:  {}", if value.starts_with("{res}") { "{res}PATH" } else { "PATH" })
        }
        Some((label, value)) if label.ends_with("name") => {
            format!("{label}:  {}NAME", if value.starts_with("{res}") { "{res}" } else { "" })
        }
        _ => (*line).to_owned(),
    };
    // A path too long for a line goes on after a mark; how often depends on the path.
    Some(lines[from..=at].iter().filter(|l| !l.starts_with("> ")).map(shape).collect())
}

#[test]
fn logs_are_opened_and_closed_as_real_ones_are() {
    let Some(dir) = corpus() else { return };
    let (lab, _) = ours("16.1", "log using own.log\nlog close\nlog using two\nlog close\n");
    let (text, smcl) = (lab.text("own.log"), lab.text("two.smcl"));
    let (mut opened, mut closed) = (0, 0);
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let log = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).replace("\r\n", "\n");
        let mine = if log.starts_with("{smcl}") { &smcl } else { &text };
        if !log.starts_with("{smcl}") && !log.starts_with("-----") {
            continue;
        }
        // The day of the month has a blank or a digit in front: both are a form of ten columns.
        let plain = |lines: Vec<String>| lines.join("\n").replace("  9 aaa", " 99 aaa");
        let of = |event: &str| (block(&log, event).map(plain), block(mine, event).map(plain));
        let (real, mine_opened) = of("opened on:");
        assert_eq!(real, mine_opened, "{}", path.display());
        opened += 1;
        if let (Some(real), mine_closed) = of("closed on:") {
            assert_eq!(Some(real), mine_closed, "{}", path.display());
            closed += 1;
        }
    }
    println!("{opened} opened, {closed} closed");
    assert!(opened >= 12 && closed >= 6, "{opened} opened, {closed} closed");
    // The marks of SMCL around the blocks, byte for byte.
    let real = real(&dir, "002");
    for (from, to) in [("{smcl}\n", "      name"), ("\n{txt}{.-}\n{smcl}\n", "{smcl}\n{com}")] {
        let wanted = cut(&real, from, to);
        assert!(smcl.contains(wanted), "{wanted:?} is not in {smcl:?}");
    }
}

#[test]
fn graphs_are_announced_as_real_ones_are() {
    let Some(dir) = corpus() else { return };
    let wanted = cut(&real(&dir, "161"), "(bin=", "\n").to_owned();
    let data = "quietly set obs 74\nquietly generate price = 3291 + (15906 - 3291)*(_n - 1)/73\n";
    let (_, found) = ours(
        "17",
        &format!("{data}histogram price, frequency xtitle(\"Price (1978 dollars)\") graphregion(fcolor(white))\n"),
    );
    assert!(found.contains(&format!("\n{wanted}\n")), "{wanted}\n{found}");
    let log = real(&dir, "118");
    let wanted = cut(&log, "(note: file ./output/graphs/adjcurv_hosp_any.svg", "\n(1,463");
    let path = "./output/graphs/adjcurv_hosp_any.svg";
    let (_, found) = ours(
        "16.1",
        &format!("mkdir output\nmkdir output/graphs\n{data}scatter price price\ngraph export \"{path}\", replace\n"),
    );
    assert!(found.contains(&format!("\n{wanted}\n")), "{wanted}\n{found}");
    // The sentence of 17 and later, whatever the format.
    let sentence = |text: &str| {
        let said = text.lines().filter_map(|l| Some(l.split_once(" saved as ")?.1.replace("PDF", "SVG")));
        said.into_iter().find(|s| s.starts_with("SVG"))
    };
    let (_, found) = ours("17", &format!("{data}scatter price price\ngraph export a.svg, as(svg) replace\n"));
    assert_eq!(sentence(&real(&dir, "161")), sentence(&found));
}

#[test]
fn tables_and_changes_are_told_as_in_real_logs() {
    let Some(dir) = corpus() else { return };
    let heads = |text: &str| -> Vec<String> {
        let of = |l: &&str| l.starts_with("    Variable |        Obs");
        text.lines().filter(of).map(str::to_owned).collect()
    };
    let mut seen = 0;
    for entry in std::fs::read_dir(&dir).unwrap() {
        let log = String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap()).replace("\r\n", "\n");
        for version in ["16.1", "17"] {
            let (_, found) = ours(version, "set obs 2\ngenerate x = 1\nsummarize\n");
            let mine = heads(&found).remove(0);
            // Which release wrote a log shows in this head; each must be one of the two.
            seen += heads(&log).iter().filter(|h| h.contains(" Mean    Std. ") && **h == mine).count();
        }
        let odd = heads(&log).into_iter().find(|h| {
            h.contains(" Mean    Std. ")
                && !h.ends_with("Std. Dev.       Min        Max")
                && !h.ends_with("Std. dev.       Min        Max")
                && !h.contains("Interval]")
                && !h.contains("interval]")
        });
        assert_eq!(odd, None);
    }
    assert!(seen >= 5, "{seen}");
    let wanted = "(1,930 real changes made, 1,930 to missing)";
    assert!(real(&dir, "124").contains(wanted));
    let (_, found) = ours("17", "set obs 2000\ngenerate x = 1\nreplace x = . in 1/1930\n");
    assert!(found.contains(&format!("\n{wanted}\n")), "{found}");
}
