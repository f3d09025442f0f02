//! Carries one request to its answer, over every interruption on the way.

use std::time::Duration;

use longhaul_proto::{back_off::BackOff, progress::crept};
use serde_json::{Value, json};

use super::{
    Bridge,
    message::{self, Message},
    upstream::{Answer, Handshake, Trouble, session_of},
};
use crate::output::{duration, say};

/// How long a call that was under way waits for a gateway that is away.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);
/// The same for any other request: more than a restart takes, less than clients wait.
const FIRST: Duration = Duration::from_secs(25);
/// Pause before the first repetition, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How often the client gets progress for its call while the gateway is away.
const BEAT: Duration = Duration::from_secs(10);

/// A request under way.
pub(super) struct Call<'a> {
    bridge: &'a Bridge,
    message: Message,
    /// Whether the gateway has started to answer.
    under_way: bool,
    /// Since when the gateway is away, by the monotonic clock.
    away_since: Option<Duration>,
    last_beat: Option<Duration>,
    pause: BackOff,
    meter: Meter,
}

/// The number in progress notifications: it rises, also over attempts that each count from the start.
#[derive(Debug, Default)]
struct Meter {
    last: Option<f64>,
    total: Option<f64>,
}

impl Meter {
    fn next(&mut self, value: Option<f64>) -> f64 {
        let next = match (self.last, value) {
            (None, value) => value.unwrap_or(0.0),
            (Some(last), Some(value)) if value > last => value,
            (Some(last), _) => crept(last),
        };
        self.last = Some(next);
        next
    }
}

impl<'a> Call<'a> {
    /// A call; nothing is sent yet.
    pub(super) fn new(bridge: &'a Bridge, mut message: Message) -> Self {
        message.name_call(&format!("stdio-{}", bridge.context.ids.name()));
        let meter = Meter::default();
        let pause = BackOff::new(PAUSE.0, PAUSE.1, &bridge.context.ids.name());
        Self { bridge, message, under_way: false, away_since: None, last_beat: None, pause, meter }
    }

    /// Makes the call, as often as needed, and passes on the gateway's messages.
    pub(super) async fn run(mut self) {
        let handshake = match self.message.needs_session() {
            true => self.bridge.link.handshake().await,
            false => Handshake::Done,
        };
        if handshake != Handshake::Done {
            let id = self.message.id().clone();
            let answer = match (self.message.method(), handshake) {
                ("ping", _) => json!({"jsonrpc": "2.0", "id": id, "result": {}}),
                (_, Handshake::Unanswered) => message::error(
                    id,
                    message::AWAY,
                    "the gateway did not answer initialize, so this was not passed on: when it is there again, send initialize \
                     again (most clients: reconnect this server)",
                ),
                _ => message::error(id, message::INVALID, "send initialize first"),
            };
            return self.bridge.say(answer).await;
        }
        let mut sent = self.message.clone();
        loop {
            let trouble = match self.attempt(&sent).await {
                Ok(()) => return,
                Err(Trouble::SessionGone) => self.bridge.link.reopen(&self.bridge.context.ids.name()).await.err(),
                Err(trouble) => Some(trouble),
            };
            let end = match trouble {
                None | Some(Trouble::SessionGone) => None,
                Some(Trouble::No(words)) => Some((message::INTERNAL, words)),
                Some(Trouble::Away(words)) => self.away(words).await.map(|words| (message::AWAY, words)),
            };
            if let Some((code, words)) = end {
                let id = self.message.id().clone();
                return self.bridge.say(message::error(id, code, &words)).await;
            }
            sent = self.message.again(&self.bridge.context.ids.name());
        }
    }

    /// One attempt; `Ok` when the client has its answer.
    async fn attempt(&mut self, sent: &Message) -> Result<(), Trouble> {
        let response = self.bridge.link.send(sent).await?;
        // The gateway is there, and has started to answer: a caller without a progress token gets nothing more for
        // long.
        (self.under_way, self.away_since, self.last_beat) = (true, None, None);
        let session = session_of(&response);
        let mut answer = Answer::new(response);
        while let Some(mut reply) = answer.next().await? {
            self.pause.reset();
            if message::is_answer(&reply) {
                if self.message.method() == "initialize" {
                    self.bridge.link.opened(&self.message, session, &reply);
                }
                reply["id"] = self.message.id().clone();
                self.bridge.say(reply).await;
                return Ok(());
            }
            self.progress(sent, &mut reply);
            self.bridge.say(reply).await;
        }
        Err(Trouble::Away("the gateway ended the answer before it was whole".into()))
    }

    /// Passes progress on under the client's own token, with a number that rises.
    fn progress(&mut self, sent: &Message, reply: &mut Value) {
        let own = reply["method"] == "notifications/progress"
            && sent.progress_token().is_some_and(|t| *t == reply["params"]["progressToken"]);
        if own && let Some(token) = self.message.progress_token() {
            let value = reply["params"]["progress"].as_f64();
            // A number that needs no change keeps its form.
            let (last, next) = (self.meter.last, self.meter.next(value));
            if last.is_some() && Some(next) != value {
                reply["params"]["progress"] = json!(next);
            }
            self.meter.total = reply["params"]["total"].as_f64().or(self.meter.total);
            reply["params"]["progressToken"] = token.clone();
        }
    }

    /// The gateway is away: waits a little. The error says what to do when that takes too long.
    async fn away(&mut self, words: String) -> Option<String> {
        let now = self.bridge.context.clock.monotonic();
        let since = *self.away_since.get_or_insert_with(|| {
            say(&format!("longhaul: {words}; trying again"));
            now
        });
        let away = now.saturating_sub(since);
        let is_call = self.message.method() == "tools/call";
        let limit = if self.under_way && is_call { self.bridge.patience } else { FIRST.min(self.bridge.patience) };
        if away >= limit {
            let next = match (is_call, self.under_way) {
                (true, true) => {
                    ". A run that this call started goes on and keeps its result: do not start it again; when the \
                     gateway is back call stata_runs, then stata_wait"
                }
                (true, false) => ". If this call reached it before, its run goes on: stata_runs lists it",
                (false, _) => "",
            };
            return Some(format!("no answer for {}: {words}{next}", duration(away.as_secs_f64())));
        }
        if self.under_way && self.last_beat.is_none_or(|last| now.saturating_sub(last) >= BEAT) {
            self.last_beat = Some(now);
            self.beat(away).await;
        }
        tokio::time::sleep(self.pause.wait().min(limit.saturating_sub(away))).await;
        None
    }

    async fn beat(&mut self, away: Duration) {
        let Some(token) = self.message.progress_token().cloned() else { return };
        let text = format!("the gateway is away since {}; the run goes on", duration(away.as_secs_f64()));
        let mut params = json!({"progressToken": token, "progress": self.meter.next(None), "message": text});
        if let Some(total) = self.meter.total {
            params["total"] = json!(total);
        }
        self.bridge.say(json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_rises_over_attempts() {
        let mut meter = Meter::default();
        assert_eq!(meter.next(Some(0.001)), 0.001);
        assert_eq!(meter.next(Some(40.0)), 40.0);
        // The gateway came back and counts from the start.
        let mut last = 40.0;
        for value in [Some(0.001), None, Some(39.0)] {
            let next = meter.next(value);
            assert!(next > last && next < 41.0, "{next}");
            last = next;
        }
        assert_eq!(meter.next(Some(100.0)), 100.0);
    }
}
