//! The gateway's HTTP API, as the command line uses it.
//!
//! One method per endpoint; every error says what to do next. Nothing here retries by itself: only the caller knows
//! whether a lost call may be made again (a submission carries an idempotency key, so it may).

mod connect;
mod data_file;
mod error;
mod help;
mod hosts;
mod notify;
mod reading;
mod record;
mod search;
mod upload;

use std::time::Duration;

use bytes::Bytes;
use jiff::{Timestamp, fmt::rfc2822};
use longhaul_proto::{
    api::{
        AdoptBody, Adopted, AgentKeys, CancelBody, CancelMode, Hosts, QuotaList, RerunBody, RunDoFiles, RunFiles,
        RunHistory, RunList, RunView, SubmitRequest, Submitted,
    },
    telemetry,
    wire::TraceContext,
};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

pub(crate) use error::ClientError;
pub(crate) use hosts::DrainAction;
pub(crate) use reading::{Part, Reading, Stream};
pub(crate) use search::Event;

/// Time limit for connecting.
const CONNECT: Duration = Duration::from_secs(5);
/// Time limit for an answer to a call that does not wait on purpose. A submission of 32 MiB over a slow line fits.
const ANSWER: Duration = Duration::from_secs(60);

/// A client of one gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    /// Where requests go: the gateway's address, in the clear where they go by a socket.
    base: String,
    token: Option<String>,
    /// The file of the root that `login` pinned.
    pinned: Option<std::path::PathBuf>,
}

