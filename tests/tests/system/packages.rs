//! Runs whose code installs packages: one at a time for a user on a host, and the others wait and say for whom.

use std::{fs, path::PathBuf};

use longhaul_proto::{
    api::{CancelMode, RunView, SubmitRequest},
    ids::RunId,
    state::RunState,
};
use longhaul_tests::{
    api::{Api, bundle},
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab},
    mcp::Mcp,
    processes, wait,
};
use rustix::process::Signal;
use serde_json::json;

/// Two gateways with an agent each, all of one user.
struct Site {
    lab: Lab,
    gateways: [Gateway; 2],
    agents: [Daemon; 2],
}

async fn site(faults: &str) -> Site {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", faults);
    let gateways = [lab.serving("gateway1", &["gateway"]).await, lab.serving("gateway2", &["gateway"]).await];
    let agent = |n: usize| lab.agent(["stata1", "stata2"][n], &gateways[n], &["--seats", "5"]);
    let agents = [agent(0), agent(1)];
    for (gateway, name) in gateways.iter().zip(["stata1", "stata2"]) {
        gateway.api.wait_host(name, "up").await;
    }
    Site { lab, gateways, agents }
}

impl Site {
    fn api(&self, n: usize) -> &Api {
        &self.gateways[n].api
    }

    fn gate(&self, name: &str) -> PathBuf {
        self.lab.work().join(format!("gate-{name}"))
    }

    fn open(&self, name: &str) {
        fs::write(self.gate(name), "").unwrap();
    }

    /// Code that installs when its gate is open.
    fn code(&self, name: &str, installs: &str) -> String {
        format!(
            "display \"{name} has started\"\nlocal shut = 1\nwhile `shut' {{\n    capture confirm file \"{}\"\n    local shut = _rc\n    \
             sleep 20\n}}\n{installs}\ndisplay \"{name} is done\"\n",
            self.gate(name).display()
        )
    }

    async fn submit(&self, n: usize, code: String) -> RunId {
        submit(self.api(n), SubmitRequest { text: Some(code), ..SubmitRequest::default() }).await
    }

    /// One that installs packages and has started.
    async fn installing(&self, n: usize, name: &str) -> RunId {
        let run = self.submit(n, self.code(name, "capture ssc install x")).await;
        self.api(n).wait_output(run, &format!("{name} has started")).await;
        run
    }
}

async fn submit(api: &Api, request: SubmitRequest) -> RunId {
    api.submit(&SubmitRequest { again: true, ..request }).await.unwrap().run.run_id
}

async fn waits_for(api: &Api, run: RunId, words: &str) -> RunView {
    let waits = |view: &RunView| view.waiting.as_deref().is_some_and(|why| why.contains(words));
    api.wait_run(run, wait::SOON, &format!("it waits: {words}"), waits).await
}

fn began(agent: &Daemon, run: RunId) -> bool {
    Lab::spool(agent, run).join("control/spawning").exists()
}

/// How a run that installs and one that would, on another gateway, overlap; the words for which the second waits.
async fn overlap(faults: &str) -> (bool, String) {
    let site = site(faults).await;
    let first = site.installing(0, "first").await;
    // Another run is not held, on neither host.
    for n in [0, 1] {
        let other = site.submit(n, "display \"please ssc install x\"\n// ssc install x\n".to_owned()).await;
        assert_eq!(site.api(n).wait_end(other).await.state, RunState::Succeeded);
    }
    let files = [
        ("main.do", "do sub\n"),
        ("sub.do", "display \"second has started\"\ncapture net install x, from(http://a.b)\n"),
    ];
    let bundle = bundle("main.do", &files);
    let second = submit(site.api(1), SubmitRequest { bundle: Some(bundle), ..SubmitRequest::default() }).await;
    let known = |view: &RunView| view.waiting.is_some() || view.state.is_end();
    let seen = site.api(1).wait_run(second, wait::SOON, "it waits, or not", known).await;
    if seen.state.is_end() {
        site.open("first");
        site.api(0).wait_end(first).await;
        return (true, String::new());
    }
    assert_eq!((seen.state, began(&site.agents[1], second)), (RunState::Starting, false), "{seen:#?}");
    // Everywhere the same words.
    let words = seen.waiting.unwrap();
    let said = Mcp::new(site.api(1), "claude-code", "2.1.332");
    let said = said.call("stata_wait", json!({"runs": second.short(), "seconds": 0})).await;
    assert!(said.text.contains(&words), "{}", said.text);
    site.open("first");
    let first = site.api(0).wait_end(first).await;
    let second = site.api(1).wait_end(second).await;
    assert_eq!((first.state, second.state, second.waiting), (RunState::Succeeded, RunState::Succeeded, None));
    let overlapped = second.host_started_at < first.host_finished_at;
    (overlapped, words.replace(&first.run_id.short(), "FIRST"))
}

