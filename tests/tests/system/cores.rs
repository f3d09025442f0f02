//! A ceiling of cores for each run: what an agent allows, what a request asks for and what the licence has.

use std::fs;

use longhaul_proto::{api::RunView, api::SubmitRequest, state::RunState};
use longhaul_tests::{lab, lab::Lab};

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
