//! The machines: each a folder with a root and a home of its own, and an address of the loopback network. What a machine has
//! and a test has not (a service manager, packages, other users) stands in `machine/`; the program is the real one.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use longhaul_tests::{
    lab::{Lab, Ran, finish_within},
    port::free_port,
};

use super::page::Block;

const ADDRESSES: [(&str, &str); 4] =
    [("gateway", "127.0.0.5"), ("stata1", "127.0.0.2"), ("stata2", "127.0.0.3"), ("stata3", "127.0.0.4")];

/// The people of the page.
pub(crate) const PEOPLE: [&str; 10] = ["ana", "ben", "carla", "dora", "emil", "fritz", "gina", "hugo", "ida", "jan"];

pub(crate) struct Site {
    pub(crate) lab: Lab,
    pub(crate) gateway_port: u16,
    agent_port: u16,
    metrics_port: u16,
    /// What was printed on one machine and is typed on another: `TOKEN` of each host, `FINGERPRINT`.
    pub(crate) carried: BTreeMap<String, String>,
}

impl Site {
    pub(crate) fn new(lab: Lab) -> Self {
        let site = Self {
            lab,
            gateway_port: free_port(),
            agent_port: free_port(),
            metrics_port: free_port(),
            carried: BTreeMap::new(),
        };
        let names = ADDRESSES.iter().map(|(name, _)| *name).chain(PEOPLE);
        for name in names {
            let root = site.root(name);
            for folder in ["etc/longhaul", "var/lib", "usr/bin", "journal", "home"] {
                fs::create_dir_all(root.join(folder)).unwrap();
            }
            // The copy of the repository of which the page speaks.
            symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), root.join("home/longhaul")).unwrap();
        }
        fs::create_dir_all(site.lab.path().join("shared/srv")).unwrap();
        site
    }

    /// The root of a machine.
    pub(crate) fn root(&self, machine: &str) -> PathBuf {
        self.lab.path().join(machine)
    }

    /// All that is not typed as the page has it: names of machines, addresses, ports, and where paths begin.
    fn table(&self, machine: &str) -> Vec<(&'static str, String)> {
        let (root, address) = (self.root(machine), address(machine));
        let below = |path: &str| format!("{}{path}", root.display());
        let mut table = vec![
            // Three hosts share this machine, and each listens on an address of its own.
            ("0.0.0.0:7448", format!("{address}:7448")),
            ("127.0.0.1:9447", format!("{address}:9447")),
            ("gateway.lab", self::address("gateway").to_owned()),
            ("7447", self.gateway_port.to_string()),
            ("7448", self.agent_port.to_string()),
            ("9447", self.metrics_port.to_string()),
            ("/etc/longhaul", below("/etc/longhaul")),
            ("/etc/prometheus", below("/etc/prometheus")),
            ("/var/lib/", below("/var/lib/")),
            ("/usr/share/doc/", below("/usr/share/doc/")),
            // What hosts and people share.
            ("/srv/", format!("{}/shared/srv/", self.lab.path().display())),
        ];
        table.extend(self.carried.get("FINGERPRINT").map(|value| ("FINGERPRINT", value.clone())));
        table.extend(self.carried.get(&format!("TOKEN of {machine}")).map(|value| ("=TOKEN", format!("={value}"))));
        table
    }

    /// Types a block on one of its machines.
    pub(crate) async fn type_in(&self, block: &Block, machine: &str) -> Ran {
        let mut commands = block.commands.clone();
        for (from, to) in self.table(machine) {
            commands = commands.replace(from, &to);
        }
        self.run(machine, &commands).await
    }

    /// Runs commands on a machine.
    pub(crate) async fn run(&self, machine: &str, commands: &str) -> Ran {
        let mut command = tokio::process::Command::new("bash");
        command.args(["-euo", "pipefail", "-c", commands]);
        finish_within(self.set_up(command, machine), Duration::from_secs(60)).await
    }

    /// What a process of this machine has.
    pub(crate) fn set_up(&self, mut command: tokio::process::Command, machine: &str) -> tokio::process::Command {
        let (root, stubs) =
            (self.root(machine), Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system/lab_page/machine"));
        let home = root.join("home");
        let path = format!(
            "{}:{}:{}:/usr/bin:/bin",
            stubs.display(),
            root.join("usr/bin").display(),
            home.join(".local/bin").display()
        );
        command.env_clear().env("PATH", path).env("HOME", &home).env("USER", machine).current_dir(&home);
        command.env("MACHINE", &root).env("MACHINE_NAME", machine).env("MACHINE_ADDRESS", address(machine));
        command.env("PROGRAM", env!("CARGO_BIN_EXE_longhaul-under-test"));
        command.env("REPOSITORY", Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        // The engine of hosts without Stata, and a disk that others use too.
        command
            .env("LONGHAUL_ENGINE", "standin")
            .env("LONGHAUL_MIN_FREE", "1MiB")
            .env("LONGHAUL_MIN_FREE_PERCENT", "0");
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// What a unit of this machine printed.
    pub(crate) fn journal(&self, machine: &str, unit: &str) -> String {
        fs::read_to_string(self.root(machine).join("journal").join(unit)).unwrap_or_default()
    }
}

/// The address of a machine; people's machines are the loopback's own.
fn address(machine: &str) -> &'static str {
    ADDRESSES.iter().find(|(name, _)| *name == machine).map_or("127.0.0.1", |(_, address)| address)
}
