//! Who this agent is: an id and a ledger's id that stay in its data folder, an incarnation that is new at every start,
//! and the keys of the gateways that it trusts.

mod certificates;
mod pins;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use longhaul_proto::{
    PROTOCOL, durable,
    egress::Egress,
    faults,
    ids::Ids,
    principal::{Principal, Typed},
    risk::Confirm,
    wire,
};

pub(crate) use certificates::Certificates;
pub(crate) use pins::{Contact, Known, Pins};

use crate::{os, runs::Runs};

/// A user's name changes rarely.
const ASK_USER_EVERY: Duration = Duration::from_secs(3600);

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Identity(Arc<Fields>);

#[derive(Debug)]
struct Fields {
    agent_id: String,
    incarnation: String,
    cluster_file: PathBuf,
    cluster: Mutex<String>,
    label: Label,
    /// As configured; empty = not configured.
    advertise: String,
    /// The local address of the latest connection to the gateway, used when none is configured.
    reached_from: Mutex<String>,
    /// The name of the user who runs the code: looked up rarely, sent with every heartbeat.
    user: Mutex<String>,
}

/// What the operator configured about it.
#[derive(Clone, Debug, Default)]
pub struct Label {
    /// Unique name for people.
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
    /// The principals whose runs it takes.
    pub serve: Serve,
    /// What may leave to AI clients.
    pub egress: Egress,
    /// Risky commands to which a person must agree.
    pub confirm: Confirm,
}

/// The principals whose runs an agent takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Serve {
    /// Not configured: the gateway decides (every principal's while it knows one, then its first operator's).
    #[default]
    Unset,
    /// Every principal's.
    All,
    /// Those of these principals, as typed: `ana` or `ISSUER:ana`.
    Only(Vec<String>),
}

