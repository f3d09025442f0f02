//! Starting and stopping a gateway.

mod doors;
mod guards;
mod secrets;

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use longhaul_proto::{
    durable,
    join::SecretTooShort,
    private,
    tasks::Tasks,
    transport::{Greeter, KeyError, Role},
};
use rmcp::ServerHandler;
use rustix::fs::{FlockOperation, flock};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    Deps, Options,
    audit::{self, Audit},
    auth, backup,
    blobs::{BlobLimits, Blobs},
    ca,
    fleet::{Dialing, Fleet, Remembered, connection},
    frontend::{Core, Frontend},
    http::{self, FleetService},
    key_store::{self, KeyStoreError},
    ledger::{Ledger, LedgerError, sqlite::SqliteLedger},
    mcp,
    metrics::Metrics,
    mirror::Mirrors,
    notify::Notify,
    runs::{Kept, Runs, upkeep},
};
use secrets::Secrets;

/// Agents that were not heard for this long are not remembered at a start.
const REMEMBER_AGENTS: Duration = Duration::from_secs(30 * 24 * 3600);

/// Name of the file in the data folder with the key by which agents know this gateway.
pub const GATEWAY_KEY: &str = "gateway-key";

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error("cannot use the data folder {folder}: make it writable for this user, or choose another with --data")]
    Data {
        /// The folder.
        folder: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Other users can access the data folder.
    #[error(transparent)]
    Foreign(#[from] private::NotPrivate),
    /// Another gateway uses the folder.
    #[error(
        "another gateway ({holder}) has the data folder {folder}: use that one, stop it, or give this one its own folder with --data"
    )]
    Held {
        /// The folder.
        folder: PathBuf,
        /// The process that holds it, as it described itself in the lock file.
        holder: String,
    },
    /// A restore into the folder was broken off.
    #[error(
        "`longhaul restore` into {0} did not come to its end, so that not all of a gateway is there: empty the folder and restore \
         again"
    )]
    HalfRestored(PathBuf),
    /// The ledger cannot be used.
    #[error("cannot open the ledger")]
    Ledger(#[source] LedgerError),
    /// The audit log cannot be used.
    #[error("cannot open the audit log in {folder}: make it writable for this user")]
    Audit {
        /// Its folder.
        folder: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The credentials cannot be used.
    #[error("cannot prepare the credentials")]
    Credentials(#[source] auth::credentials::CredentialsError),
    /// A key of the gateway's own, for handles or seals, cannot be used.
    #[error("cannot prepare the credentials")]
    OwnKey(#[from] KeyStoreError),
    /// The configured join secret is invalid.
    #[error(transparent)]
    Secret(#[from] SecretTooShort),
    /// The key by which agents know this gateway cannot be used.
    #[error("this gateway has no key to show")]
    Key(#[source] KeyError),
    /// The listener has no address.
    #[error("the listening socket cannot be used")]
    Listener(#[source] io::Error),
    /// There is no certificate for clients, or it would be needed.
    #[error(transparent)]
    Tls(#[from] ca::TlsError),
    /// Other machines could reach the port without a token.
    #[error("{0}")]
    Open(String),
}

/// A gateway that is serving.
pub struct Gateway {
    /// The address on which it listens.
    pub addr: SocketAddr,
    /// The URL that clients and agents use.
    pub url: String,
    /// The socket by which commands of this user reach it.
    pub socket: Option<PathBuf>,
    /// What the HTTP and MCP layers work with.
    pub core: Core,
    /// Whether the owner's token was made at this start.
    pub first_token: bool,
    ledger_tasks: Tasks,
    uses: auth::token_uses::TokenUses,
    _lock: File,
}

/// Opens the data folder, takes up every unfinished run, and serves on `listener`.
///
/// # Errors
/// See [`StartError`]; nothing is left running.
pub async fn start(options: Options, listener: TcpListener, deps: Deps) -> Result<Gateway, StartError> {
    start_with(options, listener, deps, mcp::Server::new).await
}

/// Like [`start`], with another MCP handler behind the same layers: tests of those layers with a client's own set of
/// tools.
///
/// # Errors
/// As [`start`].
pub async fn start_with<H>(
    options: Options,
    listener: TcpListener,
    deps: Deps,
    handler: impl FnOnce(&Frontend) -> H + Send + 'static,
) -> Result<Gateway, StartError>
where
    H: ServerHandler + Clone + Sync,
{
    // Large, and needed once: its callers do not become as large.
    Box::pin(open(options, listener, deps, Box::new(|frontend| mcp::router(frontend, handler(frontend))))).await
}

type MakeMcp = Box<dyn FnOnce(&Frontend) -> Router + Send>;

/// What the ledger knows of agents, without those that were not heard for long.
async fn remembered(ledger: &dyn Ledger, deps: &Deps) -> Result<Remembered, StartError> {
    let remember_ms = i64::try_from(REMEMBER_AGENTS.as_millis()).unwrap_or(i64::MAX);
    let since_ms = deps.clock.unix_ms().saturating_sub(remember_ms);
    let mut remembered = Remembered::of(ledger).await.map_err(StartError::Ledger)?;
    remembered.agents.retain(|agent| agent.heard_ms >= since_ms);
    Ok(remembered)
}

async fn open(options: Options, listener: TcpListener, deps: Deps, make_mcp: MakeMcp) -> Result<Gateway, StartError> {
    let options = Arc::new(options);
    let addr = listener.local_addr().map_err(StartError::Listener)?;
    let home = options.data.join("gateway");
    private::check_folder(&options.data)?;
    if backup::is_half_restored(&options.data) {
        return Err(StartError::HalfRestored(options.data.clone()));
    }
    let failed = |source| StartError::Data { folder: options.data.clone(), source };
    durable::create_folder(&options.data).and_then(|()| durable::create_folder(&home)).map_err(failed)?;
    let lock = lock(&home, &options.data)?;
    // What a gateway was writing when it was killed.
    [&options.data, &home].into_iter().for_each(|folder| durable::remove_unfinished(folder));
    let keys = key_store::Folder::new(&options.data);
    let certificates = doors::certificates(&options, &keys, addr, &deps)?;
    let url = doors::url(&options, addr, certificates.is_some());

    // The ledger's writer ends last, so it is not among the tasks that the shutdown waits for first.
    let ledger_tasks = Tasks::new();
    let metrics = Arc::new(Metrics::pushed(&options.push_metrics));
    let opened =
        SqliteLedger::open_measured(&home, &deps.ids.name(), &ledger_tasks, Some(metrics.ledger.clone())).await;
    let ledger: Arc<dyn Ledger> = Arc::new(opened.map_err(StartError::Ledger)?);
    let incarnation = deps.ids.name();
    let audit = open_audit(&options, &deps, &incarnation, &ledger_tasks).await?;
    let credentials = auth::credentials::ensure(&options.data, &url, &*ledger, &deps.clock, &audit).await;
    let (_, first_token) = credentials.map_err(StartError::Credentials)?;
    let Secrets { join, task_key, seal, signing, key } = Secrets::ensure(&keys, &options)?;

    let remembered = remembered(&*ledger, &deps).await?;
    let identities =
        ca::Identities::open(&keys, ledger.cluster_id(), key.clone(), options.agent_certificate_lifetime, &deps.clock)?;
    deps.tasks.spawn_until_stop(identities.clone().keep(deps.clock.clone()));
    let dialing = Dialing {
        identities: Some(identities),
        greeter: Greeter { role: Role::Gateway, secret: join },
        dialer: connection::tcp(key.clone(), options.silent_after),
    };
    let fleet =
        Fleet::new(options.clone(), metrics.clone(), deps.clone(), ledger.clone(), dialing, url.clone(), remembered);
    let guards = guards::of(&*ledger, &options, &deps, seal, &incarnation).await?;
    let notify = Notify::new(options.clone(), ledger.clone(), audit.clone(), metrics.clone(), deps.clone(), signing);
    let kept = kept(&home, &options, ledger.clone(), (audit.clone(), notify.clone()), &deps);
    let runs = Runs::new(options.clone(), ledger.clone(), fleet.clone(), kept, guards, metrics.clone(), deps.clone());
    fleet.principals(&ledger.token_list().await.map_err(StartError::Ledger)?).await;
    audit.note(audit::started(&options, addr, &url, ledger.cluster_id()));
    let core = Core {
        audit,
        options,
        runs: runs.clone(),
        blobs: runs.0.blobs.clone(),
        ledger,
        notify,
        metrics,
        certificates,
        task_key,
        incarnation,
        deps,
        addr,
        url: url.clone(),
        hang_up: CancellationToken::new(),
    };
    http::mode(&core).map_err(|e| StartError::Open(e.to_string()))?;

    let (local, socket) = doors::local(core.options.socket.as_deref()).unzip();
    let listeners = http::Listeners { port: listener, local };
    let taken_up = runs.take_up().await.map_err(StartError::Ledger)?;
    let service = FleetService::new(&runs, core.incarnation.clone());
    let tasks = core.deps.tasks.clone();
    keep_up(&tasks, &runs);
    tasks.spawn_until_stop(core.notify.clone().deliver());
    if let Some(certificates) = core.certificates.clone() {
        tasks.spawn_until_stop(certificates.keep(core.deps.clock.clone()));
    }
    let frontend = Frontend::new(core.clone());
    let uses = frontend.token_uses.clone();
    tasks.spawn_until_stop(uses.clone().keep());
    let mcp = make_mcp(&frontend);
    tasks.spawn(async move {
        if let Err(error) = http::serve(frontend, listeners, key, service, mcp).await {
            tracing::error!(error = &error as &dyn std::error::Error, "the port is not served any more");
        }
    });
    tracing::info!(%addr, url, taken_up, cluster = core.ledger.cluster_id(), "gateway serves");
    Ok(Gateway { addr, url, socket, core, first_token, ledger_tasks, uses, _lock: lock })
}

/// What the gateway's folder keeps in files.
fn kept(
    home: &Path,
    options: &Options,
    ledger: Arc<dyn Ledger>,
    (audit, notify): (Audit, Notify),
    deps: &Deps,
) -> Kept {
    Kept {
        mirrors: Mirrors::new(&home.join("mirror"), options.max_output),
        blobs: Blobs::new(&home.join("blobs"), ledger, BlobLimits::of(options), deps),
        audit,
        notify,
    }
}

async fn open_audit(options: &Options, deps: &Deps, incarnation: &str, tasks: &Tasks) -> Result<Audit, StartError> {
    let opened = Audit::open(&options.data, &options.audit, &deps.clock, incarnation, tasks).await;
    opened.map_err(|source| StartError::Audit { folder: options.data.join(audit::FOLDER), source })
}

/// Starts what removes old things.
fn keep_up(tasks: &Tasks, runs: &Runs) {
    tasks.spawn_until_stop(upkeep::sweep(runs.0.clone()));
    tasks.spawn_until_stop(sweep_leftovers(runs.0.blobs.clone()));
}

/// Deletes files of blobs that a gateway left that died.
async fn sweep_leftovers(blobs: Blobs) {
    match blobs.sweep_leftovers().await {
        Ok(0) => {}
        Ok(files) => tracing::info!(files, "files of blobs deleted that a crash had left"),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "files of blobs stay that a crash had left");
        }
    }
}

impl Gateway {
    /// Comes back when the ledger and the scheduler have answered, whatever they say: where it does not, this process serves
    /// no client any more.
    pub async fn answers(&self) {
        let everything = crate::model::Identity::local("service manager", crate::model::Scopes::OPERATE);
        // A ledger that says no is a full disk, and no reason to start anew.
        let _ = tokio::join!(self.core.runs.ready(), self.core.runs.hosts(&everything));
    }

    /// Stops serving and releases the data folder, all within `deadline`. Runs go on at their agents; waiting clients
    /// get a handle or a clean end. Returns whether everything ended by itself: readers that do not take their answers
    /// are cut off after two thirds of the time, so that the ledger can still be closed.
    pub async fn shutdown(self, deadline: Duration) -> bool {
        let clock = self.core.deps.clock.clone();
        let until = clock.monotonic() + deadline;
        let left = || until.saturating_sub(clock.monotonic());
        let tasks = &self.core.deps.tasks;
        let clean = tasks.shutdown(deadline * 2 / 3).await;
        if !clean {
            tracing::warn!("some callers do not take their answers; cutting them off");
            self.core.hang_up.cancel();
            tasks.shutdown(left() / 2).await;
        }
        let _ = tokio::time::timeout(left(), self.uses.save()).await;
        let closed = tokio::time::timeout(left(), self.core.audit.close()).await.is_ok();
        let closed = tokio::time::timeout(left(), self.core.ledger.close()).await.is_ok() && closed;
        let closed = self.ledger_tasks.shutdown(left()).await && closed;
        self.core.metrics.meters.shutdown().await;
        clean && closed
    }
}

/// Allows one gateway per folder. The lock ends with its process; the text in the file is for people.
fn lock(home: &Path, data: &Path) -> Result<File, StartError> {
    let path = home.join("lock");
    let failed = |source| StartError::Data { folder: data.to_owned(), source };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(durable::FILE_MODE)
        .open(&path)
        .map_err(failed)?;
    if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(failed(error.into()));
        }
        let mut text = String::new();
        let _ = file.read_to_string(&mut text);
        let holder = if text.trim().is_empty() { "just starting".to_owned() } else { text.trim().to_owned() };
        return Err(StartError::Held { folder: data.to_owned(), holder });
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "process {}", std::process::id())
    };
    write(&mut file).map_err(failed)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_store::KeyStore;

    /// Moving it away would make the gateway a stranger to its agents, which the error of the other keys does not say.
    #[test]
    fn a_damaged_gateway_key_is_told_from_the_other_keys() {
        let data = tempfile::tempdir().unwrap();
        let keys = key_store::Folder::new(data.path());
        Secrets::ensure(&keys, &Options::default()).unwrap();
        for damaged in [&b"short"[..], &[0xff; 64]] {
            std::fs::write(keys.place(GATEWAY_KEY), damaged).unwrap();
            let error = Secrets::ensure(&keys, &Options::default()).err().unwrap();
            assert!(matches!(error, StartError::Key(KeyError::Content { .. })), "{error:?}");
        }
    }
}
