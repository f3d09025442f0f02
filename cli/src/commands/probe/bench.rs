//! Starting the engine for one question after the other, each in a folder of its own.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use longhaul_agent::{Engine, os, stata::banner};
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
};

/// Longest time for one Stata.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at a file.
const LOOK: Duration = Duration::from_millis(20);
/// Most of a line that is reported, characters.
const LINE: usize = 160;

/// What the questions share.
pub(super) struct Bench {
    engine: Engine,
    folder: Folder,
    home: Option<String>,
}

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What a Stata that was ended left open may keep it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A Stata that has ended.
pub(super) struct Ended {
    /// `None` = it was ended after [`LIMIT`].
    pub(super) status: Option<ExitStatus>,
    /// Standard output.
    pub(super) out: String,
    /// Standard error.
    pub(super) err: String,
}

impl Bench {
    /// `name` is unique.
    pub(super) fn new(engine: Engine, name: &str) -> io::Result<Self> {
        let temporary = fs::canonicalize(std::env::temp_dir())?;
        let folder = temporary.join(format!("longhaul-probe-{}", &name[name.len().saturating_sub(12)..]));
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let folder = Folder(folder);
        fs::create_dir(folder.0.join("tmp"))?;
        Ok(Self { engine, folder, home: std::env::var("HOME").ok().filter(|home| home.len() > 1) })
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// An empty folder with `lhprobe.do`.
    pub(super) fn place(&self, name: &str, code: &str) -> io::Result<PathBuf> {
        let place = self.folder.0.join(name);
        fs::create_dir(&place)?;
        fs::write(place.join("lhprobe.do"), code)?;
        Ok(place)
    }

    /// The flag for batch mode.
    pub(super) fn batch(&self) -> &'static str {
        if cfg!(target_os = "macos") && !self.engine.is_standin() { "-e" } else { "-b" }
    }

    /// Starts it, without anything of Longhaul's in its environment.
    pub(super) fn start(&self, place: &Path, args: &[&str], stdin: Stdio) -> io::Result<Child> {
        let standin = self.engine.is_standin();
        let ours = |name: &OsString| {
            let name = name.to_string_lossy();
            name.starts_with("LONGHAUL_") && !(standin && name.starts_with("LONGHAUL_STANDIN_"))
        };
        Command::new(&self.engine.program)
            .args(&self.engine.argv)
            .args(args)
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| !ours(name)))
            .env("TERM", "dumb")
            .env("STATATMP", self.folder.0.join("tmp"))
            .current_dir(place)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    /// Runs it to its end.
    pub(super) async fn run(&self, place: &Path, args: &[&str]) -> io::Result<Ended> {
        let child = self.start(place, args, Stdio::null())?;
        Ok(self.end(child, LIMIT).await)
    }

    /// Runs `lhprobe.do` in batch mode.
    pub(super) async fn batch_run(&self, place: &Path) -> io::Result<Ended> {
        self.run(place, &[self.batch(), "do", "lhprobe.do"]).await
    }

    /// Waits for its end, and ends it when that takes too long.
    pub(super) async fn end(&self, mut child: Child, limit: Duration) -> Ended {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
        let whole = async {
            let read_out = async {
                if let Some(stdout) = &mut stdout {
                    let _ = stdout.take(1 << 20).read_to_end(&mut out).await;
                }
            };
            let read_err = async {
                if let Some(stderr) = &mut stderr {
                    let _ = stderr.take(1 << 20).read_to_end(&mut err).await;
                }
            };
            tokio::join!(child.wait(), read_out, read_err).0
        };
        let status = tokio::time::timeout(limit, whole).await.ok().and_then(Result::ok);
        if status.is_none() {
            let _ = child.kill().await;
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ended { status, out: text(out), err: text(err) }
    }

    /// The log of `lhprobe.do`, as far as it is there.
    pub(super) fn log(&self, place: &Path) -> String {
        let bytes = fs::read(place.join("lhprobe.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until the log holds a text; `false` = not within the limit.
    pub(super) async fn shows(&self, place: &Path, text: &str, limit: Duration) -> bool {
        let looked = async {
            while !self.log(place).contains(text) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(limit, looked).await.is_ok()
    }

    /// The last lines of a text that say something, without paths, serial number and licensee.
    pub(super) fn last_lines(&self, text: &str, most: usize) -> Vec<String> {
        let masked = self.masked(text);
        let lines: Vec<&str> = masked.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(most)..].iter().map(|line| line.chars().take(LINE).collect()).collect()
    }

    /// A text without what tells of this host or its user.
    fn masked(&self, text: &str) -> String {
        let folder = self.folder.0.display().to_string();
        let program = self.engine.program.display().to_string();
        let mut text = banner::masked(text).replace(&folder, "DIR").replace(&program, "PROGRAM");
        // A long path is wrapped in a log: its pieces must not stay either.
        let name = self.folder.0.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let private = [self.home.clone(), Some(os::user()), Some(os::hostname()), Some(name)];
        for word in private.into_iter().flatten().filter(|word| word.len() > 2) {
            text = text.replace(&word, "***");
        }
        text
    }
}

/// How a process ended, in words.
pub(super) fn status_words(status: Option<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status.map(|status| (status.code(), status.signal())) {
        None => format!("did not end within {} s", LIMIT.as_secs()),
        Some((Some(code), _)) => format!("exit status {code}"),
        Some((_, Some(signal))) => format!("ended by signal {signal}"),
        Some(_) => "ended without a status".to_owned(),
    }
}
