//! From a request to a recorded run, or to the earlier run that answers it.

use std::{sync::Arc, time::Duration};

use longhaul_proto::{
    api::Joined,
    faults,
    ids::RunId,
    risk,
    telemetry::{self, Span},
    wire::{self, submission::Source},
};
use tracing::Instrument;

use super::{
    Accepted, BETWEEN_LOOKS, Inner, Request, SubmitError, answered, at_once,
    check::{self, Checked},
    confirm, joining, journal, lookup,
    new_record::new_record,
    quotas,
    registry::{Admission, NoRoom, Recording},
    snapshot::recorded,
    stored_code,
    supervise::{LeaseCell, Reached, Start, supervise},
    timeouts, told,
};
use crate::{
    audit::{Event, Kind},
    ledger::{Dedupe, Inserted, LeaseChange, LedgerError, NewRun, UNKNOWN_BODY, is_call},
    metrics::count,
    model::{Identity, Principal, Record},
};

/// Code up to this size stays in memory until it is dispatched; larger code is read from the ledger then, so that a
/// long queue of bundles is not a long queue in memory. Bytes.
const KEEP_IN_MEMORY: usize = 64 * 1024;
/// How often to look whether the import of the same call has ended, 10 s in all.
const IMPORT_LOOKS: u32 = 2000;
/// Between two reads of a ledger that cannot be read.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// When a caller is told to try again after a limit is reached, seconds.
const RETRY_AFTER: u32 = 30;

/// Records a run, or finds the earlier one that answers.
pub(super) async fn submit(inner: &Arc<Inner>, who: &Identity, request: Request) -> Result<Accepted, SubmitError> {
    if inner.deps.tasks.stopping().is_cancelled() {
        return Err(SubmitError::Stopping);
    }
    let mut span = Span::begin("longhaul.submit", telemetry::Kind::Producer, &request.trace);
    span.set("longhaul.principal", who.principal.to_string());
    let result = span.around(record(inner, who, request, span.context())).await;
    match &result {
        Ok(accepted) => {
            span.set("longhaul.run.id", accepted.run.run.to_string());
            if let Some(joined) = accepted.joined {
                let of = serde_json::to_value(joined).unwrap_or_default();
                span.set_text("longhaul.joined", of.as_str().unwrap_or_default());
                if !faults::bug("joins_unlinked") {
                    let traceparent = accepted.run.traceparent.clone().unwrap_or_default();
                    span.link(&wire::TraceContext { traceparent, ..Default::default() });
                }
                count(&inner.metrics.joined);
            }
            journal::submitted(who, accepted);
            if let Some(joined) = accepted.joined {
                let event = Event::of(Kind::Joined, who)
                    .run(accepted.run.run)
                    .with("by", serde_json::to_value(joined).unwrap_or_default());
                inner.audit.note(event.trace(accepted.run.trace_id.as_deref()));
            }
        }
        Err(error) => {
            count(&inner.metrics.refused);
            inner.metrics.refuse("submission", error.kind_word());
            if matches!(error, SubmitError::Busy { .. } | SubmitError::OverQuota(_)) {
                count(&inner.metrics.over_limit);
            }
            if let SubmitError::OverQuota(over) = error {
                inner.metrics.refused_by(over.reached.kind);
            }
            let words = if telemetry::details() { error.to_string() } else { "the submission was refused".to_owned() };
            span.failed("refused", &words);
            span.inside(|| tracing::info!(by = %who.principal, %error, "submission refused"));
            let why = match &error {
                SubmitError::Unconfirmed(asked) => asked.words(&risk::summary_of_kinds(&asked.risks)),
                error => error.to_string(),
            };
            inner.audit.note(Event::of(Kind::SubmitRefused, who).with("why", why));
        }
    }
    result
}

