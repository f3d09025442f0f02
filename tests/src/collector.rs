//! A real collector of OpenTelemetry as a process, which prints what it is sent.

use std::path::Path;

use crate::{
    daemon::{Daemon, Spec},
    lab::Lab,
    port::free_port,
    wait,
};

/// See the module. It takes OTLP by both protocols, and prints one signal.
#[derive(Debug)]
pub struct Collector {
    process: Daemon,
    address: String,
}

impl Collector {
    /// Listens on `port` for `protocol` (`grpc` or `http/protobuf`), and on another port for the other; prints `signal`:
    /// `traces`, `metrics` or `logs`.
    pub async fn start(lab: &Lab, program: &Path, port: u16, protocol: &str, signal: &str) -> Self {
        let (address, other) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", free_port()));
        let (grpc, http) = if protocol == "grpc" { (&address, &other) } else { (&other, &address) };
        let logs = lab.path().join("logs");
        let fixed = ["start", "--exporter", "blackhole", "--debug-log", signal, "--debug-log-verbosity", "detailed"];
        let more = ["--disable-batching", "--otlp-grpc-endpoint", grpc, "--otlp-http-endpoint", http];
        let spec = Spec {
            program: program.to_owned(),
            args: fixed.iter().chain(&more).map(Into::into).collect(),
            env: Vec::new(),
            log: logs.join("collector.log"),
            cgroup: None,
        };
        let mut process = Daemon::start("collector", &logs, spec);
        wait::until(wait::SOON, "the collector listens", async || {
            assert!(process.alive(), "{}", process.printed());
            tokio::net::TcpStream::connect(&address).await.ok().map(drop)
        })
        .await;
        Self { process, address }
    }

    /// Where it listens.
    ///
    /// # Panics
    /// Never: its address has a port.
    pub fn port(&self) -> u16 {
        self.address.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// What it has printed so far.
    pub fn printed(&self) -> String {
        self.process.printed()
    }
}
