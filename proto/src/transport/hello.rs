//! The first call on a connection: both sides say who they are, and prove it where needed.
//!
//! ```text
//! who dials                                         who accepts
//!   Hello{protocol, cluster, proof unless pinned} ---->   is this key pinned? else: is the proof right?
//!                    <----  HelloReply{protocol, id, cluster, proof if one was sent}
//!   is the proof right? then: pin
//! ```
//!
//! A proof is a MAC, keyed with the join secret, over everything that is specific to this moment: the version, which
//! *role* the prover plays, the prover's key, the other side's key, the ledger, and the exporter value of this TLS
//! connection. So a proof sent back to its maker has the wrong role, one passed on by a machine in the middle belongs
//! to another connection, and a recorded one to a connection that is gone. The dialling side proves first: a side that
//! does not hold the secret learns nothing, not even an id.

use subtle::ConstantTimeEq;

use super::channel::{Channel, Fingerprint};
use crate::{PROTOCOL, digest::KeyedDigest, faults, join::JoinSecret, wire};

/// Largest `Hello` and answer, bytes.
pub const LIMIT: usize = 4096;

/// What a side is to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one gateway of a ledger.
    Gateway,
    /// One of its agents.
    Agent,
}

impl Role {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Agent => "agent",
        }
    }

    /// The opposite role.
    pub fn other(self) -> Self {
        match self {
            Self::Gateway => Self::Agent,
            Self::Agent => Self::Gateway,
        }
    }
}

/// The other side does not hold our join secret, or a third side answered in its place.
#[derive(Debug, thiserror::Error)]
#[error("the other side did not prove that it holds the same join secret")]
pub struct NotJoined;

/// Whether a message of `Hello` carries a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The other side may not know our key.
    Include,
    /// It has pinned our key.
    Omit,
}

impl Proof {
    /// One is included when `needed`.
    pub fn when(needed: bool) -> Self {
        if needed { Self::Include } else { Self::Omit }
    }
}

/// What one side needs for `Hello`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Greeter {
    /// What this side is.
    pub role: Role,
    /// The secret that both sides share.
    pub secret: JoinSecret,
}

impl Greeter {
    /// The `Hello` of the dialling side.
    pub fn request(&self, channel: &Channel, cluster_id: &str, proof: Proof) -> wire::HelloRequest {
        wire::HelloRequest {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster_id: cluster_id.to_owned(),
            channel_proof: self.proof(channel, cluster_id, proof),
            ..Default::default()
        }
    }

    /// Checks the proof in a `Hello`.
    ///
    /// # Errors
    /// When it is missing or wrong.
    pub fn check_request(&self, channel: &Channel, request: &wire::HelloRequest) -> Result<(), NotJoined> {
        self.check(channel, &request.cluster_id, &request.channel_proof)
    }

    /// The answer of the accepting side, to be given only to a side that is pinned or has proved the secret. `id` is
    /// the agent id, or the gateway's incarnation.
    pub fn reply(&self, channel: &Channel, cluster_id: &str, id: &str, proof: Proof) -> wire::HelloReply {
        wire::HelloReply {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            id: id.to_owned(),
            cluster_id: cluster_id.to_owned(),
            channel_proof: self.proof(channel, cluster_id, proof),
            ..Default::default()
        }
    }

    /// Checks the proof in an answer.
    ///
    /// # Errors
    /// When it is missing or wrong.
    pub fn check_reply(&self, channel: &Channel, reply: &wire::HelloReply) -> Result<(), NotJoined> {
        self.check(channel, &reply.cluster_id, &reply.channel_proof)
    }

    fn proof(&self, channel: &Channel, cluster_id: &str, proof: Proof) -> Vec<u8> {
        match proof {
            Proof::Include => self.own(channel, cluster_id).to_vec(),
            Proof::Omit => Vec::new(),
        }
    }

    fn own(&self, channel: &Channel, cluster_id: &str) -> [u8; 32] {
        self.mac(self.role, &channel.own, &channel.peer, cluster_id, &channel.exporter)
    }

    fn check(&self, channel: &Channel, cluster_id: &str, proof: &[u8]) -> Result<(), NotJoined> {
        let want = self.mac(self.role.other(), &channel.peer, &channel.own, cluster_id, &channel.exporter);
        if bool::from(want.as_slice().ct_eq(proof)) { Ok(()) } else { Err(NotJoined) }
    }

