//! What is refused, each with what to do: wrong places, links, damaged backups, those of a newer program.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use longhaul_proto::{api::SubmitRequest, digest::ContentDigest};
use longhaul_tests::{
    lab,
    lab::{Gateway, Lab, Ran, finish},
};

use super::{back_up, command, names, path_of, restore};

fn refused(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.status, 4, "{ran:#?}");
    for words in words {
        assert!(ran.err.contains(words), "`{words}`: {ran:#?}");
    }
}

#[tokio::test]
async fn a_wrong_place_is_refused_with_what_to_do() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let at = |to: PathBuf| finish(command(&lab, &gateway, &to, &[], ""));
    refused(&at(gateway.daemon.data.join("backups")).await, &["lies inside the data folder", "another disk"]);
    // Also by a link that leads there.
    symlink(&gateway.daemon.data, lab.path().join("link")).unwrap();
    refused(&at(lab.path().join("link/backups")).await, &["lies inside the data folder"]);
    let file = lab.file("a-file", "");
    refused(&at(file).await, &["is not a folder: name the folder that is to hold the backups"]);
    let open = lab.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    refused(&at(open).await, &["can be written to by other users (mode 777)", "chmod go-w"]);
    let elsewhere = lab.run(["backup", "to", "--data", lab.path().join("no-gateway").to_str().unwrap()]).await;
    refused(&elsewhere, &["no gateway has kept its record in", "name the gateway's data folder with --data"]);
    assert!(!lab.work().join("to").exists(), "nothing was made");
    for bad in [&["backup"][..], &["backup", "to", "--keep", "0"], &["restore", "from"]] {
        assert_eq!(lab.run(bad).await.status, 2, "{bad:?}");
    }
}

#[tokio::test]
async fn a_link_out_of_the_data_folder_is_not_followed() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let (secret, backups) = (lab.file("secret", "not the gateway's\n"), lab.path().join("backups"));
    let place = gateway.daemon.data.join("ca.pem");
    let _ = fs::remove_file(&place);
    symlink(&secret, &place).unwrap();
    let ran = finish(command(&lab, &gateway, &backups, &[], "")).await;
    refused(&ran, &[place.to_str().unwrap(), "is a link or no plain file, and is not followed"]);
    assert!(names(&backups).is_empty());
    // The control.
    let ran = finish(command(&lab, &gateway, &backups, &[], "bug=backup_follows_links")).await;
    let copied = path_of(&super::told(&ran)).join("data/ca.pem");
    assert_eq!(fs::read_to_string(copied).unwrap(), "not the gateway's\n");
    // Nor in the place of a folder.
    fs::remove_file(&place).unwrap();
    let audit = gateway.daemon.data.join("audit");
    fs::rename(&audit, lab.path().join("moved")).unwrap();
    symlink(lab.path().join("moved"), &audit).unwrap();
    refused(&finish(command(&lab, &gateway, &backups, &[], "")).await, &["audit", "is a link"]);
}

/// A backup with a run and an upload in it.
async fn made(lab: &Lab) -> (Gateway, PathBuf) {
    let gateway = lab.gateway().await;
    let _agent = lab.agent("stata1", &gateway, &[]);
    gateway.api.wait_host("stata1", "up").await;
    let request = SubmitRequest { text: Some("display 1\n".to_owned()), ..SubmitRequest::default() };
    let run = gateway.api.submit(&request).await.unwrap().run.run_id;
    gateway.api.wait_end(run).await;
    let made = back_up(lab, &gateway, &lab.path().join("backups"), &[]).await;
    (gateway, path_of(&made))
}

fn copy(from: &Path, to: &Path) {
    let ran = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(ran.success());
}

