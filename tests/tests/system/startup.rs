//! What a daemon refuses at its start (folders and secrets that others may write or read, a real Stata as root), and
//! what a terminal that closes does to it.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use longhaul_proto::state::RunState;
use longhaul_tests::{
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab, ready},
    need, processes, wait,
};
use rustix::process::Signal;

/// `up`, started with this disposition of SIGHUP, whatever the tests themselves inherited.
async fn up_with(lab: &Lab, hangup: &str) -> Gateway {
    let mut gateway = lab.up(&["--serve-all"]).await;
    gateway.daemon.terminate().await;
    let program = std::mem::replace(&mut gateway.daemon.spec.program, "/usr/bin/env".into());
    gateway.daemon.spec.args.splice(0..0, [hangup.into(), program.into()]);
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    gateway
}

#[tokio::test]
async fn a_terminal_that_closes_is_an_orderly_stop() {
    let lab = lab!();
    let mut gateway = up_with(&lab, "--default-signal=HUP").await;
    processes::signal(gateway.daemon.pid(), Signal::HUP);
    let status = gateway.daemon.ended().await;
    assert_eq!(status.code(), Some(0), "{}", gateway.daemon.printed());
    assert!(gateway.daemon.printed().contains("stopping"), "{}", gateway.daemon.printed());
}

/// As `nohup` asks.
#[tokio::test]
async fn where_hangups_are_ignored_they_stop_nothing() {
    let lab = lab!();
    let mut gateway = up_with(&lab, "--ignore-signal=HUP").await;
    processes::signal(gateway.daemon.pid(), Signal::HUP);
    gateway.api.wait_host_up().await;
    let run = gateway.api.submit_path(&lab.file("one.do", "display 1\n"), &[]).await.run_id;
    assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);
    assert!(gateway.daemon.alive());
}

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_data_folder_must_be_ones_own() {
    let mut lab = lab!();
    let data = lab.path().join("data");
    fs::create_dir(&data).unwrap();
    let given = data.to_str().unwrap().to_owned();
    fs::write(data.join("join-secret"), "a secret of the attacker's\n").unwrap();
    lab.file("one.do", "display 1\n");
    let commands = [
        vec!["up", "--engine", "standin", "--listen", "127.0.0.1:0", "--data", &given],
        vec!["gateway", "--listen", "127.0.0.1:0", "--data", &given],
        vec![
            "agent",
            "--engine",
            "standin",
            "--gateway",
            "http://127.0.0.1:1",
            "--listen",
            "127.0.0.1:0",
            "--data",
            &given,
        ],
        vec!["run", "one.do", "--engine", "standin", "--data", &given],
    ];
    set(&data, 0o777);
    for words in &commands {
        let ran = lab.run(words).await;
        assert!(ran.status == 4 && ran.err.contains("written to by other users"), "{words:?}: {ran:#?}");
    }
    if need::root() {
        set(&data, 0o755);
        std::os::unix::fs::chown(&data, Some(65534), None).unwrap();
        for words in &commands {
            let ran = lab.run(words).await;
            assert!(ran.status == 4 && ran.err.contains("belongs to another user"), "{words:?}: {ran:#?}");
        }
    }
    lab.env("LONGHAUL_FAULTS", "bug=foreign_data_folder");
    let ran = lab.run(&commands[3]).await;
    assert_eq!(ran.status, 0, "the control: {ran:#?}");
}

#[tokio::test]
async fn a_join_secret_that_others_read_is_none() {
    let mut lab = lab!();
    let secret = lab.file("secret", "sixteen characters and more\n");
    let words = |lab: &Lab| {
        let data = lab.path().join("agent").to_str().unwrap().to_owned();
        let file = secret.to_str().unwrap().to_owned();
        ["agent", "--engine", "standin", "--gateway", "http://127.0.0.1:1", "--listen", "127.0.0.1:0"]
            .map(str::to_owned)
            .into_iter()
            .chain(["--data".into(), data, "--join-secret-file".into(), file])
            .collect::<Vec<_>>()
    };
    set(&secret, 0o644);
    let ran = lab.run(words(&lab)).await;
    assert!(ran.status == 2 && ran.err.contains("read by other users") && ran.err.contains("chmod"), "{ran:#?}");
    set(&secret, 0o600);
    let starts = async |lab: &Lab, name: &str| {
        let mut daemon = Daemon::start(name, &lab.path().join("agent"), lab.spec(name, words(lab)));
        wait::until_now(wait::SOON, "the agent listens", || daemon.printed().contains("listens on").then_some(()))
            .await;
        assert!(daemon.alive());
    };
    starts(&lab, "closed").await;
    set(&secret, 0o644);
    lab.env("LONGHAUL_FAULTS", "bug=open_secret");
    starts(&lab, "control").await;
}

#[tokio::test]
async fn a_real_stata_runs_as_root_only_on_purpose() {
    let mut lab = lab!();
    if !need::root() {
        need::skip("root", "only the superuser can be the superuser");
        return;
    }
    let gateway = lab.gateway().await;
    let spec = |lab: &Lab, name: &str, more: &[&str]| {
        let mut spec = lab.agent_spec(name, &gateway, more);
        let at = spec.args.iter().position(|a| a == "standin").unwrap();
        spec.args[at] = "stata".into();
        spec.args.extend(["--stata".into(), env!("CARGO_BIN_EXE_longhaul-bench").into()]);
        spec
    };
    let start =
        |lab: &Lab, name: &str, more: &[&str]| Daemon::start(name, &lab.path().join(name), spec(lab, name, more));
    let mut refused = start(&lab, "refused", &[]);
    assert_eq!(refused.ended().await.code(), Some(4));
    assert!(refused.printed().contains("--as-root"), "{}", refused.printed());
    let _meant = start(&lab, "meant", &["--as-root"]);
    gateway.api.wait_host("meant", "up").await;
    lab.env("LONGHAUL_FAULTS", "bug=root_unasked");
    let _control = start(&lab, "control", &[]);
    gateway.api.wait_host("control", "up").await;
}
