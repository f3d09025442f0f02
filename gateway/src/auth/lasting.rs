//! An answer that lasts: it counts against its principal's quota, and it ends with its token.
//!
//! A request is checked once, and an event stream or a waiting call goes on for days. So each answer of unknown length
//! watches its token: when that is revoked or expires ([`expire`]), the answer is broken off, and the next request with
//! the token is refused.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{Method, StatusCode, Uri};
use http_body::{Body as _, Frame, SizeHint};
use longhaul_proto::{clock::Clock, faults};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    limits::{
        incoming::RETRY_AFTER,
        quotas::{Held, Kind, Quotas},
    },
    model::Principal,
    problem::{busy, over_quota},
};

/// Longest time between two looks at the wall clock, which may be set: a token ends at most this much too late.
const LOOK: Duration = Duration::from_secs(5);

/// Where uploads and downloads of blobs are.
const BLOBS: &str = "/api/v1/blobs/";

/// Secrets in use by their digest, each with what is cancelled when it ends; a token has two of them while its secret is being
/// replaced.
#[derive(Clone, Debug, Default)]
pub struct Revocations(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    secrets: Mutex<HashMap<String, Watch>>,
    /// Names of revoked tokens. They are never reused.
    revoked: Mutex<HashSet<String>>,
    /// A token that expires came into use.
    expires: Notify,
    /// Held by who revokes a token.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug, Default)]
struct Watch {
    /// The name of its token.
    token: String,
    ends: CancellationToken,
    expires_ms: Option<i64>,
}

impl Revocations {
    /// Cancelled when this token is revoked, at once when it was revoked before; or when the secret that was shown ends, Unix
    /// ms. `sha256` is the secret's digest.
    pub fn of(&self, token: &str, sha256: &str, expires_ms: Option<i64>) -> CancellationToken {
        let mut all = self.0.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Watch { token: token.to_owned(), ..Watch::default() };
        let watch = all.entry(sha256.to_owned()).or_insert_with(new);
        if watch.expires_ms != expires_ms {
            watch.expires_ms = expires_ms;
            self.0.expires.notify_one();
        }
        // Under the other lock: who revokes notes the name first, and then cancels what is here.
        if self.0.revoked.lock().unwrap_or_else(PoisonError::into_inner).contains(token) {
            watch.ends.cancel();
        }
        watch.ends.clone()
    }

    /// Waits until no other revocation is under way: what one finds of the other tokens then still holds when it is made.
    pub async fn turn(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        if faults::bug("revocations_cross") {
            return None;
        }
        Some(self.0.turn.lock().await)
    }

    /// The token was revoked: all of its secrets are over, for ever.
    pub fn revoked(&self, token: &str) {
        if faults::bug("revoked_streams_live") {
            return;
        }
        self.0.revoked.lock().unwrap_or_else(PoisonError::into_inner).insert(token.to_owned());
        let all = self.0.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().filter(|watch| watch.token == token).for_each(|watch| watch.ends.cancel());
    }

    /// The token has another secret than the one with this digest, which ends at this time, Unix ms.
    pub fn replaced(&self, sha256: &str, until_ms: i64) {
        let mut all = self.0.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watch) = all.get_mut(sha256) {
            watch.expires_ms = Some(watch.expires_ms.map_or(until_ms, |at| at.min(until_ms)));
            self.0.expires.notify_one();
        }
    }

    /// Ends the answers of expired tokens; returns when the next token expires, Unix ms.
    fn look(&self, now_ms: i64) -> Option<i64> {
        let mut all = self.0.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        // An expired one is removed: if only the clock was wrong, the token is good again once that is set.
        all.retain(|_, watch| {
            let over = watch.expires_ms.is_some_and(|at| at <= now_ms);
            if over {
                watch.ends.cancel();
            }
            !over
        });
        all.values().filter_map(|watch| watch.expires_ms).min()
    }
}

/// Ends the answers of tokens as they expire, for ever. It sleeps while no token in use expires.
pub async fn expire(revocations: Revocations, clock: Clock) {
    if faults::bug("expired_streams_live") {
        return;
    }
    loop {
        let now_ms = clock.unix_ms();
        let changed = revocations.0.expires.notified();
        match revocations.look(now_ms) {
            None => changed.await,
            Some(at) => {
                let left = Duration::from_millis(u64::try_from(at - now_ms).unwrap_or_default());
                // Earlier when another token comes into use, which may expire before.
                let _ = tokio::time::timeout(left.min(LOOK), changed).await;
            }
        }
    }
}

