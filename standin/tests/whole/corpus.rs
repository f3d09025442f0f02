//! The stand-in's log against real ones, byte for byte, for every command that it has.
//!
//! A log shows its own source: strip the prompts, join what was wrapped, and there is the do-file. So each stretch of
//! a real log whose commands the stand-in has becomes a case: the source is taken out of it, run, and the new log must
//! hold the same bytes. [`stretches`] finds such stretches in every log by itself; [`cases::ENDINGS`] adds chosen ones with
//! output and endings.

use std::path::Path;

use crate::cases::ENDINGS;
use crate::support::{Lab, corpus};

/// A log's text, with line feeds only.
fn read(dir: &Path, file: &str) -> String {
    let bytes = std::fs::read(dir.join(file)).unwrap();
    String::from_utf8_lossy(&bytes).replace("\r\n", "\n")
}

/// The log whose name begins with this number.
fn numbered(dir: &Path, number: &str) -> String {
    let names = std::fs::read_dir(dir).unwrap().filter_map(|e| e.ok()?.file_name().into_string().ok());
    let name = names.into_iter().find(|n| n.starts_with(number)).unwrap_or_else(|| panic!("no log {number}"));
    read(dir, &name)
}

/// `"  3. text"` -> its number's width and the text.
fn number_prompt(line: &str) -> Option<&str> {
    let trimmed = line.trim_start_matches(' ');
    let (digits, rest) = trimmed.split_once('.')?;
    let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
    (is_number && digits.len() + (line.len() - trimmed.len()) == digits.len().max(3)).then_some(())?;
    rest.strip_prefix(' ')
}

/// The source line after a prompt.
fn prompted(line: &str) -> Option<&str> {
    line.strip_prefix(". ").or_else(|| number_prompt(line))
}

/// A stretch of echo: its source lines, and how many log lines it took.
fn unecho(lines: &[&str], width: usize) -> (Vec<String>, usize) {
    let mut source = vec![prompted(lines[0]).unwrap_or_default().to_owned()];
    // A full line was wrapped, unless it ends in a continuation mark and is full by chance.
    let is_full = |text: &str, lead: usize| text.chars().count() + lead == width && !text.ends_with(" ///");
    let mut full = is_full(lines[0], 0);
    let mut used = 1;
    while let Some(more) = lines.get(used).and_then(|l| l.strip_prefix("> ")) {
        if full {
            source.last_mut().unwrap().push_str(more);
        } else {
            source.push(more.to_owned());
        }
        full = is_full(more, 2);
        used += 1;
    }
    (source, used)
}

/// What a stretch is made of.
struct Stretch {
    source: Vec<String>,
    bytes: String,
    statements: usize,
}

/// The command on source lines, without comments at the end and continuation marks; empty for a comment.
fn code(source: &[String]) -> String {
    let joined = source.iter().map(|l| l.trim_end().trim_end_matches("///")).collect::<Vec<_>>().join(" ");
    let text = joined.trim();
    if text.starts_with('*') || text.starts_with("//") || text.starts_with("/*") && text.ends_with("*/") {
        return String::new();
    }
    text.to_owned()
}

/// Whether a command is one that the stand-in runs in silence.
fn silent(code: &str) -> bool {
    let words: Vec<&str> = code.split_whitespace().collect();
    match words.as_slice() {
        [] => true,
        ["local" | "global", ..] => !code.contains([':', '=']),
        ["args", ..] | ["clear"] | ["clear", "all"] => true,
        ["set", "more" | "varabbrev" | "type" | "seed" | "scheme" | "matsize", _] => true,
        ["version", v] => v.parse::<f64>().is_ok_and(|v| v <= 18.0),
        ["cap" | "capture", "program" | "prog", "drop", _] => true,
        _ => false,
    }
}

