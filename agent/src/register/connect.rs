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

use super::{RegistrationLoop, joining::Way};
use crate::identity::{Identity, Known};

/// Limit for every single step with the gateway.
pub(super) const STEP: Duration = Duration::from_secs(5);
/// How an idle connection is checked.
pub(super) const PINGS: Pings = Pings { every: Duration::from_secs(10), patience: Duration::from_secs(20) };

/// Opens one connection to the gateway.
pub(crate) type GatewayDialer = Arc<dyn Fn() -> BoxFuture<'static, Result<Dialled, ConnectError>> + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("no connection to the gateway")]
    Dial(#[from] DialError),
    #[error("the gateway did not answer in time")]
    Slow,
    #[error(
        "gateway and agent do not hold the same join secret: an operator makes an invitation with `longhaul agents invite NAME` \
         on the gateway, which prints the command for this host"
    )]
    NotJoined(#[from] NotJoined),
    #[error("what answers at the gateway's address is refused: {0}")]
    OtherKey(String),
    #[error("{0}")]
    NotInvited(String),
    #[error("the certificate that the gateway issued is not taken: {0}")]
    Certificate(String),
    #[error("the gateway's key could not be kept")]
    Pin(#[source] std::io::Error),
    #[error("{0}")]
    Protocol(String),
    #[error("the gateway refused: {}", words_of(.0))]
    Refused(Box<tonic::Status>),
    #[error("the gateway does not let this agent in: {}", words_of(.0))]
    ForGood(Box<tonic::Status>),
    #[error("the gateway asks to register again")]
    Again,
}

/// What a refusal says; a status shown as such is for who reads gRPC.
fn words_of(status: &tonic::Status) -> &str {
    Some(status.message()).filter(|words| !words.is_empty()).unwrap_or_else(|| status.code().description())
}

impl From<tonic::Status> for ConnectError {
    fn from(status: tonic::Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

/// A connection to the gateway on which `Hello` was answered.
pub(super) struct Connected {
    pub(super) client: FleetClient<GrpcTransport>,
    pub(super) channel: Channel,
    /// The gateway issues certificates.
    pub(super) certifies: bool,
}

impl RegistrationLoop {
    /// A connection to this agent's gateway, with a certificate where there is one to be had.
    pub(super) async fn connect(&self) -> Result<Connected, ConnectError> {
        if !self.pins.any() {
            self.join_by_socket().await;
        }
        for _ in 0..2 {
            let alone = !self.certificates.shows_one();
            let gateway = match self.greet((self.dialer)().await?).await {
                Err(ConnectError::Refused(status)) if !alone && status.code() == Code::PermissionDenied => {
                    // It may be the certificate: with the key alone another can be asked for.
                    self.certificates.show_none();
                    return Err(ConnectError::Refused(status));
                }
                Err(error @ ConnectError::NotInvited(_)) => {
                    // The pinned gateway does not know this agent any more; the next try may find that it does.
                    self.join_by_socket().await;
                    return Err(error);
                }
                greeted => greeted?,
            };
            if !gateway.certifies || !self.certificates.is_due() || !self.certify(&gateway).await? || !alone {
                return Ok(gateway);
            }
            // It is shown in handshakes that come, so this connection goes and the next one shows it.
        }
        Err(ConnectError::Again)
    }

    /// Checks that it is this agent's gateway, and says who this agent is: its key is the pinned one, or it has proved
    /// itself and is pinned now.
    pub(super) async fn greet(&self, dialled: Dialled) -> Result<Connected, ConnectError> {
        self.greeted(dialled, None).await
    }

    /// As [`RegistrationLoop::greet`], over a socket that only this user's own processes can have.
    pub(super) async fn greet_by_socket(&self, dialled: Dialled) -> Result<Connected, ConnectError> {
        self.greeted(dialled, Some(Way::Socket)).await
    }

    async fn greeted(&self, dialled: Dialled, by: Option<Way>) -> Result<Connected, ConnectError> {
        let Dialled { transport, channel, .. } = dialled;
        let known = self.pins.dialled(&channel.peer);
        if known == Known::Other {
            return Err(ConnectError::OtherKey(self.pins.words(&channel.peer)));
        }
        self.certificates.check_gateway(&channel).map_err(ConnectError::OtherKey)?;
        let mut client =
            FleetClient::new(transport).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE);
        let mut way = match by {
            Some(way) => way,
            None if known == Known::First => self.way(&channel)?,
            None => Way::Known,
        };
        let reply = match self.hello(&mut client, &channel, way).await {
            // It is the pinned gateway and does not know this agent: its ledger is new, or a restored backup.
            Err(ConnectError::Refused(status)) if known == Known::Pinned && status.code() == Code::Unauthenticated => {
                way = self.way(&channel)?;
                self.hello(&mut client, &channel, way).await?
            }
            // Its key or its invitation is refused, and stays so until a person does something about it. Only its own gateway
            // may say so, and not while the certificate may be what is refused.
            Err(ConnectError::Refused(status))
                if status.code() == Code::PermissionDenied
                    && (known == Known::Pinned || way == Way::Invitation)
                    && !self.certificates.shows_one() =>
            {
                return Err(ConnectError::ForGood(status));
            }
            reply => reply?,
        };
        if known == Known::First && way == Way::Secret {
            self.greeter.check_reply(&channel, &reply)?;
        }
        if let Some(words) = version::objection("agent", "gateway", reply.protocol, &reply.version) {
            return Err(ConnectError::Protocol(words));
        }
        self.pins.pin(channel.peer).map_err(ConnectError::Pin)?;
        Ok(Connected { client, channel, certifies: reply.certifies })
    }

    async fn hello(
        &self,
        client: &mut FleetClient<GrpcTransport>,
        channel: &Channel,
        way: Way,
    ) -> Result<wire::HelloReply, ConnectError> {
        let proof = Proof::when(way == Way::Secret);
        let request = self.greeter.request(channel, &self.identity.cluster(), proof);
        let request = self.introduced(request, way);
        let reply = tokio::time::timeout(STEP, client.hello(request)).await.map_err(|_| ConnectError::Slow)?;
        match reply {
            Ok(reply) => Ok(reply.into_inner()),
            Err(status) if status.code() == Code::FailedPrecondition => {
                Err(ConnectError::Protocol(status.message().to_owned()))
            }
            Err(status) if way == Way::Secret && status.code() == Code::Unauthenticated => Err(NotJoined.into()),
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
