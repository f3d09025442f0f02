//! The Debian package, in a Debian below a folder.

use std::{fs, os::unix::fs::MetadataExt, path::Path, process::Command};

use longhaul_tests::{debian::Debian, need};

use super::{debian_package, made, under_test};

/// A user's first run, of the example that the package brings.
const MAIN_JOB: &str = "id -u ana >/dev/null 2>&1 || useradd --create-home ana; \
     su ana -c 'cd && cp /usr/share/doc/longhaul/examples/short.do . && longhaul run --engine standin short.do'";

/// The gateway as its unit starts it, until it serves.
const GATEWAY: &str = "install -d -m 700 -o longhaul -g longhaul /var/lib/longhaul; \
     start=$(sed -n 's#%S#/var/lib#; s/^ExecStart=//p' /usr/lib/systemd/system/longhaul-gateway.service); \
     LONGHAUL_LISTEN=127.0.0.1:0 setpriv --reuid longhaul --regid longhaul --clear-groups $start & \
     for i in $(seq 600); do [ -e /var/lib/longhaul/endpoint.json ] && break; sleep 0.1; done; \
     setpriv --reuid longhaul --regid longhaul --clear-groups longhaul hosts --data /var/lib/longhaul";

/// Stands in for the service manager: writes down what it is told, and has one agent that is active.
const SYSTEMCTL: &str = "#!/bin/sh\necho \"$*\" >>/systemctl.log\n\
     case \"$*\" in *list-units*) echo 'longhaul-agent@ana.service loaded active running Agent' ;; esac\n";

/// What the service manager was told to do with units since the last question.
fn told(debian: &Debian) -> String {
    let log = debian.path("systemctl.log");
    let all = fs::read_to_string(&log).unwrap_or_default();
    let _ = fs::remove_file(log);
    let words = ["start ", "stop ", "restart ", "enable "];
    all.lines().filter(|line| words.iter().any(|word| line.contains(word))).collect::<Vec<_>>().join("\n")
}

#[test]
fn it_is_installed_used_upgraded_removed_and_purged() {
    let Some(debian) = Debian::copy("debian", "LONGHAUL_TEST_DEBIAN", "ci/debian") else { return };
    let folder = tempfile::tempdir().unwrap();
    debian.put(debian_package(), "/1.deb");
    debian.put(&made("deb", &under_test(), folder.path(), "2"), "/2.deb");
    debian.script("/usr/bin/systemctl", SYSTEMCTL);
    fs::create_dir_all(debian.path("/run/systemd/system")).unwrap();

    debian.must("dpkg -i /1.deb");
    assert_eq!(told(&debian), "", "nothing is started that was not asked for");
    let said = debian.must(MAIN_JOB);
    assert!(said.contains("after 5: 15") && said.contains("succeeded"), "{said}");
    let said = debian.must(GATEWAY);
    assert!(said.contains("AGENT") || said.contains("no agent"), "{said}");
    debian.must("longhaul --version; test -s /usr/share/bash-completion/completions/longhaul; zcat /usr/share/man/man1/longhaul-run.1.gz | grep -q TH");
    debian.must("grep -q 'longhaul:x:.*/var/lib/longhaul:/usr/sbin/nologin' /etc/passwd");
    let environment = fs::metadata(debian.path("/etc/longhaul/gateway.env")).unwrap();
    assert_eq!(environment.mode() & 0o777, 0o640);
    assert_eq!(debian.must("stat -c %U:%G /etc/longhaul/gateway.env").trim(), "root:longhaul");

    // An upgrade keeps what an administrator wrote, and restarts what runs.
    debian.must(
        "echo 'seats = 2' >>/etc/longhaul/config.toml; echo LONGHAUL_LISTEN=127.0.0.1:1 >/etc/longhaul/agent-ana.env",
    );
    debian.must("dpkg -i /2.deb </dev/null");
    let restarted = told(&debian);
    assert!(
        restarted.contains("try-restart")
            && restarted.contains("longhaul-gateway.service")
            && restarted.contains("longhaul-agent@ana.service"),
        "{restarted}"
    );
    assert!(!restarted.lines().any(|line| line.starts_with("start ") || line.contains(" stop ")), "{restarted}");
    debian.must("grep -q 'seats = 2' /etc/longhaul/config.toml");

    debian
        .must("install -d /var/lib/longhaul-agent-ana/agent /var/lib/longhaul-agent-ben/agent; dpkg --remove longhaul");
    assert!(told(&debian).contains("stop "), "the daemons end with their program");
    for stays in ["/var/lib/longhaul/credentials.json", "/etc/longhaul/config.toml", "/var/lib/longhaul-agent-ana"] {
        assert!(debian.path(stays).exists(), "{stays} is left when the package is removed");
    }
    assert!(!debian.path("/usr/bin/longhaul").exists());
    // A run of ana's goes on; of ben's none does.
    let said = debian.must(
        "spool=/var/lib/longhaul-agent-ana/agent; (cd $spool && exec sleep 1000) & \
         until [ \"$(readlink /proc/$!/cwd)\" = $spool ]; do :; done; dpkg --purge longhaul </dev/null",
    );
    assert!(said.contains("a run goes on in /var/lib/longhaul-agent-ana"), "{said}");
    assert!(debian.path("/var/lib/longhaul-agent-ana/agent").exists());
    for gone in ["/var/lib/longhaul-agent-ben", "/var/lib/longhaul", "/etc/longhaul", "/usr/share/doc/longhaul"] {
        assert!(!debian.path(gone).exists(), "{gone} is left after a purge");
    }
    debian.must("id longhaul");
}

