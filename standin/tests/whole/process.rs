//! The process boundary: arguments, log, exit status, signals, faults.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use crate::support::{Lab, end_of, start_until, wait_for};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

#[test]
fn batch_mode_writes_a_log_and_nothing_else() {
    let check = |args: &[&str], log: &str| {
        let lab = Lab::new(&[("main.do", "display 1\nfoo\n"), ("my file.do", "display 1\nfoo\n")]);
        lab.write(log, b"an older log that is much longer than the new one will be\n".repeat(200).as_slice());
        let out = lab.run(args);
        assert_eq!(out.status.code(), Some(0), "{args:?}");
        assert!(out.stdout.is_empty() && out.stderr.is_empty(), "{args:?} {out:?}");
        let text = lab.text(log);
        assert!(text.ends_with("command foo is unrecognized\nr(199);\n\nend of do-file\nr(199);\n"), "{args:?} {text}");
        assert!(!text.contains("older log"), "the log starts anew");
    };
    check(&["-b", "do", "main.do"], "main.log");
    check(&["-e", "do", "main"], "main.log");
    check(&["-b", "main.do"], "main.log");
    check(&["-b", "-q", "do", "main.do", "a", "b"], "main.log");
    check(&["-s", "do", "main.do"], "main.smcl");
    check(&["-b", "do", "\"my file.do\""], "my file.log");
    check(&["-b", "do", "`\"my file.do\"'"], "my file.log");
}

#[test]
fn the_log_begins_with_a_banner_that_is_honest() {
    let lab = Lab::new(&[("main.do", "display 1\n")]);
    lab.run(&["-b", "do", "main.do", "x y"]);
    let text = lab.text("main.log");
    assert!(text.starts_with("\n  ___  ____  ____  ____  ____ ®\n") && text.contains("this is not Stata"), "{text}");
    assert!(text.ends_with("no results.\n\n. do main.do x y \n\n. display 1\n1\n\n. \nend of do-file\n"), "{text}");
}

#[test]
fn a_profile_runs_first_even_when_quiet() {
    let lab = Lab::new(&[("profile.do", "display \"hello\"\n"), ("main.do", "display 1\n")]);
    let here = std::fs::canonicalize(lab.path()).unwrap();
    let running = format!("\nRunning {}/profile.do ...\nhello\n\n", here.display());
    let (first, rest) = (lab.log_of("main.do"), "\n. display 1\n1\n\n. \nend of do-file\n");
    assert_eq!(first, format!("{running}{rest}"));
    lab.run(&["-b", "do", "main.do"]);
    assert!(lab.text("main.log").ends_with(&format!("no results.\n\n{running}. do main.do \n{rest}")));
}

#[test]
fn other_commands_log_to_stata_log() {
    let lab = Lab::new(&[]);
    assert_eq!(lab.run(&["-b", "display", "1+1"]).status.code(), Some(0));
    assert!(lab.text("stata.log").ends_with("\n. display 1+1 \n2\n"));
    lab.run(&["-q", "-b", "foo"]);
    assert_eq!(lab.text("stata.log"), "command foo is unrecognized\nr(199);\n");
}

#[test]
fn console_mode_reads_commands_and_goes_on_after_errors() {
    let lab = Lab::new(&[("fail.do", "foo\n"), ("fine.do", "display 1\n")]);
    let mut child = lab.command(&["-q"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"display 1\nfoo\ndo fail.do\ndisplay c(mode)\"x\"\n").unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8(out.stdout).unwrap(),
        ". display 1\n1\n\n. foo\ncommand foo is unrecognized\nr(199);\n\n. do fail.do\n\n. foo\ncommand foo is unrecognized\nr(199);\n\nend of do-file\n\nr(199);\n\n. display c(mode)\"x\"\nx\n\n. "
    );
    let check = |file: &str, end: &str| {
        let text = String::from_utf8(lab.run(&["-q", "do", file]).stdout).unwrap();
        assert!(text.ends_with(end), "{text:?}");
    };
    check("none.do", ". do none.do \nfile none.do not found\nr(601);\n\n\n. ");
    check("fail.do", "r(199);\n\nend of do-file\n\nr(199);\n\n\n. ");
    check("fine.do", ". \nend of do-file\n\n\n. ");
}

