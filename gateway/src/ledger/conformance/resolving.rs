//! A caller that knows what to do when a ledger does not answer: it looks up whether the write was done, by run, attempt
//! and state, and otherwise writes again.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{FutureExt, future::BoxFuture};

use longhaul_proto::digest::ContentDigest;

use super::*;
use crate::{
    ledger::{
        AgentStore, Answer, Blob, BlobFile, BlobStore, BlobsSwept, Change, ChangeStore, DoFileStore, DoFiles, Ended,
        Finished, InvitationStore, LeaseStore, NewUpload, NotificationStore, QuotaStore, RunFileStore, RunFiles,
        RunStore, Signing, StashStore, TokenStore, TransitionRow, UpkeepStore, Upload, UploadBegun, Usage, Waiting,
        methods::methods,
        unreliable::{Strikes, UnreliableLedger},
    },
    model::Removed,
};

pub(super) struct Resolving {
    behind: UnreliableLedger,
    /// The ledger answers.
    answers: Arc<AtomicBool>,
}

impl Resolving {
    /// Before the model, behind a ledger that does not always answer; what befalls it follows from the seed.
    pub(super) fn new(seed: u64) -> Self {
        let (model, answers) = (Arc::new(MemoryLedger::new("c1")), Arc::new(AtomicBool::new(false)));
        let (copied, always, state) = (model.clone(), answers.clone(), std::sync::Mutex::new(seed));
        let strikes: Strikes = Box::new(move |per_mille| {
            let mut state = state.lock().unwrap();
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*state >> 33) % 1000 < per_mille && !always.load(Ordering::Relaxed)
        });
        Self { behind: UnreliableLedger::before(model, move || copied.copy(), strikes), answers }
    }

    /// Writes until it is answered: these writes may be done twice.
    fn write<'a, T: Send + 'a>(&'a self, mut call: impl FnMut() -> Answer<'a, T> + Send + 'a) -> Answer<'a, T> {
        async move {
            loop {
                match call().await {
                    Err(LedgerError::Unknown(_)) => {}
                    answer => return answer,
                }
            }
        }
        .boxed()
    }

    /// Writes what says whether it did something, which is known only if it is answered.
    fn sure<'a, T: Send + 'a>(&'a self, call: impl FnOnce() -> Answer<'a, T> + Send + 'a) -> Answer<'a, T> {
        async move {
            self.answers.store(true, Ordering::Relaxed);
            let answer = call().await;
            self.answers.store(false, Ordering::Relaxed);
            answer
        }
        .boxed()
    }

    fn replica(&self, _: Read) -> Option<Arc<MemoryLedger>> {
        None
    }

    /// What the ledger has of a run; a caller that treats no answer as a failure does not ask.
    async fn look_up(&self, run: RunId) -> Option<Record> {
        if longhaul_proto::faults::bug("unknown_is_failed") {
            return None;
        }
        self.behind.get(run).await.unwrap()
    }
}

impl RunStore for Resolving {
    fn insert(&self, new: NewRun) -> Answer<'_, Inserted> {
        async move {
            loop {
                match self.behind.insert(new.clone()).await {
                    Err(LedgerError::Unknown(_)) if self.look_up(new.record.run).await.is_some() => {
                        return Ok(Inserted::New);
                    }
                    Err(LedgerError::Unknown(_)) => {}
                    answer => return answer,
                }
            }
        }
        .boxed()
    }

    fn transition(&self, step: Transition) -> Answer<'_, ()> {
        async move {
            let there = |record: Record| (record.state, record.attempt()) == (step.to, step.attempt());
            loop {
                match self.behind.transition(step.clone()).await {
                    Err(LedgerError::Unknown(_)) if self.look_up(step.run).await.is_some_and(there) => return Ok(()),
                    Err(LedgerError::Unknown(_)) => {}
                    answer => return answer,
                }
            }
        }
        .boxed()
    }

    methods! {
        write name_run(principal: Principal, key: (String, String), run: RunId) -> ();
        write request_cancel(run: RunId, intent: CancelIntent) -> bool;
        write mark_shown(runs: Vec<RunId>, at_ms: i64) -> ();
        sure adopt(adoption: Adoption) -> bool;
        sure contest(run: RunId, words: String) -> bool;
        plain take_over(gateway: String) -> Owner;
        read get(run: RunId) -> Option<Record>;
        read get_many(runs: &'a [RunId]) -> Vec<Record>;
        read submission(run: RunId) -> Option<wire::Submission>;
        read by_key(principal: &'a Principal, key: &'a str) -> Option<(RunId, String)>;
        read by_tail(principal: Option<&'a Principal>, tail: &'a str, limit: u32) -> Vec<RunId>;
        plain list(query: ListQuery) -> Vec<Record>;
        read unfinished() -> Vec<Record>;
        read history(run: RunId) -> Vec<TransitionRow>;
        read attempts(run: RunId) -> Vec<AttemptRow>;
    }
}

impl LeaseStore for Resolving {
    methods! {
        write take_lease(lease: LeaseRecord, owner: Owner) -> ();
        sure free_lease(run: RunId, attempt: Option<Attempt>, owner: Owner) -> bool;
        read leases() -> Vec<LeaseRecord>;
    }
}