/// Whether a command prints one literal, and what.
fn literal(code: &str) -> Option<&str> {
    let rest = ["di ", "dis ", "display "].iter().find_map(|p| code.strip_prefix(p))?.trim();
    let rest = rest.strip_prefix("in red ").or_else(|| rest.strip_prefix("as error ")).unwrap_or(rest).trim();
    let text = rest.strip_prefix('"')?.strip_suffix('"')?;
    (!text.contains(['"', '`', '$', '{', '\\'])).then_some(text)
}

/// Finds the stretches of a log that hold nothing but comments, silent commands, literals and program definitions.
fn stretches(log: &str, width: usize) -> Vec<Stretch> {
    let lines: Vec<&str> = log.split('\n').collect();
    let mut found = Vec::new();
    let mut now = Stretch { source: Vec::new(), bytes: String::new(), statements: 0 };
    let mut at = 0;
    while at < lines.len() {
        match unit(&lines[at..], width) {
            Some((source, used)) => {
                now.source.extend(source);
                now.bytes.extend(lines[at..at + used].iter().map(|l| format!("{l}\n")));
                now.statements += 1;
                at += used;
            }
            None => {
                found.push(std::mem::replace(
                    &mut now,
                    Stretch { source: Vec::new(), bytes: String::new(), statements: 0 },
                ));
                at += 1;
            }
        }
    }
    found.push(now);
    found.retain(|s| s.statements >= 3 && s.source.iter().any(|l| !l.trim().is_empty()));
    found
}

/// One command with its echo, output and empty line, if it is of the simple kind.
fn unit(lines: &[&str], width: usize) -> Option<(Vec<String>, usize)> {
    let first = *lines.first()?;
    // Inside a block the lines are indented; those belong to a statement whose head is not in this part.
    if !first.starts_with(". ") || first.starts_with(".  ") || lines.get(1).is_some_and(|l| l.starts_with("end of do"))
    {
        return None;
    }
    let (mut source, mut used) = unecho(lines, width);
    let text = code(&source);
    if source.iter().any(|l| l.contains('\u{fffd}') || l.trim_start().starts_with("/*") && !l.contains("*/")) {
        return None;
    }
    if text.is_empty() {
        // Comments over several lines end inside the unit; checking that needs the whole of it.
        let closed = source.iter().map(|l| l.matches("/*").count()).sum::<usize>()
            == source.iter().map(|l| l.matches("*/").count()).sum::<usize>();
        return closed.then_some((source, used));
    }
    if source.iter().any(|l| l.contains("//") && !l.trim_end().ends_with("///") || l.contains("/*")) {
        return None;
    }
    let word: Vec<&str> = text.split_whitespace().collect();
    let defines = matches!(word.as_slice(), ["program" | "prog", name, ..] if *name != "drop" && *name != "list");
    if defines {
        loop {
            let line = lines.get(used)?;
            prompted(line)?;
            let (more, n) = unecho(&lines[used..], width);
            used += n;
            let ends = code(&more) == "end";
            source.extend(more);
            if ends {
                break;
            }
        }
    } else if let Some(text) = literal(&text) {
        let mut out = String::new();
        out.push_str(lines.get(used)?);
        used += 1;
        while lines.get(used)?.starts_with("> ") {
            out.push_str(lines[used].strip_prefix("> ")?);
            used += 1;
        }
        // Not what the case tests, but a sign that the stretch was read right.
        if out != text {
            return None;
        }
    } else if !silent(&text) {
        return None;
    }
    lines.get(used)?.is_empty().then_some((source, used + 1))
}

/// Runs source lines and returns the log after the first empty line and the line size's own echo.
fn run(source: &[String], width: usize) -> String {
    let lab = Lab::new(&[]);
    let head = format!("set linesize {width}\ncapture program drop _all\n");
    lab.write("x.do", format!("{head}{}\n", source.join("\n")).as_bytes());
    let log = lab.log_of("x.do");
    let echo = format!("\n. set linesize {width}\n\n. capture program drop _all\n\n");
    log.strip_prefix(&echo).unwrap_or_else(|| panic!("{log}")).to_owned()
}

