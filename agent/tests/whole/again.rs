//! Another attempt after one that died, and the activity of a run that prints nothing.

use longhaul_agent::spool::{AttemptKind, Spool, Started};
use longhaul_proto::{
    state::{Cause, RunState},
    wire,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    Test,
    kit::{Followed, Gateway, Place, block_on, text, until},
};

pub(crate) const TESTS: &[Test] = &[
    ("an_attempt_follows_one_that_died_here", follows),
    ("without_the_request_nothing_follows_an_attempt", refused),
    ("a_crash_before_the_remains_are_put_aside", crash_between),
    ("an_attempt_after_one_that_died_can_be_revoked", revoked),
    ("what_died_before_a_revoked_attempt_can_be_released", revoked_and_released),
    ("a_quiet_run_tells_whether_it_computes", quiet),
];

/// Code that counts itself in the project, and waits the first time it runs.
fn request(place: &Place, retry: wire::RetryPolicy) -> wire::Submission {
    let once = place.project().join("once.txt");
    let code = format!(
        "capture confirm file \"{0}\"\nlocal again = _rc == 0\nfile open h using \"{0}\", write text append\n\
         file write h \"x\" _n\nfile close h\ndisplay \"up\"\nif `again' == 0 {{\nsleep 60000\n}}\ndisplay \"over\"\n",
        once.display()
    );
    wire::Submission { retry: retry.into(), ..text(&code) }
}

fn executions(place: &Place) -> usize {
    std::fs::read_to_string(place.project().join("once.txt")).unwrap_or_default().lines().count()
}

/// Starts it and has Stata killed.
async fn dies(place: &Place, gateway: &Gateway, request: &wire::Submission) -> (Spool, Followed) {
    let mut first = gateway.run(request.clone(), 1).await.unwrap();
    first.until_log("up\n").await;
    let spool = place.spool(&request.run_id);
    until("the record of the start", || spool.started().exists()).await;
    let started: Started = spool.read(&spool.started()).unwrap().unwrap();
    kill_process(Pid::from_raw(started.pid).unwrap(), Signal::KILL).unwrap();
    first.rest().await;
    first.expect(RunState::Errored, Cause::Killed);
    (spool, first)
}

fn follows() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let request = request(&place, wire::RetryPolicy::IfProvenDead);
        let (spool, first) = dies(&place, &gateway, &request).await;
        let mut second = gateway.run(request.clone(), 2).await.unwrap();
        second.rest().await;
        second.expect(RunState::Succeeded, Cause::Completed);
        assert!(second.log_text().contains("over\n") && second.last.as_ref().unwrap().attempt == 2);
        assert_eq!(executions(&place), 2);
        let kept = std::fs::read(spool.path().join("earlier/1/run").join(spool.log().file_name().unwrap())).unwrap();
        assert!(kept == first.log, "what the first printed is kept");
        // Fencing holds: neither attempt is started again, and a run that came to its end is over.
        for attempt in [1, 3] {
            assert!(gateway.run(request.clone(), attempt).await.is_err(), "attempt {attempt}");
        }
        gateway.run(request.clone(), 2).await.unwrap().rest().await;
        assert!(!gateway.revoke(&request.run_id, 1).await && !gateway.revoke(&request.run_id, 3).await);
        assert_eq!(executions(&place), 2);
    });
}

fn refused() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let request = request(&place, wire::RetryPolicy::IfNotStarted);
        dies(&place, &gateway, &request).await;
        assert!(gateway.run(request.clone(), 2).await.is_err());
        assert_eq!(executions(&place), 1);
    });
}

fn crash_between() {
    block_on(async {
        let place = Place::new();
        let (agent, gateway) = place.agent().await;
        let request = request(&place, wire::RetryPolicy::IfProvenDead);
        let (spool, _) = dies(&place, &gateway, &request).await;
        drop(gateway);
        agent.shutdown(crate::PATIENCE).await;
        spool.accept(&request, 2, b"", 1).unwrap();
        assert_eq!(spool.dead_attempt().unwrap(), Some(1));
        let (_agent, gateway) = place.agent().await;
        let mut second = gateway.follow(&request.run_id, 0, 0).await.unwrap();
        second.rest().await;
        second.expect(RunState::Succeeded, Cause::Completed);
        assert_eq!((spool.dead_attempt().unwrap(), executions(&place)), (None, 2));
    });
}

fn revoked() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let request = request(&place, wire::RetryPolicy::IfProvenDead);
        let (spool, _) = dies(&place, &gateway, &request).await;
        assert!(gateway.revoke(&request.run_id, 2).await, "the proof that it will not start");
        assert!(gateway.run(request.clone(), 2).await.is_err());
        assert_eq!(spool.last_attempt().unwrap().unwrap().kind, AttemptKind::Revoked);
        let mut third = gateway.run(request.clone(), 3).await.unwrap();
        third.rest().await;
        third.expect(RunState::Succeeded, Cause::Completed);
        assert_eq!(executions(&place), 2);
    });
}

/// What a dead attempt left goes when its end is repeated, also where the attempt after it was revoked here: the run went
/// on elsewhere, and nothing else would ever free it.
fn revoked_and_released() {
    block_on(async {
        for restarted in [false, true] {
            let place = Place::new();
            let (agent, gateway) = place.agent().await;
            let request = request(&place, wire::RetryPolicy::IfProvenDead);
            let (spool, died) = dies(&place, &gateway, &request).await;
            let end = died.outcome();
            assert!(gateway.revoke(&request.run_id, 2).await && gateway.revoke(&request.run_id, 3).await);
            let (_agent, gateway) = if restarted {
                drop(gateway);
                agent.shutdown(crate::PATIENCE).await;
                place.agent().await
            } else {
                (agent, gateway)
            };
            let forget = |log_len| wire::ForgetRequest {
                run_id: request.run_id.clone(),
                log_len,
                log_sha256: end.log_sha256.clone(),
                console_len: end.console_len,
                console_sha256: end.console_sha256.clone(),
                keep_work: false,
            };
            assert!(!gateway.forget(forget(end.log_len + 1)).await.forgotten, "another end frees nothing");
            let reply = gateway.forget(forget(end.log_len)).await;
            assert!(reply.forgotten, "{restarted}: {}", reply.problem);
            assert!(!spool.exists());
            assert!(gateway.run(request.clone(), 4).await.is_err(), "that it was executed here is known");
        }
    });
}

fn quiet() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let cpus = async |code: &str| {
            let request = text(code);
            let mut run = gateway.run(request.clone(), 1).await.unwrap();
            run.until_log("up\n").await;
            while run.activity.last().is_none_or(|a| a.quiet_ms < 6_000) {
                assert!(run.next().await, "it goes on");
            }
            let last = *run.activity.last().unwrap();
            assert!(last.sample_ms >= 4_000, "{last:?}");
            gateway.cancel(&request.run_id, wire::CancelMode::Kill).await;
            run.rest().await;
            last.cpu_ms as f64 / last.sample_ms as f64
        };
        let (idle, busy) = tokio::join!(
            cpus("display \"up\"\nsleep 60000\n"),
            cpus("display \"up\"\nforvalues i = 1/1000000000 {\nlocal x = `i' + 1\n}\n")
        );
        assert!(idle < 0.05, "it waits: {idle}");
        assert!(busy > 0.1, "it computes: {busy}");
    });
}
