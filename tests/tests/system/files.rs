//! The files that a run left: named with host and folder at its end, kept as long as its record.

use std::fs;

use longhaul_proto::{api::SubmitRequest, ids::RunId, state::RunState};
use longhaul_tests::{
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    mcp::Mcp,
    wait,
};
use serde_json::json;

const CODE: &str =
    "display \"made here\"\nshell echo a,b > results.csv\nshell mkdir figures; echo x > figures/fit.png\n";

async fn pair(lab: &Lab) -> (Gateway, Daemon) {
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    (gateway, agent)
}

async fn submit(gateway: &Gateway) -> RunId {
    let request = SubmitRequest { text: Some(CODE.to_owned()), ..SubmitRequest::default() };
    let run = gateway.api.submit(&request).await.unwrap().run.run_id;
    let end = gateway.api.wait_end(run).await;
    assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
    run
}

#[tokio::test]
async fn who_runs_waits_or_looks_is_told_where_the_files_are() {
    let mut lab = lab!();
    let (gateway, agent) = pair(&lab).await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let run = submit(&gateway).await;
    let folder = Lab::spool(&agent, run).canonicalize().unwrap().join("run/work");
    let line = format!("files in stata1:{}: figures/fit.png, results.csv", folder.display());

    let waited = lab.run(["wait", &run.to_string()]).await;
    assert!(waited.status == 0 && waited.err.contains(&line), "{waited:#?}");
    let shown = lab.run(["show", &run.to_string()]).await;
    assert!(shown.status == 0 && shown.out.contains(&line), "{shown:#?}");
    for field in
        [format!("run           {run}"), "host          stata1".into(), "file          results.csv (4 B)".into()]
    {
        assert!(shown.out.lines().any(|l| l == field), "{field}: {shown:#?}");
    }
    let json = lab.run(["show", &run.to_string(), "--json"]).await;
    let view: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(view["artifacts"].as_array().unwrap().len(), 2, "{view:#}");
    assert!(lab.run(["show", "00000000"]).await.status != 0);

    // The same for a do-file in the user's own folder.
    let file = lab.file("own.do", "shell echo x > own.csv\n");
    let ran = lab.run(["run", file.to_str().unwrap()]).await;
    let own = format!("files in stata1:{}: own.csv", lab.work().canonicalize().unwrap().display());
    assert!(ran.status == 0 && ran.err.contains(&own), "{ran:#?}");

    let client = Mcp::new(&gateway.api, "claude-code", "2.1.330");
    let said = client.call("stata_wait", json!({"runs": run})).await;
    assert!(said.text.contains(&line), "{said:#?}");
}

#[tokio::test]
async fn files_stay_when_the_spool_goes() {
    for keeps in [true, false] {
        let mut lab = lab!();
        lab.config("keep_spool = \"0s\"\n");
        if !keeps {
            // The control: with this bug the files are deleted with the log, without a word about it.
            lab.env("LONGHAUL_FAULTS", "bug=work_goes_with_the_log");
        }
        let (gateway, mut agent) = pair(&lab).await;
        let run = submit(&gateway).await;
        let spool = Lab::spool(&agent, run);
        let log = || {
            fs::read_dir(spool.join("run"))
                .into_iter()
                .flatten()
                .flatten()
                .any(|e| e.path().extension().is_some_and(|e| e == "log"))
        };
        assert!(log());
        // The gateway says what may be deleted when the agent registers.
        agent.kill();
        agent.restart();
        wait::until_now(wait::SOON, "the log goes", || (!log()).then_some(())).await;
        assert_eq!(spool.join("run/work/results.csv").exists(), keeps);
        if !keeps {
            continue;
        }
        assert!(!spool.join("control/submission.pb").exists());
        let view = gateway.api.get(run).await.unwrap();
        assert!(view.files_removed.is_none() && view.artifacts.len() == 2, "{view:#?}");
        let output = String::from_utf8(gateway.api.output(run, "log").await.unwrap()).unwrap();
        assert!(output.contains("\nmade here\n"), "{output}");
        // It stays so, and the run is not imported as another one.
        agent.kill();
        agent.restart();
        gateway.api.wait_host("stata1", "up").await;
        assert_eq!(fs::read_to_string(spool.join("run/work/results.csv")).unwrap(), "a,b\n");
        let listed = gateway.api.list().await.unwrap().runs;
        assert_eq!(listed.len(), 1, "{listed:#?}");
    }
}
