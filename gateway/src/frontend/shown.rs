//! What has to be asked for, of the scheduler, the ledger and the disk, before `/metrics` can be answered: it is asked for
//! just before, and as often as metrics are sent where they are sent by OTLP.

use std::sync::{Arc, Mutex, PoisonError};

use longhaul_proto::api::{HostView, PoolView};

/// A quota that the settings name.
#[derive(Debug)]
pub(crate) struct QuotaNumbers {
    /// Whose, `group NAME` for a group.
    pub(crate) of: String,
    pub(crate) kind: &'static str,
    pub(crate) pool: String,
    pub(crate) limit: Option<u64>,
    pub(crate) used: u64,
}

/// What there was when it was last asked for.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub(crate) hosts: Vec<HostView>,
    pub(crate) pools: Vec<PoolView>,
    pub(crate) quotas: Vec<QuotaNumbers>,
    /// Free and in all on the disk of the data folder, bytes.
    pub(crate) disk: Option<(u64, u64)>,
    /// Bytes of the ledger's files.
    pub(crate) ledger: Option<u64>,
}

/// The latest look.
#[derive(Debug, Default)]
pub(crate) struct Shown(Mutex<Arc<Look>>);

impl Shown {
    pub(crate) fn now(&self) -> Arc<Look> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, look: Look) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(look);
    }
}
