//! Reading a data file that is kept here, in a process of its own.
//!
//! **A data file that a user's code made costs its own process at most.** The child gets the open file as its standard input
//! and reads of it what the answer needs; nothing is copied. What it may be asked is what agents are asked, and it answers
//! in the same parts. Its reader is the agent's: the program, which has both, knows it by [`READ_DATA`].

use std::{fs::File, process::Stdio, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Buf, BytesMut};
use futures_util::{StreamExt, stream};
use longhaul_proto::{MAX_MESSAGE, ids::RunId, wire};
use prost::Message;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, ChildStdout, Command},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{DataAsk, DataError, Runs};
use crate::{
    fleet::agent_port::{AgentError, DataParts, Failure},
    model::Identity,
};

/// The word of the command line by which the program reads a data file, as the child of a gateway.
pub const READ_DATA: &str = "read-data";
/// The request in the child's environment, which other users cannot read.
const REQUEST: &str = "LONGHAUL_DATA_REQUEST";
/// The child's exit status when the request cannot be meant.
const ASKED: i32 = 2;
/// Files that are read at once, and how long another waits for its turn.
const AT_ONCE: usize = 2;
const TURN: Duration = Duration::from_secs(10);
/// Most of what a child says of its failure, bytes.
const WORDS: u64 = 2_000;

/// The request that this process was started with, as the child of a gateway.
pub fn asked_of_child() -> Option<Vec<u8>> {
    STANDARD.decode(std::env::var(REQUEST).ok()?).ok()
}

/// The turns of readers.
pub(super) struct Readers(Arc<Semaphore>);

impl Default for Readers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// A data file that is kept here.
pub(super) struct KeptData {
    pub(super) run: RunId,
    /// As its run's list of files names it.
    pub(super) name: String,
    /// The host that it came from.
    pub(super) host: String,
    /// When it was last written to there, Unix ms; 0 = not known.
    pub(super) modified_ms: i64,
    file: Arc<File>,
    program: Option<std::path::PathBuf>,
    turns: Arc<Semaphore>,
}

/// Where a file of a run is that is not kept here.
pub(super) struct Elsewhere {
    pub(super) host: String,
    pub(super) path: String,
}

impl KeptData {
    /// The file of a run that is asked for. The inner error says where it is instead.
    pub(super) async fn find(runs: &Runs, who: &Identity, ask: &DataAsk) -> Result<Result<Self, Elsewhere>, DataError> {
        let run = runs.find(who, &ask.run).await?;
        let listed = runs.files(who, run).await?;
        let name = match listed.find(&ask.path) {
            // As after Stata's `use`.
            Err(several) if several.is_empty() && !ask.path.ends_with(".dta") => format!("{}.dta", ask.path),
            _ => ask.path.clone(),
        };
        if let Ok(file) = listed.find(&name)
            && !file.of_run
        {
            return Ok(Err(Elsewhere { host: listed.host.clone(), path: file.path.clone() }));
        }
        let open = runs.open_file(who, run, &name).await?;
        let Some(file) = open.blob() else {
            let why = match open.file.why_not.as_str() {
                "" => "its copy has not come from its host yet: ask again in a few seconds",
                why => why,
            };
            let words =
                format!("{name} of run {} is not kept here, and no data file that agents may show: {why}", run.short());
            return Err(DataError::Refused { words });
        };
        Ok(Ok(Self {
            run,
            name,
            host: listed.host.clone(),
            modified_ms: open.file.modified_ms,
            file,
            program: runs.0.options.draw_program.clone(),
            turns: runs.0.kept_data.0.clone(),
        }))
    }

    /// Begins to read it.
    pub(super) async fn parts(&self, request: &wire::DataRequest) -> Result<DataParts, AgentError> {
        let turn = tokio::time::timeout(TURN, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(AgentError::other("the gateway reads as many data files as it may at once"));
        };
        let reading = self.started(request, turn).map_err(|error| AgentError::other(&error.to_string()))?;
        let parts =
            stream::try_unfold(
                reading,
                |mut reading| async move { Ok(reading.next().await?.map(|part| (part, reading))) },
            );
        Ok(parts.boxed())
    }

