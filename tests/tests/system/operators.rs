//! What the operator's commands do to daemons and folders: in the background, stopped, read without one, looked at.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use longhaul_tests::{
    api::{Api, read},
    lab,
    lab::{finish, json},
    mcp::Mcp,
    need, processes, wait,
};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

fn session(pid: u64) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // proc_pid_stat(5), field 6.
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap().parse().unwrap()
}

#[tokio::test]
async fn up_in_the_background_outlives_its_terminal_until_down() {
    let lab = lab!();
    let data = lab.path().join("my up");
    let given = data.to_str().unwrap().to_owned();
    let up = ["up", "--background", "--engine", "standin", "--listen", "127.0.0.1:0", "--data", &given];
    let ran = lab.run(up).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    for words in ["/mcp", &format!("longhaul --data '{given}' down"), &format!("Log: {given}/up.log")] {
        assert!(ran.out.contains(words), "{words}: {ran:#?}");
    }
    assert_eq!(ran.err, "", "there is nothing to warn of");
    let mode = fs::metadata(data.join("up.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let endpoint = json(&data.join("endpoint.json")).unwrap();
    let pid = endpoint["pid"].as_u64().unwrap();
    assert_eq!(session(pid), pid, "a session of its own");
    let credentials = json(&data.join("credentials.json")).unwrap();
    assert!(!fs::read_to_string(data.join("up.log")).unwrap().contains(credentials["token"].as_str().unwrap()));
    let api = Api::new(endpoint["url"].as_str().unwrap(), credentials["token"].as_str().unwrap());
    api.wait_host_up().await;
    let run = api.submit_path(&lab.gated(), &["stays"]).await.run_id;
    api.wait_output(run, "started stays").await;

    let again = lab.run(up).await;
    assert!(again.status == 4 && again.err.contains("longhaul down"), "{again:#?}");
    let down = lab.run(["down", "--data", &given]).await;
    assert!(down.status == 0 && down.err.contains("runs go on"), "{down:#?}");
    wait::until_now(wait::SOON, "it is gone", || (!Path::new(&format!("/proc/{pid}/exe")).exists()).then_some(()))
        .await;
    assert_eq!(processes::engines(lab.path()).len(), 1, "the run goes on");
    let down = lab.run(["down", "--data", &given]).await;
    assert!(down.status == 0 && down.err.contains("nothing to stop"), "{down:#?}");

    // One that does not start says why, and leaves nothing behind.
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap().to_string();
    let ran = lab.run(["up", "--background", "--engine", "standin", "--listen", &taken, "--data", &given]).await;
    assert!(ran.status == 4 && ran.err.contains("is in use by another process"), "{ran:#?}");
    lab.open_gate("stays");
    let ran = lab.run(["wait", &run.short(), "--data", &given]).await;
    assert!(ran.status == 0 && ran.err.contains("succeeded"), "{ran:#?}");

    // What it warns of is said on the terminal too; and the agent of a folder that no gateway holds can be forgotten.
    let other = lab.path().join("other").display().to_string();
    let up = [
        "up",
        "--background",
        "--stata",
        "/nowhere/stata-mp",
        "--no-auth",
        "--listen",
        "127.0.0.1:0",
        "--data",
        &other,
    ];
    let ran = lab.run(up).await;
    assert!(ran.status == 0 && ran.err.contains("the agent takes no runs: no Stata"), "{ran:#?}");
    assert!(ran.err.contains("--no-auth is for trying out"), "{ran:#?}");
    // The gateway answers before its agent has joined.
    let name = wait::until(wait::SOON, "the agent joins", async || {
        let shown = lab.run(["hosts", "--json", "--data", &other]).await.out;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        shown["hosts"][0]["name"].as_str().map(str::to_owned)
    });
    let name = &name.await;
    let ran = lab.run(["hosts", "forget", name, "--data", &other]).await;
    assert!(ran.status == 4 && ran.err.contains("is connected"), "{ran:#?}");
    assert_eq!(lab.run(["down", "--data", &other]).await.status, 0);
    let mut forget = lab.command(["hosts", "forget", name, "--data", &other]);
    forget.env("LONGHAUL_FAULTS", "bug=forgetting_starts_the_agent");
    let ran = finish(forget).await;
    assert!(ran.status == 4 && ran.err.contains("is connected"), "the control: {ran:#?}");
    let ran = lab.run(["hosts", "forget", name, "--data", &other]).await;
    assert!(ran.status == 0 && ran.err.contains("is forgotten"), "{ran:#?}");
}

#[tokio::test]
async fn a_hangup_answers_a_waiting_call_with_its_handle() {
    let lab = lab!();
    let mut gateway = lab.up(&[]).await;
    gateway.daemon.terminate().await;
    // Whatever the tests themselves inherited.
    let program = std::mem::replace(&mut gateway.daemon.spec.program, "/usr/bin/env".into());
    gateway.daemon.spec.args.splice(0..0, ["--default-signal=HUP".into(), program.into()]);
    gateway.daemon.restart();
    lab::ready(&mut gateway.daemon).await;
    gateway.api.wait_host_up().await;
    let run = gateway.api.submit_path(&lab.gated(), &["hung"]).await.run_id;
    gateway.api.wait_output(run, "started hung").await;
    let waiting = Mcp::new(&gateway.api, "claude-code", "2.1.330");
    let call = waiting.start("stata_wait", json!({"runs": run, "seconds": 600}), json!({})).await;
    processes::signal(gateway.daemon.pid(), Signal::HUP);
    let said = call.result().await;
    assert!(said.text.contains("Call stata_wait again"), "{said:#?}");
    assert_eq!(gateway.daemon.ended().await.code(), Some(0));
    assert!(
        gateway.daemon.printed().contains("the terminal closed (SIGHUP): stopping"),
        "{}",
        gateway.daemon.printed()
    );
    assert_eq!(processes::engines(lab.path()).len(), 1, "the run goes on");
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut all: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    all.sort();
    all
}

#[tokio::test]
async fn reading_a_gateways_folder_makes_no_agent_in_it() {
    let lab = lab!();
    let mut gateway = lab.gateway().await;
    gateway.daemon.terminate().await;
    let data = gateway.daemon.data.clone();
    let given = data.to_str().unwrap();
    let before = names(&data);
    assert!(!before.contains(&"agent".to_owned()), "{before:?}");
    for words in [&["runs"][..], &["hosts"], &["token", "list"], &["agents", "list"]] {
        let ran = lab.run([words, &["--data", given]].concat()).await;
        assert_eq!(ran.status, 0, "{words:?}: {ran:#?}");
        assert_eq!(names(&data), before, "{words:?}");
    }
    let ran = lab.run(["token", "add", "ana", "--data", given]).await;
    assert!(ran.status == 4 && ran.err.contains("no gateway here"), "{ran:#?}");
}

#[tokio::test]
async fn tokens_are_listed_with_their_use_and_end() {
    let lab = lab!();
    let gateway = lab.up(&["--serve-all"]).await;
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    for (name, expires) in [("used", "30d"), ("short", "1s"), ("gone", "30d"), ("unused", "30d")] {
        let ran = lab.run(["token", "add", name, "--expires", expires, "--data", &data]).await;
        assert_eq!(ran.status, 0, "{ran:#?}");
        if name == "used" {
            let hosts =
                gateway.api.with_token(ran.out.trim()).request(Method::GET, "/api/v1/hosts").send().await.unwrap();
            assert!(hosts.status().is_success());
        }
    }
    lab.run(["token", "revoke", "gone", "--data", &data]).await;
    let list = wait::until(wait::SOON, "one expires", async || {
        let ran = lab.run(["token", "list", "--data", &data]).await;
        ran.out.contains("expired").then_some(ran.out)
    })
    .await;
    let row = |name: &str| {
        list.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap_or_else(|| panic!("{list}"))
    };
    assert!(list.starts_with("TOKEN ") && list.contains("LAST USED") && list.contains("known since"), "{list}");
    assert!(row("short").contains("expired") && row("gone").contains("revoked"), "{list}");
    assert!(row("used").contains("valid") && !row("used").ends_with('-') && row("unused").ends_with('-'), "{list}");
    let ran = lab.run(["token", "revoke", "nobody", "--data", &data]).await;
    assert!(ran.status == 4 && ran.err.contains("`longhaul token list`") && !ran.err.contains("GET /"), "{ran:#?}");
    let ran = lab.run(["log", "deadbeef", "--data", &data]).await;
    assert!(ran.status == 4 && ran.err.contains("`longhaul runs`") && !ran.err.contains("stata_"), "{ran:#?}");
}

#[tokio::test]
async fn lists_with_another_separator_and_roots_that_are_not_there_are_errors() {
    let cases: [(&str, &str, &[&str], &[&str]); 6] = [
        ("LONGHAUL_LABELS", "edition=mp rack=r1", &["up"], &["LONGHAUL_LABELS", "`edition=mp,rack=r1`"]),
        ("LONGHAUL_LABELS", "edition=mp;rack=r1", &["up"], &["`edition=mp,rack=r1`"]),
        ("LONGHAUL_ROOTS", "/usr,/tmp", &["up"], &["LONGHAUL_ROOTS", "`/usr:/tmp`"]),
        ("LONGHAUL_SERVE", "ana ben", &["up"], &["LONGHAUL_SERVE", "`ana,ben`"]),
        ("LONGHAUL_ROOTS", "/usr:/nope", &["up"], &["/nope", "LONGHAUL_ROOTS=/a:/b"]),
        ("LONGHAUL_SEATS", "1", &["up", "--root", "/nope"], &["/nope", "--root"]),
    ];
    for (name, value, command, words) in cases {
        let mut lab = lab!();
        lab.env(name, value);
        let ran = lab.run([command, &["--engine", "standin", "--listen", "127.0.0.1:0"]].concat()).await;
        assert_eq!(ran.status, 2, "{name}={value}: {ran:#?}");
        assert!(words.iter().all(|word| ran.err.contains(word)), "{name}={value}: {ran:#?}");
    }
    // The control: the right forms.
    let mut lab = lab!();
    lab.env("LONGHAUL_LABELS", "edition=mp,rack=r1").env("LONGHAUL_ROOTS", "/usr:/tmp");
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    let host = gateway.api.hosts().await.unwrap().hosts.remove(0);
    assert_eq!((host.labels.len(), host.roots.len()), (2, 2), "{host:#?}");
}

#[tokio::test]
async fn doctor_says_where_it_looked_and_leaves_out_what_does_not_matter_here() {
    let mut lab = lab!();
    let ran = lab.run(["doctor"]).await;
    assert_eq!(ran.status, 4, "{ran:#?}");
    for words in ["!! Stata", "STATA_PATH (not set)", "PATH: /", "/usr/local/stata*", "stata-mp", "others are not set"]
    {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    assert!(!ran.out.contains("handle_after"), "{}", ran.out);
    // What was configured is told with where.
    let mut other = lab!();
    other.config("stata = \"/nowhere/stata-mp\"\n");
    let file = other.path().join("longhaul.toml").display().to_string();
    for (variable, origin) in [(None, file.as_str()), (Some("/nowhere/stata-se"), "variable LONGHAUL_STATA")] {
        if let Some(path) = variable {
            other.env("LONGHAUL_STATA", path);
        }
        let ran = other.run(["doctor"]).await;
        assert!(ran.out.contains(&format!("it was tried because of `stata` from {origin}")), "{}", ran.out);
        assert!(!ran.out.contains("because of --stata"), "{}", ran.out);
    }
    let gateway = lab.up(&[]).await;
    gateway.api.wait_host_up().await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let ran = lab.run(["doctor"]).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    assert!(!ran.out.contains("Stata:") && !ran.out.contains("lock") && ran.out.contains("answers"), "{}", ran.out);

    if !need::root() {
        need::skip("root", "another user is needed");
        return;
    }
    let lab = lab!();
    let mut command = lab.command(["doctor", "--data", "/nonexistent/longhaul"]);
    command.uid(65534).gid(65534);
    fs::set_permissions(lab.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let ran = finish(command).await;
    assert!(ran.status == 4 && ran.out.contains("cannot make it in /"), "{ran:#?}");
}

#[tokio::test]
async fn hosts_say_who_holds_a_seat_and_a_dead_one_is_forgotten() {
    let mut lab = lab!();
    lab.config("silent_after = 2\nheartbeat = 0.5\n").env("LONGHAUL_LOG", "info");
    let mut gateway = lab.gateway().await;
    let more = ["--licence", "lab", "--serve-all", "--label", "edition=mp"];
    let mut agents = Vec::new();
    for (name, seats) in [("stata1", "2"), ("stata2", "4")] {
        agents.push(lab.agent(name, &gateway, &[&more[..], &["--seats", seats]].concat()));
        gateway.api.wait_host(name, "up").await;
    }
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    let made = lab.run(["token", "add", "ana", "--data", &data]).await;
    let ana = gateway.api.with_token(made.out.trim());
    let body = json!({"path": lab.gated(), "args": ["held"], "host": "stata1"});
    let made: Value = read(ana.request(Method::POST, "/api/v1/runs").json(&body).send().await.unwrap()).await.unwrap();
    let run = made["run_id"].as_str().unwrap().parse().unwrap();
    ana.wait_output(run, "started held").await;
    let shown = lab.run(["hosts", "--data", &data]).await.out;
    let head = shown.lines().next().unwrap();
    for word in ["FREE", "CORES", "VERSION", "SINCE"] {
        assert!(head.contains(word), "{shown}");
    }
    let holder = format!("stata1: run {} of ana, since ", run.short());
    assert!(shown.contains(&holder) && shown.contains("stata1: labels edition=mp"), "{shown}");
    let row = shown.lines().find(|line| line.starts_with("stata1 ")).unwrap();
    assert!(row.split_whitespace().collect::<Vec<_>>()[1..4] == ["up", "1/2", "1"], "{shown}");
    // Another principal is not told whose it is.
    let made = lab.run(["token", "add", "ben", "--data", &data]).await;
    let seen = gateway.api.with_token(made.out.trim()).hosts().await.unwrap();
    assert!(seen.hosts.iter().all(|host| host.holders.is_empty()), "{seen:#?}");
    assert_eq!(ana.hosts().await.unwrap().hosts[0].holders.len(), 1);

    // Told once, and in a number.
    let printed = gateway.daemon.printed();
    let doubt: Vec<&str> = printed.lines().filter(|line| line.contains("seats are in doubt")).collect();
    assert!(doubt.len() == 1 && doubt[0].contains("stata1: 2, stata2: 4"), "{printed}");
    let metrics = async || gateway.api.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics().await.contains("longhaul_pool_seats_disagree{pool=\"lab\"} 1\n"));

    let forget = async |name: &str| lab.run(["hosts", "forget", name, "--data", &data]).await;
    let ran = forget("stata2").await;
    assert!(ran.status == 4 && ran.err.contains("stata2 is connected"), "{ran:#?}");
    agents.iter_mut().for_each(longhaul_tests::daemon::Daemon::kill);
    for name in ["stata1", "stata2"] {
        gateway.api.wait_host(name, "silent").await;
    }
    let ran = forget("stata1").await;
    assert!(ran.status == 4 && ran.err.contains(&format!("holds run {}", run.short())), "{ran:#?}");
    let ran = lab.run(["drain", "stata2", "--data", &data]).await;
    assert_eq!(ran.status, 0, "{ran:#?}");
    let ran = forget("stata2").await;
    assert!(ran.status == 0 && ran.err.contains("stata2 is forgotten"), "{ran:#?}");
    let names = async |gateway: &lab::Gateway| -> Vec<String> {
        gateway.api.hosts().await.unwrap().hosts.into_iter().map(|host| host.name).collect()
    };
    assert_eq!(names(&gateway).await, ["stata1"]);
    assert!(!metrics().await.contains("stata2"));
    let ran = forget("stata2").await;
    assert!(ran.status == 4 && ran.err.contains("no host is named `stata2`"), "{ran:#?}");
    gateway.kill_and_restart().await;
    assert_eq!(names(&gateway).await, ["stata1"], "also after a restart");
    // One that comes back after all is let in.
    agents[1].restart();
    gateway.api.wait_host("stata2", "up").await;
}
