//! One temporary folder with everything a test needs, and the daemons in it.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    api::Api,
    daemon::{Daemon, Spec},
    failures, processes, wait,
};

/// Variables of the test's own environment that the daemons and commands get.
const INHERITED: [&str; 4] = ["PATH", "LANG", "LLVM_PROFILE_FILE", "TZ"];

/// See the module.
#[derive(Debug)]
pub struct Lab {
    dir: tempfile::TempDir,
    program: PathBuf,
    env: Vec<(OsString, OsString)>,
}

/// A gateway, and a client of it that holds the token it made on first start.
#[derive(Debug)]
pub struct Gateway {
    /// The process.
    pub daemon: Daemon,
    /// Its clients' side.
    pub api: Api,
}

/// What a command printed and its exit status.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its exit status; -1 when a signal ended it.
    pub status: i32,
    /// Its standard output, lossy.
    pub out: String,
    /// Its standard error, lossy.
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Lab {
    /// An empty lab for `program`.
    pub fn new(program: &str) -> Self {
        failures::keep();
        let dir = tempfile::Builder::new().prefix("longhaul-lab-").tempdir().unwrap();
        for name in ["home/work", "logs"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let mut env: Vec<(OsString, OsString)> =
            INHERITED.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?))).collect();
        env.push(("HOME".into(), dir.path().join("home").into()));
        // Of the machine's disk other programs may use what they like: a lab's runs are small.
        env.push(("LONGHAUL_MIN_FREE".into(), "1MiB".into()));
        env.push(("LONGHAUL_MIN_FREE_PERCENT".into(), "0".into()));
        env.push(("LONGHAUL_LOG".into(), "info,longhaul=debug".into()));
        Self { dir, program: program.into(), env }
    }

    /// The lab's folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The folder where do-files live, in the home that daemons and commands see; the root of the lab's agents.
    pub fn work(&self) -> PathBuf {
        self.path().join("home/work")
    }

    /// A variable for every daemon and command started from now on.
    pub fn env(&mut self, name: &str, value: impl AsRef<OsStr>) -> &mut Self {
        self.env.retain(|(n, _)| n != name);
        self.env.push((name.into(), value.as_ref().into()));
        self
    }

    /// The faults of daemons and commands; empty = none.
    pub fn faults(&self) -> String {
        let faults = self.env.iter().find(|(name, _)| name == "LONGHAUL_FAULTS");
        faults.map(|(_, faults)| faults.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The configuration file for every daemon and command started from now on.
    pub fn config(&mut self, toml: &str) -> &mut Self {
        let path = self.path().join("longhaul.toml");
        fs::write(&path, toml).unwrap();
        self.env("LONGHAUL_CONFIG", path)
    }

    /// Writes a file below [`Lab::work`] and says where.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Not written over with the same: an agent that reads it at this moment would find it empty.
        if fs::read(&path).ok().as_deref() != Some(text.as_ref()) {
            fs::write(&path, text).unwrap();
        }
        path
    }

    /// Copies the repository's `examples/` to where agents may run them.
    pub fn examples(&self) -> PathBuf {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        copy(&from, &self.work().join("examples"));
        self.work().join("examples")
    }

    /// How a process of this lab is started: its program with these arguments, its log by `name`.
    pub fn spec<S: AsRef<OsStr>>(&self, name: &str, args: impl IntoIterator<Item = S>) -> Spec {
        Spec {
            program: self.program.clone(),
            args: args.into_iter().map(|a| a.as_ref().to_owned()).collect(),
            env: self.env.clone(),
            log: self.path().join("logs").join(format!("{name}.log")),
            cgroup: None,
        }
    }

    /// A gateway, ready to answer.
    pub async fn gateway(&self) -> Gateway {
        self.serving("gateway", &["gateway"]).await
    }

    /// `up`: gateway and one agent in one process, ready to answer; the agent may need a moment more.
    pub async fn up(&self, more: &[&str]) -> Gateway {
        let mut args = vec!["up", "--engine", "standin"];
        args.extend_from_slice(more);
        self.serving("up", &args).await
    }

    /// Some command that serves clients, ready to answer; on a loopback port of its own unless it says `--listen`.
    pub async fn serving(&self, name: &str, args: &[&str]) -> Gateway {
        let data = self.path().join(name);
        let mut spec = self.spec(name, args);
        if !args.contains(&"--listen") {
            spec.args.extend(["--listen", "127.0.0.1:0"].map(OsString::from));
        }
        spec.args.extend([OsString::from("--data"), data.clone().into()]);
        let mut daemon = Daemon::start(name, &data, spec);
        let endpoint = ready(&mut daemon).await;
        let credentials = json(&data.join("credentials.json")).expect("credentials after the first start");
        let (url, token) = (endpoint["url"].as_str().unwrap(), credentials["token"].as_str().unwrap());
        let api = match fs::read_to_string(data.join("ca.pem")) {
            Ok(root) if url.starts_with("https:") => Api::trusting(url, token, &root),
            _ => Api::new(url, token),
        };
        // When it is started again, its agents and clients must find it at the same address.
        if let Some(at) = daemon.spec.args.iter().position(|a| a == "127.0.0.1:0") {
            daemon.spec.args[at] = api.address().into();
        }
        Gateway { daemon, api }
    }

    /// An agent of the stand-in that joins `gateway`; not waited for.
    pub fn agent(&self, name: &str, gateway: &Gateway, more: &[&str]) -> Daemon {
        let data = self.path().join(name);
        let spec = self.agent_spec(name, gateway, more);
        Daemon::start(name, &data, spec)
    }

    /// How [`Lab::agent`] starts one; a flag in `more` replaces the lab's own.
    pub fn agent_spec(&self, name: &str, gateway: &Gateway, more: &[&str]) -> Spec {
        let mut spec = self.spec(name, ["agent", "--engine", "standin", "--listen", "127.0.0.1:0", "--name", name]);
        let own: [(&str, OsString); 4] = [
            ("--gateway", gateway.api.url().into()),
            ("--root", self.work().into()),
            ("--data", self.path().join(name).into()),
            ("--join-secret-file", gateway.daemon.data.join("join-secret").into()),
        ];
        for (flag, value) in own.into_iter().filter(|(flag, _)| !more.contains(flag)) {
            spec.args.extend([flag.into(), value]);
        }
        spec.args.extend(more.iter().map(OsString::from));
        spec
    }

    /// A command of the program, not started: its environment and arguments.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> tokio::process::Command {
        let spec = self.spec("command", args);
        let mut command = tokio::process::Command::new(&spec.program);
        command.args(spec.args).env_clear().envs(spec.env).stdin(std::process::Stdio::null()).kill_on_drop(true);
        command.current_dir(self.work());
        command
    }

    /// Runs a command of the program to its end.
    pub async fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        finish(self.command(args)).await
    }

    /// The folder of one run in the spool of an agent, or of an `up`.
    pub fn spool(daemon: &Daemon, run: impl std::fmt::Display) -> PathBuf {
        daemon.data.join("agent/runs").join(run.to_string())
    }

    /// Stata's log of a run, in a spool of any format.
    pub fn log(daemon: &Daemon, run: impl std::fmt::Display) -> PathBuf {
        log_in(&Self::spool(daemon, &run), &run)
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Runs a prepared command to its end.
pub async fn finish(command: tokio::process::Command) -> Ran {
    finish_within(command, Duration::from_secs(120)).await
}

/// As [`finish`], for one that takes longer.
pub async fn finish_within(mut command: tokio::process::Command, limit: Duration) -> Ran {
    let output = tokio::time::timeout(limit, command.output()).await;
    output.expect("the command ends").expect("the command starts").into()
}

/// Waits until a daemon that serves clients has reported its address, and answers there.
pub async fn ready(daemon: &mut Daemon) -> Value {
    let path = daemon.data.join("endpoint.json");
    // Whether it is the right one is not asked here.
    let http = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap();
    wait::until(wait::SOON, &format!("{} is ready", daemon.name), async || {
        assert!(daemon.alive(), "{} ended at once:\n{}", daemon.name, daemon.printed());
        let endpoint = json(&path).filter(|e| e["pid"].as_i64() == Some(daemon.pid().into()))?;
        let answer = http.get(format!("{}/healthz", endpoint["url"].as_str()?)).send().await.ok()?;
        answer.status().is_success().then_some(endpoint)
    })
    .await
}

/// A JSON file, if it is there and whole.
pub fn json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

impl Gateway {
    /// `kill -9` and start again; ready when it returns.
    pub async fn kill_and_restart(&mut self) {
        self.daemon.kill();
        self.daemon.restart();
        ready(&mut self.daemon).await;
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for entry in fs::read_dir(self.path().join("logs")).into_iter().flatten().flatten() {
                let text = fs::read_to_string(entry.path()).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let from = lines.len().saturating_sub(200);
                eprintln!("---- {} (last lines)\n{}", entry.path().display(), lines[from..].join("\n"));
            }
            eprintln!("---- what failed, again\n{}", failures::last().unwrap_or_default());
        }
        // Twice: a dying process may have just started another.
        for _ in 0..2 {
            for found in processes::below(self.path()) {
                processes::signal(found.pid, Signal::KILL);
            }
        }
    }
}

/// Stata's log in this folder of a run, also before it is there: new runs have the newest format.
pub fn log_in(spool: &Path, run: impl std::fmt::Display) -> PathBuf {
    let run = run.to_string();
    let name = format!("lh-{}.log", &run[run.len() - 8..]);
    let flat = spool.join(&name);
    if flat.exists() { flat } else { spool.join("run").join(name) }
}
