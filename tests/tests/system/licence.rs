//! What Stata's banner says of its licence is shown to people, in time before it ends, and nothing of whose it is.

use longhaul_proto::{api::SubmitRequest, clock::Clock, state::RunState};
use longhaul_tests::{api::Api, lab, mcp::Mcp, wait};
use serde_json::json;

/// The day so many days from now, as Stata writes it.
fn day(from_now: i64) -> String {
    let ms = Clock::system().unix_ms() + from_now * 86_400_000;
    let text = longhaul_proto::clock::rfc3339(ms).unwrap();
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month: usize = text[5..7].parse().unwrap();
    format!("{:>2} {} {}", text[8..10].trim_start_matches('0'), months[month - 1], &text[..4])
}

/// The first host's note, once its licence is known or a run has ended without one.
async fn run_one(api: &Api, cores: Option<u32>) -> Option<u32> {
    let request =
        SubmitRequest { text: Some("display 1\n".to_owned()), cores, again: true, ..SubmitRequest::default() };
    let run = api.submit(&request).await.unwrap().run.run_id;
    let end = api.wait_end(run).await;
    assert_eq!(end.state, RunState::Succeeded);
    end.processors
}

async fn told(days: i64, faults: &str) -> [String; 4] {
    let mut lab = lab!();
    lab.env("LONGHAUL_STANDIN_LICENSED", format!("2-user 4-core network, expiring {}", day(days)));
    lab.env("LONGHAUL_STANDIN_SERIAL", "301706210713")
        .env("LONGHAUL_STANDIN_PROCESSORS", "8")
        .env("LONGHAUL_FAULTS", faults);
    let gateway = lab.gateway().await;
    let mut agent = lab.agent("stata1", &gateway, &["--seats", "3"]);
    gateway.api.wait_host("stata1", "up").await;
    assert_eq!(run_one(&gateway.api, Some(6)).await, Some(6), "no banner was read before");
    // An agent that starts anew knows it from before.
    agent.terminate().await;
    agent.restart();
    gateway.api.wait_host("stata1", "up").await;
    let known = async || gateway.api.hosts().await.ok()?.hosts.first()?.licence.clone();
    wait::until(wait::SOON, "the licence is known", known).await;
    assert_eq!(run_one(&gateway.api, Some(6)).await, Some(4), "never more than the licence has");
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let hosts = lab.run(["hosts"]).await.out;
    let doctor = lab.run(["doctor"]).await.out;
    let mcp = Mcp::new(&gateway.api, "claude-code", "2.1.332").call("stata_hosts", json!({})).await.text;
    let all = [hosts, doctor, mcp, agent.printed()];
    for text in &all {
        assert!(!text.contains("301706210713") && !text.contains("Licensed to"), "{text}");
    }
    all
}

#[tokio::test]
async fn a_licence_that_ends_soon_is_warned_of_everywhere() {
    let [hosts, doctor, mcp, log] = told(12, "").await;
    for (text, words) in [
        (&hosts, "stata1: licence: 2 seats, 4 cores, network, ends 2"),
        (&hosts, "its Stata licence ends in 12 days, on 2"),
        (&hosts, "its pool has 3 seats (`seats`), and its Stata licence says 2"),
        (&doctor, "-- licence of stata1: 2 seats, 4 cores, network, ends 2"),
        (&doctor, "(in 12 days)\n   -> renew it"),
        (&mcp, "  licence: 2 seats, 4 cores, network, ends 2"),
        (&mcp, "its Stata licence ends in 12 days"),
        (&log, "its Stata licence ends in 12 days"),
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // The controls: one that does not end soon, and a warning that is left out.
    let [hosts, doctor, mcp, log] = told(90, "").await;
    assert!(hosts.contains("ends 2") && doctor.contains("ok licence of stata1"), "{hosts}{doctor}");
    assert!(![hosts, mcp, log].iter().any(|text| text.contains("licence ends")));
    let untold = told(12, "bug=licence_end_untold").await;
    assert!(!untold.iter().any(|text| text.contains("licence ends")), "{untold:#?}");
}
