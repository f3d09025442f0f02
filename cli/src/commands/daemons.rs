//! `up`, `gateway`, `agent`: daemons, which serve until they are stopped.
//!
//! SIGTERM, Ctrl-C and a terminal that closes (SIGHUP) stop a daemon within `stop_timeout`: waiting callers get a
//! handle or a clean end, and what is left is cut off. Runs go on under their supervisors, and the next start finds
//! them.

use std::{io::IsTerminal, path::Path, time::Duration};

use longhaul_agent::Agent;
use longhaul_gateway::Gateway;
use longhaul_proto::{descriptors, faults, words};

use crate::{
    context::{Context, Failure},
    data::Endpoint,
    output::{Out, say},
    serve,
    signals::{Asked, Signals},
};

/// Default time limit of a stop.
const STOP: Duration = Duration::from_secs(10);

pub(super) fn stop_timeout(context: &Context) -> Duration {
    context.config.settings.stop_timeout.map_or(STOP, |limit| limit.0)
}

/// Connections and logs need descriptors: as many as the system allows.
fn more_files() {
    if let Err(error) = descriptors::raise() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// `up`.
///
/// # Errors
/// With what to do.
pub(crate) async fn up(context: &Context) -> Result<u8, Failure> {
    let mut signals = Signals::listen()?;
    more_files();
    // Before anything serves: who waits for that would take it for all of it.
    serve::check_roots(context)?;
    let gateway = start_gateway(context).await?;
    let url = format!("http://{}", reachable(gateway.addr));
    let agent = async {
        // The gateway's listener and address are not the agent's.
        let mut own = context.clone();
        own.config.settings.advertise = None;
        let options = serve::agent_options(&own, &url)?;
        start_agent(&own, options, serve::ANY).await
    };
    let agent = match agent.await {
        Ok(agent) => agent,
        Err(error) => {
            stop(context, Some(gateway), None).await;
            return Err(error);
        }
    };
    greet(context, &gateway)?;
    if !agent.problem.is_empty() {
        say(&format!("the agent takes no runs: {}", agent.problem));
    }
    let (first, settings) = (gateway.core.runs.serves_first_only(), &context.config.settings);
    if let (Some(first), None, None | Some(false)) = (first, &settings.serve, settings.serve_all) {
        say(&format!(
            "this gateway has several principals, and its agent takes the runs of {first} only: start it with --serve NAME,... or \
             --serve-all to let others run code as this user"
        ));
    }
    let asked = signals.next().await;
    ending(context, asked, signals, Some(gateway), Some(agent)).await
}

/// `gateway`.
///
/// # Errors
/// With what to do.
pub(crate) async fn gateway(context: &Context) -> Result<u8, Failure> {
    let mut signals = Signals::listen()?;
    more_files();
    let gateway = start_gateway(context).await?;
    greet(context, &gateway)?;
    let secret = context.data.path().join("join-secret");
    let line = format!(
        "Agents join with the secret in {}:\n  longhaul agent --gateway {} --join-secret-file FILE\n",
        secret.display(),
        gateway.url
    );
    Out::default().bytes(line.as_bytes())?;
    let asked = signals.next().await;
    ending(context, asked, signals, Some(gateway), None).await
}

/// `agent`.
///
/// # Errors
/// With what to do.
pub(crate) async fn agent(context: &Context) -> Result<u8, Failure> {
    let mut signals = Signals::listen()?;
    more_files();
    let settings = &context.config.settings;
    let Some(gateway) = &settings.gateway else {
        return Err(Failure::usage(
            "an agent needs its gateway: --gateway URL, LONGHAUL_GATEWAY, or `gateway` in the configuration",
        ));
    };
    let mut options = serve::agent_options(context, &gateway.0)?;
    options.advertise = settings.advertise.as_ref().map(|u| u.0.clone()).unwrap_or_default();
    let (name, pool, seats) = (options.label.name.clone(), options.label.pool.clone(), options.label.pool_seats);
    let agent = start_agent(context, options, settings.listen.as_deref().unwrap_or(serve::AGENT)).await?;
    let line = format!(
        "agent {name} listens on {} and serves {}; licence {pool}, {seats} {}; code runs as this user\n",
        agent.addr,
        gateway.0,
        if seats == 1 { "seat" } else { "seats" }
    );
    Out::default().bytes(line.as_bytes())?;
    if !agent.problem.is_empty() {
        say(&format!("it takes no runs: {}", agent.problem));
    }
    let asked = signals.next().await;
    ending(context, asked, signals, None, Some(agent)).await
}

async fn start_gateway(context: &Context) -> Result<Gateway, Failure> {
    // A held folder is reported before an address in use: both are the same daemon, and this message names it.
    if context.data.gateway_serves().unwrap_or(false) {
        let holder = context.data.endpoint().map(|e| format!(" (process {}, at {})", e.pid, e.url)).unwrap_or_default();
        return Err(Failure::system(format!(
            "another gateway{holder} has the data folder {}: use that one, stop it, or give this one its own folder \
             with --data",
            context.data.path().display()
        )));
    }
    let options = serve::gateway_options(context)?;
    let listener = serve::listen(context.config.settings.listen.as_deref().unwrap_or(serve::GATEWAY)).await?;
    let gateway = longhaul_gateway::start(options, listener, serve::gateway_deps(context))
        .await
        .map_err(|error| Failure::system(words::chain(&error)))?;
    let written = context.data.write_endpoint(&endpoint(&gateway));
    if let Err(error) = written {
        let folder = context.data.path().display().to_string();
        gateway.shutdown(stop_timeout(context)).await;
        return Err(Failure::system(format!("cannot write to the data folder {folder}: {error}")));
    }
    Ok(gateway)
}

fn endpoint(gateway: &Gateway) -> Endpoint {
    Endpoint { url: format!("http://{}", reachable(gateway.addr)), pid: std::process::id(), embedded: false }
}

/// An address that this machine can dial: a wildcard cannot be dialled.
fn reachable(mut address: std::net::SocketAddr) -> std::net::SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

async fn start_agent(context: &Context, options: longhaul_agent::Options, address: &str) -> Result<Agent, Failure> {
    let listener = serve::listen(address).await?;
    longhaul_agent::start(options, listener, serve::agent_deps(context))
        .await
        .map_err(|error| Failure::system(words::chain(&error)))
}

/// Prints where the daemon listens and how clients connect.
fn greet(context: &Context, gateway: &Gateway) -> Result<(), Failure> {
    let no_auth = context.config.settings.no_auth == Some(true);
    if no_auth {
        say("without tokens, every user and program of this machine can run code as you: --no-auth is for trying out");
    }
    // Shown once, to a person: what goes elsewhere than a terminal is kept, in a journal or a log.
    let terminal = std::io::stdout().is_terminal() || faults::bug("token_shown_anywhere");
    let shown = gateway.first_token && !no_auth && terminal;
    let token = if shown { context.data.credentials().map(|c| c.token) } else { None };
    let data = context.data.path();
    let folder = if context.config.settings.data.is_some() { Folder::Given } else { Folder::Default };
    let text = greeting(&gateway.url, data, folder, if no_auth { OwnerToken::None } else { OwnerToken::Kept(token) });
    Ok(Out::default().bytes(text.as_bytes())?)
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
        Folder::Given => format!("--data {} ", data.display()),
        Folder::Default => String::new(),
    };
    format!(
        "Longhaul {} serves {url} (data in {})\nMCP: {url}/mcp\n{token}Claude Code:\n  \
         longhaul {folder}mcp install --client claude --user\n",
        env!("CARGO_PKG_VERSION"),
        data.display()
    )
}

