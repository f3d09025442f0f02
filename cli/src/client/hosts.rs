//! What operators do to hosts and to the gateway itself.

use longhaul_proto::api::{ClockTrusted, DrainBody, Drained, Forgotten};
use reqwest::Method;

use super::{Client, ClientError};

/// What is done to hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DrainAction {
    /// They start no further runs.
    Drain,
    /// They take runs again.
    Resume,
}

impl Client {
    /// Drains hosts, or lets them take runs again.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn drain(&self, what: DrainAction, body: &DrainBody) -> Result<Drained, ClientError> {
        let path = match what {
            DrainAction::Drain => "/api/v1/hosts/drain",
            DrainAction::Resume => "/api/v1/hosts/resume",
        };
        self.json(self.request(Method::POST, path).json(body)).await
    }

    /// Confirms that the gateway's clock is right, as an operator.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn trust_clock(&self) -> Result<ClockTrusted, ClientError> {
        self.json(self.request(Method::POST, "/api/v1/clock/trust")).await
    }

    /// Forgets hosts.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn forget_hosts(&self, body: &DrainBody) -> Result<Forgotten, ClientError> {
        self.json(self.request(Method::POST, "/api/v1/hosts/forget").json(body)).await
    }
}
