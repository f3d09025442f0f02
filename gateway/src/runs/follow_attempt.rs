//! From an attempt to its end: hand the run over, follow it, and reconnect after every break.
//!
//! Silence and broken streams change no state. When an agent does not know the attempt, the gateway asks for proof
//! ([`wire::RevokeRequest`]); only the agent's proof that the attempt never started brings the run back to the queue.

use std::{sync::Arc, time::Duration};

use longhaul_proto::{
    back_off::BackOff,
    faults,
    ordered_watch::{Closed, OrderedReceiver},
    state::RunState,
    telemetry::{self, Kind, Span},
    wire,
};

use super::{
    journal,
    run_task::{Interrupted, RunTask},
    spans,
};
use crate::{
    fleet::agent_port::{AgentError, Failure, Port},
    mirror::Mirror,
    model::{Condition, Stream},
};

/// How often an agent that has reported the end may break off without a new byte, before the run ends without the rest
/// of its output: some ten seconds.
const FRUITLESS: u32 = 8;

/// How one try to follow the attempt ended.
#[derive(Debug)]
pub(super) enum Followed {
    /// The run has ended and that is recorded.
    Ended,
    /// The stream has ended and the run has not: follow again.
    Broken(String),
    /// Likewise, for a reason of the gateway's own.
    Ours(String),
    /// The agent reported the end and closed the stream, but some of the output that it recorded did not come.
    Short(Box<wire::Outcome>),
    /// The agent has not started this attempt.
    NotStarted,
    /// The call never left the gateway.
    NeverSent,
    /// Nor did it, since the agent did not take the code that goes before it.
    NotTaken(AgentError),
    /// Nor did it, since the code is not here any more; in words for the run's owner.
    CodeGone(String),
    /// Nor did it, since the run's end was asked for meanwhile.
    Withdrawn,
    /// The mirror has more output than the agent.
    Beyond,
    /// The agent cannot read the run's spool.
    Unreadable(String),
}

/// What to do after a try to follow the attempt.
#[derive(PartialEq, Eq)]
enum Next {
    /// Follow it again.
    FollowAgain,
    /// Its state has changed: decide by the state.
    Decide,
}

impl RunTask {
    /// Follows an attempt until its end, or until the agent proves that it never started.
    pub(super) async fn follow_to_the_end(&mut self) -> Result<(), Interrupted> {
        if self.unsent && self.record.cancel.is_some() {
            // The cancel came while the attempt was being recorded.
            return self.give_back("its end was asked for before it left").await;
        }
        if !self.unsent {
            // Before the first connection: the output that the mirror has can be read while the agent is away.
            self.open_mirror().await?;
        }
        let mut connections = self.inner.fleet.connections(self.record.agent_id()).await;
        let (first, longest) = self.inner.options.backoff;
        let mut back_off = BackOff::new(first, longest, &self.record.run.to_string());
        loop {
            let Some(connection) = self.usable(&mut connections).await? else {
                return self.give_back("its agent could not be reached").await;
            };
            let before = self.mirrored();
            let followed = if self.unsent { self.start(&connection).await? } else { self.follow(&connection).await? };
            if self.react(&connection, followed, before).await? == Next::Decide {
                return Ok(());
            }
            // What the agent reported over a stream that has ended does not hold any more.
            (self.live.activity, self.live.runs_again) = (None, false);
            if self.mirrored() > before {
                back_off.reset();
            }
            if !connection.is_broken() {
                self.during(Some(&connection), tokio::time::sleep(back_off.wait())).await?;
            }
        }
    }

