//! Spawning, passed in so that shutdown can wait for everything that was started.
//!
//! Blocking work goes through [`blocking`]. A simulation (feature `faults`) does it in its own thread, so that one
//! thread does everything and its order can be replayed, and ends a whole group at once, as a crash does.

use std::{future::Future, io, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A group of tasks with one way to stop them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    #[cfg(feature = "faults")]
    crash: CancellationToken,
}

/// Does blocking work on a thread that may block.
///
/// # Errors
/// When the work panicked or the runtime ends.
#[allow(clippy::disallowed_methods)] // the one place that spawns blocking work
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    #[cfg(feature = "faults")]
    if simulated() {
        if spins() {
            return std::future::pending().await;
        }
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// Starts blocking work on a thread that may block, without waiting for it.
#[allow(clippy::disallowed_methods)] // the one place that spawns blocking work
pub fn in_background(work: impl FnOnce() + Send + 'static) {
    #[cfg(feature = "faults")]
    if simulated() {
        return work();
    }
    drop(tokio::task::spawn_blocking(work));
}

#[cfg(feature = "faults")]
thread_local! {
    static SIMULATED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    /// The moment of virtual time at which the latest work was done, and how many pieces were done at it.
    static BUSY: std::cell::Cell<(Option<tokio::time::Instant>, u32)> = const { std::cell::Cell::new((None, 0)) };
    static SPUN: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Pieces of work at one moment of virtual time beyond which a task counts as spinning.
#[cfg(feature = "faults")]
const MOST_AT_ONCE: u32 = 5_000;

/// From now on this thread is a simulation: [`blocking`] work is done in it, and no other thread wakes it.
#[cfg(feature = "faults")]
pub fn simulate() {
    SIMULATED.set(true);
    BUSY.set((None, 0));
    SPUN.set(false);
}

/// Whether a task of this simulation did work in a loop without time passing; that task was then suspended.
#[cfg(feature = "faults")]
pub fn spun() -> bool {
    SPUN.get()
}

/// Counts one piece of work. Virtual time stands still while a task is busy, so a loop that never waits would never
/// end.
#[cfg(feature = "faults")]
fn spins() -> bool {
    let now = tokio::time::Instant::now();
    let (last, count) = BUSY.get();
    let count = if last == Some(now) { count + 1 } else { 1 };
    BUSY.set((Some(now), count));
    if count > MOST_AT_ONCE {
        SPUN.set(true);
    }
    count > MOST_AT_ONCE
}

/// Whether this thread is a simulation.
pub fn simulated() -> bool {
    #[cfg(feature = "faults")]
    return SIMULATED.get();
    #[cfg(not(feature = "faults"))]
    false
}

impl Tasks {
    /// A new, empty group.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task that shutdown waits for. A task that must end early watches [`Tasks::stopping`].
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(self.mortal(task))
    }

    #[cfg(not(feature = "faults"))]
    fn mortal<F>(&self, task: F) -> F {
        task
    }

    #[cfg(feature = "faults")]
    fn mortal<F: Future>(&self, task: F) -> impl Future<Output = F::Output> + use<F> {
        let crash = self.crash.clone();
        // Boxed: moving a future into another stores it twice.
        let task = Box::pin(task);
        async move {
            tokio::select! {
                biased;
                () = crash.cancelled() => {}
                done = task => return done,
            }
            std::future::pending().await
        }
    }

    /// Drops every task where it stands, as a crash of the process would; they are gone when the caller has yielded.
    #[cfg(feature = "faults")]
    pub fn crash(&self) {
        self.crash.cancel();
    }

    /// Fires with [`Tasks::crash`].
    #[cfg(feature = "faults")]
    pub fn crashed(&self) -> CancellationToken {
        self.crash.clone()
    }

    /// Starts a task that is dropped at its next await when the group stops.
    pub fn spawn_until_stop<F>(&self, task: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let stop = self.stop.clone();
        // Boxed: moving a future into another stores it twice.
        let task = Box::pin(task);
        self.tracker.spawn(self.mortal(async move { stop.run_until_cancelled(task).await }))
    }

    /// Fires when the group is asked to stop.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Asks all to stop and waits for them, at most `deadline`. Returns whether all had ended.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok()
    }
}
