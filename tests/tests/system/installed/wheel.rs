//! The Python wheel, in an environment that has nothing else.

use std::{fs, path::Path};

use longhaul_tests::{
    lab,
    lab::{Ran, finish},
    need,
};

use super::{made, repository, under_test};

#[tokio::test]
async fn it_brings_the_program_into_a_fresh_environment() {
    let Some(python) = need::python_sdk() else { return };
    let lab = lab!();
    let wheel = made("wheel", &under_test(), lab.path(), "1");
    let name = wheel.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.starts_with(concat!("longhaul-", env!("CARGO_PKG_VERSION"), "-py3-none-manylinux_2_")), "{name}");
    let environment = lab.path().join("venv");
    let run = async |program: &Path, words: &[&str]| -> Ran {
        let mut command = tokio::process::Command::new(program);
        command.args(words).env_clear().env("HOME", lab.path().join("home")).env("PATH", "/usr/bin:/bin");
        command.env("LONGHAUL_MIN_FREE", "1MiB").env("LONGHAUL_MIN_FREE_PERCENT", "0").current_dir(lab.work());
        finish(command).await
    };
    let made = run(&python, &["-m", "venv", environment.to_str().unwrap()]).await;
    assert_eq!(made.status, 0, "{made:#?}");
    let pip = environment.join("bin/pip");
    let install = ["install", "--no-index", "--disable-pip-version-check"];
    let with = |wheel: &Path| {
        [&install[..], &[wheel.to_str().unwrap()]].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };

    // The control: one that says it was built for a C library which no machine has yet.
    let (before, after) = name.split_once("manylinux_2_").unwrap();
    let newer = lab.path().join(format!("{before}manylinux_2_9{after}"));
    fs::copy(&wheel, &newer).unwrap();
    let words = with(&newer);
    let refused = run(&pip, &words.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(refused.status != 0 && refused.err.contains("not a supported wheel"), "{refused:#?}");

    let words = with(&wheel);
    let installed = run(&pip, &words.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(installed.status, 0, "{installed:#?}");
    let example = repository().join("examples/short.do");
    let program = environment.join("bin/longhaul");
    let ran = run(&program, &["run", "--engine", "standin", example.to_str().unwrap()]).await;
    assert!(ran.status == 0 && ran.out.contains("after 5: 15"), "{ran:#?}");
    let check = run(&pip, &["check"]).await;
    assert_eq!(check.status, 0, "{check:#?}");
    let shown = run(&pip, &["show", "--files", "longhaul"]).await;
    assert!(shown.out.contains("LICENSE-MIT") && shown.out.contains("longhaul.cdx.json"), "{shown:#?}");
    let removed = run(&pip, &["uninstall", "--yes", "longhaul"]).await;
    assert!(removed.status == 0 && !program.exists(), "{removed:#?}");
}
