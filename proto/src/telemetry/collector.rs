//! How it stands with the collector of one signal: reported once when nothing can be sent, and once when it can again.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use opentelemetry_sdk::error::OTelSdkResult;

use super::otlp::Signal;

/// See the module.
#[derive(Debug)]
pub(super) struct Standing {
    signal: Signal,
    /// The latest batch was not taken.
    failing: AtomicBool,
    /// A batch is on its way: since when, in milliseconds since the process began to report; 0 = none.
    since_ms: AtomicU64,
}

/// A batch that is on its way for so long waits for a collector that hangs.
const HANGS: Duration = Duration::from_millis(250);

impl Standing {
    pub(super) fn of(signal: Signal) -> Self {
        Self { signal, failing: AtomicBool::new(false), since_ms: AtomicU64::new(0) }
    }

    /// Whether it is of use to wait for the collector: it has not refused the latest batch, and does not let one wait.
    pub(super) fn is_well(&self, now: Duration) -> bool {
        let since = Duration::from_millis(self.since_ms.load(Ordering::Relaxed));
        !self.failing.load(Ordering::Relaxed) && (since.is_zero() || now.saturating_sub(since) < HANGS)
    }

    /// Sends a batch.
    ///
    /// # Errors
    /// As `export` has them.
    pub(super) async fn send(&self, export: impl Future<Output = OTelSdkResult>) -> OTelSdkResult {
        let now = u64::try_from(super::now().as_millis()).unwrap_or(u64::MAX);
        self.since_ms.store(now.max(1), Ordering::Relaxed);
        let sent = export.await;
        self.since_ms.store(0, Ordering::Relaxed);
        sent
    }

    /// Reports what became of a batch, if it is another thing than of the one before. `dropped` is how much has been lost
    /// so far, of a signal of which something is lost then.
    pub(super) fn report(&self, sent: &OTelSdkResult, dropped: Option<u64>) {
        let was_failing = self.failing.swap(sent.is_err(), Ordering::Relaxed);
        let (what, lost) = (self.signal.plural(), dropped.map_or("", |_| " and are dropped"));
        match sent {
            Err(error) if !was_failing => tracing::warn!("{what} cannot be sent{lost}: {error}"),
            Ok(()) if was_failing => tracing::info!(dropped, "{what} are sent again"),
            _ => {}
        }
    }
}