    fn started(&self, request: &wire::DataRequest, turn: OwnedSemaphorePermit) -> std::io::Result<Reading> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => std::env::current_exe()?,
        };
        let mut command = Command::new(program);
        command.arg(READ_DATA).env_clear().env(REQUEST, STANDARD.encode(request.encode_to_vec()));
        command.stdin(self.file.try_clone()?).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn()?;
        let from = child.stdout.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
        Ok(Reading { child, from, read: BytesMut::new(), _turn: turn })
    }
}

/// A child that answers. It is ended when this is dropped.
struct Reading {
    child: Child,
    from: ChildStdout,
    read: BytesMut,
    _turn: OwnedSemaphorePermit,
}

impl Reading {
    /// The next part; `None` = the child has said all.
    async fn next(&mut self) -> Result<Option<wire::DataPart>, AgentError> {
        let failed = |error: std::io::Error| AgentError::other(&error.to_string());
        match framed(&mut self.from, &mut self.read).await.map_err(failed)? {
            Some(part) => Ok(Some(part)),
            None => self.ended().await.map(|()| None),
        }
    }

    /// How it ended.
    async fn ended(&mut self) -> Result<(), AgentError> {
        let failed = |error: std::io::Error| AgentError::other(&error.to_string());
        let mut words = Vec::new();
        if let Some(said) = self.child.stderr.take() {
            said.take(WORDS).read_to_end(&mut words).await.map_err(failed)?;
        }
        let status = self.child.wait().await.map_err(failed)?;
        let words = String::from_utf8_lossy(&words);
        match (status.code(), words.trim()) {
            (Some(0), _) => Ok(()),
            (_, "") => Err(AgentError::new(Failure::Unmet, &format!("reading it ended with {status}"))),
            (Some(ASKED), why) => Err(AgentError::new(Failure::Refused, why)),
            (_, why) => Err(AgentError::new(Failure::Unmet, why)),
        }
    }
}

/// The next part of what a child writes, each with its length before it; `None` = the end, between two parts.
async fn framed(from: &mut (impl AsyncRead + Unpin), read: &mut BytesMut) -> std::io::Result<Option<wire::DataPart>> {
    let odd = |error: prost::DecodeError| std::io::Error::other(error);
    loop {
        let mut ahead = &read[..];
        // A length has ten bytes at most; one that is not whole yet is read further.
        if let Ok(len) = prost::decode_length_delimiter(&mut ahead) {
            if len > MAX_MESSAGE {
                return Err(std::io::Error::other("a part of the answer is too large"));
            }
            if ahead.len() >= len {
                let part = wire::DataPart::decode(&ahead[..len]).map_err(odd)?;
                let used = read.len() - ahead.len() + len;
                read.advance(used);
                return Ok(Some(part));
            }
        }
        if from.read_buf(read).await? == 0 {
            return if read.is_empty() { Ok(None) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn parts_are_cut_at_their_lengths() {
        let part = |bytes: usize| wire::DataPart { part: Some(wire::data_part::Part::Bytes(vec![7; bytes].into())) };
        let mut all = Vec::new();
        for bytes in [0, 1, 200, 70_000] {
            all.extend(part(bytes).encode_length_delimited_to_vec());
        }
        let whole = all.len();
        for cut in [whole, whole - 1, 4, 3, 1, 0] {
            let mut from = &all[..cut];
            let mut read = BytesMut::new();
            let mut parts = 0;
            let end = loop {
                match framed(&mut from, &mut read).await {
                    Ok(Some(_)) => parts += 1,
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            };
            let want = match cut {
                _ if cut == whole => (4, true),
                0 => (0, true),
                1 => (0, false),
                // Between two parts: that it is not all is told by the child's end, and by the end that is missing.
                3 => (1, true),
                4 => (1, false),
                _ => (3, false),
            };
            assert_eq!((parts, end), want, "{cut} of {whole}");
        }
    }
}
