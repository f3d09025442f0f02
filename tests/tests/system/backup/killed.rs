//! A backup that is killed in the middle leaves nothing that looks like one, and the next one works; so does a restore.

use longhaul_tests::{
    lab,
    lab::{finish, ready},
};

use super::{back_up, command, lose, names, path_of, restore};

#[tokio::test]
async fn a_backup_that_is_killed_is_none() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let backups = lab.path().join("backups");
    for point in ["backup.ledger_copied", "backup.file", "backup.before_rename"] {
        let killed = finish(command(&lab, &gateway, &backups, &[], &format!("point={point}:kill"))).await;
        assert_eq!(killed.status, -1, "{point}: {killed:#?}");
        let left = names(&backups);
        assert!(left.len() == 1 && left[0].ends_with(".unfinished"), "{point}: {left:?}");
        let path = backups.join(&left[0]);
        for args in [vec!["backup", "verify"], vec!["restore", "--into", "new"]] {
            let mut refused = lab.command(&args);
            refused.arg(&path);
            let refused = finish(refused).await;
            assert!(refused.status == 4 && refused.err.contains("broken off before it was whole"), "{refused:#?}");
        }
    }
    let made = back_up(&lab, &gateway, &backups, &[]).await;
    let name = path_of(&made).file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(names(&backups), [name], "what the killed ones left is gone");
    let verified = lab.run(["backup", "verify", path_of(&made).to_str().unwrap()]).await;
    assert!(verified.status == 0 && verified.out.contains(": whole: made at "), "{verified:#?}");

    // The control: one that is written under its last name looks like one.
    let killed = command(&lab, &gateway, &backups, &[], "bug=backup_in_place;point=backup.before_rename:kill");
    assert_eq!(finish(killed).await.status, -1);
    assert!(names(&backups).iter().all(|name| name.starts_with("longhaul-")) && names(&backups).len() == 2);
}

/// An error, unlike SIGKILL, leaves nothing at all.
#[tokio::test]
async fn a_backup_for_which_the_disk_has_no_room_leaves_nothing() {
    let lab = lab!();
    let gateway = lab.gateway().await;
    let backups = lab.path().join("backups");
    for (faults, words) in [
        ("point=backup.room:error=enospc", "has 0 B free, and this needs "),
        ("point=backup.write:error=enospc", "nothing is left of what was not whole: No space left on device"),
    ] {
        let refused = finish(command(&lab, &gateway, &backups, &[], faults)).await;
        assert!(refused.status == 4 && refused.err.contains(words), "{refused:#?}");
        assert!(names(&backups).is_empty(), "{:?}", names(&backups));
    }
    back_up(&lab, &gateway, &backups, &[]).await;
}

#[tokio::test]
async fn no_gateway_starts_on_half_a_restore() {
    let lab = lab!();
    let mut gateway = lab.gateway().await;
    let made = back_up(&lab, &gateway, &lab.path().join("backups"), &[]).await;
    lose(&mut gateway);
    let mut killed = lab.command(["restore"]);
    killed.arg(path_of(&made)).arg("--into").arg(&gateway.daemon.data);
    killed.env("LONGHAUL_FAULTS", "point=restore.before_rename:kill");
    assert_eq!(finish(killed).await.status, -1);
    gateway.daemon.restart();
    assert_eq!(gateway.daemon.ended().await.code(), Some(4));
    let printed = gateway.daemon.printed();
    assert!(printed.contains("did not come to its end") && printed.contains("restore again"), "{printed}");
    let again = restore(&lab, &path_of(&made), &gateway.daemon.data).await;
    assert_eq!(again.status, 0, "{again:#?}");
    gateway.daemon.restart();
    ready(&mut gateway.daemon).await;
    assert!(gateway.api.list().await.unwrap().runs.is_empty());
}
