//! The audit log: who did what, apart from the logs for debugging, and such that a change of it is found.
//!
//! ```text
//! gate, runs, api, mcp --Event--> bounded channel --> one task --> audit/audit-000001.jsonl   lines, a chain of hashes
//!                                                          \-----> gateway/audit-head         the last synced line
//! ```
//!
//! - An [`Event`] is a line of JSON ([`line`]): a number, the time, what happened, and the SHA-256 over the hash of the line
//!   before and the line itself. So a changed line is found by its own hash, and a removed one by the number and hash of the
//!   next. A file begins with the last hash of the one before it; a number and hash that are kept apart show a cut end.
//! - [`Audit::must`] returns when the line is written: what changes something (a run, a cancel, a token) is told to the
//!   ledger only after that, so that a killed gateway leaves nothing in the ledger without its line. [`Audit::note`] does not
//!   wait.
//! - Written lines are synced together, at the latest a second after the first of them: a crash of the host may lose so
//!   much, a crash of the process nothing.
//! - A line that cannot be written is counted and told (`/readyz`, `/metrics`, and a line `lost` as soon as there is room
//!   again). With `audit = required` a request that must have a line is refused instead.
//! - Who holds the gateway's user can write a whole new chain: the log shows changes by anybody else, and by a careless one.
//!   It is to be copied elsewhere where that matters.

mod event;
mod file;
mod line;
mod read;
mod refusals;
mod task;
pub mod verify;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use longhaul_proto::{clock::Clock, faults, ids::RunId, tasks::Tasks};
use tokio::sync::{mpsc, oneshot};

pub use event::{Event, Kind, started};
pub use read::{Filter, MOST, read};

use crate::{model::Identity, options::AuditOptions};
use file::AuditFile;
use refusals::Refusals;
pub(crate) use refusals::network;
use task::Message;

/// Name of the folder in the data folder.
pub const FOLDER: &str = "audit";

/// Events that may wait to be written.
const ROOM: usize = 4096;

/// Longest wait for a line: a disk that stalls longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The line that a request must have cannot be written, and the settings say that it is refused then.
#[derive(Debug, thiserror::Error)]
#[error(
    "the gateway cannot write its audit log ({0}), and its setting `audit = required` says that nothing is done without it: \
     try again later, and tell the operator, who finds the reason at /readyz; nothing was changed"
)]
pub struct NotAudited(String);

/// The handle on the audit log. Cheap to clone.
#[derive(Clone)]
pub struct Audit(Option<Arc<Inner>>);

struct Inner {
    inbox: mpsc::Sender<Message>,
    required: bool,
    clock: Clock,
    refusals: Refusals,
    shared: Arc<Shared>,
    /// Of request ids: this start, and a number.
    start: String,
    requests: AtomicU64,
}

/// What the task tells.
#[derive(Default)]
struct Shared {
    written: AtomicU64,
    lost: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Shared {
    fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_trouble(&self, words: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = words;
    }
}

/// The folder of the audit log, and the file beside the ledger that knows its last line.
pub fn places(data: &Path) -> (PathBuf, PathBuf) {
    (data.join(FOLDER), data.join("gateway").join("audit-head"))
}

impl Audit {
    /// No audit log: for simulated gateways, and for tests of other parts.
    pub fn off() -> Self {
        Self(None)
    }

    /// Opens the log of a data folder and starts the task that writes it.
    ///
    /// # Errors
    /// When the folder cannot be used. A chain that is broken is no error: it is told, and the log goes on.
    pub async fn open(
        data: &Path,
        options: &AuditOptions,
        clock: &Clock,
        start: &str,
        tasks: &Tasks,
    ) -> io::Result<Self> {
        let ((folder, head), limits) = (places(data), (options.max_file, options.max_kept));
        let now_ms = clock.unix_ms();
        let open = move || AuditFile::open(folder, head, limits, now_ms);
        let (file, found) = longhaul_proto::tasks::blocking(open).await??;
        let (inbox, messages) = mpsc::channel(ROOM);
        let (shared, refusals) = (Arc::new(Shared::default()), Refusals::default());
        if let Some(words) = &found {
            tracing::error!("{words}; `longhaul audit verify` says more");
        }
        tasks.spawn(task::write(file, messages, shared.clone(), refusals.clone(), clock.clone()));
        let audit = Self(Some(Arc::new(Inner {
            inbox,
            required: options.required,
            clock: clock.clone(),
            refusals,
            shared,
            start: start.chars().filter(char::is_ascii_alphanumeric).take(8).collect(),
            requests: AtomicU64::new(1),
        })));
        if let Some(words) = found {
            audit.note(Event::own(Kind::Broken).with("words", words));
        }
        Ok(audit)
    }