impl ChangeStore for Resolving {
    methods! {
        read changes_since(seq: u64, limit: u32) -> Vec<Change>;
        read steps_since(after: StepCursor, limit: u32) -> Vec<StepRow>;
        read latest_step() -> StepCursor;
    }
}

impl UpkeepStore for Resolving {
    methods! {
        read ended_count() -> u64;
        read newest_ms() -> i64;
        read ended(before_ms: i64, limit: u32) -> Vec<Ended>;
        sure sweep(before_ms: i64, limit: u32, here: Vec<String>, at_ms: i64) -> Vec<Ended>;
        sure remove(run: RunId, at_ms: i64) -> bool;
        read removed(run: RunId) -> Option<Removed>;
        read removed_since(at_ms: i64) -> Vec<RunId>;
        write removed_sweep(before_ms: i64, most: u32) -> ();
        sure call_sweep(before_ms: i64, limit: u32) -> u32;
        write spool_gone(run: RunId, words: Option<String>) -> ();
        write earlier_spool_gone(run: RunId, words: String) -> ();
        write only_files_kept(run: RunId) -> ();
        write files_removed(run: RunId, what: FilesRemoved) -> ();
        read spools_held(agent_id: &'a str, before_ms: i64, copy: MirrorCopy, limit: u32) -> Vec<RunId>;
        read files_held(agent_id: &'a str, before_ms: i64, limit: u32) -> Vec<RunId>;
    }
}

impl AgentStore for Resolving {
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

impl InvitationStore for Resolving {
    methods! {
        write invite(invitation: InvitationRecord) -> ();
        read invitations() -> Vec<InvitationRecord>;
        read invitation(digest: String) -> Option<InvitationRecord>;
        write withdraw_invitation(digest: String, at_ms: i64) -> bool;
        write use_invitation(digest: String, pin: PinRecord) -> bool;
    }
}

impl TokenStore for Resolving {
    methods! {
        sure token_add(token: TokenRecord) -> bool;
        read token_find(sha256: &'a str) -> Option<TokenRecord>;
        read token_list() -> Vec<TokenRecord>;
        sure token_revoke(name: &'a str, at_ms: i64) -> bool;
        sure token_rotate(name: &'a str, rotation: Rotation) -> Option<TokenRecord>;
        read principals_called(subject: &'a str) -> Vec<Principal>;
    }
}

impl StashStore for Resolving {
    methods! {
        write stash_put(stash: Stash) -> ();
        read stash_get(kind: &'a str, name: &'a str) -> Option<Stash>;
        write stash_remove(kind: &'a str, name: &'a str) -> ();
        write stash_sweep(before_ms: i64, most: u32) -> ();
    }
}

impl QuotaStore for Resolving {
    methods! { read usage(of: Vec<Principal>, since_ms: i64, most: u32) -> Usage; }
}

impl BlobStore for Resolving {
    methods! {
        write begin_upload(new: NewUpload) -> UploadBegun;
        write use_upload(principal: Principal, digest: ContentDigest, at_ms: i64) -> Option<Upload>;
        read upload(principal: &'a Principal, digest: ContentDigest) -> Option<Upload>;
        write finish_upload(upload: Upload, at_ms: i64) -> Option<Finished>;
        sure end_upload(upload: Upload) -> bool;
        read blob(principal: &'a Principal, digest: ContentDigest) -> Option<Blob>;
        read blobs_of(run: RunId) -> Vec<Blob>;
        sure blob_sweep(before_ms: i64, limit: u32) -> BlobsSwept;
        read blob_files(prefix: &'a str) -> Vec<BlobFile>;
    }
}

impl DoFileStore for Resolving {
    methods! {
        write note_do_files(run: RunId, entered: DoFiles) -> bool;
        read do_files(run: RunId) -> Option<DoFiles>;
        read do_files_due(agent_id: &'a str, limit: u32) -> Vec<RunId>;
    }
}

impl RunFileStore for Resolving {
    methods! {
        write note_files(run: RunId, left: RunFiles) -> bool;
        read files(run: RunId) -> Option<RunFiles>;
        read files_due(agent_id: &'a str, limit: u32) -> Vec<RunId>;
    }
}

impl NotificationStore for Resolving {
    methods! {
        write tell(run: RunId, receivers: Vec<String>) -> bool;
        sure receiver_add(receiver: ReceiverRecord, most: u32) -> ReceiverAdded;
        write receiver_remove(principal: Principal, address: String) -> bool;
        read receivers(principal: &'a Principal) -> Vec<ReceiverRecord>;
        read notifications_due(now_ms: i64, limit: u32) -> Vec<Notification>;
        read notifications_waiting() -> Waiting;
        sure notification_tried(of: NotificationKey, tried: Tried) -> bool;
        read notifications_of(principal: &'a Principal, limit: u32) -> Vec<Notification>;
        sure notification_sweep(before_ms: i64, limit: u32) -> u32;
        sure signing(principal: Principal, change: SigningChange) -> Signing;
    }
}

impl Ledger for Resolving {
    fn check(&self) -> Answer<'_, ()> {
        self.behind.check()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.behind.close()
    }
}
