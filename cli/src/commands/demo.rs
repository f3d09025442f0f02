//! `demo`: the case Longhaul exists for, in half a minute. A run goes on while its client is cut off and its gateway is
//! killed, and its whole result is there afterwards.
//!
//! The parts are the program's own processes, in a temporary folder and with a configuration of their own.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use longhaul_agent::Agent;
use longhaul_proto::durable;
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{
    context::{Context, Failure},
    output::Out,
    signals::Signals,
};

/// Models that the do-file pretends to estimate, and how long each takes, ms.
const MODELS: usize = 40;
const EACH: u32 = 400;
/// After how many of them the client is cut off, the gateway is killed, and the gateway comes back.
const CUT: usize = 6;
const KILLED: usize = 12;
const BACK: usize = 24;
/// How long any step may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);
/// How often it is tried to clean up.
const TRIES: u32 = 100;

/// What the demonstration has, until it is dropped: a folder, and processes that name it.
struct Stage {
    folder: PathBuf,
    program: PathBuf,
}

/// `demo`.
///
/// # Errors
/// When a step does not come to its end; it names the step.
pub(crate) async fn demo(context: &Context) -> Result<u8, Failure> {
    let mut signals = Signals::listen()?;
    let stage = Stage::new(&context.ids.name())?;
    let done = tokio::select! {
        done = play(context, &stage) => done.map(|()| 0),
        _ = signals.next() => Err(Failure { message: "left; everything is cleaned up".into(), status: 130 }),
    };
    stage.clear().await?;
    done
}

async fn play(context: &Context, stage: &Stage) -> Result<(), Failure> {
    let mut out = Out::default();
    let mut tell = move |text: &str| out.bytes(text.as_bytes());
    tell("Longhaul's case in half a minute: on the stand-in for Stata, in a temporary folder.\n\n")?;

    let mut gateway = stage.start("gateway", &["gateway", "--listen", "127.0.0.1:0"])?;
    let url = stage.serves(context, &mut gateway).await?;
    let token = stage.invited().await?;
    let project = stage.path("project");
    let mut agent = stage.start(
        "stata1",
        &["agent", "--engine", "standin", "--name", "stata1", "--listen", "127.0.0.1:0", "--gateway", &url]
            .into_iter()
            .chain(["--join", &token, "--root", &project])
            .collect::<Vec<_>>(),
    )?;
    stage.joined(context, &mut agent).await?;
    tell("1. A gateway and an agent on the Stata host `stata1` are up.\n")?;

    tell(&format!("2. A client starts a do-file that estimates {MODELS} models, and watches:\n"))?;
    let mut client = stage.command(&["run", "main.do"]);
    client.current_dir(&project).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = client.spawn().map_err(|error| failed("the client does not start", &error))?;
    let mut lines =
        BufReader::new(client.stdout.take().ok_or_else(|| Failure::system("the client shows nothing"))?).lines();
    let mut seen = 0;
    while seen < CUT {
        let line = within("the run shows its output", lines.next_line()).await??;
        let line = line.ok_or_else(|| Failure::system("the client ended before the run"))?;
        if line.starts_with("model ") {
            seen += 1;
            tell(&format!("     | {line}\n"))?;
        }
    }
    let run = stage.run()?;
    let _ = client.kill().await;
    tell("3. The client is gone: killed, as when a laptop sleeps or a call times out. No client listens now.\n")?;

    stage.reaches(context, &run, KILLED).await?;
    let _ = gateway.kill().await;
    tell(&format!(
        "4. The gateway is killed too (SIGKILL), at model {KILLED}. The do-file goes on under its supervisor:\n"
    ))?;
    stage.reaches(context, &run, BACK).await?;
    tell(&format!("     {} models are in Stata's log by now, and no gateway runs.\n", stage.models(&run).len()))?;

    let address = url.trim_start_matches("http://").to_owned();
    let mut gateway = stage.start("gateway", &["gateway", "--listen", &address])?;
    stage.serves(context, &mut gateway).await?;
    let short = &run[run.len() - 8..];
    tell(&format!(
        "5. The gateway is started again. The result is asked for by the run's name:\n\n     $ longhaul wait {short}\n"
    ))?;
    let waited = within("the run ends", stage.command(&["wait", &run]).output()).await??;
    let verdict = String::from_utf8_lossy(&waited.stderr);
    let verdict = verdict.lines().rfind(|line| !line.starts_with(' ')).unwrap_or_default().to_owned();
    tell(&format!("     {verdict}\n     $ longhaul log {short}\n"))?;
    let log = within("its log is read", stage.command(&["log", &run]).output()).await??;
    let log = String::from_utf8_lossy(&log.stdout).into_owned();
    let shown = models(&log);
    tell(&format!(
        "     | {}\n     | …\n     | {}\n\n",
        line_of(&shown, 0),
        line_of(&shown, shown.len().saturating_sub(1))
    ))?;
    let whole = shown.len() == MODELS
        && shown.iter().enumerate().all(|(at, line)| line.starts_with(&format!("model {} of", at + 1)));
    if !whole || !waited.status.success() {
        return Err(Failure::system(format!("the result is not whole: {} of {MODELS} models, {verdict}", shown.len())));
    }
    tell(&format!(
        "All {MODELS} results are there, in their order: none is missing, none came twice, nothing was run again.\nThe temporary \
         folder is deleted. Next: `longhaul doctor`, then `longhaul up`.\n"
    ))?;
    Ok(())
}

