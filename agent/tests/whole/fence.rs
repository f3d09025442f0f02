//! At most once: attempts, proofs, and which spools may be deleted.

use longhaul_proto::{
    state::{Cause, RunState},
    wire,
};
use tonic::Code;

use crate::{
    Test,
    kit::{Gateway, Place, block_on, text},
};

pub(crate) const TESTS: &[Test] = &[
    ("the_same_attempt_is_followed_and_another_refused", attempts),
    ("a_revoked_attempt_never_starts", revoked),
    ("a_started_attempt_is_not_revoked", started),
    ("forget_wants_the_right_digest", forget),
    ("files_of_a_forgotten_run_stay_until_they_are_forgotten_too", forget_but_files),
    ("another_ledger_is_refused", ledger),
    ("a_spool_of_another_version_is_left_alone", other_version),
];

/// The request to delete a run that ended so.
pub(crate) fn forget_of(run: &str, outcome: &wire::Outcome) -> wire::ForgetRequest {
    wire::ForgetRequest {
        run_id: run.to_owned(),
        log_len: outcome.log_len,
        log_sha256: outcome.log_sha256.clone(),
        console_len: outcome.console_len,
        console_sha256: outcome.console_sha256.clone(),
        keep_work: false,
    }
}

fn attempts() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let proof = place.project().join("lines.txt");
        let code = format!(
            "file open h using \"{}\", write text append\nfile write h \"x\" _n\nfile close h\n",
            proof.display()
        );
        let request = text(&code);
        let (a, b) = tokio::join!(gateway.run(request.clone(), 2), gateway.run(request.clone(), 2));
        for mut followed in [a.unwrap(), b.unwrap()] {
            followed.rest().await;
            followed.expect(RunState::Succeeded, Cause::Completed);
        }
        let mut again = gateway.run(request.clone(), 2).await.unwrap();
        again.rest().await;
        again.expect(RunState::Succeeded, Cause::Completed);
        for attempt in [1, 3] {
            let refused = gateway.run(request.clone(), attempt).await.err().unwrap();
            assert_eq!(refused.code(), Code::FailedPrecondition, "attempt {attempt}: {refused}");
        }
        assert_eq!(std::fs::read_to_string(proof).unwrap().lines().count(), 1, "it ran once");
    });
}

fn revoked() {
    block_on(async {
        let place = Place::new();
        let (agent, gateway) = place.agent().await;
        let request = text("display 1\n");
        assert!(gateway.revoke(&request.run_id, 1).await);
        assert!(gateway.revoke(&request.run_id, 1).await, "proof can be asked for again");
        let refused = gateway.run(request.clone(), 1).await.err().unwrap();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains("revoked"), "{refused}");
        // Also by a restarted agent.
        agent.shutdown(crate::PATIENCE).await;
        let (_agent, gateway) = place.agent().await;
        assert!(gateway.run(request.clone(), 1).await.err().unwrap().message().contains("revoked"));
        assert_eq!(gateway.follow(&request.run_id, 0, 0).await.err().unwrap().code(), Code::NotFound);
        let mut next = gateway.run(request, 2).await.unwrap();
        next.rest().await;
        next.expect(RunState::Succeeded, Cause::Completed);
    });
}

fn started() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let request = text("display 1\n");
        let run = request.run_id.clone();
        gateway.complete(request).await;
        assert!(!gateway.revoke(&run, 1).await);
        assert!(!gateway.revoke(&run, 2).await, "nor is a place made for another one");
    });
}

fn forget() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let request = text("display \"up\"\nsleep 1000\n");
        let run = request.run_id.clone();
        let mut followed = gateway.run(request, 1).await.unwrap();
        followed.until_log("up").await;
        let early = gateway.forget(wire::ForgetRequest { run_id: run.clone(), ..Default::default() }).await;
        assert!(!early.forgotten && early.problem.contains("not ended"), "{early:?}");
        followed.rest().await;
        let outcome = followed.expect(RunState::Succeeded, Cause::Completed);
        let right = forget_of(&run, &outcome);
        let check = |wrong: wire::ForgetRequest| {
            let gateway = gateway.clone();
            async move { gateway.forget(wrong).await.forgotten }
        };
        assert!(!check(wire::ForgetRequest { log_len: right.log_len + 1, ..right.clone() }).await);
        assert!(!check(wire::ForgetRequest { log_sha256: "00".into(), ..right.clone() }).await);
        assert!(!check(wire::ForgetRequest { console_sha256: String::new(), ..right.clone() }).await);
        assert!(place.spool(&run).exists());
        // A log that was damaged since does not keep the spool for ever: the record's own digests count.
        std::fs::write(place.spool(&run).log(), "cut").unwrap();
        assert!(check(right).await);
        assert!(!place.spool(&run).exists());
        assert_eq!(gateway.follow(&run, 0, 0).await.err().unwrap().code(), Code::NotFound);
    });
}