    /// Does what follows from a try that has ended; `before` is what the mirror had then.
    async fn react(&mut self, connection: &Port, followed: Followed, before: u64) -> Result<Next, Interrupted> {
        let host = self.record.host().to_owned();
        match followed {
            Followed::Ended => return Ok(Next::Decide),
            Followed::NeverSent => {}
            Followed::NotTaken(error) => return self.not_taken(error).await.map(|()| Next::Decide),
            Followed::CodeGone(words) => return self.code_gone(words).await.map(|()| Next::Decide),
            Followed::Withdrawn => {
                return self.give_back("its end was asked for before it left").await.map(|()| Next::Decide);
            }
            Followed::NotStarted if self.record.state == RunState::Starting => match self.revoke(connection).await? {
                Some(true) => return self.never_started().await.map(|()| Next::Decide),
                Some(false) => self
                    .in_trouble(format!("agent {host} does not have this run, and does not say that it never began")),
                None => {}
            },
            Followed::NotStarted => self.in_trouble(format!("agent {host} does not know this run any more")),
            Followed::Unreadable(why) => self.in_trouble(format!("agent {host} cannot read the run's spool: {why}")),
            // A crash of its host took the end of the log. The mirror keeps its bytes, and compares the agent's with
            // them.
            Followed::Beyond => self.from_start = true,
            Followed::Short(outcome) => {
                if self.fruitless(before) && !faults::bug("short_output_awaited") {
                    let mirror = self.open_mirror().await?;
                    if self.end_short(&mirror, &outcome).await? {
                        return Ok(Next::Decide);
                    }
                }
            }
            Followed::Broken(why) => {
                tracing::debug!(run = %self.record.run, %why, "the run's stream broke; following again");
                if self.stata_ended && self.fruitless(before) {
                    self.in_trouble(format!(
                        "agent {host} says that this run has ended, and cannot send all of its output: {why}"
                    ));
                }
            }
            Followed::Ours(why) => tracing::debug!(run = %self.record.run, %why, "following again"),
        }
        Ok(Next::FollowAgain)
    }

    /// Counts a try to fetch the rest of the output; `true` = enough of them brought nothing.
    fn fruitless(&mut self, before: u64) -> bool {
        self.fruitless = if self.mirrored() > before { 0 } else { self.fruitless + 1 };
        self.fruitless >= FRUITLESS
    }

    /// Bytes of both streams in the mirror.
    fn mirrored(&self) -> u64 {
        self.mirror.as_ref().map_or(0, |m| m.len(Stream::Log) + m.len(Stream::Console))
    }

    async fn open_mirror(&mut self) -> Result<Arc<Mirror>, Interrupted> {
        if let Some(mirror) = &self.mirror {
            return Ok(mirror.clone());
        }
        loop {
            match self.inner.mirrors.open(self.record.run).await {
                Ok(mirror) => {
                    let base = self.record.detail.base();
                    mirror.begin_at(base.log, base.console);
                    (self.live.log_len, self.live.console_len) = (mirror.len(Stream::Log), mirror.len(Stream::Console));
                    self.mirror = Some(mirror.clone());
                    self.detail().conditions.clear(Condition::CopyUnopened);
                    self.publish();
                    return Ok(mirror);
                }
                Err(error) => {
                    tracing::error!(run = %self.record.run, %error, "cannot open the mirror; trying again");
                    let words = format!("the gateway cannot open its copy of the output: {error}");
                    self.detail().conditions.set(Condition::CopyUnopened, words);
                    self.publish();
                    self.during(None, tokio::time::sleep(Duration::from_secs(1))).await?;
                }
            }
        }
    }

    /// Waits for a usable connection. `None` when the attempt has not left and the agent does not connect in time.
    async fn usable(&mut self, connections: &mut OrderedReceiver<Option<Port>>) -> Result<Option<Port>, Interrupted> {
        let patience = self.inner.options.backoff.1 * 2;
        let mut patience = std::pin::pin!(tokio::time::sleep(patience));
        loop {
            let connection = connections.get();
            if let Some(connection) = connection.filter(|l| !l.is_broken()) {
                return Ok(Some(connection));
            }
            if !self.unsent {
                let changed = self.during(None, connections.changed()).await?;
                self.after(changed, connections).await?;
                continue;
            }
            let (patience, changed) = (patience.as_mut(), connections.changed());
            let waited = self
                .during(None, async move {
                    tokio::select! {
                        biased;
                        changed = changed => Some(changed),
                        () = patience => None,
                    }
                })
                .await?;
            match waited {
                None => return Ok(None),
                Some(changed) => self.after(changed, connections).await?,
            }
        }
    }

    /// The fleet may drop an agent that is silent and whose name another took; its run still waits for it.
    async fn after(
        &mut self,
        changed: Result<(), Closed>,
        connections: &mut OrderedReceiver<Option<Port>>,
    ) -> Result<(), Interrupted> {
        if changed.is_err() {
            if faults::bug("closed_links_end_the_task") {
                return Err(Interrupted::Stopping);
            }
            *connections = self.inner.fleet.connections(self.record.agent_id()).await;
        }
        Ok(())
    }

