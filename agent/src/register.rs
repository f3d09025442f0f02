//! The agent's side of the fleet: finds the gateway, checks that it is its own, reports the runs here, and sends
//! heartbeats. After any failure it starts over at `Hello` after a short back-off, for ever; runs go on meanwhile.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{StreamExt, future::BoxFuture};
use http::Uri;
use longhaul_proto::{
    MAX_MESSAGE, faults,
    grpc_transport::GrpcTransport,
    transport::{self, Channel, DialError, Dialled, Greeter, Key, Pings, hello::NotJoined},
    version,
    wire::{self, Verdict, fleet_client::FleetClient},
};
use tonic::{Code, Request};

use crate::{
    identity::Identity,
    pins::{Known, Pins},
    runs::Runs,
    service::refusal_text,
    spool::CancelMode,
};

/// First and longest back-off between two tries.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// Limit for every single step with the gateway.
const STEP: Duration = Duration::from_secs(5);
/// How an idle connection is checked.
const PINGS: Pings = Pings { every: Duration::from_secs(10), patience: Duration::from_secs(20) };
/// Heartbeat interval used when the gateway gives none.
const BEAT: Duration = Duration::from_secs(2);
/// Runs reported in one message.
const PAGE: usize = 500;
/// Spools that are deleted at the same time.
const FORGETS: usize = 4;

/// What the registration loop needs.
pub(crate) struct Registrar {
    /// For people.
    pub(crate) gateway: Uri,
    pub(crate) greeter: Greeter,
    pub(crate) pins: Pins,
    pub(crate) identity: Identity,
    pub(crate) runs: Runs,
    pub(crate) dialer: Dialer,
    pub(crate) max_spool: u64,
}

