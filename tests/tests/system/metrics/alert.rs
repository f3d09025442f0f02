//! A host that dies is told by a real Prometheus to a real Alertmanager, and by that to a receiver of ours.

use std::fs;

use longhaul_tests::{lab, need, wait};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

use super::{
    port, repository,
    scraped::{Prometheus, config, spawn},
};

/// Takes webhooks, answers each, and hands on what it was told.
async fn receive(listener: TcpListener, told: mpsc::Sender<Value>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut bytes = Vec::new();
        let mut buffer = [0; 16 * 1024];
        let body = loop {
            let Ok(n) = stream.read(&mut buffer).await else { break None };
            if n == 0 {
                break None;
            }
            bytes.extend_from_slice(&buffer[..n]);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                break serde_json::from_str(body).ok();
            }
        };
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        if let Some(body) = body
            && told.send(body).await.is_err()
        {
            return;
        }
    }
}

#[tokio::test]
async fn a_host_that_dies_reaches_the_receiver_of_an_alertmanager() {
    let Some(real) = need::alertmanager() else { return };
    let mut lab = lab!();
    lab.env("LONGHAUL_HEARTBEAT", "200ms").env("LONGHAUL_SILENT_AFTER", "1s");
    let gateway = lab.gateway().await;
    let agent_port = port();
    let mut agent = lab.agent("stata1", &gateway, &["--metrics-listen", &format!("127.0.0.1:{agent_port}")]);
    gateway.api.wait_host("stata1", "up").await;

    let hook = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (told, mut heard) = mpsc::channel(64);
    let url = format!("http://{}/", hook.local_addr().unwrap());
    let tasks = longhaul_proto::tasks::Tasks::default();
    tasks.spawn_until_stop(receive(hook, told));
    let folder = lab.path().join("alertmanager");
    fs::create_dir_all(&folder).unwrap();
    fs::write(
        folder.join("alertmanager.yml"),
        format!(
            "route: {{receiver: hook, group_wait: 100ms, group_interval: 1s, group_by: [alertname]}}\n\
             receivers: [{{name: hook, webhook_configs: [{{url: \"{url}\"}}]}}]\n"
        ),
    )
    .unwrap();
    let alertmanager = format!("127.0.0.1:{}", port());
    let mut args = real.before;
    args.extend([
        format!("--config.file={}", folder.join("alertmanager.yml").display()),
        format!("--storage.path={}", folder.join("data").display()),
        format!("--web.listen-address={alertmanager}"),
        "--cluster.listen-address=".to_owned(),
    ]);
    let _alertmanager = spawn(&lab, "alertmanager", &real.program, &args);
    wait::until(wait::SOON, "the Alertmanager is ready", async || {
        reqwest::get(format!("http://{alertmanager}/-/ready")).await.ok()?.error_for_status().ok().map(drop)
    })
    .await;

    // The rules as they are, but that nothing waits five minutes here.
    let rules = fs::read_to_string(repository("deploy/prometheus/longhaul.rules.yml")).unwrap();
    let quick = rules.replace("        for: 5m\n", "        for: 1s\n");
    fs::create_dir_all(lab.path().join("prometheus")).unwrap();
    fs::write(lab.path().join("prometheus/rules.yml"), quick).unwrap();
    let config = config(&lab, &gateway.api, agent_port)
        .replace(&repository("deploy/prometheus/longhaul.rules.yml").display().to_string(), "rules.yml");
    let config =
        format!("{config}alerting: {{alertmanagers: [{{static_configs: [{{targets: [\"{alertmanager}\"]}}]}}]}}\n");
    let prometheus = Prometheus::start(&lab, &real.tools, &config).await;
    wait::until(wait::SOON, "the host is seen", async || {
        (prometheus.series("longhaul_host_up == 1").await == 1).then_some(())
    })
    .await;
    assert!(heard.try_recv().is_err(), "nothing is told while all is well");

    agent.kill();
    let body = loop {
        let body = tokio::time::timeout(wait::SOON * 3, heard.recv()).await.expect("an alert").unwrap();
        if body["commonLabels"]["alertname"] == "LonghaulHostDown" {
            break body;
        }
    };
    assert_eq!((&body["receiver"], &body["status"]), (&"hook".into(), &"firing".into()), "{body}");
    let alert = &body["alerts"][0];
    assert_eq!(
        (&alert["labels"]["host"], &alert["labels"]["severity"]),
        (&"stata1".into(), &"warning".into()),
        "{body}"
    );
    assert!(alert["annotations"]["summary"].as_str().unwrap().contains("stata1"), "{body}");
}
