//! What is known of one connection.

use std::{
    fmt,
    net::IpAddr,
    str::FromStr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use http::Extensions;
use tokio_util::sync::CancellationToken;

use super::identity::Shown;
use crate::{connections::Connection, hex, unhex};

/// SHA-256 of a public key (its `SubjectPublicKeyInfo`): identifies the side that holds the private key. No secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

/// The text is not a fingerprint.
#[derive(Debug, thiserror::Error)]
#[error("not the fingerprint of a key: 64 hexadecimal digits")]
pub struct NotAFingerprint;

impl Fingerprint {
    /// Its first characters, enough for people to tell keys apart at a glance.
    pub fn short(&self) -> String {
        hex(&self.0[..6])
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;
    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        unhex(text).map(Self).ok_or(NotAFingerprint)
    }
}

/// The two keys of a connection, as one side sees them, and what belongs to this connection alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// This side's key.
    pub own: Fingerprint,
    /// The key of the other side, which has shown that it holds it.
    pub peer: Fingerprint,
    /// RFC 9266 `tls-exporter`: equal at both ends of one TLS connection and nowhere else. A proof over it cannot be
    /// carried to another connection.
    pub exporter: [u8; 32],
    /// What the other side showed.
    pub shown: Shown,
}

/// How to learn of a connection's end, and how to end it.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    /// Fires when the connection is gone.
    pub closed: CancellationToken,
    /// Fire it to end the connection.
    pub cut: CancellationToken,
}

/// A connection as the accepting side knows it; in the extensions of each of its requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Session(Arc<State>);

#[derive(Debug)]
struct State {
    channel: Channel,
    ends: Ends,
    greeted: AtomicBool,
    own_user: AtomicBool,
    counted: OnceLock<Connection>,
}

impl Session {
    /// A connection on which no call was made yet.
    pub fn new(channel: Channel, ends: Ends) -> Self {
        Self(Arc::new(State {
            channel,
            ends,
            greeted: AtomicBool::new(false),
            own_user: AtomicBool::new(false),
            counted: OnceLock::new(),
        }))
    }

    /// The kernel said that the process at the other end is of this process's own user.
    pub fn is_of_own_user(&self) -> bool {
        self.0.own_user.load(Ordering::Acquire)
    }

    /// See [`Session::is_of_own_user`]; said by the side that asked the kernel.
    pub fn of_own_user(&self) {
        self.0.own_user.store(true, Ordering::Release);
    }

    /// The session of a request; `None` = it came without TLS.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get::<Self>().or_else(|| extensions.get::<Option<Self>>()?.as_ref())
    }

    /// Its keys.
    pub fn channel(&self) -> &Channel {
        &self.0.channel
    }

    /// The key of the side that dialled.
    pub fn peer(&self) -> Fingerprint {
        self.0.channel.peer
    }

    /// `Hello` was answered: from now on other calls are answered too.
    pub fn greet(&self) {
        self.0.greeted.store(true, Ordering::Release);
        if let Some(connection) = self.0.counted.get() {
            connection.proved();
        }
    }

    /// The entry under which it is counted: what this session learns is reported there.
    pub fn counts_as(&self, connection: Connection) {
        // Only the first call counts; there is no second.
        let _ = self.0.counted.set(connection);
    }

    /// The address that it came from; `None` = not by the network, or nothing counts it.
    pub fn address(&self) -> Option<IpAddr> {
        self.0.counted.get().and_then(Connection::address)
    }

    /// The head of a request arrived.
    pub(super) fn sent_head(&self) {
        if let Some(connection) = self.0.counted.get() {
            connection.sent_head();
        }
    }

    /// Whether `Hello` was answered.
    pub fn greeted(&self) -> bool {
        self.0.greeted.load(Ordering::Acquire)
    }

    /// Whether the connection is gone.
    pub fn is_over(&self) -> bool {
        self.0.ends.closed.is_cancelled() || self.0.ends.cut.is_cancelled()
    }

    /// Ends the connection, with all that goes on in it.
    pub fn cut(&self) {
        self.0.ends.cut.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_as_it_was_written() {
        let key = Fingerprint(std::array::from_fn(|n| u8::try_from(n * 7).unwrap()));
        assert_eq!(key.to_string().parse::<Fingerprint>().unwrap(), key);
        assert_eq!(key.short().len(), 12);
        for bad in ["", "ab", &"g".repeat(64), &"a".repeat(63), &"ä".repeat(32)] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