/// Opens one connection to the gateway.
pub(crate) type Dialer = Arc<dyn Fn() -> BoxFuture<'static, Result<Dialled, LinkError>> + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("no connection to the gateway")]
    Dial(#[from] DialError),
    #[error("the gateway did not answer in time")]
    Slow,
    #[error(
        "gateway and agent do not hold the same join secret: copy the gateway's file `join-secret` to this host and name it \
         with --join-secret-file"
    )]
    NotJoined(#[from] NotJoined),
    #[error("what answers at the gateway's address is refused: {0}")]
    OtherKey(String),
    #[error("the gateway's key could not be kept")]
    Pin(#[source] std::io::Error),
    #[error("{0}")]
    Protocol(String),
    #[error("the gateway refused")]
    Refused(#[source] Box<tonic::Status>),
    #[error("the gateway asks to register again")]
    Again,
}

impl From<tonic::Status> for LinkError {
    fn from(status: tonic::Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

impl Registrar {
    /// Runs until its task is dropped.
    pub(crate) async fn run(self) {
        let mut wait = BACK_OFF.0;
        let (mut said, mut refused) = (String::new(), String::new());
        // A run that is not reported would look to the gateway as if it were not here.
        self.runs.ready().await;
        loop {
            match self.serve(&mut wait, &mut refused).await {
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

    /// One registration, for as long as the connection lasts.
    async fn serve(&self, wait: &mut Duration, refused: &mut String) -> LinkError {
        let client = match self.connect().await {
            Ok(client) => client,
            Err(error) => return error,
        };
        let (reply, verdicts) = match self.register(&client).await {
            Ok(registered) => registered,
            Err(error) => return error,
        };
        if reply.problem.is_empty() {
            if let Err(problem) = self.identity.bind(&reply.cluster_id).await {
                tracing::error!(%problem, "the gateway's ledger is not this agent's");
            }
            tracing::info!(gateway = %self.gateway, name = self.identity.name(), "registered");
        } else if reply.problem != *refused {
            // Logged once: it is repeated with every registration.
            tracing::error!(problem = %reply.problem, "the gateway sends no runs here");
        }
        refused.clone_from(&reply.problem);
        *wait = BACK_OFF.0;
        if faults::bug("obey_before_beat") {
            self.obey(verdicts).await;
            return self.beats(&client, &reply).await;
        }
        // Beside the heartbeats: deleting thousands of spools takes minutes, and an agent without heartbeats counts as
        // silent.
        let obeying = async {
            self.obey(verdicts).await;
            std::future::pending().await
        };
        tokio::select! {
            ended = self.beats(&client, &reply) => ended,
            never = obeying => never,
        }
    }

    /// Reports all runs that are here, page by page; the gateway registers the agent with the last page.
    async fn register(
        &self,
        client: &FleetClient<GrpcTransport>,
    ) -> Result<(wire::RegisterReply, Vec<wire::RunVerdict>), LinkError> {
        let mut runs = self.runs.summaries().into_iter().peekable();
        let mut leftovers = self.runs.leftovers().into_iter().peekable();
        let mut verdicts = Vec::new();
        loop {
            let page: Vec<_> = runs.by_ref().take(PAGE).collect();
            let files: Vec<_> = leftovers.by_ref().take(PAGE - page.len()).collect();
            let more = runs.peek().is_some() || leftovers.peek().is_some();
            let agent = Some(self.identity.info(&self.runs));
            let request = wire::RegisterRequest { agent, runs: page, more, leftovers: files };
            let mut reply =
                call(client, request, async |c: &mut FleetClient<GrpcTransport>, r| c.register(r).await).await?;
            verdicts.append(&mut reply.verdicts);
            if !more || !reply.problem.is_empty() {
                return Ok((reply, verdicts));
            }
        }
    }

    /// Sends heartbeats until the connection breaks.
    async fn beats(&self, client: &FleetClient<GrpcTransport>, registered: &wire::RegisterReply) -> LinkError {
        let beat = match registered.heartbeat_ms {
            0 => BEAT,
            ms => Duration::from_millis(ms.into()),
        };
        let mut problem = registered.problem.clone();
        loop {
            tokio::time::sleep(beat).await;
            match self.beat(client).await {
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

    async fn beat(&self, client: &FleetClient<GrpcTransport>) -> Result<String, LinkError> {
        let info = self.identity.info(&self.runs);
        let request = wire::HeartbeatRequest {
            agent_id: info.agent_id,
            incarnation: info.incarnation,
            free_bytes: info.free_bytes,
            problem: info.problem,
            engines: info.engines,
            licence: info.licence,
            spool_bytes: self.runs.sizes().sum().unwrap_or(0),
            spool_limit: self.max_spool,
            spools: self.runs.largest_spools(),
        };
        let reply = call(client, request, async |c: &mut FleetClient<GrpcTransport>, r| c.heartbeat(r).await).await?;
        if reply.known { Ok(reply.problem) } else { Err(LinkError::Again) }
    }

    /// A connection to this agent's gateway: its key is the pinned one, or it has proved the secret and is pinned now.
    async fn connect(&self) -> Result<FleetClient<GrpcTransport>, LinkError> {
        let Dialled { door, channel, .. } = (self.dialer)().await?;
        let known = self.pins.dialled(&channel.peer);
        if known == Known::Other {
            return Err(LinkError::OtherKey(self.pins.words(&channel.peer)));
        }
        let mut client =
            FleetClient::new(door).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE);
        let reply = match self.hello(&mut client, &channel, known == Known::First).await {
            // It is the pinned gateway and does not know this agent: its ledger is new, or a restored backup.
            Err(LinkError::Refused(status)) if known == Known::Pinned && status.code() == Code::Unauthenticated => {
                self.hello(&mut client, &channel, true).await?
            }
            reply => reply?,
        };
        if known == Known::First {
            self.greeter.check_reply(&channel, &reply)?;
        }
        if let Some(words) = version::objection("agent", "gateway", reply.protocol, &reply.version) {
            return Err(LinkError::Protocol(words));
        }
        self.pins.pin(channel.peer).map_err(LinkError::Pin)?;
        Ok(client)
    }

    async fn hello(
        &self,
        client: &mut FleetClient<GrpcTransport>,
        channel: &Channel,
        prove: bool,
    ) -> Result<wire::HelloReply, LinkError> {
        let request = self.greeter.request(channel, &self.identity.cluster(), prove);
        let reply = tokio::time::timeout(STEP, client.hello(request)).await.map_err(|_| LinkError::Slow)?;
        match reply {
            Ok(reply) => Ok(reply.into_inner()),
            Err(status) if status.code() == Code::FailedPrecondition => {
                Err(LinkError::Protocol(status.message().to_owned()))
            }
            Err(status) if prove && status.code() == Code::Unauthenticated => Err(NotJoined.into()),
            Err(status) => Err(status.into()),
        }
    }

    /// Carries out the gateway's verdicts on the runs here: people wait for cancels, so these come first.
    async fn obey(&self, verdicts: Vec<wire::RunVerdict>) {
        let (cancels, others): (Vec<_>, Vec<_>) =
            verdicts.into_iter().partition(|v| v.verdict == i32::from(Verdict::Cancel));
        for verdict in cancels {
            let Ok(run) = verdict.run_id.parse() else { continue };
            if let Err(error) = self.runs.cancel(run, CancelMode::Break, verdict.by).await {
                tracing::warn!(%run, %error, "a request to cancel could not be recorded");
            }
        }
        let forgets = others.into_iter().filter(|v| v.verdict == i32::from(Verdict::Forget));
        let forgets = forgets.filter_map(|v| Some((v.run_id.parse().ok()?, v.forget?)));
        futures_util::stream::iter(forgets)
            .for_each_concurrent(FORGETS, async |(run, request)| {
                if let Err(error) = self.runs.forget(run, request).await {
                    tracing::warn!(%run, %error, "a run was not forgotten");
                }
            })
            .await;
    }
}

/// Connections over TCP, for an agent that listens on `listen`.
pub(crate) fn tcp(gateway: Uri, key: Key, listen: SocketAddr, identity: Identity) -> Dialer {
    Arc::new(move || Box::pin(dial_tcp(gateway.clone(), key.clone(), listen, identity.clone())))
}

async fn dial_tcp(gateway: Uri, key: Key, listen: SocketAddr, identity: Identity) -> Result<Dialled, LinkError> {
    let dial = transport::dial(&gateway, &key, PINGS);
    let dialled = tokio::time::timeout(STEP, dial).await.map_err(|_| LinkError::Slow)??;
    // Unless configured otherwise, the agent is dialled at the address from which it reaches the gateway.
    if let Some(own) = dialled.local {
        identity.reached_from(format!("http://{}", SocketAddr::new(own.ip(), listen.port())));
    }
    Ok(dialled)
}

/// One call with a limit.
async fn call<T, R>(
    client: &FleetClient<GrpcTransport>,
    message: T,
    make: impl AsyncFnOnce(&mut FleetClient<GrpcTransport>, Request<T>) -> Result<tonic::Response<R>, tonic::Status>,
) -> Result<R, LinkError> {
    let mut client = client.clone();
    match tokio::time::timeout(STEP, make(&mut client, Request::new(message))).await {
        Err(_) => Err(LinkError::Slow),
        Ok(Ok(reply)) => Ok(reply.into_inner()),
        Ok(Err(status)) if status.code() == Code::Unauthenticated => Err(LinkError::Again),
        Ok(Err(status)) => Err(status.into()),
    }
}
