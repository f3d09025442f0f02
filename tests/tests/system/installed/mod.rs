//! The program as people install it: each kind of package is made from the program under test, installed where nothing of
//! it is, and does the README's main job there.

mod containers;
mod deb;
mod rpm;
mod wheel;

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

/// The repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The program under test.
fn under_test() -> PathBuf {
    env!("CARGO_BIN_EXE_longhaul-under-test").into()
}

/// The Debian package of the program under test, made once.
fn debian_package() -> &'static Path {
    static MADE: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages");
        made("deb", &under_test(), &folder, "1")
    });
    &MADE
}

/// Makes a package by one of the scripts in `deploy/packages`; where it is.
fn made(script: &str, program: &Path, into: &Path, revision: &str) -> PathBuf {
    let mut command = Command::new(repository().join("deploy/packages").join(script));
    // Packed in little time: what is tried is what is in it.
    command.env("LONGHAUL_DEB_COMPRESSION", "-Zgzip -z1").env("LONGHAUL_WHEEL_COMPRESSION", "1");
    let output = command.env("LONGHAUL_REVISION", revision).arg(program).arg(into).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().into()
}
