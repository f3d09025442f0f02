//! One connection to the gateway: dialled, both keys checked, the secret proven where a key is new.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use http::Uri;
use longhaul_proto::{
    MAX_MESSAGE,
    grpc_transport::GrpcTransport,
    transport::{self, Channel, DialError, Dialled, Key, Pings, Proof, hello::NotJoined},
    version,
    wire::{self, fleet_client::FleetClient},
};
use tonic::{Code, Request};

use super::RegistrationLoop;
use crate::identity::{Identity, Known};

/// Limit for every single step with the gateway.
const STEP: Duration = Duration::from_secs(5);
/// How an idle connection is checked.
const PINGS: Pings = Pings { every: Duration::from_secs(10), patience: Duration::from_secs(20) };

/// Opens one connection to the gateway.
pub(crate) type GatewayDialer = Arc<dyn Fn() -> BoxFuture<'static, Result<Dialled, ConnectError>> + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
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

impl From<tonic::Status> for ConnectError {
    fn from(status: tonic::Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

impl RegistrationLoop {
    /// A connection to this agent's gateway: its key is the pinned one, or it has proved the secret and is pinned now.
    pub(super) async fn connect(&self) -> Result<FleetClient<GrpcTransport>, ConnectError> {
        let Dialled { transport, channel, .. } = (self.dialer)().await?;
        let known = self.pins.dialled(&channel.peer);
        if known == Known::Other {
            return Err(ConnectError::OtherKey(self.pins.words(&channel.peer)));
        }
        let mut client =
            FleetClient::new(transport).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE);
        let proof = if known == Known::First { Proof::Include } else { Proof::Omit };
        let reply = match self.hello(&mut client, &channel, proof).await {
            // It is the pinned gateway and does not know this agent: its ledger is new, or a restored backup.
            Err(ConnectError::Refused(status)) if known == Known::Pinned && status.code() == Code::Unauthenticated => {
                self.hello(&mut client, &channel, Proof::Include).await?
            }
            reply => reply?,
        };
        if known == Known::First {
            self.greeter.check_reply(&channel, &reply)?;
        }
        if let Some(words) = version::objection("agent", "gateway", reply.protocol, &reply.version) {
            return Err(ConnectError::Protocol(words));
        }
        self.pins.pin(channel.peer).map_err(ConnectError::Pin)?;
        Ok(client)
    }

    async fn hello(
        &self,
        client: &mut FleetClient<GrpcTransport>,
        channel: &Channel,
        proof: Proof,
    ) -> Result<wire::HelloReply, ConnectError> {
        let request = self.greeter.request(channel, &self.identity.cluster(), proof);
        let reply = tokio::time::timeout(STEP, client.hello(request)).await.map_err(|_| ConnectError::Slow)?;
        match reply {
            Ok(reply) => Ok(reply.into_inner()),
            Err(status) if status.code() == Code::FailedPrecondition => {
                Err(ConnectError::Protocol(status.message().to_owned()))
            }
            Err(status) if proof == Proof::Include && status.code() == Code::Unauthenticated => Err(NotJoined.into()),
            Err(status) => Err(status.into()),
        }
    }
}

/// Connections over TCP, for an agent that listens on `listen`.
pub(crate) fn tcp(gateway: Uri, key: Key, listen: SocketAddr, identity: Identity) -> GatewayDialer {
    Arc::new(move || Box::pin(dial_tcp(gateway.clone(), key.clone(), listen, identity.clone())))
}

async fn dial_tcp(gateway: Uri, key: Key, listen: SocketAddr, identity: Identity) -> Result<Dialled, ConnectError> {
    let dial = transport::dial(&gateway, &key, PINGS);
    let dialled = tokio::time::timeout(STEP, dial).await.map_err(|_| ConnectError::Slow)??;
    // Unless configured otherwise, the agent is dialled at the address from which it reaches the gateway.
    if let Some(own) = dialled.local {
        identity.reached_from(format!("http://{}", SocketAddr::new(own.ip(), listen.port())));
    }
    Ok(dialled)
}

/// One call with a limit.
pub(super) async fn call<T, R>(
    client: &FleetClient<GrpcTransport>,
    message: T,
    make: impl AsyncFnOnce(&mut FleetClient<GrpcTransport>, Request<T>) -> Result<tonic::Response<R>, tonic::Status>,
) -> Result<R, ConnectError> {
    let mut client = client.clone();
    match tokio::time::timeout(STEP, make(&mut client, Request::new(message))).await {
        Err(_) => Err(ConnectError::Slow),
        Ok(Ok(reply)) => Ok(reply.into_inner()),
        Ok(Err(status)) if status.code() == Code::Unauthenticated => Err(ConnectError::Again),
        Ok(Err(status)) => Err(status.into()),
    }
}
