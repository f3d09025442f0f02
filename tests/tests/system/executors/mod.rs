//! What every executor must do, as one suite: the local one passes it, with real supervisors and shell scripts instead of
//! Stata, and so does a batch system in memory.
//!
//! Every case may restart the agent between any two of its steps: an executor that comes back knows nothing but the spool
//! and, if a crash did not lose it, the handle.

mod site;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering,
    time::Duration,
};

use longhaul_agent::{
    executor::{Grounds, Job, JobHandle, Probe},
    spool::{CancelMode, CancelRecord},
};
use longhaul_proto::faults;

use crate::batch::Fate;
use site::{Kind, Site, begun, count, grounds, is_alive, reread};

/// What was never handed over never began, and starts then.
async fn never_handed_over(site: &Site) {
    let job = site.job();
    assert_eq!(grounds(&site.probe(&job, None).await), Some(Grounds::NeverBegan));
    let handle = site.start(&job).await;
    site.finish(&job, Some(&handle)).await;
}

/// Several at once: an answer for each, in their order.
async fn many_at_once(site: &Site) {
    let jobs = [site.job(), site.job(), site.job()];
    let accepted = site.executor().start(&jobs).await;
    assert_eq!(accepted.len(), jobs.len());
    for (job, accepted) in jobs.iter().zip(accepted) {
        let handle = reread(&accepted.unwrap());
        site.finish(job, Some(&handle)).await;
    }
}

/// Started again while it waits, while it goes on and after its end, it begins once.
async fn started_again(site: &Site) {
    let job = site.job();
    let handle = site.start(&job).await;
    drop(site.executor().start(std::slice::from_ref(&job)).await);
    site.until_alive(&job, Some(&handle)).await;
    drop(site.executor().start(std::slice::from_ref(&job)).await);
    assert!(is_alive(&site.probe(&job, Some(&handle)).await));
    site.finish(&job, Some(&handle)).await;
    drop(site.executor().start(std::slice::from_ref(&job)).await);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(begun(&job), 1);
}

/// An agent that was killed between two steps, with its handle or without: each answer is right, and none is a false proof.
async fn restarted(site: &Site) {
    for keeps_handle in [true, false] {
        let job = site.job();
        let kept = site.start(&job).await;
        let kept = keeps_handle.then_some(kept);
        site.until_alive(&job, kept.as_ref()).await;
        assert!(is_alive(&site.probe(&job, kept.as_ref()).await));
        site.finish(&job, kept.as_ref()).await;
        assert_eq!(grounds(&site.probe(&job, kept.as_ref()).await), Some(Grounds::Recorded));
    }
}

async fn request(site: &Site, job: &Job, handle: Option<&JobHandle>) {
    let request = CancelRecord { mode: CancelMode::Break, by: "ada".into(), at_ms: 1 };
    job.spool.request_end(&request).unwrap();
    site.executor().end(job, handle, request.mode).await.unwrap();
}

/// A request to end it reaches it while it goes on.
async fn ended(site: &Site) {
    let job = site.job();
    let handle = site.start(&job).await;
    site.until_alive(&job, Some(&handle)).await;
    request(site, &job, Some(&handle)).await;
    site.until_recorded(&job, Some(&handle)).await;
    assert_eq!(begun(&job), 1);
}

/// What was to be ended before it began does not begin, or its record says that it was ended.
async fn ended_before(site: &Site) {
    let job = site.job();
    request(site, &job, None).await;
    let handle = site.start(&job).await;
    let over = |probe: &Probe| matches!(grounds(probe), Some(Grounds::Recorded | Grounds::NeverBegan));
    site.until("it is over", &job, Some(&handle), over).await;
    assert_eq!(begun(&job), 0);
}

/// A handle of another executor proves nothing, whatever its reference is.
async fn another_executors_handle(site: &Site) {
    let job = site.job();
    site.start(&job).await;
    site.until_alive(&job, None).await;
    let other = JobHandle::new("elsewhere", "0 x".to_owned());
    assert!(matches!(site.probe(&job, Some(&other)).await, Probe::Unknown(_)));
    site.finish(&job, None).await;
}

/// While somebody has the proof that it never began, nothing begins; also what is handed over then.
async fn a_proof_holds(site: &Site) {
    let job = site.job();
    let proof = site.probe(&job, None).await;
    assert_eq!(grounds(&proof), Some(Grounds::NeverBegan));
    if let Kind::Local = site.kind {
        drop(site.executor().start(std::slice::from_ref(&job)).await);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(begun(&job), 0, "the proof was held");
    }
    drop(proof);
    let handle = site.start(&job).await;
    site.finish(&job, Some(&handle)).await;
}

async fn suite(site: &Site) {
    never_handed_over(site).await;
    many_at_once(site).await;
    started_again(site).await;
    restarted(site).await;
    ended(site).await;
    ended_before(site).await;
    another_executors_handle(site).await;
    a_proof_holds(site).await;
}

fn play(case: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(case);
}

#[test]
fn the_local_executor_passes() {
    play(suite(&Site::local()));
}

