//! Deaths: of Stata, of its supervisor, of the agent. The run goes on wherever it can, and is started once.

use longhaul_agent::{
    os,
    spool::{Spool, Started},
};
use longhaul_proto::state::{Cause, RunState};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{
    Test,
    kit::{Followed, Gateway, Place, block_on, kill, text, until},
};

pub(crate) const TESTS: &[Test] = &[
    ("a_killed_stata_is_told", stata),
    ("a_killed_supervisor_is_replaced", supervisor),
    ("a_run_whose_supervisor_died_can_be_cancelled", supervisor_then_cancel),
    ("supervisor_and_stata_killed_together", both),
    ("a_killed_agent_comes_back_to_its_run", agent),
    ("a_run_that_ends_while_the_agent_is_away", away),
    ("agent_and_supervisor_killed_together", agent_and_supervisor),
    ("an_attempt_that_never_began_is_begun_once", end_unstarted),
    ("a_restart_of_the_host_is_told", rebooted),
    ("a_signal_to_the_supervisor_does_not_end_it", signals),
    ("two_agents_cannot_share_a_data_folder", lock),
];

/// A run that waits for a file `go` in the project, and appends a line to `once` when it starts.
async fn waiting(place: &Place, gateway: &Gateway) -> (String, Followed) {
    let once = place.project().join("once.txt");
    let code = format!(
        "file open h using \"{}\", write text append\nfile write h \"x\" _n\nfile close h\ndisplay \"up\"\n\
         sleep 2500\ndisplay \"over\"\n",
        once.display()
    );
    let request = text(&code);
    let run = request.run_id.clone();
    let mut followed = gateway.run(request, 1).await.unwrap();
    followed.until_log("up\n").await;
    // Stata can be faster than the record of its start.
    until("the record of the start", || place.spool(&run).started().exists()).await;
    (run, followed)
}

fn ran_once(place: &Place) {
    let lines = std::fs::read_to_string(place.project().join("once.txt")).unwrap();
    assert_eq!(lines.lines().count(), 1, "it ran once");
}

fn started(spool: &Spool) -> Started {
    spool.read(&spool.started()).unwrap().unwrap()
}

fn supervisor_of(spool: &Spool) -> Pid {
    Pid::from_raw(os::process(started(spool).pid).unwrap().parent).unwrap()
}

fn stata() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let (run, mut followed) = waiting(&place, &gateway).await;
        kill_process(Pid::from_raw(started(&place.spool(&run)).pid).unwrap(), Signal::KILL).unwrap();
        followed.rest().await;
        let outcome = followed.expect(RunState::Errored, Cause::Killed);
        assert_eq!(outcome.signal, Some(9));
        assert!(followed.log_text().contains("up"), "the output so far is kept");
    });
}

fn supervisor() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let (run, mut followed) = waiting(&place, &gateway).await;
        kill_process(supervisor_of(&place.spool(&run)), Signal::KILL).unwrap();
        followed.rest().await;
        let outcome = followed.expect(RunState::Succeeded, Cause::Completed);
        assert!(outcome.note.contains("supervisor"), "{}", outcome.note);
        assert_eq!((outcome.exit_code, outcome.signal), (None, None), "nobody knows");
        ran_once(&place);
    });
}

fn supervisor_then_cancel() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let (run, mut followed) = waiting(&place, &gateway).await;
        kill_process(supervisor_of(&place.spool(&run)), Signal::KILL).unwrap();
        gateway.cancel(&run, longhaul_proto::wire::CancelMode::Break).await;
        followed.rest().await;
        followed.expect(RunState::Cancelled, Cause::CancelRequested);
        assert!(!followed.log_text().contains("over"));
        let mark = format!("{}={run}", os::MARK);
        assert!(os::marked(&mark, 0).is_empty());
    });
}

fn both() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let (run, mut followed) = waiting(&place, &gateway).await;
        let spool = place.spool(&run);
        let stata = Pid::from_raw(started(&spool).pid).unwrap();
        kill_process(supervisor_of(&spool), Signal::KILL).unwrap();
        kill_process(stata, Signal::KILL).unwrap();
        followed.rest().await;
        followed.expect(RunState::Errored, Cause::Incomplete);
        ran_once(&place);
    });
}

