//! Everything that is declared is recorded: a day of a lab in a minute, and every number must have moved.

use std::{collections::BTreeSet, convert::Infallible, fs};

use futures_util::{StreamExt, stream};
use longhaul_proto::{
    api::{CancelMode, Retry, SubmitRequest},
    clock::Clock,
    state::RunState,
};
use longhaul_tests::{
    api::Api,
    lab,
    lab::{Gateway, Lab},
    mcp::Mcp,
    need, processes, wait,
};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{documents::declared, of_agent, of_gateway, port, repository, tool};

/// What this day does not bring, and the tests that record it: the file, and what in it does.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("longhaul_attempts_returned_total", "gateway/src/runs/tests/attempts.rs", "metrics.returned"),
    ("longhaul_runs_adopted_total", "gateway/src/runs/tests/unverified.rs", "metrics.adopted"),
    ("longhaul_run_tasks_panicked_total", "gateway/src/runs/tests/panics.rs", "metrics.tasks_panicked"),
    ("longhaul_mirror_refetched_total", "gateway/src/runs/tests/attempts.rs", "metrics.mirror_refetched"),
    ("longhaul_runs_removed_for_room_total", "gateway/src/runs/tests/upkeep.rs", "metrics.removed_for_room"),
    ("longhaul_output_kept_bytes", "gateway/src/runs/tests/unverified.rs", "metrics.kept_bytes"),
    ("longhaul_sweeps_total", "gateway/src/runs/tests/mod.rs", "metrics.sweeps"),
    ("longhaul_sweep_paused", "gateway/src/runs/tests/sweep.rs", "metrics.sweep_paused"),
    ("longhaul_mcp_panics_total", "gateway/src/http/tests/mcp.rs", "longhaul_mcp_panics_total"),
    ("longhaul_mcp_flushed_early_total", "gateway/src/http/tests/mcp.rs", "longhaul_mcp_flushed_early_total"),
    ("longhaul_mcp_callers_gone_total", "gateway/src/http/tests/mcp.rs", "longhaul_mcp_callers_gone_total"),
    ("longhaul_mcp_resumed_total", "gateway/src/http/tests/resume.rs", "longhaul_mcp_resumed_total"),
    ("longhaul_mcp_tasks_total", "gateway/src/http/tests/tasks.rs", "longhaul_mcp_tasks_total"),
    (
        "longhaul_mcp_progress_stalled_total",
        "tests/tests/system/slow_clients.rs",
        "longhaul_mcp_progress_stalled_total",
    ),
    ("longhaul_notifications_total", "tests/tests/system/notify/webhooks.rs", "longhaul_notifications_total"),
    ("longhaul_notifications_waiting", "tests/tests/system/notify/webhooks.rs", "longhaul_notifications_waiting 1"),
    (
        "longhaul_notifications_oldest_seconds",
        "tests/tests/system/notify/webhooks.rs",
        "longhaul_notifications_oldest_seconds",
    ),
    ("longhaul_connections_refused_total", "tests/tests/system/client_tls/mod.rs", "refused_total"),
    (
        "longhaul_event_streams_dropped_total",
        "gateway/src/http/tests/events.rs",
        "longhaul_event_streams_dropped_total",
    ),
    ("longhaul_audit_lost_total", "tests/tests/system/audit/events.rs", "longhaul_audit_lost_total"),
    ("longhaul_audit_failing", "tests/tests/system/audit/events.rs", "longhaul_audit_failing 1"),
    (
        "longhaul_agent_attempts_refused_total",
        "agent/tests/whole/register.rs",
        "longhaul_agent_attempts_refused_total{kind=",
    ),
];

/// The names that have moved so far.
#[derive(Debug, Default)]
struct Seen {
    names: BTreeSet<String>,
    recorded: BTreeSet<String>,
}

impl Seen {
    async fn look(&mut self, gateway: &Gateway, agent: u16) {
        for numbers in [Some(of_gateway(&gateway.api).await), of_agent(agent).await].into_iter().flatten() {
            self.names.extend(numbers.names());
            self.recorded.extend(numbers.recorded());
        }
    }