#[tokio::test]
async fn runs_that_install_packages_go_one_after_the_other_and_others_are_not_held() {
    assert_eq!(overlap("").await, (false, "another run on stata1 installs packages (run FIRST)".to_owned()));
    assert!(overlap("bug=installs_unlocked").await.0, "the control");
}

/// Whether a run that waits begins while the first one's Stata goes on without its supervisor.
async fn begins_beside_an_orphan(faults: &str) -> bool {
    let site = site(faults).await;
    let first = site.installing(0, "first").await;
    let second = site.submit(1, site.code("second", "capture ssc install y")).await;
    waits_for(site.api(1), second, &first.short()).await;
    // The agent, too, so that no other supervisor takes over meanwhile.
    let mut site = site;
    site.agents[0].kill();
    for supervisor in processes::supervisors(&Lab::spool(&site.agents[0], first)) {
        processes::signal(supervisor.pid, Signal::KILL);
    }
    let spool = Lab::spool(&site.agents[0], first);
    wait::until_now(wait::SOON, "its supervisor is gone", || processes::supervisors(&spool).is_empty().then_some(()))
        .await;
    let view = site.api(1).get(second).await.unwrap();
    // The other one tries four times a second: one that is let in is in by then.
    let later = site.submit(1, "sleep 1500\n".to_owned()).await;
    site.api(1).wait_end(later).await;
    let started = began(&site.agents[1], second);
    assert!(started || view.waiting.is_some(), "{view:#?}");
    assert!(!processes::below(&spool).is_empty(), "the first one's Stata goes on");
    site.agents[0].restart();
    site.open("second");
    site.open("first");
    for (n, run) in [(0, first), (1, second)] {
        assert_eq!(site.api(n).wait_end(run).await.state, RunState::Succeeded);
    }
    started
}

#[tokio::test]
async fn the_lock_is_held_as_long_as_stata_lives_whatever_becomes_of_its_supervisor() {
    assert!(!begins_beside_an_orphan("").await);
    assert!(begins_beside_an_orphan("bug=install_lock_not_inherited").await, "the control");
}

#[tokio::test]
async fn a_run_that_waits_to_install_can_be_cancelled_and_outlives_its_agent() {
    let mut site = site("").await;
    let first = site.installing(0, "first").await;
    let second = site.submit(0, site.code("second", "ado update, update")).await;
    waits_for(site.api(0), second, &first.short()).await;
    site.api(0).cancel(second, CancelMode::Break).await.unwrap();
    let end = site.api(0).wait_end(second).await;
    assert_eq!((end.state, &end.started_at, end.output_bytes), (RunState::Cancelled, &None, 0), "{end:#?}");
    assert!(!began(&site.agents[0], second));

    // The agent is gone and comes back; then the supervisor that waits is gone.
    let third = site.submit(0, site.code("third", "capture ssc install x")).await;
    waits_for(site.api(0), third, &first.short()).await;
    site.agents[0].kill();
    site.agents[0].restart();
    site.api(0).wait_host("stata1", "up").await;
    waits_for(site.api(0), third, &first.short()).await;
    // What ends by a signal frees the lock as well.
    site.api(0).cancel(first, CancelMode::Kill).await.unwrap();
    assert_eq!(site.api(0).wait_end(first).await.state, RunState::Cancelled);
    site.open("third");
    let third = site.api(0).wait_end(third).await;
    assert_eq!((third.state, third.attempt), (RunState::Succeeded, 1), "{third:#?}");

    // A lock that cannot be taken keeps no run from running, and the record says so.
    let lock = site.lab.path().join("home/.local/state/longhaul/install.lock");
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    site.open("fourth");
    let fourth = site.submit(0, site.code("fourth", "capture ssc install x")).await;
    let fourth = site.api(0).wait_end(fourth).await;
    assert_eq!(fourth.state, RunState::Succeeded);
    assert!(fourth.note.unwrap().contains("the lock that keeps other runs from that meanwhile could not be taken"));
}

