//! What gathering results adds to a run, of the stand-in.

use futures_util::StreamExt;
use serde_json::json;

use super::{
    figures::{Bar, Line, floor, now_ns, quantile},
    site::Site,
};

/// Pairs of runs.
const PAIRS: usize = 200;

/// The middle of the differences between runs whose results are gathered and runs right beside them whose are not.
pub async fn added(site: &Site) -> Vec<Line> {
    let (mut without, mut more) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let first = once(site, pair % 2 == 0).await;
        let second = once(site, pair % 2 != 0).await;
        let (with, bare) = if pair % 2 == 0 { (first, second) } else { (second, first) };
        without.push(bare);
        more.push(with - bare);
    }
    let added = quantile(&mut more, 0.5);
    vec![
        floor("a run of the stand-in without gathering, p50", format!("{:.2} ms", quantile(&mut without, 0.5))),
        Line {
            what: format!("gathering its results adds, p50 of {PAIRS} pairs"),
            measured: format!("{added:.2} ms"),
            bar: Some(Bar { text: "<= 5 ms".to_owned(), met: added <= 5.0 }),
        },
    ]
}

/// Milliseconds from the submission to the end of the run's events.
async fn once(site: &Site, results: bool) -> f64 {
    let code = "quietly set obs 50\ngenerate x = _n\ngenerate y = 2*x + mod(_n, 3)\nregress y x";
    let start = now_ns();
    let run = site.submit_with(code, json!({ "results": results })).await;
    let url = format!("{}/api/v1/runs/{run}/events", site.url);
    let mut body = site.http.get(url).send().await.expect("an answer").bytes_stream();
    while body.next().await.is_some_and(|part| part.is_ok()) {}
    now_ns().saturating_sub(start) as f64 / 1e6
}
