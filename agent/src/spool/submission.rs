//! The request, kept whole, so that a run can be recovered when the ledger that recorded it is lost.

use std::{fs, io};

use longhaul_proto::{durable, faults, principal::Principal, wire};
use prost::Message;
use serde::{Deserialize, Serialize};

use super::{Attempt, AttemptKind, Decision, FORMAT, Layout, OLDEST_FORMAT, Spool};

/// What a spool belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One run, which is one command: its range is the whole log.
    #[default]
    Run,
    /// A Stata that is kept between commands, each of which is a run and a range of its log.
    Session,
}

/// One command that a spool's Stata carried out, and its part of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRange {
    /// The run that asked for it.
    pub run_id: String,
    /// First byte.
    pub start: u64,
    /// Byte after the last; `None` = it goes on.
    pub end: Option<u64>,
}

/// `submission.json`: the format of the spool, and what people want to read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Meta {
    /// Version of the spool's format.
    pub format: u32,
    /// The run.
    pub run_id: String,
    /// The principal who asked, by its display name.
    pub principal: String,
    /// The ledger it belongs to.
    pub cluster_id: String,
    /// `path`, `text` or `bundle`, with the path or the entry.
    pub source: String,
    /// When the agent got it, Unix milliseconds.
    pub received_at_ms: i64,
    /// What it belongs to.
    #[serde(default)]
    pub kind: Kind,
    /// What holds the seat: a run, a session; empty = the run.
    #[serde(default)]
    pub holder: String,
    /// The commands of a session, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<CommandRange>,
}