    /// What is declared and has no series, or has not moved and no test elsewhere moves it.
    fn missing(&self) -> Vec<String> {
        let mut missing = declared();
        missing.retain(|name| {
            let elsewhere = ELSEWHERE.iter().any(|(elsewhere, ..)| elsewhere == name);
            !(self.recorded.contains(name) || elsewhere && self.names.contains(name))
        });
        missing.into_iter().collect()
    }
}

fn text(code: &str) -> SubmitRequest {
    SubmitRequest { text: Some(code.to_owned()), again: true, ..SubmitRequest::default() }
}

async fn ends(api: &Api, request: &SubmitRequest, state: RunState) {
    let run = api.submit(request).await.unwrap().run.run_id;
    let end = api.wait_end(run).await;
    assert_eq!(end.state, state, "{end:#?}");
}

/// A do-file that waits for its gate, on the first host.
async fn gated(lab: &Lab, api: &Api, name: &str, retry: Option<Retry>) -> longhaul_proto::ids::RunId {
    let request = SubmitRequest {
        path: Some(lab.gated().display().to_string()),
        args: vec![name.to_owned()],
        host: Some("stata1".to_owned()),
        retry,
        ..SubmitRequest::default()
    };
    let run = api.submit(&request).await.unwrap().run.run_id;
    api.wait_output(run, &format!("started {name}")).await;
    run
}

/// One that holds the seat, others that wait, join, follow, and are refused.
async fn a_full_house(lab: &Lab, gateway: &Gateway, agent: u16, seen: &mut Seen) {
    let api = &gateway.api;
    let holds = gated(lab, api, "holds", None).await;
    let joined = SubmitRequest {
        path: Some(lab.gated().display().to_string()),
        args: vec!["holds".to_owned()],
        host: Some("stata1".to_owned()),
        ..SubmitRequest::default()
    };
    assert_eq!(api.submit(&joined).await.unwrap().run.run_id, holds);
    let waits = api.submit(&text("display 3")).await.unwrap().run.run_id;
    api.wait_run(waits, wait::SOON, "it waits", |run| run.waiting.is_some()).await;
    let mut follows = api.events(holds, 0).await.expect("a stream");
    follows.next().await.expect("an event");

    let made = api.request(Method::POST, "/api/v1/tokens").json(&json!({"name": "ana"})).send().await.unwrap();
    let made: Value = made.json().await.unwrap();
    let ana = api.with_token(made["token"].as_str().unwrap());
    let anas = ana.submit(&text("display 1")).await.unwrap().run.run_id;
    assert!(ana.submit(&text("display 2")).await.is_err(), "her quota is reached");
    let nowhere = SubmitRequest { path: Some("/nowhere.do".to_owned()), ..SubmitRequest::default() };
    assert!(api.submit(&nowhere).await.is_err());

    // A client that is told to come back.
    let client = Mcp::new(api, "a-client", "1.0");
    let told = client.call("stata_run_selection", json!({"selection": "display 4"})).await;
    assert!(!told.is_error && told.text.contains("stata_wait"), "{told:?}");
    // All that waits is seen to wait.
    wait::until(wait::SOON, "a wait that shows", async || {
        let waited = of_gateway(api).await.of("longhaul_queue_oldest_wait_seconds")?;
        (waited > 0.0).then_some(())
    })
    .await;
    // A caller who says nothing, and one whose body comes slowly.
    let silent = tokio::net::TcpStream::connect(api.address()).await.unwrap();
    let body = stream::iter([Ok::<_, Infallible>("{")]).chain(stream::pending());
    let slow = api.raw(Method::POST, "/api/v1/runs").header("content-type", "application/json");
    let slow = slow.body(reqwest::Body::wrap_stream(body)).send();
    let told = wait::until(wait::SOON, "both are counted", async || {
        let numbers = of_gateway(api).await;
        let both = [numbers.of("longhaul_request_body_bytes")?, numbers.of("longhaul_connections_unproven")?];
        both.iter().all(|count| *count > 0.0).then_some(())
    });
    tokio::select! {
        answer = slow => panic!("the body has no end: {answer:?}"),
        () = async { told.await; seen.look(gateway, agent).await } => drop(silent),
    }
    let held = of_gateway(api).await;
    assert_eq!(held.of("longhaul_runs_unfinished{state=\"running\"}"), Some(1.0));
    assert_eq!(held.of("longhaul_host_seats_in_use{host=\"stata1\"}"), Some(1.0));
    seen.look(gateway, agent).await;
    for run in [waits, anas] {
        ana.with_token(api.token()).cancel(run, CancelMode::Break).await.unwrap();
        api.wait_end(run).await;
    }
    drop(follows);
    lab.open_gate("holds");
    api.wait_end(holds).await;
}

