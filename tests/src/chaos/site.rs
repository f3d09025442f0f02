//! A gateway and an agent as processes of their own, with a relay on every connection and a folder of faults for each.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use longhaul_proto::{faults::VARIABLE, ids::RunId, tasks::Tasks};
use rustix::process::Signal;

use super::relay::{Mode, Relay, Target};
use crate::{
    api::Api,
    daemon::{Daemon, Spec},
    lab::{self, Lab},
    processes::{self, Found},
    wait,
};

/// How a site differs from the usual one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// The gateway gives a silent agent up after this time.
    pub lost_after: Option<&'static str>,
    /// The agent's data folder, or the gateway's, is a small file system of its own.
    pub small: Option<Side>,
    /// Bytes of output that the gateway copies per run.
    pub max_output: Option<&'static str>,
    /// Bytes of all output that the gateway keeps. No run of a trial is old enough to be removed for it.
    pub max_kept: Option<&'static str>,
    /// Bytes that the agent's spools may take.
    pub max_spool: Option<&'static str>,
    /// Bytes that the spool of one run may take.
    pub max_run_spool: Option<&'static str>,
}

/// One of the two daemons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that clients talk to.
    Gateway,
    /// The one on the Stata host.
    Agent,
}

/// What [`Setup::max_output`] sets, bytes.
pub const MAX_OUTPUT: u64 = 4096;
/// Size of a small file system, bytes.
const SMALL: u64 = 24 << 20;
/// Every clock of the product that has a setting, scaled to the length of a trial.
const CONFIG: &str = "heartbeat = \"100ms\"\nsilent_after = \"600ms\"\ndial_timeout = \"1s\"\nprogress_every = \"200ms\"\n\
                      allowed_hosts = [\"127.0.0.1\"]\n";

/// See the module.
pub struct Site {
    // First, so that processes die before their folders go.
    /// The gateway.
    pub gateway: Daemon,
    /// The agent.
    pub agent: Daemon,
    /// The folder of it all.
    pub lab: Lab,
    /// Clients' access, through [`Site::front`].
    pub api: Api,
    /// Clients to gateway.
    pub front: Relay,
    /// Agent to gateway.
    pub fleet: Relay,
    /// Gateway to agent.
    pub back: Relay,
    /// What runs within the kit for this site.
    pub tasks: Tasks,
    mount: Option<Mount>,
}

impl Site {
    /// Starts both, with these deliberate bugs, and waits until a run can be placed. `None`: the machine lacks what
    /// `setup` wants.
    pub async fn start(program: &str, setup: Setup, bugs: &[String]) -> Option<Self> {
        let mut lab = Lab::new(program);
        lab.config(CONFIG).env("LONGHAUL_LOG", "info");
        let tasks = Tasks::new();
        let (at_gateway, at_agent) = (lab.path().join("gateway"), lab.path().join("stata1"));
        let mount = match setup.small {
            Some(side) => Some(Mount::new(if side == Side::Gateway { &at_gateway } else { &at_agent })?),
            None => None,
        };
        switch_on(&lab, bugs);

        let front = Relay::start(&tasks, gateway_address(&at_gateway)).await;
        let fleet = Relay::start(&tasks, gateway_address(&at_gateway)).await;
        let back = Relay::start(&tasks, agent_address(&lab)).await;

        let mut gateway = Daemon::start("gateway", &at_gateway, gateway_spec(&lab, setup, &at_gateway));
        lab::ready(&mut gateway).await;
        let credentials = lab::json(&at_gateway.join("credentials.json")).expect("credentials");
        let api = Api::new(&front.url(), credentials["token"].as_str().unwrap());

        let own: [(&str, OsString); 5] = [
            ("--gateway", fleet.url().into()),
            ("--advertise", back.url().into()),
            ("--root", lab.work().into()),
            ("--data", at_agent.clone().into()),
            ("--join-secret-file", at_gateway.join("join-secret").into()),
        ];
        let agent = Daemon::start("stata1", &at_agent, agent_spec(&lab, setup, own));
        let site = Self { gateway, agent, lab, api, front, fleet, back, tasks, mount };
        site.api.wait_host("stata1", "up").await;
        Some(site)
    }