async fn record(
    inner: &Arc<Inner>,
    who: &Identity,
    mut request: Request,
    trace: wire::TraceContext,
) -> Result<Accepted, SubmitError> {
    // Whom it tells is no part of what makes it the same request as another.
    let receivers = std::mem::take(&mut request.submit.notify);
    let receivers = told::named(inner, who, &receivers).await?;
    let mut checked = check::check(request)?;
    checked.need = who.narrow(checked.need);
    if let Some(run) = by_key(inner, who, &checked).await? {
        let accepted = earlier(inner, run, Joined::Key).await?;
        return told::also(inner, accepted, receivers).await;
    }
    lookup::known(inner, &checked.need).await?;
    lookup::permitted(inner, &checked.need).await?;
    lookup::runnable(inner, &checked).await?;
    timeouts::check(inner, &mut checked)?;
    let urgency = quotas::urgency(inner, who, &checked)?;
    let fit = lookup::look(inner, who, &mut checked).await?;
    stored_code::settle(inner, who, &mut checked).await?;
    confirm::settle(inner, who, &mut checked, &fit).await?;
    // Without room an equal run may still answer: a lost call is made again, and that costs nothing.
    let room = room(inner, who);
    let run = inner.deps.ids.run();
    let created_ms = inner.wall_clock.now_ms();
    let trace = telemetry::context_for_run(trace);
    let submission = wire::Submission {
        run_id: run.to_string(),
        principal: who.principal.subject().to_owned(),
        principal_issuer: who.principal.wire_issuer().to_owned(),
        created_at_ms: created_ms,
        cluster_id: inner.ledger.cluster_id().to_owned(),
        trace: Some(trace),
        request_sha256: checked.body.clone(),
        ..checked.submission
    };
    let since = |window: Duration| created_ms.saturating_sub(i64::try_from(window.as_millis()).unwrap_or(i64::MAX));
    let dedupe = Dedupe {
        shape: check::shape(&who.principal, &submission, &checked.source),
        code: checked.code.clone(),
        join_since_ms: (!checked.again).then(|| since(inner.options.duplicate_window)),
        call: checked.call,
        call_since_ms: since(inner.options.call_window),
        not: Vec::new(),
        only_join: room.is_err(),
        rooms: quotas::rooms(inner, who),
    };
    let mut record = new_record(run, &submission, checked.source, checked.need, &checked.code);
    record.detail.asked.urgency = urgency;
    timeouts::foreseen(inner, &mut record.detail.asked);
    record.owner.clone_from(&inner.owner);
    let on_purpose = !submission.key.is_empty() && !is_call(&submission.key);
    let key = on_purpose.then(|| (submission.key.clone(), checked.body));
    let blobs = stored_code::digests(submission.source.as_ref());
    let new = NewRun { record, submission, key, dedupe, lease: LeaseChange::Keep, blobs, receivers: receivers.clone() };
    let line = asked(who, &new.record);
    let beginning = Beginning { seat: LeaseCell::default(), fit };
    let accepted = insert_in_a_task(inner, new, beginning, (line, room)).await?;
    told::also(inner, accepted, receivers).await
}

/// The line of the audit log that comes before the record.
fn asked(who: &Identity, record: &Record) -> Event {
    let asked = &record.detail.asked;
    let trace = asked.traceparent.split('-').nth(1);
    let event = Event::of(Kind::Submit, who).run(record.run).trace(trace).with("source", asked.source.clone());
    let urgency = &asked.urgency;
    let event = if urgency.priority.is_normal() {
        event
    } else {
        event.with("priority", urgency.priority.as_str()).with("priority_reason", urgency.reason.clone())
    };
    let event = event.with("code_sha256", asked.found_sha256.clone()).with("host", asked.need.host.clone());
    let mut event = event.with("client", asked.client.clone());
    if !asked.risks.is_empty() {
        // There is no code in the audit log.
        event = event.with("risks", risk::summary_of_kinds(&asked.risks));
    }
    match &asked.confirmed {
        Some(word) => event.with("confirmed", format!("{} by {}", word.by, word.how)),
        None => event,
    }
}

