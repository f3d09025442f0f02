//! A side of a connection between gateway and agents, played by a test: with a key of its own, or with one that was
//! copied from a data folder.

mod played;
mod recorder;

use std::{fs, path::Path, time::Duration};

use longhaul_gateway::{ca::Identities, key_store::Folder};
use longhaul_proto::{
    clock::Clock,
    grpc_transport::GrpcTransport,
    join::JoinSecret,
    transport::{self, DialError, Dialled, Greeter, Key, Pings, Proof, Role},
    wire::{agent_client::AgentClient, fleet_client::FleetClient},
};
use tonic::Status;

pub use played::{Behind, Played};
pub use recorder::Recorder;

/// A key, and the role and secret used with it.
#[derive(Clone, Debug)]
pub struct Side {
    /// The key.
    pub key: Key,
    /// Role and secret.
    pub greeter: Greeter,
}

/// The secret of a side that does not know the right one.
pub const GUESS: &str = "a guess at the secret";

impl Side {
    /// A stranger in this role, with a new key and without the secret.
    pub fn stranger(role: Role) -> Self {
        Self::with_secret(role, GUESS)
    }

    /// One in this role with a new key and this secret.
    pub fn with_secret(role: Role, secret: &str) -> Self {
        Self { key: Key::generate().unwrap(), greeter: Greeter { role, secret: JoinSecret::new(secret).unwrap() } }
    }

    /// The gateway with this data folder; it shows a certificate of its authority.
    pub fn gateway(data: &Path) -> Self {
        let key = Key::ensure(&data.join(longhaul_gateway::GATEWAY_KEY)).unwrap();
        if data.join("ca-key").exists() {
            let life = Duration::from_secs(3600);
            Identities::open(&Folder::new(data), &cluster(data), key.clone(), life, &Clock::system()).unwrap();
        }
        Self { key, greeter: Greeter { role: Role::Gateway, secret: secret(data) } }
    }

    /// The agent with this data folder, and a gateway's secret.
    pub fn agent(data: &Path, gateway: &Path) -> Self {
        let key = Key::ensure(&data.join("agent/key")).unwrap();
        Self { key, greeter: Greeter { role: Role::Agent, secret: secret(gateway) } }
    }

    /// Dials without sending a call.
    ///
    /// # Errors
    /// When no connection is made.
    pub async fn dial(&self, url: &str) -> Result<Dialled, DialError> {
        let pings = Pings { every: Duration::from_secs(10), patience: Duration::from_secs(20) };
        transport::dial(&url.parse().unwrap(), &self.key, pings).await
    }

    /// A client of an agent after `Hello` with a proof.
    ///
    /// # Errors
    /// The agent's refusal of `Hello`.
    pub async fn call_agent(&self, url: &str) -> Result<AgentClient<GrpcTransport>, Status> {
        let dialled = self.dial(url).await.map_err(|e| Status::unavailable(e.to_string()))?;
        let mut client = AgentClient::new(dialled.transport);
        client.hello(self.greeter.request(&dialled.channel, "", Proof::Include)).await?;
        Ok(client)
    }

    /// A client of a gateway that knows the key, after `Hello` without a proof.
    ///
    /// # Errors
    /// The gateway's refusal of `Hello`.
    pub async fn call_gateway_pinned(&self, url: &str) -> Result<FleetClient<GrpcTransport>, Status> {
        let dialled = self.dial(url).await.map_err(|e| Status::unavailable(e.to_string()))?;
        let mut client = FleetClient::new(dialled.transport);
        client.hello(self.greeter.request(&dialled.channel, "", Proof::Omit)).await?;
        Ok(client)
    }

    /// A client of a gateway after `Hello` with a proof.
    ///
    /// # Errors
    /// The gateway's refusal of `Hello`.
    pub async fn call_gateway(&self, url: &str) -> Result<FleetClient<GrpcTransport>, Status> {
        let dialled = self.dial(url).await.map_err(|e| Status::unavailable(e.to_string()))?;
        let mut client = FleetClient::new(dialled.transport);
        client.hello(self.greeter.request(&dialled.channel, "", Proof::Include)).await?;
        Ok(client)
    }
}

/// The id of the ledger of the gateway with this data folder, as it told its owner in its log of who did what.
pub fn cluster(data: &Path) -> String {
    let read = |file: fs::DirEntry| fs::read_to_string(file.path()).ok();
    let log: String = fs::read_dir(data.join("audit")).unwrap().flatten().filter_map(read).collect();
    let (_, after) = log.rsplit_once("\"cluster\":\"").unwrap();
    after.split('"').next().unwrap().to_owned()
}

/// The secret in the data folder of a gateway.
pub fn secret(data: &Path) -> JoinSecret {
    JoinSecret::new(&fs::read_to_string(data.join("join-secret")).unwrap()).unwrap()
}
