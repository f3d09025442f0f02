//! Who is told of the ends of runs: by webhooks and mail, through anything that breaks, and never anywhere else. Receivers are
//! real servers; signatures are checked by a foreign library too.

mod allowed;
mod documented;
mod mail;
mod people;
mod tls;
mod webhooks;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use longhaul_proto::{
    api::{NotificationView, NotifyList, NotifySecret, RunView, SubmitRequest},
    digest::KeyedDigest,
    tasks::Tasks,
};
use longhaul_tests::{
    api::{Api, read},
    lab::{Gateway, Lab},
    need, wait,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};

/// Waits between tries, so that an hour is three seconds.
const SCALED: [(&str, &str); 3] =
    [("LONGHAUL_NOTIFY_RETRY", "20ms"), ("LONGHAUL_NOTIFY_RETRY_LONGEST", "3s"), ("LONGHAUL_NOTIFY_TIMEOUT", "5s")];

/// A request that a receiver got.
#[derive(Clone, Debug)]
struct Got {
    /// `POST /path HTTP/1.1`.
    line: String,
    /// In small letters.
    headers: Vec<(String, String)>,
    body: String,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Whether it is signed by this secret, as the standard has it.
    fn signed_by(&self, secret: &str) -> bool {
        let mut digest = KeyedDigest::new(&STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap());
        let text = format!("{}.{}.{}", self.header("webhook-id"), self.header("webhook-timestamp"), self.body);
        digest.update(text.as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(digest.finish()));
        self.header("webhook-signature").split(' ').any(|one| one == signature)
    }
}

/// A server that takes webhooks. Dropping it closes its port.
struct Receiver {
    port: u16,
    got: Arc<Mutex<Vec<Got>>>,
    tasks: Tasks,
}

impl Receiver {
    /// One that answers each request so, such as `200 OK`.
    async fn answering(answer: &'static str) -> Self {
        Self::at(0, answer).await
    }

    /// Likewise, at this port.
    async fn at(port: u16, answer: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let (port, got, tasks) = (listener.local_addr().unwrap().port(), Arc::default(), Tasks::new());
        let seen = Arc::clone(&got);
        tasks.spawn_until_stop(async move {
            while let Ok((stream, _)) = listener.accept().await {
                take(stream, &seen, answer).await;
            }
        });
        Self { port, got, tasks }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// Waits until it got so many.
    async fn wait(&self, count: usize) -> Vec<Got> {
        wait::until_now(wait::SOON, &format!("{count} webhooks come"), || {
            Some(self.got()).filter(|got| got.len() >= count)
        })
        .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.tasks.stopping().cancel();
    }
}

/// Reads a request, keeps it, and answers.
async fn take(mut stream: impl AsyncRead + AsyncWrite + Unpin, seen: &Mutex<Vec<Got>>, answer: &str) {
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    let got = loop {
        let Ok(n @ 1..) = stream.read(&mut piece).await else { return };
        text.extend_from_slice(&piece[..n]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        let got = Got { line, headers: lines.filter_map(pair).collect(), body: body.to_owned() };
        if body.len() >= got.header("content-length").parse().unwrap_or(0) {
            break got;
        }
    };
    seen.lock().unwrap().push(got);
    let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// A lab whose gateway may send webhooks to these.
fn allowing(lab: &mut Lab, allow: &[String]) {
    for (name, value) in SCALED {
        lab.env(name, value);
    }
    lab.env("LONGHAUL_NOTIFY_ALLOW", allow.join(","));
}

/// A gateway with an agent that is up.
async fn up(lab: &Lab) -> Gateway {
    let gateway = lab.up(&["--seats", "8"]).await;
    gateway.api.wait_host_up().await;
    gateway
}

/// A run of code that tells these.
fn telling(code: &str, notify: &[String]) -> SubmitRequest {
    SubmitRequest { text: Some(code.to_owned()), notify: notify.to_vec(), again: true, ..SubmitRequest::default() }
}

/// Submits it, which must be accepted.
async fn submit(api: &Api, code: &str, notify: &[String]) -> RunView {
    api.submit(&telling(code, notify)).await.unwrap().run
}

async fn list(api: &Api) -> NotifyList {
    read(api.request(Method::GET, "/api/v1/notify").send().await.unwrap()).await.unwrap()
}

async fn add(api: &Api, address: &str) {
    let body = json!({"address": address});
    let added = api.request(Method::POST, "/api/v1/notify/receivers").json(&body).send().await.unwrap();
    assert!(added.status().is_success(), "{}", added.text().await.unwrap());
}

async fn secret(api: &Api, rotate: bool) -> String {
    let asked =
        api.request(Method::POST, "/api/v1/notify/secret").json(&json!({"rotate": rotate})).send().await.unwrap();
    read::<NotifySecret>(asked).await.unwrap().secret
}

/// Waits until the latest message of this caller is so; the gateway may be away meanwhile.
async fn wait_told(api: &Api, what: &str, holds: impl Fn(&NotificationView) -> bool) -> NotificationView {
    wait::until(wait::SOON, what, async || {
        let request = api.request(Method::GET, "/api/v1/notify").timeout(Duration::from_secs(5));
        let list: NotifyList = read(request.send().await.ok()?).await.ok()?;
        list.recent.into_iter().next().filter(|latest| holds(latest))
    })
    .await
}

/// A principal of their own.
async fn person(gateway: &Gateway, name: &str, scope: &str) -> Api {
    let body = json!({"name": name, "scope": scope});
    let made = gateway.api.request(Method::POST, "/api/v1/tokens").json(&body).send().await.unwrap();
    let made: Value = made.json().await.unwrap();
    gateway.api.with_token(made["token"].as_str().unwrap())
}

/// The interpreter with the foreign library that verifies webhooks, and an SMTP server.
fn foreign() -> Option<PathBuf> {
    let python = need::file("webhook-and-smtp", "LONGHAUL_TEST_PYTHON", "ci/venv/bin/python")?;
    let has = std::process::Command::new(&python).args(["-c", "import standardwebhooks, aiosmtpd"]).output();
    if has.is_ok_and(|has| has.status.success()) {
        return Some(python);
    }
    need::skip("webhook-and-smtp", "that Python has no standardwebhooks and aiosmtpd; .ci/run installs them");
    None
}

/// A script beside the tests.
fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
}
