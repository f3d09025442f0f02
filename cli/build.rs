//! Which commit the program is built from, for `--version`. A packager may say it by `BUILT_FROM_COMMIT`; a source archive
//! without git has none. Cargo gives the variable to the program that `cargo run` starts, too, so it is none of Longhaul's.

use std::process::Command;

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn main() {
    println!("cargo:rerun-if-env-changed=BUILT_FROM_COMMIT");
    println!("cargo:rerun-if-changed=build.rs");
    // The log of HEAD changes with each commit and checkout.
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| std::path::Path::new(path).exists()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    let given = std::env::var("BUILT_FROM_COMMIT").ok().filter(|given| !given.is_empty());
    // The folder may lie in a repository of something else.
    let ours =
        || git(&["ls-files", "--error-unmatch", "build.rs"]).and_then(|_| git(&["rev-parse", "--short=10", "HEAD"]));
    let commit = given.or_else(ours).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=BUILT_FROM_COMMIT={commit}");
}
