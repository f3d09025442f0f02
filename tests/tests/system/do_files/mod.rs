//! What exactly ran: the bytes of the do-files that a run entered, as they were then, whatever becomes of the files, the
//! agent and its host.

mod kept;
mod killed;

use std::{
    fs,
    path::{Path, PathBuf},
};

use longhaul_proto::{
    api::{DoFileView, RunDoFiles},
    ids::RunId,
    sha256_hex,
};
use longhaul_tests::{
    api::{self, Api},
    daemon::Daemon,
    lab::{Gateway, Lab},
    wait,
};
use reqwest::{Method, StatusCode};

/// What the do-files of [`project`] have at first.
const FIRST: &str = "display \"the first as it was\"\n";
const SECOND: &str = "display \"the second as it was\"\n";

/// A do-file that calls two others, and waits for a gate before each; with what it is.
fn project(lab: &Lab) -> (PathBuf, [PathBuf; 2]) {
    let called = [lab.file("first.do", FIRST), lab.file("second.do", SECOND)];
    let gate = |n: u32| {
        let path = lab.work().join(format!("gate-{n}"));
        format!(
            "local waiting = 1\nwhile `waiting' {{\n    capture confirm file \"{}\"\n    local waiting = _rc != 0\n    \
             sleep 20\n}}\n",
            path.display()
        )
    };
    let [first, second] = called.each_ref().map(|path| format!("do \"{}\"\n", path.display()));
    let body = format!("display \"begun\"\n{}{first}display \"one done\"\n{}{second}", gate(1), gate(2));
    (lab.file("main.do", body), called)
}

fn open(lab: &Lab, gate: u32) {
    fs::write(lab.work().join(format!("gate-{gate}")), "").unwrap();
}

async fn pair(lab: &Lab) -> (Gateway, Daemon) {
    let gateway = lab.gateway().await;
    let agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    (gateway, agent)
}

async fn listed(api: &Api, run: RunId) -> api::Answer<RunDoFiles> {
    api::read(api.request(Method::GET, &format!("/api/v1/runs/{run}/do-files")).send().await.unwrap()).await
}

/// The list, when all that will ever be known has come.
async fn complete(api: &Api, run: RunId) -> RunDoFiles {
    let whole = async || listed(api, run).await.ok().filter(|listed| listed.complete);
    wait::until(wait::SOON, "the do-files have come", whole).await
}

async fn bytes(api: &Api, run: RunId, sha256: &str) -> Result<Vec<u8>, StatusCode> {
    let path = format!("/api/v1/runs/{run}/do-files/{sha256}");
    let response = api.request(Method::GET, &path).send().await.unwrap();
    if response.status() != StatusCode::OK {
        let problem = response.headers()["content-type"].to_str().unwrap() == "application/problem+json";
        assert!(problem, "{response:?}");
        return Err(response.status());
    }
    let bytes = response.bytes().await.unwrap().to_vec();
    assert_eq!(sha256_hex(&bytes), sha256);
    Ok(bytes)
}

/// The bytes of each do-file in the list, by its name; empty = they are not kept.
async fn contents(api: &Api, listed: &RunDoFiles) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (file, order) in listed.do_files.iter().zip(1..) {
        assert_eq!((file.order, file.kept), (order, file.why_not.is_none()), "{file:?}");
        let name = Path::new(&file.path).file_name().unwrap().to_str().unwrap().to_owned();
        let content = match &file.sha256 {
            Some(sha256) if file.kept => bytes(api, listed.run_id, sha256).await.unwrap(),
            _ => Vec::new(),
        };
        assert!(!file.kept || content.len() as u64 == file.bytes, "{file:?}");
        all.push((name, String::from_utf8(content).unwrap()));
    }
    all
}

fn named<'a>(listed: &'a RunDoFiles, name: &str) -> &'a DoFileView {
    listed.do_files.iter().find(|file| file.path.ends_with(name)).unwrap_or_else(|| panic!("{name} in {listed:#?}"))
}

/// Waits until the agent has kept a content in the spool of a run.
async fn kept(agent: &Daemon, run: RunId, content: &str) {
    let path = Lab::spool(agent, run).join("control/do-files").join(sha256_hex(content.as_bytes()));
    wait::until_now(wait::SOON, "the agent has kept it", || path.is_file().then_some(())).await;
}

/// How many blobs the gateway has the bytes of.
fn blobs(gateway: &Gateway) -> usize {
    let below = |folder: &Path| fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    below(&gateway.daemon.data.join("gateway/blobs")).map(|folder| below(&folder).count()).sum()
}
