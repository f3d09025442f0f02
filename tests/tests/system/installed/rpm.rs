//! The RPM package: what is in it, and what it asks for.

use std::{collections::BTreeSet, process::Command};

use longhaul_tests::need;

use super::{debian_package, made, under_test};

fn lines(program: &str, arguments: &[&str]) -> BTreeSet<String> {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn it_has_what_the_debian_package_has() {
    let Some(_) = need::program("rpmbuild", "rpm") else { return };
    let Some(_) = need::program("dpkg-deb", "dpkg") else { return };
    let folder = tempfile::tempdir().unwrap();
    let rpm = made("rpm", &under_test(), folder.path(), "1");
    let rpm = rpm.to_str().unwrap();
    let listed = lines("rpm", &["-qlp", rpm]);
    let deb = folder.path().join("deb");
    assert!(Command::new("dpkg-deb").arg("-x").args([debian_package(), &deb]).status().unwrap().success());
    let files = Command::new("find").args([".", "-type", "f", "-printf", "/%P\n"]).current_dir(&deb).output().unwrap();
    // Each has places of its own for these.
    let own = ["changelog", "copyright", "lintian", "_longhaul"];
    for file in
        String::from_utf8(files.stdout).unwrap().lines().filter(|file| !own.iter().any(|word| file.contains(word)))
    {
        assert!(listed.contains(file), "{file} is not in {listed:?}");
    }
    for file in ["/usr/share/zsh/site-functions/_longhaul", "/usr/share/licenses/longhaul/LICENSE-MIT"] {
        assert!(listed.contains(file), "{file}");
    }
    assert_eq!(
        lines("rpm", &["-qp", "--configfiles", rpm]),
        BTreeSet::from(["/etc/longhaul/config.toml", "/etc/longhaul/gateway.env"].map(str::to_owned))
    );
    let needs = lines("rpm", &["-qp", "--requires", rpm]);
    assert!(needs.iter().any(|need| need.starts_with("libc.so.6(GLIBC_2.")), "{needs:?}");
    let scripts: String = lines("rpm", &["-qp", "--scripts", rpm]).into_iter().collect();
    assert!(scripts.contains("try-restart") && !scripts.contains("systemctl start"), "{scripts}");
}