    /// Whether there is a log at all.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A name for a request, which all of its lines have.
    pub fn request_id(&self) -> String {
        self.0.as_ref().map_or_else(String::new, |inner| {
            format!("{}-{}", inner.start, inner.requests.fetch_add(1, Ordering::Relaxed))
        })
    }

    /// Writes a line, and returns when it is written.
    ///
    /// # Errors
    /// When it cannot be written, and the settings say that nothing is done without it.
    pub async fn must(&self, event: Event) -> Result<(), NotAudited> {
        let Some(inner) = &self.0 else { return Ok(()) };
        if faults::bug("audit_drops") && event.kind == Kind::Submit {
            return Ok(());
        }
        let (done, written) = oneshot::channel();
        let message = Message::Write { event: Box::new(event), at_ms: inner.clock.unix_ms(), done: Some(done) };
        let write = async {
            inner.inbox.send(message).await.ok()?;
            written.await.ok().filter(|written| *written)
        };
        match tokio::time::timeout(PATIENCE, write).await {
            Ok(Some(_)) => return Ok(()),
            Ok(None) => {}
            // It may still come into the file.
            Err(_) => inner.shared.set_trouble(Some("the disk does not answer".to_owned())),
        }
        if inner.required && !faults::bug("audit_not_required") {
            return Err(NotAudited(inner.shared.trouble().unwrap_or_else(|| "the gateway is stopping".to_owned())));
        }
        Ok(())
    }

    /// Writes that a command, whose line is there, changed nothing.
    pub fn outcome(&self, of: Kind, who: &Identity, run: Option<RunId>, why: impl std::fmt::Display) {
        if faults::bug("outcomes_untold") {
            return;
        }
        let event = Event::of(Kind::Outcome, who).with("of", of.as_str()).with("why", why.to_string());
        self.note(match run {
            Some(run) => event.run(run),
            None => event,
        });
    }

    /// Writes a line, and returns when it is written, or cannot be: for what is told to a caller next.
    pub async fn before(&self, event: Event) {
        // It is counted as lost, and the settings are about what changes something.
        let _ = self.must(event).await;
    }

    /// Writes a line of something that comes often: of one caller and run the first within a minute has a line of its own, the
    /// others are counted.
    pub fn counted(&self, event: Event) {
        let Some(inner) = &self.0 else { return };
        if let Some(event) = inner.refusals.first(event, inner.clock.unix_ms()) {
            self.note(event);
        }
    }

    /// Writes a line, without waiting for it. Where there is no room, it is counted as lost.
    pub fn note(&self, event: Event) {
        let Some(inner) = &self.0 else { return };
        let message = Message::Write { event: Box::new(event), at_ms: inner.clock.unix_ms(), done: None };
        if inner.inbox.try_send(message).is_err() {
            inner.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes that a request was refused. Of one caller the first within a minute has a line of its own; the others are
    /// counted, and have one together when the minute is over.
    pub fn refused(&self, event: Event, status: u16) {
        let Some(inner) = &self.0 else { return };
        let event = event.with("status", status);
        if let Some(event) = inner.refusals.first(event, inner.clock.unix_ms()) {
            self.note(event);
        }
    }

    /// What keeps it from being written, in words; `None` = nothing.
    pub fn trouble(&self) -> Option<String> {
        let inner = self.0.as_ref()?;
        let words = inner.shared.trouble()?;
        let (lost, refused) = (self.lost(), if inner.required { ", and what must be in it is refused" } else { "" });
        Some(format!("the audit log cannot be written ({words}): {lost} lines are lost so far{refused}"))
    }

    /// Whether requests are refused while it cannot be written.
    pub fn is_required(&self) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.required)
    }

    /// Lines written since the start.
    pub fn written(&self) -> u64 {
        self.0.as_ref().map_or(0, |inner| inner.shared.written.load(Ordering::Relaxed))
    }

    /// Lines that could not be written since the start.
    pub fn lost(&self) -> u64 {
        self.0.as_ref().map_or(0, |inner| inner.shared.lost.load(Ordering::Relaxed))
    }

    /// Writes the last line, syncs, and ends the task.
    pub async fn close(&self) {
        let Some(inner) = &self.0 else { return };
        let (done, closed) = oneshot::channel();
        if inner.inbox.send(Message::Close { at_ms: inner.clock.unix_ms(), done }).await.is_ok() {
            let _ = closed.await;
        }
    }
}
