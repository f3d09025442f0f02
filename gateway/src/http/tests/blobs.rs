//! Blobs by HTTP.

use base64::{Engine, engine::general_purpose::STANDARD};
use longhaul_proto::digest::ContentDigest;
use serde_json::Value;

use super::{client::send, *};

/// A request of a principal, with the headers of its answer.
async fn ask(client: &Client, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String, Value) {
    let bearer = format!("Bearer {}", client.token);
    let mut all = vec![("Authorization", bearer.as_str())];
    all.extend_from_slice(headers);
    let answer = send(client.addr, method, path, &all, body).await;
    let head = answer.head.clone();
    let (status, body) = answer.whole().await;
    (status, head, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

fn path_of(content: &str) -> String {
    format!("/api/v1/blobs/{}", ContentDigest::of(content.as_bytes()))
}

async fn patch(client: &Client, path: &str, offset: &str, piece: &str) -> (u16, String, Value) {
    let headers = [("Content-Type", "application/offset+octet-stream"), ("Upload-Offset", offset)];
    ask(client, "PATCH", path, &headers, piece).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_in_pieces() {
    let world = World::new(quick()).await;
    let (anna, ben) = (world.other("anna").await, world.other("ben").await);
    let (content, path) = ("0123456789", path_of("0123456789"));
    let digest = ContentDigest::of(content.as_bytes()).to_string();
    let metadata = format!("name eA==,sha256 {}", STANDARD.encode(&digest));
    let begin = [("Upload-Length", "10"), ("Upload-Metadata", metadata.as_str())];
    let (status, head, _) = ask(&anna, "POST", "/api/v1/blobs", &begin, "").await;
    assert_eq!(status, 201, "{head}");
    assert!(head.contains(&format!("location: {path}\r\n")) && head.contains("upload-offset: 0\r\n"), "{head}");
    let (status, head, _) = patch(&anna, &path, "0", "0123").await;
    assert!(status == 204 && head.contains("upload-offset: 4\r\n"), "{status} {head}");
    let (status, head, problem) = patch(&anna, &path, "3", "3").await;
    assert_eq!((status, &problem["type"]), (409, &"wrong-offset".into()), "{problem}");
    assert!(head.contains("upload-offset: 4\r\n") && problem["detail"].as_str().unwrap().contains("4 bytes"), "{head}");
    let (status, head, _) = ask(&anna, "HEAD", &path, &[], "").await;
    assert!(status == 200 && head.contains("upload-offset: 4\r\n") && head.contains("upload-length: 10\r\n"), "{head}");
    // Nobody else knows of it, and it cannot be read yet.
    for (client, method) in [(&ben, "HEAD"), (&ben, "GET"), (&ben, "DELETE"), (&anna, "GET")] {
        assert_eq!(ask(client, method, &path, &[], "").await.0, 404, "{method}");
    }
    assert_eq!(patch(&ben, &path, "4", "456789").await.0, 404);
    let (status, head, _) = patch(&anna, &path, "4", "456789").await;
    assert!(status == 204 && head.contains("upload-offset: 10\r\n"), "{status} {head}");
    let (status, _, body) = ask(&anna, "GET", &path, &[("Range", "bytes=2-4")], "").await;
    assert_eq!((status, body), (206, 234.into()));
    let (status, head, _) = ask(&anna, "GET", &path, &[("Range", "bytes=10-")], "").await;
    assert!(status == 416 && head.contains("content-range: bytes */10\r\n"), "{status} {head}");
    // For another principal it is as if it were not there.
    let (status, _, problem) = ask(&ben, "GET", &path, &[], "").await;
    let (_, _, unknown) = ask(&ben, "GET", &path_of("never"), &[], "").await;
    assert_eq!((status, &problem["type"], &unknown["type"]), (404, &"unknown-blob".into(), &"unknown-blob".into()));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_at_once() {
    let world = World::new(quick()).await;
    let anna = world.other("anna").await;
    let path = path_of("display 1");
    assert_eq!(ask(&anna, "PUT", &path, &[], "display 1").await.0, 201);
    assert_eq!(ask(&anna, "PUT", &path, &[], "display 1").await.0, 200, "it was there");
    assert_eq!(ask(&anna, "GET", &path, &[], "").await.2, "display 1");
    // Of a wrong digest nothing stays.
    let path = path_of("right");
    let (status, _, problem) = ask(&anna, "PUT", &path, &[], "wrong").await;
    assert_eq!((status, &problem["type"]), (460, &"wrong-digest".into()), "{problem}");
    assert_eq!(ask(&anna, "HEAD", &path, &[], "").await.0, 404);
    let folder = world.folder.path().join("gateway/blobs");
    let files = std::fs::read_dir(folder).unwrap().flat_map(|below| std::fs::read_dir(below.unwrap().path()).unwrap());
    assert_eq!(files.count(), 1);
    // An upload that its caller ends.
    let length = [("Upload-Length", "5")];
    let (status, _, problem) = ask(&anna, "PUT", &path, &length, "rig").await;
    assert_eq!(status, 400, "{problem}");
    assert!(ask(&anna, "HEAD", &path, &[], "").await.1.contains("upload-offset: 3\r\n"));
    assert_eq!(ask(&anna, "DELETE", &path, &[], "").await.0, 204);
    assert_eq!(ask(&anna, "DELETE", &path, &[], "").await.0, 404);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_says_what_to_do() {
    let options = Options { max_bundle: 10, max_blobs: 1, frontend: quick(), ..Options::default() };
    let world = World::with(options).await;
    let anna = world.other("anna").await;
    let check = async |method, path: &str, headers: &[(&str, &str)], body: &str, status: u16, says: &str| {
        let (found, _, problem) = ask(&anna, method, path, headers, body).await;
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(found == status && detail.contains(says), "{method} {path}: {found} {problem}");
    };
    check("PUT", "/api/v1/blobs/abc", &[], "x", 400, "64 hexadecimal digits").await;
    check("PUT", &path_of("01234567890"), &[], "01234567890", 413, "put the file on the Stata host").await;
    check("POST", "/api/v1/blobs", &[("Upload-Length", "3")], "", 400, "`Upload-Metadata` must have `sha256`").await;
    check("PATCH", &path_of("x"), &[("Upload-Offset", "0")], "x", 415, "application/offset+octet-stream").await;
    check("PUT", &path_of("x"), &[], "x", 201, "").await;
    check("PUT", &path_of("y"), &[], "y", 507, "1 with").await;
    let (_, head, _) = ask(&anna, "OPTIONS", "/api/v1/blobs", &[], "").await;
    assert!(head.contains("tus-max-size: 10\r\n") && head.contains("tus-version: 1.0.0\r\n"), "{head}");
    world.stop().await;
}

/// A submission names what is missing, and takes it once it is there; from its own principal only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submission_names_blobs() {
    let world = World::new(quick()).await;
    let (anna, ben) = (world.other("anna").await, world.other("ben").await);
    let (code, data) = ("display 1", "a,b");
    let digest = |content: &str| ContentDigest::of(content.as_bytes()).to_string();
    let files = serde_json::json!([
        {"path": "main.do", "sha256": digest(code)}, {"path": "data.csv", "sha256": digest(data), "mode": 384}
    ]);
    let bundle = serde_json::json!({"bundle": {"entry": "main.do", "files": files}}).to_string();
    let (status, problem) = anna.api("POST", "/api/v1/runs", &bundle).await;
    assert_eq!((status, &problem["type"]), (409, &"missing-blobs".into()), "{problem}");
    assert_eq!(problem["missing"], serde_json::json!([digest(data), digest(code)]));
    for content in [code, data] {
        assert_eq!(ask(&anna, "PUT", &path_of(content), &[], content).await.0, 201);
    }
    let (status, run) = anna.api("POST", "/api/v1/runs", &bundle).await;
    assert_eq!((status, &run["source"]), (201, &"bundle: main.do".into()), "{run}");
    // A digest is no permission.
    let (status, problem) = ben.api("POST", "/api/v1/runs", &bundle).await;
    assert_eq!((status, problem["missing"].as_array().unwrap().len()), (409, 2), "{problem}");
    // A text by its digest is the text itself.
    let by_digest = serde_json::json!({ "text_sha256": digest(code) }).to_string();
    let (_, first) = anna.api("POST", "/api/v1/runs", &serde_json::json!({ "text": code }).to_string()).await;
    let (status, again) = anna.api("POST", "/api/v1/runs", &by_digest).await;
    assert_eq!((status, &again["joined"], &again["run_id"]), (200, &"unfinished".into(), &first["run_id"]), "{again}");
    // A large text becomes a blob by itself.
    let large = "display 1\n".repeat(10_000);
    let (status, run) = anna.api("POST", "/api/v1/runs", &serde_json::json!({ "text": &large }).to_string()).await;
    assert_eq!((status, &run["source"]), (201, &"text".into()), "{run}");
    assert_eq!(ask(&anna, "GET", &path_of(&large), &[], "").await.0, 200);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_on_after_a_restart() {
    let world = World::new(quick()).await;
    let anna = world.other("anna").await;
    let path = path_of("0123456789");
    assert_eq!(ask(&anna, "PUT", &path, &[("Upload-Length", "10")], "0123").await.0, 400);
    let world = world.again(quick()).await;
    let anna = Client { addr: world.gateway.addr, ..anna };
    assert!(ask(&anna, "HEAD", &path, &[], "").await.1.contains("upload-offset: 4\r\n"));
    assert_eq!(patch(&anna, &path, "4", "456789").await.0, 204);
    assert_eq!(ask(&anna, "GET", &path, &[("Range", "bytes=-2")], "").await.2, 89);
    world.stop().await;
}

/// The bounds are those of all files together, however often one is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submission_may_name_so_many_bytes() {
    for (len, most) in [(60, 100), (17 << 20, 33 << 20)] {
        let options = Options { max_bundle: most, frontend: quick(), ..Options::default() };
        let world = World::with(options).await;
        let anna = world.other("anna").await;
        let (code, data) = ("display 1", "x".repeat(len));
        let digest = |content: &str| ContentDigest::of(content.as_bytes()).to_string();
        for content in [code, &data] {
            assert_eq!(ask(&anna, "PUT", &path_of(content), &[], content).await.0, 201);
        }
        let submit = async |names: &[&str]| {
            let mut files = vec![serde_json::json!({"path": "main.do", "sha256": digest(code)})];
            files.extend(names.iter().map(|name| serde_json::json!({"path": name, "sha256": digest(&data)})));
            let bundle = serde_json::json!({"bundle": {"entry": "main.do", "files": files}});
            anna.api("POST", "/api/v1/runs", &bundle.to_string()).await
        };
        let (status, problem) = submit(&["one.csv", "two.csv"]).await;
        let detail = problem["detail"].as_str().unwrap();
        let says = format!("together {} bytes, and at most {most} are taken", 2 * len + code.len());
        assert!(status == 413 && detail.contains(&says) && detail.contains("on the Stata host"), "{problem}");
        assert_eq!(submit(&["one.csv"]).await.0, 201);
        world.stop().await;
    }
}