#[tokio::test]
async fn a_package_is_installed_by_a_run_whose_verdict_is_the_commands() {
    let mut lab = lab!();
    // The stand-in has no packages: a program of its name stands for the command.
    let programs = "program ssc\n    display \"installing `2'\"\nend\nprogram net\n    display `\"net: `0'\"'\n    error 631\nend\n";
    let programs = lab.file("programs.do", programs);
    lab.env("LONGHAUL_STANDIN_AT", format!("code.do:1 run run \"{}\"", programs.display()));
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    lab.env("LONGHAUL_GATEWAY", gateway.api.url()).env("LONGHAUL_TOKEN", gateway.api.token());
    let install = ["packages", "install", "reghdfe", "--host", "stata1"];
    let done = lab.run(install).await;
    assert_eq!(done.status, 0, "{done:#?}");
    assert!(done.out.contains(". ssc install reghdfe") && done.out.contains("installing reghdfe"), "{done:#?}");
    let runs = gateway.api.list().await.unwrap().runs;
    assert_eq!(runs[0].name.as_deref(), Some("install reghdfe"));
    let url = ["--from", "https://a.b/c", "--replace"];
    let failed = lab.run(install.iter().chain(&url)).await;
    assert_eq!(failed.status, 1, "{failed:#?}");
    assert!(failed.out.contains("net: install reghdfe, from(\"https://a.b/c\") replace"), "{failed:#?}");
    assert!(failed.err.contains("r(631)"), "{failed:#?}");
    for bad in [["packages", "install", "a;b", "--host", "stata1"], ["packages", "install", "a", "--from", "file:///x"]]
    {
        let refused = lab.run(bad).await;
        assert_eq!(refused.status, 2, "{refused:#?}");
    }
    let nowhere = lab.run(["packages", "install", "reghdfe", "--host", "stata9"]).await;
    let want = "no host is named `stata9`: there are stata1; pass one of them with --host";
    assert!(nowhere.status == 4 && nowhere.err.contains(want), "a host is needed here: {nowhere:#?}");
}

/// Whether a package is installed on a host that asks for a person's word, by a command with these words more.
async fn installs(lab: &Lab, gateway: &Gateway, more: &[&str]) -> (i32, String) {
    let data = gateway.daemon.data.to_str().unwrap();
    let words = ["packages", "install", "reghdfe", "--host", "stata1", "--data", data];
    let ran = lab.run(words.iter().chain(more)).await;
    (ran.status, ran.out + &ran.err)
}

#[tokio::test]
async fn a_host_that_asks_for_a_persons_word_installs_with_it_alone() {
    let mut lab = lab!();
    let programs = lab.file("programs.do", "program ssc\n    display \"installing `2'\"\nend\n");
    lab.env("LONGHAUL_STANDIN_AT", format!("code.do:1 run run \"{}\"", programs.display()));
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &["--confirm", "install"]);
    gateway.api.wait_host("stata1", "up").await;
    let (status, said) = installs(&lab, &gateway, &[]).await;
    assert!(status != 0 && said.contains("stata1 wants a person to agree") && said.contains("--confirm"), "{said}");
    assert!(gateway.api.list().await.unwrap().runs.is_empty(), "nothing was submitted");
    let (status, said) = installs(&lab, &gateway, &["--confirm"]).await;
    assert!(status == 0 && said.contains("installing reghdfe"), "{said}");
    let runs = gateway.api.list().await.unwrap().runs;
    let word = runs[0].confirmed.as_ref().unwrap();
    assert_eq!((word.by.as_str(), word.how.as_str()), (runs[0].principal.as_str(), "argument"));
}