/// Records a run in a task of its own: a caller that disconnects between commit and start must not leave a run without a
/// task.
async fn insert_in_a_task(
    inner: &Arc<Inner>,
    new: NewRun,
    beginning: Beginning,
    (line, room): (Event, Result<Admission, SubmitError>),
) -> Result<Accepted, SubmitError> {
    let run = new.record.run;
    let early = faults::bug("acknowledged_before_commit").then(|| Arc::new(recorded(&new.record)));
    // Outlives a panic of the task: its run may be recorded as one that has a seat.
    let seat = beginning.seat.clone();
    let task = {
        let inner = inner.clone();
        async move { insert(&inner, new, beginning, (line, room)).await }
    };
    if let Some(run) = early {
        inner.deps.tasks.spawn(task);
        return Ok(Accepted { run, joined: None });
    }
    match inner.deps.tasks.spawn(task.in_current_span()).await {
        Ok(inserted) => inserted,
        Err(error) if error.is_panic() => {
            // It may have panicked after the commit, and a recorded run must have a task.
            inner.deps.tasks.spawn_until_stop(start_if_recorded(inner.clone(), run, seat));
            Err(SubmitError::Panicked)
        }
        Err(_) => Err(SubmitError::Stopping),
    }
}

/// What a new run has when its task starts, besides its record.
struct Beginning {
    /// The lease that it got before it was recorded.
    seat: LeaseCell,
    /// The agents that are known to have its do-file.
    fit: Vec<String>,
}

/// The run that an idempotency key of the caller's own names already. Repeating a key must not depend on any agent.
async fn by_key(inner: &Inner, who: &Identity, checked: &Checked) -> Result<Option<RunId>, SubmitError> {
    let key = &checked.submission.key;
    if key.is_empty() || is_call(key) {
        return Ok(None);
    }
    match inner.ledger.by_key(&who.principal, key).await.map_err(SubmitError::Ledger)? {
        Some((run, body)) if body == checked.body || body == UNKNOWN_BODY => Ok(Some(run)),
        Some((run, _)) => Err(SubmitError::KeyTaken { key: key.clone(), run }),
        None => Ok(None),
    }
}

async fn insert(
    inner: &Arc<Inner>,
    mut new: NewRun,
    beginning: Beginning,
    (line, room): (Event, Result<Admission, SubmitError>),
) -> Result<Accepted, SubmitError> {
    let _recording = recording(inner, &new.record.principal, &new.submission.key).await?;
    // Ends that are being noted as shown answer no request any more.
    inner.shown.settled().await;
    if let Some(accepted) = answered::answered(inner, &mut new).await? {
        return Ok(accepted);
    }
    inner.audit.must(line).await?;
    at_once::begin(inner, &mut new, &beginning.fit, &beginning.seat).await;
    let inserted = loop {
        faults::point("submit.before_commit");
        let inserted = inner.ledger.insert(new.clone()).await;
        faults::point("submit.after_commit");
        match inserted {
            Ok(Inserted::Joined(run, why)) if run != new.record.run => {
                // Whether that run may answer is asked of its agent, and a seat must not wait for it.
                at_once::wait_after_all(&mut new, &beginning.seat);
                match joining::decide(inner, &new, run, why).await? {
                    joining::Verdict::Join(accepted) => return Ok(accepted),
                    joining::Verdict::GoOn => new.dedupe.not.push(run),
                }
            }
            inserted => break inserted,
        }
    };
    let NewRun { record, submission, .. } = new;
    let key = submission.key.clone();
    // `room` is held to the end: from then on the registry counts the run as unfinished.
    match inserted {
        // A commit whose answer was lost was tried again, and found its own run.
        Ok(Inserted::Joined(..) | Inserted::New) => Ok(begin(inner, record, submission, beginning)),
        // They went while the request was looked at.
        Err(LedgerError::NoSuchBlobs(missing)) => Err(SubmitError::MissingBlobs(missing)),
        Err(LedgerError::KeyTaken(run)) => Err(SubmitError::KeyTaken { key, run }),
        // Of a commit whose answer was lost the run itself may be what fills it.
        Err(LedgerError::OverQuota(over)) => match inner.ledger.get(record.run).await {
            Ok(Some(_)) => Ok(begin(inner, record, submission, beginning)),
            _ => Err(SubmitError::OverQuota(over)),
        },
        Err(LedgerError::Full) => Err(room.err().unwrap_or(SubmitError::Ledger(LedgerError::Full))),
        Err(error) if faults::bug("unknown_is_failed") => Err(SubmitError::Ledger(error)),
        Err(error) => match inner.ledger.get(record.run).await {
            Ok(Some(_)) => Ok(begin(inner, record, submission, beginning)),
            Ok(None) => Err(SubmitError::Ledger(error)),
            Err(_) => {
                // The run may be recorded, and a recorded run must have a task.
                inner.deps.tasks.spawn_until_stop(start_if_recorded(inner.clone(), record.run, beginning.seat));
                Err(SubmitError::Unsettled(error))
            }
        },
    }
}

