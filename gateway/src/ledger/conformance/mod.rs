//! The conformance suite of the ledger, run against every implementation.

mod agents;
mod joining;
mod principals;
mod runs;
mod upkeep;

use std::sync::Arc;

use RunState::{Lost, Queued, Running, Starting, Succeeded};
use longhaul_proto::{
    api::{CancelMode, FilesRemoved, Joined},
    ids::{Ids, RunId},
    state::{Cause, RunState},
    tasks::Tasks,
    transport::Fingerprint,
    wire,
};

use super::{
    Adoption, AgentRecord, CALL, Dedupe, DrainRecord, Inserted, Ledger, LedgerError, ListQuery, MirrorCopy, NewRun,
    PinRecord, PinState, Stash, TokenRecord, Transition, memory::MemoryLedger, sqlite::SqliteLedger,
};
use crate::model::{
    Asked, Attempt, AttemptRecord, CancelIntent, Condition, Detail, End, Origin, OutputLengths, Placement, Principal,
    Record, Remark, Scope,
};

pub(super) fn new_run(subject: &str) -> NewRun {
    run_of(&Principal::local(subject))
}

fn run_of(principal: &Principal) -> NewRun {
    let run = Ids::system().run();
    NewRun {
        record: Record::queued(
            run,
            principal.clone(),
            1_000,
            Asked { source: "text".to_owned(), args: vec!["a b".to_owned()], ..Asked::default() },
        ),
        submission: wire::Submission {
            run_id: run.to_string(),
            principal: principal.subject().to_owned(),
            principal_issuer: principal.wire_issuer().to_owned(),
            source: Some(wire::submission::Source::Text(b"display 1\n".to_vec())),
            ..wire::Submission::default()
        },
        key: None,
        dedupe: Dedupe { shape: run.to_string(), code: "c0de".to_owned(), join_since_ms: Some(0), ..Dedupe::default() },
    }
}

/// The rest of a record whose last attempt is this one; 0 = it has none.
fn after(attempt: u32) -> Detail {
    let at = Placement { agent_id: "agent".to_owned(), host: "stata1".to_owned(), pool: "lab".to_owned() };
    let attempts = Attempt::known(attempt).map(|number| AttemptRecord::given(number, at));
    Detail { attempts: attempts.into_iter().collect(), ..Detail::default() }
}

fn step(run: RunId, from: (RunState, u32), to: (RunState, u32), cause: Cause, at_ms: i64) -> Transition {
    let from_attempt = Attempt::known(from.1);
    Transition { run, from: from.0, from_attempt, to: to.0, cause, at_ms, detail: after(to.1) }
}

/// Brings a run to `running` under attempt 1.
pub(super) async fn running(ledger: &dyn Ledger, new: NewRun) -> RunId {
    let (run, origin) = (new.record.run, new.record.detail.origin.clone());
    assert_eq!(ledger.insert(new).await.unwrap(), Inserted::New);
    let with_origin =
        |step: Transition| Transition { detail: Detail { origin: origin.clone(), ..step.detail }, ..step };
    let start = step(run, (Queued, 0), (Starting, 1), Cause::Dispatched, 1_010);
    ledger.transition(with_origin(start)).await.unwrap();
    let output = step(run, (Starting, 1), (Running, 1), Cause::FirstOutput, 1_020);
    ledger.transition(with_origin(output)).await.unwrap();
    run
}

pub(super) async fn end(ledger: &dyn Ledger, run: RunId, at_ms: i64, complete: bool) {
    let mut end = step(run, (Running, 1), (Succeeded, 1), Cause::Completed, at_ms);
    end.detail.end = End { output: OutputLengths { log: 7, console: 0 }, complete, ..End::default() };
    ledger.transition(end).await.unwrap();
}

async fn ends_as(ledger: &dyn Ledger, run: RunId, to: RunState, cause: Cause, at_ms: i64) {
    ledger.transition(step(run, (Running, 1), (to, 1), cause, at_ms)).await.unwrap();
}

async fn all(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    assert_eq!(ledger.cluster_id(), "c1");
    runs::a_run_keeps_what_it_was_given(ledger).await;
    runs::a_step_names_what_it_expects(ledger).await;
    runs::of_many_who_want_the_same_step_one_gets_it(ledger).await;
    runs::lost_may_be_corrected_once(ledger).await;
    joining::a_key_is_one_run(ledger).await;
    joining::an_equal_request_joins_what_goes_on_and_what_was_not_shown(ledger).await;
    joining::an_end_answers_an_equal_request_only_by_its_own_verdict_and_for_a_while(ledger).await;
    joining::what_is_being_ended_answers_nothing(ledger).await;
    joining::the_same_call_is_the_same_run_for_a_while(ledger).await;
    runs::many_are_read_as_each(ledger).await;
    runs::a_run_without_a_principal_is_adopted_once(ledger).await;
    runs::another_result_is_noted_once(ledger).await;
    runs::the_first_request_names_who_asked(ledger).await;
    runs::names_and_pages(ledger).await;
    upkeep::only_the_ended_and_old_is_swept(ledger).await;
    upkeep::spools_are_known_until_they_are_gone(ledger).await;
    upkeep::files_are_kept_longer_than_spools(ledger).await;
    agents::tokens_and_agents(ledger).await;
    agents::stashes_are_kept_and_bounded(ledger).await;
    agents::drained_hosts_are_remembered(ledger).await;
    agents::keys_of_agents_are_kept(ledger).await;
    joining::without_room_an_equal_run_answers_and_nobody_else(ledger).await;
    upkeep::only_what_has_ended_is_removed(ledger).await;
    principals::one_subject_of_two_issuers_is_two_principals(ledger).await;
    ledger.check().await.unwrap();
    ledger.close().await;
}

#[tokio::test]
async fn the_model_keeps_the_laws() {
    all(Arc::new(MemoryLedger::new("c1"))).await;
}

#[tokio::test]
async fn sqlite_keeps_the_laws() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = Tasks::new();
    all(Arc::new(SqliteLedger::open(folder.path(), "c1", &tasks).await.unwrap())).await;
}
