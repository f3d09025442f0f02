//! What principals use of what quotas limit, counted from the records. A count costs no more than there are unfinished runs of
//! these principals, and runs of theirs within a minute.

use longhaul_proto::api::{QuotaKind, QuotaReached};

use super::Answer;
use crate::model::{OverQuota, Principal};

/// When a caller is told to try again whose runs wait, seconds.
const RETRY_AFTER: u32 = 30;
/// The time within which submissions are counted, ms.
pub const MINUTE: i64 = 60_000;

/// The records, for those who ask what is used of a quota.
pub trait QuotaStore: Send + Sync + 'static {
    /// What these principals use together. Of runs that were recorded after `since_ms` only the newest `most` of each are
    /// looked at.
    fn usage(&self, of: Vec<Principal>, since_ms: i64, most: u32) -> Answer<'_, Usage>;
}

/// What some principals use together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Runs that wait.
    pub queued: u64,
    /// Runs that are with an agent.
    pub running: u64,
    /// Bytes of the output of ended runs, and of blobs.
    pub kept: u64,
    /// When their newest runs were recorded, Unix ms, the newest first.
    pub recorded_ms: Vec<i64>,
}

/// A quota that a new run must have room in.
#[derive(Clone, Debug, Default)]
pub struct Room {
    /// Whose it is, in words.
    pub of: String,
    /// Who counts.
    pub members: Vec<Principal>,
    /// Most runs that wait.
    pub queued: Option<u64>,
    /// Most bytes that are kept.
    pub kept: Option<u64>,
    /// Most runs within a minute.
    pub submissions: Option<u64>,
    /// Now, Unix ms.
    pub now_ms: i64,
}

impl Usage {
    /// Adds what another principal uses.
    pub(super) fn add(&mut self, other: Self) {
        self.queued += other.queued;
        self.running += other.running;
        self.kept += other.kept;
        self.recorded_ms.extend(other.recorded_ms);
        self.recorded_ms.sort_by(|a, b| b.cmp(a));
    }
}

impl Room {
    /// Whether there is anything to count.
    pub fn is_bounded(&self) -> bool {
        self.queued.is_some() || self.kept.is_some() || self.submissions.is_some()
    }

    /// Since when runs are counted, and how many of each principal at most.
    pub(super) fn looks(&self) -> (i64, u32) {
        let most = self.submissions.map_or(0, |most| u32::try_from(most).unwrap_or(u32::MAX));
        (self.now_ms.saturating_sub(MINUTE), most)
    }

    /// Whether another run has room beside what is used; `waits` = it would wait for a seat.
    ///
    /// # Errors
    /// The quota that is reached.
    pub(super) fn check(&self, used: &Usage, waits: bool) -> Result<(), OverQuota> {
        let over = |kind, used: u64, limit: Option<u64>, retry_after| {
            let limit = limit.filter(|limit| used >= *limit)?;
            Some(OverQuota { reached: QuotaReached { of: self.of.clone(), kind, limit, used }, retry_after })
        };
        let submitted = used.recorded_ms.len() as u64;
        // There is room when the run that is now the limit's last has become older than a minute.
        let nth = self.submissions.and_then(|most| used.recorded_ms.get(usize::try_from(most.saturating_sub(1)).ok()?));
        let free_ms = nth.map_or(MINUTE, |at| (at + MINUTE - self.now_ms).clamp(1, MINUTE));
        let free_s = u32::try_from((free_ms + 999) / 1000).ok();
        let queued = self.queued.filter(|_| waits);
        let refused = over(QuotaKind::Kept, used.kept, self.kept, None)
            .or_else(|| over(QuotaKind::Submissions, submitted, self.submissions, free_s))
            .or_else(|| over(QuotaKind::Queued, used.queued, queued, Some(RETRY_AFTER)));
        refused.map_or(Ok(()), Err)
    }
}