/// The echoes of a log's loops, each from its head to its closing brace.
fn loops(log: &str, width: usize) -> Vec<Stretch> {
    let lines: Vec<&str> = log.split('\n').collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        if ![". foreach ", ". forvalues ", ". forval ", ". while "].iter().any(|p| line.starts_with(p)) {
            continue;
        }
        let (mut source, mut used) = unecho(&lines[start..], width);
        let mut depth = 1;
        let mut statements = 1;
        // A loop inside a loop continues the numbering.
        if !code(&source).ends_with('{') || !lines.get(start + used).is_some_and(|l| l.starts_with("  2. ")) {
            continue;
        }
        while depth > 0 && lines.get(start + used).is_some_and(|l| prompted(l).is_some()) {
            let (more, n) = unecho(&lines[start + used..], width);
            let text = code(&more);
            depth -= i32::from(text.starts_with('}'));
            depth += i32::from(text.ends_with('{'));
            source.extend(more);
            used += n;
            statements += 1;
        }
        let bytes: String = lines[start..start + used].iter().map(|l| format!("{l}\n")).collect();
        if depth == 0 && !bytes.contains("/*") && !bytes.lines().any(|l| l.chars().count() > width) {
            found.push(Stretch { source, bytes, statements });
        }
    }
    found
}

/// Width of a log's lines: what its first rule or its `set linesize` says.
fn widths(log: &str) -> Vec<usize> {
    let mut out = vec![79];
    let set = log.lines().filter_map(|l| l.strip_prefix(". set linesize ")?.trim().parse().ok());
    let rule = log.lines().next().filter(|l| l.len() > 40 && l.chars().all(|c| c == '-')).map(str::len);
    out.extend(set.chain(rule));
    out.retain(|w| (40..=255).contains(w));
    out.dedup();
    out
}

#[test]
fn stretches_of_real_logs_come_out_byte_for_byte() {
    let Some(dir) = corpus() else { return };
    let mut names: Vec<String> =
        std::fs::read_dir(&dir).unwrap().filter_map(|e| e.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    let (mut cases, mut statements, mut logs, mut wrong) = (0, 0, 0, Vec::new());
    for name in names.iter().filter(|n| n.ends_with(".log") || n.ends_with(".txt")) {
        let log = read(&dir, name);
        let mut any = false;
        // The width in force changes along a log; a wrong guess shows as lines that are too long or do not wrap.
        let width = widths(&log).pop().unwrap_or(79);
        let (before, after) = match log.find(&format!(". set linesize {width}\n")) {
            Some(at) => (&log[..at], &log[at..]),
            None => ("", log.as_str()),
        };
        for (part, width) in [(before, 79), (after, width)] {
            for stretch in stretches(part, width) {
                // Lines longer than the width were not written under it.
                if stretch.bytes.lines().any(|l| l.chars().count() > width) {
                    continue;
                }
                let got = run(&stretch.source, width);
                if got.strip_prefix(&stretch.bytes) != Some(". \nend of do-file\n") {
                    let source = stretch.source.join("\n");
                    wrong.push(format!("{name}\n=== source\n{source}\n=== wanted\n{}\n=== got\n{got}", stretch.bytes));
                }
                (cases, statements, any) = (cases + 1, statements + stretch.statements, true);
            }
        }
        logs += usize::from(any);
    }
    assert!(wrong.is_empty(), "{} of {cases}\n{}", wrong.len(), wrong.join("\n\n"));
    println!("{cases} stretches of {logs} logs, {statements} statements");
    assert!(
        cases >= 150 && statements >= 1500 && logs >= 30,
        "{cases} stretches, {statements} statements, {logs} logs"
    );
}

#[test]
fn loops_of_real_logs_are_echoed_byte_for_byte() {
    let Some(dir) = corpus() else { return };
    let (mut cases, mut statements) = (0, 0);
    for entry in std::fs::read_dir(&dir).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".log") && !name.ends_with(".txt") {
            continue;
        }
        let log = read(&dir, &name);
        let width = widths(&log).pop().unwrap_or(79);
        for stretch in loops(&log, width) {
            // The stand-in cannot run what the loop then does; its echo comes first and whole.
            let got = run(&stretch.source, width);
            let source = stretch.source.join("\n");
            assert!(got.starts_with(&stretch.bytes), "{name}\n{source}\n=== wanted\n{}\n=== got\n{got}", stretch.bytes);
            (cases, statements) = (cases + 1, statements + stretch.statements);
        }
    }
    println!("{cases} loops, {statements} statements");
    assert!(cases >= 35 && statements >= 800, "{cases} loops, {statements} statements");
}

