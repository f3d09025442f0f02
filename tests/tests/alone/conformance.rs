//! The official conformance suite, and the Inspector's lint.
//!
//! The shipped gateway is tested on all checks that need no fixtures; everything else is tested on the same gateway
//! with the suite's fixtures as its answers (`src/bin/longhaul-conformance`).

use longhaul_tests::{
    conformance::{Results, Suite},
    lab::{Gateway, Lab},
};
use serde_json::Value;
use tokio::sync::Mutex;

/// One at a time: the suite's scenarios do not compete with each other for the processor either.
static ALONE: Mutex<()> = Mutex::const_new(());

const REVISIONS: [&str; 2] = ["2025-11-25", "2026-07-28"];

/// What a server without the suite's fixtures can do, by revision.
const GENERIC: [&[&str]; 2] = [
    &[
        "server-initialize",
        "server-session-lifecycle",
        "server-sse-multiple-streams",
        "dns-rebinding-protection",
        "ping",
        "tools-list",
        "prompts-list",
        "resources-list",
    ],
    &[
        "server-stateless",
        "server-sse-multiple-streams",
        "dns-rebinding-protection",
        "http-header-validation",
        "caching",
        "input-required-result-unsupported-methods",
        "sep-2164-resource-not-found",
        "tools-list",
        "prompts-list",
        "resources-list",
    ],
];

fn lab() -> Lab {
    Lab::new(env!("CARGO_BIN_EXE_longhaul-conformance"))
}

/// The gateway with the suite's fixtures, on which the fixtures that run something have an agent to run it.
async fn fixtures(lab: &Lab, more: &[&str]) -> (Gateway, impl Sized) {
    let mut args = vec!["fixtures"];
    args.extend_from_slice(more);
    let gateway = lab.serving("fixtures", &args).await;
    let agent = lab.agent("stata1", &gateway, &["--seats", "8"]);
    gateway.api.wait_host("stata1", "up").await;
    (gateway, agent)
}

fn no_failures(what: &str, revision: &str, results: &Results, at_least: usize) {
    let (passed, failures) = (results.passed(), results.failures());
    println!("{what}, {revision}: {passed} passed, {} failed", failures.len());
    assert!(failures.is_empty(), "{what}, {revision}: {passed} passed, these not:\n{}", failures.join("\n"));
    assert!(passed >= at_least, "{what}, {revision}: only {passed} checks passed, where {at_least} are known");
}

#[tokio::test]
async fn the_suites_fixtures_pass_both_revisions_behind_the_gateways_layers() {
    let Some(suite) = Suite::found() else { return };
    let _alone = ALONE.lock().await;
    let lab = lab();
    let (gateway, _agent) = fixtures(&lab, &[]).await;
    for (revision, known) in REVISIONS.into_iter().zip([83, 197]) {
        let results = suite.requirements(&lab, gateway.api.url(), revision).await;
        no_failures("fixtures", revision, &results, known);
    }
    // The runs that were shown as tasks are in the ledger.
    let runs = gateway.api.list().await.unwrap().runs;
    assert!(runs.len() >= 10, "the suite's jobs are runs: {}", runs.len());
}

#[tokio::test]
async fn the_shipped_gateway_passes_whatever_needs_no_fixture() {
    let Some(suite) = Suite::found() else { return };
    let _alone = ALONE.lock().await;
    let lab = lab();
    let gateway = lab.up(&["--no-auth"]).await;
    for ((revision, generic), known) in REVISIONS.into_iter().zip(GENERIC).zip([19, 61]) {
        let results = suite.requirements(&lab, gateway.api.url(), revision).await;
        no_failures("shipped", revision, &results.of(generic), known);
        assert!(!results.failures().is_empty(), "a missing fixture is found");
    }
}

#[tokio::test]
async fn a_layer_or_an_answer_that_is_wrong_is_found() {
    let Some(suite) = Suite::found() else { return };
    let _alone = ALONE.lock().await;
    let lab = lab();
    // The host that the suite's attack comes from.
    let (gateway, _agent) = fixtures(&lab, &["--allow-host", "evil.example.com", "--wrong", "answers"]).await;
    for (name, revision) in [("dns-rebinding-protection", REVISIONS[0]), ("tools-call-simple-text", REVISIONS[1])] {
        let failures = suite.scenario(&lab, gateway.api.url(), revision, name).await.failures();
        assert!(!failures.is_empty() && failures.iter().all(|line| line.starts_with(name)), "{name}: {failures:?}");
    }
    let ran = suite.inspect(&lab, gateway.api.url(), "-", "modern", &["--method", "tools/list", "--strict"]).await;
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert!(ran.status != 0 && said["schemaFindings"][0]["toolName"] == "flawed", "{ran:?}");
}

#[tokio::test]
async fn the_inspectors_lint_has_no_complaint() {
    let Some(suite) = Suite::found() else { return };
    let _alone = ALONE.lock().await;
    let lab = lab();
    let gateway = lab.up(&[]).await;
    let asked = [
        ("modern", "tools/list", "tools", 8),
        ("legacy", "tools/list", "tools", 8),
        ("modern", "resources/list", "resources", 2),
        ("modern", "resources/templates/list", "resourceTemplates", 2),
    ];
    for (era, method, key, at_least) in asked {
        let mut more = vec!["--method", method];
        more.extend((method == "tools/list").then_some("--strict"));
        let ran = suite.inspect(&lab, gateway.api.url(), gateway.api.token(), era, &more).await;
        // A warning leaves the status alone, and is on standard error.
        assert!(ran.status == 0 && ran.err.is_empty(), "{era} {method}: {ran:?}");
        let said: Value = serde_json::from_str(&ran.out).unwrap();
        assert!(said["result"][key].as_array().is_some_and(|list| list.len() >= at_least), "{era} {method}: {said}");
        assert!(said.get("schemaFindings").is_none(), "{era} {method}: {said}");
    }
}
