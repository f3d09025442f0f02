//! Against a bare socket that answers with prepared bytes.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::access::Access;

/// Answers one request with `answer`; returns the request.
async fn serve(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    #[allow(clippy::disallowed_methods)] // a test's own task, joined by it
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![];
        while !asked.windows(4).any(|w| w == b"\r\n\r\n") {
            if stream.read_buf(&mut asked).await.unwrap() == 0 {
                break;
            }
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&asked).into_owned()
    });
    (url, task)
}

fn holding(token: Option<&str>) -> Access {
    Access { token: token.map(str::to_owned), root: None, socket: None }
}

async fn check(token: Option<&str>, answer: &'static str, want: &[&str]) {
    let (url, task) = serve(answer).await;
    let client = Client::new(&url, holding(token)).unwrap();
    let error = client.get("7f3a9c21").await.unwrap_err();
    let text = error.to_string();
    for want in want {
        assert!(text.contains(&want.replace("URL", &url)), "{answer}: {text}");
    }
    task.await.unwrap();
}

#[tokio::test]
async fn errors_say_what_to_do() {
    check(None, "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", &["URL", "wants a token", "LONGHAUL_TOKEN"])
        .await;
    check(Some("lh_x"), "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", &["does not take this token"]).await;
    check(
        Some("lh_x"),
        "HTTP/1.1 404 Not Found\r\ncontent-length: 88\r\n\r\n{\"type\":\"unknown-run\",\"title\":\"Unknown run\",\"status\":404,\"detail\":\"there is no run 7f3\"}",
        &["there is no run 7f3"],
    )
    .await;
    check(None, "HTTP/1.1 404 Not Found\r\ncontent-length: 6\r\n\r\n<html>", &["not a Longhaul gateway", "URL"]).await;
    check(None, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", &["cannot read"]).await;
    check(None, "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{}", &["broke during the answer"]).await;
    check(None, "", &["cannot reach the gateway at URL", "Runs go on"]).await;
    check(None, "SSH-2.0-OpenSSH_9.9\r\n", &["cannot reach the gateway at URL"]).await;
}

#[tokio::test]
async fn nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Client::new(&url, holding(None)).unwrap().hosts().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("refused") && text.contains(&url) && text.contains("--gateway"), "{text}");
    assert!(error.may_pass());
}

#[tokio::test]
async fn a_request_carries_token_trace_and_escaped_names() {
    const OK: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    let (url, task) = serve(OK).await;
    let client = Client::new(&url, holding(Some("lh_x"))).unwrap();
    client.get("../hosts?x").await.unwrap_err();
    let asked = task.await.unwrap();
    assert!(asked.starts_with("GET /api/v1/runs/..%2Fhosts%3Fx HTTP/1.1\r\n"), "{asked}");
    assert!(asked.to_lowercase().contains("authorization: bearer lh_x"), "{asked}");

    let (url, task) = serve(OK).await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let span = TraceContext { traceparent: parent.into(), tracestate: "vendor=1".into() };
    Client::new(&url, holding(None)).unwrap().submit(&SubmitRequest::default(), &span).await.unwrap_err();
    let asked = task.await.unwrap();
    assert!(asked.contains(parent) && asked.contains("tracestate: vendor=1"), "{asked}");
}

#[tokio::test]
async fn output_is_taken_only_as_it_was_asked() {
    async fn check(answer: &'static str, want: Option<(&str, u64, bool)>) {
        let (url, task) = serve(answer).await;
        let client = Client::new(&url, holding(None)).unwrap();
        let got = async {
            let mut reading = client.output("r", Stream::Log, Part::From(10, Duration::ZERO)).await?;
            let mut all = vec![];
            while let Some((at, bytes)) = reading.chunk().await? {
                assert_eq!(at, reading.first() + all.len() as u64);
                all.extend(bytes);
            }
            Ok::<_, ClientError>((String::from_utf8(all).unwrap(), reading.next(), reading.complete))
        };
        let got = got.await.ok();
        assert_eq!(got.as_ref().map(|(b, n, c)| (b.as_str(), *n, *c)), want, "{answer}");
        assert!(
            task.await.unwrap().starts_with("GET /api/v1/runs/r/output?stream=log&view=user&offset=10&wait=0 HTTP")
        );
    }
    check(
        "HTTP/1.1 200 OK\r\nlonghaul-next-offset: 13\r\nlonghaul-complete: true\r\ncontent-length: 3\r\n\r\nabc",
        Some(("abc", 13, true)),
    )
    .await;
    check("HTTP/1.1 200 OK\r\nlonghaul-next-offset: 10\r\ncontent-length: 0\r\n\r\n", Some(("", 10, false))).await;
    // The user's part starts behind the offset in the request, or ends before it.
    check(
        "HTTP/1.1 200 OK\r\nlonghaul-first-offset: 20\r\nlonghaul-next-offset: 23\r\ncontent-length: 3\r\n\r\nabc",
        Some(("abc", 23, false)),
    )
    .await;
    check(
        "HTTP/1.1 200 OK\r\nlonghaul-next-offset: 7\r\nlonghaul-complete: true\r\ncontent-length: 0\r\n\r\n",
        Some(("", 7, true)),
    )
    .await;
    check("HTTP/1.1 200 OK\r\nlonghaul-next-offset: 12\r\ncontent-length: 3\r\n\r\nabc", None).await;
    check("HTTP/1.1 200 OK\r\nlonghaul-next-offset: 14\r\ncontent-length: 4\r\n\r\nabc", None).await;
    check("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", None).await;
}

#[test]
fn the_gateways_time_is_read() {
    let at = http_date("Fri, 27 Nov 2026 20:23:08 GMT").unwrap();
    assert_eq!(at.to_string(), "2026-11-27T20:23:08Z");
    assert_eq!(http_date("now"), None);
    let run: Timestamp = "2026-11-27T20:23:05.5Z".parse().unwrap();
    assert_eq!(Duration::try_from(at - run).unwrap(), Duration::from_millis(2500));
}
