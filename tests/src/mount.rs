//! A small file system of a test's own, that can be filled.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use crate::need;

/// A mounted tmpfs; unmounted when dropped.
#[derive(Debug)]
pub struct Mount(PathBuf);

impl Mount {
    /// Mounts one of `size` (as `mount` takes it) at `at`; `None`, reported as skipped, where mounting is not
    /// permitted.
    pub fn new(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir(at).unwrap();
        let made = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=0755"), "none"])
            .arg(at)
            .output();
        if made.as_ref().is_ok_and(|m| m.status.success()) {
            return Some(Self(at.to_owned()));
        }
        need::skip("tmpfs", &format!("cannot mount one: {made:?}"));
        None
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Takes all remaining space, to the last block.
    pub fn fill(&self) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.0.join("fill")).unwrap();
        for block in [1 << 20, 4096] {
            while file.write_all(&vec![1; block]).is_ok() {}
        }
    }

    /// Frees it.
    pub fn free(&self) {
        fs::remove_file(self.0.join("fill")).unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
