//! By what an agent joins its gateway: an invitation, a socket of this user, or the secret that both were told.

use std::path::PathBuf;

use longhaul_proto::{invitation::JoinToken, join::JoinSecret};

use super::configured_secret;
use crate::{
    access,
    config::Settings,
    context::{Context, Failure},
};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Joining {
    pub(crate) token: Option<JoinToken>,
    pub(crate) secret: Option<JoinSecret>,
    /// Tried only where nothing else was configured.
    pub(crate) sockets: Vec<PathBuf>,
}

/// The token that is configured.
///
/// # Errors
/// When it is none.
pub(crate) fn token(settings: &Settings) -> Result<Option<JoinToken>, Failure> {
    let read = |secret: &crate::config::Secret| JoinToken::read(&secret.0).map_err(|e| Failure::usage(e.to_string()));
    settings.join.as_ref().map(read).transpose()
}

/// By what an agent with these settings joins.
///
/// # Errors
/// When there is nothing that it could join by, or what there is cannot be used.
pub(crate) fn of(context: &Context) -> Result<Joining, Failure> {
    let s = &context.config.settings;
    let secret = |text: String| JoinSecret::new(&text).map_err(|e| Failure::usage(e.to_string()));
    let configured = configured_secret(s)?.map(secret).transpose()?;
    if let Some(token) = token(s)? {
        return Ok(Joining { token: Some(token), secret: configured, sockets: vec![] });
    }
    // One that has joined needs none of it.
    let joined = context.data.path().join("agent/gateway-keys").exists();
    let known = match configured {
        Some(secret) => Some(secret),
        None => context.data.join_secret().map(secret).transpose()?,
    };
    if let Some(secret) = known {
        if !joined && !context.data.has_record() {
            tracing::warn!(
                "this agent joins with the join secret, which the next version does not take any more: have it invited instead \
                 (`longhaul agents invite NAME` on the gateway)"
            );
        }
        return Ok(Joining { secret: Some(secret), ..Joining::default() });
    }
    let sockets = access::sockets(context);
    if !joined && sockets.is_empty() {
        return Err(Failure::usage(
            "an agent has to be invited: run `longhaul agents invite NAME` on the gateway, and on this host the command that it \
             prints, which has --join TOKEN in it",
        ));
    }
    Ok(Joining { sockets, ..Joining::default() })
}
