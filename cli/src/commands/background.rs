//! `up --background` and `down`: a daemon that outlives its terminal, for those who have no service manager at hand.
//!
//! The command starts the program again in a session of its own, with its output in `up.log` of the data folder, and
//! stays until that process serves or has ended. Nothing else differs from `up` in the foreground.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use longhaul_proto::{certificate, durable, private, words};
use rustix::process::{Pid, Signal};

use super::greeting;
use crate::{
    access,
    context::{Context, Failure},
    data::Endpoint,
    exit,
    output::{Out, say, shell_word},
};

/// How long a daemon may take until it serves.
const START: Duration = Duration::from_secs(60);
/// How long a stop may take beyond `stop_timeout`: spans are sent after it.
const SLACK: Duration = Duration::from_secs(5);
/// How often either is checked.
const LOOK: Duration = Duration::from_millis(50);
/// A log of this size is put aside at the next start, as `up.log.1`. Bytes.
const PUT_ASIDE: u64 = 16 << 20;
/// Most of a log that is shown of a daemon that did not start, bytes.
const SHOWN: u64 = 4096;

/// Leaves the terminal: a session of its own, of which no terminal is the controlling one.
///
/// # Errors
/// When the system refuses.
pub(crate) fn detach() -> Result<(), Failure> {
    rustix::process::setsid()
        .map(drop)
        .map_err(|error| Failure::system(format!("cannot leave the terminal's session: {error}")))
}

/// `up --background`.
///
/// # Errors
/// What the daemon said, where it did not start.
pub(crate) async fn up(context: &Context) -> Result<u8, Failure> {
    if context.data.gateway_serves().unwrap_or(false) {
        let holder = context.data.endpoint().map(|e| format!(" (process {}, at {})", e.pid, e.url)).unwrap_or_default();
        return Err(Failure::system(format!(
            "a daemon{holder} has the data folder {} already: `longhaul down` stops it",
            context.data.path().display()
        )));
    }
    let (log, from) = log(context.data.path())?;
    let mut child = start(&log).map_err(|error| Failure::system(format!("cannot start the daemon: {error}")))?;
    let until = context.clock.monotonic() + START;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            let said = tail(&log, from).unwrap_or_default();
            let status = status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
            let message = format!("the daemon did not start; it said (all of it is in {}):\n{said}", log.display());
            return Err(Failure { message, status: status.unwrap_or(exit::SYSTEM) });
        }
        // Its notices are the last that it writes there: then its agent serves too.
        let ready_by = |endpoint: &Endpoint| endpoint.pid == child.id() && endpoint.notices.is_some();
        if let Some(endpoint) = context.data.endpoint().filter(ready_by)
            && serves(context, &endpoint).await
        {
            return ready(context, &endpoint, &log);
        }
        if context.clock.monotonic() >= until {
            return Err(Failure::system(format!(
                "process {} does not serve after {} s and is left to go on: see {}; `longhaul down` stops it",
                child.id(),
                START.as_secs(),
                log.display()
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn ready(context: &Context, endpoint: &Endpoint, log: &Path) -> Result<u8, Failure> {
    let folder = match &context.config.settings.data {
        Some(_) => format!("--data {} ", shell_word(&context.data.path().display().to_string())),
        None => String::new(),
    };
    let text = format!(
        "Longhaul {} serves {url} in the background (process {})\nMCP: {url}/mcp\nLog: {}\nClaude Code:\n  longhaul {folder}mcp \
         install --client claude --user\n{others}Stop it; runs go on:\n  longhaul {folder}down\n",
        env!("CARGO_PKG_VERSION"),
        endpoint.pid,
        log.display(),
        url = endpoint.url,
        others = others(context, endpoint),
    );
    Out::default().text(&text)?;
    endpoint.notices.iter().flatten().for_each(|notice| say(notice));
    Ok(0)
}

/// How other machines come to trust it.
fn others(context: &Context, endpoint: &Endpoint) -> String {
    let root = access::of(context, &endpoint.url).ok().and_then(|access| access.root).filter(|_| endpoint.issued);
    let der = root.and_then(|root| certificate::first_in_pem(&root.pem));
    let advertised = context.data.credentials().map_or_else(|| endpoint.url.clone(), |c| c.url);
    der.map(|der| greeting::others(&advertised, &certificate::fingerprint(&der))).unwrap_or_default()
}

async fn serves(context: &Context, endpoint: &Endpoint) -> bool {
    match access::client(context, &endpoint.url) {
        Ok(client) => client.healthy().await.is_ok(),
        Err(_) => false,
    }
}

/// The file that the daemon writes its log to, and where it begins.
fn log(data: &Path) -> Result<(PathBuf, u64), Failure> {
    let cannot = |error: io::Error| {
        Failure::system(format!(
            "cannot write to the data folder {}: {error}; give another with --data",
            data.display()
        ))
    };
    private::check_folder(data).map_err(|error| Failure::system(words::chain(&error)))?;
    durable::make_folder(data).map_err(cannot)?;
    let path = data.join("up.log");
    let len = fs::metadata(&path).map_or(0, |meta| meta.len());
    if len < PUT_ASIDE {
        return Ok((path, len));
    }
    fs::rename(&path, data.join("up.log.1")).map_err(cannot)?;
    Ok((path, 0))
}

/// Starts this program again with the arguments that it has, but for one.
fn start(log: &Path) -> io::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(log)?;
    let args = std::env::args_os().skip(1);
    let args = args.map(|arg| if arg == "--background" { "--in-background".into() } else { arg });
    let program = std::env::current_exe()?;
    Command::new(program).args(args).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()
}

/// The end of what was written to a log from this offset on.
fn tail(log: &Path, from: u64) -> io::Result<String> {
    let mut file = fs::File::open(log)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(from.max(len.saturating_sub(SHOWN))))?;
    let mut bytes = vec![];
    file.take(SHOWN).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

/// `down`.
///
/// # Errors
/// When what holds the folder cannot be stopped.
pub(crate) async fn down(context: &Context) -> Result<u8, Failure> {
    let folder = context.data.path().display();
    let held = |error| Failure::system(format!("cannot use the data folder {folder} ({error}): give one with --data"));
    if !context.data.gateway_serves().map_err(held)? {
        say(&format!("no daemon holds {folder}: there is nothing to stop"));
        return Ok(0);
    }
    let unclear = || {
        Failure::system(format!(
            "a gateway holds {folder} and does not say where it answers: is it still starting, or stopping already? Try again"
        ))
    };
    let endpoint = context.data.endpoint().ok_or_else(unclear)?;
    if endpoint.embedded {
        return Err(Failure::system(format!(
            "a command of yours (process {}) holds {folder} until its run has ended: end that one",
            endpoint.pid
        )));
    }
    // Its answer says that the file is that of the process that holds the lock.
    if !serves(context, &endpoint).await {
        return Err(unclear());
    }
    let pid = i32::try_from(endpoint.pid).ok().and_then(Pid::from_raw).ok_or_else(unclear)?;
    rustix::process::kill_process(pid, Signal::TERM)
        .map_err(|error| Failure::system(format!("cannot stop process {}: {error}", endpoint.pid)))?;
    let limit = super::daemons::stop_timeout(context) + SLACK;
    let until = context.clock.monotonic() + limit;
    while context.data.gateway_serves().map_err(held)? {
        if context.clock.monotonic() >= until {
            return Err(Failure::system(format!(
                "process {} has been asked to stop and has not after {} s: see its log",
                endpoint.pid,
                limit.as_secs()
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
    say(&format!("stopped (process {}); runs go on under their supervisors", endpoint.pid));
    Ok(0)
}