/// What one principal may have open at a time.
#[derive(Clone, Debug)]
pub struct Lasting {
    /// What is open.
    pub quotas: Quotas,
    /// Event streams and downloads.
    pub streams: usize,
    /// MCP calls.
    pub calls: usize,
}

impl Lasting {
    /// Counts a request, if its answer may last.
    ///
    /// # Errors
    /// The refusal, when its principal has enough of them open.
    pub fn take(&self, principal: &Principal, method: &Method, uri: &Uri) -> Result<Option<Held>, Box<Response>> {
        let path = uri.path();
        let (kind, max, what) = if path == "/mcp" && *method == Method::POST {
            (Kind::Call, self.calls, "MCP calls")
        } else if path == "/mcp"
            || path.ends_with("/events")
            || path.ends_with("/output")
            || path.ends_with("/output/search")
            || path.starts_with(BLOBS)
        {
            (Kind::Stream, self.streams, "streams")
        } else {
            return Ok(None);
        };
        let taken = match kind {
            Kind::Stream => self.quotas.take_stream(principal, max),
            _ => self.quotas.take(principal, kind, max).ok_or(None),
        };
        taken.map(Some).map_err(|over| {
            if let Some(over) = over {
                return Box::new(over_quota(&over).into_response());
            }
            let detail = format!("{max} {what} of yours are open, which is as many as are allowed: end some");
            Box::new(busy(detail, RETRY_AFTER).with_status(StatusCode::TOO_MANY_REQUESTS).into_response())
        })
    }
}

/// The answer, counted and watched to its end.
pub fn watched(response: Response, held: Option<Held>, revoked: Option<CancellationToken>) -> Response {
    response.map(|body| {
        // An answer of known length is being sent already.
        let revoked = revoked.filter(|_| body.size_hint().exact().is_none());
        if held.is_none() && revoked.is_none() {
            return body;
        }
        let revoked = revoked.map(|token| Box::pin(token.cancelled_owned()));
        Body::new(Watched { body, revoked, _held: held })
    })
}

struct Watched {
    body: Body,
    revoked: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    _held: Option<Held>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.revoked.as_mut().is_some_and(|revoked| revoked.as_mut().poll(cx).is_ready()) {
            // Broken off, not ended: half an answer must not pass for a whole one.
            return Poll::Ready(Some(Err(axum::Error::new(Revoked))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why an answer broke off.
#[derive(Debug, thiserror::Error)]
#[error("the token of this request was revoked, or has expired")]
struct Revoked;

#[cfg(test)]
mod tests {
    use longhaul_proto::clock::Source;
    use tokio::time::Instant;

    use super::*;

    /// WallClock time that moves with the (paused) clock of the tests.
    struct Paused(Instant);

    impl Source for Paused {
        fn unix_ms(&self) -> i64 {
            1_000_000 + i64::try_from(self.monotonic().as_millis()).unwrap()
        }
        fn monotonic(&self) -> Duration {
            self.0.elapsed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_ends_when_it_expires_and_no_other_does() {
        let (tokens, clock) = (Revocations::default(), Clock::from_source(Paused(Instant::now())));
        let expiring = expire(tokens.clone(), clock.clone());
        let looks = async {
            let lasting = tokens.of("lasting", "a", None);
            tokio::time::sleep(Duration::from_secs(1)).await;
            let late = tokens.of("late", "b", Some(clock.unix_ms() + 3_600_000));
            let soon = tokens.of("soon", "c", Some(clock.unix_ms() + 60_000));
            tokio::time::sleep(Duration::from_secs(59)).await;
            assert!(!soon.is_cancelled());
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            assert!(soon.is_cancelled() && !late.is_cancelled());
            tokio::time::timeout(Duration::from_secs(3_600), late.cancelled()).await.expect("in its time");
            assert!(!lasting.is_cancelled());
            // Expired by a clock that was wrong: the token is good again when its next request is let in.
            assert!(!tokens.of("soon", "c", Some(clock.unix_ms() + 60_000)).is_cancelled());
            // Another secret: the one before ends when it is said, and the new one goes on.
            let second = tokens.of("lasting", "d", None);
            tokens.replaced("a", clock.unix_ms() + 10_000);
            tokio::time::sleep(Duration::from_secs(9)).await;
            assert!(!lasting.is_cancelled());
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            assert!(lasting.is_cancelled() && !second.is_cancelled());
            tokens.revoked("lasting");
            assert!(second.is_cancelled() && tokens.of("lasting", "d", None).is_cancelled(), "revoked is for ever");
        };
        tokio::select! {
            () = expiring => panic!("it never ends"),
            () = looks => {}
        }
    }
}
