//! The connection to the gateway: its present address and token, and the older era's session.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
};

use super::{
    message::{self, Message},
    sse::EventReader,
};
use crate::{
    access::{self, Access},
    client::{Client, ClientError},
    context::{Context, Failure},
    output::say,
};

/// Header that names a session of the older era.
const SESSION: &str = "mcp-session-id";
/// Time limit of a message that does not wait on purpose: a notification, the end of a session.
const TELL: Duration = Duration::from_secs(5);
/// Longest silence on a stream: the gateway comments every 15 s, so four comments in a row are missing.
const SILENCE: Duration = Duration::from_secs(60);
/// Pause before the gateway's own messages are listened to again.
const LISTEN_AGAIN: Duration = Duration::from_secs(2);

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The gateway may be back soon.
    Away(String),
    /// It does not know the session any more.
    SessionGone,
    /// It refused; a repetition would not help.
    No(String),
}

/// A session of the older era.
#[derive(Clone, Debug)]
struct Legacy {
    id: String,
    revision: String,
    /// The client's `initialize`, to open another session with.
    hello: Message,
}

/// How far the older era's handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handshake {
    /// None was sent.
    None,
    UnderWay,
    /// The client did its part, and the gateway did not.
    Unanswered,
    Done,
}

/// Marks an `initialize` as under way until it is dropped.
pub(super) struct Opening(Arc<Upstream>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.handshake.send_if_modified(|at| {
            let failed = *at == Handshake::UnderWay;
            if failed {
                *at = Handshake::Unanswered;
            }
            failed
        });
    }
}

/// See the module. No lock is held over a wait for the network, except [`Upstream::turn`], by calls that open a session.
pub(super) struct Upstream {
    context: Context,
    out: mpsc::Sender<Value>,
    client: Mutex<Option<(String, Access, Client)>>,
    legacy: Mutex<Option<Legacy>>,
    listener: Mutex<Option<AbortHandle>>,
    handshake: watch::Sender<Handshake>,
    /// Held by the call that opens a session in place of a lost one.
    turn: tokio::sync::Mutex<()>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Upstream {
    /// A connection to the gateway; nothing is sent yet.
    pub(super) fn new(context: Context, out: mpsc::Sender<Value>) -> Self {
        Self {
            context,
            out,
            client: Mutex::default(),
            legacy: Mutex::default(),
            listener: Mutex::default(),
            handshake: watch::Sender::new(Handshake::None),
            turn: tokio::sync::Mutex::default(),
        }
    }

    fn session(&self) -> Option<Legacy> {
        lock(&self.legacy).clone()
    }

    /// The client's `initialize` starts.
    pub(super) fn opening(self: &Arc<Self>) -> Opening {
        self.handshake.send_replace(Handshake::UnderWay);
        Opening(self.clone())
    }

    /// Waits until no `initialize` is under way; what became of the last one.
    pub(super) async fn handshake(&self) -> Handshake {
        let mut handshake = self.handshake.subscribe();
        // The sender is here as long as this is.
        handshake.wait_for(|at| *at != Handshake::UnderWay).await.map_or(Handshake::None, |at| *at)
    }

    /// A client of the gateway at its present address: a restarted daemon may have another one, and another token.
    fn client(&self) -> Result<Client, Trouble> {
        let no = |failure: Failure| Trouble::No(failure.message);
        let url = match &self.context.config.settings.gateway {
            Some(url) => url.0.clone(),
            None => self.daemon()?,
        };
        let access = access::of(&self.context, &url).map_err(no)?;
        let mut held = lock(&self.client);
        if let Some((at, with, client)) = &*held
            && (at, with) == (&url, &access)
        {
            return Ok(client.clone());
        }
        let client = Client::new(&url, access.clone()).map_err(|error| Trouble::No(error.to_string()))?;
        *held = Some((url, access, client.clone()));
        Ok(client)
    }

    fn daemon(&self) -> Result<String, Trouble> {
        let data = &self.context.data;
        let served = data.gateway_serves().map_err(|error| {
            let folder = data.path().display();
            Trouble::No(format!("cannot use the data folder {folder} ({error}): give one of yours with --data"))
        })?;
        data.endpoint().filter(|_| served).map(|endpoint| endpoint.url).ok_or_else(|| {
            Trouble::Away(format!(
                "no gateway serves {}. Start one with `longhaul up`, or name one with --gateway or LONGHAUL_GATEWAY",
                data.path().display()
            ))
        })
    }

    /// Sends a message and returns the head of the answer.
    pub(super) async fn send(&self, message: &Message) -> Result<Response, Trouble> {
        let client = self.client()?;
        let mut post = client.request(Method::POST, "/mcp").json(message.json());
        post = post.header(header::ACCEPT, "application/json, text/event-stream");
        for (name, value) in message.headers() {
            post = post.header(name, value);
        }
        let mut in_session = false;
        if message.revision().is_none() && message.method() != "initialize" {
            let legacy = self.session();
            in_session = legacy.is_some();
            post = with_session(post, legacy.as_ref());
        }
        let response = send(&client, post, SILENCE).await?;
        match response.status() {
            StatusCode::NOT_FOUND if in_session => Err(Trouble::SessionGone),
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                Err(Trouble::Away(refusal(&client, response).await))
            }
            status if status.is_success() || is_json(&response) => Ok(response),
            _ => Err(Trouble::No(refusal(&client, response).await)),
        }
    }

