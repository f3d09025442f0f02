//! How an agent that no gateway knows yet is let in: by the token of an invitation, by the socket of the gateway's user, or
//! by the secret that both were told.

use std::path::PathBuf;

use longhaul_proto::{
    invitation::JoinToken,
    private,
    transport::{self, Channel, Key},
    wire, words,
};

use super::{
    RegistrationLoop,
    connect::{ConnectError, PINGS, STEP},
};

/// What this agent may join by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ways {
    /// It was told a secret.
    pub(crate) secret: bool,
    /// It was invited.
    pub(crate) join: Option<JoinToken>,
    /// Where gateways of this user may be.
    pub(crate) sockets: Vec<PathBuf>,
    /// The key that it shows there.
    pub(crate) key: Option<Key>,
}

/// By what a greeting says that this agent may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The gateway knows its key.
    Known,
    /// The socket is proof enough.
    Socket,
    /// The token of an invitation.
    Invitation,
    /// The secret that both hold.
    Secret,
}

impl RegistrationLoop {
    /// The way in over this connection; a token goes only to the gateway that made it.
    pub(super) fn way(&self, channel: &Channel) -> Result<Way, ConnectError> {
        if let Some(token) = &self.ways.join {
            let checked = self.certificates.check_inviting(channel, &token.root);
            return checked.map(|()| Way::Invitation).map_err(ConnectError::OtherKey);
        }
        if self.ways.secret {
            return Ok(Way::Secret);
        }
        Err(ConnectError::NotInvited(format!(
            "this gateway does not know this agent: an operator runs `longhaul agents invite {}` on the gateway, which prints the \
             command for this host",
            self.identity.name()
        )))
    }

    /// A greeting with what the way in needs.
    pub(super) fn introduced(&self, greeting: wire::HelloRequest, way: Way) -> wire::HelloRequest {
        let token = self.ways.join.as_ref().filter(|_| way == Way::Invitation);
        if token.is_none() && way != Way::Socket {
            return greeting;
        }
        wire::HelloRequest {
            join_token: token.map(|token| token.text().to_owned()).unwrap_or_default(),
            agent_name: self.identity.name().to_owned(),
            agent_id: self.identity.agent_id().to_owned(),
            ..greeting
        }
    }

    /// Joins by a socket of this user behind which this agent's gateway is.
    pub(super) async fn join_by_socket(&self) {
        let Ways { sockets, key: Some(key), .. } = &self.ways else { return };
        if sockets.is_empty() {
            return;
        }
        // The gateway is the one that answers at its address; whose socket it is, its key says.
        let Ok(dialled) = (self.dialer)().await else { return };
        for socket in sockets {
            match self.by_socket(socket, key, &dialled.channel).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    let why = words::chain(&error);
                    tracing::warn!(socket = %socket.display(), why, "this agent could not join by the socket");
                }
            }
        }
    }

    async fn by_socket(&self, socket: &std::path::Path, key: &Key, gateway: &Channel) -> Result<bool, ConnectError> {
        let closed = socket.parent().is_some_and(|folder| private::check_closed(folder).is_ok());
        if !closed || !socket.exists() {
            return Ok(false);
        }
        let dialled = tokio::time::timeout(STEP, transport::dial_socket(socket, key, PINGS)).await;
        let Ok(Ok(dialled)) = dialled else { return Ok(false) };
        if dialled.channel.peer != gateway.peer {
            return Ok(false);
        }
        let greeted = self.greet_by_socket(dialled).await?;
        if greeted.certifies && self.certificates.is_due() {
            self.certify(&greeted).await?;
        }
        tracing::info!(socket = %socket.display(), "this agent has joined by the socket of its user");
        Ok(true)
    }
}