/// The part of a log from one text up to and without another; `None` = to the end.
fn cut<'a>(log: &'a str, from: &str, to: Option<&str>) -> &'a str {
    let start = log.find(from).unwrap_or_else(|| panic!("{from:?} is not in the log"));
    let rest = &log[start..];
    match to {
        Some(to) => &rest[..rest[from.len()..].find(to).unwrap_or_else(|| panic!("{to:?} is not there")) + from.len()],
        None => rest,
    }
}

/// Times of `set rmsg on` as one and the same.
fn without_times(log: &str) -> String {
    log.lines()
        .map(|l| match l.split_once(" t=") {
            Some((head, _)) if l.starts_with("r;") || l.starts_with("r(") => format!("{head} t=\n"),
            _ => format!("{l}\n"),
        })
        .collect()
}

#[test]
fn endings_of_real_logs_come_out_byte_for_byte() {
    let Some(dir) = corpus() else { return };
    for case in ENDINGS {
        let log = numbered(&dir, case.log);
        let wanted = without_times(cut(&log, case.from, case.to));
        let lab = Lab::new(case.files);
        let mut args = vec!["-q", "-b", "do"];
        args.extend(case.args);
        assert!(lab.run(&args).status.success());
        let name = std::fs::read_dir(lab.path()).unwrap().filter_map(|e| e.ok()?.file_name().into_string().ok());
        let name = name.into_iter().find(|n| n.ends_with(".log")).unwrap_or_else(|| panic!("no log of {}", case.log));
        let got = without_times(&lab.text(&name));
        if case.to.is_none() {
            assert!(got.ends_with(&wanted), "{}\n=== wanted\n{wanted}\n=== got\n{got}", case.log);
        } else {
            assert!(got.contains(&wanted), "{}\n=== wanted\n{wanted}\n=== got\n{got}", case.log);
        }
    }
}

#[test]
fn a_wrong_byte_would_be_seen() {
    let Some(dir) = corpus() else { return };
    let log = numbered(&dir, "018");
    let case = ENDINGS.iter().find(|c| c.log == "018").unwrap();
    let lab = Lab::new(case.files);
    lab.run(&["-q", "-b", "do", "x.do"]);
    let got = lab.text("x.log");
    assert_eq!(got, log, "the whole log, not a part of it");
    assert_ne!(got, log.replacen("\nend of do-file\nr(111);", "\nend of do-file\n\nr(111);", 1));
}

#[test]
fn the_console_ends_a_failed_do_file_with_an_empty_line() {
    let Some(dir) = corpus() else { return };
    let log = numbered(&dir, "092");
    let wanted = cut(&log, ". \n. di \"STARTING", None);
    let lab = Lab::new(&[("x.do", "\ndi \"STARTING safecount FROM IMPORT:\"\nsafecount\n")]);
    let got = String::from_utf8(lab.run(&["-q", "do", "x.do"]).stdout).unwrap();
    assert!(got.contains(wanted), "{wanted:?}\n{got:?}");
    let log = numbered(&dir, "119");
    let wanted = cut(&log, "r(1400);\n\nend of do-file\nr(1400);", None);
    let lab = Lab::new(&[("w.do", "do x.do\n"), ("x.do", "exit 1400\n")]);
    let got = String::from_utf8(lab.run(&["-q", "do", "w.do"]).stdout).unwrap();
    assert_eq!(got.strip_suffix(". ").map(|g| g.ends_with(wanted)), Some(true), "{wanted:?}\n{got:?}");
}
