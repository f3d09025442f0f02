//! A minimal client of the HTTP API.

use std::time::Duration;

use longhaul_proto::{
    api::{
        BundleFileRequest, BundleRequest, CancelBody, CancelMode, Hosts, Problem, RunList, RunView, SubmitRequest,
        Submitted,
    },
    ids::RunId,
    state::RunState,
};
use reqwest::{Client, Method, RequestBuilder};
use serde::de::DeserializeOwned;

use crate::{
    http::{Answered, Request},
    sse::Events,
    wait,
};

/// A bundle of these texts, of which `entry` is run.
pub fn bundle(entry: &str, files: &[(&str, &str)]) -> BundleRequest {
    let base64 = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let files = files.iter().map(|(path, text)| BundleFileRequest::inline(*path, base64(text))).collect();
    BundleRequest { entry: entry.to_owned(), files }
}

/// One principal's access to one gateway.
#[derive(Clone, Debug)]
pub struct Api {
    url: String,
    token: String,
    http: Client,
}

/// An answer: the value requested, or the gateway's problem.
pub type Answer<T> = Result<T, Problem>;

impl Api {
    /// Access with a token.
    pub fn new(url: &str, token: &str) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), token: token.to_owned(), http: Client::new() }
    }

    /// Access over TLS to a gateway whose root this is, PEM.
    pub fn trusting(url: &str, token: &str, root: &str) -> Self {
        let root = reqwest::Certificate::from_pem(root.as_bytes()).unwrap();
        let http = Client::builder().tls_certs_only([root]).tls_info(true).build().unwrap();
        Self { http, ..Self::new(url, token) }
    }

    /// The same gateway with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// The same gateway at another address.
    pub fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// The same gateway as an operator of another name, who may see everything: a look by the operator does not count
    /// as delivery to the owner.
    pub async fn watcher(&self) -> Self {
        let body = serde_json::json!({"name": "watcher", "scope": "operate"});
        let made = self.request(Method::POST, "/api/v1/tokens").json(&body).send().await.expect("the gateway answers");
        let made: serde_json::Value = made.json().await.expect("a token");
        self.with_token(made["token"].as_str().expect("a token"))
    }

    /// `http://host:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("https://").trim_start_matches("http://")
    }

    /// The token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A request with the token, for calls that have no method here. Its answer is compared with the API's description.
    pub fn request(&self, method: Method, path: &str) -> Request {
        Request::new(self.raw(method.clone(), path), &method, path)
    }

    /// A request with the token whose answer is compared with nothing.
    pub fn raw(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    async fn answer<T: DeserializeOwned>(request: Request) -> Answer<T> {
        let response = request.timeout(Duration::from_secs(60)).send().await.expect("the gateway answers");
        read(response).await
    }

    /// `POST /api/v1/runs`.
    pub async fn submit(&self, request: &SubmitRequest) -> Answer<Submitted> {
        Self::answer(self.request(Method::POST, "/api/v1/runs").json(request)).await
    }

    /// Submits a do-file by path; the submission must be accepted.
    pub async fn submit_path(&self, path: &std::path::Path, args: &[&str]) -> RunView {
        let request = SubmitRequest {
            path: Some(path.to_str().unwrap().to_owned()),
            args: args.iter().map(|&a| a.to_owned()).collect(),
            ..SubmitRequest::default()
        };
        self.submit(&request).await.expect("accepted").run
    }

    /// `GET /api/v1/runs/{id}`.
    pub async fn get(&self, run: impl std::fmt::Display) -> Answer<RunView> {
        Self::answer(self.request(Method::GET, &format!("/api/v1/runs/{run}"))).await
    }

    /// [`Api::get`] of a gateway that may be away.
    ///
    /// # Errors
    /// With the gateway's problem, or an empty one when no gateway answers.
    pub async fn try_get(&self, run: RunId) -> Answer<RunView> {
        let request = self.request(Method::GET, &format!("/api/v1/runs/{run}")).timeout(Duration::from_secs(5));
        match request.send().await {
            Ok(response) => read(response).await,
            Err(_) => Err(Problem::default()),
        }
    }

    /// `GET /api/v1/runs`.
    pub async fn list(&self) -> Answer<RunList> {
        Self::answer(self.request(Method::GET, "/api/v1/runs")).await
    }

    /// `GET /api/v1/hosts`.
    pub async fn hosts(&self) -> Answer<Hosts> {
        Self::answer(self.request(Method::GET, "/api/v1/hosts")).await
    }

    /// `POST …/cancel`.
    pub async fn cancel(&self, run: RunId, mode: CancelMode) -> Answer<RunView> {
        Self::answer(self.request(Method::POST, &format!("/api/v1/runs/{run}/cancel")).json(&CancelBody { mode })).await
    }

    /// The whole of a stream (`log` or `console`), paged.
    pub async fn output(&self, run: RunId, stream: &str) -> Answer<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let path = format!("/api/v1/runs/{run}/output?stream={stream}&offset={}", bytes.len());
            let response = self.request(Method::GET, &path).send().await.expect("the gateway answers");
            let response = good(response).await?;
            let next: usize = response.headers()[longhaul_proto::api::NEXT_OFFSET].to_str().unwrap().parse().unwrap();
            let page = response.bytes().await.expect("a whole page");
            bytes.extend_from_slice(&page);
            assert_eq!(bytes.len(), next, "the next offset is where the page ends");
            if page.is_empty() {
                return Ok(bytes);
            }
        }
    }

    /// Opens `…/events` at an offset; `None` when the gateway is away.
    pub async fn events(&self, run: RunId, offset: u64) -> Option<Events> {
        let path = format!("/api/v1/runs/{run}/events?stream=log&offset={offset}");
        let response = self.request(Method::GET, &path).send().await.ok()?;
        response.status().is_success().then(|| Events::new(response))
    }

    /// Waits until `cond` holds for the run, over any absence of the gateway.
    ///
    /// # Panics
    /// When that takes longer than `limit`.
    pub async fn wait_run(&self, run: RunId, limit: Duration, what: &str, cond: impl Fn(&RunView) -> bool) -> RunView {
        let last = std::cell::RefCell::new(None);
        let looked = tokio::time::timeout(limit, async {
            loop {
                if let Ok(view) = self.try_get(run).await {
                    if cond(&view) {
                        return view;
                    }
                    last.replace(Some(view));
                }
                tokio::time::sleep(wait::POLL).await;
            }
        });
        looked.await.unwrap_or_else(|_| panic!("waited {limit:?} in vain: {what}; last seen: {:#?}", last.borrow()))
    }

    /// Waits for the end of a run.
    pub async fn wait_end(&self, run: RunId) -> RunView {
        self.wait_run(run, wait::SOON * 2, "the run ends", |v| ended(v.state)).await
    }

    /// Waits until a run is running and its log holds `needle`.
    pub async fn wait_output(&self, run: RunId, needle: &str) {
        wait::until(wait::SOON, &format!("the log says {needle:?}"), async || {
            let log = self.output(run, "log").await.ok()?;
            String::from_utf8_lossy(&log).contains(needle).then_some(())
        })
        .await;
    }

    /// Waits until some agent is up.
    pub async fn wait_host_up(&self) {
        wait::until(wait::SOON, "an agent is up", async || {
            self.hosts().await.ok()?.hosts.iter().any(|h| h.state == "up").then_some(())
        })
        .await;
    }

    /// Waits until the named agent is in the named state (`up`, `silent`, `unreachable`, `idle`).
    pub async fn wait_host(&self, name: &str, state: &str) {
        wait::until(wait::SOON, &format!("agent {name} is {state}"), async || {
            let response = self.request(Method::GET, "/api/v1/hosts").send().await.ok()?;
            let hosts: Hosts = read(response).await.ok()?;
            hosts.hosts.iter().any(|h| h.name == name && h.state == state).then_some(())
        })
        .await;
    }
}

/// Whether a state is an end.
pub fn ended(state: RunState) -> bool {
    !matches!(state, RunState::Queued | RunState::Starting | RunState::Running)
}

async fn good(response: Answered) -> Answer<Answered> {
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status().as_u16();
    let text = response.text().await.unwrap_or_default();
    Err(serde_json::from_str(&text).unwrap_or(Problem { status, detail: text, ..Problem::default() }))
}

/// Reads an answer.
///
/// # Errors
/// With the gateway's problem.
pub async fn read<T: DeserializeOwned>(response: impl Into<Answered>) -> Answer<T> {
    let text = good(response.into()).await?.text().await.unwrap_or_default();
    Ok(serde_json::from_str(&text).unwrap_or_else(|e| panic!("not the object it should be ({e}): {text}")))
}
