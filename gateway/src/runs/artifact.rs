//! Files that a run left. They stay on its host and are read there when a client asks; none is copied beforehand.

use futures_util::TryStreamExt;
use longhaul_proto::{MAX_ARTIFACT_READ, ids::RunId, wire};

use super::{FindError, Runs, may};
use crate::{
    fleet::agent_port::{AgentError, Failure, Port},
    model::Identity,
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

impl Runs {
    /// At most `max` (and [`MAX_ARTIFACT_READ`]) bytes of a file that a run left, by its path as in the run's view.
    ///
    /// # Errors
    /// See [`ArtifactError`].
    pub async fn artifact(&self, who: &Identity, run: RunId, path: &str, max: u64) -> Result<Fetched, ArtifactError> {
        let record = self.record(run).await?.filter(|r| may(who, &r.principal));
        let record = record.ok_or_else(|| FindError::Unknown(run.to_string()))?;
        let host = record.host().to_owned();
        let connection = self.0.fleet.connections(record.agent_id()).await.get();
        let Some(connection) = connection.filter(|connection| !connection.is_broken()) else {
            return Err(ArtifactError::Away(host));
        };
        let limit = max.min(MAX_ARTIFACT_READ);
        let request = wire::ArtifactRequest { run_id: run.to_string(), path: path.to_owned(), offset: 0, limit };
        match tokio::time::timeout(self.0.options.call_timeout, fetch(connection, request)).await {
            Ok(Ok(fetched)) => Ok(fetched),
            Ok(Err(error)) => Err(refused(host, error)),
            Err(_) => Err(ArtifactError::Unanswered { host, reason: "it took too long".to_owned() }),
        }
    }
}

async fn fetch(connection: Port, request: wire::ArtifactRequest) -> Result<Fetched, AgentError> {
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let mut parts = connection.artifact(request).await?;
    let mut fetched = Fetched::default();
    while let Some(part) = parts.try_next().await? {
        fetched.len = part.bytes;
        let room = limit - fetched.bytes.len();
        fetched.bytes.extend_from_slice(&part.data[..part.data.len().min(room)]);
    }
    Ok(fetched)
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
