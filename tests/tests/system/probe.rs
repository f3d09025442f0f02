//! `doctor --probe`: every question is asked and answered by measuring; what would be another answer is told as one.

use std::fs;

use longhaul_tests::{lab, lab::Lab};
use serde_json::Value;

/// The report on the stand-in with these variables, its exit status, and the lab.
async fn probed(env: &[(&str, &str)]) -> (Value, i32, Lab) {
    let mut lab = lab!();
    lab.env("LONGHAUL_ENGINE", "standin").env("LONGHAUL_STANDIN_SERIAL", "301706210713").env("USER", "ana-the-user");
    for (name, value) in env {
        lab.env(&format!("LONGHAUL_STANDIN_{name}"), value);
    }
    let ran = lab.run(["doctor", "--probe", "--json"]).await;
    let report = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:#?}"));
    for private in ["301706210713", "Licensed to", "longhaul-probe-", lab.path().to_str().unwrap()] {
        assert!(!ran.out.contains(private), "{private}: {}", ran.out);
    }
    (report, ran.status, lab)
}

fn answer(report: &Value, id: &str) -> String {
    let answers = report["answers"].as_array().unwrap();
    let found = answers.iter().find(|answer| answer["id"] == id).unwrap_or_else(|| panic!("{id}: {report:#}"));
    found["answer"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_question_is_answered_and_the_report_says_that_it_is_the_stand_in() {
    let (report, status, lab) =
        probed(&[("LICENSED", "2-user 4-core network, expiring  8 Mar 2027"), ("PROCESSORS", "4")]).await;
    assert_eq!((status, report["engine"].as_str()), (0, Some("standin")));
    assert_eq!(report["licence"], "2 seats, 4 cores, network, ends 2027-03-08");
    for (id, want) in [
        ("licence", "not seen"),
        ("exit_stata", "exit status 3"),
        ("error_status", "exit status 0"),
        ("interrupt", "it breaks (--Break--), then exit status 0"),
        ("flushing", "each line when it is complete"),
        ("console", "at once"),
        ("blank_in_name", "two words.log"),
        ("flag_s", "lhprobe.smcl, which begins with {smcl}"),
        ("no_log", "exit status 1"),
        ("processors", "use 4, licensed 4, of the host 4, at most 4"),
        ("wrapper", "succeeded; the code's end was seen; its part of the log is found"),
        ("gathering", "yes, all of it"),
    ] {
        assert_eq!(answer(&report, id), want, "{report:#}");
    }
    assert!(answer(&report, "start").starts_with("yes, ") && answer(&report, "flag_h").starts_with("exit status 0, "));
    assert!(report["switches"].as_array().unwrap().is_empty());
    assert!(!lab.path().join("home/.config").exists(), "nothing is to be switched");
    let text = lab.run(["doctor", "--probe"]).await;
    assert!(text.status == 0 && text.out.starts_with("This is the stand-in, not Stata"), "{text:#?}");
    assert!(
        text.out.contains("ok Does gathering leave") && text.out.contains("[gathering]\n   yes, all of it\n"),
        "{text:#?}"
    );
}

#[tokio::test]
async fn another_answer_is_told_as_another() {
    let (report, status, _lab) =
        probed(&[("EXIT", "zero"), ("SIGINT", "die"), ("FLUSH", "end"), ("LOG_NAME", "word")]).await;
    assert_eq!(status, 0);
    for (id, want) in [
        ("exit_stata", "exit status 0"),
        ("flushing", "not while it runs"),
        ("console", "only at its end"),
        ("blank_in_name", "two.log"),
        // Its log is not there to wait for.
        ("interrupt", "not asked: the do-file did not begin in time"),
    ] {
        assert_eq!(answer(&report, id), want, "{report:#}");
    }
    let (report, ..) = probed(&[("SIGINT", "die")]).await;
    assert_eq!(answer(&report, "interrupt"), "ended by signal 2");

    let (report, status, _lab) = probed(&[("LICENCE", "seat")]).await;
    assert_eq!((status, answer(&report, "start").as_str()), (4, "no: exit status 1"));
    assert_eq!(answer(&report, "licence"), "NoSeat, a text that was not known");
    assert!(report.to_string().contains("All seats of this license are taken"), "{report:#}");
}

#[tokio::test]
async fn gathering_that_changes_something_is_switched_off() {
    for (leak, words) in [
        ("run set seed 1", "no: c(rngstate)"),
        ("run count", "no: r("),
        ("run noisily display \"leak\"", "no: prints into an open log"),
    ] {
        let lines = longhaul_agent::stata::gather::text("t_1", "/x".as_ref()).lines().count();
        let (report, status, lab) = probed(&[("AT", &format!("gather.do:{lines} {leak}"))]).await;
        assert_eq!(status, 0);
        assert!(answer(&report, "gathering").starts_with(words), "{leak}: {report:#}");
        let config = fs::read_to_string(lab.path().join("home/.config/longhaul/config.toml")).unwrap();
        assert!(config.starts_with("results = false"), "{config}");
        let doctor = lab.run(["doctor"]).await;
        assert!(doctor.out.contains("results = false"), "{doctor:#?}");
    }
}
