//! The interface through which an agent is called, without its transport.
//!
//! How the gateway talks to an agent: the calls, their answers and their failures, without a transport. Whoever holds a
//! port knows what it may conclude from a failure ([`Failure`]), and nothing of how the call travelled.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt, stream::BoxStream};
use longhaul_proto::{
    visible,
    wire::{self, run_event::Event},
};

/// A connected agent.
pub(crate) type Port = Arc<dyn AgentPort>;

/// The calls to one agent over one connection, which is never replaced: when it is gone, the port is of no more use.
#[async_trait]
pub(crate) trait AgentPort: fmt::Debug + Send + Sync {
    /// Executes an attempt, and sends its events from the beginning.
    ///
    /// # Errors
    /// After [`Failure::NeverSent`] the agent has not heard of the attempt; after any other it may be running it.
    async fn run(&self, request: wire::RunRequest) -> Result<Events, AgentError>;

    /// Whether it takes the files of stored code before an attempt; they go within the request otherwise.
    fn takes_blobs(&self) -> bool;

    /// Asks how many bytes of each file of stored code it has.
    ///
    /// # Errors
    /// When it does not answer, or has no room for the rest.
    async fn blob_offsets(&self, request: wire::BlobOffsetsRequest) -> Result<wire::BlobOffsetsReply, AgentError>;

