//! Code on its way in: files that the gateway sends ahead of a run.
//!
//! Here is decided who may write them, how much they may be, and how long they stay when no run follows.
//!
//! Of two calls that send the files of one run the later one goes on: the connection of the earlier one may be broken, and
//! this side not know it yet. What is here counts toward the limit on spools. It goes into the run's spool with the
//! acceptance of its attempt, after [`KEPT`] without a call, or at the next start.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use longhaul_proto::{digest::ContentDigest, faults, ids::RunId, tasks::blocking};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use super::Runs;
use crate::spool::{Incoming, Partial, Placed, free_space};

/// How long files stay for which no call came and no run was accepted.
const KEPT: Duration = Duration::from_secs(3600);
/// How often to look for them.
const SWEEP_EVERY: Duration = Duration::from_secs(300);
/// Whole files that are synced together, and the bytes after which they are.
const TOGETHER: (usize, u64) = (32, 8 << 20);

/// Why files were not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    /// There is no room for them.
    #[error("{0}")]
    NoRoom(String),
    /// The bytes begin elsewhere than those end that are here.
    #[error("the agent has {0} bytes of this file: go on from there")]
    Offset(u64),
    /// More bytes came than were announced.
    #[error("more bytes came than the file has")]
    TooLong,
    /// The bytes have another digest.
    #[error("the bytes that came have the SHA-256 {found} and not {wanted}")]
    Differs { wanted: ContentDigest, found: ContentDigest },
    /// Bytes before the name of their file.
    #[error("bytes came without the name of their file")]
    Nameless,
    /// Another call sends the files of this run now.
    #[error("a later call sends the files of this run")]
    Superseded,
    /// The disk failed.
    #[error("the spool could not be written")]
    Io(#[from] io::Error),
}

/// What is on its way in, by run.
#[derive(Debug)]
pub(super) struct IncomingCode {
    folder: Incoming,
    /// Most bytes of all spools; 0 = no limit.
    max_spool: u64,
    by_run: Mutex<HashMap<RunId, IncomingFiles>>,
}

