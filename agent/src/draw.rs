//! Pictures of graphs that were saved as PDF alone, drawn by poppler's `pdftoppm` where the host has it.
//!
//! **A PDF that a user's code made costs its own process at most**: the drawing may take [`TIME`], [`MEMORY`] and [`INPUT`],
//! gets the bytes on its standard input and no name of any file, and runs as the user who runs Stata. `pdftoppm` sets no
//! limits for itself, so it is started by way of this program ([`main`]), which sets them and then becomes it.

use std::{
    ffi::OsString,
    io::{self, Write},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use longhaul_proto::{faults, visible};
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
};

use crate::{executor, start::Options};

/// The word of the command line by which the program becomes [`DRAWER`], as the child of an agent.
pub const DRAW_PDF: &str = "draw-pdf";
/// What draws: the first page, as PNG, with `-scale-to` (poppler 0.14 and later).
pub const DRAWER: &str = "pdftoppm";
/// What is to be done where there is none.
pub const ADVICE: &str = "install poppler-utils on the host, which has pdftoppm";

/// How a PDF begins.
const MAGIC: &[u8] = b"%PDF";
/// Largest PDF that is drawn, bytes.
const INPUT: usize = 4 << 20;
/// Largest picture that is taken, bytes.
const OUTPUT: u64 = 2 << 20;
/// The longer side of a picture, pixels.
const SIDE: &str = "1600";
/// What drawing may take: time, and again as much of a processor.
const TIME: Duration = Duration::from_secs(10);
/// Of memory, bytes.
const MEMORY: u64 = 1 << 30;
/// Of a file that it writes, which are the lists of fonts that fontconfig keeps, bytes.
const FILE: u64 = 16 << 20;
/// Drawn at once, and how long another waits for its turn.
const AT_ONCE: usize = 2;
const TURN: Duration = Duration::from_secs(10);

/// Why there is no picture, in words for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotDrawn {
    /// It is nothing that is drawn.
    Asked(String),
    /// It cannot be drawn here.
    Here(String),
    /// Others are being drawn.
    Busy(String),
}

/// Draws in child processes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Draw {
    /// Where programs are looked for, at each drawing: one that is installed meanwhile is found.
    path: OsString,
    home: OsString,
    own: Option<PathBuf>,
    at_once: Arc<Semaphore>,
}