/// Changes one byte.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_damaged_backup_is_refused_and_what_is_damaged_named() {
    let lab = lab!();
    let (_gateway, good) = made(&lab).await;
    let mirror = super::tree(&good.join("data/gateway/mirror")).into_iter().find(|(path, _)| path.ends_with("log"));
    let log = Path::new("data/gateway/mirror").join(mirror.unwrap().0);
    type Harm = fn(&Path);
    let remove: Harm = |path| fs::remove_file(path).unwrap();
    let longer: Harm = |path| fs::write(path, [fs::read(path).unwrap(), b"more".to_vec()].concat()).unwrap();
    let harms: [(&Path, Harm, &str); 8] = [
        (&log, damage, "log: its content is another"),
        (&log, remove, "log: missing"),
        (&log, longer, "bytes, and had"),
        (Path::new("data/gateway/ledger.sqlite"), damage, "gateway/ledger.sqlite: its content is another"),
        (Path::new("data/gateway-key"), damage, "gateway-key: its content is another"),
        (Path::new("data/audit/audit-000001.jsonl"), damage, "audit/audit-000001.jsonl: its content is another"),
        (Path::new("files.jsonl"), longer, "files.jsonl: not as SHA256SUMS has it"),
        (Path::new("SHA256SUMS"), remove, "backup.json: not as SHA256SUMS has it"),
    ];
    for (n, (path, harm, words)) in harms.into_iter().enumerate() {
        let (bad, into) = (lab.path().join(format!("bad{n}")), lab.path().join(format!("into{n}")));
        copy(&good, &bad);
        harm(&bad.join(path));
        let verified = lab.run(["backup", "verify", bad.to_str().unwrap()]).await;
        assert!(verified.status == 4 && verified.out.contains(words), "{words}: {verified:#?}");
        let ran = restore(&lab, &bad, &into).await;
        refused(&ran, &["is damaged, and nothing was restored", words]);
        assert!(!into.exists());
    }
    // The control: without the comparison the damage is restored.
    let (bad, into) = (lab.path().join("bad0"), lab.path().join("into0"));
    let mut unverified = lab.command(["restore", "--into"]);
    unverified.arg(&into).arg(&bad).env("LONGHAUL_FAULTS", "bug=restore_unverified");
    assert_eq!(finish(unverified).await.status, 0);
    let below = log.strip_prefix("data").unwrap();
    assert!(fs::read(into.join(below)).unwrap() != fs::read(good.join(&log)).unwrap());
}

/// Writes another `backup.json`, with the sums that go with it.
fn with_header(backup: &Path, from: &str, to: &str) {
    let header = fs::read_to_string(backup.join("backup.json")).unwrap();
    assert!(header.contains(from), "{header}");
    let header = header.replace(from, to);
    fs::write(backup.join("backup.json"), &header).unwrap();
    let files = fs::read(backup.join("files.jsonl")).unwrap();
    let (header, files) = (ContentDigest::of(header.as_bytes()), ContentDigest::of(&files));
    fs::write(backup.join("SHA256SUMS"), format!("{header}  backup.json\n{files}  files.jsonl\n")).unwrap();
}

#[tokio::test]
async fn a_newer_programs_backup_and_a_used_folder_are_refused() {
    let lab = lab!();
    let (gateway, good) = made(&lab).await;
    let header: serde_json::Value = serde_json::from_slice(&fs::read(good.join("backup.json")).unwrap()).unwrap();
    let format = header["ledger_format"].as_i64().unwrap();
    for (n, (from, to, words)) in [
        (
            format!("\"ledger_format\": {format}"),
            "\"ledger_format\": 999".to_owned(),
            "with a ledger of the format 999",
        ),
        ("\"format\": 1".to_owned(), "\"format\": 2".to_owned(), "with the form of backups 2"),
    ]
    .into_iter()
    .enumerate()
    {
        let newer = lab.path().join(format!("newer{n}"));
        copy(&good, &newer);
        with_header(&newer, &from, &to);
        let ran = restore(&lab, &newer, &lab.path().join("new")).await;
        refused(&ran, &[words, "restore it with that version or a newer one"]);
    }
    assert!(!lab.path().join("new").exists());
    // A folder in use, one with a file, the folder of backups, and what is none.
    let ran = restore(&lab, &good, &gateway.daemon.data).await;
    refused(&ran, &["is not empty (it has `", "move away what is there"]);
    fs::create_dir(lab.path().join("used")).unwrap();
    fs::write(lab.path().join("used/notes"), "").unwrap();
    refused(&restore(&lab, &good, &lab.path().join("used")).await, &["is not empty (it has `notes`)"]);
    let several = restore(&lab, good.parent().unwrap(), &lab.path().join("new")).await;
    refused(&several, &["it holds backups; the newest is", good.to_str().unwrap()]);
    refused(
        &restore(&lab, &lab.work(), &lab.path().join("new")).await,
        &["is no backup: there is no backup.json in it"],
    );
    refused(&restore(&lab, Path::new("/nowhere"), &lab.path().join("new")).await, &["there is no such folder"]);
    // An empty folder is as good as none.
    fs::create_dir(lab.path().join("empty")).unwrap();
    assert_eq!(restore(&lab, &good, &lab.path().join("empty")).await.status, 0);
    // Two gateways are not started on one folder's key by mistake: the words say what comes next.
    let mut words = lab.command(["restore", "--into", "again"]);
    words.arg(&good);
    let words = finish(words).await;
    for needle in
        ["start the gateway as before, under the same address", "Agents need nothing", "restored.json", "revoke"]
    {
        assert!(words.status == 0 && words.err.contains(needle), "{needle}: {words:#?}");
    }
}
