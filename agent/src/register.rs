//! The agent's side of the fleet: find the gateway, prove the join secret both ways, tell what is here, and beat.
//! Whatever fails, it starts over at `Hello` after a short wait, for ever; runs go on meanwhile.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use longhaul_proto::{
    MAX_MESSAGE,
    door::Door,
    join::{Greeting, JoinSecret, Proof},
    version,
    wire::{self, Verdict, fleet_client::FleetClient},
};
use tokio::net::TcpStream;
use tonic::{Code, Request, transport::Endpoint};

use crate::{identity::Identity, runs::Runs, service::refusal_text, spool::Wish};

/// First and longest wait between two tries.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// Limit for every single step with the gateway.
const STEP: Duration = Duration::from_secs(5);
/// Beat used when the gateway names none.
const BEAT: Duration = Duration::from_secs(2);

/// What the loop needs.
pub(crate) struct Registrar {
    /// For people.
    pub(crate) gateway: Uri,
    pub(crate) secret: JoinSecret,
    pub(crate) identity: Identity,
    pub(crate) runs: Runs,
    pub(crate) dialer: Dialer,
    pub(crate) max_spool: u64,
}

/// Opens one connection to the gateway.
pub(crate) type Dialer = Arc<dyn Fn() -> BoxFuture<'static, Result<Door, LinkError>> + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("the gateway's address has no host: write it as http://host:port")]
    Address,
    #[error("the gateway could not be reached")]
    Connect(#[source] std::io::Error),
    #[error("the gateway could not be spoken to")]
    Channel(#[source] tonic::transport::Error),
    #[error("the gateway did not answer in time")]
    Slow,
    #[error(transparent)]
    NotJoined(#[from] longhaul_proto::join::NotJoined),
    #[error("{0}")]
    Protocol(String),
    #[error("the gateway refused")]
    Refused(#[source] Box<tonic::Status>),
    #[error("the gateway asks to register again")]
    Again,
    #[error("no greeting could be made")]
    Greeting(#[source] std::io::Error),
}

impl From<tonic::Status> for LinkError {
    fn from(status: tonic::Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

struct Link {
    client: FleetClient<Door>,
    proof: Proof,
}

impl Registrar {
    /// Runs until its task is dropped.
    pub(crate) async fn run(self) {
        let mut wait = BACK_OFF.0;
        let mut said = String::new();
        // A run that is not told would look to the gateway as if it were not here.
        self.runs.ready().await;
        loop {
            match self.serve(&mut wait).await {
                LinkError::Again => {}
                error => {
                    let words = refusal_text(&error);
                    // Once per change: a gateway that is away for a night is one line.
                    if words != said {
                        tracing::warn!(gateway = %self.gateway, "{words}; trying again until it answers");
                        said = words;
                    }
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(BACK_OFF.1);
        }
    }

    /// One registration, for as long as it holds.
    async fn serve(&self, wait: &mut Duration) -> LinkError {
        let mut link = match self.connect().await {
            Ok(link) => link,
            Err(error) => return error,
        };
        let agent = self.identity.info(&self.runs);
        let request = wire::RegisterRequest { agent: Some(agent), runs: self.runs.summaries() };
        let reply = match call(&link, request, async |c: &mut FleetClient<Door>, r| c.register(r).await).await {
            Ok(reply) => reply,
            Err(error) => return error,
        };
        if reply.problem.is_empty() {
            if let Err(problem) = self.identity.bind(&reply.cluster_id) {
                tracing::error!(%problem, "the gateway's ledger is not this agent's");
            }
            tracing::info!(gateway = %self.gateway, name = self.identity.name(), "registered");
            self.obey(reply.verdicts).await;
        } else {
            tracing::error!(problem = %reply.problem, "the gateway sends no runs here");
        }
        *wait = BACK_OFF.0;
        let beat = match reply.heartbeat_ms {
            0 => BEAT,
            ms => Duration::from_millis(ms.into()),
        };
        let mut problem = reply.problem;
        loop {
            tokio::time::sleep(beat).await;
            match self.beat(&mut link).await {
                Ok(said) if said != problem => {
                    if said.is_empty() {
                        tracing::info!("the gateway has no more objections");
                    } else {
                        tracing::error!(problem = %said, "the gateway sends no runs here");
                    }
                    problem = said;
                }
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }

    async fn beat(&self, link: &mut Link) -> Result<String, LinkError> {
        let info = self.identity.info(&self.runs);
        let request = wire::HeartbeatRequest {
            agent_id: info.agent_id,
            incarnation: info.incarnation,
            free_bytes: info.free_bytes,
            problem: info.problem,
            engines: info.engines,
            licence: info.licence,
            spool_bytes: self.runs.spool_bytes(),
            spool_limit: self.max_spool,
        };
        let reply = call(link, request, async |c: &mut FleetClient<Door>, r| c.heartbeat(r).await).await?;
        if reply.known { Ok(reply.problem) } else { Err(LinkError::Again) }
    }

    /// A connection of its own, used for exactly one `Hello` and what follows it: when it breaks, the proof breaks too.
    async fn connect(&self) -> Result<Link, LinkError> {
        let door = (self.dialer)().await?;
        let mut client =
            FleetClient::new(door).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE);
        let greeting = Greeting::new(self.secret.clone()).map_err(LinkError::Greeting)?;
        let hello = tokio::time::timeout(STEP, client.hello(greeting.request())).await;
        let reply = hello.map_err(|_| LinkError::Slow)??.into_inner();
        if let Some(words) = version::objection("agent", "gateway", reply.protocol, &reply.version) {
            return Err(LinkError::Protocol(words));
        }
        let proof = greeting.prove(&reply)?;
        Ok(Link { client, proof })
    }

    async fn obey(&self, verdicts: Vec<wire::RunVerdict>) {
        for verdict in verdicts {
            let Ok(run) = verdict.run_id.parse() else { continue };
            match Verdict::try_from(verdict.verdict) {
                Ok(Verdict::Cancel) => {
                    if let Err(error) = self.runs.cancel(run, Wish::Break, verdict.by).await {
                        tracing::warn!(%run, %error, "a wish to cancel could not be recorded");
                    }
                }
                Ok(Verdict::Forget) => {
                    let Some(request) = verdict.forget else { continue };
                    if let Err(error) = self.runs.forget(run, request).await {
                        tracing::warn!(%run, %error, "a run was not forgotten");
                    }
                }
                _ => {}
            }
        }
    }
}

/// Connections over TCP, for an agent that listens on `listen`.
pub(crate) fn tcp(gateway: Uri, listen: SocketAddr, identity: Identity) -> Dialer {
    Arc::new(move || Box::pin(dial_tcp(gateway.clone(), listen, identity.clone())))
}

async fn dial_tcp(gateway: Uri, listen: SocketAddr, identity: Identity) -> Result<Door, LinkError> {
    let host = gateway.host().ok_or(LinkError::Address)?.trim_matches(['[', ']']);
    let port = gateway.port_u16().unwrap_or(80);
    let dial = TcpStream::connect((host, port));
    let stream = tokio::time::timeout(STEP, dial).await.map_err(|_| LinkError::Slow)?.map_err(LinkError::Connect)?;
    stream.set_nodelay(true).map_err(LinkError::Connect)?;
    // Not told otherwise, we are reached under the address from which we reach the gateway.
    identity
        .advertise(|| stream.local_addr().ok().map(|a| format!("http://{}", SocketAddr::new(a.ip(), listen.port()))));
    let mut once = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_: Uri| {
        let stream = once.take();
        async move { stream.ok_or_else(|| std::io::Error::other("the connection to the gateway is gone")) }
    });
    let endpoint = Endpoint::from(gateway.clone())
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(20))
        .keep_alive_while_idle(true);
    endpoint.connect_with_connector(connector).await.map(Door::new).map_err(LinkError::Channel)
}

/// One call with the link's proof and a limit.
async fn call<T, R>(
    link: &Link,
    message: T,
    make: impl AsyncFnOnce(&mut FleetClient<Door>, Request<T>) -> Result<tonic::Response<R>, tonic::Status>,
) -> Result<R, LinkError> {
    let mut request = Request::new(message);
    link.proof.put(&mut request);
    let mut client = link.client.clone();
    match tokio::time::timeout(STEP, make(&mut client, request)).await {
        Err(_) => Err(LinkError::Slow),
        Ok(Ok(reply)) => Ok(reply.into_inner()),
        // Another process answers there now: greet it first.
        Ok(Err(status)) if status.code() == Code::Unauthenticated => Err(LinkError::Again),
        Ok(Err(status)) => Err(status.into()),
    }
}