fn line_of<'a>(lines: &[&'a str], at: usize) -> &'a str {
    lines.get(at).copied().unwrap_or_default()
}

/// The lines of a log that tell a model's result.
fn models(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.starts_with("model ")).collect()
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::system(format!("the demonstration cannot go on: {what}: {error}"))
}

async fn within<T>(what: &str, step: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(PATIENCE, step).await.map_err(|late| failed(&format!("in vain it waits that {what}"), &late))
}

impl Stage {
    fn new(name: &str) -> Result<Self, Failure> {
        let cannot = |error: io::Error| failed("no temporary folder can be made", &error);
        let temporary = fs::canonicalize(std::env::temp_dir()).map_err(cannot)?;
        let folder = temporary.join(format!("longhaul-demo-{}", &name[name.len().saturating_sub(12)..]));
        let program = std::env::current_exe().map_err(|error| failed("the program does not find itself", &error))?;
        let stage = Self { folder, program };
        durable::make_folder(&stage.folder.join("project")).map_err(cannot)?;
        let do_file = format!(
            "display \"Estimating {MODELS} models\"\nforvalues i = 1/{MODELS} {{\n    sleep {EACH}\n    display \"model `i' of \
             {MODELS}: done\"\n}}\ndisplay \"all models are estimated\"\n"
        );
        fs::write(stage.folder.join("project/main.do"), do_file).map_err(cannot)?;
        fs::write(stage.folder.join("config.toml"), "min_free = \"1MiB\"\nmin_free_percent = 0\n").map_err(cannot)?;
        Ok(stage)
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// A command of this program, in a process group of its own: Ctrl-C is for the demonstration.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).stdin(Stdio::null()).kill_on_drop(true).process_group(0);
        for (name, _) in std::env::vars_os() {
            let ours = name.to_str().is_some_and(|name| name.starts_with("LONGHAUL_") && name != "LONGHAUL_FAULTS");
            if ours || name.to_str().is_some_and(|name| name.starts_with("OTEL_")) {
                command.env_remove(name);
            }
        }
        command.env("LONGHAUL_CONFIG", self.path("config.toml")).env("HOME", &self.folder);
        if !args.contains(&"--data") {
            command.arg("--data").arg(self.path("gateway"));
        }
        command
    }

