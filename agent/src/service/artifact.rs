//! A file that a finished run left, for a caller who may see the run. Only files that its record names are read, by
//! exactly that name (or as a name with control characters is shown), and only regular files, through no symbolic link: what
//! is there now in another way is not the run's.

use std::{
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use longhaul_proto::{CHUNK, MAX_ARTIFACT_READ, visible, wire};
use tonic::Status;

use crate::{os, runs};

/// The path that a request names, if the run's record does.
pub(super) fn named(status: &runs::Status, request: &wire::ArtifactRequest) -> Result<PathBuf, Status> {
    let Some(outcome) = status.outcome.as_ref().or(status.kept.as_ref()) else {
        if status.attempt == 0 || status.revoked {
            return Err(Status::not_found("this agent does not keep that run any more"));
        }
        return Err(Status::failed_precondition("the run has not ended; what it wrote is known then"));
    };
    let known = outcome.artifacts.iter().find(|a| a.path == request.path || visible::line(&a.path) == request.path);
    known.map(|artifact| artifact.path.clone().into()).ok_or_else(|| Status::not_found("the run wrote no such file"))
}

/// The requested part of that file, cut into messages.
pub(super) fn read(path: &Path, offset: u64, limit: u64) -> Result<Vec<wire::ArtifactPart>, Status> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Status::not_found("the file has been removed since the run ended"),
        _ => Status::failed_precondition(format!("the file cannot be read: {error}")),
    };
    let mut file = os::open_without_links(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let mut data = vec![];
    file.take(limit.min(MAX_ARTIFACT_READ)).read_to_end(&mut data).map_err(failed)?;
    let modified_at_ns = meta.mtime() * 1_000_000_000 + meta.mtime_nsec();
    let part = |data: &[u8]| wire::ArtifactPart { bytes: meta.len(), data: data.to_vec(), modified_at_ns };
    if data.is_empty() {
        return Ok(vec![part(&[])]);
    }
    Ok(data.chunks(CHUNK).map(part).collect())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_part_is_read_and_nothing_but_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fit.png");
        let bytes: Vec<u8> = (0..150_000_u32).map(|n| (n % 251) as u8).collect();
        fs::write(&path, &bytes).unwrap();
        let check = |offset: usize, limit: usize, parts: usize| {
            let got = read(&path, offset as u64, limit as u64).unwrap();
            assert!(got.iter().all(|p| p.bytes == 150_000 && p.data.len() <= CHUNK));
            assert_eq!(got.len(), parts);
            let data: Vec<u8> = got.into_iter().flat_map(|p| p.data).collect();
            let end = (offset + limit).min(bytes.len());
            assert_eq!(data, bytes[offset.min(end)..end]);
        };
        check(0, 1 << 30, 3);
        check(100_000, 10, 1);
        check(150_000, 10, 1);

        let link = dir.path().join("link.png");
        symlink(&path, &link).unwrap();
        let check = |path: PathBuf, want: tonic::Code| assert_eq!(read(&path, 0, 10).unwrap_err().code(), want);
        check(link, tonic::Code::FailedPrecondition);
        check(dir.path().to_owned(), tonic::Code::FailedPrecondition);
        check(dir.path().join("none.png"), tonic::Code::NotFound);
    }
}
