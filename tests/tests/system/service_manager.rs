//! What daemons tell their service manager, and the units and files for it: read by systemd's own programs, offline or below
//! a folder of the test.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixDatagram,
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use longhaul_proto::clock::Clock;
use longhaul_tests::{daemon::Daemon, lab, lab::Lab, need, wait};

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file)
}

/// The manager's end of the socket.
struct Manager(UnixDatagram);

impl Manager {
    fn new(lab: &mut Lab) -> Self {
        let path = lab.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        lab.env("NOTIFY_SOCKET", &path);
        Self(socket)
    }

    fn heard(&self) -> Option<String> {
        let mut buffer = [0; 256];
        self.0.recv(&mut buffer).ok().map(|n| String::from_utf8_lossy(&buffer[..n]).into_owned())
    }

    async fn wait_for(&self, what: &str) {
        wait::until_now(wait::SOON, what, || self.heard().filter(|heard| heard == what)).await;
    }

    /// Whether a sign of life comes within so long.
    async fn sign_within(&self, time: Duration) -> bool {
        while self.heard().is_some() {}
        let clock = Clock::system();
        wait::until_now(time * 4, "a sign of life, or the time is over", || {
            if self.heard().is_some_and(|heard| heard == "WATCHDOG=1") {
                return Some(true);
            }
            (clock.monotonic() > time).then_some(false)
        })
        .await
    }
}

#[tokio::test]
async fn a_daemon_says_when_it_serves_and_when_it_stops() {
    let mut lab = lab!();
    let gateway = lab.gateway().await;
    let manager = Manager::new(&mut lab);
    let mut up = lab.up(&[]).await;
    manager.wait_for("READY=1").await;
    assert!(up.api.list().await.is_ok());
    up.daemon.terminate().await;
    manager.wait_for("STOPPING=1").await;
    let mut agent = lab.agent("stata1", &gateway, &[]);
    manager.wait_for("READY=1").await;
    gateway.api.wait_host("stata1", "up").await;
    agent.terminate().await;
    manager.wait_for("STOPPING=1").await;
}

/// A gateway whose ledger hangs: whether it still gives signs of life.
async fn alive_with_a_hanging_ledger(faults: &str) -> bool {
    let mut lab = lab!();
    let manager = Manager::new(&mut lab);
    let dir = lab.path().join("faults");
    fs::create_dir(&dir).unwrap();
    lab.env("WATCHDOG_USEC", "1500000").env("LONGHAUL_FAULTS", format!("dir={};{faults}", dir.display()));
    let gateway = lab.gateway().await;
    manager.wait_for("READY=1").await;
    assert!(manager.sign_within(Duration::from_secs(20)).await, "while its ledger answers");
    fs::write(dir.join("ledger.before_commit"), "hold").unwrap();
    wait::until(wait::SOON, "the ledger hangs", async || {
        let ready = gateway.api.request(reqwest::Method::GET, "/readyz").timeout(Duration::from_secs(1)).send().await;
        ready.is_err().then_some(())
    })
    .await;
    // One that was on its way.
    manager.sign_within(Duration::from_secs(2)).await;
    let alive = manager.sign_within(Duration::from_secs(4)).await;
    fs::write(dir.join("ledger.before_commit.go"), "").unwrap();
    alive
}

#[tokio::test]
async fn a_gateway_whose_ledger_hangs_gives_no_signs_of_life() {
    assert!(!alive_with_a_hanging_ledger("").await);
    assert!(alive_with_a_hanging_ledger("bug=watchdog_asks_none").await, "the control");
}

#[tokio::test]
async fn a_frozen_agent_gives_no_signs_of_life() {
    let mut lab = lab!();
    let gateway = lab.gateway().await;
    let manager = Manager::new(&mut lab);
    lab.env("WATCHDOG_USEC", "600000");
    let agent: Daemon = lab.agent("stata1", &gateway, &[]);
    manager.wait_for("READY=1").await;
    assert!(manager.sign_within(Duration::from_secs(20)).await);
    agent.freeze();
    assert!(!manager.sign_within(Duration::from_secs(2)).await);
    agent.thaw();
    assert!(manager.sign_within(Duration::from_secs(20)).await);
}

/// A program of systemd's; `None` = not here.
fn systemd(program: &str) -> Option<Command> {
    let found = ["/usr/bin", "/bin"].iter().map(|folder| Path::new(folder).join(program)).find(|path| path.exists());
    if found.is_none() {
        need::skip("systemd", &format!("there is no {program} here"));
    }
    found.map(Command::new)
}

/// Whether a unit's exposure, as systemd counts it, is at most so much (in tenths).
fn at_most(unit: &Path, tenths: u32) -> Option<bool> {
    let mut analyze = systemd("systemd-analyze")?;
    let output = analyze.args(["security", "--offline=true", "--no-pager", &format!("--threshold={tenths}")]).arg(unit);
    let output = output.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("Overall exposure level"), "{text}");
    Some(output.status.success())
}

