//! What a part of a test needs from the machine, by name.
//!
//! `corpus` (real logs, `LONGHAUL_CORPUS`), `python-sdk` (the official MCP client, `LONGHAUL_TEST_PYTHON`), `collector`
//! (a real OTLP receiver, `LONGHAUL_TEST_COLLECTOR`), `tmpfs` (the right to mount one), `second-user` (the right to
//! become another user), `cgroup` (the right to make one), `cgroup2` (one of version 2), `second-address` (an address
//! beside loopback), `testssl` (the program of this name), `node` (the official TypeScript SDKs, old and new, in the
//! folder `LONGHAUL_TEST_NODE_MODULES`, and a `node` on the path), `conformance` (the official conformance suite, the
//! Inspector and a Node.js for them, in the folder `LONGHAUL_TEST_CONFORMANCE`), `readstat` (foreign libraries for Stata
//! data files, `LONGHAUL_TEST_PYTHON`), `prometheus` (`prometheus`, `promtool`, `alertmanager`, in the
//! folder `LONGHAUL_TEST_PROMETHEUS`), `pdftoppm` (poppler's, on the path), `parquet` (a foreign library for Parquet,
//! `LONGHAUL_TEST_PYTHON`), `schemathesis` (a foreign program that reads the API's description and tries it,
//! `LONGHAUL_TEST_SCHEMATHESIS`), `nginx` (a real one, with curl and openssl), `systemd` (its programs that read units and lists
//! of users and folders; it need not run), `debian` (a root that debootstrap made, `LONGHAUL_TEST_DEBIAN`, and the right to
//! enter it), `old-debian` (one of an old release, `LONGHAUL_TEST_OLD_DEBIAN`, for a program that was built for an old C
//! library, `LONGHAUL_TEST_ZIGBUILD`), `alertmanager` (the one of that folder, and the right to show it its templates in a mount
//! namespace), `webhook-and-smtp` (a foreign library that verifies webhooks, and an SMTP server, `LONGHAUL_TEST_PYTHON`), `lintian` and
//! `rpmbuild` (the programs of these names), `dpkg-deb` (likewise), `podman` (it, `runc`, `catatonit` and `podman-compose`,
//! `LONGHAUL_TEST_PODMAN_COMPOSE`; with `debian`, of which images are made).

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

/// `st`, schemathesis' program.
pub fn schemathesis() -> Option<PathBuf> {
    file("schemathesis", "LONGHAUL_TEST_SCHEMATHESIS", "ci/venv/bin/st")
}

/// The folder with `prometheus`, `promtool`, and `alertmanager`.
pub fn prometheus() -> Option<PathBuf> {
    file("prometheus", "LONGHAUL_TEST_PROMETHEUS", "ci/prometheus")
}

/// How an Alertmanager is started.
#[derive(Debug)]
pub struct Alertmanager {
    /// The folder with it and with `prometheus`.
    pub tools: PathBuf,
    /// The program to start.
    pub program: PathBuf,
    /// The arguments before its own.
    pub before: Vec<String>,
}

/// Where Debian's Alertmanager reads its own templates, and nowhere else: `templates:` of its configuration adds to them.
const TEMPLATES: &str = "/usr/share/prometheus/alertmanager";

/// An Alertmanager that can start: it sees its templates in a mount namespace of its own, so that nothing has to be
/// installed (that for e-mail is empty, of which no test sends any); where there are no such namespaces, the system must have them.
pub fn alertmanager() -> Option<Alertmanager> {
    let tools = prometheus()?;
    let program = tools.join("alertmanager");
    let templates = tools.join("default.tmpl");
    let trial = ["-rm", "mount", "-t", "tmpfs", "none", "/usr/share"];
    let can = std::process::Command::new("unshare").args(trial).output().is_ok_and(|trial| trial.status.success());
    if can && templates.exists() {
        let script = format!(
            "mount -t tmpfs none /usr/share && mkdir -p {TEMPLATES} && cp \"$1\" {TEMPLATES} && : > {TEMPLATES}/email.tmpl && shift && exec \"$@\""
        );
        let before =
            ["-rm", "sh", "-c", &script, "sh", &templates.display().to_string(), &program.display().to_string()]
                .map(str::to_owned)
                .to_vec();
        return Some(Alertmanager { tools, program: "unshare".into(), before });
    }
    if Path::new(TEMPLATES).join("email.tmpl").exists() {
        return Some(Alertmanager { tools, program, before: Vec::new() });
    }
    skip("alertmanager", &format!("it needs the templates in {TEMPLATES}, or namespaces that this user may make"));
    None
}

/// Whether poppler's `pdftoppm` is on the path, which draws PDFs.
pub fn pdftoppm() -> bool {
    let found = std::process::Command::new("pdftoppm").arg("-v").output().is_ok();
    if !found {
        skip("pdftoppm", "no `pdftoppm` on the path; the package poppler-utils has it");
    }
    found
}

/// A program on the path; `package` has it.
pub fn program(name: &str, package: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let found = env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file());
    if found.is_none() {
        skip(name, &format!("no `{name}` on the path: the package {package} has it"));
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
    program("testssl", "testssl.sh, with bsdextrautils,")
}
