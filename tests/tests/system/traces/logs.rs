//! The lines of the log at a real collector: those of gateway and agent, in the trace of the run that they are about; none
//! where they were not asked for; and what becomes of runs and lines while there is no collector.

use std::path::Path;

use longhaul_proto::{api::SubmitRequest, state::RunState};
use longhaul_tests::{collector::Collector, lab, lab::Gateway, need, port::free_port, wait};

use super::{collector::send_to, submit, trace, traceparent};

/// A line as the collector prints it.
#[derive(Clone, Debug, Default)]
struct Line {
    service: String,
    severity: String,
    body: String,
    trace: String,
    /// `name: Type(value)`.
    attributes: Vec<String>,
}

impl Line {
    fn tells(&self, service: &str, body: &str) -> bool {
        self.service == service && self.body.contains(body)
    }

    fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|a| a == attribute)
    }
}

fn read(printed: &str) -> Vec<Line> {
    let (mut lines, mut service): (Vec<Line>, _) = (Vec::new(), String::new());
    let mut of_resource = false;
    for text in printed.lines().map(str::trim) {
        let field = |name: &str| text.strip_prefix(name)?.trim_start().strip_prefix(':').map(|v| v.trim().to_owned());
        if text.starts_with("ResourceLog #") {
            (service, of_resource) = (String::new(), true);
        } else if text.starts_with("LogRecord #") {
            of_resource = false;
            lines.push(Line { service: service.clone(), ..Line::default() });
        } else if let Some(attribute) = text.strip_prefix("-> ") {
            match (of_resource, lines.last_mut()) {
                (true, _) => {
                    if let Some(name) = attribute.strip_prefix("service.name: Str(") {
                        service = name.trim_end_matches(')').to_owned();
                    }
                }
                (false, Some(line)) => line.attributes.push(attribute.to_owned()),
                _ => {}
            }
        } else if let Some(line) = lines.last_mut().filter(|_| !of_resource) {
            let take = |name: &str, to: &mut String| {
                if let Some(value) = field(name) {
                    *to = value;
                }
            };
            take("SeverityText", &mut line.severity);
            take("Body", &mut line.body);
            take("Trace ID", &mut line.trace);
        }
    }
    lines
}

fn text(code: &str) -> SubmitRequest {
    SubmitRequest { text: Some(code.to_owned()), ..SubmitRequest::default() }
}

/// Runs something in a lab whose daemons have these variables, to their end; what the collector was told, and the trace.
async fn told(program: &Path, protocol: &str, variables: &[(&str, &str)], config: &str) -> (Vec<Line>, String) {
    let mut lab = lab!();
    let collector = Collector::start(&lab, program, free_port(), protocol, "logs").await;
    send_to(&mut lab, collector.port(), protocol);
    for (name, value) in variables {
        lab.env(name, value);
    }
    lab.config(config);
    let mut gateway = lab.gateway().await;
    let mut agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let run = submit(&gateway.api, &text("display 1"), &traceparent('a', "01")).await.run.run_id;
    assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);
    let data = gateway.daemon.data.display().to_string();
    assert_eq!(lab.run(["--data", &data, "show", "0123"]).await.status, 4, "a command that has an error to tell");
    // What is left is sent at their end.
    agent.terminate().await;
    gateway.daemon.terminate().await;
    (read(&collector.printed()), run.to_string())
}

/// That each part's line about the run is there, in its trace.
fn check_lines(lines: &[Line], run: &str) {
    for (service, body) in [
        ("longhaul-gateway", "run submitted"),
        ("longhaul-gateway", "run ended"),
        ("longhaul-agent", "run started"),
        ("longhaul-agent", "run ended"),
    ] {
        let line = lines.iter().find(|line| line.tells(service, body));
        let line = line.unwrap_or_else(|| panic!("{service}: {body}: {lines:#?}"));
        assert_eq!((line.severity.as_str(), line.trace.as_str()), ("INFO", trace('a').as_str()), "{line:?}");
        assert!(line.has(&format!("run: Str({run})")), "{line:?}");
    }
    let others: Vec<_> =
        lines.iter().filter(|line| !["longhaul-gateway", "longhaul-agent"].contains(&line.service.as_str())).collect();
    assert!(others.is_empty(), "commands send none: {others:?}");
}

#[tokio::test]
async fn lines_are_sent_by_both_protocols_in_the_trace_of_their_run() {
    let Some(program) = need::collector() else { return };
    let (lines, run) = told(&program, "grpc", &[("OTEL_LOGS_EXPORTER", "otlp")], "").await;
    check_lines(&lines, &run);
    let (lines, run) = told(&program, "http/protobuf", &[], "otlp_logs = true\n").await;
    check_lines(&lines, &run);
}

#[tokio::test]
async fn none_are_sent_where_none_were_asked_for() {
    let Some(program) = need::collector() else { return };
    let (lines, _) = told(&program, "grpc", &[], "").await;
    assert!(lines.is_empty(), "{lines:#?}");
    let (lines, _) = told(&program, "grpc", &[("OTEL_LOGS_EXPORTER", "none")], "otlp_logs = true\n").await;
    assert!(lines.is_empty(), "{lines:#?}");
}

/// The control: with nothing that puts them there, lines are outside their run's trace.
#[tokio::test]
async fn a_line_outside_its_trace_is_found() {
    let Some(program) = need::collector() else { return };
    let variables = [("OTEL_LOGS_EXPORTER", "otlp"), ("LONGHAUL_FAULTS", "bug=lines_without_their_trace")];
    let (lines, _) = told(&program, "grpc", &variables, "").await;
    let line = lines.iter().find(|line| line.tells("longhaul-gateway", "run submitted")).unwrap();
    assert_ne!(line.trace, trace('a'), "{line:?}");
}

async fn dropped(gateway: &Gateway) -> f64 {
    let numbers = gateway.api.request(reqwest::Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    let line = numbers.lines().find_map(|line| line.strip_prefix("longhaul_log_lines_dropped_total "));
    line.unwrap_or("0").parse().unwrap()
}

/// Runs go on, what is lost is counted and told once, and sending begins again by itself.
#[tokio::test]
async fn a_collector_that_is_away_costs_lines_and_no_run() {
    let Some(program) = need::collector() else { return };
    let mut lab = lab!();
    let port = free_port();
    send_to(&mut lab, port, "grpc");
    lab.env("OTEL_LOGS_EXPORTER", "otlp").env("OTEL_BLRP_SCHEDULE_DELAY", "100").env("OTEL_TRACES_EXPORTER", "none");
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let run = gateway.api.submit(&text("display 1")).await.unwrap().run.run_id;
    assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);
    wait::until(wait::SOON, "lines are dropped", async || (dropped(&gateway).await > 0.0).then_some(())).await;
    let collector = Collector::start(&lab, &program, port, "grpc", "logs").await;
    wait::until(wait::SOON, "lines are sent again", async || {
        let run = gateway.api.submit(&text("display 2")).await.unwrap().run.run_id;
        gateway.api.wait_end(run).await;
        read(&collector.printed()).iter().any(|line| line.body.contains("run ended")).then_some(())
    })
    .await;
    // The collector prints a batch before the gateway hears that it was taken.
    let said = |text: &str| gateway.daemon.printed().matches(text).count();
    wait::until_now(wait::SOON, "it is told", || (said("lines of the log are sent again") == 1).then_some(())).await;
    assert_eq!(said("lines of the log cannot be sent and are dropped"), 1, "{}", gateway.daemon.printed());
}
