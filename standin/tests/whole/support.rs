//! Running the stand-in in a folder of its own and reading its log.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

/// The program under test, without Longhaul's variables.
pub(crate) fn standin(dir: &Path) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_longhaul-standin"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LONGHAUL_STANDIN_") {
            c.env_remove(name);
        }
    }
    c.current_dir(dir).env("STATATMP", dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    c
}

/// A folder with files in it.
pub(crate) struct Lab(tempfile::TempDir);

impl Lab {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let lab = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            lab.write(name, text.as_bytes());
        }
        lab
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join(name)).unwrap_or_default()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.bytes(name)).into_owned()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut c = standin(self.path());
        c.args(args);
        c
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs `do x.do` in quiet batch mode and returns the log.
    pub(crate) fn log_of(&self, do_file: &str) -> String {
        let out = self.run(&["-q", "-b", "do", do_file]);
        assert!(out.status.success() && out.stdout.is_empty() && out.stderr.is_empty(), "{out:?}");
        let stem = Path::new(do_file).file_stem().unwrap().to_string_lossy();
        self.text(&format!("{stem}.log"))
    }
}

/// The log of one do-file, alone.
pub(crate) fn log(source: &str) -> String {
    Lab::new(&[("x.do", source)]).log_of("x.do")
}

/// Starts the program and waits until its log holds `text`.
pub(crate) fn start_until(lab: &Lab, command: &mut Command, log: &str, text: &str) -> Child {
    let child = command.spawn().unwrap();
    wait_for(|| lab.text(log).contains(text));
    child
}

/// Waits for a condition, for at most a minute.
pub(crate) fn wait_for(mut ready: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if ready() {
            return;
        }
        pause();
    }
    panic!("waited a minute in vain");
}

/// The end of a child, within a minute.
pub(crate) fn end_of(child: &mut Child) -> ExitStatus {
    let mut status = None;
    wait_for(|| {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

#[allow(clippy::disallowed_methods)] // the poll behind a wait for a condition
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

/// The folder of real logs, or `None` with a message. `LONGHAUL_REQUIRE` lists the tests that may not be skipped.
pub(crate) fn corpus() -> Option<PathBuf> {
    if let Some(dir) = std::env::var_os("LONGHAUL_CORPUS").map(PathBuf::from).filter(|d| d.is_dir()) {
        return Some(dir);
    }
    let required = std::env::var("LONGHAUL_REQUIRE").unwrap_or_default();
    let must = required.split(',').any(|w| matches!(w.trim(), "corpus" | "all"));
    assert!(!must, "LONGHAUL_REQUIRE asks for the corpus, but LONGHAUL_CORPUS names no folder");
    println!("skipped: corpus (set LONGHAUL_CORPUS)");
    None
}

/// The quiet batch log of a do-file under some of the stand-in's variables.
pub(crate) fn log_under(variables: &[(&str, &str)], source: &str) -> String {
    let lab = Lab::new(&[("x.do", source)]);
    let mut command = lab.command(&["-q", "-b", "do", "x.do"]);
    for (name, value) in variables {
        command.env(format!("LONGHAUL_STANDIN_{name}"), value);
    }
    assert!(command.output().unwrap().status.success());
    lab.text("x.log")
}

/// The same with a release's manners.
pub(crate) fn log_of_release(version: &str, source: &str) -> String {
    log_under(&[("VERSION", version)], source)
}

/// That a text has all these words.
pub(crate) fn holds(text: &str, words: &[&str]) {
    for w in words {
        assert!(text.contains(w), "{w}\nis not in\n{text}");
    }
}
