//! A collector that is down, refuses, hangs or is slow: runs do not notice, what is lost is counted, and when it is well
//! again spans come again.

use std::time::Duration;

use longhaul_proto::{api::SubmitRequest, clock::Clock, tasks::Tasks};
use longhaul_tests::{lab, lab::Lab, need, wait};
use tokio::net::{TcpListener, TcpStream};

use super::{
    collector::{Collector, free_port, send_to},
    trace, traceparent,
};

/// How a collector is of no use.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ill {
    /// Nothing listens.
    Down,
    /// It takes connections and ends them.
    Refuses,
    /// It takes them, and never answers.
    Hangs,
    /// It answers late.
    Slow,
}

/// How late: longer than a flush may last.
const LATE: Duration = Duration::from_secs(2);

/// Listens on `port`; a slow one passes everything on to `well`.
async fn listen(port: u16, ill: Ill, well: u16, tasks: &Tasks) {
    if ill == Ill::Down {
        return;
    }
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let group = tasks.clone();
    tasks.spawn_until_stop(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            match ill {
                Ill::Down | Ill::Refuses => drop(stream),
                Ill::Hangs => held.push(stream),
                Ill::Slow => {
                    group.spawn_until_stop(async move {
                        tokio::time::sleep(LATE).await;
                        let Ok(mut there) = TcpStream::connect(("127.0.0.1", well)).await else { return };
                        let _ = tokio::io::copy_bidirectional(&mut stream, &mut there).await;
                    });
                }
            }
        }
    });
}

/// The shortest of some runs by the command line, in a process that is gateway and agent too.
async fn run_by_command(lab: &Lab, name: &str, times: u32) -> Duration {
    let file = lab.file("short.do", "display 1\n");
    let mut best = Duration::MAX;
    for _ in 0..times {
        let clock = Clock::system();
        let data = lab.path().join(name);
        let args = ["run", "--engine", "standin", "--again", "--data", data.to_str().unwrap(), file.to_str().unwrap()];
        let ran = lab.run(args).await;
        assert_eq!(ran.status, 0, "{ran:#?}");
        best = best.min(clock.monotonic());
    }
    best
}

/// Most that a command may wait at its end, with room for a busy machine; before it was bounded, a collector that hung cost
/// 1.2 s.
const BOUND: Duration = Duration::from_millis(800);

/// How much longer a command takes with such a collector than without any: the shortest runs of several, of which there are
/// more where a busy machine made them long.
async fn slower_by(ill: Ill, protocol: &str, program: &std::path::Path, faults: &str) -> Duration {
    // A control has to be slow in the shortest of two; what is right has to be fast once.
    let rounds = if faults.is_empty() { 16 } else { 2 };
    let mut lab = lab!();
    let port = free_port();
    let well = Collector::start(&lab, program, free_port(), protocol).await;
    let tasks = Tasks::new();
    listen(port, ill, well.port(), &tasks).await;
    let (mut without, mut with) = (Duration::MAX, Duration::MAX);
    for _ in 0..rounds {
        lab.env("OTEL_SDK_DISABLED", "true");
        without = without.min(run_by_command(&lab, "without", 2).await);
        lab.env("OTEL_SDK_DISABLED", "false").env("LONGHAUL_FAULTS", faults);
        send_to(&mut lab, port, protocol);
        with = with.min(run_by_command(&lab, "with", 2).await);
        lab.env("LONGHAUL_FAULTS", "");
        if with.saturating_sub(without) < BOUND {
            break;
        }
    }
    tasks.shutdown(Duration::from_secs(1)).await;
    println!("{ill:?}, {protocol}, {faults}: {without:?} without, {with:?} with");
    with.saturating_sub(without)
}

#[tokio::test]
async fn a_command_does_not_wait_for_a_collector_that_is_of_no_use() {
    let Some(program) = need::collector() else { return };
    for protocol in ["grpc", "http/protobuf"] {
        for ill in [Ill::Down, Ill::Refuses, Ill::Hangs, Ill::Slow] {
            let slower = slower_by(ill, protocol, &program, "").await;
            assert!(slower < BOUND, "{ill:?}, {protocol}: {slower:?}");
        }
    }
    // The controls: a flush of two seconds, as it was once, and an end of a span that waits for the collector.
    for bug in ["bug=flush_of_two_seconds", "bug=spans_awaited"] {
        let slower = slower_by(Ill::Hangs, "grpc", &program, bug).await;
        assert!(slower > BOUND, "{bug}: {slower:?}");
    }
}