impl Client {
    /// The gateway's address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The token that it shows.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// A request that carries the token.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        request
    }

    async fn send(&self, request: RequestBuilder, limit: Duration) -> Result<Response, ClientError> {
        let sent = tokio::time::timeout(limit, request.send()).await;
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(source)) => return Err(ClientError::no_answer(&self.url, source).of_pinned(self.pinned.as_ref())),
            Err(_) => return Err(ClientError::Silent { url: self.url.clone(), limit }),
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.bytes().await.unwrap_or_default();
        Err(self.refused(status, &body))
    }

    /// The error that an unsuccessful answer stands for.
    pub(crate) fn refused(&self, status: StatusCode, body: &[u8]) -> ClientError {
        ClientError::refused(&self.url, self.token.as_deref(), status, body)
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        self.json_at(request).await.map(|(value, _)| value)
    }

    /// An object, and the gateway's own time then, if it tells it.
    async fn json_at<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<(T, Option<Timestamp>), ClientError> {
        let response = self.send(request, ANSWER).await?;
        let date = response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
        let at = date.and_then(http_date);
        let body = tokio::time::timeout(ANSWER, response.bytes())
            .await
            .map_err(|_| ClientError::Silent { url: self.url.clone(), limit: ANSWER })?
            .map_err(|source| ClientError::Broken { source })?;
        let value = serde_json::from_slice(&body);
        value.map(|value| (value, at)).map_err(|source| ClientError::Strange { url: self.url.clone(), source })
    }

    /// Submits a run, as a part of `span`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn submit(&self, request: &SubmitRequest, span: &TraceContext) -> Result<Submitted, ClientError> {
        let mut post = self.request(Method::POST, "/api/v1/runs").json(request);
        if span.traceparent.parse::<telemetry::TraceParent>().is_ok() {
            post = post.header("traceparent", &span.traceparent);
            if reqwest::header::HeaderValue::from_str(&span.tracestate).is_ok_and(|state| !state.is_empty()) {
                post = post.header("tracestate", &span.tracestate);
            }
        }
        self.json(post).await
    }

    /// Submits again what a run was submitted as.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn rerun(&self, run: &str, body: &RerunBody) -> Result<Submitted, ClientError> {
        self.json(self.request(Method::POST, &path(run, "/rerun")).json(body)).await
    }

    /// One run, by id or short form.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn get(&self, run: &str) -> Result<RunView, ClientError> {
        self.json(self.request(Method::GET, &path(run, ""))).await
    }

    /// The same, and the gateway's own time then, if it tells it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn get_at(&self, run: &str) -> Result<(RunView, Option<Timestamp>), ClientError> {
        self.json_at(self.request(Method::GET, &path(run, ""))).await
    }

    /// The caller's runs, newest first, and the gateway's own time then.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn list(
        &self,
        limit: usize,
        before: Option<String>,
        filters: &[(&'static str, String)],
    ) -> Result<(RunList, Option<Timestamp>), ClientError> {
        let mut query = vec![("limit", limit.to_string())];
        query.extend(before.map(|b| ("before", b)));
        query.extend(filters.iter().cloned());
        self.json_at(self.request(Method::GET, &with_query("/api/v1/runs", &query))).await
    }

    /// Cancels a run.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn cancel(&self, run: &str, mode: CancelMode) -> Result<RunView, ClientError> {
        self.json(self.request(Method::POST, &path(run, "/cancel")).json(&CancelBody { mode })).await
    }

    /// Declares a run dead, as an operator.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn declare_dead(&self, run: &str) -> Result<RunView, ClientError> {
        self.json(self.request(Method::POST, &path(run, "/declare-dead"))).await
    }

    /// Lets the spool of an ended run be deleted, as an operator.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn release(&self, run: &str) -> Result<RunView, ClientError> {
        self.json(self.request(Method::POST, &path(run, "/release"))).await
    }

    /// Gives an unverified run to the principal that its spool names, as an operator.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn adopt(&self, run: &str) -> Result<RunView, ClientError> {
        self.json(self.request(Method::POST, &path(run, "/adopt"))).await
    }

    /// Likewise, for all unverified runs that came from one host.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn adopt_from(&self, host: &str) -> Result<Adopted, ClientError> {
        let body = AdoptBody { all_from: host.to_owned() };
        self.json(self.request(Method::POST, "/api/v1/runs/adopt").json(&body)).await
    }

    /// Output of a run.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn output(&self, run: &str, stream: Stream, part: Part) -> Result<Reading, ClientError> {
        let mut query = vec![("stream", stream.as_str().to_owned()), ("view", "user".to_owned())];
        let mut limit = ANSWER;
        match part {
            Part::From(offset, wait) => {
                query.push(("offset", offset.to_string()));
                query.push(("wait", wait.as_secs_f64().to_string()));
                limit += wait;
            }
            Part::Tail(lines) => query.push(("tail", lines.to_string())),
        }
        let response = self.send(self.request(Method::GET, &with_query(&path(run, "/output"), &query)), limit).await?;
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
        let number = |name: &str| header(name).and_then(|v| v.parse::<u64>().ok());
        let asked = if let Part::From(offset, _) = part { offset } else { 0 };
        let complete = header(longhaul_proto::api::COMPLETE) == Some("true");
        let (next, len) = (number(longhaul_proto::api::NEXT_OFFSET), response.content_length());
        // A gateway of an earlier version has no gaps in its answers, and does not tell where they start.
        let first = number(longhaul_proto::api::FIRST_OFFSET)
            .or_else(|| next.zip(len).and_then(|(next, len)| next.checked_sub(len)));
        match (first, next, len) {
            (Some(first), Some(next), Some(left)) if first >= asked || left == 0 => {
                Ok(Reading { response, first, at: first, left, next, complete })
            }
            _ => Err(ClientError::NotAGateway { url: self.url.clone() }),
        }
    }

    /// The do-files that a run entered.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn do_files(&self, run: &str) -> Result<RunDoFiles, ClientError> {
        self.json(self.request(Method::GET, &path(run, "/do-files"))).await
    }

    /// The files that a run left.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn files(&self, run: &str) -> Result<RunFiles, ClientError> {
        self.json(self.request(Method::GET, &path(run, "/files"))).await
    }

    /// One of them, by its escaped name; [`Client::piece`] reads the body.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn file(&self, run: &str, name: &str) -> Result<Response, ClientError> {
        self.send(self.request(Method::GET, &path(run, &format!("/files/{name}"))), ANSWER).await
    }

    /// The piece of a body that comes next; `None` = it has ended.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn piece(&self, body: &mut Response) -> Result<Option<Bytes>, ClientError> {
        let silent = |_| ClientError::Silent { url: self.url.clone(), limit: ANSWER };
        let piece = tokio::time::timeout(ANSWER, body.chunk()).await.map_err(silent)?;
        piece.map_err(|source| ClientError::Broken { source })
    }

    /// What a run left in r(), e() and s(): the bytes of the API's object, in which numbers are exact.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn results(&self, run: &str) -> Result<Vec<u8>, ClientError> {
        self.bytes(&path(run, "/results")).await
    }

    /// Every step of a run, and every attempt.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn history(&self, run: &str) -> Result<RunHistory, ClientError> {
        self.json(self.request(Method::GET, &path(run, "/history"))).await
    }

    /// The bytes of one of them.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn do_file(&self, run: &str, sha256: &str) -> Result<Vec<u8>, ClientError> {
        self.bytes(&path(run, &format!("/do-files/{}", escape(sha256)))).await
    }

    async fn bytes(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        let body = self.send(self.request(Method::GET, path), ANSWER).await?.bytes();
        let silent = |_| ClientError::Silent { url: self.url.clone(), limit: ANSWER };
        let body = tokio::time::timeout(ANSWER, body).await.map_err(silent)?;
        body.map(Vec::from).map_err(|source| ClientError::Broken { source })
    }

    /// Agents, pools, and the caller's queue.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn hosts(&self) -> Result<Hosts, ClientError> {
        self.json(self.request(Method::GET, "/api/v1/hosts")).await
    }

    /// The caller's quotas, or those of everybody.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn quotas(&self, all: bool) -> Result<QuotaList, ClientError> {
        let path = if all { "/api/v1/quotas?all=true" } else { "/api/v1/quotas" };
        self.json(self.request(Method::GET, path)).await
    }

    /// The keys of agents: all of them, or those of a name after a verb (`approve`, `revoke`).
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn agents(&self, act: Option<(&str, &str)>) -> Result<AgentKeys, ClientError> {
        let request = match act {
            None => self.request(Method::GET, "/api/v1/agents"),
            Some((verb, name)) => self.request(Method::POST, &format!("/api/v1/agents/{}/{verb}", escape(name))),
        };
        self.json(request).await
    }

    /// Any other object of the API.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<serde_json::Value, ClientError> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = self.send(request, ANSWER).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(serde_json::Value::Null);
        }
        let body = response.bytes().await.map_err(|source| ClientError::Broken { source })?;
        serde_json::from_slice(&body).map_err(|source| ClientError::Strange { url: self.url.clone(), source })
    }

    /// Whether a gateway answers there at all, with or without a token.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn healthy(&self) -> Result<(), ClientError> {
        self.send(self.request(Method::GET, "/healthz"), CONNECT).await.map(drop)
    }
}

/// The time of a header.
fn http_date(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// `/api/v1/runs/{id}` and what follows; every character that an id cannot contain is escaped.
fn path(run: &str, rest: &str) -> String {
    format!("/api/v1/runs/{}{rest}", escape(run))
}

fn with_query(path: &str, query: &[(&str, String)]) -> String {
    let pairs: Vec<String> = query.iter().map(|(k, v)| format!("{k}={}", escape(v))).collect();
    format!("{path}?{}", pairs.join("&"))
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
pub(crate) fn escape(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, b| {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests;
