//! All that a data folder has is in a backup, or is named here as what is not; modes are kept; what has not changed takes
//! no room again; the oldest go.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use longhaul_proto::{
    api::{RunDoFiles, RunFiles, SubmitRequest},
    state::RunState,
};
use longhaul_tests::{
    api::{Api, read},
    lab,
    lab::{Gateway, Lab},
    wait,
};
use reqwest::Method;

use super::{back_up, names, open_to_others, path_of, restore, tree};

/// What of a gateway's data folder is not in a backup, with the reason.
const LEFT: [(&str, &str); 6] = [
    ("endpoint.json", "where the running process is reached"),
    ("gateway/lock", "held by the running process"),
    ("gateway/ledger.sqlite-wal", "the ledger is copied whole, by SQLite"),
    ("gateway/ledger.sqlite-shm", "likewise"),
    ("gateway/restored.json", "of a restore before; a new one has its own"),
    ("logins.json", "a person's tokens for other gateways"),
];

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    tree(folder).into_iter().filter(|(_, meta)| meta.is_file()).map(|(path, _)| path).collect()
}

/// Runs `text`; the log, and how many files the run left of which the gateway keeps a copy. An upload that is under way has a
/// file too, which no backup has, so it is waited for until none is.
async fn run(lab: &Lab, api: &Api, text: &str) -> (Vec<u8>, usize) {
    let request = SubmitRequest { text: Some(text.to_owned()), again: true, ..SubmitRequest::default() };
    let run = api.submit(&request).await.unwrap().run.run_id;
    let end = api.wait_end(run).await;
    assert_eq!(end.state, RunState::Succeeded, "{end:#?} {}", lab.path().display());
    let path = |what: &str| format!("/api/v1/runs/{run}/{what}");
    let files = wait::until(wait::SOON, "the gateway has what the run executed and left", async || {
        let code: RunDoFiles = read(api.request(Method::GET, &path("do-files")).send().await.unwrap()).await.unwrap();
        let left: RunFiles = read(api.request(Method::GET, &path("files")).send().await.unwrap()).await.unwrap();
        let all = code.complete && left.complete && code.do_files.iter().all(|file| file.kept);
        (all && left.files.iter().all(|file| file.kept)).then_some(left.files.len())
    })
    .await;
    (api.output(run, "log").await.unwrap(), files)
}

/// A gateway that has made all that it makes: with TLS, runs with files that they left, and a token in use.
async fn busy(lab: &Lab) -> (Gateway, longhaul_tests::daemon::Daemon) {
    let gateway = lab.serving("gateway", &["gateway", "--tls", "auto"]).await;
    let agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let text = "file open x using \"made.txt\", write text\nfile write x \"made\"\nfile close x\n";
    assert_eq!(run(lab, &gateway.api, text).await.1, 1);
    (gateway, agent)
}

#[tokio::test]
async fn every_file_of_a_gateway_is_in_a_backup_or_named_as_left_out() {
    let lab = lab!();
    let (mut gateway, _agent) = busy(&lab).await;
    // What a stop writes is there too.
    gateway.daemon.terminate().await;
    let made = back_up(&lab, &gateway, &lab.path().join("backups"), &[]).await;
    let there = files(&gateway.daemon.data);
    let copied = files(&path_of(&made).join("data"));
    let left: BTreeSet<PathBuf> = there.difference(&copied).cloned().collect();
    let unknown: Vec<_> = left.iter().filter(|path| !LEFT.iter().any(|(name, _)| path == &Path::new(name))).collect();
    assert!(unknown.is_empty(), "neither in a backup nor named as left out: {unknown:?}");
    for due in [
        "gateway-key",
        "ca-key",
        "seal-key",
        "task-key",
        "notify-key",
        "join-secret",
        "credentials.json",
        "gateway/audit-head",
    ] {
        assert!(copied.contains(Path::new(due)), "{due}: {copied:?}");
    }
    assert!(there.is_superset(&copied), "nothing is in it that was not there");
    let data = lab.path().join("restored");
    assert_eq!(restore(&lab, &path_of(&made), &data).await.status, 0);
    let mut restored = files(&data);
    assert!(restored.remove(Path::new("gateway/restored.json")));
    assert_eq!(restored, copied);
    for folder in [lab.path().join("backups"), data.clone()] {
        assert!(open_to_others(&folder).is_empty(), "{:?}", open_to_others(&folder));
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    }
    for path in &copied {
        assert!(fs::read(data.join(path)).unwrap() == fs::read(path_of(&made).join("data").join(path)).unwrap());
    }
}

#[tokio::test]
async fn what_has_not_changed_takes_no_room_again_and_the_oldest_go() {
    let lab = lab!();
    let (gateway, _agent) = busy(&lab).await;
    let backups = lab.path().join("backups");
    let first = back_up(&lab, &gateway, &backups, &[]).await;
    assert_eq!((&first["linked_files"], &first["removed"]), (&serde_json::json!(0), &serde_json::json!([])));
    let (log, _) = run(&lab, &gateway.api, "display \"another\"\n").await;
    let second = back_up(&lab, &gateway, &backups, &[]).await;
    assert!(second["linked_files"].as_u64().unwrap() >= 3, "the first run's log and files: {second:#}");
    let inode = |backup: &Path, path: &Path| fs::metadata(backup.join("data").join(path)).ok().map(|meta| meta.ino());
    let linked: Vec<PathBuf> = files(&path_of(&first).join("data"))
        .into_iter()
        .filter(|path| inode(&path_of(&first), path) == inode(&path_of(&second), path))
        .collect();
    assert_eq!(linked.len() as u64, second["linked_files"].as_u64().unwrap(), "{linked:?}");
    assert!(linked.iter().all(|path| path.starts_with("gateway/blobs") || path.starts_with("gateway/mirror")));

    // Another folder in there is no backup, and stays.
    fs::create_dir(backups.join("longhaul-notes")).unwrap();
    let third = back_up(&lab, &gateway, &backups, &["--keep", "2"]).await;
    assert_eq!(third["removed"], serde_json::json!([first["path"]]));
    let name = |made: &serde_json::Value| path_of(made).file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(names(&backups), [name(&second), name(&third), "longhaul-notes".to_owned()]);
    for made in [&second, &third] {
        let verified = lab.run(["backup", "verify", "--json", path_of(made).to_str().unwrap()]).await;
        assert!(verified.status == 0 && verified.out.contains("\"whole\":true"), "{verified:#?}");
    }
    // A restored gateway is independent of the backup.
    let data = lab.path().join("restored");
    assert_eq!(restore(&lab, &path_of(&third), &data).await.status, 0);
    assert!(tree(&data).iter().filter(|(_, meta)| meta.is_file()).all(|(_, meta)| meta.nlink() == 1));
    let logs = files(&data.join("gateway/mirror"));
    assert!(logs.iter().any(|path| fs::read(data.join("gateway/mirror").join(path)).unwrap() == log));
}