    fn mac(
        &self,
        role: Role,
        prover: &Fingerprint,
        other: &Fingerprint,
        cluster: &str,
        exporter: &[u8; 32],
    ) -> [u8; 32] {
        let mut mac = KeyedDigest::new(self.secret.bytes());
        let all = [
            b"longhaul hello 2".as_slice(),
            role.as_str().as_bytes(),
            &prover.0,
            &other.0,
            cluster.as_bytes(),
            exporter,
        ];
        // The deliberate bug: a proof as it was in protocol 1, of the secret alone.
        let parts = if faults::bug("hello_proves_the_secret_alone") { &all[..1] } else { &all[..] };
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::identity::Shown;

    fn side(role: Role, secret: &str) -> Greeter {
        Greeter { role, secret: JoinSecret::new(secret).unwrap() }
    }

    fn key(n: u8) -> Fingerprint {
        Fingerprint([n; 32])
    }

    fn ends(dials: u8, accepts: u8, connection: u8) -> (Channel, Channel) {
        let channel =
            |own, peer| Channel { own: key(own), peer: key(peer), exporter: [connection; 32], shown: Shown::default() };
        (channel(dials, accepts), channel(accepts, dials))
    }

    const SECRET: &str = "a secret of the lab";

    #[test]
    fn both_sides_prove_the_secret_each_in_its_role() {
        let (agent, gateway) = (side(Role::Agent, SECRET), side(Role::Gateway, SECRET));
        for (dials, accepts) in [(&agent, &gateway), (&gateway, &agent)] {
            let (near, far) = ends(1, 2, 9);
            let hello = dials.request(&near, "lab", Proof::Include);
            accepts.check_request(&far, &hello).unwrap();
            let reply = accepts.reply(&far, "lab", "id", Proof::Include);
            dials.check_reply(&near, &reply).unwrap();
            // The dialling side's own proof sent back: its role is wrong.
            assert!(
                dials
                    .check_reply(
                        &near,
                        &wire::HelloReply {
                            channel_proof: hello.channel_proof.clone(),
                            cluster_id: "lab".into(),
                            ..Default::default()
                        }
                    )
                    .is_err()
            );
            let own = accepts.own(&far, "lab").to_vec();
            assert!(accepts.check(&far, "lab", &own).is_err(), "reflected");
        }
    }

    #[test]
    fn a_proof_is_worth_something_in_its_place_alone() {
        let (agent, gateway) = (side(Role::Agent, SECRET), side(Role::Gateway, SECRET));
        let (near, far) = ends(1, 2, 9);
        let hello = agent.request(&near, "lab", Proof::Include);
        assert!(gateway.check_request(&far, &hello).is_ok());
        let (_, another_connection) = ends(1, 2, 8);
        let (_, another_agent) = ends(3, 2, 9);
        let (_, another_gateway) = ends(1, 4, 9);
        for channel in [another_connection, another_agent, another_gateway] {
            assert!(gateway.check_request(&channel, &hello).is_err(), "{channel:?}");
        }
        let other_ledger = wire::HelloRequest { cluster_id: "lab2".into(), ..hello.clone() };
        assert!(gateway.check_request(&far, &other_ledger).is_err());
        assert!(side(Role::Gateway, "another secret altogether").check_request(&far, &hello).is_err());
        assert!(
            side(Role::Agent, SECRET).check_request(&far, &hello).is_err(),
            "an agent takes no agent for a gateway"
        );
        for proof in [vec![], vec![0; 32], hello.channel_proof[..31].to_vec()] {
            let hello = wire::HelloRequest { channel_proof: proof, ..hello.clone() };
            assert!(gateway.check_request(&far, &hello).is_err());
        }
        assert!(agent.request(&near, "lab", Proof::Omit).channel_proof.is_empty());
    }

    #[cfg(feature = "faults")]
    #[test]
    fn a_proof_of_the_secret_alone_would_be_worth_something_anywhere() {
        let _scope = faults::enter("bug=hello_proves_the_secret_alone");
        let (agent, gateway) = (side(Role::Agent, SECRET), side(Role::Gateway, SECRET));
        let hello = agent.request(&ends(1, 2, 9).0, "lab", Proof::Include);
        assert!(gateway.check_request(&ends(3, 4, 8).1, &hello).is_ok());
    }
}
