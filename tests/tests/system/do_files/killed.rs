//! Agents and gateways that are killed in the middle.

use longhaul_proto::state::RunState;
use longhaul_tests::{lab, lab::ready};

use super::*;

/// An agent is killed after it read the first do-file, which is then edited; the second is entered and edited while no
/// agent runs. What was kept of both.
async fn without_an_agent(mut lab: Lab, faults: &str) -> (Vec<(String, String)>, Vec<bool>) {
    lab.env("LONGHAUL_FAULTS", faults);
    let (gateway, mut agent) = pair(&lab).await;
    let (main, [first, second]) = project(&lab);
    let run = gateway.api.submit_path(&main, &[]).await.run_id;
    open(&lab, 1);
    gateway.api.wait_output(run, "one done").await;
    kept(&agent, run, FIRST).await;
    let list = Lab::spool(&agent, run).join("control/entered.json");
    let named = || fs::read_to_string(&list).is_ok_and(|text| text.contains("first.do")).then_some(());
    wait::until_now(wait::SOON, "the list names it", named).await;
    agent.kill();
    fs::write(&first, "display \"the first, edited\"\n").unwrap();
    open(&lab, 2);
    let log = Lab::log(&agent, run);
    let entered = || fs::read_to_string(&log).is_ok_and(|text| text.contains("the second as it was")).then_some(());
    wait::until_now(wait::SOON, "the second runs", entered).await;
    fs::write(&second, format!("{SECOND}display \"edited\"\n")).unwrap();
    agent.restart();
    let end = gateway.api.wait_end(run).await;
    assert_eq!(end.state, RunState::Succeeded, "{end:#?}");
    let listed = complete(&gateway.api, run).await;
    let doubts = listed.do_files.iter().map(|file| file.perhaps_changed).collect();
    if faults.is_empty() {
        assert!(listed.note.as_ref().unwrap().contains("second.do was changed while the run went on"), "{listed:#?}");
    }
    (contents(&gateway.api, &listed).await, doubts)
}

#[tokio::test]
async fn a_killed_agent_keeps_what_it_read_and_doubts_what_it_could_not_read_in_time() {
    let (contents, doubts) = without_an_agent(lab!(), "").await;
    assert_eq!(contents[1], ("first.do".to_owned(), FIRST.to_owned()));
    assert_eq!(contents[2], ("second.do".to_owned(), format!("{SECOND}display \"edited\"\n")));
    assert_eq!(doubts, [false, false, true]);
    // The control: what may not be what ran passes for it.
    let (_, doubts) = without_an_agent(lab!(), "bug=late_do_files_pass").await;
    assert_eq!(doubts, [false, false, false]);
}

/// Between the bytes and the list that names them.
#[tokio::test]
async fn an_agent_that_dies_while_it_keeps_a_do_file_has_it_all_the_same() {
    let mut lab = lab!();
    let faults = lab.path().join("faults");
    fs::create_dir_all(&faults).unwrap();
    lab.env("LONGHAUL_FAULTS", format!("dir={}", faults.display()));
    let (gateway, mut agent) = pair(&lab).await;
    let (main, _) = project(&lab);
    let body = fs::read_to_string(&main).unwrap();
    let run = gateway.api.submit_path(&main, &[]).await.run_id;
    kept(&agent, run, &body).await;
    gateway.api.wait_output(run, "begun").await;
    fs::write(faults.join("do_files.kept"), "kill").unwrap();
    open(&lab, 1);
    agent.ended().await;
    kept(&agent, run, FIRST).await;
    open(&lab, 2);
    agent.restart();
    assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);
    let listed = complete(&gateway.api, run).await;
    let names = [("main.do", &*body), ("first.do", FIRST), ("second.do", SECOND)];
    assert_eq!(contents(&gateway.api, &listed).await, names.map(|(n, c)| (n.to_owned(), c.to_owned())));
    assert!(listed.note.is_none(), "none was changed: {listed:#?}");
}

/// A gateway that dies after the end was told and before the do-files are noted: the agent keeps the spool until they are.
#[tokio::test]
async fn no_spool_is_released_before_its_do_files_have_come() {
    let kept = async |bug: &str| {
        let mut lab = lab!();
        let faults = lab.path().join("faults");
        fs::create_dir_all(&faults).unwrap();
        lab.env("LONGHAUL_FAULTS", format!("dir={};{bug}", faults.display()));
        lab.config("keep_spool = \"0s\"\n");
        let mut gateway = lab.gateway().await;
        let mut agent = lab.agent("stata1", &gateway, &[]);
        gateway.api.wait_host("stata1", "up").await;
        let (main, _) = project(&lab);
        fs::write(faults.join("do_files.before_noted"), "kill").unwrap();
        let run = gateway.api.submit_path(&main, &[]).await.run_id;
        open(&lab, 1);
        open(&lab, 2);
        gateway.daemon.ended().await;
        agent.kill();
        gateway.daemon.restart();
        ready(&mut gateway.daemon).await;
        let end = gateway.api.get(run).await.unwrap();
        assert_eq!(end.state, RunState::Succeeded, "the end was told before: {end:#?}");
        let meanwhile = listed(&gateway.api, run).await.unwrap();
        assert!(!meanwhile.complete && meanwhile.note.unwrap().contains("have not come from host stata1 yet"));
        agent.restart();
        let spool = Lab::spool(&agent, run);
        wait::until_now(wait::SOON, "the spool goes", || (!spool.exists()).then_some(())).await;
        listed(&gateway.api, run).await.unwrap().do_files.len()
    };
    assert_eq!(kept("").await, 3);
    // The control.
    assert_eq!(kept("bug=do_files_go_unfetched").await, 0);
}
