//! The ledger: the gateway's durable record. Two writers can never both believe that they moved a run.
//!
//! A run is recorded before any message about it leaves: [`Ledger::insert`] returns when the row is on disk. From then
//! on every change of its state is one conditional update that names the expected state and attempt (the fencing
//! token). If it changes zero rows, another writer was first, and the update fails.
//!
//! The trait has two implementations: [`sqlite`], which a gateway uses, and [`memory`], the model that defines what is
//! meant. One conformance suite ([`conformance`]) holds both to it. Output is never stored here: bytes belong to the
//! mirror.

pub mod bench;
#[cfg(test)]
mod conformance;
mod disk;
#[cfg(test)]
mod golden;
pub mod memory;
mod record;
mod schema;
pub mod sqlite;
mod writer;

use futures_util::future::BoxFuture;
use longhaul_proto::{api::FilesRemoved, ids::RunId, state::RunState, wire};

use crate::model::Principal;
use record::Candidate;
pub use record::{
    Adoption, AgentRecord, CALL, CancelWish, Condition, Dedupe, Detail, DrainRecord, Earlier, Ended, HeldSpool,
    Inserted, ListQuery, NewRun, PinRecord, PinState, Record, Removed, Stash, TokenRecord, Told, Transition,
    TransitionRow, is_call,
};

/// Stands for the digest of a request that is no longer known: then the key alone decides that it is the same call.
pub(crate) const UNKNOWN_BODY: &str = "";

/// What a call to a ledger returns.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, LedgerError>>;

