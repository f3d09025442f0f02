//! The request, kept whole: a run outlives the ledger that asked for it.

use std::{fs, io};

use longhaul_proto::{durable, wire};
use prost::Message;
use serde::{Deserialize, Serialize};

use super::{FORMAT, OLDEST_FORMAT, Spool};

/// `submission.json`: the format of the spool, and what people want to read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Meta {
    /// Version of the spool's format.
    pub format: u32,
    /// The run.
    pub run_id: String,
    /// Who asked.
    pub principal: String,
    /// The ledger it belongs to.
    pub cluster_id: String,
    /// `path`, `text` or `bundle`, with the path or the entry.
    pub source: String,
    /// When the agent got it, Unix milliseconds.
    pub received_at_ms: i64,
}

/// A spool's request could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SubmissionError {
    /// The file system failed.
    #[error("could not read the request in the spool")]
    Read(#[source] io::Error),
    /// Not our bytes.
    #[error("the request in the spool is damaged")]
    Decode(#[source] prost::DecodeError),
    /// Written by another version.
    #[error("the spool has format {0}; this version reads {OLDEST_FORMAT} to {FORMAT}: run the version that wrote it")]
    Format(u32),
}

impl Spool {
    /// Writes the request, durably. What is there already stays.
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn write_submission(&self, submission: &wire::Submission, now_ms: i64) -> io::Result<()> {
        if self.submission_json().exists() {
            return Ok(());
        }
        durable::write_before(&self.submission_pb(), &submission.encode_to_vec())?;
        let source = match &submission.source {
            Some(wire::submission::Source::Path(path)) => format!("path {path}"),
            Some(wire::submission::Source::Text(_)) => "text".to_owned(),
            Some(wire::submission::Source::Bundle(bundle)) => format!("bundle {}", bundle.entry),
            None => "none".to_owned(),
        };
        self.write(
            &self.submission_json(),
            &Meta {
                format: FORMAT,
                run_id: self.run().to_string(),
                principal: submission.principal.clone(),
                cluster_id: submission.cluster_id.clone(),
                source,
                received_at_ms: now_ms,
            },
        )
    }

    /// Reads the request; `None` when the spool has none (a revoked attempt that never came).
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn submission(&self) -> Result<Option<wire::Submission>, SubmissionError> {
        let Some(meta) = self.read::<Meta>(&self.submission_json()).map_err(SubmissionError::Read)? else {
            return Ok(None);
        };
        if !(OLDEST_FORMAT..=FORMAT).contains(&meta.format) {
            return Err(SubmissionError::Format(meta.format));
        }
        let bytes = fs::read(self.submission_pb()).map_err(SubmissionError::Read)?;
        wire::Submission::decode(bytes.as_slice()).map(Some).map_err(SubmissionError::Decode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::SpoolRoot;
    use longhaul_proto::ids::Ids;

    #[test]
    fn the_whole_request_comes_back_and_another_format_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let spool = SpoolRoot::open(folder.path().join("runs")).unwrap().of(Ids::system().run());
        spool.create().unwrap();
        assert!(spool.submission().unwrap().is_none());
        let submission = wire::Submission {
            run_id: spool.run().to_string(),
            principal: "ada".into(),
            args: vec!["1".into()],
            source: Some(wire::submission::Source::Text(b"display 1\n".to_vec())),
            ..Default::default()
        };
        spool.write_submission(&submission, 5).unwrap();
        assert_eq!(spool.submission().unwrap(), Some(submission));

        let mut meta: Meta = spool.read(&spool.submission_json()).unwrap().unwrap();
        meta.format = FORMAT + 1;
        spool.write(&spool.submission_json(), &meta).unwrap();
        assert!(matches!(spool.submission(), Err(SubmissionError::Format(n)) if n == FORMAT + 1));
    }
}
