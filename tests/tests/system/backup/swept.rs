//! What the gateway deletes while a backup is made: the ledger in it names nothing that is missing.

use std::{fs, path::Path};

use longhaul_proto::digest::ContentDigest;
use longhaul_tests::{lab, lab::ready, wait};
use reqwest::Method;
use sqlx::{Row, SqlitePool};

use super::{Held, path_of, restore, told};

/// The files that a restored ledger names and that are not there.
async fn missing(data: &Path) -> Vec<String> {
    let pool = SqlitePool::connect(&format!("sqlite:{}", data.join("gateway/ledger.sqlite").display())).await.unwrap();
    let rows = sqlx::query("SELECT sha256, file FROM blobs").fetch_all(&pool).await.unwrap();
    pool.close().await;
    let names = rows.iter().map(|row| (row.get::<String, _>(0), row.get::<String, _>(1)));
    let paths = names.map(|(digest, file)| format!("gateway/blobs/{}/{digest}.{file}", &digest[..2]));
    paths.filter(|path| !data.join(path).exists()).collect()
}

/// An upload is swept after the ledger was copied, and another one stays; how many files are missing then.
async fn swept(bug: &str) -> usize {
    let lab = lab!();
    let mut gateway = lab.gateway().await;
    let put = async |content: &'static str| {
        let path = format!("/api/v1/blobs/{}", ContentDigest::of(content.as_bytes()));
        let answer = gateway.api.request(Method::PUT, &path).body(content).send().await.unwrap();
        assert!(answer.status().is_success());
    };
    put("swept").await;
    let backups = lab.path().join("backups");
    let held = Held::at("backup.ledger_copied", &lab, &gateway, &backups, bug).await;
    // A start sweeps at once.
    gateway.daemon.terminate().await;
    gateway.daemon.spec.env.push(("LONGHAUL_KEEP_UPLOADS".into(), "1ms".into()));
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    let digest = ContentDigest::of(b"swept").to_string();
    let folder = gateway.daemon.data.join("gateway/blobs").join(&digest[..2]);
    wait::until_now(wait::SOON, "it is swept", || fs::read_dir(&folder).unwrap().next().is_none().then_some(())).await;
    let backup = told(&held.go_on().await);
    assert_eq!(backup["lacking"], serde_json::json!([]));
    let data = lab.path().join("restored");
    assert_eq!(restore(&lab, &path_of(&backup), &data).await.status, 0);
    missing(&data).await.len()
}

#[tokio::test]
async fn what_is_swept_while_a_backup_is_made_is_not_named_in_it() {
    assert_eq!(swept("").await, 0);
    // The control: the first copy of the ledger is kept.
    assert_eq!(swept("bug=backup_swept_untold").await, 1);
}

/// A file that the gateway itself has lost does not keep its backup from being made, and is told.
#[tokio::test]
async fn what_the_gateway_lacks_is_told() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let digest = ContentDigest::of(b"lost").to_string();
    let answer = gateway.api.request(Method::PUT, &format!("/api/v1/blobs/{digest}")).body("lost").send().await;
    assert!(answer.unwrap().status().is_success());
    let folder = gateway.daemon.data.join("gateway/blobs").join(&digest[..2]);
    fs::remove_dir_all(folder).unwrap();
    let backups = lab.path().join("backups");
    let backup = super::back_up(&lab, &gateway, &backups, &[]).await;
    let lacking = backup["lacking"].as_array().unwrap();
    assert!(lacking.len() == 1 && lacking[0].as_str().unwrap().contains(&digest), "{backup:#}");
    let text = lab.run(["backup", backups.to_str().unwrap(), "--data", gateway.daemon.data.to_str().unwrap()]).await;
    assert!(text.status == 0 && text.err.contains("the gateway itself does not have 1 file"), "{text:#?}");
}