/// The orderly stop; another signal ends the process at once.
async fn ending(
    context: &Context,
    asked: Asked,
    mut signals: Signals,
    gateway: Option<Gateway>,
    agent: Option<Agent>,
) -> Result<u8, Failure> {
    let why = match asked {
        Asked::HangUp => "the terminal closed (SIGHUP): ",
        Asked::Interrupt | Asked::Terminate => "",
    };
    say(&format!("{why}stopping; runs go on under their supervisors"));
    tokio::select! {
        () = stop(context, gateway, agent) => {}
        _ = signals.next() => {}
    }
    Ok(0)
}

async fn stop(context: &Context, gateway: Option<Gateway>, agent: Option<Agent>) {
    let limit = stop_timeout(context);
    let gateway = async {
        if let Some(gateway) = gateway {
            context.data.remove_endpoint(&endpoint(&gateway));
            gateway.shutdown(limit).await;
        }
    };
    let agent = async {
        if let Some(agent) = agent {
            agent.shutdown(limit).await;
        }
    };
    tokio::join!(gateway, agent);
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

    #[test]
    fn a_wildcard_is_reached_by_loopback() {
        for (from, to) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.5:1", "10.0.0.5:1")] {
            assert_eq!(reachable(from.parse().unwrap()).to_string(), to);
        }
    }
}