    /// One of the daemons.
    pub fn daemon(&mut self, side: Side) -> &mut Daemon {
        match side {
            Side::Gateway => &mut self.gateway,
            Side::Agent => &mut self.agent,
        }
    }

    /// Starts a daemon again that is gone; the gateway is ready then.
    pub async fn restart(&mut self, side: Side) {
        // A point may have killed it: then its end was not noticed yet.
        self.daemon(side).kill();
        self.daemon(side).restart();
        if side == Side::Gateway {
            lab::ready(&mut self.gateway).await;
        }
    }

    fn faults(&self, side: Side) -> PathBuf {
        self.lab.path().join("faults").join(if side == Side::Gateway { "gateway" } else { "stata1" })
    }

    /// Arms a stop point in a daemon, or in the supervisors of the agent.
    pub fn arm(&self, side: Side, point: &str, action: &str) {
        let path = self.faults(side).join(point);
        // Written whole at once: a process may be reading.
        fs::write(path.with_extension("part"), action).unwrap();
        fs::rename(path.with_extension("part"), path).unwrap();
    }

    /// Takes an action back.
    pub fn disarm(&self, side: Side, point: &str) {
        let _ = fs::remove_file(self.faults(side).join(point));
    }

    /// The process that has passed the point with its action.
    pub fn fired(&self, side: Side, point: &str) -> Option<i32> {
        fs::read_to_string(self.faults(side).join(format!("{point}.fired"))).ok()?.parse().ok()
    }

    /// Releases the process that is held at a point.
    pub fn release(&self, side: Side, point: &str) {
        fs::write(self.faults(side).join(format!("{point}.go")), "").unwrap();
    }

    /// Wall-clock time of a daemon is off by so much from now on.
    pub fn clock(&self, side: Side, offset_ms: i64) {
        fs::write(self.faults(side).join("clock"), offset_ms.to_string()).unwrap();
    }

    /// The host of the agent has started anew, as far as its kernel tells.
    pub fn new_boot(&self) {
        fs::write(self.lab.path().join("faults/boot"), "boot-2").unwrap();
    }

    /// The processes of runs: supervisors, engines, and what these left.
    pub fn of_runs(&self) -> Vec<Found> {
        let commands: Vec<&str> = vec![" gateway --listen", " agent --engine"];

        processes::below(self.lab.path())
            .into_iter()
            .filter(|p| !commands.iter().any(|c| p.command.contains(c)))
            .collect()
    }

    /// `kill -9` of everything on the agent's host.
    pub fn kill_host(&mut self) {
        self.agent.kill();
        for _ in 0..2 {
            self.of_runs().iter().for_each(|p| processes::signal(p.pid, Signal::KILL));
        }
    }

    /// The spool of a run.
    pub fn spool(&self, run: RunId) -> PathBuf {
        Lab::spool(&self.agent, run)
    }

    /// The log as Stata wrote it.
    pub fn log(&self, run: RunId) -> Vec<u8> {
        self.all_of(run, &format!("run/lh-{}.log", run.short()))
    }

    /// A file of a run, with that of each dead attempt before it, in their order.
    pub fn all_of(&self, run: RunId, name: &str) -> Vec<u8> {
        let spool = self.spool(run);
        let earlier = fs::read_dir(spool.join("earlier")).into_iter().flatten().flatten();
        let mut dead: Vec<u32> = earlier.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        dead.sort_unstable();
        let folders = dead.iter().map(|attempt| spool.join("earlier").join(attempt.to_string()));
        let files = folders.chain([spool.clone()]).map(|folder| fs::read(folder.join(name)).unwrap_or_default());
        files.flatten().collect()
    }

    /// Fills the small file system to the last block; the file to remove.
    pub fn fill(&self, side: Side) -> PathBuf {
        let folder = if side == Side::Gateway { &self.gateway.data } else { &self.agent.data };
        let path = folder.join("filler");
        let mut file = fs::File::create(&path).unwrap();
        let block = vec![0_u8; 64 * 1024];
        let mut left = SMALL;
        while left > 0 && std::io::Write::write_all(&mut file, &block).is_ok() {
            left = left.saturating_sub(block.len() as u64);
        }
        path
    }

