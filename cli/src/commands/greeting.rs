//! What daemons tell at their start and their stop.
//!
//! For people it is the banner on stdout and sentences on stderr. Where `LONGHAUL_LOG_FORMAT` is `json`, a collector reads
//! these streams, often both in one: then all of it is events of the log, and nothing else is written. A token is in no
//! event; its file is named.

use std::{io::IsTerminal, path::Path};

use longhaul_agent::Agent;
use longhaul_gateway::Gateway;
use longhaul_proto::{faults, telemetry};

use crate::{
    context::{Context, Failure},
    output::{Out, say, shell_word},
};

/// Whether people do not read what this process writes.
fn in_json() -> bool {
    telemetry::is_json() && !faults::bug("banner_among_json")
}

/// Tells something that its operator should act on; gives it back.
pub(super) fn notice(text: String) -> String {
    if in_json() {
        tracing::warn!("{text}");
    } else {
        say(&text);
    }
    text
}

/// Tells what goes on.
pub(super) fn told(text: &str) {
    if in_json() {
        tracing::info!("{text}");
    } else {
        say(text);
    }
}

/// Tells where a gateway listens and how clients connect; gives what its operator should know besides.
///
/// # Errors
/// When stdout fails.
pub(super) fn gateway(context: &Context, gateway: &Gateway) -> Result<Vec<String>, Failure> {
    let no_auth = context.config.settings.no_auth == Some(true);
    let mut notices = vec![];
    if no_auth {
        notices.push(notice(
            "without tokens, every user and program of this machine can run code as you: --no-auth is for trying out"
                .to_owned(),
        ));
    }
    if gateway.core.certificates.is_none() && !gateway.addr.ip().is_loopback() {
        notices.push(notice(format!(
            "{} is spoken to in the clear: every machine on the way reads tokens, code and results, unless something else \
             protects the connections",
            gateway.url
        )));
    }
    let ca = gateway.core.certificates.as_ref().and_then(|all| all.authority()).map(|ca| ca.fingerprint.as_str());
    let data = context.data.path();
    if in_json() {
        let (url, data) = (&*gateway.url, data.display());
        let token_file = (!no_auth).then(|| context.data.path().join("credentials.json").display().to_string());
        tracing::info!(version = env!("CARGO_PKG_VERSION"), url, mcp = format!("{url}/mcp"), %data, token_file, ca_fingerprint = ca, "the gateway serves");
        return Ok(notices);
    }
    // Shown once, to a person: what goes elsewhere than a terminal is kept, in a journal or a log.
    let terminal = std::io::stdout().is_terminal() || faults::bug("token_shown_anywhere");
    let shown = gateway.first_token && !no_auth && terminal;
    let token = if shown { context.data.credentials().map(|c| c.token) } else { None };
    let folder = if context.config.settings.data.is_some() { Folder::Given } else { Folder::Default };
    let text = greeting(&gateway.url, data, folder, if no_auth { OwnerToken::None } else { OwnerToken::Kept(token) });
    let others = ca.map(|ca| others(&gateway.url, ca)).unwrap_or_default();
    Out::default().bytes(format!("{text}{others}").as_bytes())?;
    Ok(notices)
}

/// Which data folder the daemon uses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Folder {
    /// The one that commands find by themselves.
    Default,
    /// One that every command must be given.
    Given,
}

/// What is said of the owner's token.
enum OwnerToken {
    /// There is none.
    None,
    /// It is in its file; shown if it was just made.
    Kept(Option<String>),
}

fn greeting(url: &str, data: &Path, folder: Folder, token: OwnerToken) -> String {
    let file = data.join("credentials.json");
    let token = match token {
        OwnerToken::None => String::new(),
        OwnerToken::Kept(None) => format!("Token: in {}\n", file.display()),
        OwnerToken::Kept(Some(token)) => format!("Token: {token} (shown this once; kept in {})\n", file.display()),
    };
    let folder = match folder {
        Folder::Given => format!("--data {} ", shell_word(&data.display().to_string())),
        Folder::Default => String::new(),
    };
    format!(
        "Longhaul {} serves {url} (data in {})\nMCP: {url}/mcp\n{token}Claude Code:\n  \
         longhaul {folder}mcp install --client claude --user\n",
        env!("CARGO_PKG_VERSION"),
        data.display()
    )
}

/// How other machines come to trust a gateway that has an authority of its own.
pub(super) fn others(url: &str, fingerprint: &str) -> String {
    format!(
        "Other machines trust its certificate after:\n  longhaul login {} --ca-fingerprint {fingerprint}\n",
        elsewhere(url)
    )
}

/// The URL as other machines write it: where it says loopback, with this machine's name.
fn elsewhere(url: &str) -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    let near = ["127.0.0.1", "[::1]"].iter().find(|near| url.contains(**near)).filter(|_| !name.is_empty());
    near.map_or_else(|| url.to_owned(), |near| url.replacen(near, &name, 1))
}

/// Tells how agents join a gateway.
///
/// # Errors
/// When stdout fails.
pub(super) fn invite(gateway: &Gateway) -> Result<(), Failure> {
    if in_json() {
        tracing::info!(gateway = gateway.url, "agents join by an invitation: `longhaul agents invite NAME`");
        return Ok(());
    }
    let line =
        "Agents join by an invitation, which prints the command for their host:\n  longhaul agents invite NAME\n";
    Ok(Out::default().bytes(line.as_bytes())?)
}

/// The licence of an agent.
pub(super) struct Licence {
    pub(super) pool: String,
    pub(super) seats: u32,
}

/// Tells where an agent listens and whom it serves, and what keeps it from taking runs.
///
/// # Errors
/// When stdout fails.
pub(super) fn agent(agent: &Agent, name: &str, gateway: &str, licence: &Licence) -> Result<(), Failure> {
    let Licence { pool, seats } = licence;
    if in_json() {
        tracing::info!(name, address = %agent.addr, gateway, pool, seats, "the agent serves");
    } else {
        let line = format!(
            "agent {name} listens on {} and serves {gateway}; licence {pool}, {seats} {}; code runs as this user\n",
            agent.addr,
            if *seats == 1 { "seat" } else { "seats" }
        );
        Out::default().bytes(line.as_bytes())?;
    }
    if !agent.problem.is_empty() {
        notice(format!("it takes no runs: {}", agent.problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_has_the_line_to_paste() {
        let text = greeting(
            "http://127.0.0.1:7447",
            Path::new("/d"),
            Folder::Default,
            OwnerToken::Kept(Some("lh_abc".into())),
        );
        assert!(text.ends_with("\n  longhaul mcp install --client claude --user\n"), "{text}");
        assert!(text.contains("Token: lh_abc (shown this once; kept in /d/credentials.json)\n"), "{text}");
        let later = greeting("http://x", Path::new("/d"), Folder::Given, OwnerToken::Kept(None));
        assert!(later.contains("Token: in /d/credentials.json\n"), "{later}");
        assert!(later.ends_with("\n  longhaul --data /d mcp install --client claude --user\n"), "{later}");
        assert!(!greeting("http://x", Path::new("/d"), Folder::Default, OwnerToken::None).contains("Token"));
    }
}
