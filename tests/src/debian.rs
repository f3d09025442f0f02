//! A small Debian below a folder, in which packages are installed: a copy of one that `debootstrap` made, entered with
//! processes and mounts of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::need;

/// A root of a test's own.
#[derive(Debug)]
pub struct Debian {
    root: tempfile::TempDir,
}

impl Debian {
    /// A copy of the root in the folder that this variable names; `None` = it is not here, or this is not the superuser.
    pub fn copy(name: &str, variable: &str, default: &str) -> Option<Self> {
        let from = need::file(name, variable, default)?;
        if !need::root() {
            need::skip(name, "only the superuser can enter another root");
            return None;
        }
        let root = tempfile::Builder::new().prefix("longhaul-debian-").tempdir_in(from.parent()?).unwrap();
        let copied = Command::new("cp").args(["-a", "--reflink=auto"]).arg(from.join(".")).arg(root.path()).status();
        assert!(copied.unwrap().success());
        Some(Self { root })
    }

    /// A path of it, from outside.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.path().join(inside.trim_start_matches('/'))
    }

    /// Runs a script in it; what it printed, both streams, and whether it succeeded. All that it started ends with it.
    pub fn run(&self, script: &str) -> (bool, String) {
        // Mounts of this call's own, and a first process whose end is that of all others.
        let enter = "mount -t proc proc \"$1/proc\" && exec chroot \"$1\" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
                     HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive LONGHAUL_MIN_FREE=1MiB LONGHAUL_MIN_FREE_PERCENT=0 \
                     /bin/sh -ec \"$2\" 2>&1";
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", enter, "sh"]);
        let output = unshare.arg(self.root.path()).arg(script).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    }

    /// Runs a script that must succeed; what it printed.
    pub fn must(&self, script: &str) -> String {
        let (succeeded, said) = self.run(script);
        assert!(succeeded, "{script}\n{said}");
        said
    }

    /// Puts a file into it.
    pub fn put(&self, from: &Path, inside: &str) {
        let to = self.path(inside);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }

    /// Writes a program into it.
    pub fn script(&self, inside: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let to = self.path(inside);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        // One that a package made is replaced, and its file not written over.
        let _ = fs::remove_file(&to);
        fs::write(&to, text).unwrap();
        fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
    }
}
