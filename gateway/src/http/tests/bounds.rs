//! How much of the gateway one principal or address may use, and the headers that every answer carries.

use super::{
    client::{Client, send},
    *,
};
use crate::options::FrontendOptions;

/// The system's time, which a test can move forward.
#[derive(Clone)]
struct Ahead(Clock, std::sync::Arc<std::sync::atomic::AtomicI64>);

impl longhaul_proto::clock::Source for Ahead {
    fn unix_ms(&self) -> i64 {
        self.0.unix_ms() + self.1.load(std::sync::atomic::Ordering::SeqCst)
    }
    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
}

/// Whether an open stream and an open call of a token break off within a few seconds of its expiry, or go on.
async fn expired_ends() -> bool {
    let ahead = Ahead(Clock::system(), std::sync::Arc::default());
    let options = Options { frontend: quick(), ..Options::default() };
    let world = World::timed(tempfile::tempdir().unwrap(), options, Clock::from_source(ahead.clone())).await;
    let (status, made) = world.client().api("POST", "/api/v1/tokens", r#"{"name": "anna", "expires_in": 3600}"#).await;
    assert_eq!(status, 201, "{made}");
    let anna = Client { token: made["token"].as_str().unwrap().to_owned(), ..world.client() };
    let run = world.waiting_run(&anna, "display 1").await;
    let mut theirs = events(&world, &anna, &run).await;
    let waits = serde_json::json!({"runs": run, "seconds": 3000});
    let mut call = anna.call("stata_wait", waits, serde_json::json!({"progressToken": 7})).await;
    let mut mine = events(&world, &world.client(), &run).await;
    assert!(theirs.more().await, "it is open");
    call.until("notifications/progress").await;
    ahead.1.store(3_600_000, std::sync::atomic::Ordering::SeqCst);
    let ends = async |answer: &mut super::client::Answer| {
        let end = async { while answer.more().await {} };
        tokio::time::timeout(Duration::from_secs(8), end).await.is_ok()
    };
    let (stream, call) = (ends(&mut theirs).await, ends(&mut call).await);
    assert_eq!(stream, call, "both alike");
    assert_eq!(events(&world, &anna, &run).await.status, 401);
    for _ in 0..5 {
        assert!(mine.more().await, "another's stream goes on");
    }
    world.stop().await;
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_expires_ends_its_streams_and_calls() {
    assert!(expired_ends().await);
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_streams_that_outlive_their_token() {
    let _bug = longhaul_proto::faults::enter("bug=expired_streams_live");
    assert!(!expired_ends().await);
}

async fn events(world: &World, client: &Client, run: &str) -> super::client::Answer {
    let bearer = format!("Bearer {}", client.token);
    send(world.gateway.addr, "GET", &format!("/api/v1/runs/{run}/events"), &[("Authorization", &bearer)], "").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_principal_has_so_many_streams() {
    let world = World::new(FrontendOptions { streams_per_principal: 2, ..quick() }).await;
    let (me, other) = (world.client(), world.other("anna").await);
    let run = world.waiting_run(&me, "display 1").await;
    let theirs = world.waiting_run(&other, "display 2").await;
    let held = [events(&world, &me, &run).await, events(&world, &me, &run).await];
    assert!(held.iter().all(|a| a.status == 200));
    let refused = events(&world, &me, &run).await;
    assert!(refused.status == 429 && refused.head.contains("retry-after: "), "{}", refused.head);
    assert!(refused.whole().await.1.contains("2 streams of yours"));
    assert_eq!(events(&world, &other, &theirs).await.status, 200, "others have their own");
    drop(held);
    while events(&world, &me, &run).await.status != 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_principal_has_so_many_connections_and_the_port_so_many_in_all() {
    let world = World::new(FrontendOptions { connections_per_principal: 2, ..quick() }).await;
    let me = world.client();
    let run = world.waiting_run(&me, "display 1").await;
    let mut held = Vec::new();
    while held.len() < 2 {
        let answer = events(&world, &me, &run).await;
        // The connection of the submission may still be closing.
        if answer.status == 200 { held.push(answer) } else { tokio::time::sleep(Duration::from_millis(20)).await }
    }
    let refused = events(&world, &me, &run).await;
    assert!(refused.status == 429 && refused.head.contains("retry-after: "), "{}", refused.head);
    drop(held);
    world.stop().await;

    let world = World::new(FrontendOptions { max_connections: 2, ..quick() }).await;
    let me = world.client();
    let run = world.waiting_run(&me, "display 1").await;
    let mut held = Vec::new();
    while held.len() < 2 {
        let answer = events(&world, &me, &run).await;
        if answer.status == 200 { held.push(answer) } else { tokio::time::sleep(Duration::from_millis(20)).await }
    }
    let refused = send(world.gateway.addr, "GET", "/healthz", &[], "").await;
    assert!(refused.status == 503 && refused.head.contains("retry-after: "), "{}", refused.head);
    assert!(refused.head.contains("application/problem+json"), "{}", refused.head);
    drop(held);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_trusted_proxy_many_people_share_a_connection() {
    let proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let options = FrontendOptions { connections_per_principal: 1, trusted_proxies: proxies, ..quick() };
    let world = World::new(options).await;
    let me = world.client();
    let run = world.waiting_run(&me, "display 1").await;
    let held = [events(&world, &me, &run).await, events(&world, &me, &run).await, events(&world, &me, &run).await];
    assert!(held.iter().all(|a| a.status == 200), "the proxy's connections are nobody's");
    let (_, metrics) = me.api("GET", "/metrics", "").await;
    let metrics = metrics.as_str().unwrap();
    for line in ["longhaul_connections_accepted_total ", "longhaul_connections_refused_total{reason=\"slow\"} 0"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    drop(held);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_kept_or_guessed_at() {
    let world = World::new(quick()).await;
    let me = world.client();
    let run = world.waiting_run(&me, "display 1").await;
    let bearer = format!("Bearer {}", me.token);
    let events = format!("/api/v1/runs/{run}/events");
    for (path, status) in [("/healthz", 200), ("/api/v1/runs", 200), ("/nowhere", 404), (events.as_str(), 200)] {
        let answer = send(world.gateway.addr, "GET", path, &[("Authorization", &bearer)], "").await;
        assert_eq!(answer.status, status, "{path}");
        for header in ["cache-control: no-store\r\n", "x-content-type-options: nosniff\r\n"] {
            assert!(answer.head.contains(header), "{path}: {}", answer.head);
        }
    }
    let refused = send(world.gateway.addr, "GET", "/api/v1/runs", &[], "").await;
    assert!(refused.status == 401 && refused.head.contains("cache-control: no-store"), "{}", refused.head);
    // A client that looks for OAuth learns, without a token, that there is none.
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-authorization-server/mcp"] {
        assert_eq!(send(world.gateway.addr, "GET", path, &[], "").await.whole().await.0, 404, "{path}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_a_principal_are_bounded() {
    let world = World::new(FrontendOptions { sessions_per_principal: 1, ..quick() }).await;
    let me = world.client();
    let bearer = format!("Bearer {}", me.token);
    let open = async || {
        let body = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
        ];
        send(world.gateway.addr, "POST", "/mcp", &headers, &body.to_string()).await
    };
    assert_eq!(open().await.whole().await.0, 200);
    let refused = open().await;
    assert!(refused.status == 429 && refused.head.contains("retry-after: "), "{}", refused.head);
    world.stop().await;
}
