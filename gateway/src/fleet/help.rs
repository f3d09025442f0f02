//! Asks agents for Stata's help of their hosts.

use std::{collections::HashMap, time::Duration};

use longhaul_proto::{visible::Foreign, wire};

use super::{
    Fleet,
    agent_port::{AgentError, Failure},
    scheduler::Command,
};
use crate::model::{Need, Principal};

/// Longest wait for one agent: it may read thousands of files for its first answer.
const PATIENCE: Duration = Duration::from_secs(25);
/// Most agents asked one after the other.
const MOST_ASKED: usize = 3;

/// An agent's answer.
pub(crate) struct Helped {
    pub(crate) host: String,
    pub(crate) reply: wire::HelpReply,
}

/// Why no agent gave help.
#[derive(Debug)]
pub(crate) enum NoHelp {
    /// No agent that this principal may use is connected.
    NoAgent,
    /// This one does not know the call.
    TooOld(String),
    /// This one failed.
    Failed(String, AgentError),
}

impl Fleet {
    /// Asks the named host, or the first of those that this principal may use: such with a real Stata come first.
    pub(crate) async fn help(
        &self,
        need: Need,
        principal: &Principal,
        request: wire::HelpRequest,
    ) -> Result<Helped, NoHelp> {
        let asker = principal.clone();
        let asked = self
            .ask(|reply| Command::Candidates { principal: asker, need: Box::new(need), reply })
            .await
            .unwrap_or_default();
        let stata: HashMap<String, bool> = self
            .infos()
            .into_iter()
            .map(|(info, _)| (info.agent_id, info.engines.iter().any(|engine| engine.kind != "standin")))
            .collect();
        let mut asked: Vec<_> = asked
            .into_iter()
            .map(|(id, host, port)| (!port.gives_help(), !stata.get(&id).is_some_and(|has| *has), host, port))
            .collect();
        asked.sort_by(|a, b| (a.0, a.1, &a.2).cmp(&(b.0, b.1, &b.2)));
        let mut why = NoHelp::NoAgent;
        for (too_old, _, host, port) in asked.into_iter().take(MOST_ASKED) {
            if too_old {
                why = if matches!(why, NoHelp::NoAgent) { NoHelp::TooOld(host) } else { why };
                continue;
            }
            match tokio::time::timeout(PATIENCE, port.help(request.clone())).await {
                Ok(Ok(mut reply)) => {
                    reply.make_harmless();
                    return Ok(Helped { host, reply });
                }
                Ok(Err(error)) if error.failure == Failure::TooOld => why = NoHelp::TooOld(host),
                Ok(Err(error)) => why = NoHelp::Failed(host, error),
                Err(_) => why = NoHelp::Failed(host, AgentError::other("it took too long")),
            }
        }
        Err(why)
    }
}
