//! Blobs on the real programs: an upload that a dead gateway or a broken connection interrupts goes on where it stopped,
//! and what a crash leaves is deleted.

use std::{
    fs,
    path::{Path, PathBuf},
};

use longhaul_proto::{api::SubmitRequest, digest::ContentDigest, state::RunState};
use longhaul_tests::{
    api::Api,
    http::Answered,
    lab,
    lab::{Gateway, ready},
    wait,
};
use reqwest::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Several times what the buffers of a connection hold.
const LEN: usize = 24 << 20;

/// Bytes of which no two pieces are the same.
fn content(seed: u8) -> Vec<u8> {
    (0..LEN / 8).flat_map(|n| (n as u64 * 0x9e37_79b9 + u64::from(seed)).to_le_bytes()).collect()
}

fn path_of(content: &[u8]) -> String {
    format!("/api/v1/blobs/{}", ContentDigest::of(content))
}

/// How many bytes of an upload are there; `None` = there is no such upload.
async fn offset(api: &Api, path: &str) -> Option<usize> {
    let response = api.request(Method::HEAD, path).send().await.unwrap();
    if response.status() == StatusCode::NOT_FOUND {
        return None;
    }
    assert_eq!(response.status(), 200);
    Some(response.headers()["upload-offset"].to_str().unwrap().parse().unwrap())
}

async fn patch(api: &Api, path: &str, offset: usize, rest: &[u8]) -> Answered {
    let request = api.request(Method::PATCH, path).header("content-type", "application/offset+octet-stream");
    request.header("upload-offset", offset).body(rest.to_vec()).send().await.unwrap()
}

/// Sends the first part of a `PUT`, and returns the connection when some of it has arrived.
async fn half_a_put(api: &Api, content: &[u8]) -> TcpStream {
    let path = path_of(content);
    let mut stream = TcpStream::connect(api.address()).await.unwrap();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        api.address(),
        api.token(),
        content.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&content[..LEN / 2]).await.unwrap();
    wait::until(wait::SOON, "bytes arrive", async || offset(api, &path).await.filter(|offset| *offset > 0)).await;
    stream
}

/// All files of blobs.
fn files(gateway: &Gateway) -> Vec<PathBuf> {
    let below = |folder: &Path| fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    below(&gateway.daemon.data.join("gateway/blobs")).flat_map(|folder| below(&folder).collect::<Vec<_>>()).collect()
}

#[tokio::test]
async fn an_upload_survives_a_killed_gateway() {
    let lab = lab!();
    let mut gateway = lab.gateway().await;
    let (content, path) = (content(1), path_of(&content(1)));
    let connection = half_a_put(&gateway.api, &content).await;
    gateway.daemon.kill();
    drop(connection);
    // Files of which the ledger knows nothing, as a crash may leave them.
    let stray = gateway.daemon.data.join("gateway/blobs/00");
    fs::create_dir_all(&stray).unwrap();
    for name in [format!("{}.x.part", "0".repeat(64)), format!("{}.x", "0".repeat(64))] {
        fs::write(stray.join(name), "stray").unwrap();
    }
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    wait::until_now(wait::SOON, "the stray files go", || (files(&gateway).len() == 1).then_some(())).await;
    let at = offset(&gateway.api, &path).await.expect("the upload is known");
    assert!(at > 0 && at <= LEN / 2, "{at}");
    assert_eq!(gateway.api.request(Method::GET, &path).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(patch(&gateway.api, &path, at, &content[at..]).await.status(), StatusCode::NO_CONTENT);
    let whole = gateway.api.request(Method::GET, &path).send().await.unwrap().bytes().await.unwrap();
    assert!(whole == content, "the bytes are those that were sent");
    // It is there after the next kill, too.
    gateway.kill_and_restart().await;
    assert_eq!(offset(&gateway.api, &path).await, Some(LEN));
}

#[tokio::test]
async fn an_upload_goes_on_after_its_connection_broke() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let (content, path) = (content(2), path_of(&content(2)));
    drop(half_a_put(&gateway.api, &content).await);
    // The gateway may take a moment to see that the connection is gone.
    let done = wait::until(wait::SOON, "the rest is taken", async || {
        let at = offset(&gateway.api, &path).await?;
        let response = patch(&gateway.api, &path, at, &content[at..]).await;
        (response.status() == StatusCode::NO_CONTENT).then_some(response)
    });
    assert_eq!(done.await.headers()["upload-offset"], LEN.to_string().as_str());
    // The control: one wrong byte, and nothing stays.
    let (mut wrong, path) = (self::content(3), path_of(&self::content(3)));
    wrong[LEN / 2] ^= 1;
    let response = gateway.api.request(Method::PUT, &path).body(wrong).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 460);
    assert_eq!(offset(&gateway.api, &path).await, None);
    assert_eq!(files(&gateway).len(), 1);
}

/// Who sends many bytes for nothing reads why: an answer is not lost with the connection that it ends.
#[tokio::test]
async fn a_refused_upload_is_answered_however_large_it_is() {
    let refused = async |faults: &str| {
        let mut lab = lab!();
        lab.env("LONGHAUL_FAULTS", faults);
        let gateway = lab.gateway().await;
        // A client that sends all before it reads, as Python's does.
        let mut stream = TcpStream::connect(gateway.api.address()).await.unwrap();
        let head = format!(
            "PATCH {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Length: {LEN}\r\n\
             Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\n\r\n",
            path_of(b"never begun"),
            gateway.api.address(),
            gateway.api.token(),
        );
        let content = content(7);
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&content).await.map_err(|e| e.kind())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map_err(|e| e.kind())?;
        Ok::<_, std::io::ErrorKind>(answer)
    };
    let answer = refused("").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    // The control: the client finds a broken connection.
    refused("bug=close_at_once").await.unwrap_err();
}

