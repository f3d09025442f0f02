//! Ending runs: every way in which Stata reacts to it, and everything it leaves behind.

use longhaul_proto::{
    state::{Cause, RunState},
    wire::CancelMode,
};

use crate::{
    Test,
    kit::{Place, block_on, text, until},
};

pub(crate) const TESTS: &[Test] = &[
    ("cancel_by_break_keeps_the_output", breaks),
    ("cancel_of_a_stata_that_dies_of_the_break", dies),
    ("cancel_of_a_stata_that_ignores_the_break", ignores),
    ("cancel_takes_children_along", children),
    ("children_left_by_a_success_are_ended_and_named", leftovers),
    ("kill_is_at_once", kill),
    ("a_second_stronger_request_counts", stronger),
    ("a_request_before_the_start_means_no_start", early),
];

async fn cancelled(mode: &str, how: CancelMode) -> (longhaul_proto::wire::Outcome, String) {
    let place = Place::new().with("LONGHAUL_STANDIN_SIGINT", mode);
    let (_agent, gateway) = place.agent().await;
    let request = text("display \"kept\"\nsleep 600000\n");
    let run = request.run_id.clone();
    let mut followed = gateway.run(request, 1).await.unwrap();
    followed.until_log("kept").await;
    let reply = gateway.cancel(&run, how).await;
    assert!(reply.known && !reply.finished);
    followed.rest().await;
    let outcome = followed.expect(RunState::Cancelled, Cause::CancelRequested);
    assert_eq!(outcome.ended_by, "ada");
    assert!(gateway.cancel(&run, how).await.finished, "afterwards it has ended");
    (outcome, followed.log_text())
}

fn breaks() {
    block_on(async {
        let (outcome, log) = cancelled("break", CancelMode::Break).await;
        assert!(log.contains("--Break--"), "{log}");
        assert_eq!((outcome.exit_code, outcome.signal), (Some(0), None));
    });
}

fn dies() {
    block_on(async {
        let (outcome, log) = cancelled("die", CancelMode::Break).await;
        assert!(!log.contains("--Break--"), "{log}");
        assert!(outcome.exit_code == Some(130) || outcome.signal == Some(2), "{outcome:?}");
    });
}

fn ignores() {
    block_on(async {
        let (outcome, _) = cancelled("ignore", CancelMode::Break).await;
        assert_eq!(outcome.signal, Some(15), "SIGTERM came after the grace");
    });
}

fn kill() {
    block_on(async {
        let (outcome, _) = cancelled("ignore", CancelMode::Kill).await;
        assert_eq!(outcome.signal, Some(9));
    });
}

fn stronger() {
    block_on(async {
        let place =
            Place::new().with("LONGHAUL_STANDIN_SIGINT", "ignore").changed(|o| o.after_break = crate::PATIENCE * 10);
        let (_agent, gateway) = place.agent().await;
        let request = text("display \"up\"\nsleep 600000\n");
        let run = request.run_id.clone();
        let mut followed = gateway.run(request, 1).await.unwrap();
        followed.until_log("up").await;
        gateway.cancel(&run, CancelMode::Break).await;
        let spool = place.spool(&run);
        until("the end is being made", || spool.ending().exists()).await;
        gateway.cancel(&run, CancelMode::Kill).await;
        followed.rest().await;
        assert_eq!(followed.expect(RunState::Cancelled, Cause::CancelRequested).signal, Some(9));
    });
}

fn no_process_of(run: &str) -> bool {
    longhaul_agent::os::marked(&format!("{}={run}", longhaul_agent::os::MARK), 0).is_empty()
}

fn children() {
    block_on(async {
        for kind in ["", "group", "session"] {
            let place = Place::new();
            let (_agent, gateway) = place.agent().await;
            let request = text(&format!("*! standin: child 600 {kind}\ndisplay \"up\"\nsleep 600000\n"));
            let run = request.run_id.clone();
            let mut followed = gateway.run(request, 1).await.unwrap();
            followed.until_log("up\n").await;
            gateway.cancel(&run, CancelMode::Break).await;
            followed.rest().await;
            followed.expect(RunState::Cancelled, Cause::CancelRequested);
            assert!(no_process_of(&run), "child {kind:?} is gone");
        }
    });
}

fn leftovers() {
    block_on(async {
        for kind in ["", "group", "session"] {
            let place = Place::new();
            let (_agent, gateway) = place.agent().await;
            let request = text(&format!("*! standin: child 600 {kind}\ndisplay \"up\"\n"));
            let run = request.run_id.clone();
            let followed = gateway.complete(request).await;
            let outcome = followed.expect(RunState::Succeeded, Cause::Completed);
            assert_eq!(outcome.leftovers.len(), 1, "{outcome:?}");
            assert!(outcome.note.contains("left behind"), "{}", outcome.note);
            assert!(no_process_of(&run), "child {kind:?} is gone");
        }
    });
}

fn early() {
    block_on(async {
        // The order of the agent's own steps cannot be hit from outside, so the supervisor is started by hand.
        let place = Place::new();
        let (agent, gateway) = place.agent().await;
        let done = gateway.complete(text("display 1\n")).await;
        let from = place.spool(&done.last.unwrap().run_id);
        drop(agent);
        let to = place.spool(&crate::kit::new_run().to_string());
        for folder in [to.control_folder(), to.run_folder()] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let request = longhaul_agent::spool::CancelRecord {
            mode: longhaul_agent::spool::CancelMode::Break,
            by: "ada".into(),
            at_ms: 1,
        };
        to.write(&to.cancel(), &request).unwrap();
        std::fs::copy(from.plan(), to.plan()).unwrap();
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .arg("supervise")
            .arg(to.path())
            .status()
            .unwrap();
        assert!(status.success());
        let exit: longhaul_agent::spool::Exit = to.read(&to.exit()).unwrap().unwrap();
        assert!(!exit.spawned && !to.spawning().exists() && !to.started().exists());
        assert!(to.ending().exists());
    });
}
