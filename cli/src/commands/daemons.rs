//! `up`, `gateway`, `agent`: daemons, which serve until they are stopped.
//!
//! SIGTERM, Ctrl-C and a terminal that closes (SIGHUP) stop a daemon within `stop_timeout`: waiting callers get a
//! handle or a clean end, and what is left is cut off. Runs go on under their supervisors, and the next start finds
//! them.

use std::time::Duration;

use longhaul_agent::Agent;
use longhaul_gateway::Gateway;
use longhaul_proto::{descriptors, not_dumpable, words};

use super::greeting::{self, Licence};
use crate::{
    context::{Context, Failure},
    data::Endpoint,
    exit, serve,
    service_manager::ServiceManager,
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
        let mut options = serve::agent_options(&own, &url)?;
        // Its own gateway is behind the socket; without one the secret in the folder that both have does.
        if let (Some(socket), None, None) =
            (&gateway.socket, &own.config.settings.join_secret, &own.config.settings.join_secret_file)
        {
            options.sockets = vec![socket.clone()];
        }
        start_agent(&own, options, serve::ANY).await
    };
    let agent = match agent.await {
        Ok(agent) => agent,
        Err(error) => {
            stop(context, Some(gateway), None).await;
            return Err(error);
        }
    };
    let mut notices = greeting::gateway(context, &gateway)?;
    if !agent.problem.is_empty() {
        notices.push(greeting::notice(format!("the agent takes no runs: {}", agent.problem)));
    }
    let (first, settings) = (gateway.core.runs.serves_first_only(), &context.config.settings);
    if let (Some(first), None, None | Some(false)) = (first, &settings.serve, settings.serve_all) {
        notices.push(greeting::notice(format!(
            "this gateway has several principals, and its agent takes the runs of {first} only: start it with --serve NAME,... or \
             --serve-all to let others run code as this user"
        )));
    }
    serving(context, &gateway, notices);
    let manager = ServiceManager::of_process(&context.env);
    manager.ready();
    let asked = tokio::select! {
        asked = signals.next() => asked,
        never = manager.watched(|| async { tokio::join!(gateway.answers(), agent.answers()) }) => never,
    };
    manager.stopping();
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
    let notices = greeting::gateway(context, &gateway)?;
    greeting::invite(&gateway)?;
    serving(context, &gateway, notices);
    let manager = ServiceManager::of_process(&context.env);
    manager.ready();
    let asked = tokio::select! {
        asked = signals.next() => asked,
        never = manager.watched(|| gateway.answers()) => never,
    };
    manager.stopping();
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
    let gateway = match (&settings.gateway, serve::joining::token(settings)?) {
        (Some(gateway), _) => gateway.0.clone(),
        (None, Some(token)) => token.gateway,
        (None, None) => {
            return Err(Failure::usage(
                "an agent needs its gateway: --gateway URL, LONGHAUL_GATEWAY, or `gateway` in the configuration",
            ));
        }
    };
    let mut options = serve::agent_options(context, &gateway)?;
    options.advertise = settings.advertise.as_ref().map(|u| u.0.clone()).unwrap_or_default();
    let (name, pool, seats) = (options.label.name.clone(), options.label.pool.clone(), options.label.pool_seats);
    let agent = start_agent(context, options, settings.listen.as_deref().unwrap_or(serve::AGENT)).await?;
    let licence = Licence { pool, seats };
    greeting::agent(&agent, &name, &gateway, &licence)?;
    if let Err(error) = context.data.write_agents_gateway(&gateway) {
        tracing::warn!(%error, "`longhaul doctor` will not know the gateway of this agent");
    }
    let manager = ServiceManager::of_process(&context.env);
    manager.ready();
    let asked = tokio::select! {
        asked = signals.next() => asked,
        words = agent.refused() => {
            manager.stopping();
            stop(context, None, Some(agent)).await;
            let message = format!("{words}. This agent ends; runs here go on. Start it again when that is settled");
            return Err(Failure { message, status: exit::REFUSED });
        }
        never = manager.watched(|| agent.answers()) => never,
    };
    manager.stopping();
    ending(context, asked, signals, None, Some(agent)).await
}

async fn start_gateway(context: &Context) -> Result<Gateway, Failure> {
    if let Err(error) = not_dumpable::set() {
        tracing::warn!(%error, "other processes of this user may read this gateway's memory");
    }
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
    let options = longhaul_gateway::Options { push_metrics: serve::numbers::push(context), ..options };
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
    let certificates = gateway.core.certificates.as_ref();
    let issued = certificates.is_some_and(|all| all.authority().is_some());
    let near = reachable(gateway.addr);
    // A certificate of the operator's own is hardly for this machine's loopback address; there no other machine listens.
    let url = match certificates {
        Some(_) if issued => format!("https://{near}"),
        Some(_) if !near.ip().is_loopback() => gateway.url.clone(),
        _ => format!("http://{near}"),
    };
    Endpoint { url, pid: std::process::id(), embedded: false, socket: gateway.socket.clone(), issued, notices: None }
}

/// Writes down that all of it serves, and what there is to say of it: who started it in the background waits for that.
fn serving(context: &Context, gateway: &Gateway, notices: Vec<String>) {
    let written = context.data.write_endpoint(&Endpoint { notices: Some(notices), ..endpoint(gateway) });
    if let Err(error) = written {
        tracing::warn!(%error, "cannot write to the data folder that all of it serves");
    }
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
    let numbers = serve::numbers::listener(context).await?;
    let options = longhaul_agent::Options { push_metrics: serve::numbers::push(context), ..options };
    let agent = longhaul_agent::start(options, listener, serve::agent_deps(context))
        .await
        .map_err(|error| Failure::system(words::chain(&error)))?;
    if let Some(numbers) = numbers {
        agent.serve_metrics(numbers);
    }
    Ok(agent)
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
    greeting::told(&format!("{why}stopping; runs go on under their supervisors"));
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
    fn a_wildcard_is_reached_by_loopback() {
        for (from, to) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.5:1", "10.0.0.5:1")] {
            assert_eq!(reachable(from.parse().unwrap()).to_string(), to);
        }
    }
}
