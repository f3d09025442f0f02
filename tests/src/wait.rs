//! Waiting for conditions, with a limit that only a broken program reaches.

use std::time::Duration;

use longhaul_proto::clock::Clock;

/// How often a condition is checked.
pub const POLL: Duration = Duration::from_millis(20);

/// Generous limit for anything that ought to take a second or so on a busy machine.
pub const SOON: Duration = Duration::from_secs(60);

/// Checks again and again until `cond` gives a value.
///
/// # Panics
/// When `limit` has passed, naming `what`.
pub async fn until<T>(limit: Duration, what: &str, mut cond: impl AsyncFnMut() -> Option<T>) -> T {
    let clock = Clock::system();
    loop {
        if let Some(value) = cond().await {
            return value;
        }
        assert!(clock.monotonic() < limit, "waited {limit:?} in vain: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// [`until`] for a condition that needs no await.
///
/// # Panics
/// As [`until`].
pub async fn until_now<T>(limit: Duration, what: &str, mut cond: impl FnMut() -> Option<T>) -> T {
    until(limit, what, async || cond()).await
}
