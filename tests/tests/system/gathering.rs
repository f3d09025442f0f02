//! What gathering results costs a run: a few milliseconds, measured beside runs that gather nothing.

use futures_util::StreamExt;
use longhaul_proto::{api::SubmitRequest, clock::Clock};
use longhaul_tests::{api::Api, lab};

/// Pairs of runs that are compared, in turns.
const PAIRS: usize = 10;
/// A machine that is busy can only make gathering look dearer: so often it may be looked at again.
const ATTEMPTS: usize = 6;

/// What gathering may add here, milliseconds: programs that are not optimized, beside so many others that a time slice
/// lost is ten milliseconds. The bar of the installed program is 5 ms, and the benchmark (`gather`) holds it.
const BOUND: f64 = 100.0;

/// Milliseconds from the submission to the end of the run's events.
async fn took(api: &Api, clock: &Clock, results: bool) -> f64 {
    let code = "quietly set obs 50\ngenerate x = _n\ngenerate y = 2*x + mod(_n, 3)\nregress y x\n";
    let request =
        SubmitRequest { text: Some(code.to_owned()), results: Some(results), again: true, ..SubmitRequest::default() };
    let start = clock.monotonic();
    let run = api.submit(&request).await.unwrap().run.run_id;
    let events = api.request(reqwest::Method::GET, &format!("/api/v1/runs/{run}/events")).send().await.unwrap();
    let mut body = events.bytes_stream();
    while body.next().await.is_some_and(|part| part.is_ok()) {}
    let took = clock.monotonic() - start;
    assert!(api.wait_end(run).await.state.is_end());
    took.as_secs_f64() * 1e3
}

/// What gathering added, milliseconds: between the runs with and without it that were disturbed least.
async fn added(api: &Api) -> f64 {
    let clock = Clock::system();
    let (mut with, mut without) = (f64::INFINITY, f64::INFINITY);
    for pair in 0..PAIRS {
        // Each kind comes first as often as the other.
        for results in [pair % 2 == 0, pair % 2 != 0] {
            let took = took(api, &clock, results).await;
            let least = if results { &mut with } else { &mut without };
            *least = least.min(took);
        }
    }
    with - without
}

async fn least_of(at: &str, attempts: usize) -> f64 {
    let mut lab = lab!();
    lab.env("LONGHAUL_STANDIN_AT", at);
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let mut least = f64::INFINITY;
    for _ in 0..attempts {
        least = least.min(added(&gateway.api).await);
        if least < BOUND {
            break;
        }
    }
    least
}

#[tokio::test]
async fn gathering_adds_a_few_milliseconds_to_a_run() {
    let added = least_of("", ATTEMPTS).await;
    println!("gathering adds {added:.1} ms");
    assert!(added < BOUND, "{added:.1} ms");
    // The control: a gathering that takes 500 ms longer is seen to.
    let slow = least_of("gather.do:2 silence 500", 2).await;
    assert!(slow > 2.0 * BOUND, "{slow:.1} ms");
}
