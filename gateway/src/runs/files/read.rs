//! Reading a file that a run left: here, where it was copied, or on its host.

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use longhaul_proto::{MAX_ARTIFACT_READ, ids::RunId, visible, wire};

use crate::{
    blobs::{BlobError, BlobReader},
    fleet::agent_port::{AgentError, Failure, Port},
    ledger::RunFile,
    model::{Identity, Record},
    runs::{FindError, Runs, may},
};

/// Why a file that a run left cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// There is no such run for this caller.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The run's host is not connected.
    #[error("host {0}, where the run's files are, is away: call stata_hosts to see whether it is back, then ask again")]
    Away(String),
    /// It did not answer, or broke off.
    #[error("host {host} did not answer ({reason}): ask again in a few seconds")]
    Unanswered {
        /// The host.
        host: String,
        /// What happened.
        reason: String,
    },
    /// The run left no file of that name.
    #[error("run {run} left no file called {name}{near}")]
    Unknown {
        /// The run, short.
        run: String,
        /// As it was asked for.
        name: String,
        /// What it left instead, in words.
        near: String,
    },
    /// Its bytes are on no host any more.
    #[error("{name} is gone: {reason}")]
    Gone {
        /// Which file.
        name: String,
        /// How.
        reason: String,
    },
    /// The copy here cannot be read.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The disk of the gateway failed.
    #[error("the gateway could not read its copy: look at the disk of its data folder and its log")]
    Disk(#[source] std::io::Error),
    /// It was written to while it was read.
    #[error("{0} was written to on its host while it was read: ask for it again")]
    Changed(String),
    /// The file is not there any more, or is no regular file.
    #[error("host {host}: {reason}")]
    Refused {
        /// The host.
        host: String,
        /// In the agent's words.
        reason: String,
    },
}

/// A file that a run left, or the beginning of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The bytes, as many as were asked for.
    pub bytes: Vec<u8>,
    /// How long the file is now.
    pub len: u64,
}

/// What was seen of a file on its host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) len: u64,
    /// When it was last written to; 0 = not known.
    modified_ns: i64,
}

/// An open file of a run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OpenFile {
    /// What is known of it.
    pub file: RunFile,
    len: u64,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Here(BlobReader),
    OnHost { connection: Port, host: String, run_id: String, seen: Seen, limit: std::time::Duration },
}

impl OpenFile {
    /// Its length, bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether these bytes are those of its digest: a copy that was compared with it.
    pub fn is_copy(&self) -> bool {
        matches!(self.source, Source::Here(_))
    }

    /// The file itself, where it is kept here.
    pub(crate) fn blob(&self) -> Option<std::sync::Arc<std::fs::File>> {
        match &self.source {
            Source::Here(reader) => Some(reader.file()),
            Source::OnHost { .. } => None,
        }
    }

    /// At most `max` (and [`MAX_ARTIFACT_READ`]) bytes from `offset`; none at the end.
    ///
    /// # Errors
    /// See [`ArtifactError`].
    pub async fn read(&self, offset: u64, max: u64) -> Result<Bytes, ArtifactError> {
        let limit = max.min(MAX_ARTIFACT_READ).min(self.len.saturating_sub(offset));
        match &self.source {
            Source::Here(reader) => {
                let most = usize::try_from(limit).unwrap_or(usize::MAX);
                reader.read(offset, most).await.map_err(ArtifactError::Disk)
            }
            Source::OnHost { connection, host, run_id, seen, limit: patience } => {
                let request =
                    wire::ArtifactRequest { run_id: run_id.clone(), path: self.file.path.clone(), offset, limit };
                let (bytes, now) = within(*patience, host, read_part(connection, request)).await?;
                if now != *seen || bytes.len() as u64 != limit {
                    return Err(ArtifactError::Changed(visible::line(&self.file.path).into_owned()));
                }
                Ok(bytes)
            }
        }
    }
}