fn agent() {
    block_on(async {
        let place = Place::new();
        let (mut child, gateway) = place.agent_process().await;
        let (run, followed) = waiting(&place, &gateway).await;
        let had = followed.log.clone();
        // The whole group, as a terminal or a service manager would.
        kill_process_group(Pid::from_child(&child), Signal::KILL).unwrap();
        kill(&mut child);
        let (mut child, gateway) = place.agent_process().await;
        let mut rest = gateway.follow(&run, had.len() as u64, 0).await.unwrap().from(had.len() as u64, 0);
        rest.rest().await;
        let outcome = rest.expect(RunState::Succeeded, Cause::Completed);
        assert_eq!(outcome.exit_code, Some(0), "its supervisor never noticed");
        let whole = [had, rest.log].concat();
        assert_eq!(longhaul_proto::sha256_hex(&whole), outcome.log_sha256, "byte for byte across the gap");
        ran_once(&place);
        kill(&mut child);
    });
}

fn away() {
    block_on(async {
        let place = Place::new();
        let (mut child, gateway) = place.agent_process().await;
        let (run, _followed) = waiting(&place, &gateway).await;
        kill(&mut child);
        let spool = place.spool(&run);
        until("the run ends by itself", || spool.exit().exists()).await;
        let (mut child, gateway) = place.agent_process().await;
        let mut all = gateway.follow(&run, 0, 0).await.unwrap();
        all.rest().await;
        all.expect(RunState::Succeeded, Cause::Completed);
        assert_eq!(all.first.as_ref().unwrap().submission.as_ref().unwrap().run_id, run, "what an import needs");
        ran_once(&place);
        kill(&mut child);
    });
}

fn agent_and_supervisor() {
    block_on(async {
        let place = Place::new();
        let (mut child, gateway) = place.agent_process().await;
        let (run, _followed) = waiting(&place, &gateway).await;
        kill_process(supervisor_of(&place.spool(&run)), Signal::KILL).unwrap();
        kill(&mut child);
        let (mut child, gateway) = place.agent_process().await;
        let mut all = gateway.follow(&run, 0, 0).await.unwrap();
        all.rest().await;
        all.expect(RunState::Succeeded, Cause::Completed);
        ran_once(&place);
        kill(&mut child);
    });
}

/// As a crash between the attempt file and the supervisor leaves it.
fn end_unstarted() {
    block_on(async {
        let place = Place::new();
        let (agent, gateway) = place.agent().await;
        let request = text("display \"late but once\"\n");
        drop(gateway);
        agent.shutdown(crate::PATIENCE).await;
        let spool = place.spool(&request.run_id);
        spool.accept(&request, 1, b"", 1).unwrap();
        let (_agent, gateway) = place.agent().await;
        let mut all = gateway.follow(&request.run_id, 0, 0).await.unwrap();
        all.rest().await;
        all.expect(RunState::Succeeded, Cause::Completed);
        assert_eq!(all.log_text().matches("late but once").count(), 2, "echo and output, once");
    });
}

/// As a power cut leaves it: marks of another boot, and no exit.
fn rebooted() {
    block_on(async {
        let place = Place::new();
        let (agent, gateway) = place.agent().await;
        let (run, followed) = waiting(&place, &gateway).await;
        let spool = place.spool(&run);
        let (stata, supervisor) = (started(&spool), supervisor_of(&spool));
        drop((gateway, followed));
        agent.shutdown(crate::PATIENCE).await;
        kill_process(supervisor, Signal::KILL).unwrap();
        kill_process(Pid::from_raw(stata.pid).unwrap(), Signal::KILL).unwrap();
        std::fs::write(spool.spawning(), "another boot").unwrap();
        spool.write(&spool.started(), &Started { boot_id: "another boot".into(), ..stata }).unwrap();
        let (_agent, gateway) = place.agent().await;
        let mut all = gateway.follow(&run, 0, 0).await.unwrap();
        all.rest().await;
        all.expect(RunState::Errored, Cause::HostRebooted);
        assert!(all.log_text().contains("up"));
        ran_once(&place);
    });
}

fn signals() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let (run, mut followed) = waiting(&place, &gateway).await;
        let supervisor = supervisor_of(&place.spool(&run));
        for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
            kill_process(supervisor, signal).unwrap();
        }
        followed.rest().await;
        let outcome = followed.expect(RunState::Succeeded, Cause::Completed);
        assert_eq!(outcome.exit_code, Some(0));
    });
}

fn lock() {
    block_on(async {
        let place = Place::new();
        let (mut child, _gateway) = place.agent_process().await;
        let secret = longhaul_proto::join::JoinSecret::new(crate::kit::SECRET).unwrap();
        let options = longhaul_agent::Options::new(place.data(), secret);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let error = longhaul_agent::start(options, listener, longhaul_agent::Deps::system()).await.unwrap_err();
        assert!(error.to_string().contains("--data"), "{error}");
        kill(&mut child);
    });
}
