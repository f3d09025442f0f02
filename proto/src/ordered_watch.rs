//! The latest value of something, followed by many: like `tokio::sync::watch`, but waiting receivers are woken in the
//! order in which they started to wait instead of a random one, so that what follows can be replayed.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Notify;

/// The sender. When it is dropped, waiting receivers get an error.
#[derive(Debug)]
pub struct OrderedWatch<T>(Arc<Value<T>>);

/// A receiver that follows the value.
#[derive(Debug)]
pub struct OrderedReceiver<T> {
    shared: Arc<Value<T>>,
    received: u64,
}

/// The sender is gone: the value will not change any more.
#[derive(Debug, thiserror::Error)]
#[error("this value has no sender any more")]
pub struct Closed;

#[derive(Debug)]
struct Value<T> {
    value: Mutex<(u64, T)>,
    changed: Notify,
    closed: AtomicBool,
}

impl<T> Value<T> {
    // Held for a read or a change, never over an await.
    fn lock(&self) -> MutexGuard<'_, (u64, T)> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> OrderedWatch<T> {
    /// Starts with a value.
    pub fn new(value: T) -> Self {
        let value = Mutex::new((0, value));
        Self(Arc::new(Value { value, changed: Notify::new(), closed: AtomicBool::new(false) }))
    }

    /// A copy of the value.
    pub fn get(&self) -> T {
        self.0.lock().1.clone()
    }

    /// Changes the value; waiting receivers are woken when `change` returns true.
    pub fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) {
        let mut value = self.0.lock();
        let modified = change(&mut value.1);
        value.0 += u64::from(modified);
        drop(value);
        if modified {
            self.0.changed.notify_waiters();
        }
    }

    /// A receiver that follows the value from now on.
    pub fn subscribe(&self) -> OrderedReceiver<T> {
        OrderedReceiver { received: self.0.lock().0, shared: self.0.clone() }
    }
}

impl<T> Drop for OrderedWatch<T> {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }
}

impl<T: Clone> OrderedReceiver<T> {
    /// A copy of the value, which counts as received.
    pub fn get(&mut self) -> T {
        let value = self.shared.lock();
        self.received = value.0;
        value.1.clone()
    }

    /// Waits for a value that this receiver has not received.
    ///
    /// # Errors
    /// When no other value will come.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        loop {
            let mut change = std::pin::pin!(self.shared.changed.notified());
            // Enabled before the value is read, or a change between the read and the wait would be missed.
            change.as_mut().enable();
            let now = self.shared.lock().0;
            if now != self.received {
                self.received = now;
                return Ok(());
            }
            if self.shared.closed.load(Ordering::Acquire) {
                return Err(Closed);
            }
            change.await;
        }
    }

    /// Waits until `so` holds for the value; at once when it does.
    ///
    /// # Errors
    /// When it never will.
    pub async fn wait_for(&mut self, so: impl Fn(&T) -> bool) -> Result<T, Closed> {
        loop {
            let value = self.get();
            if so(&value) {
                return Ok(value);
            }
            self.changed().await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_change_is_missed_and_the_end_is_told() {
        let latest = OrderedWatch::new(1);
        let mut follow = latest.subscribe();
        latest.send_if_modified(|n| {
            *n = 2;
            false
        });
        latest.send_if_modified(|n| {
            *n += 1;
            true
        });
        follow.changed().await.unwrap();
        assert_eq!((follow.get(), latest.get()), (3, 3));
        assert_eq!(follow.wait_for(|n| *n == 3).await.unwrap(), 3);
        let (woken, ()) = tokio::join!(follow.changed(), async { drop(latest) });
        assert!(woken.is_err() && follow.wait_for(|n| *n == 4).await.is_err());
    }
}