/// A spool's request could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SubmissionError {
    /// The file system failed.
    #[error("could not read the request in the spool")]
    Read(#[source] io::Error),
    /// The bytes are not a request.
    #[error("the request in the spool is damaged")]
    Decode(#[source] prost::DecodeError),
    /// Written by another version.
    #[error("the spool has format {0}; this version reads {OLDEST_FORMAT} to {FORMAT}: run the version that wrote it")]
    Format(u32),
    /// Of a kind that this version does not carry out.
    #[error("the spool is a session's, and this version runs no sessions: run the version that wrote it")]
    Session,
}

impl SubmissionError {
    /// Whether the request exists but cannot be parsed. The run goes on without it.
    pub fn is_damaged(&self) -> bool {
        match self {
            Self::Read(error) => super::is_damaged(error),
            Self::Decode(_) => true,
            Self::Format(_) | Self::Session => false,
        }
    }
}

impl Spool {
    /// Accepts a run: the request and the executor's mark of readiness first, then `attempt-N`, all durable at return. A
    /// run that was started keeps its first request.
    ///
    /// # Errors
    /// Any failure of the file system; the attempt may then be decided or not. Another attempt was started here.
    pub fn accept(
        &self,
        submission: &wire::Submission,
        attempt: u32,
        ready_mark: &[u8],
        now_ms: i64,
    ) -> io::Result<Decision> {
        match self.last_attempt()? {
            Some(Attempt { number, kind: AttemptKind::Started }) if number == attempt => {
                return Ok(Decision::Was(AttemptKind::Started));
            }
            Some(Attempt { kind: AttemptKind::Started, number }) => {
                // Its end is recorded and judged; the run's task has checked that another attempt may follow such an
                // end.
                let over = self.outcome().exists() && number < attempt;
                if !(over && submission.retry == wire::RetryPolicy::IfProvenDead as i32) {
                    return Err(io::Error::other("another attempt of this run was started here"));
                }
            }
            _ => {}
        }
        let source = match &submission.source {
            Some(wire::submission::Source::Path(path)) => format!("path {path}"),
            Some(wire::submission::Source::Text(_)) => "text".to_owned(),
            Some(wire::submission::Source::Bundle(bundle)) => format!("bundle {}", bundle.entry),
            Some(wire::submission::Source::Stored(code)) if code.entry.is_empty() => "text".to_owned(),
            Some(wire::submission::Source::Stored(code)) => format!("bundle {}", code.entry),
            None => "none".to_owned(),
        };
        let meta = Meta {
            format: self.layout().format(),
            run_id: self.run().to_string(),
            principal: Principal::new(&*submission.principal_issuer, &*submission.principal).to_string(),
            cluster_id: submission.cluster_id.clone(),
            source,
            received_at_ms: now_ms,
            kind: Kind::Run,
            holder: self.run().to_string(),
            commands: Vec::new(),
        };
        durable::make_folder(self.path())?;
        if self.layout() == Layout::Split {
            durable::make_folder(self.control_folder())?;
            durable::make_folder(self.run_folder())?;
        }
        let mut batch = durable::Batch::default();
        batch.write(&self.submission_pb(), &submission.encode_to_vec())?;
        batch.write(&self.submission_json(), &serde_json::to_vec(&meta)?)?;
        if !ready_mark.is_empty() {
            batch.write(&self.ready(), ready_mark)?;
        }
        if self.layout() == Layout::Split {
            batch.names(self.control_folder())?;
        }
        batch.names(self.path())?;
        batch.names(self.path().parent().unwrap_or(self.path()))?;
        faults::point("agent.before_attempt");
        let decision = self.decide_after(attempt, AttemptKind::Started, batch)?;
        faults::point("agent.after_attempt");
        Ok(decision)
    }

    /// Reads the request; `None` when no attempt was started here. A request alone, whole or torn, is left over from a
    /// crash before the run was accepted.
    ///
    /// # Errors
    /// When it exists and cannot be read.
    pub fn submission(&self) -> Result<Option<wire::Submission>, SubmissionError> {
        let taken = self.last_attempt().map_err(SubmissionError::Read)?.is_some_and(|a| a.kind == AttemptKind::Started);
        let meta = match self.read::<Meta>(&self.submission_json()) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData && !taken => None,
            read => read.map_err(SubmissionError::Read)?,
        };
        let Some(meta) = meta else { return Ok(None) };
        if !(OLDEST_FORMAT..=FORMAT).contains(&meta.format) {
            return Err(SubmissionError::Format(meta.format));
        }
        if meta.kind == Kind::Session {
            return Err(SubmissionError::Session);
        }
        if !taken {
            return Ok(None);
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
        assert!(spool.submission().unwrap().is_none());
        let submission = wire::Submission {
            run_id: spool.run().to_string(),
            principal: "ada".into(),
            args: vec!["1".into()],
            source: Some(wire::submission::Source::Text(b"display 1\n".to_vec())),
            ..Default::default()
        };
        assert_eq!(spool.accept(&submission, 1, b"", 5).unwrap(), Decision::Mine);
        assert_eq!(spool.submission().unwrap(), Some(submission.clone()));
        let other = wire::Submission { principal: "bob".into(), ..submission.clone() };
        assert_eq!(spool.accept(&other, 1, b"", 6).unwrap(), Decision::Was(AttemptKind::Started));
        assert!(spool.accept(&other, 2, b"", 6).is_err());
        assert_eq!(spool.submission().unwrap(), Some(submission), "what was begun keeps its request");

        let mut meta: Meta = spool.read(&spool.submission_json()).unwrap().unwrap();
        meta.format = FORMAT + 1;
        spool.write(&spool.submission_json(), &meta).unwrap();
        assert!(matches!(spool.submission(), Err(SubmissionError::Format(n)) if n == FORMAT + 1));
    }

    /// The folder of a new run as an agent sees it that reads format 1 only: the attempt, and a format that it refuses.
    #[test]
    fn an_agent_that_reads_the_first_format_finds_the_attempt_and_the_format() {
        let folder = tempfile::tempdir().unwrap();
        let root = SpoolRoot::open(folder.path().join("runs")).unwrap();
        let run = Ids::system().run();
        let submission = wire::Submission { run_id: run.to_string(), ..Default::default() };
        root.of(run).accept(&submission, 1, b"boot", 5).unwrap();
        let path = root.path().join(run.to_string());
        assert_eq!(fs::read(path.join("attempt-1")).unwrap(), b"started\n");
        let meta: serde_json::Value = serde_json::from_slice(&fs::read(path.join("submission.json")).unwrap()).unwrap();
        assert_eq!((&meta["format"], &meta["kind"]), (&2.into(), &"run".into()), "{meta}");
        assert_eq!(root.of(run).layout(), Layout::Split, "and it is found again");
        // One of a session is left alone.
        let session =
            Meta { kind: Kind::Session, ..root.of(run).read(&path.join("submission.json")).unwrap().unwrap() };
        root.of(run).write(&path.join("submission.json"), &session).unwrap();
        assert!(matches!(root.of(run).submission(), Err(SubmissionError::Session)));
    }

    #[test]
    fn a_run_of_the_first_format_goes_on_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = SpoolRoot::open(folder.path().join("runs")).unwrap();
        let run = Ids::system().run();
        root.of(run).create().unwrap();
        fs::write(root.path().join(run.to_string()).join("plan.json"), "{}").unwrap();
        let submission = wire::Submission { run_id: run.to_string(), ..Default::default() };
        let spool = root.of(run);
        assert_eq!(spool.accept(&submission, 2, b"boot", 5).unwrap(), Decision::Mine);
        let meta: Meta = spool.read(&spool.submission_json()).unwrap().unwrap();
        assert_eq!((meta.format, spool.layout()), (1, Layout::Flat));
        assert!(spool.path().join("submission.pb").exists() && !spool.path().join("run").exists());
    }

    #[test]
    fn what_a_crash_left_of_a_request_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let spool = SpoolRoot::open(folder.path().join("runs")).unwrap().of(Ids::system().run());
        let submission = wire::Submission { run_id: spool.run().to_string(), ..Default::default() };
        spool.create().unwrap();
        assert_eq!(spool.decide(1, AttemptKind::Revoked).unwrap(), Decision::Mine);
        for torn in [b"".as_slice(), b"{\"format\":1"] {
            fs::write(spool.submission_json(), torn).unwrap();
            assert!(spool.submission().unwrap().is_none());
        }
        assert_eq!(spool.accept(&submission, 2, b"", 5).unwrap(), Decision::Mine);
        assert_eq!(spool.submission().unwrap(), Some(submission));
        fs::write(spool.submission_json(), b"").unwrap();
        assert!(spool.submission().is_err(), "damage to a run that was taken is told");
    }
}
