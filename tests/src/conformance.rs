//! The official conformance suite and the Inspector, as programs written by others.
//!
//! The suite writes one `checks.json` for every scenario; its own exit status leaves out scenarios that a revision does
//! not score, such as all of tasks. So all checks are counted here, and a scenario that did not run is reported by its
//! name.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use tokio::process::Command;

use crate::{
    lab::{Lab, Ran, finish_within},
    need,
};

/// A set takes some 10 s on an idle machine, and no scenario more than 30 s, where the suite gives up.
const LIMIT: Duration = Duration::from_secs(300);

/// Length of `-2026-11-22T18-55-49-929Z` at the end of a result's folder.
const STAMP: usize = 25;

/// How the suite starts its message on a check that wants one of its own fixtures where there is none.
const NOT_TESTABLE: &str = "Not testable";

/// The suite, the Inspector, and the Node.js that both need (22.19 or later).
#[derive(Clone, Debug)]
pub struct Suite {
    modules: PathBuf,
    node: PathBuf,
}

/// The result of a check.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its scenario.
    pub scenario: String,
    /// Its name in the scenario.
    pub id: String,
    /// `SUCCESS`, `FAILURE`, `WARNING`, `INFO`, `SKIPPED`.
    pub status: String,
    /// What is wrong.
    pub message: String,
}

impl Check {
    /// Whether it failed; a warning counts too, since it is a failure of what a server should do.
    pub fn failed(&self) -> bool {
        ["FAILURE", "WARNING"].contains(&self.status.as_str())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    id: String,
    status: String,
    #[serde(default)]
    error_message: Option<String>,
}

/// Checks, and how many of them succeeded.
#[derive(Clone, Debug)]
pub struct Results(pub Vec<Check>);

impl Results {
    /// How many succeeded.
    pub fn passed(&self) -> usize {
        self.0.iter().filter(|check| check.status == "SUCCESS").count()
    }

    /// Those that failed, each in words.
    pub fn failures(&self) -> Vec<String> {
        let failed = self.0.iter().filter(|check| check.failed());
        failed.map(|check| format!("{}: {}: {}", check.scenario, check.id, check.message)).collect()
    }

    /// Only these scenarios, and of them no check that wants a fixture.
    ///
    /// # Panics
    /// When one of them did not run.
    pub fn of(&self, scenarios: &[&str]) -> Self {
        self.ran(scenarios);
        let kept = self.0.iter().filter(|check| {
            scenarios.contains(&check.scenario.as_str()) && !(check.failed() && check.message.starts_with(NOT_TESTABLE))
        });
        Self(kept.cloned().collect())
    }

    /// # Panics
    /// When one of the scenarios did not run.
    pub fn ran<S: AsRef<str>>(&self, scenarios: &[S]) {
        let ran: BTreeSet<&str> = self.0.iter().map(|check| check.scenario.as_str()).collect();
        let missed: Vec<&str> = scenarios.iter().map(S::as_ref).filter(|name| !ran.contains(name)).collect();
        assert!(missed.is_empty(), "these scenarios did not run: {missed:?}");
    }
}

impl Suite {
    /// The programs, if the machine has them.
    pub fn found() -> Option<Self> {
        let modules = need::conformance()?;
        let node = ["linux-x64", "linux-arm64", "darwin-arm64", "darwin-x64"]
            .iter()
            .map(|platform| modules.join(format!("node-{platform}/bin/node")))
            .find(|node| node.exists());
        let Some(node) = node else {
            need::skip("conformance", &format!("no package node-PLATFORM in {}", modules.display()));
            return None;
        };
        Some(Self { modules, node })
    }

    fn package(&self) -> PathBuf {
        self.modules.join("@modelcontextprotocol/conformance")
    }

    fn command(&self, lab: &Lab, script: &Path) -> Command {
        let mut command = Command::new(&self.node);
        command.arg(script).env_clear().env("HOME", lab.work()).env("PATH", "/usr/bin:/bin").current_dir(lab.work());
        command.stdin(std::process::Stdio::null()).kill_on_drop(true);
        command
    }

    /// The server scenarios of a revision, including those that it does not score.
    pub fn scenarios(&self, revision: &str) -> Vec<String> {
        let text = fs::read_to_string(self.package().join(format!("requirements/{revision}.yaml"))).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let required = lines.iter().skip_while(|line| **line != "server:").skip(1);
        let mut names: Vec<String> = required.map_while(|line| line.strip_prefix("  - ")).map(str::to_owned).collect();
        for two in lines.windows(2) {
            if let ("    leg: server", Some(name)) = (two[1], two[0].strip_prefix("  - scenario: ")) {
                names.push(name.to_owned());
            }
        }
        assert!(names.len() > 20, "{revision} has more scenarios than {names:?}");
        names
    }

    /// Everything that a revision asks of a server.
    pub async fn requirements(&self, lab: &Lab, url: &str, revision: &str) -> Results {
        let results = self.run(lab, url, &["--requirements", revision]).await;
        results.ran(&self.scenarios(revision));
        results
    }

    /// One scenario at a revision.
    pub async fn scenario(&self, lab: &Lab, url: &str, revision: &str, name: &str) -> Results {
        let results = self.run(lab, url, &["--scenario", name, "--spec-version", revision]).await;
        results.ran(&[name]);
        results
    }

    async fn run(&self, lab: &Lab, url: &str, what: &[&str]) -> Results {
        let out = tempfile::tempdir_in(lab.path()).unwrap();
        let mut command = self.command(lab, &self.package().join("dist/index.js"));
        command.args(["server", "--url", &format!("{url}/mcp"), "-o"]).arg(out.path()).args(what);
        let ran = finish_within(command, LIMIT).await;
        let results = Results(checks(out.path()));
        assert!(!results.0.is_empty(), "no check ran: {ran:?}");
        results
    }

    /// The Inspector's command line on a server; `era` is `legacy` or `modern`.
    pub async fn inspect(&self, lab: &Lab, url: &str, token: &str, era: &str, more: &[&str]) -> Ran {
        let script = self.modules.join("@modelcontextprotocol/inspector/clients/launcher/build/index.js");
        let mut command = self.command(lab, &script);
        command.args(["--cli", &format!("{url}/mcp"), "--transport", "http", "--protocol-era", era]);
        command.args(["--format", "json", "--header", &format!("Authorization: Bearer {token}")]).args(more);
        finish_within(command, LIMIT).await
    }
}

fn checks(out: &Path) -> Vec<Check> {
    let mut found = Vec::new();
    for entry in fs::read_dir(out).unwrap().flatten() {
        let folder = entry.file_name().into_string().unwrap();
        let name = folder.len().checked_sub(STAMP).and_then(|end| folder[..end].strip_prefix("server-"));
        let scenario = name.unwrap_or_else(|| panic!("{folder} names a scenario and a time"));
        let text = fs::read(entry.path().join("checks.json")).unwrap();
        let written: Vec<Written> = serde_json::from_slice(&text).unwrap();
        found.extend(written.into_iter().map(|check| Check {
            scenario: scenario.to_owned(),
            id: check.id,
            status: check.status,
            message: check.error_message.unwrap_or_default(),
        }));
    }
    found
}
