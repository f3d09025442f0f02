//! The latest value of something, followed by many: like `tokio::sync::watch`, but waiting receivers are woken in the
//! order in which they started to wait instead of a random one, so that what follows can be replayed.
//!
//! No change is missed: a receiver that waits is woken by every change after the value that it received last, and by the
//! end of the sender, which it learns after the last value. `schedules` shows that for every order in which threads can
//! meet here.

mod value;

#[cfg(test)]
mod schedules;

/// What the value is shared with. `schedules` compiles the same source with loom's.
mod sync {
    pub(super) use std::sync::{Arc, Mutex, MutexGuard};
}

pub use value::{Closed, OrderedReceiver, OrderedWatch};

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        task::{Context, Wake, Waker},
    };

    use super::{
        sync::{Arc, Mutex},
        *,
    };

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

    #[tokio::test]
    async fn the_last_value_comes_before_the_end() {
        let latest = OrderedWatch::new(1);
        let mut follow = latest.subscribe();
        latest.send_if_modified(|n| {
            *n = 2;
            true
        });
        drop(latest);
        follow.changed().await.unwrap();
        assert_eq!(follow.get(), 2);
        assert!(follow.changed().await.is_err());
    }

    /// Notes that it was woken.
    struct Noted(u32, Arc<Mutex<Vec<u32>>>);

    impl Wake for Noted {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    #[test]
    fn receivers_are_woken_in_the_order_in_which_they_wait() {
        let latest = OrderedWatch::new(0);
        let woken = Arc::new(Mutex::new(Vec::new()));
        let mut receivers = [latest.subscribe(), latest.subscribe(), latest.subscribe(), latest.subscribe()];
        let mut waits: Vec<_> = receivers.iter_mut().map(|receiver| Box::pin(receiver.changed())).collect();
        for n in [2, 0, 3, 1, 0] {
            let waker = Waker::from(Arc::new(Noted(n, woken.clone())));
            assert!(waits[n as usize].as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        drop(waits.pop());
        latest.send_if_modified(|n| {
            *n += 1;
            true
        });
        assert_eq!(*woken.lock().unwrap(), [2, 0, 1], "polled again, it keeps its place; given up, it has none");
    }
}
