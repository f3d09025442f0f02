//! Which requests are let in.

use super::{
    client::{Client, send},
    *,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_only_probes_are_answered() {
    let world = World::new(quick()).await;
    let addr = world.gateway.addr;
    let all = [
        ("GET", "/metrics"),
        ("GET", "/api/v1/runs"),
        ("POST", "/api/v1/runs"),
        ("GET", "/api/v1/hosts"),
        ("GET", "/api/v1/tokens"),
        ("POST", "/mcp"),
        ("GET", "/mcp"),
        ("GET", "/nowhere"),
    ];
    for (method, path) in all {
        let answer = send(addr, method, path, &[], "").await;
        assert!(answer.head.contains("www-authenticate: bearer"), "{path}: {}", answer.head);
        assert!(answer.head.contains("application/problem+json"), "{path}: {}", answer.head);
        let (status, body) = answer.whole().await;
        assert_eq!(status, 401, "{method} {path}");
        assert!(body.contains("Authorization: Bearer"), "{body}");
    }
    assert_eq!(send(addr, "GET", "/healthz", &[], "").await.whole().await, (200, "ok\n".into()));
    assert_eq!(send(addr, "GET", "/readyz", &[], "").await.whole().await, (200, "ready\n".into()));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_are_not_valid_say_why() {
    let world = World::new(quick()).await;
    let ledger = world.gateway.core.ledger.clone();
    ledger.token_add(stale("old", "lh_old", Some(1000), None)).await.unwrap();
    ledger.token_add(stale("fine", "lh_fine", None, None)).await.unwrap();
    let check = async |token: &str, status: u16, word: &str| {
        let client = Client { token: token.into(), ..world.client() };
        let (got, body) = client.api("GET", "/api/v1/runs", "").await;
        assert_eq!(got, status, "{token}: {body}");
        assert!(body.to_string().contains(word), "{token}: {body}");
    };
    check("lh_unknown", 401, "does not know").await;
    check("lh_old", 401, "expired").await;
    check("lh_fine", 200, "runs").await;
    assert_eq!(world.client().api("DELETE", "/api/v1/tokens/fine", "").await.0, 204);
    check("lh_fine", 401, "revoked").await;
    assert_eq!(world.client().api("DELETE", "/api/v1/tokens/fine", "").await.0, 404);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_operators_make_tokens_and_a_token_is_shown_once() {
    let world = World::new(quick()).await;
    let other = world.other("anna").await;
    for (method, path) in [("GET", "/api/v1/tokens"), ("POST", "/api/v1/tokens"), ("DELETE", "/api/v1/tokens/anna")] {
        let (status, body) = other.api(method, path, "{\"name\": \"x\"}").await;
        assert_eq!(status, 403, "{method} {path}: {body}");
    }
    let (_, list) = world.client().api("GET", "/api/v1/tokens", "").await;
    let text = list.to_string();
    assert!(text.contains("anna") && !text.contains(&other.token) && !text.contains("sha256"), "{text}");
    let (status, body) = world.client().api("POST", "/api/v1/tokens", "{\"name\": \"anna\"}").await;
    assert_eq!((status, &body["type"]), (409, &"name-taken".into()));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_hosts_and_pages_are_turned_away() {
    let world = World::new(quick()).await;
    let addr = world.gateway.addr;
    let bearer = format!("Bearer {}", world.client().token);
    let own = format!("http://{addr}");
    let check = async |path: &str, header: (&str, &str), want: u16| {
        let (status, body) = send(addr, "GET", path, &[("Authorization", &bearer), header], "").await.whole().await;
        assert_eq!(status, want, "{path} {header:?}: {body}");
    };
    for path in ["/healthz", "/readyz"] {
        // A balancer dials us by an address of its own choice.
        check(path, ("Host", "evil.example"), 200).await;
        check(path, ("Origin", "https://evil.example"), 403).await;
    }
    for path in ["/api/v1/runs", "/metrics"] {
        check(path, ("Host", "evil.example"), 421).await;
        check(path, ("Origin", "https://evil.example"), 403).await;
        check(path, ("Origin", "http://localhost:1"), 403).await;
        check(path, ("Origin", &own), 200).await;
        check(path, ("Host", "localhost"), 200).await;
    }
    check("/mcp", ("Host", "evil.example"), 421).await;
    check("/mcp", ("Origin", "null"), 403).await;
    // Agents dial us by any name their host has for us; pages are still refused.
    check("/longhaul.v1.Fleet/Hello", ("Origin", "https://evil.example"), 403).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_auth_is_for_loopback() {
    let options = Options { no_auth: true, frontend: quick(), ..Options::default() };
    let world = World::with(options).await;
    let addr = world.gateway.addr;
    assert_eq!(send(addr, "GET", "/api/v1/runs", &[], "").await.whole().await.0, 200);
    let evil = [("Origin", "https://evil.example")];
    assert_eq!(send(addr, "GET", "/api/v1/runs", &evil, "").await.whole().await.0, 403, "pages still may not");
    world.stop().await;
    let open =
        crate::auth::Mode::open("0.0.0.0:1".parse().unwrap(), crate::model::Identity::local("a", Default::default()));
    assert!(open.is_err_and(|e| e.to_string().contains("loopback")));
}
