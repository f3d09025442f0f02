//! A client: submits one run, asks again until it is acknowledged, follows it over whatever breaks, perhaps cancels it.

use std::{sync::Arc, time::Duration};

use longhaul_gateway::{
    model::{Identity, Scopes, Stream, Wait},
    runs::{Request, Runs},
};
use longhaul_proto::{
    api::{CancelMode, Retry, SubmitRequest},
    ids::RunId,
};
use tokio_util::sync::CancellationToken;

use super::{
    sim::short,
    world::{World, root},
};

pub(crate) struct Client {
    pub(crate) world: Arc<World>,
    pub(crate) n: u64,
}

/// What a client submits: one of them so much that it goes to the agent before the run.
pub(crate) fn code(n: u64) -> String {
    let times = if n == 3 { 12_000 } else { 1 };
    format!("display {n}\n").repeat(times)
}

impl Client {
    fn who(&self) -> Identity {
        let name = if self.n.is_multiple_of(2) { "ann" } else { "bob" };
        Identity::local(name, Scopes::USE)
    }

    /// The gateway as it is now; `None` while it is away.
    fn gateway(&self) -> Option<(Runs, CancellationToken)> {
        let gateway = self.world.gateway.lock().unwrap();
        gateway.as_ref().map(|g| (g.runs.clone(), g.deps.tasks.crashed()))
    }

    pub(crate) async fn live(self) {
        let sim = &self.world.sim;
        sim.pause(0, 8_000).await;
        let run = self.submit().await;
        let mut offset = 0;
        let cancel_at = (sim.below(5) == 0).then(|| sim.clock().monotonic() + sim.ms(0, 10_000));
        let mut cancelled = false;
        loop {
            if cancel_at.is_some_and(|at| sim.clock().monotonic() >= at) && !cancelled {
                cancelled = self.cancel(run).await;
            }
            let Some((runs, crashed)) = self.gateway() else {
                sim.pause(50, 300).await;
                continue;
            };
            if let Some(true) = crashed.run_until_cancelled(self.follow(&runs, run, &mut offset)).await {
                break;
            }
            sim.pause(1, 200).await;
        }
    }

    /// The same call with the same key, until it is acknowledged.
    async fn submit(&self) -> RunId {
        let sim = &self.world.sim;
        let key = Some(format!("call-{}", self.n));
        let retry = (sim.below(2) == 0).then_some(Retry::IfProvenDead);
        // More often where a second wait may follow: each wait has a limit of its own.
        let queue_timeout =
            (sim.below(if retry.is_some() { 2 } else { 4 }) == 0).then(|| sim.ms(300, 8_000).as_secs_f64());
        let text = Some(code(self.n));
        let submit = SubmitRequest { text, key, retry, queue_timeout, ..SubmitRequest::default() };
        loop {
            if let Some((runs, crashed)) = self.gateway() {
                let request = Request { submit: submit.clone(), max_code: 1 << 20, ..Request::default() };
                let who = self.who();
                let answer = crashed.run_until_cancelled(runs.submit(&who, request)).await;
                match answer {
                    Some(Ok(submitted)) => {
                        let run = submitted.run.run;
                        sim.note(format_args!("acknowledged {}", short(run)));
                        self.world.acknowledged.lock().unwrap().push(run);
                        if let Some(Err(_)) = crashed.run_until_cancelled(runs.get(&root(), run)).await
                            && !sim.story(run, |story| story.removed)
                        {
                            sim.wrong(format_args!("run {} was acknowledged and is not known", short(run)));
                        }
                        return run;
                    }
                    Some(Err(error)) => sim.note(format_args!("not submitted: {error}")),
                    None => sim.note("no answer to a submission"),
                }
            }
            sim.pause(50, 600).await;
        }
    }

    async fn cancel(&self, run: RunId) -> bool {
        let mode = [CancelMode::Break, CancelMode::Terminate][usize::try_from(self.world.sim.below(2)).unwrap()];
        self.world.cancel(&self.who(), run, mode).await
    }

    /// Reads on from `offset`; `true` when the run has ended and nothing follows.
    async fn follow(&self, runs: &Runs, run: RunId, offset: &mut u64) -> bool {
        let sim = &self.world.sim;
        let who = self.who();
        let Ok(mut view) = runs.watch(&who, run).await else { return sim.story(run, |story| story.removed) };
        loop {
            let now = view.borrow_and_update().clone();
            // No ledger of a simulation is ever an older copy.
            if now.waiting == Some(Wait::Restored) {
                sim.wrong(format_args!("run {} is held back as if the ledger were an older copy", short(run)));
                return true;
            }
            loop {
                let most = 1 + usize::try_from(sim.below(5_000)).unwrap();
                let chunk = match runs.read(&who, run, Stream::Log, *offset, most).await {
                    Ok(chunk) => chunk,
                    Err(_) if sim.story(run, |story| story.removed) => return true,
                    Err(error) => {
                        sim.wrong(format_args!("run {}: a follower at {offset} was told: {error}", short(run)));
                        return true;
                    }
                };
                let at = usize::try_from(*offset).unwrap();
                // Where a dead attempt's end was lost, what follows it begins earlier in the copy.
                let right = sim.story(run, |s| {
                    s.printed.get(at..).is_some_and(|rest| rest.starts_with(&chunk.bytes))
                        || (s.damaged && s.executions.len() > 1)
                });
                if !right {
                    sim.wrong(format_args!("run {}: a follower got other bytes at {offset}", short(run)));
                    return true;
                }
                *offset = chunk.next;
                if now.state.is_end() && chunk.complete {
                    sim.note(format_args!("{} told {} at {offset}", short(run), now.state));
                    sim.story(run, |story| {
                        let told = *story.told.get_or_insert((now.state, now.cause));
                        if told != (now.state, now.cause) {
                            sim.wrong(format_args!("run {} was {} and is {}", short(run), told.0, now.state));
                        }
                        let all = story.printed.len() as u64;
                        let cut = self.world.max_output.is_some_and(|most| all > most && *offset >= most);
                        if *offset != all && !cut && !story.damaged {
                            sim.wrong(format_args!("run {}: told complete at {offset}", short(run)));
                        }
                    });
                    return true;
                }
                if chunk.bytes.is_empty() {
                    break;
                }
            }
            // It may lose its connection, too.
            if sim.strikes(30) {
                return false;
            }
            if let Ok(Err(_)) = tokio::time::timeout(Duration::from_millis(700), view.changed()).await {
                return false;
            }
        }
    }
}
