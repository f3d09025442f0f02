//! The containers of `deploy/containers`, on images that are made of a small Debian.

use std::{fs, path::PathBuf, process::Command};

use longhaul_tests::need;

use super::{repository, under_test};

/// What must be here: podman that starts a container, its compose, a Debian to make images of, and what watches.
fn tools() -> Option<(PathBuf, PathBuf, PathBuf, PathBuf)> {
    let root = need::file("podman", "LONGHAUL_TEST_DEBIAN", "ci/debian")?;
    if !need::root() {
        need::skip("podman", "only the superuser gives containers a network of their own here");
        return None;
    }
    for program in ["podman", "runc", "strip", "curl"] {
        need::program("podman", program)?;
    }
    let compose = need::file("podman", "LONGHAUL_TEST_PODMAN_COMPOSE", "ci/venv/bin/podman-compose")?;
    Some((root, compose.parent()?.to_owned(), need::prometheus()?, need::collector()?))
}

/// What the script printed below `== word`.
fn below<'a>(said: &'a str, word: &str) -> &'a str {
    let from = said.split_once(&format!("== {word}\n")).unwrap_or_else(|| panic!("no {word} in {said}")).1;
    from.split_once("\n== ").map_or(from, |(part, _)| part)
}

#[test]
fn a_run_is_made_in_them_and_what_watches_them_sees_it() {
    let Some((root, compose, prometheus, collector)) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = repository().join("tests/tests/system/installed/containers.sh").canonicalize().unwrap();
    let mut unshare = Command::new("timeout");
    unshare.args(["--kill-after=10", "600", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]);
    unshare.args(["--mount-proc", "sh"]).arg(script).arg(repository().canonicalize().unwrap()).arg(under_test());
    unshare.arg(root).arg(prometheus.join("prometheus")).arg(collector).current_dir(folder.path());
    let path = format!("{}:{}", compose.display(), std::env::var("PATH").unwrap_or_default());
    let errors = fs::File::create(folder.path().join("errors")).unwrap();
    let output = unshare.env("PATH", path).stderr(errors).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = fs::read_to_string(folder.path().join("errors")).unwrap();
    if output.status.code() == Some(77) {
        return need::skip("podman", &format!("no container starts here: {errors}"));
    }
    assert!(output.status.success(), "{said}\n{errors}");

    assert!(below(&said, "alone").contains("no agent"), "{said}");
    assert!(below(&said, "hosts").contains("stata1"), "{said}");
    assert!(below(&said, "run").contains("after 5: 15"), "{said}");
    assert!(below(&said, "scraped").contains("\"2\"]"), "gateway and agent are read: {said}");
    let spans = below(&said, "spans");
    assert!(spans.lines().any(|line| line.ends_with(": longhaul.run")), "{spans}");
}
