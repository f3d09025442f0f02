//! What gateway and agents measure, on the real programs: a real Prometheus scrapes both, promtool accepts names, rules and
//! every expression of the dashboards, all that they name is there, all that is declared is recorded, and an alert reaches
//! the receiver of a real Alertmanager. `docs/metrics.md` names all of it.

mod alert;
mod documents;
mod health;
mod listen;
mod pushed;
mod recorded;
mod scraped;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use longhaul_tests::{api::Api, port::free_port as port};
use reqwest::Method;

/// A folder of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}

/// The numbers of a gateway.
async fn of_gateway(api: &Api) -> Numbers {
    Numbers(api.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap())
}

/// The numbers of an agent, at its own address; `None` = it does not answer.
async fn of_agent(port: u16) -> Option<Numbers> {
    let answer = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.ok()?;
    answer.text().await.ok().map(Numbers)
}

/// Numbers in Prometheus' text format.
struct Numbers(String);

impl Numbers {
    /// Each series with its value.
    fn series(&self) -> impl Iterator<Item = (&str, f64)> {
        let lines = self.0.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| line.rsplit_once(' ')).map(|(series, value)| (series, value.parse().unwrap()))
    }

    /// The value of one series, as it is written.
    fn of(&self, series: &str) -> Option<f64> {
        self.series().find(|(name, _)| *name == series).map(|(_, value)| value)
    }

    /// The names that have a series.
    fn names(&self) -> BTreeSet<String> {
        self.series().map(|(series, _)| name(series)).collect()
    }

    /// The names of which a series is not zero: something was recorded.
    fn recorded(&self) -> BTreeSet<String> {
        self.series().filter(|(_, value)| *value != 0.0).map(|(series, _)| name(series)).collect()
    }
}

/// The name of a series, for a histogram without what its parts add.
fn name(series: &str) -> String {
    let name = series.split('{').next().unwrap();
    let parts = ["_bucket", "_count", "_sum"];
    parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name).to_owned()
}

/// The names of ours in an expression.
fn named(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    let ours = words.filter(|word| word.starts_with("longhaul_") || word.starts_with("process_"));
    ours.map(name).collect()
}

/// Every expression of the dashboards, with the file and the panel.
fn expressions() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(repository("deploy/grafana/dashboards")).unwrap().map(Result::unwrap) {
        let dashboard: serde_json::Value = serde_json::from_slice(&std::fs::read(entry.path()).unwrap()).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let place = format!("{}: {}", entry.path().display(), panel["title"].as_str().unwrap());
                all.push((place, target["expr"].as_str().unwrap().to_owned()));
            }
        }
    }
    assert!(all.len() > 80, "all of them were found: {}", all.len());
    all
}

/// An expression with what Grafana puts in for its variables.
fn filled(expression: &str) -> String {
    expression.replace("$__rate_interval", "5m").replace("$host", ".*").replace("$instance", ".*")
}

/// Runs a tool to its end; what it printed.
fn tool(program: &Path, args: &[&str], folder: &Path, input: &str) -> (bool, String) {
    use std::io::Write;
    let mut command = Command::new(program);
    command.args(args).current_dir(folder);
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
}
