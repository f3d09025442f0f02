//! Connections between gateway and agents: TLS 1.3 with a key on each side, always, on loopback too.
//!
//! **Guarantee.** The dialling and the accepting side know each other's key before a byte of a call is read, and no
//! machine between them reads or changes what they send. *Whose* key it is, is a matter of pins: each side keeps the
//! fingerprint of the other's key from their first contact on, when both proved the join secret over this very
//! connection ([`hello`]). From then on the connection is the proof, and calls carry none.
//!
//! - [`key`]: the key pair of one side, made at its first start; it shows a certificate of the gateway's authority, or,
//!   while it has none, one that says nothing;
//! - [`identity`]: who a certificate names, and whether that is so;
//! - [`channel`]: what is known of one connection, available to all of its requests;
//! - [`dial`]: the only place that dials; [`accept`]: the only place that accepts, and distinguishes TLS from plain
//!   HTTP by the first byte, so that one port serves both;
//! - [`hello`]: the first call on a connection; [`guard`]: refuses all other calls before it;
//! - [`https`]: TLS for clients of a gateway, which have no keys, on the same port.
//!
//! A listener only moves bytes: below TLS there may be any stream, and either side of a connection may be the one that
//! dialled it.

pub mod accept;
pub mod channel;
pub mod dial;
pub mod guard;
pub mod hello;
pub mod https;
pub mod identity;
pub mod key;
mod stream;
mod tls;

pub use accept::{Accepted, accept, accept_all};
pub use channel::{Channel, Ends, Fingerprint, Session};
pub use dial::{DialError, Dialled, Pings, Spent, dial, dial_socket, never_sent};
pub use guard::Guarded;
pub use hello::{Greeter, Proof, Role};
pub use https::{Certified, Https, NotCertified};
pub use identity::{Name, Root, Shown};
pub use key::{Key, KeyError};
pub use stream::Stream;