fn forget_but_files() {
    block_on(async {
        let place = Place::new();
        let (agent, gateway) = place.agent().await;
        let requests = [text("display 1\nshell echo a,b > results.csv\n"), text("display 1\n")];
        let mut forgets = vec![];
        for request in &requests {
            let outcome = gateway.complete(request.clone()).await.outcome();
            forgets.push(wire::ForgetRequest { keep_work: true, ..forget_of(&request.run_id, &outcome) });
        }
        let run = requests[0].run_id.clone();
        let spool = place.spool(&run);
        let results = spool.work().join("results.csv");
        let unfit = wire::ForgetRequest { log_len: 1, ..forgets[0].clone() };
        assert!(!gateway.forget(unfit).await.forgotten, "digests count here too");
        let (kept, whole) = (gateway.forget(forgets[0].clone()).await, gateway.forget(forgets[1].clone()).await);
        assert!(kept.forgotten && kept.work_kept && whole.forgotten && !whole.work_kept, "{kept:?} {whole:?}");
        assert!(!place.spool(&requests[1].run_id).exists(), "where there are no files all of it goes");

        // For everything but its files the run is gone, also for an agent that finds it so at its start.
        let check = async |gateway: &Gateway| {
            assert!(gateway.describe().await.runs.is_empty());
            assert_eq!(gateway.follow(&run, 0, 0).await.err().unwrap().code(), Code::NotFound);
            for attempt in [1, 2] {
                assert!(gateway.run(requests[0].clone(), attempt).await.is_err(), "it is not run twice");
                assert!(!gateway.revoke(&run, attempt).await, "nothing proves that it did not begin");
            }
            assert_eq!(gateway.artifact(&run, results.to_str().unwrap()).await.unwrap(), b"a,b\n");
            // The run's task has answered, so it has read its folder and completed what a crash interrupted.
            assert!(results.exists() && !spool.log().exists() && !spool.submission_pb().exists());
        };
        check(&gateway).await;
        drop(gateway);
        agent.shutdown(crate::PATIENCE).await;
        // A crash may have come before all of it was deleted.
        std::fs::write(spool.log(), "left over").unwrap();
        let (_agent, gateway) = place.agent().await;
        check(&gateway).await;
        let again = gateway.forget(forgets[0].clone()).await;
        assert!(again.forgotten && again.work_kept, "asked again: {again:?}");
        let last = gateway.forget(wire::ForgetRequest { keep_work: false, ..forgets[0].clone() }).await;
        assert!(last.forgotten && !last.work_kept && !spool.exists(), "{last:?}");
        assert!(gateway.run(requests[0].clone(), 2).await.is_err(), "nor is it run twice then");
        assert_eq!(gateway.artifact(&run, results.to_str().unwrap()).await.unwrap_err().code(), Code::NotFound);
    });
}

fn ledger() {
    block_on(async {
        let place = Place::new();
        std::fs::create_dir_all(place.data().join("agent")).unwrap();
        std::fs::write(place.data().join("agent/cluster-id"), "another").unwrap();
        let (_agent, gateway) = place.agent().await;
        let refused = gateway.run(text("display 1\n"), 1).await.err().unwrap();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains("another"), "{refused}");
    });
}

fn other_version() {
    block_on(async {
        let place = Place::new();
        let (agent, gateway) = place.agent().await;
        let request = text("display 1\n");
        gateway.complete(request.clone()).await;
        drop(gateway);
        agent.shutdown(crate::PATIENCE).await;
        let spool = place.spool(&request.run_id);
        let mut meta: longhaul_agent::spool::Meta = spool.read(&spool.submission_json()).unwrap().unwrap();
        meta.format += 1;
        spool.write(&spool.submission_json(), &meta).unwrap();
        std::fs::remove_file(spool.outcome()).unwrap();
        let (_agent, gateway) = place.agent().await;
        let told = gateway.follow(&request.run_id, 0, 0).await.err().unwrap();
        assert!(told.message().contains("format"), "{told}");
        assert!(gateway.run(request.clone(), 2).await.is_err());
        assert!(gateway.run(text("display 2\n"), 1).await.is_ok(), "others go on");
        assert!(!spool.outcome().exists());
    });
}
