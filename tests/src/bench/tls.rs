//! What TLS on the client port costs: the same gateway with it and without it, measured in turns.

use std::path::Path;

use super::{
    figures::{Bar, Line, at_least, floor, quantile},
    parts,
    site::Site,
};

/// Runs of 200 lines on either site.
const TURNS: usize = 8;
/// MiB of the run whose output is read over TLS.
const FLOOD: usize = 512;

/// Line latency of both, and throughput with TLS.
pub async fn cost(program: &Path) -> Vec<Line> {
    let sites = [Site::start(program).await, Site::with_tls(program).await];
    let mut samples = [Vec::new(), Vec::new()];
    for turn in 0..TURNS {
        for (at, site) in parts::in_turn(&sites, turn) {
            let run = site.submit("* lines 200 10000").await;
            samples[at].extend(parts::latencies(site, &run).await);
        }
    }
    let [mut plain, mut tls] = samples;
    let (plain, count, tls) = (quantile(&mut plain, 0.5), tls.len(), quantile(&mut tls, 0.5));
    let rate = parts::read_flood(&sites[1], FLOOD).await;
    vec![
        floor("a line in the log to its SSE event without TLS, p50", format!("{plain:.2} ms")),
        Line {
            what: format!("the same with TLS, p50 of {count}"),
            measured: format!("{tls:.2} ms = {:.2}x", tls / plain),
            bar: Some(Bar { text: "<= 1.1x".to_owned(), met: tls <= 1.1 * plain }),
        },
        at_least("one run's output over TLS to a reader", rate, "MiB/s", 100.0),
    ]
}
