//! Commands of one request and one answer: `cancel`, `show`, `runs adopt`, `hosts`, `declare-dead`.

use jiff::Timestamp;
use longhaul_proto::{
    api::{CancelRequested, RunView},
    state::RunState,
};

use crate::{
    args::{Ask, Cancel, DeclareDead, Hosts, HostsAction, Release, Show, TrustClock},
    context::{Context, Failure},
    gateway_handle::{GatewayHandle, Need},
    output::{self, About, Out, When, say},
};

/// `cancel`.
///
/// # Errors
/// With what to do.
pub(crate) async fn cancel(context: &Context, args: &Cancel) -> Result<u8, Failure> {
    let gateway = GatewayHandle::open(context, Need::default()).await?;
    let done = gateway.client.cancel(&args.run, args.mode.into()).await;
    gateway.close().await;
    let run = done?;
    let short = run.run_id.short();
    if let Some(request) = run.cancel_requested.as_ref().filter(|_| !run.state.is_end() || run.state == RunState::Lost)
    {
        say(&format!(
            "{}; `longhaul wait {short}` tells when {short} has ended. Its output is kept",
            request_state(&run, request)
        ));
    } else if run.state.is_end() {
        say(&format!("{short} has ended: {}; its output is kept (`longhaul log {short}`)", run.state));
    } else {
        say(&format!(
            "the request to end it is recorded; `longhaul wait {short}` tells when {short} has ended. Its output is kept"
        ));
    }
    if args.ask.json {
        Out::default().json(&run)?;
    }
    Ok(0)
}

/// What has become of a request to end a run.
fn request_state(run: &RunView, request: &CancelRequested) -> String {
    let host = run.host.as_deref().unwrap_or("its host");
    match (&run.contact, run.state) {
        _ if request.delivered => "the request to end it is recorded, and its agent is told".to_owned(),
        (Some(contact), _) => {
            format!(
                "the request to end it is recorded; its agent is not told yet ({}): it is when it returns",
                contact.words
            )
        }
        (None, RunState::Lost) if !run.runs_again => format!(
            "the run is lost, and the request to end it is recorded: if the agent on {host} returns and the run still goes on there, it is \
             ended"
        ),
        (None, _) => "the request to end it is recorded".to_owned(),
    }
}

/// `declare-dead`.
///
/// # Errors
/// With what to do.
pub(crate) async fn declare_dead(context: &Context, args: &DeclareDead) -> Result<u8, Failure> {
    let gateway = GatewayHandle::open(context, Need::default()).await?;
    let done = gateway.client.declare_dead(&args.run).await;
    gateway.close().await;
    let run = done?;
    say(&format!(
        "{} is {}; if its agent comes back after all, the record follows the truth",
        run.run_id.short(),
        run.state
    ));
    if args.ask.json {
        Out::default().json(&run)?;
    }
    Ok(0)
}

/// `release`.
///
/// # Errors
/// With what to do.
pub(crate) async fn release(context: &Context, args: &Release) -> Result<u8, Failure> {
    let gateway = GatewayHandle::open(context, Need::default()).await?;
    let done = gateway.client.release(&args.run).await;
    gateway.close().await;
    let run = done?;
    let host = run.host.as_deref().unwrap_or("its host");
    say(&format!("the spool of {} on {host} is gone; the record and the gateway's copy stay", run.run_id.short()));
    if args.ask.json {
        Out::default().json(&run)?;
    }
    Ok(0)
}

/// `trust-clock`.
///
/// # Errors
/// With what to do.
pub(crate) async fn trust_clock(context: &Context, args: &TrustClock) -> Result<u8, Failure> {
    let gateway = GatewayHandle::open(context, Need::default()).await?;
    let done = gateway.client.trust_clock().await;
    gateway.close().await;
    let trusted = done?;
    let now = When::new(context.utc).whole(&trusted.now);
    say(&format!("the gateway's clock says {now}, and is trusted: what is old by it is removed again"));
    if args.ask.json {
        Out::default().json(&trusted)?;
    }
    Ok(0)
}

/// `show`.
///
/// # Errors
/// With what to do.
pub(crate) async fn show(context: &Context, args: &Show) -> Result<u8, Failure> {
    let gateway = GatewayHandle::open(context, Need::default()).await?;
    if args.record {
        let done = gateway.client.record(&args.run).await;
        gateway.close().await;
        let record = done?;
        let mut out = Out::default();
        if args.ask.json {
            out.json(&record)?;
        } else {
            out.text(&output::made_with(&record))?;
        }
        return Ok(0);
    }
    let done = gateway.client.get_at(&args.run).await;
    let more = match &done {
        Ok((run, now)) if !args.ask.json => about(&gateway, run, *now).await,
        _ => About::default(),
    };
    gateway.close().await;
    let (run, _) = done?;
    let mut out = Out::default();
    if args.ask.json {
        out.json(&run)?;
    } else {
        out.text_of(run.state, &output::record(&run, &more, &When::new(context.utc)))?;
    }
    Ok(0)
}

/// What is known besides the run's own object; a gateway of an earlier version may not know it.
async fn about(gateway: &GatewayHandle, run: &RunView, now: Option<Timestamp>) -> About {
    let id = run.run_id.to_string();
    let client = &gateway.client;
    let (history, do_files, made_with) = tokio::join!(client.history(&id), client.do_files(&id), client.record(&id));
    About { history: history.ok(), do_files: do_files.ok(), made_with: made_with.ok(), now }
}

/// `runs adopt`.
pub(super) async fn adopt(context: &Context, run: Option<&str>, host: Option<&str>, ask: &Ask) -> Result<u8, Failure> {
    let gateway = GatewayHandle::open(context, Need::default()).await?;
    let done = match (run, host) {
        (Some(run), _) => gateway.client.adopt(run).await.map(|run| vec![run]),
        (None, host) => gateway.client.adopt_from(host.unwrap_or_default()).await.map(|adopted| adopted.runs),
    };
    gateway.close().await;
    let runs = done?;
    if runs.is_empty() {
        say(&format!(
            "no unverified runs from host {}: `longhaul runs` marks those there are",
            host.unwrap_or_default()
        ));
    }
    for run in &runs {
        say(&format!("{} is {}'s now ({})", run.run_id.short(), run.principal, run.state));
        if ask.json {
            Out::default().json(run)?;
        }
    }
    Ok(0)
}

/// `hosts`.
///
/// # Errors
/// With what to do.
pub(crate) async fn hosts(context: &Context, args: &Hosts) -> Result<u8, Failure> {
    if let Some(HostsAction::Forget { hosts, ask }) = &args.action {
        return super::drain::forget(context, hosts, ask).await;
    }
    let gateway = GatewayHandle::open(context, Need::default()).await?;
    let embedded = gateway.is_embedded();
    let done = gateway.client.hosts().await;
    gateway.close().await;
    let hosts = done?;
    if embedded {
        say("no daemon holds the data folder, so this is what a `longhaul run` here would use; it takes no runs now");
    }
    let mut out = Out::default();
    if args.ask.json {
        out.json(&hosts)?;
    } else {
        out.painted(|_, colours| output::hosts(&hosts, &When::new(context.utc), colours))?;
    }
    Ok(0)
}