impl Identity {
    /// Reads the id and the ledger from the data folder; makes the id at the first start.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub(crate) fn open(folder: &Path, label: Label, advertise: String, ids: &Ids) -> io::Result<Self> {
        let id_file = folder.join("agent-id");
        durable::create_exclusive(&id_file, format!("{}\n", ids.name()).as_bytes())?;
        let cluster_file = folder.join("cluster-id");
        let cluster = match fs::read_to_string(&cluster_file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            cluster => cluster?.trim().to_owned(),
        };
        Ok(Self(Arc::new(Fields {
            agent_id: fs::read_to_string(&id_file)?.trim().to_owned(),
            incarnation: ids.name(),
            cluster_file,
            cluster: Mutex::new(cluster),
            label,
            advertise,
            reached_from: Mutex::default(),
            user: Mutex::new(os::user()),
        })))
    }

    /// Asks the system for the name of the user who runs the code: at once, and again every hour.
    pub(crate) async fn refresh_user(self) {
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

    /// The name for people.
    pub(crate) fn name(&self) -> &str {
        &self.0.label.name
    }

    /// The ledger this agent is bound to; empty = none yet.
    pub(crate) fn cluster(&self) -> String {
        self.0.cluster.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Binds the agent to a ledger, for good.
    ///
    /// # Errors
    /// When it is bound to another, or the binding cannot be stored.
    pub(crate) async fn bind(&self, cluster_id: &str) -> Result<(), String> {
        if self.cluster().is_empty() && !cluster_id.is_empty() {
            let (file, id) = (self.0.cluster_file.clone(), format!("{cluster_id}\n"));
            // Only the one task that registers comes here, so no lock is held during the disk write.
            let kept = longhaul_proto::tasks::blocking(move || durable::replace(&file, id.as_bytes())).await;
            kept.flatten().map_err(|e| format!("{} could not be written: {e}", self.0.cluster_file.display()))?;
            cluster_id.clone_into(&mut self.0.cluster.lock().unwrap_or_else(PoisonError::into_inner));
        }
        self.check_cluster(cluster_id)
    }

    /// Checks that a caller acts for the ledger this agent is bound to.
    ///
    /// # Errors
    /// In words for people, when it does not.
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

    /// The address the gateway dials; empty = not known yet.
    pub(crate) fn advertise(&self) -> String {
        if !self.0.advertise.is_empty() {
            return self.0.advertise.clone();
        }
        self.0.reached_from.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records the address from which the gateway was reached; it is the one to dial unless one is configured. Called
    /// at each connection, since a host's address may change.
    pub(crate) fn reached_from(&self, address: String) {
        let mut latest = self.0.reached_from.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.is_empty() || !faults::bug("advertise_kept") {
            *latest = address;
        }
    }

    /// Checks that the agent takes the runs of a principal.
    ///
    /// # Errors
    /// In words for the run's owner, when it does not.
    pub(crate) fn check_serves(&self, principal: &Principal) -> Result<(), String> {
        match &self.0.label.serve {
            Serve::Only(names)
                if !names.iter().any(|name| Typed::read(name).names(principal)) && !faults::bug("serves_everybody") =>
            {
                let name = &self.0.label.name;
                Err(format!(
                    "agent {name} takes the runs of {} only, and this one is {principal}'s: run it elsewhere, or start \
                     the agent with --serve {},{principal}",
                    names.join(", "),
                    names.join(",")
                ))
            }
            _ => Ok(()),
        }
    }

    /// Everything about this agent, for the gateway.
    pub(crate) fn info(&self, runs: &Runs) -> wire::AgentInfo {
        let label = &self.0.label;
        let engine = runs.preparer().engine.as_ref();
        wire::AgentInfo {
            agent_id: self.0.agent_id.clone(),
            incarnation: self.0.incarnation.clone(),
            boot_id: String::new(),
            name: label.name.clone(),
            advertise: self.advertise(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            puts_aside: true,
            takes_blobs: !faults::bug("agent_without_blobs"),
            keeps_do_files: !faults::bug("agent_without_do_files"),
            finds_paths: !faults::bug("agent_finds_no_paths"),
            lists_files: !faults::bug("agent_lists_no_files"),
            gives_help: !faults::bug("agent_without_help"),
            reads_data: !faults::bug("agent_reads_no_data"),
            draws_pdf: !faults::bug("agent_draws_no_pdf"),
            protocol: PROTOCOL,
            os_user: self.0.user.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            hostname: os::hostname(),
            cores: std::thread::available_parallelism().map_or(0, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
            pool: label.pool.clone(),
            pool_seats: label.pool_seats,
            host_limit: label.host_limit,
            engines: engine.map(|e| vec![runs.banners().engine(e)]).unwrap_or_default(),
            problem: runs.problem().unwrap_or_default(),
            labels: label.labels.clone().into_iter().collect(),
            roots: label.roots.iter().map(|r| r.to_string_lossy().into_owned()).collect(),
            cluster_id: self.cluster(),
            free_bytes: runs.free_bytes(),
            licence: runs.banners().licence(),
            serve: match &label.serve {
                Serve::Only(names) => names.clone(),
                Serve::Unset | Serve::All => Vec::new(),
            },
            serve_all: label.serve == Serve::All,
            limits: Some(runs.limits().to_wire()),
            egress: label.egress.to_wire(),
            confirm: label.confirm.to_wire(),
            finds_risks: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(label: Label, advertise: &str) -> (Identity, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let made = Identity::open(folder.path(), label, advertise.to_owned(), &Ids::system()).unwrap();
        (made, folder)
    }

    #[test]
    fn an_address_that_filled_itself_follows_the_host_and_one_that_was_given_stays() {
        let (filled, _folder) = identity(Label::default(), "");
        for address in ["http://10.0.0.5:7448", "http://10.8.0.2:7448"] {
            filled.reached_from(address.to_owned());
            assert_eq!(filled.advertise(), address);
        }
        let (given, _folder) = identity(Label::default(), "http://stata1:7448");
        given.reached_from("http://10.0.0.5:7448".to_owned());
        assert_eq!(given.advertise(), "http://stata1:7448");
    }

    /// The control: as it was, the first address stays for the life of the process.
    #[cfg(feature = "faults")]
    #[test]
    fn kept_for_ever_it_would_be_the_address_of_yesterday() {
        let _bug = faults::enter("bug=advertise_kept");
        let (filled, _folder) = identity(Label::default(), "");
        filled.reached_from("http://10.0.0.5:7448".to_owned());
        filled.reached_from("http://10.8.0.2:7448".to_owned());
        assert_eq!(filled.advertise(), "http://10.0.0.5:7448");
    }

    #[test]
    fn whom_it_serves() {
        let serving = |serve: Serve| identity(Label { name: "s1".into(), serve, ..Label::default() }, "").0;
        for serve in [Serve::Unset, Serve::All] {
            assert!(serving(serve).check_serves(&Principal::local("bob")).is_ok());
        }
        let two = serving(Serve::Only(vec!["ann".into(), "bob".into()]));
        assert!(two.check_serves(&Principal::local("bob")).is_ok());
        let words = two.check_serves(&Principal::local("carol")).unwrap_err();
        assert!(words.contains("of ann, bob only") && words.contains("--serve ann,bob,carol"), "{words}");
    }

    #[tokio::test]
    async fn it_is_bound_once() {
        let (identity, folder) = identity(Label::default(), "");
        assert!(identity.bind("lab").await.is_ok());
        assert_eq!(fs::read_to_string(folder.path().join("cluster-id")).unwrap(), "lab\n");
        assert!(identity.bind("another").await.unwrap_err().contains("belongs to the ledger lab"));
    }
}