    /// The one `Run` call of this attempt.
    async fn start(&mut self, connection: &Port) -> Result<Followed, Interrupted> {
        let parent = spans::context(&self.record.detail.asked);
        let mut span = Span::begin("longhaul.dispatch", Kind::Internal, &parent);
        spans::about(&mut span, &self.record, self.record.attempt_number());
        let mut submission = match self.request(connection).await? {
            Ok(submission) => submission,
            Err(followed) => return Ok(followed),
        };
        if !self.record.detail.asked.timeout_of.is_empty() {
            // The limit of its pool, of which the request says nothing.
            submission.timeout_ms = self.record.detail.asked.timeout_ms;
        }
        // Here, where every request leaves, so that requests that an older version recorded without a seal are sealed
        // too.
        self.inner.seal.seal(&mut submission);
        let began = self.inner.deps.clock.monotonic();
        let attempt = self.record.attempt_number();
        let cluster_id = self.inner.ledger.cluster_id().to_owned();
        let mut call = spans::of_call(&self.record, &span.context());
        let trace = Some(call.context()).filter(|context| !context.traceparent.is_empty());
        let request = wire::RunRequest { submission: Some(submission), attempt, cluster_id, trace };
        // From here on it is unknown whether the call left, until it is proven.
        self.unsent = false;
        faults::point("dispatch.before_run");
        let called = self.during(Some(connection), call.around(connection.run(request))).await?;
        match &called {
            Ok(_) => call.set("rpc.response.status_code", "OK"),
            Err(error) => {
                let words = if telemetry::details() { &error.words } else { "the agent did not take the run" };
                call.failed(&format!("{:?}", error.failure), words);
            }
        }
        drop((call, span));
        match called {
            Ok(events) => {
                let took = self.inner.deps.clock.monotonic().saturating_sub(began);
                self.inner.metrics.dispatch.record(took);
                journal::started(&self.record);
                faults::point("dispatch.after_run");
                // Only now: the agent starts the process while the gateway creates the files for its output.
                let mirror = self.open_mirror().await?;
                self.pump(connection, &mirror, events).await
            }
            Err(error) if error.failure == Failure::NeverSent => {
                self.unsent = true;
                Ok(Followed::NeverSent)
            }
            Err(error) => {
                tracing::info!(run = %self.record.run, %error, "the agent did not take the run");
                let why = error.words.clone();
                self.refused = Some(error);
                Ok(Followed::Broken(why))
            }
        }
    }

    async fn follow(&mut self, connection: &Port) -> Result<Followed, Interrupted> {
        let mirror = self.open_mirror().await?;
        let base = self.record.detail.base();
        // Only once: if that stream breaks, the mirror's length is the offset to follow from again.
        let from_start = self.from_start;
        self.from_start &= faults::bug("from_start_sticks");
        let request = wire::FollowRequest {
            run_id: self.record.run.to_string(),
            log_offset: if from_start { 0 } else { mirror.len(Stream::Log).saturating_sub(base.log) },
            console_offset: if from_start { 0 } else { mirror.len(Stream::Console).saturating_sub(base.console) },
            with_submission: false,
        };
        match self.during(Some(connection), connection.follow(request)).await? {
            Ok(events) => self.pump(connection, &mirror, events).await,
            Err(error) => Ok(broken(error)),
        }
    }

    /// The agent is connected and cannot help: only a person can.
    pub(super) fn in_trouble(&mut self, why: String) {
        if self.trouble.as_ref() != Some(&why) {
            tracing::warn!(run = %self.record.run, why, "a run is in trouble");
            self.detail().conditions.set(Condition::Trouble, format!("{why}; an operator can declare it dead"));
            self.trouble = Some(why);
            self.publish();
        }
    }
}

/// What follows from the failure of a stream.
pub(super) fn broken(AgentError { failure, words }: AgentError) -> Followed {
    match failure {
        Failure::NeverSent => Followed::Broken("the connection broke".to_owned()),
        Failure::NotFound => Followed::NotStarted,
        Failure::OutOfRange => Followed::Beyond,
        Failure::Unreadable => Followed::Unreadable(words),
        _ => Followed::Broken(words),
    }
}
