//! What being watched costs: the same gateway and agent with spans and metrics sent to a real collector and `/metrics` read all
//! the time, and with none of it, measured in pairs.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures_util::StreamExt;

use super::{
    figures::{Bar, Line, floor, now_ns, quantile},
    parts,
    site::{Site, until},
};
use crate::port::free_port;

/// Pairs of runs.
const PAIRS: usize = 300;
/// Of one observation, the value that one in twenty times is exceeded (normal distribution, one-sided).
const Z95: f64 = 1.645;
/// How often `/metrics` is read: far more often than Prometheus does.
const SCRAPE_EVERY: Duration = Duration::from_secs(1);

/// A collector that takes everything and keeps nothing. Ended when dropped.
struct Collector {
    process: Child,
    endpoint: String,
}

impl Collector {
    /// Starts the one that `LONGHAUL_TEST_COLLECTOR` names; `None` = it names none.
    async fn start() -> Option<Self> {
        let program = std::env::var_os("LONGHAUL_TEST_COLLECTOR")?;
        let (grpc, http) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
        let process = Command::new(program)
            .args(["start", "--exporter", "blackhole", "--otlp-grpc-endpoint", &grpc, "--otlp-http-endpoint", &http])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the collector starts");
        until("the collector listens", || std::net::TcpStream::connect(&grpc).ok()).await;
        Some(Self { process, endpoint: format!("http://{grpc}") })
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How much longer a run takes from its submission to its result when all of it is watched.
pub async fn cost(program: &Path) -> Vec<Line> {
    let Some(collector) = Collector::start().await else {
        return vec![floor("what being watched costs", "no collector: set LONGHAUL_TEST_COLLECTOR".to_owned())];
    };
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.clone()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1000".to_owned()),
        ("LONGHAUL_TRACE_DETAILS", "true".to_owned()),
    ];
    let sites = [Site::start(program).await, Site::with_env(program, &variables).await];
    let (url, http) = (format!("{}/metrics", sites[1].url), &sites[1].http);
    let scrape = async {
        loop {
            let _ = http.get(&url).send().await.expect("numbers").bytes().await;
            tokio::time::sleep(SCRAPE_EVERY).await;
        }
    };
    let (mut alone, mut ratios) = (Vec::new(), Vec::new());
    let measure = async {
        for pair in 0..PAIRS {
            let mut took = [0.0; 2];
            for (at, site) in parts::in_turn(&sites, pair) {
                took[at] = once(site).await;
            }
            alone.push(took[0]);
            ratios.push(took[1] / took[0]);
        }
    };
    tokio::select! {
        () = measure => {}
        () = scrape => {}
    }
    let middle = quantile(&mut ratios, 0.5);
    // The order statistic that lies above the true median of the ratios with a probability of 95 %.
    let bound = quantile(&mut ratios, 0.5 + Z95 / 2.0 / (PAIRS as f64).sqrt());
    vec![
        floor("submit to result, not watched, p50", format!("{:.2} ms", quantile(&mut alone, 0.5))),
        Line {
            what: format!("spans and metrics sent and read, of {PAIRS} pairs"),
            measured: format!("{middle:.3}x, <= {bound:.3}x"),
            bar: Some(Bar { text: "<= 1.10x (95 %)".to_owned(), met: bound <= 1.10 }),
        },
    ]
}

/// Milliseconds from the submission to the end of the run's events.
async fn once(site: &Site) -> f64 {
    let start = now_ns();
    let run = site.submit("* lines 1 0").await;
    let url = format!("{}/api/v1/runs/{run}/events", site.url);
    let mut body = site.http.get(url).send().await.expect("an answer").bytes_stream();
    while body.next().await.is_some_and(|part| part.is_ok()) {}
    now_ns().saturating_sub(start) as f64 / 1e6
}
