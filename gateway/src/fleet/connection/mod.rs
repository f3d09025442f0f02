//! The connection to an agent: two TLS channels, each to the holder of the agent's key.
//!
//! The key is checked before any message is sent, and a channel that broke is never replaced silently. So a process
//! that takes over an agent's port gets no code, and a call that fails because the channel was gone did not leave this
//! machine. [`port`] is the calls; nothing else in the gateway knows that they travel by gRPC.
//!
//! There are two channels because short calls must not wait behind a run's output.

mod port;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use longhaul_proto::{
    MAX_MESSAGE, faults,
    grpc_transport::GrpcTransport,
    transport::{self, DialError, Dialled, Ends, Fingerprint, Greeter, Key, Pings, Proof, Shown},
    version,
    visible::{self, Foreign},
    wire::{self, agent_client::AgentClient},
};
use tonic::{Code, Status};

use crate::ca::Identities;

pub use transport::Spent;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not a URL that can be dialled.
    #[error("its advertised address {0} is not http://host:port: set --advertise on the agent")]
    Address(String),
    /// The connection failed.
    #[error("its advertised address {address} cannot be dialled: check --advertise, --listen and firewalls")]
    Dial {
        /// The address.
        address: String,
        /// Why it failed.
        #[source]
        source: DialError,
    },
    /// It took too long.
    #[error("its advertised address {0} does not answer: check --advertise, --listen and firewalls")]
    Timeout(String),
    /// Another program or agent answers there.
    #[error("what answers at {address} is not that agent ({reason})")]
    Stranger {
        /// The address.
        address: String,
        /// What was wrong.
        reason: String,
    },
    /// Its protocol is too old or too new.
    #[error("{0}")]
    Protocol(String),
}

/// The connection to one agent: two channels.
#[derive(Debug)]
pub struct Connection {
    /// For short calls.
    control: Channel,
    /// For runs and their output.
    data: Channel,
    /// The agent that answered, as it describes itself.
    pub described: wire::AgentInfo,
}

#[derive(Debug)]
struct Channel {
    client: AgentClient<GrpcTransport>,
    ends: Ends,
}

/// Who must answer, and who calls.
#[derive(Clone, Debug)]
pub struct Who {
    /// The agent's key.
    pub key: Fingerprint,
    /// The gateway's greeting.
    pub greeter: Greeter,
    /// The id of the gateway's ledger.
    pub cluster_id: String,
    /// What its certificate is checked by; `None` = there are none.
    pub certified: Option<Certified>,
}

/// What an agent's certificate must say.
#[derive(Clone, Debug)]
pub struct Certified {
    /// Of whose authority it is.
    pub identities: Identities,
    /// The agent's id.
    pub agent_id: String,
    /// Whether its key alone is not enough.
    pub needed: bool,
    /// The time, Unix seconds.
    pub now_s: i64,
}

impl Certified {
    fn objection(&self, shown: &Shown) -> Option<String> {
        match self.identities.agent(shown, self.now_s) {
            Err(why) => Some(why),
            Ok(Some((id, _))) if id != self.agent_id => {
                Some(format!("it shows the certificate of another agent ({id})"))
            }
            Ok(None) if self.needed && !faults::bug("key_alone_is_enough") => {
                Some("it shows no certificate".to_owned())
            }
            Ok(_) => None,
        }
    }
}

impl Connection {
    /// Dials an agent twice and greets it on both channels, within `limit`.
    ///
    /// # Errors
    /// See [`ConnectError`]; the texts are for the agent's owner.
    pub async fn dial(dialer: &Dialer, address: &str, who: &Who, limit: Duration) -> Result<Self, ConnectError> {
        let both = async {
            let (control, data) =
                tokio::try_join!(Channel::dial(dialer, address, who), Channel::dial(dialer, address, who))?;
            let described = control.client.clone().describe(wire::DescribeRequest {}).await;
            let described = described.map_err(|s| stranger(address, s.message()))?.into_inner();
            let mut described = described.agent.ok_or_else(|| stranger(address, "it does not say who it is"))?;
            described.make_harmless();
            Ok(Self { control, data, described })
        };
        tokio::time::timeout(limit, both).await.map_err(|_| ConnectError::Timeout(address.to_owned()))?
    }

    /// The client for short calls.
    fn control(&self) -> AgentClient<GrpcTransport> {
        self.control.client.clone()
    }

    /// The client for runs and their output.
    fn data(&self) -> AgentClient<GrpcTransport> {
        self.data.client.clone()
    }
}

impl Channel {
    async fn dial(dialer: &Dialer, address: &str, who: &Who) -> Result<Self, ConnectError> {
        let Dialled { transport, channel, ends, .. } = dialer(address.to_owned()).await?;
        // The deliberate bug: the key of the process that answers is not checked.
        if channel.peer != who.key && !faults::bug("any_agent_key") {
            let shown = channel.peer.short();
            return Err(stranger(
                address,
                &format!("it shows the key {shown}, and the agent's is {}", who.key.short()),
            ));
        }
        if let Some(why) = who.certified.as_ref().and_then(|certified| certified.objection(&channel.shown)) {
            return Err(stranger(address, &why));
        }
        let mut client =
            AgentClient::new(transport).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE);
        // The agent pinned the gateway's key before it registered.
        let hello = client.hello(who.greeter.request(&channel, &who.cluster_id, Proof::Omit)).await;
        let reply = hello.map_err(|status| match status.code() {
            Code::FailedPrecondition => ConnectError::Protocol(said(&status)),
            _ => stranger(address, status.message()),
        })?;
        let (protocol, version) = (reply.get_ref().protocol, &reply.get_ref().version);
        if let Some(words) = version::objection("gateway", "agent", protocol, version) {
            return Err(ConnectError::Protocol(words));
        }
        Ok(Self { client, ends })
    }
}

/// Opens one channel.
pub type Dialer = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Dialled, ConnectError>> + Send + Sync>;

/// Dials over TCP.
pub(crate) fn tcp(key: Key, silent_after: Duration) -> Dialer {
    Arc::new(move |address| Box::pin(dial_tcp(address, key.clone(), silent_after)))
}

async fn dial_tcp(address: String, key: Key, silent_after: Duration) -> Result<Dialled, ConnectError> {
    let uri: http::Uri = address.parse().map_err(|_| ConnectError::Address(address.clone()))?;
    if uri.port_u16().is_none() {
        return Err(ConnectError::Address(address));
    }
    let pings = Pings { every: silent_after, patience: silent_after * 2 };
    match transport::dial(&uri, &key, pings).await {
        Ok(dialled) => Ok(dialled),
        Err(DialError::Address(_)) => Err(ConnectError::Address(address)),
        Err(source) => Err(ConnectError::Dial { address, source }),
    }
}

fn stranger(address: &str, reason: &str) -> ConnectError {
    ConnectError::Stranger { address: address.to_owned(), reason: visible::line(reason).into_owned() }
}

/// An agent's words with an error, made harmless.
fn said(status: &Status) -> String {
    visible::line(status.message()).into_owned()
}