/// Processes that die: of the run, of the agent, of the gateway, whose ledger is lost too.
async fn deaths(
    lab: &Lab,
    gateway: &mut Gateway,
    agent: &mut longhaul_tests::daemon::Daemon,
    port: u16,
    seen: &mut Seen,
) {
    let again = gated(lab, &gateway.api, "again", Some(Retry::IfProvenDead)).await;
    let engines = processes::engines(lab.path());
    assert_eq!(engines.len(), 1, "{engines:?}");
    processes::signal(engines[0].pid, Signal::KILL);
    gateway.api.wait_run(again, wait::SOON, "its second attempt", |run| run.attempt == 2).await;
    lab.open_gate("again");
    gateway.api.wait_end(again).await;
    seen.look(gateway, port).await;

    let goes_on = gated(lab, &gateway.api, "goes on", None).await;
    agent.kill();
    agent.restart();
    wait::until(wait::SOON, "the agent has the run", async || {
        let numbers = of_agent(port).await?;
        (numbers.of("longhaul_agent_attempts_adopted_total")? > 0.0).then_some(())
    })
    .await;
    gateway.api.wait_host("stata1", "up").await;
    gateway.kill_and_restart().await;
    seen.look(gateway, port).await;
    gateway.api.wait_host("stata1", "up").await;
    gateway.daemon.kill();
    longhaul_tests::ledger::restore(&gateway.daemon.data, &lab.path().join("backup.sqlite"));
    wait::until(wait::SOON, "a heartbeat without an answer", async || {
        let numbers = of_agent(port).await?;
        (numbers.of("longhaul_agent_heartbeats_failed_total")? > 0.0).then_some(())
    })
    .await;
    gateway.daemon.restart();
    longhaul_tests::lab::ready(&mut gateway.daemon).await;
    wait::until(wait::SOON, "the run is imported", async || {
        (of_gateway(&gateway.api).await.of("longhaul_runs_imported_total")? > 0.0).then_some(())
    })
    .await;
    seen.look(gateway, port).await;
    lab.open_gate("goes on");
    gateway.api.wait_end(goes_on).await;
}

