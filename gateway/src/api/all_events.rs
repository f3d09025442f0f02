//! `GET /api/v1/events`: what happens to all runs that the caller may see, as an event stream.
//!
//! ```text
//! event: ready                       data: {resumed}                 first, with the id from which on steps are told
//! id: 123-0   event: state           data: {run_id, state, cause, attempt, at, host, …}
//! event: progress                    data: {run_id, progress, waiting, contact, …}; the latest alone counts
//! ```
//!
//! Each step of a run is told once and in order, with its place among the steps of all runs as its id: a reader that comes back
//! with the last id that it got (`Last-Event-ID`, or `after`) is told every later step, also those of the time when it was away or
//! the gateway was. They are read from the ledger; news of run tasks says when to read. Progress is not kept.
//!
//! A reader that is too far behind loses news, so its stream ends and is counted (`longhaul_event_streams_dropped_total`); it comes
//! back with its last id.

use std::{collections::VecDeque, convert::Infallible, sync::atomic::Ordering, time::Duration};

use axum::{Extension, body::Body, extract::State, response::Response};
use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use longhaul_proto::{
    api::{EventsReady, ProgressEvent, ProgressView, StepEvent},
    faults,
};
use serde::Deserialize;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;

use super::{
    events::{json, named},
    strict::Strict,
};
use crate::{
    frontend::{Frontend, Numbers, early_flush::event_stream},
    ledger::{StepCursor, StepRow},
    model::{Attempt, Identity, RunSnapshot, UnixMs},
    problem::Problem,
    runs::News,
};

/// The query.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(utoipa::IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub(super) struct AllEventsQuery {
    /// The id of the last event that was received, for those who cannot send `Last-Event-ID`, which goes before it.
    after: Option<String>,
}

/// The handler.
pub(super) async fn get(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Strict(query): Strict<AllEventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let header = headers.get("last-event-id").map(|value| value.to_str().unwrap_or_default().trim().to_owned());
    let last = match (header.filter(|id| !id.is_empty()), query.after) {
        (Some(id), _) => Some(cursor("Last-Event-ID", &id)?),
        (None, Some(id)) => Some(cursor("`after`", &id)?),
        (None, None) => None,
    };
    // First followed and then looked, so that nothing happens between the two.
    let news = frontend.core.runs.follow_all(&who);
    let latest = frontend.core.runs.latest_step().await?;
    let known = last.filter(|at| *at <= latest && !faults::bug("missed_steps_stay_missed"));
    let at = known.unwrap_or(latest);
    let ready = format!("id: {at}\nevent: ready\ndata: {}\n\n", json(&EventsReady { resumed: known.is_some() }));
    frontend.numbers.followers.fetch_add(1, Ordering::Relaxed);
    let follower = Follower {
        who,
        news,
        at,
        ready: VecDeque::from([Bytes::from(ready)]),
        look: known.is_some(),
        keep_alive: frontend.options().sse_keep_alive,
        stopping: frontend.core.deps.tasks.stopping(),
        frontend,
    };
    Ok(event_stream(Body::from_stream(stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    }))))
}

fn cursor(what: &str, id: &str) -> Result<StepCursor, Problem> {
    let shown: String = id.chars().take(64).collect();
    id.parse().map_err(|()| {
        Problem::bad_request(format!("{what}: `{shown}` is no id of this stream; leave it out to be told from now on"))
    })
}

/// One reader, at its own pace.
struct Follower {
    who: Identity,
    news: Receiver<News>,
    /// The last step that was read.
    at: StepCursor,
    /// Events that are to be sent.
    ready: VecDeque<Bytes>,
    /// There may be steps to read.
    look: bool,
    keep_alive: Duration,
    stopping: CancellationToken,
    frontend: Frontend,
}

impl Follower {
    /// The next event; `None` after the last.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.stopping.is_cancelled() {
                return None;
            }
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.look {
                match self.frontend.core.runs.steps_since(&self.who, self.at).await {
                    Ok(read) => {
                        (self.at, self.look) = (read.next, read.more);
                        self.ready.extend(read.steps.iter().map(state));
                    }
                    Err(error) => {
                        // The reader comes back with its last id.
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "a follower of all runs lost the ledger"
                        );
                        return None;
                    }
                }
                continue;
            }
            tokio::select! {
                told = self.news.recv() => match told {
                    Ok(news) => self.told(&news),
                    Err(RecvError::Lagged(lost)) => {
                        Numbers::count(&self.frontend.numbers.streams_dropped);
                        tracing::info!(principal = %self.who.principal, lost, "a follower of all runs was too slow: its stream ends");
                        return None;
                    }
                    Err(RecvError::Closed) => return None,
                },
                () = tokio::time::sleep(self.keep_alive) => {
                    // Steps that no task of this gateway told, and the place behind those of others, are found now.
                    self.look = true;
                    return Some(Bytes::from_static(b":\n\n"));
                }
                () = self.stopping.cancelled() => return None,
            }
        }
    }

    fn told(&mut self, news: &News) {
        let runs = &self.frontend.core.runs;
        if !runs.sees(&self.who, &news.run) {
            return;
        }
        if news.stepped {
            self.look = true;
        } else if runs.goes_on(news.run.run) {
            // Of a run that has ended meanwhile its end may be told already.
            self.ready.push_back(named("progress", &progress(&news.run)));
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.frontend.numbers.followers.fetch_sub(1, Ordering::Relaxed);
    }
}

fn state(row: &StepRow) -> Bytes {
    let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let event = StepEvent {
        run_id: row.run,
        step: row.step.n,
        state: row.step.state,
        cause: row.step.cause,
        attempt: row.step.attempt.map_or(0, Attempt::number),
        host: known(&row.host),
        at: UnixMs::stored(row.step.at_ms).map(UnixMs::rfc3339),
        principal: row.principal.to_string(),
        name: known(&row.name),
    };
    Bytes::from(format!("id: {}\nevent: state\ndata: {}\n\n", row.cursor(), json(&event)))
}

fn progress(run: &RunSnapshot) -> ProgressEvent {
    let shown = run.progress.as_ref();
    ProgressEvent {
        run_id: run.run,
        state: run.state,
        attempt: run.attempt.map_or(0, Attempt::number),
        progress: shown.map(|progress| ProgressView { percent: progress.percent, text: progress.text.clone() }),
        waiting: run.waiting.as_ref().map(|wait| wait.words().into_owned()),
        cancelling: run.cancel.is_some(),
        contact: run.contact.as_ref().map(|contact| contact.words.clone()),
    }
}
