//! Names of hosts that no agent has: they may be typed wrongly, or joined later.

use longhaul_proto::{faults, words};

use crate::{frontend::Frontend, problem::Problem};

/// What is said of such names; `None` = all are known.
pub(super) async fn warning(frontend: &Frontend, hosts: &[String]) -> Result<Option<String>, Problem> {
    if hosts.is_empty() || faults::bug("unknown_names_pass") {
        return Ok(None);
    }
    let agents = frontend.core.ledger.agents().await?;
    let names = || agents.iter().map(|agent| agent.info.name.as_str());
    let unknown = hosts.iter().filter(|host| names().all(|name| name != host.as_str()));
    let said: Vec<String> = unknown
        .map(|host| match words::nearest(host, names()) {
            Some(near) => format!("no agent is called {host}; is {near} meant?"),
            None => format!("no agent is called {host}"),
        })
        .collect();
    Ok((!said.is_empty()).then(|| format!("{} (the token is good there as soon as there is one)", said.join("; "))))
}
