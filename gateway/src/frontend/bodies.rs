//! Request bodies: bounded in the bytes that are held at a time, and in time.
//!
//! Room for a body is taken before it is read, by the length it announces, or by the largest it may have; a caller
//! whose body finds no room within [`PATIENCE`] is told to come again. One principal gets half of all room at most. A
//! body may pause for `body_timeout`, and must arrive at [`RATE`] or faster on average: one that takes longer is
//! answered with 408. A refused body is answered at once and not read; the connection then lingers
//! (`longhaul_proto::connections::Lingering`), so that its client reads why.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body as _;
use http_body_util::BodyExt;
use longhaul_proto::faults;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    frontend::Frontend,
    limits::{
        incoming::RETRY_AFTER,
        quotas::{Held, Kind},
    },
    model::Principal,
    problem::{Problem, busy, problem, too_large},
};

/// How long a caller waits for room.
const PATIENCE: Duration = Duration::from_secs(5);
/// Slowest average rate at which a body may arrive, bytes a second, after the first `body_timeout`.
const RATE: u64 = 16 * 1024;
/// What a permit is worth, bytes.
const UNIT: usize = 1024;

/// Room for bodies. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bodies {
    room: Arc<Semaphore>,
    units: usize,
}

/// Room that one body holds; dropping it gives it back.
pub struct Room {
    _room: Option<OwnedSemaphorePermit>,
    _share: Option<Held>,
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It has more bytes than this limit.
    TooLarge(usize),
    /// It arrived too slowly, or did not end.
    Slow,
    /// There is no room for it now.
    Busy,
    /// The connection broke.
    Broken,
}

impl Bodies {
    /// Room for so many bytes.
    pub fn new(bytes: u64) -> Self {
        let units = usize::try_from(bytes).unwrap_or(usize::MAX).div_ceil(UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self { room: Arc::new(Semaphore::new(units)), units }
    }

    /// Bytes held now.
    pub fn held(&self) -> u64 {
        ((self.units - self.room.available_permits().min(self.units)) * UNIT) as u64
    }
}

/// Reads a body of at most `limit` bytes for `principal`; its room stays taken until the returned permit is dropped.
///
/// # Errors
/// See [`Unread`].
pub async fn read(
    frontend: &Frontend,
    principal: &Principal,
    body: Body,
    limit: usize,
) -> Result<(Bytes, Room), Unread> {
    let announced = body.size_hint().exact();
    let most = announced.map_or(limit, |len| usize::try_from(len).unwrap_or(usize::MAX));
    if most > limit {
        return Err(Unread::TooLarge(limit));
    }
    let room = take(frontend, principal, most).await?;
    let bytes = timely(body, limit, frontend.options().body_timeout).await?;
    Ok((bytes, room))
}

async fn take(frontend: &Frontend, principal: &Principal, bytes: usize) -> Result<Room, Unread> {
    let bodies = &frontend.bodies;
    if faults::bug("bodies_unbounded") {
        return Ok(Room { _room: None, _share: None });
    }
    let units = bytes.div_ceil(UNIT).clamp(1, bodies.units);
    let share = frontend.quotas.take(principal, Kind::Body(units), bodies.units / 2).ok_or(Unread::Busy)?;
    let wanted = u32::try_from(units).unwrap_or(u32::MAX);
    let room = timeout(PATIENCE, bodies.room.clone().acquire_many_owned(wanted)).await;
    let room = room.ok().and_then(Result::ok).ok_or(Unread::Busy)?;
    Ok(Room { _room: Some(room), _share: Some(share) })
}

/// A body that is taken piece by piece, so that one piece is held at a time; it must arrive in time like any other.
pub struct Pieces {
    body: Body,
    pause: Duration,
    began: Instant,
    taken: u64,
}

impl Pieces {
    /// The pieces of a request's body.
    pub fn of(frontend: &Frontend, body: Body) -> Self {
        Self::new(body, frontend.options().body_timeout)
    }

    fn new(body: Body, pause: Duration) -> Self {
        Self { body, pause, began: Instant::now(), taken: 0 }
    }

    /// The bytes that follow; `None` = the body has ended.
    ///
    /// # Errors
    /// It came too slowly, or broke off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Unread> {
        loop {
            let whole = self.began + self.pause + Duration::from_secs(self.taken / RATE);
            let frame = match timeout_at(whole.min(Instant::now() + self.pause), self.body.frame()).await {
                Ok(Some(frame)) => frame.map_err(|_| Unread::Broken)?,
                Ok(None) => return Ok(None),
                Err(_) => return Err(Unread::Slow),
            };
            if let Ok(data) = frame.into_data() {
                self.taken += data.len() as u64;
                return Ok(Some(data));
            }
        }
    }
}

/// The bytes of a body that arrives in time.
async fn timely(body: Body, limit: usize, pause: Duration) -> Result<Bytes, Unread> {
    let mut pieces = Pieces::new(body, pause);
    let mut all = BytesMut::new();
    while let Some(data) = pieces.next().await? {
        if all.len() + data.len() > limit {
            return Err(Unread::TooLarge(limit));
        }
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}

impl From<Unread> for Problem {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::TooLarge(limit) => too_large(limit),
            Unread::Slow => {
                let detail = "the request's body did not come in time: send it again, without a pause";
                problem(StatusCode::REQUEST_TIMEOUT, "slow-body", "The body took too long", detail)
            }
            Unread::Busy => busy("as many bytes of requests are being read as there is room for", RETRY_AFTER),
            Unread::Broken => Self::bad_request("the request's body broke off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    const PAUSE: Duration = Duration::from_secs(30);

    fn pieces(count: usize, size: usize, every: Duration) -> Body {
        Body::from_stream(stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(every).await;
            Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; size]))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_given_up() {
        let read = |body| timely(body, 1 << 20, PAUSE);
        assert_eq!(read(Body::from("abc")).await, Ok(Bytes::from("abc")));
        let stalled = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let began = Instant::now();
        assert_eq!(read(stalled).await, Err(Unread::Slow));
        assert_eq!(began.elapsed().as_secs(), 30);
        // A byte a second never pauses too long, and never ends in time.
        let began = Instant::now();
        assert_eq!(read(pieces(100_000, 1, Duration::from_secs(1))).await, Err(Unread::Slow));
        assert_eq!(began.elapsed().as_secs(), 30);
        // A slow line that keeps sending is served: 320 KiB in 40 s.
        assert_eq!(read(pieces(20, 16_384, Duration::from_secs(2))).await.map(|b| b.len()), Ok(20 * 16_384));
        assert_eq!(read(pieces(3, 1 << 19, Duration::ZERO)).await, Err(Unread::TooLarge(1 << 20)));
    }

    #[test]
    fn room_that_is_taken_is_told() {
        let bodies = Bodies::new(4 * UNIT as u64);
        let taken = bodies.room.try_acquire_many(3).unwrap();
        assert_eq!(bodies.held(), 3 * UNIT as u64);
        drop(taken);
        assert_eq!(bodies.held(), 0);
    }
}
