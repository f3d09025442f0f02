//! The task that sends what is due, and notes what became of it.

use std::{sync::PoisonError, time::Duration};

use futures_util::StreamExt;
use longhaul_proto::{back_off::BackOff, faults, visible};

use super::{Failed, Notify, id, receiver::Receiver};
use crate::ledger::{LedgerError, Notification, NotificationState, Tried};

/// Most entries of the outbox that are read at a time.
const BATCH: u32 = 64;
/// Most tries at a time.
const AT_ONCE: usize = 16;
/// Longest pause between two looks at the outbox.
const LOOK: Duration = Duration::from_secs(30);
/// Shortest pause, after something failed here.
const PAUSE: Duration = Duration::from_secs(1);
/// Entries that are removed at a time.
const SWEPT: u32 = 1000;
/// How often what was told long ago is removed.
const SWEEP: Duration = Duration::from_secs(3600);
/// Longest reason that is kept, characters.
const REASON: usize = 300;

impl Notify {
    /// Sends what is due, forever.
    pub async fn deliver(self) {
        let mut swept: Option<Duration> = None;
        loop {
            let now = self.0.deps.clock.monotonic();
            if swept.is_none_or(|at| now.saturating_sub(at) >= SWEEP) {
                swept = Some(now);
                self.sweep().await;
            }
            let pause = match self.round().await {
                Ok(Duration::ZERO) => continue,
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "cannot read what is to be told");
                    PAUSE
                }
            };
            tokio::select! {
                () = self.0.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Tries what is due; returns when to look again.
    async fn round(&self) -> Result<Duration, LedgerError> {
        let due = self.0.ledger.notifications_due(self.0.deps.clock.unix_ms(), BATCH).await?;
        let whole = due.len() == BATCH as usize;
        futures_util::stream::iter(due).for_each_concurrent(AT_ONCE, |one| self.try_one(one)).await;
        let waiting = self.0.ledger.notifications_waiting().await?;
        *self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner) = (waiting.count, waiting.oldest_ms);
        if whole {
            return Ok(Duration::ZERO);
        }
        if waiting.count == 0 {
            return Ok(LOOK);
        }
        let until_ms = u64::try_from(waiting.next_ms - self.0.deps.clock.unix_ms()).unwrap_or_default();
        // Never zero: what could not be noted is due still.
        Ok(Duration::from_millis(until_ms).clamp(Duration::from_millis(10), LOOK))
    }

    /// Tries one, and notes what became of it.
    async fn try_one(&self, one: Notification) {
        let options = self.options();
        let now_ms = self.0.deps.clock.unix_ms();
        let wait = self.wait_after(&one);
        let receiver = match Receiver::parse(&one.key.address) {
            Ok(receiver) => receiver,
            Err(words) => return self.note(&one, NotificationState::GivenUp, 0, words).await,
        };
        let give_up_ms = i64::try_from(options.give_up.as_millis()).unwrap_or(i64::MAX);
        let over = |at_ms: i64| at_ms.saturating_sub(one.made_ms) > give_up_ms;
        if let Some(left) = self.left_alone(&receiver)
            && !over(now_ms)
        {
            // Others found that it is away: this one is not tried, which does not count.
            let due_ms = now_ms.saturating_add(millis(left));
            let tried = Tried {
                state: NotificationState::Waiting,
                at_ms: now_ms,
                due_ms,
                tries: one.tries,
                problem: one.problem.clone(),
            };
            return self.write(&one, tried).await;
        }
        let began = self.0.deps.clock.monotonic();
        let sent = self.send(&one.principal, &receiver, &id(&one.key), &one.body).await;
        let (way, run, to) = (receiver.way(), one.key.run, receiver.to_string());
        match sent {
            Ok(()) => {
                let took_ms = millis(self.0.deps.clock.monotonic().saturating_sub(began));
                self.spoke(&receiver);
                self.0.metrics.notified(way, "delivered");
                tracing::info!(%run, %to, tries = one.tries + 1, took_ms, "told of the end of a run");
                self.note(&one, NotificationState::Delivered, 0, String::new()).await;
            }
            Err(failed) => {
                self.0.metrics.notified(way, if failed.refused { "refused" } else { "failed" });
                if failed.silent {
                    self.leave_alone(&receiver, wait);
                }
                let words: String = visible::line(&failed.words).chars().take(REASON).collect();
                if failed.last || over(now_ms.saturating_add(millis(wait))) {
                    self.0.metrics.notified(way, "given_up");
                    tracing::error!(%run, %to, tries = one.tries + 1, why = words, "the end of a run is not told");
                    let words = if failed.last { words } else { self.gave_up(&failed, &words) };
                    return self.note(&one, NotificationState::GivenUp, 0, words).await;
                }
                tracing::warn!(%run, %to, tries = one.tries + 1, again_in = ?wait, why = words, "cannot tell of the end of a run");
                let due_ms = self.0.deps.clock.unix_ms().saturating_add(millis(wait));
                self.note(&one, NotificationState::Waiting, due_ms, words).await;
            }
        }
    }

