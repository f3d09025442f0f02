//! A ledger as bad as a database at the other end of a network may be, for tests: what is right there is right
//! anywhere.
//!
//! It stands before another ledger. A write may answer [`LedgerError::Unknown`], whether or not it was done; and what is
//! read to be shown ([`Read::Showing`]) may come from a replica that is behind. Each time chance decides, which is passed
//! in, so that a test can be played again.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{FutureExt, future::BoxFuture};
use longhaul_proto::{api::FilesRemoved, digest::ContentDigest, faults, ids::RunId, wire};

use super::{
    Adoption, AgentRecord, AgentStore, Answer, AttemptRow, Blob, BlobFile, BlobStore, BlobsSwept, Change, ChangeStore,
    DoFileStore, DoFiles, DrainRecord, Ended, Finished, Inserted, InvitationRecord, InvitationStore, LeaseRecord,
    LeaseStore, Ledger, LedgerError, ListQuery, MirrorCopy, NewRun, NewUpload, Notification, NotificationKey,
    NotificationStore, PinRecord, QuotaStore, Read, ReceiverAdded, ReceiverRecord, Rotation, RunFileStore, RunFiles,
    RunStore, Signing, SigningChange, Stash, StashStore, StepCursor, StepRow, TokenRecord, TokenStore, Transition,
    TransitionRow, Tried, UpkeepStore, Upload, UploadBegun, Usage, Waiting, memory::MemoryLedger, methods::methods,
};
use crate::model::{Attempt, CancelIntent, Owner, Principal, Record, Removed};

/// Whether something befalls that befalls so many times of a thousand.
pub type Strikes = Box<dyn Fn(u64) -> bool + Send + Sync>;

/// How often a write is not answered, of a thousand times, before it and after it.
const NOT_ANSWERED: u64 = 40;
/// How often a replica does not catch up before it is read.
const STAYS_BEHIND: u64 = 700;

/// See the module.
pub struct UnreliableLedger {
    behind: Arc<dyn Ledger>,
    /// Copies what the ledger behind has now.
    copy: Box<dyn Fn() -> MemoryLedger + Send + Sync>,
    replica: Mutex<Arc<MemoryLedger>>,
    strikes: Strikes,
}

impl UnreliableLedger {
    /// Stands before a ledger that `copy` can copy.
    pub fn before(
        behind: Arc<dyn Ledger>,
        copy: impl Fn() -> MemoryLedger + Send + Sync + 'static,
        strikes: Strikes,
    ) -> Self {
        let replica = Mutex::new(Arc::new(copy()));
        Self { behind, copy: Box::new(copy), replica, strikes }
    }

