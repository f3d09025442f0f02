//! Code that is more than goes within a request: its files go to the agent before the run, whatever breaks on the way.

use std::{
    fs,
    path::{Path, PathBuf},
};

use longhaul_proto::{
    api::{BundleFileRequest, BundleRequest, RunView, SubmitRequest},
    digest::ContentDigest,
    ids::RunId,
    state::RunState,
};
use longhaul_tests::{
    api::{Answer, Api},
    daemon::Daemon,
    lab,
    lab::{Gateway, Lab, ready},
    mount::Mount,
    wait,
};
use reqwest::{Method, StatusCode};

/// Bytes of one file.
const LEN: usize = 12 << 20;

/// The only do-file of each bundle.
const CODE: &[u8] = b"confirm file data/1.bin\ndisplay \"all there\"\n";

/// Bytes of which no two files, and no two pieces, are the same.
fn content(seed: usize) -> Vec<u8> {
    (0..LEN / 8).flat_map(|n| (n as u64 * 0x9e37_79b9 + seed as u64).to_le_bytes()).collect()
}

async fn put(api: &Api, content: Vec<u8>) -> (StatusCode, String) {
    let path = format!("/api/v1/blobs/{}", ContentDigest::of(&content));
    let response = api.request(Method::PUT, &path).body(content).send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

/// Uploads a bundle of so many files.
async fn bundle(api: &Api, files: usize) -> SubmitRequest {
    let mut named = Vec::new();
    for n in 0..=files {
        let (path, bytes) =
            if n == 0 { ("main.do".to_owned(), CODE.to_vec()) } else { (format!("data/{n}.bin"), content(n)) };
        named.push(BundleFileRequest::stored(path, ContentDigest::of(&bytes).to_string()));
        assert!(put(api, bytes).await.0.is_success());
    }
    let bundle = BundleRequest { entry: "main.do".to_owned(), files: named };
    SubmitRequest { bundle: Some(bundle), ..SubmitRequest::default() }
}

async fn submit(gateway: &Gateway, files: usize) -> RunId {
    let request = bundle(&gateway.api, files).await;
    match gateway.api.submit(&request).await {
        Answer::Ok(submitted) => submitted.run.run_id,
        other => panic!("{other:?}"),
    }
}

/// The run has succeeded, and its files are those that were uploaded.
async fn whole(gateway: &Gateway, agent: &Daemon, run: RunId, files: usize) -> RunView {
    let view = gateway.api.wait_end(run).await;
    assert_eq!(view.state, RunState::Succeeded, "{view:?}");
    let spool = Lab::spool(agent, run);
    for n in 1..=files {
        let kept = fs::read(spool.join(format!("run/work/data/{n}.bin"))).unwrap();
        assert!(kept == content(n), "file {n} has its bytes");
    }
    assert!(!spool.join("control/blobs").exists(), "nothing is there twice");
    assert_eq!(incoming(agent), Vec::<PathBuf>::new(), "nor on its way");
    view
}

/// What has come for runs that have not started.
fn incoming(agent: &Daemon) -> Vec<PathBuf> {
    let below = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    below(&agent.data.join("agent/incoming")).flat_map(|folder| below(&folder).collect::<Vec<_>>()).collect()
}

/// The most memory that a process has had, bytes.
fn peak(daemon: &Daemon) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap().to_owned();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn large_code_runs_and_takes_no_memory() {
    const FILES: usize = 8;
    let lab = lab!();
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    // Both have done all of it once.
    let run = submit(&gateway, 1).await;
    whole(&gateway, &agent, run, 1).await;
    let before = (peak(&gateway.daemon), peak(&agent));
    let run = submit(&gateway, FILES).await;
    whole(&gateway, &agent, run, FILES).await;
    let grown = (peak(&gateway.daemon) - before.0, peak(&agent) - before.1);
    println!("{} bytes of code: the gateway's peak grew by {}, the agent's by {}", FILES * LEN, grown.0, grown.1);
    assert!(grown.0 < 2 * LEN && grown.1 < 2 * LEN, "{grown:?} bytes more for {} of code", FILES * LEN);
}

#[tokio::test]
async fn code_comes_whole_although_agent_and_gateway_are_killed() {
    const FILES: usize = 3;
    let mut lab = lab!();
    let faults = lab.path().join("faults");
    fs::create_dir_all(&faults).unwrap();
    lab.env("LONGHAUL_FAULTS", format!("dir={}", faults.display()));
    let mut gateway = lab.gateway().await;
    let mut agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let request = bundle(&gateway.api, FILES).await;
    let fired = |name: &str| faults.join(format!("{name}.fired")).exists().then_some(());
    // Each process counts from its start: the agent's 500th piece lies in the second file.
    fs::write(faults.join("agent.incoming"), "kill@250").unwrap();
    let Answer::Ok(submitted) = gateway.api.submit(&request).await else { panic!("not submitted") };
    let run = submitted.run.run_id;
    wait::until_now(wait::SOON, "the agent dies", || fired("agent.incoming")).await;
    agent.ended().await;
    assert!(!incoming(&agent).is_empty(), "some has come");
    fs::write(faults.join("dispatch.blob_part"), "kill@350").unwrap();
    agent.restart();
    wait::until_now(wait::SOON, "the gateway dies", || fired("dispatch.blob_part")).await;
    gateway.daemon.ended().await;
    let came: u64 = incoming(&agent).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(came > 0, "some has come");
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    whole(&gateway, &agent, run, FILES).await;
}

/// An agent of an earlier version gets what goes within a request; for more than that a newer one is waited for. The control
/// of the tests above, too: without the calls for files the run does not begin.
#[tokio::test]
async fn an_agent_of_an_earlier_version_gets_what_goes_within_a_request() {
    let mut lab = lab!();
    let gateway = lab.gateway().await;
    lab.env("LONGHAUL_FAULTS", "bug=agent_without_blobs");
    let mut agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let run = submit(&gateway, 1).await;
    whole(&gateway, &agent, run, 1).await;
    let run = submit(&gateway, 3).await;
    let says = "agent stata1 cannot run it: its version takes at most 32 MiB of code; install a newer one there";
    let waits = |view: &RunView| serde_json::to_string(view).unwrap().contains(says);
    gateway.api.wait_run(run, wait::SOON, "it waits for a newer agent", waits).await;
    agent.kill();
    lab.env("LONGHAUL_FAULTS", "");
    let agent = lab.agent("stata1", &gateway, &[]);
    whole(&gateway, &agent, run, 3).await;
}

/// An agent looks at its disk before it takes a byte.
#[tokio::test]
async fn an_agent_takes_no_code_for_which_it_has_no_room() {
    for (faults, takes) in [("", false), ("bug=incoming_without_room", true)] {
        let mut lab = lab!();
        let gateway = lab.gateway().await;
        let Some(mount) = Mount::new(&lab.path().join("small"), "24m") else { return };
        lab.env("LONGHAUL_FAULTS", faults);
        let data = mount.path().join("stata1");
        let mut agent = lab.agent("stata1", &gateway, &["--data", data.to_str().unwrap()]);
        agent.data = data;
        gateway.api.wait_host("stata1", "up").await;
        let run = submit(&gateway, 3).await;
        if takes {
            // The control.
            wait::until_now(wait::SOON, "some comes", || (!incoming(&agent).is_empty()).then_some(())).await;
            continue;
        }
        let refused = |view: &RunView| {
            serde_json::to_string(view).unwrap().contains("MiB free and a run needs") && view.state == RunState::Queued
        };
        gateway.api.wait_run(run, wait::SOON, "the agent has no room", refused).await;
        assert_eq!(incoming(&agent), Vec::<PathBuf>::new());
    }
}

/// The gateway looks at its disk before it takes a byte of an upload.
#[tokio::test]
async fn an_upload_for_which_there_is_no_room_is_refused() {
    let upload = async |faults: &str| {
        let mut lab = lab!();
        lab.env("LONGHAUL_MIN_FREE", "1000000 TiB").env("LONGHAUL_FAULTS", faults);
        let gateway = lab.gateway().await;
        put(&gateway.api, b"display 1\n".to_vec()).await
    };
    let (status, problem) = upload("").await;
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{problem}");
    assert!(problem.contains("no-room") && problem.contains("MiB free and this upload needs"), "{problem}");
    // The control.
    assert_eq!(upload("bug=uploads_without_room").await.0, StatusCode::CREATED);
}