impl Draw {
    /// Drawing on the host of an agent with these options.
    pub(crate) fn new(options: &Options) -> Self {
        let variable = |name: &str| {
            let found = options.environment.iter().find(|(given, _)| given == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let (path, home) = (variable("PATH"), variable("HOME"));
        Self { path, home, own: options.program.clone(), at_once: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The picture of a PDF's first page, as PNG.
    pub(crate) async fn png(&self, pdf: &[u8]) -> Result<Vec<u8>, NotDrawn> {
        if !pdf.starts_with(MAGIC) && !faults::bug("anything_is_drawn") {
            return Err(NotDrawn::Asked("it is no PDF, whatever its name says".to_owned()));
        }
        if pdf.len() > INPUT {
            return Err(NotDrawn::Asked(format!("it is larger than the {} MiB that are drawn", INPUT >> 20)));
        }
        let drawer = pdftoppm(&self.path)
            .ok_or_else(|| NotDrawn::Here(format!("let the code export it as PNG or SVG too, or {ADVICE}")))?;
        let turn = tokio::time::timeout(TURN, self.at_once.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(NotDrawn::Busy("other graphs are being drawn: ask again in a few seconds".to_owned()));
        };
        let own = match &self.own {
            Some(own) => own.clone(),
            None => executor::own_program().map_err(|error| NotDrawn::Here(error.to_string()))?,
        };
        let mut command = tokio::process::Command::new(own);
        command.arg(DRAW_PDF).arg(drawer).env_clear().current_dir("/");
        if !self.home.is_empty() {
            command.env("HOME", &self.home);
        }
        drawn(command, pdf, TIME).await.map_err(NotDrawn::Here)
    }
}

/// The drawing program on a search path; `None` = there is none.
pub fn pdftoppm(path: &std::ffi::OsStr) -> Option<PathBuf> {
    let runs = |file: &Path| file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    std::env::split_paths(path).filter(|folder| folder.is_absolute()).map(|at| at.join(DRAWER)).find(|at| runs(at))
}

/// One child: the PDF goes to its standard input, and the picture comes from its standard output.
async fn drawn(mut command: tokio::process::Command, pdf: &[u8], limit: Duration) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("{DRAWER} could not draw it: {error}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().map_err(failed)?;
    let pipes = child.stdin.take().zip(child.stdout.take()).zip(child.stderr.take());
    let Some(((mut to, from), said)) = pipes else { return Err(format!("{DRAWER} could not be talked to")) };
    let all = async {
        let write = async {
            // One that refuses it early says why.
            let _ = to.write_all(pdf).await;
            drop(to);
        };
        let (mut picture, mut words) = (Vec::new(), Vec::new());
        let (mut from, mut said) = (from.take(OUTPUT + 1), said.take(4_000));
        let read = async {
            from.read_to_end(&mut picture).await?;
            // One that has more to say is not waited for.
            if picture.len() as u64 <= OUTPUT { said.read_to_end(&mut words).await } else { Ok(0) }
        };
        let ((), read) = tokio::join!(write, read);
        read.map_err(failed)?;
        if picture.len() as u64 > OUTPUT {
            return Err(format!("its picture is larger than the {} MiB that are taken", OUTPUT >> 20));
        }
        let status = child.wait().await.map_err(failed)?;
        if status.success() && picture.starts_with(b"\x89PNG") {
            return Ok(picture);
        }
        // The reasons come first; what follows are further complaints about the same file.
        let words = String::from_utf8_lossy(&words);
        let why = words.lines().map(str::trim).find(|line| !line.is_empty());
        Err(match why {
            Some(why) => format!("{DRAWER} says: {}", visible::line(why).chars().take(200).collect::<String>()),
            None => format!("{DRAWER} ended with {status}: it may need more than {} MiB", MEMORY >> 20),
        })
    };
    let done = tokio::time::timeout(limit, all).await;
    done.unwrap_or_else(|_| Err(format!("it takes longer than {} s to draw", limit.as_secs())))
}

/// The child's side: limits itself, and becomes the program that is named by its argument.
pub fn main(args: &[OsString]) -> ExitCode {
    let limit = |resource, most| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    // Where a limit cannot be set, the parent's patience is one.
    let _ = limit(Resource::As, MEMORY);
    let _ = limit(Resource::Cpu, TIME.as_secs());
    let _ = limit(Resource::Core, 0);
    let _ = limit(Resource::Fsize, FILE);
    let Some(drawer) = args.first() else {
        let _ = writeln!(io::stderr(), "`{DRAW_PDF}` is for the agent's own use");
        return ExitCode::FAILURE;
    };
    let error = Command::new(drawer).args(["-png", "-f", "1", "-l", "1", "-singlefile", "-scale-to", SIDE, "-"]).exec();
    let _ = writeln!(io::stderr(), "it could not be started: {error}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn script(folder: &Path, text: &str) -> PathBuf {
        let program = folder.join(DRAWER);
        fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        program
    }

    #[tokio::test]
    async fn a_drawing_is_bounded_in_time_and_size() {
        let folder = tempfile::tempdir().unwrap();
        let draw = async |text: &str| {
            let command = tokio::process::Command::new(script(folder.path(), text));
            drawn(command, b"%PDF-1.4", Duration::from_secs(2)).await
        };
        assert_eq!(draw(r"cat >/dev/null; printf '\211PNG'").await.unwrap(), b"\x89PNG");
        let refused = async |text: &str, want: &str| {
            let why = draw(text).await.unwrap_err();
            assert!(why.contains(want), "{text}: {why}");
        };
        refused("exec sleep 600", "longer than 2 s").await;
        refused("exec cat /dev/zero", "larger than the 2 MiB").await;
        refused("echo 'Syntax Error: bad xref' >&2; exit 1", "pdftoppm says: Syntax Error: bad xref").await;
        refused("exit 0", "ended with").await;
        refused("kill -9 $$", "signal: 9").await;
    }

    #[tokio::test]
    async fn what_is_no_pdf_is_refused_and_a_missing_program_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::new(
            folder.path().into(),
            longhaul_proto::join::JoinSecret::new("0123456789abcdef0123456789abcdef").unwrap(),
        );
        options.environment = vec![("PATH".into(), folder.path().into())];
        let draw = Draw::new(&options);
        assert!(matches!(draw.png(b"<svg>").await, Err(NotDrawn::Asked(why)) if why.contains("no PDF")));
        let large = [MAGIC, &vec![0; INPUT]].concat();
        assert!(matches!(draw.png(&large).await, Err(NotDrawn::Asked(why)) if why.contains("larger than")));
        assert!(matches!(draw.png(b"%PDF-1.4").await, Err(NotDrawn::Here(why)) if why.contains("poppler-utils")));
        fs::write(folder.path().join(DRAWER), "").unwrap();
        assert_eq!(pdftoppm(folder.path().as_os_str()), None, "it cannot be run");
        let program = script(folder.path(), "");
        assert_eq!(pdftoppm(folder.path().as_os_str()), Some(program));
        assert_eq!(pdftoppm(std::ffi::OsStr::new("relative:")), None);
    }
}