impl Runs {
    /// Opens a file that a run left, by its name or its path.
    ///
    /// # Errors
    /// See [`ArtifactError`].
    pub async fn open_file(&self, who: &Identity, run: RunId, name: &str) -> Result<OpenFile, ArtifactError> {
        let record = self.record(run).await?.filter(|r| may(who, &r.principal));
        let record = record.ok_or_else(|| FindError::Unknown(run.to_string()))?;
        self.note_read(who, &record.principal, run);
        let listed = self.files_of(&record).await?;
        let file = match listed.find(name) {
            Ok(file) => file.clone(),
            Err(several) => {
                let near = match (several.is_empty(), listed.left.files.len()) {
                    (false, _) => format!(": several are, name one of {}", several.join(", ")),
                    (true, 0) => String::new(),
                    (true, _) => format!(": `longhaul files {}` and stata_files list what it left", run.short()),
                };
                let (run, name) = (run.short().to_string(), visible::line(name).chars().take(200).collect());
                return Err(ArtifactError::Unknown { run, name, near });
            }
        };
        if let Some(digest) = file.held() {
            let reader = self.0.blobs.held(run).await?.open(digest).await?;
            return Ok(OpenFile { len: reader.bytes(), file, source: Source::Here(reader) });
        }
        self.open_on_host(&record, file).await
    }

    async fn open_on_host(&self, record: &Record, file: RunFile) -> Result<OpenFile, ArtifactError> {
        let host = record.host().to_owned();
        if let Some(removed) = record.detail.end.files_removed.as_ref().filter(|_| file.of_run) {
            let reason = format!("the folder of the run was removed on {host} at {}, {}", removed.at, removed.why);
            return Err(ArtifactError::Gone { name: visible::line(&file.path).into_owned(), reason });
        }
        let connection = self.0.fleet.connections(record.agent_id()).await.get();
        let Some(connection) = connection.filter(|connection| !connection.is_broken()) else {
            return Err(ArtifactError::Away(host));
        };
        let (run_id, limit) = (record.run.to_string(), self.0.options.call_timeout);
        let request = wire::ArtifactRequest { run_id: run_id.clone(), path: file.path.clone(), offset: 0, limit: 0 };
        let (_, seen) = within(limit, &host, read_part(&connection, request)).await?;
        Ok(OpenFile { file, len: seen.len, source: Source::OnHost { connection, host, run_id, seen, limit } })
    }

    /// At most `max` (and [`MAX_ARTIFACT_READ`]) bytes of a file that a run left, by its path as in the run's view.
    ///
    /// # Errors
    /// See [`ArtifactError`].
    pub async fn artifact(&self, who: &Identity, run: RunId, path: &str, max: u64) -> Result<Fetched, ArtifactError> {
        let file = self.open_file(who, run, path).await?;
        let bytes = file.read(0, max).await?;
        Ok(Fetched { bytes: bytes.into(), len: file.len() })
    }
}

async fn within<T>(
    limit: std::time::Duration,
    host: &str,
    call: impl Future<Output = Result<T, AgentError>>,
) -> Result<T, ArtifactError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| refused(host.to_owned(), error)),
        Err(_) => Err(ArtifactError::Unanswered { host: host.to_owned(), reason: "it took too long".to_owned() }),
    }
}

/// One part of a file on its host.
pub(super) async fn read_part(connection: &Port, request: wire::ArtifactRequest) -> Result<(Bytes, Seen), AgentError> {
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let mut parts = connection.artifact(request).await?;
    let (mut bytes, mut seen) = (BytesMut::new(), Seen::default());
    while let Some(part) = parts.try_next().await? {
        seen = Seen { len: part.bytes, modified_ns: part.modified_at_ns };
        let room = limit - bytes.len();
        bytes.extend_from_slice(&part.data[..part.data.len().min(room)]);
    }
    Ok((bytes.freeze(), seen))
}

fn refused(host: String, error: AgentError) -> ArtifactError {
    let reason = error.words;
    match error.failure {
        Failure::NotFound | Failure::Unmet => ArtifactError::Refused { host, reason },
        Failure::TooOld => ArtifactError::Refused {
            host,
            reason: "its agent is too old to show files: install the gateway's version there".to_owned(),
        },
        _ => ArtifactError::Unanswered { host, reason },
    }
}
