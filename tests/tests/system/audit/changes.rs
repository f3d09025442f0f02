//! A log that was changed is found, and what was changed is named.

use std::{
    fs,
    path::{Path, PathBuf},
};

use longhaul_proto::api::SubmitRequest;
use longhaul_tests::{lab, lab::Lab};

use super::{lines, of, wrong};

/// A log of several files, as its gateway left it.
async fn log(lab: &mut Lab, keep: &str) -> PathBuf {
    lab.env("LONGHAUL_AUDIT_FILE", "6KiB").env("LONGHAUL_AUDIT_KEEP", keep);
    let mut gateway = lab.gateway().await;
    for n in 0..60 {
        let text = Some(format!("display {n}"));
        gateway.api.submit(&SubmitRequest { text, ..SubmitRequest::default() }).await.unwrap();
    }
    gateway.daemon.terminate().await;
    gateway.daemon.data.clone()
}

fn files(data: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(data.join("audit")).unwrap().map(|file| file.unwrap().path()).collect();
    all.sort();
    all
}

/// A copy of the log in a data folder of its own.
fn copy(data: &Path, to: &Path) -> PathBuf {
    for folder in ["audit", "gateway"] {
        fs::create_dir_all(to.join(folder)).unwrap();
    }
    for file in files(data) {
        fs::copy(&file, to.join("audit").join(file.file_name().unwrap())).unwrap();
    }
    fs::copy(data.join("gateway/audit-head"), to.join("gateway/audit-head")).unwrap();
    to.to_owned()
}

fn edit(file: &Path, change: impl Fn(Vec<String>) -> Vec<String>) {
    let text = fs::read_to_string(file).unwrap();
    let lines = change(text.lines().map(str::to_owned).collect());
    fs::write(file, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

#[tokio::test]
async fn every_change_is_found_and_named() {
    let mut lab = lab!();
    let data = log(&mut lab, "1MiB").await;
    assert!(files(&data).len() >= 4, "{:?}", files(&data));
    assert_eq!(wrong(&lab, &data).await, None, "the control: it is whole");
    let damage = async |name: &str, hurt: &dyn Fn(&[PathBuf]), words: &[&str]| {
        let hurt_data = copy(&data, &lab.path().join(name));
        hurt(&files(&hurt_data));
        let found = wrong(&lab, &hurt_data).await.unwrap_or_else(|| panic!("{name} is not found"));
        assert!(words.iter().all(|word| found.contains(word)), "{name}: {found}");
    };
    let second = |all: &[PathBuf], change: &dyn Fn(Vec<String>) -> Vec<String>| edit(&all[1], change);
    damage(
        "a changed line",
        &|all| {
            second(all, &|mut lines| {
                lines[2] = lines[2].replace("\"event\":\"submit\"", "\"event\":\"cancel\"");
                lines
            });
        },
        &["audit-000002.jsonl, line 3", "was changed"],
    )
    .await;
    damage(
        "a removed line",
        &|all| {
            second(all, &|mut lines| {
                lines.remove(2);
                lines
            });
        },
        &["audit-000002.jsonl, line 3", "are missing before it"],
    )
    .await;
    damage(
        "two lines that changed places",
        &|all| {
            second(all, &|mut lines| {
                lines.swap(2, 3);
                lines
            });
        },
        &["audit-000002.jsonl, line 3"],
    )
    .await;
    damage("a removed file", &|all| fs::remove_file(&all[1]).unwrap(), &["audit-000002.jsonl is missing"]).await;
    damage(
        "the first file removed",
        &|all| fs::remove_file(&all[0]).unwrap(),
        &["audit-000002.jsonl is the first file", "removed for room"],
    )
    .await;
    damage(
        "a file that was cut",
        &|all| {
            second(all, &|mut lines| {
                lines.pop();
                lines
            });
        },
        &["audit-000003.jsonl, line 1", "missing before it"],
    )
    .await;
    damage(
        "a cut end",
        &|all| {
            edit(all.last().unwrap(), |mut lines| {
                lines.pop();
                lines
            });
        },
        &["the end is missing"],
    )
    .await;
    damage("the last file removed", &|all| fs::remove_file(all.last().unwrap()).unwrap(), &["the end is missing"])
        .await;
    damage("all removed", &|all| all.iter().for_each(|file| fs::remove_file(file).unwrap()), &["gone"]).await;
    damage(
        "the head removed",
        &|all| fs::remove_file(all[0].parent().unwrap().parent().unwrap().join("gateway/audit-head")).unwrap(),
        &["audit-head is missing"],
    )
    .await;
}

#[tokio::test]
async fn the_oldest_files_make_room_and_the_rest_is_whole() {
    let mut lab = lab!();
    let data = log(&mut lab, "20KiB").await;
    let kept = files(&data);
    let size: u64 = kept.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!(!kept[0].ends_with("audit-000001.jsonl") && size < 32 << 10, "{size} bytes in {kept:?}");
    assert_eq!(wrong(&lab, &data).await, None);
    let all = lines(&lab, &data, &[]).await;
    assert!(!of(&all, "removed").is_empty(), "a line says which are gone");
    fs::remove_file(&kept[0]).unwrap();
    let found = wrong(&lab, &data).await.expect("one more is gone than that");
    assert!(found.contains("is the first file"), "{found}");
}

/// A start on a log that was cut says so, in the log itself, and numbers no line twice.
#[tokio::test]
async fn a_gateway_notes_that_its_log_was_cut() {
    let mut lab = lab!();
    lab.env("LONGHAUL_AUDIT_FILE", "1MiB");
    let mut gateway = lab.gateway().await;
    gateway.daemon.terminate().await;
    let data = gateway.daemon.data.clone();
    edit(&files(&data)[0], |mut lines| {
        lines.pop();
        lines
    });
    gateway.daemon.restart();
    longhaul_tests::lab::ready(&mut gateway.daemon).await;
    gateway.daemon.terminate().await;
    let all = lines(&lab, &data, &[]).await;
    assert!(of(&all, "broken")[0]["detail"]["words"].as_str().unwrap().contains("the end of the audit log is missing"));
    assert!(wrong(&lab, &data).await.unwrap().contains("are missing before it"));
}
