//! How clients are answered that speak TLS.

use std::path::PathBuf;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// By a certificate of the built-in authority where other machines can reach the port, and not at all on loopback.
    #[default]
    ByAddress,
    /// Not at all.
    Off,
    /// By a certificate of the built-in authority.
    BuiltIn,
    /// By a certificate of the operator's own; both files in PEM form.
    Files {
        /// The certificate, and what leads from it to its root.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
}
