//! The agent's side of the fleet: finds the gateway, checks that it is its own, reports the runs here, and sends
//! heartbeats. After any failure it starts over at `Hello` after a short back-off, for ever; runs go on meanwhile.

mod certify;
mod connect;
mod foreign;
mod joining;

use std::time::Duration;

use futures_util::StreamExt;
use http::Uri;
use longhaul_proto::{
    back_off::BackOff,
    faults,
    grpc_transport::GrpcTransport,
    transport::Greeter,
    wire::{self, Verdict, fleet_client::FleetClient},
    words,
};
use tokio::sync::watch;

pub(crate) use connect::{ConnectError, GatewayDialer, tcp};
pub(crate) use foreign::ForeignWatch;
pub(crate) use joining::Ways;

use crate::{
    identity::{Certificates, Identity, Pins},
    metrics::count,
    runs::Runs,
    spool::CancelMode,
};
use connect::{Connected, call};

/// First and longest back-off between two tries.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// Heartbeat interval used when the gateway gives none.
const BEAT: Duration = Duration::from_secs(2);
/// Runs reported in one message.
const PAGE: usize = 500;
/// Spools that are deleted at the same time.
const FORGETS: usize = 4;

/// What the registration loop needs.
pub(crate) struct RegistrationLoop {
    /// For people.
    pub(crate) gateway: Uri,
    pub(crate) greeter: Greeter,
    pub(crate) pins: Pins,
    pub(crate) certificates: Certificates,
    pub(crate) ways: Ways,
    pub(crate) identity: Identity,
    pub(crate) runs: Runs,
    pub(crate) dialer: GatewayDialer,
    pub(crate) max_spool: u64,
    /// Gets the words with which the gateway refuses this agent for good.
    pub(crate) refused: watch::Sender<Option<String>>,
    /// Finds processes of Stata that no Longhaul started; `None` = there is no host to look at.
    pub(crate) foreign: Option<ForeignWatch>,
}

impl RegistrationLoop {
    /// Runs until its task is dropped.
    pub(crate) async fn run(self) {
        let mut back_off = BackOff::new(BACK_OFF.0, BACK_OFF.1, self.identity.agent_id());
        let (mut reported, mut refused, mut was_in) = (String::new(), String::new(), false);
        // A run that is not reported would look to the gateway as if it were not here.
        self.runs.ready().await;
        loop {
            match self.serve(&mut back_off, &mut refused, &mut was_in).await {
                ConnectError::Again => {}
                // One that was in goes on asking: an operator may approve it again, and its runs are reported then.
                error @ ConnectError::ForGood(_) if !was_in && !faults::bug("refused_agents_stay") => {
                    self.refused.send_replace(Some(words::chain(&error)));
                    return;
                }
                error => {
                    let words = words::chain(&error);
                    // Once per change: a gateway that is away for a night is one line.
                    if words != reported {
                        tracing::warn!(gateway = %self.gateway, "{words}; trying again until it answers");
                        reported = words;
                    }
                }
            }
            tokio::time::sleep(back_off.wait()).await;
        }
    }

    /// One registration, for as long as the connection lasts.
    async fn serve(&self, back_off: &mut BackOff, refused: &mut String, was_in: &mut bool) -> ConnectError {
        let gateway = match self.connect().await {
            Ok(gateway) => gateway,
            Err(error) => return error,
        };
        let (reply, verdicts) = match self.register(&gateway.client).await {
            Ok(registered) => registered,
            Err(error) => return error,
        };
        if reply.problem.is_empty() {
            if let Err(problem) = self.identity.bind(&reply.cluster_id).await {
                tracing::error!(%problem, "the gateway's ledger is not this agent's");
            }
            *was_in = true;
            tracing::info!(gateway = %self.gateway, name = self.identity.name(), "registered");
        } else if reply.problem != *refused {
            // Logged once: it is repeated with every registration.
            tracing::error!(problem = %reply.problem, "the gateway sends no runs here");
        }
        refused.clone_from(&reply.problem);
        back_off.reset();
        let metrics = self.runs.metrics();
        count(&metrics.counters.registrations);
        let _connected = metrics.hold(|counters| &counters.connected);
        if faults::bug("obey_before_beat") {
            self.carry_out(verdicts).await;
            return self.beats(&gateway, &reply).await;
        }
        // Beside the heartbeats: deleting thousands of spools takes minutes, and an agent without heartbeats counts as
        // silent.
        let carrying_out = async {
            self.carry_out(verdicts).await;
            std::future::pending().await
        };
        tokio::select! {
            ended = self.beats(&gateway, &reply) => ended,
            never = carrying_out => never,
        }
    }

