//! Connections that say nothing, say half of something, or are too many.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a helper that fails is a test that fails

use std::{ffi::OsString, time::Duration};

use longhaul_tests::{
    daemon::{Daemon, Spec},
    lab,
    lab::{Gateway, Lab},
};
use tokio::net::TcpStream;

/// The same program under a soft limit of descriptors, as service managers set one.
fn limited(mut spec: Spec, limit: &str) -> Spec {
    let mut args: Vec<OsString> = vec!["-c".into(), format!("ulimit -Sn {limit}; exec \"$0\" \"$@\"").into()];
    args.push(spec.program.into());
    args.append(&mut spec.args);
    Spec { program: "/bin/sh".into(), args, ..spec }
}

/// A gateway under the soft limit that systemd sets.
async fn limited_gateway(lab: &Lab) -> Gateway {
    let data = lab.path().join("gateway");
    let address = ["gateway", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let mut daemon = Daemon::start("gateway", &data, limited(lab.spec("gateway", address), "1024"));
    let endpoint = lab::ready(&mut daemon).await;
    let credentials = lab::json(&data.join("credentials.json")).unwrap();
    let api = longhaul_tests::api::Api::new(endpoint["url"].as_str().unwrap(), credentials["token"].as_str().unwrap());
    Gateway { daemon, api }
}

/// Opens connections that say nothing; as many as the system takes.
async fn silent(address: &str, count: usize) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for _ in 0..count {
        match tokio::time::timeout(Duration::from_secs(2), TcpStream::connect(address)).await {
            Ok(Ok(stream)) => all.push(stream),
            // The control: its queue is full and nothing is accepted any more.
            _ => break,
        }
    }
    all
}

async fn healthy(gateway: &Gateway, patience: Duration) -> bool {
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).timeout(patience).build().unwrap();
    let answer = client.get(format!("{}/healthz", gateway.api.url())).send().await;
    answer.is_ok_and(|a| a.status().is_success())
}

#[tokio::test]
async fn connections_that_say_nothing_shut_nobody_out() {
    let lab = lab!();
    let gateway = limited_gateway(&lab).await;
    let held = silent(gateway.api.address(), 1_100).await;
    assert_eq!(held.len(), 1_100, "all were accepted");
    assert!(healthy(&gateway, Duration::from_secs(20)).await, "people get in");
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let run = gateway.api.submit_path(&lab.file("one.do", "display 1\n"), &[]).await.run_id;
    gateway.api.wait_end(run).await;
    drop(held);
}

#[tokio::test]
async fn without_bounds_they_do() {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", "bug=connections_unbounded");
    let gateway = limited_gateway(&lab).await;
    let held = silent(gateway.api.address(), 1_100).await;
    assert!(!healthy(&gateway, Duration::from_secs(3)).await, "the control: what bounds mend is there");
    drop(held);
}