/// While it lives, no call writes files of its run.
#[derive(Debug)]
pub(super) struct Closed(#[expect(dead_code, reason = "held, not read")] OwnedMutexGuard<State>);

#[derive(Clone, Debug)]
struct IncomingFiles {
    state: Arc<Turn<State>>,
    /// Bytes that are here, as of the last piece.
    bytes: u64,
    /// When the last call came, on the monotonic clock.
    called_at: Duration,
}

/// What the call that writes a run's files has open.
#[derive(Debug, Default)]
struct State {
    /// The number of the call that may write.
    turn: u64,
    open: Option<Partial>,
    /// Files of which all bytes came and were compared, and that are to be synced.
    right: Vec<ContentDigest>,
    right_bytes: u64,
}

impl IncomingCode {
    pub(super) fn new(folder: Incoming, max_spool: u64) -> Self {
        Self { folder, max_spool, by_run: Mutex::default() }
    }

    /// Their folder.
    pub(super) fn folder(&self) -> &Incoming {
        &self.folder
    }

    /// A call about this run came.
    fn called(&self, run: RunId, now: Duration) -> Arc<Turn<State>> {
        let mut by_run = self.by_run.lock().unwrap_or_else(PoisonError::into_inner);
        let files =
            by_run.entry(run).or_insert_with(|| IncomingFiles { state: Arc::default(), bytes: 0, called_at: now });
        files.called_at = now;
        Arc::clone(&files.state)
    }

    fn grew(&self, run: RunId, by: u64, now: Duration) {
        let mut by_run = self.by_run.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = by_run.get_mut(&run) {
            (files.bytes, files.called_at) = (files.bytes.saturating_add(by), now);
        }
    }

    /// Bytes of all files that are on their way in.
    pub(super) fn bytes(&self) -> u64 {
        let by_run = self.by_run.lock().unwrap_or_else(PoisonError::into_inner);
        by_run.values().fold(0, |sum, files| sum.saturating_add(files.bytes))
    }

    /// Likewise, without those of this run.
    fn bytes_but(&self, run: RunId) -> u64 {
        let by_run = self.by_run.lock().unwrap_or_else(PoisonError::into_inner);
        let others = by_run.iter().filter(|(other, _)| **other != run);
        others.fold(0, |sum, (_, files)| sum.saturating_add(files.bytes))
    }

    /// Keeps calls that send files of this run from writing any more, for its acceptance.
    pub(super) async fn close(&self, run: RunId, now: Duration) -> Closed {
        let mut guard = self.called(run, now).lock_owned().await;
        // What was open is closed.
        *guard = State { turn: guard.turn + 1, ..State::default() };
        Closed(guard)
    }

    /// The files of this run are in its spool, or will not be wanted.
    pub(super) fn gone(&self, run: RunId) {
        self.by_run.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }

    /// Runs about which no call came for long.
    fn old(&self, now: Duration) -> Vec<(RunId, IncomingFiles)> {
        let by_run = self.by_run.lock().unwrap_or_else(PoisonError::into_inner);
        let old = by_run.iter().filter(|(_, files)| now.saturating_sub(files.called_at) >= KEPT);
        old.map(|(run, files)| (*run, files.clone())).collect()
    }
}

impl Runs {
    /// How many bytes are here of each of these files of a run's code.
    pub(crate) async fn blob_offsets(
        &self,
        run: RunId,
        files: Vec<(ContentDigest, u64)>,
    ) -> Result<Vec<u64>, NotTaken> {
        let incoming = &self.context.incoming_code;
        let state = incoming.called(run, self.context.clock.monotonic());
        // A piece that is being written counts.
        let mut guard = state.lock_owned().await;
        let folder = incoming.folder.clone();
        let (offsets, missing) = blocking(move || {
            // What an earlier call left.
            guard.place(&folder, run)?;
            let (mut offsets, mut missing) = (Vec::with_capacity(files.len()), 0_u64);
            for (digest, bytes) in files {
                let mut offset = folder.offset(run, digest)?.min(bytes);
                if offset == bytes && bytes > 0 && !folder.is_whole(run, digest) {
                    // It was not named when its last byte came: looked at again.
                    match folder.append(run, digest, bytes)?.compare()? {
                        Placed::Right => folder.place(run, &[digest])?,
                        Placed::Differs(_) => offset = 0,
                    }
                }
                missing = missing.saturating_add(bytes - offset);
                offsets.push(offset);
            }
            Ok::<_, io::Error>((offsets, missing))
        })
        .await??;
        self.room_for(run, missing)?;
        Ok(offsets)
    }

    /// Takes files of a run's code from now on, instead of earlier calls.
    pub(crate) async fn receive_blobs(&self, run: RunId) -> Receiver {
        let state = self.context.incoming_code.called(run, self.context.clock.monotonic());
        let turn = {
            let mut state = state.lock().await;
            state.turn += 1;
            state.turn
        };
        Receiver { runs: self.clone(), run, state, turn }
    }

    /// Looks at the free disk and at the limit on spools, before bytes are taken.
    fn room_for(&self, run: RunId, bytes: u64) -> Result<(), NotTaken> {
        let (path, incoming) = (self.context.root.path(), &self.context.incoming_code);
        if bytes == 0 || faults::bug("incoming_without_room") {
            return Ok(());
        }
        if let Some(problem) = self.context.min_free.problem_with(bytes, free_space(path)?, path) {
            return Err(NotTaken::NoRoom(problem));
        }
        // That of one run may come alone: what else there is makes room, as ended runs do.
        let others = incoming.bytes_but(run);
        let all = others.saturating_add(bytes);
        if others > 0 && incoming.max_spool > 0 && all > incoming.max_spool {
            return Err(NotTaken::NoRoom(format!(
                "the code of this run and of others that are about to begin has {} MiB, and all spools together may have \
                 {} MiB here: it is tried again when those have started, or raise the agent's max_spool",
                all >> 20,
                incoming.max_spool >> 20
            )));
        }
        Ok(())
    }

    /// Deletes from time to time what came for runs that were not accepted.
    pub(super) async fn sweep_incoming_code(self) {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            let incoming = &self.context.incoming_code;
            for (run, files) in incoming.old(self.context.clock.monotonic()) {
                let mut guard = files.state.lock_owned().await;
                *guard = State { turn: guard.turn + 1, ..State::default() };
                let folder = incoming.folder.clone();
                let removed = blocking(move || (folder.remove(run), guard).0).await.and_then(|removed| removed);
                match removed {
                    Ok(()) => incoming.gone(run),
                    Err(error) => tracing::warn!(%run, %error, "code that came for a run that did not follow stays"),
                }
            }
        }
    }
}