    /// Sends a message that needs no answer. A lost one is reported on stderr: a notification changes no run.
    pub(super) async fn tell(self: &Arc<Self>, message: &Message) {
        if message.needs_session() {
            let words = match self.handshake().await {
                Handshake::Done => None,
                Handshake::Unanswered => Some("the gateway did not answer initialize"),
                _ => Some("no initialize was sent before it"),
            };
            if let Some(words) = words {
                return say(&format!("longhaul: {} was not passed on: {words}", message.method()));
            }
        }
        let sent = tokio::time::timeout(TELL, self.send(message)).await;
        if let Ok(Err(Trouble::Away(words) | Trouble::No(words))) = sent {
            say(&format!("longhaul: {}: {words}", message.method()));
        }
        if message.method() == "notifications/initialized" && self.session().is_some() {
            let link = self.clone();
            let task = self.context.tasks.spawn_until_stop(async move { link.listen().await });
            if let Some(before) = lock(&self.listener).replace(task.abort_handle()) {
                before.abort();
            }
        }
    }

    /// Remembers the session that the answer to the client's `initialize` opened.
    pub(super) fn opened(&self, hello: &Message, session: Option<String>, answer: &Value) {
        let revision = answer["result"]["protocolVersion"].as_str().unwrap_or_default().to_owned();
        *lock(&self.legacy) = session.map(|id| Legacy { id, revision, hello: hello.clone() });
        if answer.get("result").is_some() {
            self.handshake.send_replace(Handshake::Done);
        }
    }

    /// Opens another session in place of the one that the gateway lost, unless another call has done so.
    pub(super) async fn reopen(&self, name: &str) -> Result<(), Trouble> {
        // Only calls that need a new session too wait here; all others go on meanwhile.
        let _turn = self.turn.lock().await;
        let Some(old) = self.session() else { return Ok(()) };
        let client = self.client()?;
        // Another call may have opened one while this one waited.
        let ping = json!({"jsonrpc": "2.0", "id": name, "method": "ping"});
        let asked = with_session(post(&client, &ping), Some(&old));
        if send(&client, asked, TELL).await?.status().is_success() {
            return Ok(());
        }
        let hello = old.hello.again(name);
        let response = send(&client, post(&client, hello.json()), SILENCE).await?;
        let session = session_of(&response);
        if !response.status().is_success() || session.is_none() {
            return Err(Trouble::Away(refusal(&client, response).await));
        }
        let mut answer = Answer::new(response);
        while let Some(message) = answer.next().await? {
            if message::is_answer(&message) {
                let revision = message["result"]["protocolVersion"].as_str().unwrap_or_default().to_owned();
                let new = Legacy { id: session.unwrap_or_default(), revision, hello: old.hello };
                let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
                send(&client, with_session(post(&client, &ready), Some(&new)), TELL).await?;
                *lock(&self.legacy) = Some(new);
                return Ok(());
            }
        }
        Err(Trouble::Away("the gateway opened no session".into()))
    }