/// Why the ledger did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LedgerError {
    /// The folder cannot hold a ledger.
    #[error("cannot keep the ledger in {folder}: {reason}")]
    Place {
        /// The folder.
        folder: String,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// A newer program wrote this file.
    #[error("the ledger has format {found}, and this program knows up to {known}: use the newer longhaul again")]
    TooNew {
        /// Format in the file.
        found: i64,
        /// Newest format that this program knows.
        known: i64,
    },
    /// The run was no longer in the expected state and attempt.
    #[error("run {0} was changed by another writer in the meantime")]
    LostRace(RunId),
    /// The state machine has no such edge.
    #[error("a run cannot go from {from} to {to}")]
    NoSuchEdge {
        /// State before.
        from: RunState,
        /// State asked for.
        to: RunState,
    },
    /// There is no room for another run.
    #[error("no room for another run")]
    Full,
    /// The key was used for another request.
    #[error("key used for another request")]
    KeyTaken(RunId),
    /// Reading or writing failed.
    #[error("the ledger cannot be read or written")]
    Storage(#[source] std::sync::Arc<dyn std::error::Error + Send + Sync>),
    /// A row that this program cannot understand.
    #[error("a record in the ledger cannot be understood: {0}")]
    Broken(String),
    /// The ledger was closed.
    #[error("the ledger is closed")]
    Closed,
}

/// The durable record of everything that the gateway must not forget.
pub trait Ledger: Send + Sync + 'static {
    /// The id of this ledger; agents are bound to it.
    fn cluster_id(&self) -> &str;

    /// Records a new run as `queued` (or as found, when imported), unless the run of its key, of the same call or of an
    /// equal request answers instead.
    fn insert(&self, new: NewRun) -> Answer<'_, Inserted>;
    /// Binds the key and the digest of a request to the earlier run that answered it, so that a repeated call gets the
    /// same run. An idempotency key that a caller chose keeps the run that it names.
    fn name_run(&self, principal: Principal, key: (String, String), run: RunId) -> Answer<'_, ()>;
    /// Moves a run: one conditional update, and one row in its history.
    fn transition(&self, step: Transition) -> Answer<'_, ()>;
    /// Keeps the request to end a run that is unfinished or lost: a lost run may still be executing on an agent that is
    /// away. The first request names who asked; a later one may be harder.
    fn want_cancel(&self, run: RunId, wish: CancelWish) -> Answer<'_, bool>;
    /// Notes that the owners of these runs were shown their ends; only the first time counts. Unfinished runs are
    /// skipped.
    fn seen(&self, runs: Vec<RunId>, at_ms: i64) -> Answer<'_, ()>;
    /// Notes that the agent has no spool of the run any more; `words` become the record's [`Condition::Released`].
    fn spool_gone(&self, run: RunId, words: Option<String>) -> Answer<'_, ()>;
    /// Notes that the agent deleted the spool except for the run's files.
    fn only_files_kept(&self, run: RunId) -> Answer<'_, ()>;
    /// Notes in the record of an ended run that its files were deleted.
    fn files_removed(&self, run: RunId, what: FilesRemoved) -> Answer<'_, ()>;
    /// Gives an unverified run to its principal; `false` when there is no such run, or it has a principal already.
    fn adopt(&self, adoption: Adoption) -> Answer<'_, bool>;
    /// Notes another result that was reported for a run ([`Detail::contest`]); `false` when nothing was noted.
    fn contest(&self, run: RunId, words: String) -> Answer<'_, bool>;

    /// One run.
    fn get(&self, run: RunId) -> Answer<'_, Option<Record>>;
    /// Those of these runs that exist, in the order of their ids, each as [`Ledger::get`] would return it.
    fn get_many<'a>(&'a self, runs: &'a [RunId]) -> Answer<'a, Vec<Record>>;
    /// The whole request of a run.
    fn submission(&self, run: RunId) -> Answer<'_, Option<wire::Submission>>;
    /// The run of a key, with the digest of the request that made it.
    fn by_key<'a>(&'a self, principal: &'a Principal, key: &'a str) -> Answer<'a, Option<(RunId, String)>>;
    /// Runs whose id ends with `tail` (8 or more hex characters), at most `limit`; of one principal or of all.
    fn by_tail<'a>(&'a self, principal: Option<&'a Principal>, tail: &'a str, limit: u32) -> Answer<'a, Vec<RunId>>;
    /// Runs, newest first.
    fn list(&self, query: ListQuery) -> Answer<'_, Vec<Record>>;
    /// All unfinished runs, oldest first.
    fn active(&self) -> Answer<'_, Vec<Record>>;
    /// The steps of a run, in order.
    fn history(&self, run: RunId) -> Answer<'_, Vec<TransitionRow>>;

    /// Removes at most `limit` runs that ended before `before_ms`; returns which. A run stays while an agent in `here`
    /// keeps its spool or files: that agent is asked to delete them first. What other agents may still report is
    /// remembered as of `at_ms`.
    fn sweep(&self, before_ms: i64, limit: u32, here: Vec<String>, at_ms: i64) -> Answer<'_, Vec<RunId>>;
    /// How many runs have ended.
    fn ended_count(&self) -> Answer<'_, u64>;
    /// The newest time that is recorded of a run or an agent, Unix ms; 0 = none.
    fn newest_ms(&self) -> Answer<'_, i64>;
    /// At most `limit` runs that ended (but were not lost) before `before_ms`, oldest end first.
    fn ended(&self, before_ms: i64, limit: u32) -> Answer<'_, Vec<Ended>>;
    /// Removes an ended run; `false` when there is none. Remembered as by [`Ledger::sweep`].
    fn remove(&self, run: RunId, at_ms: i64) -> Answer<'_, bool>;
    /// Runs that ended (but were not lost) before `before_ms` and whose spool this agent still keeps: those whose
    /// mirror is `whole`, or those whose mirror is not.
    fn spools_held<'a>(&'a self, agent_id: &'a str, before_ms: i64, whole: bool, limit: u32) -> Answer<'a, Vec<RunId>>;
    /// Runs that ended before `before_ms` and of which this agent keeps only the files.
    fn files_held<'a>(&'a self, agent_id: &'a str, before_ms: i64, limit: u32) -> Answer<'a, Vec<RunId>>;
    /// What is remembered of a run whose record was removed.
    fn removed(&self, run: RunId) -> Answer<'_, Option<Removed>>;
    /// Forgets runs that were removed before `before_ms`, and all but the newest `most`.
    fn removed_sweep(&self, before_ms: i64, most: u32) -> Answer<'_, ()>;

    /// Stores an agent.
    fn put_agent(&self, agent: AgentRecord) -> Answer<'_, ()>;
    /// All stored agents.
    fn agents(&self) -> Answer<'_, Vec<AgentRecord>>;

    /// Stores a key's pin, replacing the earlier one.
    fn put_pin(&self, pin: PinRecord) -> Answer<'_, ()>;
    /// All pins.
    fn pins(&self) -> Answer<'_, Vec<PinRecord>>;

    /// Drains hosts; a host that is already drained gets the new record.
    fn drain(&self, hosts: Vec<DrainRecord>) -> Answer<'_, ()>;
    /// Ends the drain of hosts; those that were not drained stay as they are.
    fn resume(&self, hosts: Vec<String>) -> Answer<'_, ()>;
    /// All drained hosts, by name.
    fn drains(&self) -> Answer<'_, Vec<DrainRecord>>;

    /// Adds a token; its name must be new.
    fn token_add(&self, token: TokenRecord) -> Answer<'_, bool>;
    /// The token with this SHA-256 (hex), revoked or expired ones too.
    fn token_find<'a>(&'a self, sha256: &'a str) -> Answer<'a, Option<TokenRecord>>;
    /// All tokens.
    fn token_list(&self) -> Answer<'_, Vec<TokenRecord>>;
    /// The principals with this subject, of any issuer, that a token stands for or that own a run.
    fn principals_called<'a>(&'a self, subject: &'a str) -> Answer<'a, Vec<Principal>>;
    /// Revokes a token by name; `false` when there is none that is not yet revoked.
    fn token_revoke<'a>(&'a self, name: &'a str, at_ms: i64) -> Answer<'a, bool>;

    /// Stores a stash entry, replacing one of the same kind and name.
    fn memo_put(&self, memo: Stash) -> Answer<'_, ()>;
    /// The stash entry of this kind and name.
    fn memo_get<'a>(&'a self, kind: &'a str, name: &'a str) -> Answer<'a, Option<Stash>>;
    /// Removes a stash entry; a missing one is no error.
    fn memo_remove<'a>(&'a self, kind: &'a str, name: &'a str) -> Answer<'a, ()>;
    /// Removes the names of calls ([`is_call`]) whose runs ended before `before_ms`, at most `limit`; returns how many.
    fn call_sweep(&self, before_ms: i64, limit: u32) -> Answer<'_, u32>;
    /// Removes stash entries made before `before_ms`, and all but the newest `most`.
    fn memo_sweep(&self, before_ms: i64, most: u32) -> Answer<'_, ()>;

    /// Whether it can be written now.
    fn check(&self) -> Answer<'_, ()>;
    /// Writes what is pending and closes.
    fn close(&self) -> BoxFuture<'_, ()>;
}
