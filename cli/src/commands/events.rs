//! `events`: what happens to all of one's runs, a line each, until Ctrl-C; over absences of the gateway without a gap.

use std::time::Duration;

use longhaul_proto::{api::StepEvent, back_off::BackOff, state::Cause};
use serde::Serialize;

use crate::{
    args::Events,
    client::{ClientError, Event},
    context::{Context, Failure},
    gateway_handle::{GatewayHandle, Need},
    output::{Out, When, say},
    signals::Signals,
};

/// Pauses before the gateway is asked again: first, and longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// A line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    /// What `--after` takes; a progress has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(flatten)]
    event: &'a Event,
}

/// `events`.
///
/// # Errors
/// With what to do.
pub(crate) async fn events(context: &Context, args: &Events) -> Result<u8, Failure> {
    let mut signals = Signals::listen()?;
    let mut gateway = GatewayHandle::open(context, Need { no_agent: true, ..Need::default() }).await?;
    let mut listener = Listener::new(context, args);
    let done = tokio::select! {
        biased;
        _ = signals.next() => Ok(0),
        failed = listener.listen(&mut gateway) => failed,
    };
    gateway.close().await;
    done
}

struct Listener<'a> {
    context: &'a Context,
    json: bool,
    /// The id of the last event.
    last: Option<String>,
    out: Out,
    back_off: BackOff,
    /// Since when the gateway is away.
    away: Option<Duration>,
}

impl<'a> Listener<'a> {
    fn new(context: &'a Context, args: &Events) -> Self {
        Self {
            context,
            json: args.ask.json,
            last: args.after.clone(),
            out: Out::default(),
            back_off: BackOff::new(PAUSE.0, PAUSE.1, "events"),
            away: None,
        }
    }

    /// Prints events for ever.
    async fn listen(&mut self, gateway: &mut GatewayHandle) -> Result<u8, Failure> {
        loop {
            match self.connection(gateway).await {
                Ok(()) => {}
                Err(Trouble::Gateway(error)) if error.may_pass() => self.lost(),
                Err(Trouble::Gateway(error)) => return Err(error.into()),
                Err(Trouble::Output(failure)) => return Err(failure),
            }
            if self.out.is_closed() {
                return Ok(0);
            }
            tokio::time::sleep(self.back_off.wait()).await;
            let now = self.context.clock.monotonic();
            gateway.reopen(self.context, self.away.map_or(Duration::ZERO, |since| now.saturating_sub(since))).await?;
        }
    }

    /// One connection to its end.
    async fn connection(&mut self, gateway: &GatewayHandle) -> Result<(), Trouble> {
        let mut events = gateway.client.events(self.last.as_deref()).await?;
        while let Some((id, event)) = events.next().await? {
            self.back_off.reset();
            if self.away.take().is_some() {
                say("the gateway is back");
            }
            self.print(id.as_deref(), &event)?;
            if self.out.is_closed() {
                break;
            }
            self.last = id.or(self.last.take());
        }
        Ok(())
    }

    fn lost(&mut self) {
        if self.away.is_none() {
            self.away = Some(self.context.clock.monotonic());
            say("the gateway went away; runs go on, looking for it again (Ctrl-C leaves)");
        }
    }

    fn print(&mut self, id: Option<&str>, event: &Event) -> Result<(), Failure> {
        if let Event::Ready(ready) = event
            && self.last.is_some()
            && !ready.resumed
        {
            say("what happened before is not known by that id any more: `longhaul runs` says where they are");
        }
        if self.json {
            self.out.json(&Line { id, event })?;
        } else if let Event::State(step) = event {
            self.out.text(&line(step, &When::new(self.context.utc)))?;
        }
        Ok(())
    }
}

/// Why a connection ended before its time.
enum Trouble {
    Gateway(ClientError),
    Output(Failure),
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        Self::Gateway(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Output(failure)
    }
}

/// A step: when, which run, its state and cause, where, and what it is called.
fn line(step: &StepEvent, when: &When) -> String {
    let at = step.at.as_deref().map_or_else(String::new, |at| when.whole(at));
    let mut text = format!("{at}  {}  {}", step.run_id.short(), step.state);
    // The state says it already.
    if !matches!(step.cause, Cause::Submitted | Cause::Dispatched | Cause::FirstOutput | Cause::Completed) {
        text.push_str(&format!(" ({})", step.cause));
    }
    if let Some(host) = &step.host {
        text.push_str(&format!(" on {host}"));
    }
    if step.attempt > 1 {
        text.push_str(&format!(", attempt {}", step.attempt));
    }
    if let Some(name) = &step.name {
        text.push_str(&format!("  {name}"));
    }
    text.push('\n');
    text
}
