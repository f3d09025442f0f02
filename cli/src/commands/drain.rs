//! `drain` and `resume`: hosts that start no further runs, and hosts that do again.

use longhaul_proto::{
    api::{DrainBody, HostView},
    faults,
};

use crate::{
    args::{Ask, Drain, Resume},
    client::DrainAction,
    context::{Context, Failure},
    gateway_handle::{GatewayHandle, Need},
    output::{Out, say},
};

/// `drain`.
///
/// # Errors
/// With what to do.
pub(crate) async fn drain(context: &Context, args: &Drain) -> Result<u8, Failure> {
    let body = DrainBody { hosts: args.hosts.clone(), reason: args.reason.clone() };
    ask(context, &args.ask, DrainAction::Drain, body).await
}

/// `resume`.
///
/// # Errors
/// With what to do.
pub(crate) async fn resume(context: &Context, args: &Resume) -> Result<u8, Failure> {
    ask(context, &args.ask, DrainAction::Resume, DrainBody { hosts: args.hosts.clone(), reason: None }).await
}

async fn ask(context: &Context, ask: &Ask, what: DrainAction, body: DrainBody) -> Result<u8, Failure> {
    let gateway = GatewayHandle::open(context, Need::default()).await?;
    let done = gateway.client.drain(what, &body).await;
    gateway.close().await;
    let drained = done?;
    if ask.json {
        Out::default().json(&drained)?;
    } else {
        drained.hosts.iter().for_each(|host| say(&description(host)));
    }
    Ok(0)
}

/// `hosts forget`.
///
/// # Errors
/// With what to do.
pub(super) async fn forget(context: &Context, hosts: &[String], ask: &Ask) -> Result<u8, Failure> {
    // Where no daemon holds the folder, an agent that this command started would be connected, and could not be forgotten.
    let no_agent = !faults::bug("forgetting_starts_the_agent");
    let gateway = GatewayHandle::open(context, Need { no_agent, ..Need::default() }).await?;
    let done = gateway.client.forget_hosts(&DrainBody { hosts: hosts.to_vec(), reason: None }).await;
    gateway.close().await;
    let forgotten = done?;
    if ask.json {
        Out::default().json(&forgotten)?;
    } else {
        forgotten.hosts.iter().for_each(|host| say(&format!("{host} is forgotten")));
    }
    Ok(0)
}

/// One host in words.
fn description(host: &HostView) -> String {
    let name = &host.name;
    match (&host.draining, host.running) {
        (None, _) => format!("{name} takes runs again ({})", host.state),
        (Some(_), 0) => format!("{name} is draining and empty; `longhaul resume {name}` lets it take runs again"),
        (Some(_), n) => format!(
            "{name} is draining: {n} {} on there, nothing new starts; `longhaul resume {name}` lets it take runs again",
            if n == 1 { "run goes" } else { "runs go" }
        ),
    }
}

#[cfg(test)]
mod tests {
    use longhaul_proto::api::DrainView;

    use super::*;

    #[test]
    fn a_host_in_words() {
        fn check(draining: bool, running: u32, want: &str) {
            let draining = draining.then(DrainView::default);
            let host = HostView { name: "s1".into(), state: "up".into(), running, draining, ..HostView::default() };
            assert!(description(&host).starts_with(want), "{}", description(&host));
        }
        check(true, 0, "s1 is draining and empty;");
        check(true, 1, "s1 is draining: 1 run goes on there, nothing new starts;");
        check(true, 10, "s1 is draining: 10 runs go on there,");
        check(false, 3, "s1 takes runs again (up)");
    }
}
