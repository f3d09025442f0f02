//! The value, its sender and its receivers.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::PoisonError,
    task::{Context, Poll, Waker},
};

use super::sync::{Arc, Mutex, MutexGuard};

/// The sender. When it is dropped, receivers that have the last value get an error.
#[derive(Debug)]
pub struct OrderedWatch<T>(Arc<Shared<T>>);

/// A receiver that follows the value.
#[derive(Debug)]
pub struct OrderedReceiver<T> {
    shared: Arc<Shared<T>>,
    received: u64,
}

/// The sender is gone: the value will not change any more.
#[derive(Debug, thiserror::Error)]
#[error("this value has no sender any more")]
pub struct Closed;

#[derive(Debug)]
struct Shared<T>(Mutex<Value<T>>);

#[derive(Debug)]
struct Value<T> {
    value: T,
    /// Counts the changes.
    version: u64,
    closed: bool,
    /// Who waits, by the place in the row.
    waiting: BTreeMap<u64, Waker>,
    next_place: u64,
}

impl<T> Shared<T> {
    // Held for a read or a change, never over an await.
    fn lock(&self) -> MutexGuard<'_, Value<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes all that wait, in the order in which they began to.
    fn wake(&self) {
        let woken = std::mem::take(&mut self.lock().waiting);
        // Without the lock: what is woken may come here at once.
        woken.into_values().for_each(Waker::wake);
    }
}

impl<T: Clone> OrderedWatch<T> {
    /// Starts with a value.
    pub fn new(value: T) -> Self {
        let value = Value { value, version: 0, closed: false, waiting: BTreeMap::new(), next_place: 0 };
        Self(Arc::new(Shared(Mutex::new(value))))
    }

    /// A copy of the value.
    pub fn get(&self) -> T {
        self.0.lock().value.clone()
    }

    /// Changes the value; waiting receivers are woken when `change` returns true.
    pub fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) {
        let mut value = self.0.lock();
        let modified = change(&mut value.value);
        value.version += u64::from(modified);
        drop(value);
        if modified {
            self.0.wake();
        }
    }

    /// A receiver that follows the value from now on.
    pub fn subscribe(&self) -> OrderedReceiver<T> {
        OrderedReceiver { received: self.0.lock().version, shared: self.0.clone() }
    }
}

impl<T> Drop for OrderedWatch<T> {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.wake();
    }
}

impl<T: Clone> OrderedReceiver<T> {
    /// A copy of the value, which counts as received.
    pub fn get(&mut self) -> T {
        let value = self.shared.lock();
        self.received = value.version;
        value.value.clone()
    }

    /// Waits for a value that this receiver has not received.
    ///
    /// # Errors
    /// When no other value will come.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        Change { receiver: self, place: None }.await
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

/// A wait for a change.
struct Change<'a, T> {
    receiver: &'a mut OrderedReceiver<T>,
    /// Its place in the row; `None` = it does not wait yet.
    place: Option<u64>,
}

impl<T> Future for Change<'_, T> {
    type Output = Result<(), Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { receiver, place } = &mut *self;
        // One lock for the look and for the entry in the row, or a change between the two would be missed.
        let mut value = receiver.shared.lock();
        if value.version != receiver.received {
            receiver.received = value.version;
            return Poll::Ready(Ok(()));
        }
        // Only now: a value that was sent before the end is received before it.
        if value.closed {
            return Poll::Ready(Err(Closed));
        }
        let Value { waiting, next_place, .. } = &mut *value;
        let place = *place.get_or_insert_with(|| {
            *next_place += 1;
            *next_place
        });
        waiting.insert(place, cx.waker().clone());
        Poll::Pending
    }
}

impl<T> Drop for Change<'_, T> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.receiver.shared.lock().waiting.remove(&place);
        }
    }
}