#[tokio::test]
async fn every_declared_number_is_recorded() {
    let mut lab = lab!();
    let end = longhaul_proto::clock::rfc3339(Clock::system().unix_ms() + 30 * 86_400_000).unwrap();
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month: usize = end[5..7].parse().unwrap();
    let day = format!("{:>2} {} {}", end[8..10].trim_start_matches('0'), months[month - 1], &end[..4]);
    lab.env("LONGHAUL_STANDIN_LICENSED", format!("2-user 4-core network, expiring {day}"));
    lab.env("LONGHAUL_HEARTBEAT", "200ms").env("LONGHAUL_HANDLE_AFTER", "1s").env("LONGHAUL_TLS", "auto");
    // A collector that is not there: what is sent to it is dropped, and counted.
    lab.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", port()))
        .env("OTEL_BSP_SCHEDULE_DELAY", "200")
        .env("OTEL_LOGS_EXPORTER", "otlp")
        .env("OTEL_BLRP_SCHEDULE_DELAY", "200");
    lab.config("quotas = { ana = \"queued=1\" }\n");
    let mut gateway = lab.gateway().await;
    let agent = port();
    let listen = format!("127.0.0.1:{agent}");
    let mut first = lab.agent("stata1", &gateway, &["--licence", "lab", "--seats", "1", "--metrics-listen", &listen]);
    let second = lab.agent("stata2", &gateway, &["--licence", "lab", "--seats", "2"]);
    gateway.api.wait_host("stata1", "up").await;
    gateway.api.wait_host("stata2", "up").await;
    longhaul_tests::ledger::backup(&gateway.daemon.data, &lab.path().join("backup.sqlite")).await;

    let mut seen = Seen::default();
    ends(&gateway.api, &SubmitRequest { host: Some("stata1".to_owned()), ..text("display 1") }, RunState::Succeeded)
        .await;
    ends(&gateway.api, &SubmitRequest { host: Some("stata1".to_owned()), ..text("error 9") }, RunState::Failed).await;
    a_full_house(&lab, &gateway, agent, &mut seen).await;

    // A heartbeat that comes late.
    second.freeze();
    wait::until(wait::SOON, "the second host is late", async || {
        (of_gateway(&gateway.api).await.of("longhaul_host_last_seen_seconds{host=\"stata2\"}")? > 1.0).then_some(())
    })
    .await;
    second.thaw();
    wait::until(wait::SOON, "the heartbeat after that", async || {
        (of_gateway(&gateway.api).await.of("longhaul_heartbeats_late_total")? > 0.0).then_some(())
    })
    .await;
    let data = gateway.daemon.data.display().to_string();
    assert_eq!(lab.run(["--data", &data, "drain", "stata2"]).await.status, 0);
    wait::until(wait::SOON, "it is drained", async || {
        (of_gateway(&gateway.api).await.of("longhaul_hosts_draining")? > 0.0).then_some(())
    })
    .await;
    for name in ["longhaul_spans_dropped_total", "longhaul_log_lines_dropped_total"] {
        wait::until(wait::SOON, name, async || {
            let gateway = of_gateway(&gateway.api).await.of(name)?;
            (gateway > 0.0 && of_agent(agent).await?.of(name)? > 0.0).then_some(())
        })
        .await;
    }
    seen.look(&gateway, agent).await;
    deaths(&lab, &mut gateway, &mut first, agent, &mut seen).await;
    seen.look(&gateway, agent).await;

    let declared = declared();
    assert!(seen.missing().is_empty(), "declared, and not recorded: {:?}", seen.missing());
    let strange: Vec<_> = seen.names.difference(&declared).collect();
    assert!(strange.is_empty(), "shown, and not declared: {strange:?}");
    for (name, file, needle) in ELSEWHERE {
        assert!(declared.contains(*name), "{name} is not declared any more");
        let test = fs::read_to_string(repository(file)).unwrap();
        assert!(test.contains(needle), "{file} does not record {name}: no {needle}");
    }

    // Nothing of a run is in them, and a checker of Prometheus' own finds nothing wrong.
    let Some(folder) = need::prometheus() else { return };
    for numbers in [of_gateway(&gateway.api).await, of_agent(agent).await.unwrap()] {
        let (fine, said) = tool(&folder.join("promtool"), &["check", "metrics"], lab.path(), &numbers.0);
        assert!(fine && said.trim().is_empty(), "{said}");
        for declared in super::documents::all().filter(|declared| numbers.names().contains(declared.name)) {
            let kind = format!("# TYPE {} {}\n", declared.name, super::documents::word(declared.kind));
            assert!(numbers.0.contains(&kind), "{kind}");
        }
        for run in gateway.api.list().await.unwrap().runs {
            assert!(!numbers.0.contains(&run.run_id.to_string()[28..]), "{}", run.run_id);
        }
    }
}

/// The control: with recording switched off nothing has a series, and all of it is missed.
#[tokio::test]
async fn what_is_not_recorded_is_missed() {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=metrics_unrecorded");
    let gateway = lab.gateway().await;
    let agent = port();
    let _agent = lab.agent("stata1", &gateway, &["--metrics-listen", &format!("127.0.0.1:{agent}")]);
    gateway.api.wait_host("stata1", "up").await;
    ends(&gateway.api, &text("display 1"), RunState::Succeeded).await;
    let mut seen = Seen::default();
    seen.look(&gateway, agent).await;
    assert_eq!(seen.missing().len(), declared().len(), "{seen:?}");
}
