//! Programs of different versions that meet: refused with an explanation where they must be, and working together where
//! they can.
//!
//! With `LONGHAUL_TEST_PREVIOUS` (the program of an earlier version) gateway and agent are upgraded one after the
//! other, in both orders, with a run under way; without it that is skipped (`previous`). What an earlier version left on
//! disk is tested from golden files, by the agent's and the gateway's own tests.

use std::{
    fs,
    io::{Read, Seek, SeekFrom, Write},
    path::PathBuf,
};

use longhaul_proto::{
    ids::RunId,
    state::{Cause, RunState},
};
use longhaul_tests::{
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab, ready},
    ledger, need, processes, wait,
};

#[tokio::test]
async fn a_ledger_of_a_newer_version_is_left_alone_with_words() {
    let lab = lab!();
    let mut gateway = lab.gateway().await;
    let file = ledger::file(&gateway.daemon.data);
    gateway.daemon.terminate().await;
    // `PRAGMA user_version`, where SQLite's file format has it: four bytes at offset 60, big-endian.
    let version = |new: Option<u32>| {
        let mut file = fs::OpenOptions::new().read(true).write(true).open(&file).unwrap();
        let mut bytes = [0; 4];
        file.seek(SeekFrom::Start(60)).unwrap();
        file.read_exact(&mut bytes).unwrap();
        if let Some(new) = new {
            file.seek(SeekFrom::Start(60)).unwrap();
            file.write_all(&new.to_be_bytes()).unwrap();
        }
        u32::from_be_bytes(bytes)
    };
    let known = version(Some(99));
    assert!((1..99).contains(&known), "{known}");
    let before = fs::read(&file).unwrap();
    gateway.daemon.restart();
    let status = gateway.daemon.ended().await;
    assert_eq!(status.code(), Some(4));
    let said = gateway.daemon.printed();
    for words in ["the ledger has format 99", "use the newer longhaul"] {
        assert!(said.contains(words), "{words:?}: {said}");
    }
    assert!(fs::read(&file).unwrap() == before, "not a byte was touched");
    version(Some(known));
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
}

/// The program of an earlier version.
fn previous() -> Option<PathBuf> {
    let Some(path) = std::env::var_os("LONGHAUL_TEST_PREVIOUS").map(PathBuf::from) else {
        need::skip("previous", "LONGHAUL_TEST_PREVIOUS names no program of an earlier version");
        return None;
    };
    assert!(path.is_file(), "{}", path.display());
    Some(path)
}

/// Stops a daemon in order and starts it as another program.
async fn become_program(daemon: &mut Daemon, program: &std::path::Path) {
    daemon.terminate().await;
    program.clone_into(&mut daemon.spec.program);
    daemon.restart();
}

async fn old_world(lab: &Lab, old: &std::path::Path) -> (Gateway, Daemon) {
    let mut gateway = lab.gateway().await;
    // The ledger must be of the old version from its first byte.
    gateway.daemon.terminate().await;
    let data = gateway.daemon.data.clone();
    for name in ["gateway", "credentials.json", "join-secret", "endpoint.json"] {
        let path = data.join(name);
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
    old.clone_into(&mut gateway.daemon.spec.program);
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    let credentials = longhaul_tests::lab::json(&data.join("credentials.json")).unwrap();
    gateway.api = longhaul_tests::api::Api::new(gateway.api.url(), credentials["token"].as_str().unwrap());
    let mut spec = lab.agent_spec("stata1", &gateway, &[]);
    old.clone_into(&mut spec.program);
    (gateway, Daemon::start("stata1", &lab.path().join("stata1"), spec))
}

fn registrations(agent: &Daemon) -> usize {
    agent.printed().matches("registered gateway=").count()
}

/// One old and one new: they work together, or (over the step to TLS) the operator of the new one is told which is to
/// be upgraded: in its log, and where that is the gateway also in the list of hosts and at the run that waits.
async fn together_or_told(gateway: &Gateway, agent: &Daemon, gateway_is_new: bool, (waits, before): (RunId, usize)) {
    let told = async || {
        let host = gateway.api.hosts().await.ok()?.hosts.into_iter().find(|h| h.name == "stata1")?;
        let together = host.state == "up" && (gateway_is_new || registrations(agent) > before);
        let told = match gateway_is_new {
            true => {
                let waits = gateway.api.get(waits).await.ok()?.waiting.unwrap_or_default();
                let places = [gateway.daemon.printed(), host.problem.unwrap_or_default(), waits];
                places.iter().all(|text| text.contains("upgrade the agent"))
            }
            false => agent.printed().contains("upgrade it"),
        };
        (together || told).then_some(())
    };
    wait::until(wait::SOON, "they work together or say why not", told).await;
}

async fn upgraded(gateway_first: bool) {
    let Some(old) = previous() else { return };
    let lab = lab!();
    let new = lab.agent_spec("x", &lab.gateway().await, &[]).program;
    fs::remove_dir_all(lab.path().join("gateway")).unwrap();
    let (mut gateway, mut agent) = old_world(&lab, &old).await;
    gateway.api.wait_host("stata1", "up").await;
    let run = gateway.api.submit_path(&lab.gated(), &["old"]).await.run_id;
    gateway.api.wait_output(run, "started old").await;
    let supervisor = processes::supervisors(lab.path())[0].clone();
    let before = gateway.api.submit_path(&lab.gated(), &["waits"]).await.run_id;

    for step in 0..2 {
        let registered = registrations(&agent);
        if (step == 0) == gateway_first {
            become_program(&mut gateway.daemon, &new).await;
            ready(&mut gateway.daemon).await;
        } else {
            become_program(&mut agent, &new).await;
        }
        if step == 1 {
            gateway.api.wait_host("stata1", "up").await;
            continue;
        }
        together_or_told(&gateway, &agent, gateway_first, (before, registered)).await;
        gateway.api.wait_run(run, wait::SOON, "it still runs", |v| v.state == RunState::Running).await;
    }
    assert!(
        processes::supervisors(lab.path()).iter().any(|s| s.pid == supervisor.pid),
        "the old supervisor still keeps it"
    );
    lab.open_gate("old");
    let end = gateway.api.wait_end(run).await;
    assert_eq!((end.state, end.cause, end.attempt), (RunState::Succeeded, Cause::Completed, 1), "{end:#?}");
    assert!(end.output_complete, "{end:#?}");
    let spool = Lab::log(&agent, run);
    assert!(gateway.api.output(run, "log").await.unwrap() == fs::read(spool).unwrap(), "byte for byte");
    lab.open_gate("waits");
    assert_eq!(gateway.api.wait_end(before).await.state, RunState::Succeeded, "what waited in the old ledger goes on");
    assert_eq!((lab.executions("old"), lab.executions("waits")), (1, 1));
}

#[tokio::test]
async fn gateway_first_then_the_agent_with_a_run_under_way() {
    upgraded(true).await;
}

#[tokio::test]
async fn agent_first_then_the_gateway_with_a_run_under_way() {
    upgraded(false).await;
}