/// Keeps an import of the same call out while this call is recorded; without a key there is nothing to hold.
async fn recording<'a>(
    inner: &'a Inner,
    principal: &Principal,
    key: &str,
) -> Result<Option<Recording<'a>>, SubmitError> {
    if key.is_empty() {
        return Ok(None);
    }
    for looks_left in (0..=IMPORT_LOOKS).rev() {
        if let Some(recording) = inner.registry.recording(principal, key) {
            return Ok(Some(recording));
        }
        if looks_left > 0 {
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }
    let text = "the same call was made before, and its run is being found with an agent: try again".to_owned();
    Err(SubmitError::Busy { text, retry_after: 1 })
}

/// Starts the task of a recorded run.
fn begin(inner: &Arc<Inner>, record: Record, submission: wire::Submission, beginning: Beginning) -> Accepted {
    count(&inner.metrics.submitted);
    let small = code_len(&submission) <= KEEP_IN_MEMORY;
    let run = Arc::new(recorded(&record));
    let Beginning { seat, fit } = beginning;
    let unsent = record.attempt().is_some();
    if unsent {
        at_once::note_wait(inner, &record);
    }
    inner.start_task(Start { record, submission: small.then_some(submission), seat, fit, unsent });
    Accepted { run, joined: None }
}

/// Asks the ledger until it can tell whether the run is recorded.
async fn start_if_recorded(inner: Arc<Inner>, run: RunId, seat: LeaseCell) {
    loop {
        tokio::time::sleep(ASK_AGAIN).await;
        match inner.ledger.get(run).await {
            Ok(Some(record)) if !record.state.is_end() => return inner.start_task(Start::recorded(record, seat)),
            Ok(_) => return,
            Err(_) => {}
        }
    }
}

pub(super) async fn earlier(inner: &Arc<Inner>, run: RunId, why: Joined) -> Result<Accepted, SubmitError> {
    let run = match inner.registry.get(run) {
        Some(active) => active.snapshot.borrow().clone(),
        None => {
            let record = inner.ledger.get(run).await.map_err(SubmitError::Ledger)?;
            let record = record.ok_or_else(|| SubmitError::Ledger(LedgerError::Lost(run)))?;
            Arc::new(recorded(&record))
        }
    };
    Ok(Accepted { run, joined: Some(why) })
}

/// Admits the submission, or says which limit is reached and when to try again.
fn room(inner: &Inner, who: &Identity) -> Result<Admission, SubmitError> {
    let options = &inner.options;
    let (most_queued, most_own) = (options.max_queued, options.max_per_principal);
    let refused = match inner.registry.admit(&who.principal, inner.fleet.queued(), most_queued, most_own) {
        Ok(admission) => return Ok(admission),
        Err(refused) => refused,
    };
    let what = match refused {
        NoRoom::Queue => format!("{most_queued} runs are waiting already, the most that this gateway takes"),
        NoRoom::Principal => format!(
            "you have {most_own} unfinished runs, the most for one principal: wait for some to end, or cancel some"
        ),
    };
    let text = format!("{what}; try again in {RETRY_AFTER} s, or when some have started or ended");
    Err(SubmitError::Busy { text, retry_after: RETRY_AFTER })
}

fn code_len(submission: &wire::Submission) -> usize {
    match &submission.source {
        Some(Source::Text(text)) => text.len(),
        Some(Source::Bundle(bundle)) => bundle.files.iter().map(|f| f.content.len()).sum(),
        _ => 0,
    }
}

impl Inner {
    /// Starts the task of an unfinished run; does nothing when it has one.
    pub(crate) fn start_task(self: &Arc<Self>, start: Start) {
        let record = &start.record;
        let added = self.registry.add(record.run, record.principal.clone(), recorded(record));
        let Some((active, mailbox)) = added else { return };
        self.supervised(Reached { active, mailbox }, start);
    }

    fn supervised(self: &Arc<Self>, reached: Reached, start: Start) {
        self.deps.tasks.spawn(supervise(self.clone(), reached, start));
    }
}