/// The call that sends the files of one run now. Dropping it leaves what came.
pub(crate) struct Receiver {
    runs: Runs,
    run: RunId,
    state: Arc<Turn<State>>,
    turn: u64,
}

impl Receiver {
    /// The next file begins, at an offset of it.
    pub(crate) async fn begin(&self, digest: ContentDigest, bytes: u64, offset: u64) -> Result<(), NotTaken> {
        self.runs.room_for(self.run, bytes.saturating_sub(offset))?;
        let (run, folder) = (self.run, self.runs.context.incoming_code.folder.clone());
        self.locked(move |state| {
            let open = match state.open.take() {
                Some(open) if open.digest() == digest => open,
                _ if folder.is_whole(run, digest) => return Err(NotTaken::Offset(bytes)),
                _ => folder.append(run, digest, bytes)?,
            };
            if offset == open.len() {
                state.open = Some(open);
                return Ok(());
            }
            let there = open.len();
            state.open = Some(open);
            Err(NotTaken::Offset(there))
        })
        .await
    }

    /// Takes the bytes that follow.
    pub(crate) async fn take(&self, piece: Bytes) -> Result<(), NotTaken> {
        let (run, folder, len) = (self.run, self.runs.context.incoming_code.folder.clone(), piece.len() as u64);
        self.locked(move |state| {
            let mut open = state.open.take().ok_or(NotTaken::Nameless)?;
            if !open.write(&piece)? {
                return Err(NotTaken::TooLong);
            }
            if !open.is_whole() {
                state.open = Some(open);
                return Ok(());
            }
            let (wanted, bytes) = (open.digest(), open.len());
            match open.compare()? {
                Placed::Differs(found) => return Err(NotTaken::Differs { wanted, found }),
                Placed::Right => state.right.push(wanted),
            }
            state.right_bytes += bytes;
            if state.right.len() >= TOGETHER.0 || state.right_bytes >= TOGETHER.1 {
                state.place(&folder, run)?;
            }
            Ok(())
        })
        .await?;
        self.runs.context.incoming_code.grew(self.run, len, self.runs.context.clock.monotonic());
        Ok(())
    }

    /// No more comes in this call: what is whole is synced when this returns.
    pub(crate) async fn end(self) -> Result<(), NotTaken> {
        let (run, folder) = (self.run, self.runs.context.incoming_code.folder.clone());
        self.locked(move |state| Ok(state.place(&folder, run)?)).await
    }

    /// Works on the files, as the only one. The work ends as one whole, also when its caller is gone.
    async fn locked<T, F>(&self, work: F) -> Result<T, NotTaken>
    where
        T: Send + 'static,
        F: FnOnce(&mut State) -> Result<T, NotTaken> + Send + 'static,
    {
        let mut guard: OwnedMutexGuard<State> = Arc::clone(&self.state).lock_owned().await;
        if guard.turn != self.turn {
            return Err(NotTaken::Superseded);
        }
        blocking(move || work(&mut guard)).await?
    }
}

impl State {
    fn place(&mut self, folder: &Incoming, run: RunId) -> io::Result<()> {
        folder.place(run, &self.right)?;
        self.right.clear();
        self.right_bytes = 0;
        Ok(())
    }
}
