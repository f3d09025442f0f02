//! What a part of a test needs from the machine, by name.
//!
//! `corpus` (real logs, `LONGHAUL_CORPUS`), `python-sdk` (the official MCP client, `LONGHAUL_TEST_PYTHON`), `collector`
//! (a real OTLP receiver, `LONGHAUL_TEST_COLLECTOR`), `tmpfs` (the right to mount one), `second-user` (the right to
//! become another user), `cgroup` (the right to make one), `cgroup2` (one of version 2), `second-address` (an address
//! beside loopback), `testssl` (the program of this name), `node` (the official TypeScript SDKs, old and new, in the
//! folder `LONGHAUL_TEST_NODE_MODULES`, and a `node` on the path), `conformance` (the official conformance suite, the
//! Inspector and a Node.js for them, in the folder `LONGHAUL_TEST_CONFORMANCE`), `readstat` (foreign libraries for Stata
//! data files, `LONGHAUL_TEST_PYTHON`), `pdftoppm` (poppler's, on the path), `parquet` (a foreign library for Parquet,
//! `LONGHAUL_TEST_PYTHON`), `nginx` (a real one, with curl and openssl), `systemd` (its programs that read units and lists
//! of users and folders; it need not run).

use std::{
    env,
    path::{Path, PathBuf},
};

/// Whether `LONGHAUL_REQUIRE` names this need.
pub fn required(name: &str) -> bool {
    env::var("LONGHAUL_REQUIRE")
        .is_ok_and(|list| list.split(',').any(|word| matches!(word.trim(), w if w == name || w == "all")))
}

/// Reports that a part is skipped.
///
/// # Panics
/// When `LONGHAUL_REQUIRE` names it.
pub fn skip(name: &str, why: &str) {
    assert!(!required(name), "{name} is required and missing: {why}");
    println!("skipped: {name}: {why}");
}

/// The path that an environment variable names, or the given place below the target folder where `.ci/run` puts it.
pub fn file(name: &str, variable: &str, default: &str) -> Option<PathBuf> {
    let path = env::var_os(variable)
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target").join(default));
    if path.exists() {
        return Some(path);
    }
    skip(name, &format!("{} does not exist; set {variable}, or run .ci/run once", path.display()));
    None
}

/// The official Python SDK's interpreter.
pub fn python_sdk() -> Option<PathBuf> {
    file("python-sdk", "LONGHAUL_TEST_PYTHON", "ci/venv/bin/python")
}

/// The interpreter with pandas and pyreadstat, which read and write Stata data files.
pub fn readstat() -> Option<PathBuf> {
    let python = file("readstat", "LONGHAUL_TEST_PYTHON", "ci/venv/bin/python")?;
    let has = std::process::Command::new(&python).args(["-c", "import pandas, pyreadstat"]).output();
    if has.is_ok_and(|has| has.status.success()) {
        return Some(python);
    }
    skip("readstat", "that Python has no pandas and pyreadstat; .ci/run installs them");
    None
}

/// Whether the interpreter of [`readstat`] has fastparquet, which reads Parquet.
pub fn parquet() -> bool {
    let Some(python) = file("parquet", "LONGHAUL_TEST_PYTHON", "ci/venv/bin/python") else { return false };
    let has = std::process::Command::new(&python).args(["-c", "import fastparquet"]).output();
    let has = has.is_ok_and(|has| has.status.success());
    if !has {
        skip("parquet", "that Python has no fastparquet; .ci/run installs it");
    }
    has
}

/// The folder with the official TypeScript SDKs; `node` is there too.
pub fn node_modules() -> Option<PathBuf> {
    let modules = file("node", "LONGHAUL_TEST_NODE_MODULES", "ci/node/node_modules")?;
    let version = std::process::Command::new("node").arg("--version").output();
    if version.is_ok_and(|v| v.status.success()) {
        return Some(modules);
    }
    skip("node", "no `node` on the path");
    None
}

/// The folder with the official conformance suite, the Inspector, and a Node.js for both.
pub fn conformance() -> Option<PathBuf> {
    file("conformance", "LONGHAUL_TEST_CONFORMANCE", "ci/conformance/node_modules")
}

/// A real OTLP receiver, `rotel`.
pub fn collector() -> Option<PathBuf> {
    file("collector", "LONGHAUL_TEST_COLLECTOR", "ci/rotel-agent")
}

/// Whether poppler's `pdftoppm` is on the path, which draws PDFs.
pub fn pdftoppm() -> bool {
    let found = std::process::Command::new("pdftoppm").arg("-v").output().is_ok();
    if !found {
        skip("pdftoppm", "no `pdftoppm` on the path; the package poppler-utils has it");
    }
    found
}

/// Whether this process may do what only the superuser may.
pub fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// An address of this machine beside loopback.
pub fn second_address() -> Option<std::net::Ipv4Addr> {
    // No packet is sent: the system only chooses a way, and with it an address.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok();
    let chosen = socket.and_then(|socket| {
        socket.connect("192.0.2.254:9").ok()?;
        socket.local_addr().ok()
    });
    match chosen.map(|address| address.ip()) {
        Some(std::net::IpAddr::V4(address)) if !address.is_loopback() => Some(address),
        _ => {
            skip("second-address", "this machine has no address beside loopback");
            None
        }
    }
}

/// `testssl`, which tries what a TLS server offers.
pub fn testssl() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let found = env::split_paths(&path).map(|folder| folder.join("testssl")).find(|program| program.is_file());
    if found.is_none() {
        skip("testssl", "no `testssl` on the path: `apt-get install testssl.sh bsdextrautils`");
    }
    found
}