/// A program that was built for an old C library, in a Debian that has one.
#[test]
fn a_program_for_an_old_c_library_does_its_job_there() {
    let Some(program) = need::file("old-debian", "LONGHAUL_TEST_ZIGBUILD", "ci/zigbuild/longhaul") else { return };
    let Some(debian) = Debian::copy("old-debian", "LONGHAUL_TEST_OLD_DEBIAN", "ci/old-debian") else { return };
    let folder = tempfile::tempdir().unwrap();
    debian.put(&made("deb", &program, folder.path(), "1"), "/1.deb");
    let said = debian.must(&format!("dpkg -i /1.deb; {MAIN_JOB}"));
    assert!(said.contains("after 5: 15") && said.contains("succeeded"), "{said}");
    // The control: one that was built for this machine's asks for a newer one, and dpkg says so.
    debian.put(debian_package(), "/2.deb");
    let (installed, said) = debian.run("dpkg -i /2.deb");
    assert!(!installed && said.contains("libc6"), "{said}");
}

#[test]
fn lintian_finds_no_error_in_it() {
    let Some(_) = need::program("lintian", "lintian") else { return };
    let folder = tempfile::tempdir().unwrap();
    let found = |package: &Path| {
        let mut lintian = Command::new("lintian");
        lintian.args(["--allow-root", "--tag-display-limit", "0", "--fail-on", "error"]);
        let output = lintian.arg(package).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (clean, said) = found(debian_package());
    assert!(clean && !said.contains("E: "), "{said}");
    // The control: the same without its list of settings.
    let root = folder.path().join("root");
    let dpkg = |arguments: &[&str]| Command::new("dpkg-deb").args(arguments).status().unwrap().success();
    let copy = folder.path().join("without.deb");
    let (package, root) = (copy.to_str().unwrap(), root.to_str().unwrap());
    assert!(dpkg(&["-R", debian_package().to_str().unwrap(), root]));
    fs::remove_file(Path::new(root).join("DEBIAN/conffiles")).unwrap();
    assert!(dpkg(&["--root-owner-group", "-Zgzip", "-z1", "-b", root, package]));
    let (clean, said) = found(Path::new(package));
    assert!(!clean && said.contains("conffile"), "{said}");
}
