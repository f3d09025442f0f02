//! Connections between gateway and agents: TLS 1.3 with a key on each side, always, on loopback too.
//!
//! **What is guaranteed.** Who dials and who accepts know each other's key before a byte of a call is read, and nobody
//! between them reads or changes what is said. *Whose* key it is, is a matter of pins: each side keeps the fingerprint
//! of the other's key from their first contact on, when both proved the join secret over this very connection
//! ([`hello`]). From then on the connection is the proof, and calls carry none.
//!
//! - [`key`]: the key pair of one side, made at its first start; no certificate authority, the certificate is made anew
//!   at each start and says nothing;
//! - [`channel`]: what is known of one connection, to all of its requests;
//! - [`dial`]: the one place that dials; [`accept`]: the one place that accepts, and tells TLS from plain HTTP by the
//!   first byte, so that one port serves both;
//! - [`hello`]: the first words on a connection; [`guard`]: nothing but them before they are done.
//!
//! A listener only moves bytes: what stands below TLS is any stream, and either side of a connection may be the one that
//! dialled it.

pub mod accept;
pub mod channel;
pub mod dial;
pub mod guard;
pub mod hello;
pub mod key;
mod stream;
mod tls;

pub use accept::{Accepted, accept};
pub use channel::{Channel, Ends, Fingerprint, Session};
pub use dial::{DialError, Dialled, Pings, Spent, dial, never_sent};
pub use guard::Guarded;
pub use hello::{Greeter, Role};
pub use key::{Key, KeyError};
pub use stream::Stream;