/// What the gateway says after a collector was of no use for some runs, and is well again.
async fn recovered(ill: Ill, protocol: &str, program: &std::path::Path, faults: &str) -> u64 {
    let mut lab = lab!();
    let port = free_port();
    send_to(&mut lab, port, protocol);
    lab.env("OTEL_EXPORTER_OTLP_TIMEOUT", "300").env("LONGHAUL_FAULTS", faults);
    if faults.is_empty() {
        lab.env("OTEL_BSP_MAX_QUEUE_SIZE", "4");
    }
    let tasks = Tasks::new();
    listen(port, ill, 0, &tasks).await;
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    for _ in 0..3 {
        let run = gateway.api.submit_path(&lab.file("a.do", "display 1\n"), &[]).await.run_id;
        gateway.api.wait_end(run).await;
    }
    let log = |words: &str| gateway.daemon.printed().matches(words).count();
    let once = || (log("spans cannot be sent and are dropped") > 0).then_some(());
    wait::until_now(wait::SOON, "it says that spans are lost", once).await;
    tasks.shutdown(Duration::from_secs(1)).await;
    let collector = Collector::start(&lab, program, port, protocol).await;
    let digits = ['a', 'b', 'c', 'd', 'e', 'f'];
    let mut well = None;
    for digit in digits.into_iter().cycle().take(60) {
        let request = SubmitRequest { text: Some("display 1".into()), again: true, ..Default::default() };
        let run = super::submit(&gateway.api, &request, &traceparent(digit, "01")).await.run.run_id;
        gateway.api.wait_end(run).await;
        if log("spans are sent again") == 1 && !collector.trace(&trace(digit)).is_empty() {
            well = Some(());
            break;
        }
    }
    assert!(well.is_some(), "{}", gateway.daemon.printed());
    assert_eq!(log("spans cannot be sent"), 1, "it is told once: {}", gateway.daemon.printed());
    let printed = gateway.daemon.printed();
    let dropped = printed.split("spans are sent again").nth(1).and_then(|rest| rest.split("dropped=").nth(1));
    dropped.and_then(|n| n.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn what_is_lost_is_counted_and_told_once_and_spans_come_again() {
    let Some(program) = need::collector() else { return };
    for (ill, protocol) in [
        (Ill::Down, "grpc"),
        (Ill::Hangs, "grpc"),
        (Ill::Slow, "grpc"),
        (Ill::Refuses, "http/protobuf"),
        (Ill::Hangs, "http/protobuf"),
        (Ill::Slow, "http/protobuf"),
    ] {
        let dropped = recovered(ill, protocol, &program, "").await;
        assert!(dropped >= 10, "{ill:?}, {protocol}: {dropped} of three runs' spans");
    }
}

#[tokio::test]
async fn the_control_of_lost_spans_counts_none() {
    let Some(program) = need::collector() else { return };
    assert_eq!(recovered(Ill::Down, "grpc", &program, "bug=failed_exports_uncounted").await, 0);
}

#[tokio::test]
async fn a_slow_collector_gets_every_span() {
    let Some(program) = need::collector() else { return };
    for protocol in ["grpc", "http/protobuf"] {
        let mut lab = lab!();
        let (port, tasks) = (free_port(), Tasks::new());
        let well = Collector::start(&lab, &program, free_port(), protocol).await;
        listen(port, Ill::Slow, well.port(), &tasks).await;
        send_to(&mut lab, port, protocol);
        let gateway = lab.up(&[]).await;
        gateway.api.wait_host_up().await;
        let request = SubmitRequest { text: Some("display 1".into()), ..Default::default() };
        let run = super::submit(&gateway.api, &request, &traceparent('a', "01")).await.run.run_id;
        gateway.api.wait_end(run).await;
        well.wait(&trace('a'), &["longhaul.submit", "longhaul.queue", "longhaul.stata", "longhaul.run"]).await;
        let printed = gateway.daemon.printed();
        assert!(!printed.contains("spans cannot be sent"), "{protocol}: {printed}");
        tasks.shutdown(Duration::from_secs(1)).await;
    }
}