    /// Listens to the gateway's own messages in the older era. The open stream also shows it that the session is in
    /// use.
    async fn listen(&self) {
        loop {
            let Some(legacy) = self.session() else { return };
            if let Ok(client) = self.client() {
                let get = client.request(Method::GET, "/mcp").header(header::ACCEPT, "text/event-stream");
                match send(&client, with_session(get, Some(&legacy)), SILENCE).await {
                    Ok(response) if response.status() == StatusCode::METHOD_NOT_ALLOWED => return,
                    Ok(response) if response.status() == StatusCode::NOT_FOUND => {
                        // If this fails, the next request tries it too.
                        let _ = self.reopen(&self.context.ids.name()).await;
                    }
                    Ok(response) if response.status().is_success() => {
                        let mut answer = Answer::new(response);
                        while let Ok(Some(message)) = answer.next().await {
                            if self.out.send(message).await.is_err() {
                                return;
                            }
                        }
                    }
                    _ => {}
                }
            }
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    }

    /// Tells the gateway that the session is not needed any more.
    pub(super) async fn close(&self) {
        if let Some(listener) = lock(&self.listener).take() {
            listener.abort();
        }
        let Some(legacy) = lock(&self.legacy).take() else { return };
        if let Ok(client) = self.client() {
            let delete = with_session(client.request(Method::DELETE, "/mcp"), Some(&legacy));
            // If this is lost, the gateway finds the session idle.
            let _ = tokio::time::timeout(Duration::from_secs(1), delete.send()).await;
        }
    }
}

fn post(client: &Client, message: &Value) -> RequestBuilder {
    let post = client.request(Method::POST, "/mcp").json(message);
    post.header(header::ACCEPT, "application/json, text/event-stream")
}

fn with_session(request: RequestBuilder, legacy: Option<&Legacy>) -> RequestBuilder {
    match legacy {
        None => request,
        Some(legacy) => request.header(SESSION, &legacy.id).header("mcp-protocol-version", &legacy.revision),
    }
}

/// The session that an answer opens.
pub(super) fn session_of(response: &Response) -> Option<String> {
    response.headers().get(SESSION).and_then(|v| v.to_str().ok()).map(str::to_owned)
}

async fn send(client: &Client, request: RequestBuilder, limit: Duration) -> Result<Response, Trouble> {
    let url = client.url().to_owned();
    match tokio::time::timeout(limit, request.send()).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(source)) => Err(match ClientError::no_answer(&url, source) {
            away @ ClientError::Unreachable { .. } => Trouble::Away(away.to_string()),
            other => Trouble::No(other.to_string()),
        }),
        Err(_) => Err(Trouble::Away(ClientError::Silent { url, limit }.to_string())),
    }
}

async fn refusal(client: &Client, response: Response) -> String {
    let status = response.status();
    let body = tokio::time::timeout(TELL, response.bytes()).await.ok().and_then(Result::ok).unwrap_or_default();
    client.refused(status, &body).to_string()
}

fn kind(response: &Response) -> &str {
    response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// Whether the gateway answers in JSON-RPC, whatever the status.
fn is_json(response: &Response) -> bool {
    kind(response).starts_with("application/json")
}

/// The messages of one answer: one, or those of an event stream.
pub(super) struct Answer {
    response: Response,
    streams: bool,
    events: EventReader,
    ready: std::collections::VecDeque<Vec<u8>>,
    plain: Vec<u8>,
}

impl Answer {
    /// Reads an answer.
    pub(super) fn new(response: Response) -> Self {
        let streams = kind(&response).starts_with("text/event-stream");
        Self { response, streams, events: EventReader::default(), ready: Default::default(), plain: vec![] }
    }

    /// The next message; `None` after the last.
    ///
    /// # Errors
    /// When the connection broke or fell silent.
    pub(super) async fn next(&mut self) -> Result<Option<Value>, Trouble> {
        loop {
            if let Some(data) = self.ready.pop_front() {
                let message = serde_json::from_slice(&data);
                return message.map(Some).map_err(|_| Trouble::No("the gateway sent something that is no JSON".into()));
            }
            let chunk = tokio::time::timeout(SILENCE, self.response.chunk()).await;
            let chunk = chunk.map_err(|_| Trouble::Away("the connection to the gateway fell silent".into()))?;
            let chunk = chunk.map_err(|source| Trouble::Away(ClientError::Broken { source }.to_string()))?;
            match chunk {
                Some(bytes) if self.streams => {
                    let whole = self.events.push(&bytes);
                    self.ready.extend(whole.map_err(|_| Trouble::No("the gateway's event has no end".into()))?);
                }
                Some(bytes) => self.plain.extend_from_slice(&bytes),
                None if self.plain.is_empty() => return Ok(None),
                None => self.ready.push_back(std::mem::take(&mut self.plain)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
