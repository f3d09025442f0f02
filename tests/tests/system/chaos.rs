//! Some minutes of the chaos kit on a fresh seed, and the kit's own control: it finds deliberate bugs.
//!
//! `LONGHAUL_TEST_CHAOS_SECONDS` sets for how long new trials are started (120 by default), `LONGHAUL_TEST_CHAOS_SEED`
//! the seed.

use std::time::Duration;

use longhaul_proto::ids;
use longhaul_tests::{
    chaos::{self, Plan, report::Report},
    need,
};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn plan() -> Plan {
    let seed = number("LONGHAUL_TEST_CHAOS_SEED").unwrap_or_else(|| u64::from_le_bytes(ids::secret().unwrap()));
    println!("seed {seed}");
    Plan {
        program: env!("CARGO_BIN_EXE_longhaul-under-test").to_owned(),
        trials: 200,
        seed,
        only: None,
        trial: None,
        bugs: vec![],
        jobs: 2,
        first: false,
        limit: None,
        verbose: false,
    }
}

fn run(plan: Plan) -> Report {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(chaos::run(plan));
    println!("{report}");
    report
}

#[test]
fn faults_at_every_moment_lose_double_and_misreport_nothing() {
    let seconds = number("LONGHAUL_TEST_CHAOS_SECONDS").unwrap_or(120);
    let report = run(Plan { trials: 100_000, limit: Some(Duration::from_secs(seconds)), ..plan() });
    assert!(!report.failed(), "{report}");
    assert!(report.trials() > 0);
    if !report.skipped().is_empty() {
        need::skip("tmpfs", &format!("cannot mount one, so these were left out: {:?}", report.skipped()));
    }
}

/// `only` keeps it short; over all cells each is found within 200 trials as well (docs/reliability.md).
fn finds(bug: &str, only: &str) {
    let report = run(Plan { bugs: vec![bug.to_owned()], only: Some(only.to_owned()), first: true, ..plan() });
    assert!(report.failed(), "`{bug}` went unseen in {} trials", report.trials());
}

#[test]
fn a_skipped_attempt_file_is_found() {
    finds("attempt_file_skipped", "agent killed");
}

#[test]
fn an_acknowledgement_before_the_commit_is_found() {
    finds("acknowledged_before_commit", "before the submit commit");
}

#[test]
fn output_resumed_one_byte_off_is_found() {
    finds("resume_one_off", "links cut");
}

#[test]
fn a_forget_without_the_digest_is_found() {
    finds("forget_without_digest", "forget");
}

#[test]
fn a_lower_attempt_that_is_taken_is_found() {
    finds("lower_attempt_accepted", "attempt");
}

#[test]
fn a_run_that_fills_its_host_is_found() {
    finds("run_spool_not_measured", "run fills its host");
}

#[test]
fn an_answer_without_its_line_in_the_audit_log_is_found() {
    finds("answers_unaudited", "gateway killed");
}

#[test]
fn a_submission_without_its_line_in_the_audit_log_is_found() {
    finds("audit_drops", "gateway killed");
}
