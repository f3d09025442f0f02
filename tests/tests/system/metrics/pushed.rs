//! A real collector takes the numbers of a gateway and an agent, by both protocols; and none where it is told so.

use longhaul_proto::{api::SubmitRequest, state::RunState};
use longhaul_tests::{collector::Collector, lab, need, wait};

use super::port;

/// What the collector printed of a lab whose daemons have these variables, after a run and their end.
async fn told(protocol: &str, exporter: Option<&str>) -> String {
    let Some(program) = need::collector() else { return String::new() };
    let mut lab = lab!();
    let collector = Collector::start(&lab, &program, port(), protocol, "metrics").await;
    lab.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", collector.port()))
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .env("OTEL_METRIC_EXPORT_INTERVAL", "300");
    if let Some(exporter) = exporter {
        lab.env("OTEL_METRICS_EXPORTER", exporter);
    }
    let mut gateway = lab.gateway().await;
    let mut agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let request = SubmitRequest { text: Some("display 1".to_owned()), ..SubmitRequest::default() };
    let run = gateway.api.submit(&request).await.unwrap().run.run_id;
    assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);
    if exporter.is_none() {
        wait::until_now(wait::SOON, "both are told", || {
            let printed = collector.printed();
            ["longhaul.run_duration", "longhaul.host_up", "longhaul.agent_runs_ended"]
                .iter()
                .all(|name| printed.contains(name))
                .then_some(())
        })
        .await;
    }
    // What is sent at the end has been sent then.
    agent.terminate().await;
    gateway.daemon.terminate().await;
    collector.printed()
}

#[tokio::test]
async fn a_collector_gets_the_numbers_by_grpc() {
    if need::collector().is_some() {
        let printed = told("grpc", None).await;
        assert!(printed.contains("longhaul-gateway") && printed.contains("longhaul-agent"), "{printed}");
    }
}

#[tokio::test]
async fn a_collector_gets_the_numbers_by_http_and_none_where_none_are_to_be_sent() {
    told("http/protobuf", None).await;
    let printed = told("http/protobuf", Some("none")).await;
    assert!(!printed.contains("longhaul."), "{printed}");
}
