//! What every command starts from, and how it fails.

use longhaul_proto::{clock::Clock, encoding::Encoding, ids::Ids, tasks::Tasks};

use crate::{
    client::ClientError,
    config::{Config, ConfigError, Env},
    data::{Data, NoDefault},
    exit,
    input::InputError,
};

/// What a command works with. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Settings and where they came from.
    pub(crate) config: Config,
    /// The environment at the start.
    pub(crate) env: Env,
    /// The data folder.
    pub(crate) data: Data,
    /// Time.
    pub(crate) clock: Clock,
    /// Names.
    pub(crate) ids: Ids,
    /// Spawning.
    pub(crate) tasks: Tasks,
    /// Times are shown in UTC.
    pub(crate) utc: bool,
}

impl Context {
    /// From the machine's own clock and names.
    ///
    /// # Errors
    /// When there is no data folder.
    pub(crate) fn new(config: Config, env: Env) -> Result<Self, Failure> {
        let data = Data::of(&config, &env)?;
        Ok(Self { config, env, data, clock: Clock::system(), ids: Ids::system(), tasks: Tasks::new(), utc: false })
    }

    /// The encoding of what is no UTF-8 in a run's output.
    pub(crate) fn log_encoding(&self) -> Encoding {
        self.config.settings.log_encoding.unwrap_or_default()
    }
}

/// Why a command failed: words for a person, and the exit status.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// What is wrong and what to do next.
    pub(crate) message: String,
    /// The exit status.
    pub(crate) status: u8,
}

impl Failure {
    /// The command line or a setting is not valid.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), status: exit::USAGE }
    }

    /// A failure on our side.
    pub(crate) fn system(message: impl Into<String>) -> Self {
        Self { message: message.into(), status: exit::SYSTEM }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        // The gateway reads what was typed: what it calls malformed is a mistake in the command line.
        if error.is_usage() { Self::usage(error.to_string()) } else { Self::system(error.to_string()) }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<NoDefault> for Failure {
    fn from(error: NoDefault) -> Self {
        Self::usage(error.to_string())
    }
}

/// Writing to stdout failed; a reader that left is no failure (see [`crate::output::Out`]).
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::system(format!("cannot write the output: {error}"))
    }
}
