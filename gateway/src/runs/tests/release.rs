//! Spools with the only copy of some bytes are deleted too, but never silently.

use longhaul_proto::wire::Verdict;

use super::*;
use crate::runs::ControlError;
use RunState::{Queued, Running, Succeeded};

pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// A gateway that copies a thousand bytes per stream, and a run that printed five thousand.
async fn cut() -> (World, Fake, RunId) {
    let world = World::with(|o| o.max_output = 1000).await;
    let agent = Fake::with("stata1", |i| i.pool_seats = 8, SECRET).join(world.addr()).await;
    let run = ended(&world, &agent, "display 1\n", 5000).await;
    (world, agent, run)
}

pub(super) async fn ended(world: &World, agent: &Fake, code: &str, bytes: usize) -> RunId {
    let run = world.submit(text(code)).await;
    agent.got(run).await;
    agent.prints(run, &vec![b'x'; bytes]);
    agent.ends(run, Succeeded, Cause::Completed);
    world.state(run, Succeeded).await;
    run
}

async fn note(world: &World, run: RunId) -> String {
    world.get(&root(), run).await.note.unwrap_or_default()
}

pub(super) async fn until_note(world: &World, run: RunId, words: &str) -> String {
    let found = async {
        loop {
            let note = note(world, run).await;
            if note.contains(words) {
                return note;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, found).await.unwrap_or_else(|_| panic!("never: {words}"))
}

#[tokio::test]
async fn a_spool_that_is_the_only_copy_goes_for_room_after_the_others_and_the_record_says_so() {
    let (world, agent, run) = cut().await;
    let whole = ended(&world, &agent, "display 2\n", 10).await;
    world.ahead(DAY + DAY / 24);
    agent.until("the whole one goes by its age", |s| s.forgets.len() == 1).await;
    assert_eq!(agent.shared.state().forgets[0].run_id, whole.to_string());
    let second = ended(&world, &agent, "display 3\n", 10).await;
    agent.beats(5).await;
    assert_eq!(agent.shared.state().forgets.len(), 1, "the only copy stays");
    agent.shared.change(|s| s.spool = (11 << 20, 9 << 20));
    agent.until("room is made", |s| s.forgets.len() == 3).await;
    let asked: Vec<_> = agent.shared.state().forgets.iter().map(|f| f.run_id.clone()).collect();
    assert_eq!(asked[1..], [second.to_string(), run.to_string()], "whole ones first");
    let request = agent.shared.state().forgets[2].clone();
    assert_eq!((request.log_len, request.log_sha256), (5000, longhaul_proto::sha256_hex(&[b'x'; 5000])));
    let note = until_note(&world, run, "was released").await;
    assert!(note.contains("the spool on stata1 was released for room on its host (max_spool) at 20"), "{note}");
    assert!(note.contains("and with it 4000 bytes of its log"), "{note}");
    assert_eq!(world.log(run).await.len(), 1000, "what is here stays");
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_a_spool_that_no_limit_frees() {
    let _bug = longhaul_proto::faults::enter("bug=incomplete_spools_stay");
    let (world, agent, _) = cut().await;
    agent.shared.change(|s| s.spool = (11 << 20, 9 << 20));
    agent.beats(10).await;
    assert!(agent.shared.state().forgets.is_empty());
    world.stop().await;
}

#[tokio::test]
async fn an_operator_releases_a_spool() {
    let (world, mut agent, run) = cut().await;
    let live = world.submit(text("display 2\n")).await;
    agent.got(live).await;
    agent.prints(live, b"x");
    world.state(live, Running).await;
    assert!(matches!(world.runs().release(&ann(), run).await, Err(ControlError::Forbidden(_))));
    let refused = world.runs().release(&root(), live).await.unwrap_err().to_string();
    assert!(refused.contains("it has not ended"), "{refused}");
    let view = run_view(&world.runs().release(&root(), run).await.unwrap());
    let note = view.note.unwrap();
    assert!(note.contains("was released by root at 20") && note.contains("4000 bytes of its log"), "{note}");
    assert_eq!(agent.shared.state().forgets.len(), 1);
    agent.vanish().await;
    // Until the gateway has noticed that the connections are gone, the call fails and may be repeated.
    let mut other = String::new();
    for _ in 0..1000 {
        other = world.runs().release(&root(), run).await.unwrap_err().to_string();
        if !other.ends_with("try again") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(other.contains("stata1 is not connected"), "{other}");
    world.stop().await;
}

#[tokio::test]
async fn a_record_that_goes_for_room_takes_its_spool_along() {
    let (mut world, mut agent, run) = cut().await;
    world.options.max_kept = 10;
    world.restart().await;
    agent.register(world.addr()).await;
    world.ahead(Duration::from_secs(20 * 60));
    agent.until("the agent is asked first", |s| s.forgets.len() == 1).await;
    assert_eq!(agent.shared.state().forgets[0].run_id, run.to_string());
    let verdicts = agent.register(world.addr()).await.verdicts;
    assert!(verdicts.is_empty(), "nothing of it is left anywhere");
    world.stop().await;
}

/// A run that has printed a line, and may be tried again, on an agent that takes no second attempt of a run.
pub(super) async fn printed_once(world: &World) -> (Fake, RunId) {
    let old = |i: &mut longhaul_proto::wire::AgentInfo| (i.puts_aside, i.pool) = (false, "old".to_owned());
    let first = Fake::with("stata1", old, SECRET).join(world.addr()).await;
    let retry = Some(longhaul_proto::api::Retry::IfProvenDead);
    let run = world.submit(SubmitRequest { retry, ..text("display 1\n") }).await;
    first.got(run).await;
    first.prints(run, b"one\n");
    world.until(run, "its first line", |v| v.output_bytes == 4).await;
    (first, run)
}

/// A run that was queued before the start, and one whose record was removed while its agent was away; the agent reports
/// the second one again.
async fn shown_again(world: &mut World) -> (Fake, RunId, RunId, Verdict) {
    let waiting = world.submit(SubmitRequest { engine: Some("stata".to_owned()), ..text("display 0\n") }).await;
    world.restart().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = ended(world, &agent, "display 1\n", 10).await;
    agent.vanish().await;
    world.ahead(DAY * 31);
    world.until_removed(run).await;
    let reply = agent.come_back(world.addr()).await;
    let verdict = reply.verdicts[0].verdict();
    agent.beats(5).await;
    (agent, waiting, run, verdict)
}

async fn held_back(world: &World, waiting: RunId) -> bool {
    let record = world.ledger().get(waiting).await.unwrap().unwrap();
    assert_eq!(record.state, Queued);
    world.runs().0.restore_guard.holds(&record)
}

#[tokio::test]
async fn a_removed_run_that_is_shown_again_is_let_go_and_no_sign_of_an_old_ledger() {
    let mut world = World::new().await;
    let (agent, waiting, run, verdict) = shown_again(&mut world).await;
    assert_eq!(verdict, Verdict::Forget);
    assert!(world.runs().get(&root(), run).await.is_err(), "it is not found anew");
    assert!(!held_back(&world, waiting).await);
    drop(agent);
    world.stop().await;
}

#[tokio::test]
async fn a_removed_run_that_was_lost_and_lives_is_found_again() {
    let mut world = World::new().await;
    let waiting = world.submit(SubmitRequest { engine: Some("stata".to_owned()), ..text("display 0\n") }).await;
    world.restart().await;
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    agent.prints(run, b"one\n");
    world.state(run, Running).await;
    agent.vanish().await;
    world.ahead(DAY + DAY / 24);
    world.state(run, RunState::Lost).await;
    world.ahead(DAY * 31);
    world.until_removed(run).await;
    let reply = agent.come_back(world.addr()).await;
    assert_eq!(reply.verdicts[0].verdict(), Verdict::Keep);
    assert_eq!(world.runs().hosts(&ann()).await.pools[0].in_use, 1, "a living Stata has its seat");
    assert!(!held_back(&world, waiting).await, "and that is no sign of an old ledger");
    let found = async {
        while world.runs().get(&root(), run).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, found).await.expect("it is found again");
    agent.ends(run, Succeeded, Cause::Completed);
    world.state(run, Succeeded).await;
    world.stop().await;
}

/// Its second attempt was lost, on another host than the dead first one: it is that host's to bring it back.
#[tokio::test]
async fn a_removed_run_whose_second_attempt_was_lost_is_found_again() {
    let world = World::new().await;
    let (first, run) = printed_once(&world).await;
    first.ends(run, RunState::Errored, Cause::HostRebooted);
    let mut second = Fake::with("stata2", |i| i.pool = "new".to_owned(), SECRET).join(world.addr()).await;
    second.got(run).await;
    second.prints(run, b"two\n");
    world.until(run, "its second attempt", |v| v.output_bytes == 8).await;
    second.vanish().await;
    world.ahead(DAY + DAY / 24);
    world.state(run, RunState::Lost).await;
    world.ahead(DAY * 31);
    world.until_removed(run).await;
    second.come_back(world.addr()).await;
    world.until_known(run, Running).await;
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_a_removed_run_that_is_taken_for_news() {
    let _bug = longhaul_proto::faults::enter("bug=removed_runs_forgotten");
    let mut world = World::new().await;
    let (_agent, waiting, _, verdict) = shown_again(&mut world).await;
    assert_eq!(verdict, Verdict::Keep);
    assert!(held_back(&world, waiting).await);
    world.stop().await;
}

/// An agent that never had a removed run says that it has it.
async fn claimed(world: &mut World) -> (Fake, RunId) {
    let (_agent, _, run, _) = shown_again(world).await;
    let mut other = Fake::new("stata2");
    let told = fake::FakeRun {
        submission: super::returning::old_request(run),
        attempt: 1,
        log: b"of another\n".to_vec(),
        ..Default::default()
    };
    other.shared.change(|s| s.runs.insert(run.to_string(), told));
    other.ends(run, Succeeded, Cause::Completed);
    other.listen().await;
    assert_eq!(other.register(world.addr()).await.verdicts[0].verdict(), Verdict::Keep);
    (other, run)
}

#[tokio::test]
async fn a_removed_run_that_another_agent_shows_is_left_alone() {
    let mut world = World::new().await;
    let (other, run) = claimed(&mut world).await;
    other.beats(5).await;
    assert!(world.runs().get(&root(), run).await.is_err(), "it is not found anew");
    world.stop().await;
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn control_a_removed_run_that_any_agent_brings_back() {
    let _bug = longhaul_proto::faults::enter("bug=removed_runs_claimed");
    let mut world = World::new().await;
    let (_other, run) = claimed(&mut world).await;
    world.until_known(run, Succeeded).await;
    world.stop().await;
}

/// A run of which its agent keeps only files, and whose record was removed while that agent was away.
async fn left_files(world: &World) -> (Fake, RunId) {
    let mut agent = Fake::new("stata1").join(world.addr()).await;
    let run = world.submit(text("display 1\n")).await;
    agent.got(run).await;
    agent.shared.change(|s| s.files.insert(run.to_string(), 1000));
    agent.prints(run, b"one\n");
    agent.ends(run, Succeeded, Cause::Completed);
    world.state(run, Succeeded).await;
    world.ahead(DAY + DAY / 24);
    agent.until("all but the files goes", |s| s.leftovers.contains_key(&run.to_string())).await;
    let verdicts = agent.register(world.addr()).await.verdicts;
    assert!(verdicts.is_empty(), "they stay as long as the record: {verdicts:?}");
    agent.vanish().await;
    world.ahead(DAY * 31);
    world.until_removed(run).await;
    (agent, run)
}

#[tokio::test]
async fn files_whose_record_went_while_their_agent_was_away_are_let_go_when_it_returns() {
    let world = World::new().await;
    let (mut agent, run) = left_files(&world).await;
    // Other files are kept: those of a run that the ledger never knew, and those with another digest.
    let unknown = Ids::system().run();
    let outcome = agent.shared.state().leftovers[&run.to_string()].clone();
    agent.shared.change(|s| s.leftovers.insert(unknown.to_string(), outcome.clone()));
    let verdicts = agent.come_back(world.addr()).await.verdicts;
    let [verdict] = verdicts.as_slice() else { panic!("{verdicts:?}") };
    assert_eq!((verdict.run_id.as_str(), verdict.verdict()), (run.to_string().as_str(), Verdict::Forget));
    let forget = verdict.forget.clone().unwrap();
    assert!(!forget.keep_work && forget.log_len == 4 && forget.log_sha256 == outcome.log_sha256, "{forget:?}");
    agent.shared.change(|s| s.leftovers.get_mut(&run.to_string()).unwrap().log_sha256 = "0".repeat(64));
    assert!(agent.register(world.addr()).await.verdicts.is_empty(), "another digest");
    agent.beats(5).await;
    for run in [run, unknown] {
        assert!(world.runs().get(&root(), run).await.is_err(), "what is left is no run");
    }
    world.stop().await;
}