/// The memory of a gateway does not grow with what is uploaded.
#[tokio::test]
async fn a_large_upload_takes_no_memory() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let peak = || {
        let status = fs::read_to_string(format!("/proc/{}/status", gateway.daemon.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    };
    let small = vec![7; 1 << 20];
    assert_eq!(put(&gateway.api, small).await, 201);
    let before = peak();
    let large: Vec<u8> = content(4).into_iter().chain(content(5)).chain(content(6)).collect();
    assert_eq!(put(&gateway.api, large).await, 201);
    let grown = peak() - before;
    assert!(grown < LEN, "{grown} bytes more for an upload of {}", 3 * LEN);
}

/// A ledger that came back without the folder of blobs: a run whose code is gone ends with what to do, what is uploaded again
/// is there for all that hold it, and a run that still waits for it has it.
#[tokio::test]
async fn what_a_restored_ledger_lacks_is_named_and_uploaded_again() {
    let answers = async |faults: &str| {
        let mut lab = lab!();
        lab.env("LONGHAUL_FAULTS", faults);
        let mut gateway = lab.gateway().await;
        let mut agents = ["stata1", "stata2"].map(|name| lab.agent(name, &gateway, &["--no-results"]));
        for agent in &mut agents {
            gateway.api.wait_host(&agent.name, "up").await;
            agent.kill();
        }
        let [mut one, mut two] = agents;
        let code = "display \"said by a long do-file\"\n".repeat(10_000);
        let path = path_of(code.as_bytes());
        assert_eq!(put(&gateway.api, code.clone().into_bytes()).await, 201);
        let request = |host: &str| SubmitRequest {
            text_sha256: Some(ContentDigest::of(code.as_bytes()).to_string()),
            host: Some(host.to_owned()),
            again: true,
            ..SubmitRequest::default()
        };
        let submit = async |gateway: &Gateway, host| gateway.api.submit(&request(host)).await.map(|s| s.run.run_id);
        let (first, second) = (submit(&gateway, "stata1").await.unwrap(), submit(&gateway, "stata2").await.unwrap());
        gateway.daemon.kill();
        fs::remove_dir_all(gateway.daemon.data.join("gateway/blobs")).unwrap();
        gateway.daemon.restart();
        ready(&mut gateway.daemon).await;
        one.restart();
        let end = gateway.api.wait_end(first).await;
        let says = end.message.unwrap_or_default();
        assert_eq!(end.state, RunState::Errored, "{says}");
        assert!(says.contains(&path["/api/v1/blobs/".len()..]) && says.contains("upload it again"), "{says}");
        assert!(submit(&gateway, "stata1").await.is_err(), "no run is made that cannot run");
        let uploaded = put(&gateway.api, code.clone().into_bytes()).await;
        if uploaded == 201 {
            two.restart();
            let third = submit(&gateway, "stata1").await.unwrap();
            for run in [second, third] {
                assert_eq!(gateway.api.wait_end(run).await.state, RunState::Succeeded);
            }
            assert_eq!(files(&gateway).len(), 1);
        }
        uploaded
    };
    assert_eq!(answers("").await, 201);
    // The control: taken for there, and nothing is taken.
    assert_eq!(answers("bug=lost_blobs_stay_lost").await, 200);
}

async fn put(api: &Api, content: Vec<u8>) -> u16 {
    let path = path_of(&content);
    api.request(Method::PUT, &path).body(content).send().await.unwrap().status().as_u16()
}

/// Of a folder that is sent again only what has changed travels, and the run has all of it.
#[tokio::test]
async fn a_folder_is_sent_by_its_digests() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &["--no-results"]);
    gateway.api.wait_host("stata1", "up").await;
    let folder = lab.path().join("project");
    fs::create_dir_all(folder.join("lib")).unwrap();
    fs::write(folder.join("main.do"), "do lib/say.do\nconfirm file data.csv\ndisplay \"all there\"\n").unwrap();
    fs::write(folder.join("lib/say.do"), "display \"said once\"\n").unwrap();
    fs::write(folder.join("data.csv"), "1,2\n".repeat(100_000)).unwrap();
    let data = gateway.daemon.data.to_str().unwrap().to_owned();
    let run = async || {
        let (main, with) = (folder.join("main.do"), folder.clone());
        let args = ["--data", &data, "run", main.to_str().unwrap(), "--with", with.to_str().unwrap(), "--again"];
        let ran = lab.run(args).await;
        assert_eq!(ran.status, 0, "{ran:#?}");
        ran.out
    };
    let out = run().await;
    assert!(out.contains("said once") && out.contains("all there"), "{out}");
    assert_eq!(files(&gateway).len(), 3);
    run().await;
    assert_eq!(files(&gateway).len(), 3, "nothing new");
    fs::write(folder.join("lib/say.do"), "display \"said twice\"\n").unwrap();
    assert!(run().await.contains("said twice"));
    assert_eq!(files(&gateway).len(), 4, "one file has changed");
}
