//! Every order in which a sender and its receivers can meet, played by loom. A change that wakes no receiver shows as threads
//! that wait for ever, which loom reports.

/// The same source, on loom's locks.
#[path = "value.rs"]
#[allow(dead_code, unreachable_pub, clippy::duplicate_mod)] // compiled a second time, with other locks
mod value;

mod sync {
    pub(super) use loom::sync::{Arc, Mutex, MutexGuard};
}

use std::{
    future::poll_fn,
    pin::pin,
    task::{Poll, Waker},
};

use loom::{
    future::block_on,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};
use value::{OrderedReceiver, OrderedWatch};

/// Plays every order with at most this many preemptions; more find nothing new in code of one lock and take minutes.
const PREEMPTIONS: usize = 3;

fn every_order(play: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(PREEMPTIONS);
    model.check(play);
}

fn set(watch: &OrderedWatch<u64>, to: u64) {
    watch.send_if_modified(|n| {
        *n = to;
        true
    });
}

/// Follows until the sender is gone; the last value.
fn last(mut follow: OrderedReceiver<u64>) -> u64 {
    block_on(async {
        let mut last = follow.get();
        while follow.changed().await.is_ok() {
            let now = follow.get();
            assert!(now >= last, "values come in their order");
            last = now;
        }
        last
    })
}

#[test]
fn every_receiver_has_the_last_value_before_the_end() {
    every_order(|| {
        let watch = OrderedWatch::new(0);
        let follow = watch.subscribe();
        let other = watch.subscribe();
        let one = thread::spawn(move || last(follow));
        let sender = thread::spawn(move || set(&watch, 2));
        assert_eq!((one.join().unwrap(), last(other)), (2, 2));
        sender.join().unwrap();
    });
}

#[test]
fn a_wait_that_is_given_up_wakes_nobody_wrongly_and_keeps_nobody_waiting() {
    every_order(|| {
        let watch = OrderedWatch::new(0);
        let mut given_up = watch.subscribe();
        let follow = watch.subscribe();
        let sender = thread::spawn(move || set(&watch, 1));
        block_on(async {
            let mut wait = pin!(given_up.changed());
            // Polled once, then dropped in whatever state it is.
            poll_fn(|cx| {
                let _ = wait.as_mut().poll(cx);
                Poll::Ready(())
            })
            .await;
        });
        assert_eq!(last(follow), 1);
        assert!(given_up.get() <= 1);
        sender.join().unwrap();
    });
}

/// As the readers of a mirror and of a spool do it: bytes are written, then their length is published, then the watch
/// says that something changed; who follows reads up to the length and waits again.
#[test]
fn a_follower_of_a_growing_length_misses_no_byte() {
    every_order(|| {
        let written = Arc::new(AtomicU64::new(0));
        let watch = OrderedWatch::new(0);
        let follow = watch.subscribe();
        let follower = {
            let written = Arc::clone(&written);
            thread::spawn(move || {
                let mut follow = follow;
                block_on(async {
                    let mut read = written.load(Ordering::Acquire);
                    while follow.changed().await.is_ok() {
                        let len = written.load(Ordering::Acquire);
                        assert!(len >= read);
                        read = len;
                    }
                    read
                })
            })
        };
        for bytes in 1..=2 {
            written.store(bytes, Ordering::Release);
            set(&watch, bytes);
        }
        drop(watch);
        assert_eq!(follower.join().unwrap(), 2);
    });
}

/// The control: a receiver that looks at the value and enters the row under two locks misses the change in between.
fn looks_before_it_enters_the_row() {
    every_order(|| {
        let shared = Arc::new((Mutex::new(0_u64), Mutex::new(None::<Waker>)));
        let sender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                *shared.0.lock().unwrap() = 1;
                if let Some(waker) = shared.1.lock().unwrap().take() {
                    waker.wake();
                }
            })
        };
        block_on(poll_fn(|cx| {
            if *shared.0.lock().unwrap() == 1 {
                return Poll::Ready(());
            }
            *shared.1.lock().unwrap() = Some(cx.waker().clone());
            Poll::Pending
        }));
        sender.join().unwrap();
    });
}

/// Set in the process of the control.
const CONTROL: &str = "LONGHAUL_TEST_LOOM_CONTROL";

/// In a process of its own: when loom finds threads that wait for ever, it aborts.
#[test]
fn control_a_missed_change_is_found() {
    if std::env::var_os(CONTROL).is_some() {
        return looks_before_it_enters_the_row();
    }
    let this = std::env::current_exe().unwrap();
    let test = ["--exact", "ordered_watch::schedules::control_a_missed_change_is_found", "--nocapture"];
    let ran = std::process::Command::new(this).args(test).env(CONTROL, "1").output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(!ran.status.success() && said.contains("deadlock"), "{said}");
}
