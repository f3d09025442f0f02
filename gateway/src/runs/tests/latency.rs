//! How long the gateway itself takes: a measurement, not a law.

use super::*;

fn told(what: &str, mut took: Vec<Duration>) {
    took.sort();
    println!("{what}: p50 {:?}, p99 {:?}", took[took.len() / 2], took[took.len() * 99 / 100]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: cargo test --release -p longhaul-gateway latency -- --ignored --nocapture"]
async fn latency() {
    let world = World::with(|o| o.max_per_principal = 10_000).await;
    let agent =
        Fake::with("stata1", |i| (i.pool_seats, i.host_limit) = (10_000, 10_000), SECRET).join(world.addr()).await;
    world.until_up(1).await;
    let clock = Clock::system();
    let (mut submits, mut dispatches, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..200 {
        let began = clock.monotonic();
        let run = world.submit(text(&format!("display {n}\n"))).await;
        submits.push(clock.monotonic() - began);
        agent.got(run).await;
        dispatches.push(clock.monotonic() - began);
        let began = clock.monotonic();
        agent.prints(run, b"x\n");
        world.until(run, "its line", |v| v.output_bytes == 2).await;
        lines.push(clock.monotonic() - began);
    }
    told("submit -> durable answer", submits);
    told("submit -> Run arrives at the agent", dispatches);
    told("line at the agent -> watcher at the gateway", lines);
    world.stop().await;
}
