//! The calls to an agent over gRPC.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use async_trait::async_trait;
use futures_util::{Stream, StreamExt, future::ready, stream::BoxStream};
use longhaul_proto::{transport::never_sent, wire};
use tonic::{Code, Response, Status};

use super::Connection;
use crate::fleet::agent_port::{AgentError, AgentPort, ArtifactParts, DataParts, Events, Failure, FilesParts};

#[async_trait]
impl AgentPort for Connection {
    async fn run(&self, request: wire::RunRequest) -> Result<Events, AgentError> {
        self.data().run(request).await.map(events).map_err(error)
    }

    fn takes_blobs(&self) -> bool {
        self.described.takes_blobs
    }

    async fn blob_offsets(&self, request: wire::BlobOffsetsRequest) -> Result<wire::BlobOffsetsReply, AgentError> {
        self.control().blob_offsets(request).await.map(Response::into_inner).map_err(error)
    }

    async fn put_blobs(&self, parts: BoxStream<'static, wire::BlobPart>) -> Result<wire::PutBlobsReply, AgentError> {
        let sent = self.data().put_blobs(Parts(parts)).await;
        sent.map(Response::into_inner).map_err(error)
    }

    async fn follow(&self, request: wire::FollowRequest) -> Result<Events, AgentError> {
        self.data().follow(request).await.map(events).map_err(error)
    }

    async fn cancel(&self, request: wire::CancelRequest) -> Result<wire::CancelReply, AgentError> {
        self.control().cancel(request).await.map(Response::into_inner).map_err(error)
    }

    async fn revoke(&self, request: wire::RevokeRequest) -> Result<wire::RevokeReply, AgentError> {
        self.control().revoke(request).await.map(Response::into_inner).map_err(error)
    }

    async fn forget(&self, request: wire::ForgetRequest) -> Result<wire::ForgetReply, AgentError> {
        self.control().forget(request).await.map(Response::into_inner).map_err(error)
    }

    async fn changed(&self, request: wire::ChangedRequest) -> Result<wire::ChangedReply, AgentError> {
        self.control().changed(request).await.map(Response::into_inner).map_err(error)
    }

    fn keeps_do_files(&self) -> bool {
        self.described.keeps_do_files
    }

    async fn do_files(&self, request: wire::DoFilesRequest) -> Result<wire::DoFilesReply, AgentError> {
        self.data().do_files(request).await.map(Response::into_inner).map_err(error)
    }

    async fn do_file(&self, request: wire::DoFileRequest) -> Result<wire::DoFileReply, AgentError> {
        self.data().do_file(request).await.map(Response::into_inner).map_err(error)
    }

    fn lists_files(&self) -> bool {
        self.described.lists_files
    }

    async fn files(&self, request: wire::FilesRequest) -> Result<FilesParts, AgentError> {
        let parts = self.data().files(request).await.map_err(error)?.into_inner();
        Ok(parts.map(|part| part.map_err(error)).boxed())
    }

    fn finds_paths(&self) -> bool {
        self.described.finds_paths
    }

    async fn inspect(&self, request: wire::InspectRequest) -> Result<wire::InspectReply, AgentError> {
        self.control().inspect(request).await.map(Response::into_inner).map_err(error)
    }

    async fn artifact(&self, request: wire::ArtifactRequest) -> Result<ArtifactParts, AgentError> {
        let parts = self.data().artifact(request).await.map_err(error)?.into_inner();
        Ok(parts.map(|part| part.map_err(error)).boxed())
    }

    fn gives_help(&self) -> bool {
        self.described.gives_help
    }

    async fn help(&self, request: wire::HelpRequest) -> Result<wire::HelpReply, AgentError> {
        self.data().help(request).await.map(Response::into_inner).map_err(error)
    }

    fn reads_data(&self) -> bool {
        self.described.reads_data
    }

    async fn data_file(&self, request: wire::DataRequest) -> Result<DataParts, AgentError> {
        let parts = self.data().data(request).await.map_err(error)?.into_inner();
        Ok(parts.map(|part| part.map_err(error)).boxed())
    }

    fn draws_pdf(&self) -> bool {
        self.described.draws_pdf
    }

    async fn draw(&self, request: wire::DrawRequest) -> Result<wire::DrawReply, AgentError> {
        self.data().draw(request).await.map(Response::into_inner).map_err(error)
    }

    async fn broken(&self) {
        tokio::select! {
            biased;
            () = self.control.ends.closed.cancelled() => {}
            () = self.data.ends.closed.cancelled() => {}
        }
    }

    fn is_broken(&self) -> bool {
        self.control.ends.closed.is_cancelled() || self.data.ends.closed.is_cancelled()
    }

    fn cut(&self) {
        self.control.ends.cut.cancel();
        self.data.ends.cut.cancel();
    }
}

/// A stream under a type of its own: the compiler cannot see of a boxed one that the call which sends it may change threads.
struct Parts(BoxStream<'static, wire::BlobPart>);

impl Stream for Parts {
    type Item = wire::BlobPart;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

fn events(answer: Response<tonic::Streaming<wire::RunEvent>>) -> Events {
    let known = |event: Result<wire::RunEvent, Status>| event.map(|event| event.event).map_err(error).transpose();
    Events::new(answer.into_inner().filter_map(move |event| ready(known(event))).boxed())
}

/// What follows from a status.
pub(super) fn error(status: Status) -> AgentError {
    let failure = match status.code() {
        _ if never_sent(&status) => Failure::NeverSent,
        Code::NotFound => Failure::NotFound,
        Code::OutOfRange => Failure::OutOfRange,
        Code::DataLoss => Failure::Unreadable,
        Code::InvalidArgument | Code::PermissionDenied => Failure::Refused,
        Code::FailedPrecondition => Failure::Unmet,
        Code::Unimplemented => Failure::TooOld,
        _ => Failure::Other,
    };
    AgentError::new(failure, status.message())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::connection::Spent;

    #[test]
    fn what_follows_from_a_status() {
        #[track_caller]
        fn check(code: Code, want: Failure, lasts: bool) {
            let found = error(Status::new(code, "a\u{1b}[2Jb"));
            assert_eq!((found.failure, found.lasts()), (want, lasts), "{code:?}");
            assert!(!found.words.contains('\u{1b}'), "{:?}", found.words);
        }
        check(Code::NotFound, Failure::NotFound, false);
        check(Code::OutOfRange, Failure::OutOfRange, true);
        check(Code::DataLoss, Failure::Unreadable, false);
        check(Code::InvalidArgument, Failure::Refused, true);
        check(Code::PermissionDenied, Failure::Refused, true);
        check(Code::FailedPrecondition, Failure::Unmet, false);
        check(Code::Unimplemented, Failure::TooOld, true);
        for code in [Code::Unavailable, Code::Unknown, Code::Internal, Code::Cancelled, Code::ResourceExhausted] {
            check(code, Failure::Other, false);
        }
        let spent = error(Status::from_error(Box::new(Spent)));
        assert_eq!((spent.failure, spent.lasts()), (Failure::NeverSent, false));
    }
}