    /// Makes every relay pass again, and resumes every daemon that was stopped.
    pub fn heal(&self) {
        for relay in [&self.front, &self.fleet, &self.back] {
            relay.mode(Mode::Pass);
        }
    }

    /// Waits for something with a limit that only a broken program reaches; `false` = in vain.
    pub async fn wait(&self, limit: Duration, mut cond: impl AsyncFnMut(&Self) -> bool) -> bool {
        let looked = async {
            while !cond(self).await {
                tokio::time::sleep(wait::POLL / 4).await;
            }
        };
        tokio::time::timeout(limit, looked).await.is_ok()
    }

    /// Ends everything.
    pub async fn end(mut self) {
        self.agent.kill();
        self.gateway.kill();
        for _ in 0..2 {
            self.of_runs().iter().for_each(|p| processes::signal(p.pid, Signal::KILL));
        }
        self.tasks.shutdown(Duration::from_secs(5)).await;
        drop(self.mount.take());
    }
}

/// Makes the folders of faults, with these deliberate bugs and the first boot's id.
fn switch_on(lab: &Lab, bugs: &[String]) {
    for side in ["gateway", "stata1"] {
        fs::create_dir_all(lab.path().join("faults").join(side)).unwrap();
        for bug in bugs {
            fs::write(lab.path().join("faults").join(side).join(format!("bug.{bug}")), "").unwrap();
        }
    }
    fs::write(lab.path().join("faults/boot"), "boot-1").unwrap();
}

/// Where the gateway listens now.
fn gateway_address(data: &Path) -> Target {
    let endpoint = data.join("endpoint.json");
    Arc::new(move || {
        let url = lab::json(&endpoint)?["url"].as_str()?.to_owned();
        Some(url.trim_start_matches("http://").to_owned())
    })
}

/// Where the agent listens now, by what it printed.
fn agent_address(lab: &Lab) -> Target {
    let words = lab.path().join("logs/stata1.log");
    Arc::new(move || {
        let text = fs::read_to_string(&words).ok()?;
        let line = text.rsplit_once(" listens on ")?.1;
        Some(line.split_whitespace().next()?.to_owned())
    })
}

fn gateway_spec(lab: &Lab, setup: Setup, data: &Path) -> Spec {
    let mut spec = lab.spec("gateway", ["gateway", "--listen", "127.0.0.1:0", "--data"]);
    spec.args.push(data.into());
    spec.env.push(faults(lab, "gateway"));
    let limits = [
        ("LONGHAUL_LOST_AFTER", setup.lost_after),
        ("LONGHAUL_MAX_OUTPUT", setup.max_output),
        ("LONGHAUL_MAX_KEPT", setup.max_kept),
    ];
    spec.env.extend(limits.into_iter().filter_map(|(name, value)| Some((name.into(), value?.into()))));
    spec
}

fn agent_spec(lab: &Lab, setup: Setup, own: [(&str, OsString); 5]) -> Spec {
    let args = ["agent", "--engine", "standin", "--listen", "127.0.0.1:0", "--name", "stata1", "--seats", "4"];
    let mut spec = lab.spec("stata1", args);
    spec.args.extend(own.into_iter().flat_map(|(flag, value)| [flag.into(), value]));
    spec.env.push(faults(lab, "stata1"));
    let limits = [("LONGHAUL_MAX_SPOOL", setup.max_spool), ("LONGHAUL_MAX_RUN_SPOOL", setup.max_run_spool)];
    spec.env.extend(limits.into_iter().filter_map(|(name, value)| Some((name.into(), value?.into()))));
    spec
}

fn faults(lab: &Lab, side: &str) -> (OsString, OsString) {
    let root = lab.path().join("faults");
    let (dir, boot) = (root.join(side), root.join("boot"));
    let value = format!("dir={};boot={};clock={}", dir.display(), boot.display(), dir.join("clock").display());
    (VARIABLE.into(), value.into())
}

/// A small file system of the site's own.
struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mut command = std::process::Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={SMALL},mode=0700"), "none"]).arg(at);
        command.output().is_ok_and(|m| m.status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