    fn gave_up(&self, failed: &Failed, words: &str) -> String {
        let days = self.options().give_up.as_secs_f64() / 86_400.0;
        let what = if failed.refused { "was not allowed" } else { "failed" };
        format!("it {what} for {days:.1} days, the last time so: {words}")
    }

    async fn note(&self, one: &Notification, state: NotificationState, due_ms: i64, problem: String) {
        let at_ms = self.0.deps.clock.unix_ms();
        let (state, due_ms) = match state {
            NotificationState::Delivered if faults::bug("deliveries_unmarked") => {
                (NotificationState::Waiting, at_ms.saturating_add(millis(self.options().retry.0)))
            }
            state => (state, due_ms),
        };
        self.write(one, Tried { state, at_ms, due_ms, tries: one.tries.saturating_add(1), problem }).await;
    }

    async fn write(&self, one: &Notification, tried: Tried) {
        faults::point("notify.before_mark");
        if let Err(error) = self.0.ledger.notification_tried(one.key.clone(), tried).await {
            // It is tried again: at least once, and not at most.
            tracing::error!(run = %one.key.run, error = &error as &dyn std::error::Error, "cannot note what was told");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The wait before the next try, if this one fails.
    fn wait_after(&self, one: &Notification) -> Duration {
        let (first, longest) = self.options().retry;
        let mut back_off = BackOff::new(first, longest, &id(&one.key));
        // Doubled 40 times, every first wait is the longest.
        for _ in 0..one.tries.min(40) {
            back_off.wait();
        }
        back_off.wait()
    }

    /// For how long this receiver is left alone still.
    fn left_alone(&self, receiver: &Receiver) -> Option<Duration> {
        let now = self.0.deps.clock.monotonic();
        let silent = self.0.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.get(&place(receiver)).map(|until| until.saturating_sub(now)).filter(|left| !left.is_zero())
    }

    fn leave_alone(&self, receiver: &Receiver, wait: Duration) {
        let now = self.0.deps.clock.monotonic();
        let mut silent = self.0.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.retain(|_, until| *until > now);
        silent.insert(place(receiver), now + wait);
    }

    fn spoke(&self, receiver: &Receiver) {
        self.0.silent.lock().unwrap_or_else(PoisonError::into_inner).remove(&place(receiver));
    }

    async fn sweep(&self) {
        let before_ms = self.0.deps.clock.unix_ms().saturating_sub(millis(self.options().keep));
        if let Err(error) = self.0.ledger.notification_sweep(before_ms, SWEPT).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "what was told long ago stays for now");
        }
    }
}

/// What is reached or not: a host and port, or the relay.
fn place(receiver: &Receiver) -> String {
    match receiver {
        Receiver::Webhook(_) => receiver.to_string(),
        Receiver::Mail(_) => "relay".to_owned(),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