    /// Reports all runs that are here, page by page; the gateway registers the agent with the last page.
    async fn register(
        &self,
        client: &FleetClient<GrpcTransport>,
    ) -> Result<(wire::RegisterReply, Vec<wire::RunVerdict>), ConnectError> {
        let mut runs = self.runs.summaries().into_iter().peekable();
        let mut leftovers = self.runs.leftovers().into_iter().peekable();
        let mut verdicts = Vec::new();
        loop {
            let page: Vec<_> = runs.by_ref().take(PAGE).collect();
            let files: Vec<_> = leftovers.by_ref().take(PAGE - page.len()).collect();
            let more = runs.peek().is_some() || leftovers.peek().is_some();
            let agent = Some(self.identity.info(&self.runs));
            let request = wire::RegisterRequest { agent, runs: page, more, leftovers: files };
            let mut reply =
                call(client, request, async |c: &mut FleetClient<GrpcTransport>, r| c.register(r).await).await?;
            verdicts.append(&mut reply.verdicts);
            if !more || !reply.problem.is_empty() {
                return Ok((reply, verdicts));
            }
        }
    }

    /// Sends heartbeats until the connection breaks.
    async fn beats(&self, gateway: &Connected, registered: &wire::RegisterReply) -> ConnectError {
        let beat = match registered.heartbeat_ms {
            0 => BEAT,
            ms => Duration::from_millis(ms.into()),
        };
        let mut problem = registered.problem.clone();
        let mut asked_at = None;
        loop {
            tokio::time::sleep(beat).await;
            self.renew(gateway, &mut asked_at).await;
            let answered = self.beat(&gateway.client).await;
            let counters = &self.runs.metrics().counters;
            count(if answered.is_ok() { &counters.beats } else { &counters.beats_failed });
            match answered {
                Ok(now) if now != problem => {
                    if now.is_empty() {
                        tracing::info!("the gateway has no more objections");
                    } else {
                        tracing::error!(problem = %now, "the gateway sends no runs here");
                    }
                    problem = now;
                }
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }

    async fn beat(&self, client: &FleetClient<GrpcTransport>) -> Result<String, ConnectError> {
        let info = self.identity.info(&self.runs);
        let foreign = match &self.foreign {
            Some(watch) => watch.now().await,
            None => Vec::new(),
        };
        let request = wire::HeartbeatRequest {
            foreign,
            count_foreign: self.foreign.as_ref().is_some_and(|watch| watch.counts),
            agent_id: info.agent_id,
            incarnation: info.incarnation,
            free_bytes: info.free_bytes,
            problem: info.problem,
            engines: info.engines,
            licence: info.licence,
            spool_bytes: self.runs.spool_bytes().unwrap_or(0),
            spool_limit: self.max_spool,
            spools: self.runs.largest_spools(),
        };
        let reply = call(client, request, async |c: &mut FleetClient<GrpcTransport>, r| c.heartbeat(r).await).await?;
        if reply.known { Ok(reply.problem) } else { Err(ConnectError::Again) }
    }

    /// Carries out the gateway's verdicts on the runs here: people wait for cancels, so these come first.
    async fn carry_out(&self, verdicts: Vec<wire::RunVerdict>) {
        let (cancels, others): (Vec<_>, Vec<_>) =
            verdicts.into_iter().partition(|v| v.verdict == i32::from(Verdict::Cancel));
        for verdict in cancels {
            let Ok(run) = verdict.run_id.parse() else { continue };
            if let Err(error) = self.runs.cancel(run, CancelMode::Break, verdict.by).await {
                tracing::warn!(%run, %error, "a request to cancel could not be recorded");
            }
        }
        let forgets = others.into_iter().filter(|v| v.verdict == i32::from(Verdict::Forget));
        let forgets = forgets.filter_map(|v| Some((v.run_id.parse().ok()?, v.forget?)));
        futures_util::stream::iter(forgets)
            .for_each_concurrent(FORGETS, async |(run, request)| {
                if let Err(error) = self.runs.forget(run, request).await {
                    tracing::warn!(%run, %error, "a run was not forgotten");
                }
            })
            .await;
    }
}
