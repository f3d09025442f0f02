//! Progress notifications, which show that a waiting call is alive.
//!
//! The call's own task puts the latest beat into a `watch` and never waits; a separate task sends it, with a time limit
//! on each send, because a reader that stalls blocks the send until its socket closes.

use std::{sync::Arc, time::Duration};

use longhaul_proto::{
    progress::{WHOLE, crept},
    visible,
};
use rmcp::{
    Peer, RoleServer,
    model::{Notification, ProgressNotificationParam, ProgressToken, ServerNotification},
};
use tokio::{sync::watch, task::JoinHandle};

use super::{resumable::Resumable, resume::Line};
use crate::frontend::{Frontend, Numbers};

/// How long the end of a call waits until its last beat is sent.
const LAST_SEND: Duration = Duration::from_millis(250);

/// The number in progress notifications: it always rises and stays below 100 until the result is there. Without a known
/// percent it only creeps, so that it is not read as a percent.
#[derive(Debug, Default)]
pub(super) struct Counter {
    last: f64,
    known: bool,
    /// How far the reported number is ahead of the known percent: each beat may have added a thousandth.
    lead: f64,
}

impl Counter {
    /// Continues after that many events; the percents they reported are not known any more.
    fn after(seen: u64) -> Self {
        let lead = (seen.min(1_000_000) as f64 / 1e3).min(WHOLE / 2.0);
        Self { last: lead, known: false, lead }
    }

    /// The next number, and the total once a percent is known.
    pub(super) fn next(&mut self, percent: Option<f64>) -> (f64, Option<f64>) {
        let crept = crept(self.last);
        let percent = percent.filter(|p| p.is_finite());
        self.known |= percent.is_some();
        self.last = percent.map_or(crept, |p| crept.max((p + self.lead).min(99.0)));
        (self.last, self.known.then_some(WHOLE))
    }

    /// The number of the end, which is sent only with the result, when a percent is known.
    pub(super) fn end(&self) -> Option<(f64, Option<f64>)> {
        self.known.then_some((WHOLE, Some(WHOLE)))
    }
}

/// Where beats go.
#[derive(Clone)]
pub(super) enum Sink {
    /// To the library, with the [`Resumable`] by which the call can be resumed.
    Live(Peer<RoleServer>, Option<Arc<Resumable>>),
    /// To a client that the gateway answers without the library; likewise.
    Own(Line, Option<Arc<Resumable>>),
}

impl Sink {
    /// Whether the notification was sent.
    async fn progress(&self, param: ProgressNotificationParam) -> bool {
        match self {
            Self::Live(peer, resumable) => {
                let mut progress = Notification::new(param);
                if let Some(resumable) = resumable {
                    progress.extensions.insert(resumable.clone());
                }
                peer.send_notification(ServerNotification::ProgressNotification(progress)).await.is_ok()
            }
            Self::Own(line, resumable) => line.progress(param, resumable.as_deref()).await.is_ok(),
        }
    }
}

/// One notification.
#[derive(Clone, Debug)]
struct Beat {
    progress: f64,
    total: Option<f64>,
    message: Arc<str>,
}

/// The beats of one call.
pub(super) struct Reporter {
    beats: watch::Sender<Option<Beat>>,
    sender: JoinHandle<()>,
    counter: Counter,
}

impl Reporter {
    /// A reporter for a caller that gave a token and has received `seen` events before. Its task ends with it.
    pub(super) fn new(frontend: &Frontend, sink: Sink, token: ProgressToken, seen: u64) -> Self {
        let (beats, mut latest) = watch::channel(None::<Beat>);
        let (limit, numbers) = (frontend.options().send_timeout, frontend.numbers.clone());
        let sender = frontend.core.deps.tasks.spawn(async move {
            while latest.changed().await.is_ok() {
                let Some(beat) = latest.borrow_and_update().clone() else { continue };
                let mut param =
                    ProgressNotificationParam::new(token.clone(), beat.progress).with_message(&*beat.message);
                param.total = beat.total;
                match tokio::time::timeout(limit, sink.progress(param)).await {
                    Ok(true) => Numbers::count(&numbers.beats),
                    // The caller is gone; the call's own task notices that by itself.
                    Ok(false) => {}
                    Err(_) => Numbers::count(&numbers.beats_stalled),
                }
            }
        });
        Self { beats, sender, counter: Counter::after(seen) }
    }

    /// The latest message; it replaces one that was not sent yet.
    pub(super) fn beat(&mut self, percent: Option<f64>, message: &str) {
        let (progress, total) = self.counter.next(percent);
        self.send(progress, total, message);
    }

    fn send(&self, progress: f64, total: Option<f64>, message: &str) {
        self.beats.send_replace(Some(Beat { progress, total, message: visible::line(message).into() }));
    }

    /// The last message, before the result. Nothing is sent after this returns: some clients take a notification behind
    /// the answer for an error.
    pub(super) async fn stop(self, message: Option<&str>) {
        if let (Some(message), Some((progress, total))) = (message, self.counter.end()) {
            self.send(progress, total, message);
        }
        drop(self.beats);
        let mut sender = self.sender;
        if tokio::time::timeout(LAST_SEND, &mut sender).await.is_err() {
            sender.abort();
            // We asked for the abort.
            let _ = sender.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_rises_and_is_whole_only_at_the_end() {
        let mut resumed = Counter::after(5);
        assert!(resumed.next(Some(40.0)).0 > 40.004, "five beats of a thousandth may have been heard");
        let mut counter = Counter::default();
        assert_eq!(counter.next(None), (0.001, None));
        assert_eq!(counter.next(None), (0.002, None));
        assert_eq!(counter.end(), None, "no percent was ever known");
        assert_eq!(counter.next(Some(40.0)), (40.0, Some(100.0)));
        let (after, total) = counter.next(Some(10.0));
        assert!(after > 40.0 && after < 40.01, "a smaller percent does not go back: {after}");
        assert_eq!(total, Some(100.0));
        assert_eq!(counter.next(None).1, Some(100.0), "the total stays");
        let mut last = counter.next(Some(100.0)).0;
        assert!(last <= 99.0);
        for _ in 0..100_000 {
            let next = counter.next(Some(f64::NAN)).0;
            assert!(next > last && next < 100.0, "{last} -> {next}");
            last = next;
        }
        assert_eq!(counter.end(), Some((100.0, Some(100.0))));
    }
}