    fn write<'a, T: Send + 'a>(&'a self, call: impl FnOnce() -> Answer<'a, T> + Send + 'a) -> Answer<'a, T> {
        async move {
            if (self.strikes)(NOT_ANSWERED) {
                return Err(not_answered());
            }
            let done = call().await?;
            if (self.strikes)(NOT_ANSWERED) { Err(not_answered()) } else { Ok(done) }
        }
        .boxed()
    }

    /// The replica that answers; `None` = the ledger itself does.
    fn replica(&self, read: Read) -> Option<Arc<MemoryLedger>> {
        if read == Read::Deciding && !faults::bug("deciding_reads_may_be_stale") {
            return None;
        }
        let mut replica = self.replica.lock().unwrap_or_else(PoisonError::into_inner);
        if !(self.strikes)(STAYS_BEHIND) {
            *replica = Arc::new((self.copy)());
        }
        Some(replica.clone())
    }
}

fn not_answered() -> LedgerError {
    LedgerError::Unknown(Arc::new(std::io::Error::other("the connection broke")))
}

impl RunStore for UnreliableLedger {
    methods! {
        write insert(new: NewRun) -> Inserted;
        write name_run(principal: Principal, key: (String, String), run: RunId) -> ();
        write transition(step: Transition) -> ();
        write request_cancel(run: RunId, intent: CancelIntent) -> bool;
        write mark_shown(runs: Vec<RunId>, at_ms: i64) -> ();
        write adopt(adoption: Adoption) -> bool;
        write contest(run: RunId, words: String) -> bool;
        read get(run: RunId) -> Option<Record>;
        read get_many(runs: &'a [RunId]) -> Vec<Record>;
        read submission(run: RunId) -> Option<wire::Submission>;
        read by_key(principal: &'a Principal, key: &'a str) -> Option<(RunId, String)>;
        read by_tail(principal: Option<&'a Principal>, tail: &'a str, limit: u32) -> Vec<RunId>;
        read unfinished() -> Vec<Record>;
        read history(run: RunId) -> Vec<TransitionRow>;
        read attempts(run: RunId) -> Vec<AttemptRow>;
        // A gateway that cannot take over its runs does not start.
        plain take_over(gateway: String) -> Owner;
    }

    fn list(&self, query: ListQuery) -> Answer<'_, Vec<Record>> {
        match self.replica(query.read) {
            Some(replica) => async move { replica.list(query).await }.boxed(),
            None => self.behind.list(query),
        }
    }
}

impl LeaseStore for UnreliableLedger {
    methods! {
        write take_lease(lease: LeaseRecord, owner: Owner) -> ();
        write free_lease(run: RunId, attempt: Option<Attempt>, owner: Owner) -> bool;
        read leases() -> Vec<LeaseRecord>;
    }
}

impl ChangeStore for UnreliableLedger {
    methods! {
        plain changes_since(seq: u64, limit: u32) -> Vec<Change>;
        plain steps_since(after: StepCursor, limit: u32) -> Vec<StepRow>;
        plain latest_step() -> StepCursor;
    }
}

impl UpkeepStore for UnreliableLedger {
    methods! {
        read ended_count() -> u64;
        read newest_ms() -> i64;
        read ended(before_ms: i64, limit: u32) -> Vec<Ended>;
        write sweep(before_ms: i64, limit: u32, here: Vec<String>, at_ms: i64) -> Vec<Ended>;
        write remove(run: RunId, at_ms: i64) -> bool;
        read removed(run: RunId) -> Option<Removed>;
        read removed_since(at_ms: i64) -> Vec<RunId>;
        write removed_sweep(before_ms: i64, most: u32) -> ();
        write call_sweep(before_ms: i64, limit: u32) -> u32;
        write spool_gone(run: RunId, words: Option<String>) -> ();
        write earlier_spool_gone(run: RunId, words: String) -> ();
        write only_files_kept(run: RunId) -> ();
        write files_removed(run: RunId, what: FilesRemoved) -> ();
        read spools_held(agent_id: &'a str, before_ms: i64, copy: MirrorCopy, limit: u32) -> Vec<RunId>;
        read files_held(agent_id: &'a str, before_ms: i64, limit: u32) -> Vec<RunId>;
    }
}

impl AgentStore for UnreliableLedger {
    fn cluster_id(&self) -> &str {
        self.behind.cluster_id()
    }

    methods! {
        write put_agent(agent: AgentRecord) -> ();
        read agents() -> Vec<AgentRecord>;
        write forget_agents(agent_ids: Vec<String>) -> ();
        write put_pin(pin: PinRecord) -> ();
        read pins() -> Vec<PinRecord>;
        write drain(hosts: Vec<DrainRecord>) -> ();
        write resume(hosts: Vec<String>) -> ();
        read drains() -> Vec<DrainRecord>;
    }
}

impl InvitationStore for UnreliableLedger {
    methods! {
        write invite(invitation: InvitationRecord) -> ();
        read invitations() -> Vec<InvitationRecord>;
        read invitation(digest: String) -> Option<InvitationRecord>;
        write withdraw_invitation(digest: String, at_ms: i64) -> bool;
        write use_invitation(digest: String, pin: PinRecord) -> bool;
    }
}

impl TokenStore for UnreliableLedger {
    methods! {
        write token_add(token: TokenRecord) -> bool;
        read token_find(sha256: &'a str) -> Option<TokenRecord>;
        read token_list() -> Vec<TokenRecord>;
        write token_revoke(name: &'a str, at_ms: i64) -> bool;
        write token_rotate(name: &'a str, rotation: Rotation) -> Option<TokenRecord>;
        read principals_called(subject: &'a str) -> Vec<Principal>;
    }
}

impl StashStore for UnreliableLedger {
    methods! {
        write stash_put(stash: Stash) -> ();
        read stash_get(kind: &'a str, name: &'a str) -> Option<Stash>;
        write stash_remove(kind: &'a str, name: &'a str) -> ();
        write stash_sweep(before_ms: i64, most: u32) -> ();
    }
}

impl QuotaStore for UnreliableLedger {
    methods! { read usage(of: Vec<Principal>, since_ms: i64, most: u32) -> Usage; }
}

impl BlobStore for UnreliableLedger {
    methods! {
        write begin_upload(new: NewUpload) -> UploadBegun;
        write use_upload(principal: Principal, digest: ContentDigest, at_ms: i64) -> Option<Upload>;
        read upload(principal: &'a Principal, digest: ContentDigest) -> Option<Upload>;
        write finish_upload(upload: Upload, at_ms: i64) -> Option<Finished>;
        write end_upload(upload: Upload) -> bool;
        read blob(principal: &'a Principal, digest: ContentDigest) -> Option<Blob>;
        read blobs_of(run: RunId) -> Vec<Blob>;
        write blob_sweep(before_ms: i64, limit: u32) -> BlobsSwept;
        read blob_files(prefix: &'a str) -> Vec<BlobFile>;
    }
}

impl DoFileStore for UnreliableLedger {
    methods! {
        write note_do_files(run: RunId, entered: DoFiles) -> bool;
        read do_files(run: RunId) -> Option<DoFiles>;
        read do_files_due(agent_id: &'a str, limit: u32) -> Vec<RunId>;
    }
}

impl RunFileStore for UnreliableLedger {
    methods! {
        write note_files(run: RunId, left: RunFiles) -> bool;
        read files(run: RunId) -> Option<RunFiles>;
        read files_due(agent_id: &'a str, limit: u32) -> Vec<RunId>;
    }
}

impl NotificationStore for UnreliableLedger {
    methods! {
        write tell(run: RunId, receivers: Vec<String>) -> bool;
        write receiver_add(receiver: ReceiverRecord, most: u32) -> ReceiverAdded;
        write receiver_remove(principal: Principal, address: String) -> bool;
        read receivers(principal: &'a Principal) -> Vec<ReceiverRecord>;
        read notifications_due(now_ms: i64, limit: u32) -> Vec<Notification>;
        read notifications_waiting() -> Waiting;
        write notification_tried(of: NotificationKey, tried: Tried) -> bool;
        read notifications_of(principal: &'a Principal, limit: u32) -> Vec<Notification>;
        write notification_sweep(before_ms: i64, limit: u32) -> u32;
        write signing(principal: Principal, change: SigningChange) -> Signing;
    }
}

impl Ledger for UnreliableLedger {
    fn check(&self) -> Answer<'_, ()> {
        self.behind.check()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.behind.close()
    }
}
