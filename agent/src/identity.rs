//! Who this agent is: an id and a ledger that stay in its data folder, an incarnation that is new at every start.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use longhaul_proto::{PROTOCOL, durable, ids::Ids, wire};

use crate::{os, runs::Runs};

/// People are renamed rarely.
const ASK_USER_EVERY: Duration = Duration::from_secs(3600);

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Identity(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    agent_id: String,
    incarnation: String,
    cluster_file: PathBuf,
    cluster: Mutex<String>,
    label: Label,
    advertise: Mutex<String>,
    /// Who runs the code, by name: looked up rarely, told at every beat.
    user: Mutex<String>,
}

/// What its owner said about it.
#[derive(Clone, Debug, Default)]
pub struct Label {
    /// Unique name people use.
    pub name: String,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// The licence whose seats are counted.
    pub pool: String,
    /// Its seats.
    pub pool_seats: u32,
    /// Runs at once on this host.
    pub host_limit: u32,
    /// Folders under which do-files may be run.
    pub roots: Vec<PathBuf>,
}

impl Identity {
    /// Reads the id and the ledger from the data folder; makes the id at the first start.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub(crate) fn open(folder: &Path, label: Label, advertise: String, ids: &Ids) -> io::Result<Self> {
        let id_file = folder.join("agent-id");
        durable::create_exclusive(&id_file, ids.name().as_bytes())?;
        let cluster_file = folder.join("cluster-id");
        let cluster = match fs::read_to_string(&cluster_file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            cluster => cluster?.trim().to_owned(),
        };
        Ok(Self(Arc::new(Inner {
            agent_id: fs::read_to_string(&id_file)?.trim().to_owned(),
            incarnation: ids.name(),
            cluster_file,
            cluster: Mutex::new(cluster),
            label,
            advertise: Mutex::new(advertise),
            user: Mutex::new(os::user()),
        })))
    }

    /// Asks the system from time to time who runs the code: at once, and again after an hour.
    pub(crate) async fn keep_user(self) {
        loop {
            if let Some(name) = os::user_of_system().await {
                *self.0.user.lock().unwrap_or_else(PoisonError::into_inner) = name;
            }
            tokio::time::sleep(ASK_USER_EVERY).await;
        }
    }

    /// The id.
    pub(crate) fn agent_id(&self) -> &str {
        &self.0.agent_id
    }

    /// New at every start.
    pub(crate) fn incarnation(&self) -> &str {
        &self.0.incarnation
    }

    /// The name people use.
    pub(crate) fn name(&self) -> &str {
        &self.0.label.name
    }

    /// The ledger this agent is bound to; empty = none yet.
    pub(crate) fn cluster(&self) -> String {
        self.0.cluster.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Binds the agent to a ledger, once and for all.
    ///
    /// # Errors
    /// When it is bound to another, or the binding cannot be kept.
    pub(crate) fn bind(&self, cluster_id: &str) -> Result<(), String> {
        let mut cluster = self.0.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        if cluster.is_empty() && !cluster_id.is_empty() {
            durable::replace(&self.0.cluster_file, cluster_id.as_bytes())
                .map_err(|e| format!("{} could not be written: {e}", self.0.cluster_file.display()))?;
            cluster_id.clone_into(&mut cluster);
        }
        drop(cluster);
        self.check_cluster(cluster_id)
    }

    /// Whether a caller speaks for the ledger this agent is bound to.
    ///
    /// # Errors
    /// In words for people, when not.
    pub(crate) fn check_cluster(&self, cluster_id: &str) -> Result<(), String> {
        let own = self.cluster();
        if own.is_empty() || cluster_id.is_empty() || own == cluster_id {
            return Ok(());
        }
        Err(format!(
            "this agent belongs to the ledger {own}, not to {cluster_id}: give it another --data folder, or remove {} \
             when that ledger is gone for good",
            self.0.cluster_file.display()
        ))
    }

    /// The address the gateway dials; `fill` replaces one that was not given.
    pub(crate) fn advertise(&self, fill: impl FnOnce() -> Option<String>) -> String {
        let mut advertise = self.0.advertise.lock().unwrap_or_else(PoisonError::into_inner);
        if advertise.is_empty()
            && let Some(address) = fill()
        {
            *advertise = address;
        }
        advertise.clone()
    }

    /// Everything about this agent, for the gateway.
    pub(crate) fn info(&self, runs: &Runs) -> wire::AgentInfo {
        let label = &self.0.label;
        let engine = runs.preparer().engine.as_ref();
        wire::AgentInfo {
            agent_id: self.0.agent_id.clone(),
            incarnation: self.0.incarnation.clone(),
            boot_id: os::boot_id(),
            name: label.name.clone(),
            advertise: self.advertise(|| None),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            puts_aside: true,
            protocol: PROTOCOL,
            os_user: self.0.user.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            hostname: os::hostname(),
            cores: std::thread::available_parallelism().map_or(0, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
            pool: label.pool.clone(),
            pool_seats: label.pool_seats,
            host_limit: label.host_limit,
            engines: engine.map(|e| vec![runs.seen().engine(e)]).unwrap_or_default(),
            problem: runs.problem().unwrap_or_default(),
            labels: label.labels.clone().into_iter().collect(),
            roots: label.roots.iter().map(|r| r.to_string_lossy().into_owned()).collect(),
            cluster_id: self.cluster(),
            free_bytes: runs.free_bytes(),
            licence: runs.seen().licence(),
        }
    }
}
