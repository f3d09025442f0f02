//! The built-in certificate authority, the certificate that the port shows to clients, and those of agents.
//!
//! - [`authority`]: the root, made at the first start, and what it issues;
//! - [`names`]: the names and addresses that a certificate of this gateway is for;
//! - [`files`]: a certificate of the operator's own, read again when it changes;
//! - [`serving`]: what is shown now, and the task that exchanges it in time.
//!
//! - [`identities`]: certificates of agents, and the gateway's own among them.
//!
//! An exchange touches no open connection. Agents are no clients: they are shown another certificate, for the key that
//! they know the gateway by.

pub mod authority;
mod files;
mod identities;
mod names;
mod serving;

use std::{io, net::SocketAddr, path::PathBuf};

use longhaul_proto::{clock::Clock, private::NotPrivate, transport::NotCertified};

use crate::{
    key_store::{KeyStore, KeyStoreError},
    options::{Options, Tls},
};
use authority::Authority;
pub use identities::{Identities, Issued, NotIssued};
pub use serving::Certificates;
use serving::Source;

/// Why the port has no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It would answer in the clear where others of the network can listen.
    #[error(
        "with --tls off on {0}, every machine on the way reads tokens, code and results: leave --tls off out, and this \
         gateway makes a certificate; or add --insecure-network where something else protects the connections, such as a \
         VPN or a proxy that speaks TLS"
    )]
    InTheClear(SocketAddr),
    /// The authority's key cannot be used.
    #[error("the key of the certificate authority cannot be used")]
    Key(#[from] KeyStoreError),
    /// What is stored for the authority is no key with its certificate.
    #[error(
        "{} is not what this program wrote: put it back from a backup; or move it away, and a new authority is made, whose root every client has to be told",
        .0.display()
    )]
    Authority(PathBuf),
    /// The authority could not sign.
    #[error("no certificate can be made")]
    Make(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file of the operator's cannot be read.
    #[error("cannot read {}: check --tls-cert and --tls-key", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others can read the private key.
    #[error("the private key of --tls-key must be a secret")]
    Open(#[from] NotPrivate),
    /// They are no certificate and key.
    #[error("{} with the key {} cannot be used", certificate.display(), key.display())]
    Files {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        #[source]
        source: NotCertified,
    },
    /// The certificate's end has passed.
    #[error("the certificate in {} has expired", .0.display())]
    Expired(PathBuf),
}

/// What the port of a gateway with these options shows to clients; `None` = it speaks no TLS to them. `own_names` are
/// those under which it answers.
///
/// # Errors
/// See [`TlsError`].
pub fn open(
    options: &Options,
    keys: &dyn KeyStore,
    listen: SocketAddr,
    own_names: &[String],
    clock: &Clock,
) -> Result<Option<Certificates>, TlsError> {
    let near = listen.ip().is_loopback();
    let source = match &options.tls {
        Tls::Off if !near && !options.insecure_network => return Err(TlsError::InTheClear(listen)),
        Tls::ByAddress if near => return Ok(None),
        Tls::Off => return Ok(None),
        Tls::ByAddress | Tls::BuiltIn => Source::BuiltIn {
            authority: Box::new(Authority::ensure(keys, clock.unix_ms() / 1000)?),
            names: names::Names::new(listen, own_names),
            lifetime: options.certificate_lifetime,
        },
        Tls::Files { certificate, key } => Source::Files(files::Files::new(certificate, key)),
    };
    Certificates::open(source, clock).map(Some)
}