#[test]
fn units_take_from_the_daemons_what_these_do_not_need() {
    let gateway = deploy("systemd/longhaul-gateway.service");
    let Some(within) = at_most(&gateway, 20) else { return };
    assert!(within);
    assert!(at_most(&deploy("systemd/longhaul-agent@.service"), 50).unwrap());
    assert!(at_most(&deploy("systemd/longhaul-backup.service"), 20).unwrap());
    // The control: the same gateway as it would be without the part that takes rights from it.
    let folder = tempfile::tempdir().unwrap();
    let open: String = fs::read_to_string(&gateway)
        .unwrap()
        .lines()
        .filter(|line| {
            !["Protect", "Private", "Restrict", "SystemCall", "Capability"].iter().any(|w| line.starts_with(w))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let control = folder.path().join("longhaul-gateway.service");
    fs::write(&control, open).unwrap();
    assert!(!at_most(&control, 20).unwrap());
}

#[test]
fn units_are_read_without_an_error() {
    for name in [
        "longhaul-gateway.service",
        "longhaul-agent@.service",
        "longhaul-up.service",
        "longhaul-backup.service",
        "user/longhaul-gateway.service",
        "user/longhaul-agent.service",
        "user/longhaul-backup.service",
    ] {
        let Some(mut analyze) = systemd("systemd-analyze") else { return };
        let folder = tempfile::tempdir().unwrap();
        let text = fs::read_to_string(deploy("systemd").join(name)).unwrap();
        let text = text.replace("/usr/local/bin/longhaul", "/bin/true").replace("%h/.cargo/bin/longhaul", "/bin/true");
        // One that the installed systemd may be too old for, which says so and goes on.
        let text = text.replace("DelegateSubgroup=agent\n", "");
        let unit = folder.path().join(Path::new(&name.replace('@', "@ana")).file_name().unwrap());
        fs::write(&unit, text.replace("User=%i", "User=root").replace("User=longhaul", "User=root")).unwrap();
        let output = analyze.args(["verify", "--man=no"]).arg(&unit).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains(folder.path().to_str().unwrap()), "{name}: {said}");
    }
}

/// A timer is a timer, at the times that it says; its two places have the same one.
#[test]
fn backups_are_made_four_times_a_day() {
    let text = fs::read_to_string(deploy("systemd/longhaul-backup.timer")).unwrap();
    assert_eq!(text, fs::read_to_string(deploy("systemd/user/longhaul-backup.timer")).unwrap());
    let times = text.lines().find_map(|line| line.strip_prefix("OnCalendar=")).unwrap();
    let Some(mut analyze) = systemd("systemd-analyze") else { return };
    let output =
        analyze.args(["calendar", "--iterations=5", "--base-time=2026-11-29 00:00 UTC", times]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    for hour in ["00:30:00", "06:30:00", "12:30:00", "18:30:00"] {
        assert!(said.contains(hour), "{said}");
    }
}

/// Below a folder of the test alone: on the machine's own root the second of these empties its temporary folder.
#[test]
fn users_and_folders_are_made_as_described() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    for (folder, file) in
        [("usr/lib/sysusers.d", "sysusers.d/longhaul.conf"), ("usr/lib/tmpfiles.d", "tmpfiles.d/longhaul.conf")]
    {
        fs::create_dir_all(root.join(folder)).unwrap();
        fs::copy(deploy(file), root.join(folder).join("longhaul.conf")).unwrap();
    }
    fs::create_dir_all(root.join("etc")).unwrap();
    let at = format!("--root={}", root.display());
    let Some(mut users) = systemd("systemd-sysusers") else { return };
    let output = users.args([at.as_str(), "longhaul.conf"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let passwd = fs::read_to_string(root.join("etc/passwd")).unwrap();
    assert!(passwd.contains("longhaul:x:") && passwd.contains(":/var/lib/longhaul:/usr/sbin/nologin"), "{passwd}");
    let Some(mut folders) = systemd("systemd-tmpfiles") else { return };
    if !need::root() {
        need::skip("second-user", "only the superuser can give a folder to another user");
        return;
    }
    // Files of before, as a careless hand left them.
    let settings = root.join("etc/longhaul");
    fs::create_dir(&settings).unwrap();
    let files = ["join-secret", "gateway.env", "agent-alice.env", "config.toml"].map(|name| settings.join(name));
    files.iter().for_each(|file| fs::write(file, "").unwrap());
    let open = fs::Permissions::from_mode(0o644);
    files.iter().for_each(|file| fs::set_permissions(file, open.clone()).unwrap());
    let output = folders.args([at.as_str(), "--create", "longhaul.conf"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    // Agents and commands of every user read config.toml in it, and cannot start when they may not.
    assert_eq!(mode(&settings), 0o755);
    assert_eq!(files.each_ref().map(|file| mode(file)), [0o600, 0o640, 0o640, 0o644]);
}