    /// Sends such files. What it has of them when this fails stays there, and the next call goes on behind it.
    ///
    /// # Errors
    /// [`Failure::Unreadable`]: the bytes have another digest.
    async fn put_blobs(&self, parts: BoxStream<'static, wire::BlobPart>) -> Result<wire::PutBlobsReply, AgentError>;

    /// Sends the events of a run, its output from these offsets.
    ///
    /// # Errors
    /// [`Failure::NotFound`]: it has no such attempt. [`Failure::OutOfRange`]: it has less output. [`Failure::Unreadable`]:
    /// it cannot read the run's spool.
    async fn follow(&self, request: wire::FollowRequest) -> Result<Events, AgentError>;

    /// Ends a run.
    ///
    /// # Errors
    /// When it does not answer.
    async fn cancel(&self, request: wire::CancelRequest) -> Result<wire::CancelReply, AgentError>;

    /// Asks for the proof that an attempt never started.
    ///
    /// # Errors
    /// When it does not answer: that proves nothing.
    async fn revoke(&self, request: wire::RevokeRequest) -> Result<wire::RevokeReply, AgentError>;

    /// Deletes the spool of an ended run.
    ///
    /// # Errors
    /// [`Failure::NotFound`]: it has none.
    async fn forget(&self, request: wire::ForgetRequest) -> Result<wire::ForgetReply, AgentError>;

    /// Asks whether the do-files that a run entered have changed.
    ///
    /// # Errors
    /// When it does not answer, or is too old for the question.
    async fn changed(&self, request: wire::ChangedRequest) -> Result<wire::ChangedReply, AgentError>;

    /// Whether it keeps the do-files that runs enter.
    fn keeps_do_files(&self) -> bool;

    /// Asks which do-files an attempt entered.
    ///
    /// # Errors
    /// When it does not answer. [`Failure::TooOld`]: it keeps none.
    async fn do_files(&self, request: wire::DoFilesRequest) -> Result<wire::DoFilesReply, AgentError>;

    /// Asks for the bytes of one of them.
    ///
    /// # Errors
    /// When it does not answer. [`Failure::NotFound`]: it does not have them any more.
    async fn do_file(&self, request: wire::DoFileRequest) -> Result<wire::DoFileReply, AgentError>;

    /// Whether it lists the files that runs left.
    fn lists_files(&self) -> bool;

    /// Asks which files an attempt left; the list comes as the files are read.
    ///
    /// # Errors
    /// When it does not answer. [`Failure::TooOld`]: it lists none.
    async fn files(&self, request: wire::FilesRequest) -> Result<FilesParts, AgentError>;

    /// Whether it looks for relative paths, and for working directories alone.
    fn finds_paths(&self) -> bool;

    /// Asks what is at a path.
    ///
    /// # Errors
    /// When it does not answer.
    async fn inspect(&self, request: wire::InspectRequest) -> Result<wire::InspectReply, AgentError>;

    /// Sends a file that a run left, in parts.
    ///
    /// # Errors
    /// [`Failure::NotFound`] and [`Failure::Unmet`]: there is no such file to read. [`Failure::TooOld`]: it shows none.
    async fn artifact(&self, request: wire::ArtifactRequest) -> Result<ArtifactParts, AgentError>;

    /// Whether it gives Stata's help.
    fn gives_help(&self) -> bool;

    /// Asks for a topic of Stata's help, or for topics by words.
    ///
    /// # Errors
    /// When it does not answer. [`Failure::TooOld`]: it gives none.
    async fn help(&self, request: wire::HelpRequest) -> Result<wire::HelpReply, AgentError>;
    /// Whether it reads data files.
    fn reads_data(&self) -> bool;

    /// Reads a data file, in parts.
    ///
    /// # Errors
    /// [`Failure::Refused`] and [`Failure::Unmet`] in words for the user. [`Failure::TooOld`]: it reads none.
    async fn data_file(&self, request: wire::DataRequest) -> Result<DataParts, AgentError>;

    /// Whether it draws PDFs.
    fn draws_pdf(&self) -> bool;

    /// Draws the first page of a PDF as PNG.
    ///
    /// # Errors
    /// [`Failure::Refused`] and [`Failure::Unmet`] in words for the user. [`Failure::TooOld`]: it draws none.
    async fn draw(&self, request: wire::DrawRequest) -> Result<wire::DrawReply, AgentError>;

    /// Returns when the connection is gone.
    async fn broken(&self);

    /// Whether the connection is gone.
    fn is_broken(&self) -> bool;

    /// Ends the connection, with all calls on it.
    fn cut(&self);
}

/// A file that a run left, as it comes.
pub(crate) type ArtifactParts = BoxStream<'static, Result<wire::ArtifactPart, AgentError>>;

/// The files that a run left, as they are listed.
pub(crate) type FilesParts = BoxStream<'static, Result<wire::FilesPart, AgentError>>;
/// What is in a data file, as it comes.
pub(crate) type DataParts = BoxStream<'static, Result<wire::DataPart, AgentError>>;

/// The events of one run, as its agent sends them. Events of a kind that this version does not know are left out.
pub(crate) struct Events(BoxStream<'static, Result<Event, AgentError>>);

/// What a stream of events yields: an event, its end, or a failure.
pub(crate) type Received = Result<Option<Event>, AgentError>;

impl Events {
    pub(crate) fn new(events: BoxStream<'static, Result<Event, AgentError>>) -> Self {
        Self(events)
    }

    /// Waits for the next event. May be dropped at any await.
    pub(crate) async fn next(&mut self) -> Received {
        self.0.next().await.transpose()
    }

    /// The next event, if it has already arrived.
    pub(crate) fn arrived(&mut self) -> Option<Received> {
        self.0.next().now_or_never().map(Option::transpose)
    }

    /// The snapshot with which every stream begins.
    ///
    /// # Errors
    /// When the stream fails, or begins with something else.
    pub(crate) async fn snapshot(&mut self) -> Result<wire::Snapshot, AgentError> {
        match self.next().await? {
            Some(Event::Snapshot(snapshot)) => Ok(snapshot),
            _ => Err(AgentError::other("the agent did not begin with a snapshot")),
        }
    }
}

/// Why a call to an agent failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub(crate) struct AgentError {
    /// What follows from it.
    pub(crate) failure: Failure,
    /// In the agent's words, or the connection's; made harmless.
    pub(crate) words: String,
}

/// What follows from the failure of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The call never left this machine: the connection was gone before.
    NeverSent,
    /// The agent does not have what it was asked for.
    NotFound,
    /// The agent has less than it was asked for.
    OutOfRange,
    /// The agent has it and cannot read it.
    Unreadable,
    /// The agent refuses the request, now and later.
    Refused,
    /// The agent cannot do it as things are.
    Unmet,
    /// The agent's version does not know the call.
    TooOld,
    /// The connection broke, the agent is busy, or it had no time: whether it did it is unknown.
    Other,
}

impl AgentError {
    /// A failure, with the agent's words.
    pub(crate) fn new(failure: Failure, words: &str) -> Self {
        Self { failure, words: visible::line(words).into_owned() }
    }

    /// A failure from which nothing follows.
    pub(crate) fn other(words: &str) -> Self {
        Self::new(Failure::Other, words)
    }

    /// Whether the agent will never do what it was asked for: asking again would go on for ever.
    pub(crate) fn lasts(&self) -> bool {
        matches!(self.failure, Failure::Refused | Failure::TooOld | Failure::OutOfRange)
    }
}