#[test]
fn a_batch_executor_passes() {
    play(suite(&Site::batch()));
}

/// A local job of another boot of the host is gone, whatever runs under its process id now; one that had not begun then
/// begins now.
#[test]
fn a_local_job_of_another_boot_is_gone() {
    play(async {
        let site = Site::local();
        let (begun, waits) = (site.job(), site.job());
        fs::write(begun.spool.spawning(), "another boot").unwrap();
        let handle = JobHandle::new("local", "another boot".to_owned());
        // The present process has the recorded id.
        let started = serde_json::json!({"pid": std::process::id(), "pgid": 1, "boot_id": "another boot",
            "start_ticks": 0, "at_ms": 1, "mono_ms": 1});
        fs::write(begun.spool.started(), started.to_string()).unwrap();
        assert_eq!(grounds(&site.probe(&begun, Some(&handle)).await), Some(Grounds::HostRestarted));
        assert_eq!(grounds(&site.probe(&waits, Some(&handle)).await), Some(Grounds::NeverBegan));
        let handle = site.start(&waits).await;
        site.finish(&waits, Some(&handle)).await;
    });
}

/// The case of a job that the controller forgets before it begins, and that comes back after it was given up.
async fn a_ghost(site: &Site) {
    let Kind::Batch(_, switches) = &site.kind else { return };
    let job = site.job();
    *switches.fate.lock().unwrap() = Some(Fate::Ghost(Duration::from_secs(8)));
    let handle = site.start(&job).await;
    *switches.fate.lock().unwrap() = None;
    // Its number is that of another job now, which goes on.
    let other = site.job();
    let others = site.start(&other).await;
    assert_eq!(handle.reference().split(' ').next(), others.reference().split(' ').next(), "the number is reused");
    site.until_alive(&other, Some(&others)).await;
    assert!(matches!(site.probe(&job, Some(&handle)).await, Probe::Unknown(_)), "another's job is not taken for ours");
    let gone = |probe: &Probe| grounds(probe) == Some(Grounds::NeverBegan);
    site.until("it is given up", &job, Some(&handle), gone).await;
    let again = site.start(&job).await;
    site.until_alive(&job, Some(&again)).await;
    // The ghost comes.
    tokio::time::sleep(Duration::from_secs(8)).await;
    site.finish(&job, Some(&again)).await;
    site.finish(&other, Some(&others)).await;
}

#[test]
fn a_batch_job_that_was_given_up_never_begins() {
    play(a_ghost(&Site::batch()));
}

/// A controller that forgot a running job, or is silent, proves nothing.
async fn forgotten(site: &Site) {
    let Kind::Batch(_, switches) = &site.kind else { return };
    let job = site.job();
    *switches.fate.lock().unwrap() = Some(Fate::ForgottenLater(Duration::from_millis(10)));
    let handle = site.start(&job).await;
    let unknown = |probe: &Probe| matches!(probe, Probe::Unknown(_)) && count(&job.spool).exists();
    site.until("it is forgotten", &job, Some(&handle), unknown).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(matches!(site.probe(&job, Some(&handle)).await, Probe::Unknown(_)), "also after a while");
    site.finish(&job, Some(&handle)).await;

    let job = site.job();
    switches.silent.store(true, Ordering::Relaxed);
    *switches.fate.lock().unwrap() = None;
    let started = site.executor().start(std::slice::from_ref(&job)).await;
    assert!(started[0].is_err(), "nothing answered");
    assert!(matches!(site.probe(&job, None).await, Probe::Unknown(_)));
    switches.silent.store(false, Ordering::Relaxed);
    site.until_alive(&job, None).await;
    site.finish(&job, None).await;
}

#[test]
fn what_a_batch_system_forgets_is_not_gone() {
    play(forgotten(&Site::batch()));
}

#[test]
fn a_batch_job_waits_with_a_reason() {
    play(async {
        let site = Site::batch();
        let Kind::Batch(_, switches) = &site.kind else { return };
        *switches.fate.lock().unwrap() = Some(Fate::Begins(Duration::from_millis(500)));
        let job = site.job();
        let handle = site.start(&job).await;
        let probe = site.probe(&job, Some(&handle)).await;
        assert!(matches!(&probe, Probe::Pending(reason) if reason.contains("Licenses")), "{probe:?}");
        site.finish(&job, Some(&handle)).await;
    });
}

/// The control: an executor with a deliberate bug fails a case.
fn fails<F: Future<Output = ()>>(bug: &str, case: impl FnOnce() -> F) {
    let _bug = faults::enter(&format!("bug={bug}"));
    assert!(catch_unwind(AssertUnwindSafe(|| play(case()))).is_err(), "{bug} was not found");
}

#[test]
fn control_an_executor_that_is_wrong_fails() {
    let [again, ghost, believed, dead] = [Site::batch(), Site::batch(), Site::batch(), Site::batch()];
    fails("batch_submits_blindly", || started_again(&again));
    fails("batch_given_up_unrevoked", || a_ghost(&ghost));
    fails("batch_number_believed", || a_ghost(&believed));
    fails("batch_forgotten_is_dead", || forgotten(&dead));
}
