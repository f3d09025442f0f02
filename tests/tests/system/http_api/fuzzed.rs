//! A foreign program reads the API's description and tries what it can think of, against a real gateway with a real agent: no
//! answer is a failure of the gateway's, and none is outside the description.

use std::{path::Path, time::Duration};

use longhaul_tests::{
    lab,
    lab::{Gateway, Lab, Ran, finish_within},
    need,
};

/// What it looks at in each answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance";

/// How much it tries of each operation beyond the boundaries of its parameters: about a minute in all.
const EXAMPLES: &str = "5";

/// How long all of it may take on a machine that is busy with other tests.
const TIME: Duration = Duration::from_secs(580);

/// Event streams do not end; and a test cannot go on without its own token, its agent, or with a drained host.
const LEFT_OUT: &str = r"/events$|/tokens/\{name\}|/hosts/drain|/agents/\{name\}/revoke";

/// Bytes are sent as bytes, also under a name of their own.
const HOOKS: &str = "import schemathesis\nschemathesis.serializer.alias(['application/offset+octet-stream'], 'application/octet-stream')\n";

async fn tried(lab: &Lab, program: &Path, gateway: &Gateway, more: &[&str]) -> Ran {
    lab.file("hooks.py", HOOKS);
    let mut command = tokio::process::Command::new(program);
    command.current_dir(lab.work()).env("PYTHONPATH", lab.work()).env("SCHEMATHESIS_HOOKS", "hooks");
    command.args(["run", &format!("{}/api/v1/openapi.json", gateway.api.url()), "--checks", CHECKS]);
    command.args(["--header", &format!("Authorization: Bearer {}", gateway.api.token())]);
    command.args(["--no-color", "--workers", "1", "--seed", "7", "--generation-database", "none"]);
    command.args(["--request-timeout", "60", "--suppress-health-check", "all", "--continue-on-failure"]).args(more);
    finish_within(command, TIME).await
}

#[tokio::test]
async fn a_foreign_program_finds_no_answer_outside_the_description() {
    let Some(program) = need::schemathesis() else { return };
    let lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &["--seats", "4"]);
    gateway.api.wait_host_up().await;
    let run = gateway.api.submit_path(&lab.file("a.do", "display 1\nregress y x\n"), &[]).await.run_id;
    gateway.api.wait_end(run).await;
    let ran = tried(&lab, &program, &gateway, &["--max-examples", EXAMPLES, "--exclude-path-regex", LEFT_OUT]).await;
    assert_eq!(ran.status, 0, "{}\n{}", ran.out, ran.err);
    // It looked at the API and was let in.
    let text = gateway.api.request(reqwest::Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    let answered = |class: &str| -> f64 {
        let lines =
            text.lines().filter(|line| line.starts_with("longhaul_http_requests_total{") && line.contains(class));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    assert!(
        answered("\"2xx\"") > 20.0 && answered("\"4xx\"") > 20.0 && answered("\"5xx\"") == 0.0,
        "{}\n{text}",
        ran.out
    );
}

#[tokio::test]
async fn an_answer_outside_the_description_is_found_by_it() {
    let Some(program) = need::schemathesis() else { return };
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=answers_undescribed");
    let gateway = lab.gateway().await;
    let one = ["--include-path", "/api/v1/whoami", "--max-examples", "5", "--phases", "examples,coverage,fuzzing"];
    let ran = tried(&lab, &program, &gateway, &one).await;
    assert!(ran.status == 1 && ran.out.contains("Response violates schema"), "{}\n{}", ran.out, ran.err);
}
