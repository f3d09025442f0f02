//! How far a run is and what it took: the time that an equal run took before, the times that the log tells, and what its
//! process used of its host.

use longhaul_proto::{
    api::{CancelMode, SubmitRequest},
    ids::RunId,
};
use longhaul_tests::{
    api::Api,
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    mcp::Mcp,
    wait,
};
use serde_json::json;

async fn pair(lab: &Lab) -> (Gateway, Daemon) {
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    (gateway, agent)
}

async fn submit(api: &Api, code: &str, args: &[&str]) -> RunId {
    let request = SubmitRequest {
        text: Some(code.to_owned()),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        again: true,
        ..SubmitRequest::default()
    };
    api.submit(&request).await.unwrap().run.run_id
}

#[tokio::test]
async fn the_time_that_is_left_is_learnt_from_the_last_run_of_the_same_code() {
    for learns in [true, false] {
        let mut lab = lab!();
        if !learns {
            // The control.
            lab.env("LONGHAUL_FAULTS", "bug=nothing_is_learnt");
        }
        let (gateway, _agent) = pair(&lab).await;
        let api = &gateway.api;
        let code = "display \"started\"\nsleep 10200\n";
        let other = submit(api, "display 1\n", &[]).await;
        api.wait_end(other).await;
        let first = submit(api, code, &["2024"]).await;
        let looked = api.wait_run(first, wait::SOON, "its silence is noticed", |run| run.activity.is_some()).await;
        assert_eq!(looked.expected, None, "no equal run ended before");
        let took = api.wait_end(first).await.duration.unwrap();

        // Other arguments are other work.
        let unlike = submit(api, code, &["2025"]).await;
        let looked = api.wait_run(unlike, wait::SOON, "its silence is noticed", |run| run.activity.is_some()).await;
        assert_eq!(looked.expected, None);
        api.cancel(unlike, CancelMode::Kill).await.unwrap();
        api.wait_end(unlike).await;

        let second = submit(api, code, &["2024"]).await;
        let looked = api.wait_run(second, wait::SOON, "its silence is noticed", |run| run.activity.is_some()).await;
        let said =
            Mcp::new(api, "claude-code", "2.1.330").call("stata_wait", json!({"runs": second, "seconds": 0})).await;
        assert_eq!((looked.expected.is_some(), said.text.contains("as last time")), (learns, learns), "{said:#?}");
        if let Some(expected) = looked.expected {
            assert_eq!((expected.run_id, expected.same_host), (first, true));
            assert!((expected.duration - took).abs() < 0.01 && took > 10.0, "{expected:?} {took}");
        }
        api.cancel(second, CancelMode::Kill).await.unwrap();
        let end = api.wait_end(second).await;
        assert_eq!(end.expected, None, "it has ended");
    }
}

#[tokio::test]
async fn a_log_that_tells_times_shows_that_of_the_last_command() {
    let lab = lab!();
    let (gateway, _agent) = pair(&lab).await;
    let run = submit(&gateway.api, "set rmsg on\nsleep 1300\nsleep 600000\n", &[]).await;
    let told = |text: &str| text.contains("line 3 of 3: sleep 600000 · the command before took 1.");
    let shows = |run: &longhaul_proto::api::RunView| run.progress.as_ref().is_some_and(|progress| told(&progress.text));
    gateway.api.wait_run(run, wait::SOON, "its progress tells the time", shows).await;
    gateway.api.cancel(run, CancelMode::Kill).await.unwrap();
    gateway.api.wait_end(run).await;
}

#[tokio::test]
async fn what_a_run_used_of_its_host_is_told() {
    let mut lab = lab!();
    let (gateway, _agent) = pair(&lab).await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let code = "forvalues i = 1/200000 {\n    local x = `i'\n}\nsleep 1000\n";
    let run = submit(&gateway.api, code, &[]).await;
    let end = gateway.api.wait_end(run).await;
    let process = end.process.unwrap();
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(process.cores.map(|cores| cores as usize), Some(cores), "{process:?}");
    assert!(process.memory_bytes.unwrap() > process.max_rss_bytes.unwrap(), "{process:?}");
    assert_eq!(process.written_bytes.is_some(), std::fs::read_to_string("/proc/self/io").is_ok(), "{process:?}");
    let shown = lab.run(["show", &run.to_string()]).await;
    assert!(shown.out.contains(&format!("of {cores} cores on average")), "{shown:#?}");
    assert!(!shown.out.contains("hint"), "there is nothing to say: {shown:#?}");
}
