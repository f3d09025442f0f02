//! The program as a process: what works without any daemon, and how usage errors end.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a helper that fails is a test that fails

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

/// The program in an environment of its own; `home` holds what it makes.
fn longhaul(home: &Path, env: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
    command.args(args).env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin").current_dir(home);
    command.envs(env.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn mistakes_end_with_2_and_are_named() {
    fn check(env: &[(&str, &str)], args: &[&str], want: &[&str]) {
        let home = tempfile::tempdir().unwrap();
        let done = longhaul(home.path(), env, args);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{args:?}: {said}");
        for want in want {
            assert!(said.contains(want), "{args:?}: {said}");
        }
        assert!(done.stdout.is_empty() && !said.contains("panicked"), "{args:?}: {said}");
    }
    check(&[], &["runn"], &["runn", "run"]);
    check(&[], &["run"], &["FILE"]);
    check(&[], &["run", "x.do", "--timeout", "soon"], &["soon", "15min"]);
    check(&[], &["run", "none.do"], &["none.do", "no such file"]);
    check(&[], &["runs", "--gateway", "ftp://gw"], &["https://gateway.lab"]);
    check(&[], &["runs", "--state", "asleep"], &["succeeded"]);
    check(&[("LONGHAUL_SEETS", "2")], &["runs"], &["LONGHAUL_SEETS", "LONGHAUL_SEATS"]);
    check(&[("LONGHAUL_CONFIG", "/nowhere.toml")], &["runs"], &["/nowhere.toml"]);
    check(&[], &["agent"], &["--gateway"]);
    check(&[], &["agent", "--gateway", "http://127.0.0.1:1"], &["has to be invited", "longhaul agents invite"]);
    check(&[("HOME", "")], &["runs"], &["--data"]);
    check(&[], &["supervise"], &["supervise"]);
}

#[test]
fn an_unreachable_gateway_ends_with_4() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("a.do"), "display 1\n").unwrap();
    for args in [&["runs"] as &[&str], &["run", "a.do"], &["wait", "7f3a9c21"], &["hosts"]] {
        let done = longhaul(home.path(), &[("LONGHAUL_GATEWAY", "http://127.0.0.1:1")], args);
        assert_eq!(done.status.code(), Some(4), "{args:?}: {}", text(&done.stderr));
        assert!(text(&done.stderr).contains("http://127.0.0.1:1"), "{args:?}: {}", text(&done.stderr));
    }
    assert!(!home.path().join(".local").exists(), "nothing was made here");
}

#[test]
fn judge_prints_the_documented_object_and_ends_by_it() {
    fn check(log: &str, status: i32, want: &str, kind: &str) {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("x.log"), log).unwrap();
        let done = longhaul(home.path(), &[("LONGHAUL_NONSENSE", "1")], &["judge", "x.log", "--json"]);
        let said = text(&done.stdout);
        let rest = said.strip_prefix(want).unwrap_or_else(|| panic!("{want}\n{said}{}", text(&done.stderr)));
        assert!(rest.starts_with(&format!(",\"kind\":{kind},\"advice\":\"")), "{rest}");
        assert!(rest.ends_with(",\"suppressed\":[],\"suppressed_left_out\":0}\n"), "{rest}");
        assert_eq!(done.status.code(), Some(status));
    }
    check(
        "\n. display 1\n1\n\nend of do-file\n",
        0,
        "{\"state\":\"succeeded\",\"reason\":\"end_of_do_file\",\"rc\":null,\"message\":null,\"command\":null,\"file\":null,\
         \"line\":null,\"callers\":[],\"progress\":{\"percent\":null,\"text\":\"display 1\"}",
        "null",
    );
    check(
        "\n. summarize y\nvariable y not found\nr(111);\n\nend of do-file\nr(111);\n",
        1,
        "{\"state\":\"failed\",\"reason\":\"code\",\"rc\":111,\"message\":\"variable y not found\",\"command\":\"summarize y\",\
         \"file\":null,\"line\":null,\"callers\":[],\"progress\":{\"percent\":null,\"text\":\"summarize y\"}",
        "\"varname_not_found\"",
    );
    check(
        "\n. sleep 5000\n",
        4,
        "{\"state\":\"incomplete\",\"reason\":\"no_end\",\"rc\":null,\"message\":null,\"command\":\"sleep 5000\",\"file\":null,\
         \"line\":null,\"callers\":[],\"progress\":{\"percent\":null,\"text\":\"sleep 5000\"}",
        "\"unknown\"",
    );
    let home = tempfile::tempdir().unwrap();
    let done = longhaul(home.path(), &[], &["judge", "none.log"]);
    assert_eq!(done.status.code(), Some(4));
    assert!(text(&done.stderr).contains("none.log"));
}

#[test]
fn the_stand_in_is_in_the_program() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("x.do"), "display 1041 + 1\n").unwrap();
    let done = longhaul(home.path(), &[], &["standin", "-b", "do", "x.do"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    assert!(std::fs::read_to_string(home.path().join("x.log")).unwrap().contains("1042"));
}

#[test]
fn doctor_looks_and_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let env = [("LONGHAUL_TOKEN", "lh_secret"), ("LONGHAUL_SEATS", "3"), ("STATA_PATH", "/nowhere/stata")];
    let done = longhaul(home.path(), &env, &["doctor", "--json"]);
    assert_eq!(done.status.code(), Some(4), "no Stata is a problem: {}", text(&done.stderr));
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    let seats = report["settings"].as_array().unwrap().iter().find(|s| s["name"] == "seats").unwrap();
    assert_eq!((&seats["value"], &seats["origin"]), (&"3".into(), &"variable LONGHAUL_SEATS".into()));
    let said = text(&done.stdout);
    assert!(said.contains("/nowhere/stata") && said.contains("--engine standin"), "{said}");
    assert!(!said.contains("lh_secret"));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    let human = text(&longhaul(home.path(), &env, &["doctor"]).stdout);
    assert!(human.contains("seats = 3   from variable LONGHAUL_SEATS") && !human.contains("lh_secret"), "{human}");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_longhaul"))
        .args(["doctor"])
        .env_clear()
        .env("HOME", home.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert!(!text(&done.stderr).contains("panicked"), "{}", text(&done.stderr));
    assert_eq!(done.status.code(), Some(4), "{}", text(&done.stderr));
}
