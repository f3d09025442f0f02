//! Runs that ask for an engine which no agent has: refused, or waiting for an agent that is away.

use longhaul_proto::{api::RunView, state::RunState};
use longhaul_tests::{
    api::{Api, read},
    lab,
    lab::Lab,
    wait,
};
use reqwest::Method;
use serde_json::{Value, json};

/// The answer to a run where no agent has an engine.
async fn without_stata(lab: &Lab) -> Result<RunState, String> {
    let gateway = lab.serving("up", &["up", "--stata", "/nowhere/stata-mp"]).await;
    gateway.api.wait_host(&host(&gateway.api).await, "idle").await;
    let body = json!({"path": lab.file("one.do", "display 1\n")});
    let made = gateway.api.request(Method::POST, "/api/v1/runs").json(&body).send().await.unwrap();
    match read::<Value>(made).await {
        Ok(made) => Ok(serde_json::from_value(made["run"]["state"].clone())
            .or_else(|_| serde_json::from_value(made["state"].clone()))
            .unwrap()),
        Err(problem) => {
            let ran = lab.run(["run", "one.do", "--data", gateway.daemon.data.to_str().unwrap()]).await;
            assert!(ran.status == 4 && ran.err.contains(&problem.detail), "{ran:#?}");
            Err(problem.detail)
        }
    }
}

async fn host(api: &Api) -> String {
    wait::until(wait::SOON, "the agent is known", async || Some(api.hosts().await.ok()?.hosts.first()?.name.clone()))
        .await
}

#[tokio::test]
async fn a_run_that_no_agent_could_ever_run_is_refused_at_once() {
    let mut lab = lab!();
    let refused = without_stata(&lab).await.unwrap_err();
    assert!(refused.contains("no agent can run it") && refused.contains("/nowhere/stata-mp"), "{refused}");
    lab.env("LONGHAUL_FAULTS", "bug=no_engine_waits");
    let gateway = lab.serving("control", &["up", "--stata", "/nowhere/stata-mp"]).await;
    gateway.api.wait_host(&host(&gateway.api).await, "idle").await;
    let run = gateway.api.submit_path(&lab.file("one.do", "display 1\n"), &[]).await;
    assert_eq!(run.state, RunState::Queued, "the control");
}

/// What is said of a run of the real Stata where the stand-in is all there is; `Ok` = it waits.
async fn on_the_stand_in_alone(lab: &Lab) -> Result<RunState, String> {
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    let body = json!({"path": lab.file("one.do", "display 1\n"), "engine": "stata"});
    let made = gateway.api.request(Method::POST, "/api/v1/runs").json(&body).send().await.unwrap();
    let Err(problem) = read::<Value>(made).await else { return Ok(gateway.api.list().await.unwrap().runs[0].state) };
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    let ran = lab.run(["run", "one.do", "--engine", "stata", "--data", &data]).await;
    assert!(ran.status == 4 && ran.err.contains(&problem.detail), "{ran:#?}");
    let ran = lab.run(["run", "one.do", "--engine", "standin", "--data", &data]).await;
    assert_eq!(ran.status, 0, "the control, an engine that there is: {ran:#?}");
    Err(problem.detail)
}

#[tokio::test]
async fn a_run_of_an_engine_that_no_agent_has_is_refused_at_once() {
    let lab = lab!();
    let refused = on_the_stand_in_alone(&lab).await.unwrap_err();
    for words in
        ["no agent has the engine `stata`", " has standin; ", "leave the engine out", "longhaul agent --gateway"]
    {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    let mut control = lab!();
    control.env("LONGHAUL_FAULTS", "bug=other_engine_waits");
    assert_eq!(on_the_stand_in_alone(&control).await, Ok(RunState::Queued), "the control");
}

/// One that is away may come back with it: its run waits, and says for whom.
#[tokio::test]
async fn a_run_of_an_engine_waits_for_an_agent_that_is_away() {
    let lab = lab!();
    let mut gateway = lab.gateway().await;
    let mut agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    agent.terminate().await;
    gateway.kill_and_restart().await;
    let body = json!({"text": "display 1\n", "engine": "stata"});
    let made: Value =
        read(gateway.api.request(Method::POST, "/api/v1/runs").json(&body).send().await.unwrap()).await.unwrap();
    let run = made["run_id"].as_str().unwrap().parse().unwrap();
    let names = |run: &RunView| run.waiting.as_ref().is_some_and(|why| why.contains("agent stata1"));
    gateway.api.wait_run(run, wait::SOON, "it says for whom it waits", names).await;
}
