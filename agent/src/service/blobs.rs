//! The files of stored code that come before a run.

use longhaul_proto::{CHUNK, digest::ContentDigest, wire};
use tonic::{Status, Streaming};

use super::{refusal, run_id};
use crate::runs::{Receiver, Runs};

fn file(file: &wire::BlobFile) -> Result<(ContentDigest, u64), Status> {
    let digest = file.sha256.parse();
    digest.map(|digest| (digest, file.bytes)).map_err(|_| Status::invalid_argument("the digest of a file is none"))
}

/// How far the files of a run are here.
pub(super) async fn offsets(runs: &Runs, request: &wire::BlobOffsetsRequest) -> Result<wire::BlobOffsetsReply, Status> {
    let files = request.files.iter().map(file).collect::<Result<_, _>>()?;
    let offsets = runs.blob_offsets(run_id(&request.run_id)?, files).await;
    offsets.map(|offsets| wire::BlobOffsetsReply { offsets }).map_err(|e| refusal::not_taken(&e))
}

/// Takes files as they come.
pub(super) async fn put(
    runs: &Runs,
    first: wire::BlobPart,
    mut parts: Streaming<wire::BlobPart>,
) -> Result<(), Status> {
    let receiver = runs.receive_blobs(run_id(&first.run_id)?).await;
    take(&receiver, first).await?;
    while let Some(part) = parts.message().await? {
        take(&receiver, part).await?;
    }
    receiver.end().await.map_err(|e| refusal::not_taken(&e))
}

async fn take(receiver: &Receiver, part: wire::BlobPart) -> Result<(), Status> {
    if part.data.len() > CHUNK {
        return Err(Status::invalid_argument("a part has more bytes than one may have"));
    }
    if let Some(named) = &part.file {
        let (digest, bytes) = file(named)?;
        receiver.begin(digest, bytes, part.offset).await.map_err(|e| refusal::not_taken(&e))?;
    }
    if part.data.is_empty() {
        return Ok(());
    }
    receiver.take(part.data).await.map_err(|e| refusal::not_taken(&e))
}
