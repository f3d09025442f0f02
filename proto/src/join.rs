//! Gateway and agent prove a shared join secret to each other, both ways.
//!
//! The secret itself never travels. The client of a connection sends a random nonce in `Hello`; the server answers
//! with its own nonce, fixed for the life of its process, and an HMAC over both: now the client knows the server. On
//! every later call the client sends its nonce and its own HMAC over both in one metadata entry: now the server knows
//! the client, and a proof taken from one server process is worth nothing at another.
//!
//! ```text
//! client                                   server
//!   Hello{nonce c}            ---------->
//!             <----------  HelloReply{nonce s, HMAC(secret, "server", c, s)}
//!   any call, longhaul-join: c.HMAC(secret, "client", c, s)   ---->
//! ```
//!
//! A client that is about to send somebody's code makes sure that the call goes over the very connection on which
//! `Hello` was answered (see the gateway's `fleet::link`): another process that takes over the port cannot have it.
//! This proves who speaks; it does not hide what is said from the network between. TLS will, as a listener wrapper.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tonic::{
    Status,
    metadata::{Ascii, MetadataValue},
};

use crate::{PROTOCOL, hex, wire};

/// Name of the metadata entry that carries a client's proof.
pub const METADATA: &str = "longhaul-join";

/// Shortest secret that is accepted, characters.
pub const MIN_SECRET: usize = 16;

/// The shared secret; cheap to clone, never printed.
#[derive(Clone)]
pub struct JoinSecret(Arc<[u8]>);

/// The secret is too short to be one.
#[derive(Debug, thiserror::Error)]
#[error(
    "the join secret has fewer than {MIN_SECRET} characters: copy the whole line of the gateway's join-secret file"
)]
pub struct SecretTooShort;

impl JoinSecret {
    /// Takes the text of a secret; white space around it does not count.
    ///
    /// # Errors
    /// When fewer than [`MIN_SECRET`] characters are left.
    pub fn new(text: &str) -> Result<Self, SecretTooShort> {
        let text = text.trim();
        if text.len() < MIN_SECRET {
            return Err(SecretTooShort);
        }
        Ok(Self(text.as_bytes().into()))
    }

    fn mac(&self, role: &[u8], client: &[u8], server: &[u8]) -> [u8; 32] {
        // HMAC takes keys of any length, so this cannot fail; an empty key would only make a proof that nobody accepts.
        let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0) else { return [0; 32] };
        for part in [b"longhaul join v1".as_slice(), role, client, server] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for JoinSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JoinSecret(..)")
    }
}

/// The server's half: answers `Hello` and guards every other call.
#[derive(Clone, Debug)]
pub struct Guard {
    secret: JoinSecret,
    nonce: [u8; 32],
}

impl Guard {
    /// A guard with a nonce of its own, to be made once per process.
    ///
    /// # Errors
    /// When the kernel has no randomness.
    pub fn new(secret: JoinSecret) -> std::io::Result<Self> {
        Ok(Self { secret, nonce: crate::ids::secret()? })
    }

    /// The answer to `Hello`. `id` is the agent id, or the gateway's incarnation.
    pub fn hello(&self, request: &wire::HelloRequest, id: &str) -> wire::HelloReply {
        wire::HelloReply {
            nonce: self.nonce.to_vec(),
            proof: self.secret.mac(b"server", &request.nonce, &self.nonce).to_vec(),
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            id: id.to_owned(),
        }
    }

    /// Checks the proof of a call.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` with what to do, when there is no proof or it is wrong.
    pub fn check(&self, metadata: &tonic::metadata::MetadataMap) -> Result<(), Status> {
        let refuse =
            || Status::unauthenticated("join proof missing or wrong: gateway and agent must hold the same join secret");
        let text = metadata.get(METADATA).and_then(|v| v.to_str().ok()).ok_or_else(refuse)?;
        let (nonce, proof) = text.split_once('.').ok_or_else(refuse)?;
        let want = hex(&self.secret.mac(b"client", nonce.as_bytes(), &self.nonce));
        if bool::from(want.as_bytes().ct_eq(proof.as_bytes())) { Ok(()) } else { Err(refuse()) }
    }
}

/// The client's half for one connection: first [`Greeting::request`], then [`Greeting::prove`] with the answer.
#[derive(Debug)]
pub struct Greeting {
    secret: JoinSecret,
    nonce: [u8; 32],
}

/// The other side does not hold our join secret.
#[derive(Debug, thiserror::Error)]
#[error("whoever answers there does not hold the same join secret")]
pub struct NotJoined;

/// What every call on the connection must carry.
#[derive(Clone, Debug)]
pub struct Proof(MetadataValue<Ascii>);

impl Greeting {
    /// A greeting with a fresh nonce.
    ///
    /// # Errors
    /// When the kernel has no randomness.
    pub fn new(secret: JoinSecret) -> std::io::Result<Self> {
        Ok(Self { secret, nonce: crate::ids::secret()? })
    }

    /// The `Hello` to send.
    pub fn request(&self) -> wire::HelloRequest {
        wire::HelloRequest {
            nonce: self.nonce.to_vec(),
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Checks the answer and makes the proof for later calls.
    ///
    /// # Errors
    /// When the other side does not hold the secret.
    pub fn prove(&self, reply: &wire::HelloReply) -> Result<Proof, NotJoined> {
        let want = self.secret.mac(b"server", &self.nonce, &reply.nonce);
        if !bool::from(want.ct_eq(reply.proof.as_slice())) {
            return Err(NotJoined);
        }
        let nonce = hex(&self.nonce);
        let proof = hex(&self.secret.mac(b"client", nonce.as_bytes(), &reply.nonce));
        format!("{nonce}.{proof}").parse().map(Proof).map_err(|_| NotJoined)
    }
}

impl Proof {
    /// Puts the proof on a request.
    pub fn put<T>(&self, request: &mut tonic::Request<T>) {
        request.metadata_mut().insert(METADATA, self.0.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> JoinSecret {
        JoinSecret::new(text).unwrap()
    }

    fn call(client: &str, server: &str, other_process: bool) -> Result<(), String> {
        let guard = Guard::new(secret(server)).unwrap();
        let greeting = Greeting::new(secret(client)).unwrap();
        let proof = greeting.prove(&guard.hello(&greeting.request(), "a")).map_err(|e| e.to_string())?;
        let mut request = tonic::Request::new(());
        proof.put(&mut request);
        let at = if other_process { Guard::new(secret(server)).unwrap() } else { guard };
        at.check(request.metadata()).map_err(|s| s.message().to_owned())
    }

    #[test]
    fn both_sides_must_hold_the_secret() {
        assert_eq!(call("a secret of the lab", "a secret of the lab", false), Ok(()));
        assert!(call("a secret of the lab", "somebody else's secret", false).is_err());
        assert!(call("a secret of the lab", "a secret of the lab", true).is_err(), "a proof belongs to one process");
        assert!(
            Guard::new(secret("a secret of the lab")).unwrap().check(&tonic::metadata::MetadataMap::new()).is_err()
        );
        assert!(JoinSecret::new("short").is_err());
    }
}
