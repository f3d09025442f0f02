//! A quota that is reached.

use std::fmt;

use longhaul_proto::{
    api::{QuotaKind, QuotaReached},
    words,
};

/// A quota that has no room for what is asked for, in words for the one who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverQuota {
    /// Which, and how far it is used.
    pub reached: QuotaReached,
    /// When it makes sense to try again, seconds; `None` = that is not known.
    pub retry_after: Option<u32>,
}

impl fmt::Display for OverQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QuotaReached { of, kind, limit, used } = &self.reached;
        let again = self.retry_after.map(|s| format!(" in {s} s")).unwrap_or_default();
        write!(f, "quota `{kind}` of {of} is reached: ")?;
        match kind {
            QuotaKind::Queued => write!(
                f,
                "{used} runs wait, of {limit} that may; nothing was started. Try again{again}, or when one of them has started or \
                 was cancelled"
            ),
            QuotaKind::Submissions => write!(
                f,
                "{used} runs were submitted within a minute, of {limit} that may be; nothing was started. Try again{again}"
            ),
            QuotaKind::Kept => write!(
                f,
                "{} are kept (output of ended runs, and uploads), of {} that may be; nothing was started or stored. Room comes \
                 when old records are removed, and uploads that no run took go after a day",
                words::bytes(*used),
                words::bytes(*limit)
            ),
            QuotaKind::Streams => {
                write!(
                    f,
                    "{used} streams and downloads are open, of {limit} that may be. End one, and try again{again}"
                )
            }
            QuotaKind::Seats | QuotaKind::Running => write!(f, "{used} of {limit} run"),
        }?;
        write!(
            f,
            ". The operator of this gateway can change it (`quotas` in its settings); `longhaul quotas` shows all of yours"
        )
    }
}

impl std::error::Error for OverQuota {}
