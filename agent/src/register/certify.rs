//! Asking the gateway for a certificate: when there is none, and in time before it ends, over the connection that is there.

use std::time::Duration;

use longhaul_proto::{faults, wire};
use tonic::{Code, Request};

use super::{
    RegistrationLoop,
    connect::{ConnectError, Connected, STEP},
};

/// Between two requests for a certificate that was not given.
const AGAIN: Duration = Duration::from_secs(30);

impl RegistrationLoop {
    /// Asks for a certificate and takes it. `false` = the gateway knows this agent's key only after it has registered.
    pub(super) async fn certify(&self, gateway: &Connected) -> Result<bool, ConnectError> {
        if faults::bug("certificate_not_renewed") && self.certificates.shows_one() {
            return Ok(true);
        }
        let mut client = gateway.client.clone();
        let asked = tokio::time::timeout(STEP, client.certify(Request::new(wire::CertifyRequest {}))).await;
        let chain = match asked.map_err(|_| ConnectError::Slow)? {
            Ok(reply) => reply.into_inner().chain,
            Err(status) if status.code() == Code::FailedPrecondition => return Ok(false),
            Err(status) => return Err(status.into()),
        };
        let taken = self.certificates.take(chain, &gateway.channel, self.identity.agent_id()).await;
        taken.map(|()| true).map_err(ConnectError::Certificate)
    }

    /// Renews the certificate when it is due. Without success the connection goes on, and it is tried again.
    pub(super) async fn renew(&self, gateway: &Connected, asked_at: &mut Option<tokio::time::Instant>) {
        let waits = asked_at.is_some_and(|at| at.elapsed() < AGAIN);
        if !gateway.certifies || waits || !self.certificates.is_due() {
            return;
        }
        *asked_at = Some(tokio::time::Instant::now());
        match self.certify(gateway).await {
            Ok(_) => {
                *asked_at = None;
                tracing::debug!("this agent has another certificate");
            }
            Err(error) => {
                let why = longhaul_proto::words::chain(&error);
                tracing::warn!(why, "this agent's certificate was not renewed; it is asked for again");
            }
        }
    }
}