#[test]
fn leaving_the_console_with_changed_data_is_refused() {
    let lab = Lab::new(&[]);
    let mut child = lab.command(&["-q"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"quietly set obs 2\nexit\ndisplay 1\nexit, clear\ndisplay 2\n").unwrap();
    let text = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(text.contains("no; dataset in memory has changed since last saved\nr(4);\n\n. display 1\n1\n"), "{text}");
    assert!(!text.contains("display 2"));
}

#[test]
fn flags_are_explained_and_checked() {
    let lab = Lab::new(&[]);
    let out = lab.run(&["-h"]);
    assert!(out.status.success() && String::from_utf8_lossy(&out.stdout).contains("not Stata"));
    let out = lab.run(&["-z"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).starts_with("unknown flag -z\n"));
    let out = lab.command(&["-b", "display", "1"]).env("LONGHAUL_STANDIN_TIME_SCALE", "fast").output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("LONGHAUL_STANDIN_TIME_SCALE cannot be \"fast\""));
}

fn pid(child: &std::process::Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

const SLEEPER: &[(&str, &str)] = &[
    ("w.do", "display \"w\"\ndo a.do\ndisplay \"never\"\n"),
    ("a.do", "display \"a\"\nsleep 600000\ndisplay \"never\"\n"),
];

#[test]
fn an_interrupt_is_a_break_at_every_level() {
    let lab = Lab::new(SLEEPER);
    let mut child = start_until(&lab, &mut lab.command(&["-q", "-b", "do", "w.do"]), "w.log", ". sleep");
    kill_process(pid(&child), Signal::INT).unwrap();
    assert_eq!(end_of(&mut child).code(), Some(0));
    let tail =
        ". sleep 600000\n--Break--\nr(1);\n\nend of do-file\n--Break--\nr(1);\n\nend of do-file\n--Break--\nr(1);\n";
    assert!(lab.text("w.log").ends_with(tail), "{}", lab.text("w.log"));
}

#[test]
fn an_interrupt_ends_a_loop_inside_a_program() {
    let lab = Lab::new(&[("w.do", "program p\nwhile 1 {\n}\nend\ndisplay \"go\"\ncapture noisily p\ndisplay _rc\n")]);
    let mut child = start_until(&lab, &mut lab.command(&["-q", "-b", "do", "w.do"]), "w.log", "noisily p");
    kill_process(pid(&child), Signal::INT).unwrap();
    assert_eq!(end_of(&mut child).code(), Some(0));
    assert!(lab.text("w.log").ends_with(". display _rc\n1\n\n. \nend of do-file\n"), "{}", lab.text("w.log"));
}

#[test]
fn other_ways_to_take_a_signal() {
    let check = |env: &[(&str, &str)], signal: Signal, died_of: i32| {
        let lab = Lab::new(SLEEPER);
        let mut command = lab.command(&["-q", "-b", "do", "w.do"]);
        command.envs(env.iter().copied());
        let mut child = start_until(&lab, &mut command, "w.log", ". sleep");
        kill_process(pid(&child), signal).unwrap();
        assert_eq!(end_of(&mut child).signal(), Some(died_of));
        assert!(lab.text("w.log").ends_with(". sleep 600000\n"), "no marker, and a whole last line");
    };
    check(&[("LONGHAUL_STANDIN_SIGINT", "die")], Signal::INT, 2);
    check(&[], Signal::TERM, 15);
    check(&[], Signal::KILL, 9);
}

#[test]
fn an_ignored_interrupt_changes_nothing() {
    let lab = Lab::new(&[(
        "w.do",
        "*! standin: sigint=ignore\ndisplay \"go\"\nwhile !fileexists(\"stop\") {\n}\ndisplay \"done\"\n",
    )]);
    let mut child = start_until(&lab, &mut lab.command(&["-q", "-b", "do", "w.do"]), "w.log", "  2. }");
    kill_process(pid(&child), Signal::INT).unwrap();
    lab.write("stop", b"");
    assert_eq!(end_of(&mut child).code(), Some(0));
    assert!(lab.text("w.log").ends_with("\ndone\n\n. \nend of do-file\n"));
}

#[test]
fn crashes_and_statuses_come_on_demand() {
    let check = |words: &str, signal: Option<i32>, code: Option<i32>| {
        let lab = Lab::new(&[("x.do", &format!("display 1\n*! standin: {words}\ndisplay 2\n"))]);
        let out = lab.run(&["-q", "-b", "do", "x.do"]);
        assert_eq!((out.status.signal(), out.status.code()), (signal, code), "{words}");
        assert!(lab.text("x.log").ends_with(&format!(". *! standin: {words}\n")), "{}", lab.text("x.log"));
    };
    check("crash", Some(6), None);
    check("crash segv", Some(11), None);
    check("crash kill", Some(9), None);
    check("status 3", None, Some(3));
    let lab = Lab::new(&[("w.do", "display 1\ndo x.do\n"), ("x.do", "display 1\ndisplay 2\ndisplay 3\n")]);
    let out = lab.command(&["-q", "-b", "do", "w.do"]).env("LONGHAUL_STANDIN_AT", "x.do:2 crash").output().unwrap();
    assert_eq!(out.status.signal(), Some(6));
    assert!(lab.text("w.log").ends_with(". display 1\n1\n\n. display 2\n"));
}

#[test]
fn strange_output_comes_on_demand() {
    let lab = Lab::new(&[("x.do", "*! standin: burst 1000\n*! standin: longline\n*! standin: badutf8\ndisplay 1\n")]);
    lab.run(&["-q", "-b", "do", "x.do"]);
    let bytes = lab.bytes("x.log");
    let lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
    assert!(lines.contains(&b"burst line 1000".as_slice()));
    assert!(lines.iter().any(|l| l.len() == 1 << 20));
    assert!(lines.iter().any(|l| std::str::from_utf8(l).is_err()));
    assert!(bytes.ends_with(b". display 1\n1\n\n. \nend of do-file\n"));
}

#[test]
fn a_child_outlives_its_parent() {
    let lab = Lab::new(&[("x.do", "*! standin: child 600 group\ndisplay 1\n")]);
    assert!(lab.run(&["-q", "-b", "do", "x.do"]).status.success());
    // A parent that started a program goes on before Linux has put that program's words in place
    // (`exec` lets it go when the old memory is left), so the child's name may come a moment later.
    wait_for(|| !sleepers(&lab).is_empty());
    for raw in sleepers(&lab) {
        let pid = Pid::from_raw(raw).unwrap();
        assert!(test_kill_process(pid).is_ok());
        kill_process(pid, Signal::KILL).unwrap();
    }
}

/// Processes that run `sleep 600` in the folder of `lab`: others of the machine are not of this test.
fn sleepers(lab: &Lab) -> Vec<i32> {
    let folder = std::fs::canonicalize(lab.path()).unwrap();
    let Ok(dir) = std::fs::read_dir("/proc") else { return Vec::new() };
    let is_ours = |p: &i32| {
        std::fs::read(format!("/proc/{p}/cmdline")).is_ok_and(|c| c == b"sleep\x00600\x00")
            && std::fs::read_link(format!("/proc/{p}/cwd")).is_ok_and(|c| c == folder)
    };
    dir.filter_map(|e| e.ok()?.file_name().to_string_lossy().parse().ok()).filter(is_ours).collect()
}

#[test]
fn licence_trouble_shows_on_the_terminal_and_makes_no_log() {
    let check = |what: &str, text: &str| {
        let lab = Lab::new(&[("x.do", "display 1\n")]);
        let out = lab.command(&["-b", "do", "x.do"]).env("LONGHAUL_STANDIN_LICENCE", what).output().unwrap();
        assert_eq!(out.status.code(), Some(1), "{what}");
        assert!(String::from_utf8_lossy(&out.stderr).contains(text), "{what} {out:?}");
        assert!(!lab.path().join("x.log").exists());
    };
    check("invalid", "License is invalid");
    check("missing", "Cannot find license file stata.lic");
    check("seat", "invented");
    let lab = Lab::new(&[("x.do", "display 1\n")]);
    let mut child = lab.command(&["-b", "do", "x.do"]).env("LONGHAUL_STANDIN_LICENCE", "hang").spawn().unwrap();
    assert!(child.try_wait().unwrap().is_none() && !lab.path().join("x.log").exists());
    kill_process(pid(&child), Signal::KILL).unwrap();
    end_of(&mut child);
}

#[test]
fn time_can_be_scaled() {
    let lab = Lab::new(&[(
        "x.do",
        "sleep 7200000\n*! standin: silence 7200000\n*! standin: timescale 0\nsleep 999999999\ndisplay 1\n",
    )]);
    let out = lab.command(&["-q", "-b", "do", "x.do"]).env("LONGHAUL_STANDIN_TIME_SCALE", "0.00001").output().unwrap();
    assert!(out.status.success() && lab.text("x.log").ends_with("\n1\n\n. \nend of do-file\n"));
    let mut child =
        lab.command(&["-q", "-b", "do", "x.do"]).env("LONGHAUL_STANDIN_START_DELAY_MS", "200").spawn().unwrap();
    std::fs::remove_file(lab.path().join("x.log")).unwrap();
    wait_for(|| lab.path().join("x.log").exists());
    kill_process(pid(&child), Signal::KILL).unwrap();
    end_of(&mut child);
}

#[test]
fn shell_output_goes_to_the_process_and_not_to_the_log() {
    let lab = Lab::new(&[("x.do", "shell echo to the console\n! echo more >> kept.txt\ndisplay 1\n")]);
    let out = lab.run(&["-q", "-b", "do", "x.do"]);
    assert_eq!(out.stdout, b"to the console\n");
    assert_eq!(
        lab.text("x.log"),
        "\n. shell echo to the console\n\n. ! echo more >> kept.txt\n\n. display 1\n1\n\n. \nend of do-file\n"
    );
    assert_eq!(lab.text("kept.txt"), "more\n");
}

#[test]
fn leaving_stata_sets_the_status_and_writes_no_end() {
    let lab = Lab::new(&[("x.do", "display 1\nexit 3, STATA clear\ndisplay 2\n")]);
    let out = lab.run(&["-q", "-b", "do", "x.do"]);
    assert_eq!(out.status.code(), Some(3));
    assert_eq!(lab.text("x.log"), "\n. display 1\n1\n\n. exit 3, STATA clear\n");
}

#[test]
fn a_folder_that_cannot_be_written_means_no_log_and_a_status() {
    let lab = Lab::new(&[("x.do", "display 1\n")]);
    std::fs::create_dir(lab.path().join("x.log")).unwrap();
    let out = lab.run(&["-b", "do", "x.do"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).starts_with("log file x.log could not be opened"));
}

#[test]
fn each_line_is_written_when_it_is_complete() {
    let src = "display \"one\" _continue\nwhile !fileexists(\"stop\") {\n}\ndisplay \" two\"\n";
    let lab = Lab::new(&[("x.do", src)]);
    let mut child = start_until(&lab, &mut lab.command(&["-q", "-b", "do", "x.do"]), "x.log", "_continue\n");
    lab.write("stop", b"");
    end_of(&mut child);
    assert!(lab.text("x.log").contains("one"));
}
