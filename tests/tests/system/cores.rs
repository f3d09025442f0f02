//! A ceiling of cores for each run: what an agent allows, what a request asks for and what the licence has.

use std::fs;

use longhaul_proto::{api::RunView, api::SubmitRequest, state::RunState};
use longhaul_tests::{lab, lab::Lab, mcp::Mcp, wait};
use reqwest::Method;
use serde_json::{Value, json};

/// What the runs of an agent are told: of a run without a wish, of one that asks for 3, and of one whose code sets its own.
async fn told(faults: &str, more: &[&str]) -> [(RunView, String); 3] {
    let mut lab = lab!();
    lab.env("LONGHAUL_STANDIN_PROCESSORS", "8").env("LONGHAUL_FAULTS", faults);
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, more);
    gateway.api.wait_host("stata1", "up").await;
    let ask = async |cores: Option<u32>, code: &str| {
        let request = SubmitRequest { text: Some(code.to_owned()), cores, again: true, ..SubmitRequest::default() };
        let run = gateway.api.submit(&request).await.unwrap().run.run_id;
        let end = gateway.api.wait_end(run).await;
        assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
        let view = end.view.unwrap();
        let log = gateway.api.output(run, "log").await.unwrap();
        let own = String::from_utf8(log[usize::try_from(view.start).unwrap()..].to_vec()).unwrap();
        assert!(!own.contains("processors_max"), "the wrapper's own is not shown: {own}");
        let text = fs::read_to_string(Lab::spool(&agent, run).join(format!("run/lh-{}.do", run.short()))).unwrap();
        assert_eq!(text.contains("set processors"), end.processors.is_some(), "{text}");
        let said = own.lines().find_map(|line| line.strip_prefix("uses ")).unwrap_or_default().to_owned();
        (end, said)
    };
    let plain = "display \"uses \" c(processors)\n";
    [ask(None, plain).await, ask(Some(3), plain).await, ask(Some(3), &format!("set processors 5\n{plain}")).await]
}

fn numbers(told: [(RunView, String); 3]) -> [(Option<u32>, Option<u32>, String); 3] {
    told.map(|(run, said)| (run.cores, run.processors, said))
}

#[tokio::test]
async fn a_run_uses_no_more_cores_than_it_and_its_host_allow() {
    let want =
        |all: [(Option<u32>, Option<u32>, &str); 3]| all.map(|(asked, told, said)| (asked, told, said.to_owned()));
    assert_eq!(
        numbers(told("", &[]).await),
        want([(None, None, "8"), (Some(3), Some(3), "3"), (Some(3), Some(3), "5")]),
        "nothing is said unless it is asked for, and the code's own setting holds"
    );
    assert_eq!(
        numbers(told("", &["--max-cores", "2"]).await),
        want([(None, Some(2), "2"), (Some(3), Some(2), "2"), (Some(3), Some(2), "5")])
    );
    assert_eq!(
        numbers(told("bug=cores_unlimited", &["--max-cores", "2"]).await),
        want([(None, None, "8"), (Some(3), None, "8"), (Some(3), None, "5")]),
        "the control"
    );
}

#[tokio::test]
async fn the_command_line_asks_for_cores_and_shows_what_was_told() {
    let mut lab = lab!();
    lab.env("LONGHAUL_STANDIN_PROCESSORS", "8").config("max_cores = 2\n");
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let file = lab.file("cores.do", "display \"uses \" c(processors)\n");
    let ran = lab.run(["run", file.to_str().unwrap(), "--cores", "4"]).await;
    assert!(ran.status == 0 && ran.out.contains("uses 2"), "{ran:#?}");
    let shown = lab.run(["show", "last"]).await;
    assert!(shown.out.contains("cores         2 at most (`set processors`); 4 asked for\n"), "{shown:#?}");
    let again = lab.run(["rerun", "last", "--json"]).await;
    assert!(again.out.contains("\"cores\":4,\"processors\":2"), "{again:#?}");
    let none = lab.run(["run", file.to_str().unwrap(), "--cores", "0"]).await;
    assert_eq!(none.status, 2, "{none:#?}");
}

/// Where no banner says how many cores the licence has, the first run whose results are gathered tells.
#[tokio::test]
async fn what_a_run_tells_of_the_licence_bounds_the_next() {
    for gathers in [true, false] {
        let mut lab = lab!();
        lab.env("LONGHAUL_STANDIN_PROCESSORS", "8");
        let gateway = lab.gateway().await;
        let _agent = lab.agent("stata1", &gateway, &[]);
        gateway.api.wait_host("stata1", "up").await;
        let mcp = Mcp::new(&gateway.api, "claude-code", "2.1.330");
        let code = "display \"uses \" c(processors)";
        let asked = json!({"selection": code, "cores": 10, "again": true, "wait": true, "results": gathers});
        let processors = async || {
            let said = mcp.call("stata_run_selection", asked.clone()).await;
            assert!(!said.is_error && said.text.contains("uses 8"), "{said:#?}");
            let run = gateway.api.list().await.unwrap().runs[0].run_id;
            wait::until(wait::SOON, "with what it was made is noted", async || {
                let path = format!("/api/v1/runs/{run}/record");
                let record = gateway.api.request(Method::GET, &path).send().await.unwrap();
                let record: Value = record.json().await.unwrap();
                (record["complete"] == true).then_some(())
            })
            .await;
            gateway.api.get(run).await.unwrap().processors
        };
        assert_eq!(processors().await, Some(10), "nothing is known yet");
        assert_eq!(processors().await, Some(if gathers { 8 } else { 10 }), "gathers: {gathers}");
        let refused = mcp.call("stata_run_selection", json!({"selection": code, "cores": 5000})).await;
        assert!(refused.is_error && refused.text.contains("cores must be a whole number of 1 to"), "{refused:#?}");
    }
}