    /// A daemon with its data and its log in the folder.
    fn start(&self, name: &str, args: &[&str]) -> Result<Child, Failure> {
        let data = self.path(name);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join(format!("{name}.log")));
        let start = log.and_then(|log| {
            let mut command = self.command(&[args, &["--data", &data]].concat());
            command.stdout(log.try_clone()?).stderr(log).spawn()
        });
        start.map_err(|error| failed(&format!("{name} does not start"), &error))
    }

    /// Waits until something is there.
    async fn until<T>(&self, context: &Context, what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, Failure> {
        let until = context.clock.monotonic() + PATIENCE;
        loop {
            if let Some(there) = look() {
                return Ok(there);
            }
            if context.clock.monotonic() >= until {
                let said = ["gateway.log", "stata1.log"]
                    .map(|log| fs::read_to_string(self.folder.join(log)).unwrap_or_default());
                return Err(failed(&format!("in vain it waits that {what}"), &said.concat()));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the gateway serves; returns its URL.
    async fn serves(&self, context: &Context, gateway: &mut Child) -> Result<String, Failure> {
        let pid = gateway.id();
        let file = self.folder.join("gateway/endpoint.json");
        self.until(context, "the gateway serves", || {
            let endpoint: Value = serde_json::from_slice(&fs::read(&file).ok()?).ok()?;
            let its = endpoint["pid"].as_u64() == pid.map(u64::from);
            its.then(|| endpoint["url"].as_str().map(str::to_owned)).flatten()
        })
        .await
    }

    /// The token of an invitation for the one agent.
    async fn invited(&self) -> Result<String, Failure> {
        let invite = self.command(&["agents", "invite", "stata1", "--json"]).output();
        let said = within("the agent is invited", invite).await??;
        let made: Option<Value> = serde_json::from_slice(&said.stdout).ok();
        let token = made.and_then(|made| made["token"].as_str().map(str::to_owned));
        token.ok_or_else(|| failed("the agent is not invited", &String::from_utf8_lossy(&said.stderr)))
    }

    async fn joined(&self, context: &Context, agent: &mut Child) -> Result<(), Failure> {
        let log = self.folder.join("stata1.log");
        let told = || fs::read_to_string(&log).unwrap_or_default();
        self.until(context, "the agent joins", || told().contains("registered").then_some(())).await?;
        match agent.try_wait() {
            Ok(Some(status)) => Err(failed("the agent ended", &format!("{status}: {}", told()))),
            _ => Ok(()),
        }
    }

    /// The folders of the agent's runs.
    fn spools(&self) -> PathBuf {
        Agent::spools(&self.folder.join("stata1"))
    }

    /// The id of the one run.
    fn run(&self) -> Result<String, Failure> {
        let entries = fs::read_dir(self.spools()).map_err(|error| failed("the agent has no run", &error))?;
        let run = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).next();
        run.ok_or_else(|| Failure::system("the demonstration cannot go on: the agent has no run"))
    }

    /// The results in Stata's own log, on its host.
    fn models(&self, run: &str) -> Vec<String> {
        let files = fs::read_dir(self.spools().join(run).join("run")).into_iter().flatten().flatten();
        let log = files.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|end| end == "log"));
        let log = log.and_then(|log| fs::read_to_string(log).ok()).unwrap_or_default();
        models(&log).into_iter().map(str::to_owned).collect()
    }

    async fn reaches(&self, context: &Context, run: &str, count: usize) -> Result<(), Failure> {
        self.until(context, "the run goes on", || (self.models(run).len() >= count).then_some(())).await
    }
}

impl Stage {
    /// Ends what the demonstration started, also supervisors, which outlive their agents, and removes the folder.
    async fn clear(self) -> Result<(), Failure> {
        for _ in 0..TRIES {
            self.try_to_clear();
            if !self.folder.exists() {
                return Ok(());
            }
            // A dying process may have just started another, or still write.
            tokio::time::sleep(LOOK).await;
        }
        Err(Failure::system(format!("{} could not be deleted", self.folder.display())))
    }

    fn try_to_clear(&self) {
        for pid in processes_of(&self.folder) {
            // One that is gone already needs no signal.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.folder.exists() {
            self.try_to_clear();
        }
    }
}

/// The processes that name the folder in their command line, or work in it.
fn processes_of(folder: &Path) -> Vec<Pid> {
    let needle = folder.as_os_str().as_encoded_bytes();
    let of = |entry: fs::DirEntry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let named = fs::read(entry.path().join("cmdline"))
            .is_ok_and(|all| all.windows(needle.len()).any(|part| part == needle));
        let there = fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
        (named || there).then(|| Pid::from_raw(pid)).flatten()
    };
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(of).collect()
}
