//! The command line of `login` and `logout`.

use std::path::PathBuf;

use clap::Args;

use crate::config::Url;

/// `login`.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The gateway, such as https://gateway.lab:7447.
    #[arg(value_name = "URL")]
    pub(crate) url: Url,
    /// SHA-256 fingerprint of the root of the gateway's own authority, as `up` and `gateway` print it [default: trust the
    /// system's roots].
    #[arg(long, value_name = "SHA256")]
    pub(crate) ca_fingerprint: Option<String>,
    /// File with the token.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// `logout`.
#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// The gateway, as it was given to `login`.
    #[arg(value_name = "URL")]
    pub(crate) url: Url,
}
