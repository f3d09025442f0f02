//! `GET /api/v1/runs/{run}/files`: what a run left, and the bytes of a file, whole or in ranges.
//!
//! Bytes go out at the reader's pace, from the copy here or from the run's host. Of a copy the headers name the digest
//! (`Repr-Digest`, RFC 9530, and `ETag`), so that a reader can check what it got and go on where it broke off.

use axum::{Extension, Json, body::Body, extract::State, response::Response};
use base64::Engine;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use longhaul_proto::{
    MAX_ARTIFACT_READ,
    api::{RunFileView, RunFiles},
    clock::rfc3339,
    files::media_type,
    unhex,
};

use super::{
    ranges::{Range, range_of, unsatisfiable},
    strict::Path,
};
use crate::{
    blobs::BlobError,
    frontend::Frontend,
    ledger::RunFile,
    model::Identity,
    problem::{Problem, problem},
    runs::{ArtifactError, Listed, OpenFile},
};

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// What a browser may do with a file that a run wrote: show nothing of it as a page of this gateway.
const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'");

/// The list.
pub(super) async fn list(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Path(name): Path<String>,
) -> Result<Json<RunFiles>, Problem> {
    let run_id = frontend.core.runs.find(&who, &name).await?;
    let listed = frontend.core.runs.files(&who, run_id).await?;
    Ok(Json(RunFiles {
        run_id,
        complete: listed.complete,
        note: words(&listed.left.note),
        host: words(&listed.host),
        folder: words(&listed.folder),
        shared_with: listed.left.shared_with.clone(),
        files: listed.left.files.iter().map(|file| view(&listed, file)).collect(),
    }))
}

/// The bytes of one, or a `Range` of them.
pub(super) async fn get(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Path((name, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let run = frontend.core.runs.find(&who, &name).await?;
    let file = frontend.core.runs.open_file(&who, run, &file).await?;
    let len = file.len();
    let etag = file.is_copy().then(|| HeaderValue::from_str(&format!("\"{}\"", file.file.sha256)).ok()).flatten();
    // A part of what was another file then is of no use.
    let is_same = headers.get(header::IF_RANGE).is_none_or(|wanted| Some(wanted) == etag.as_ref());
    let asked = headers.get(header::RANGE).filter(|_| is_same);
    let asked = asked.map_or(Range::Whole, |range| range_of(range, len));
    let (from, to, status) = match asked {
        Range::Whole => (0, len, StatusCode::OK),
        Range::Last(n) => (len.saturating_sub(n), len, StatusCode::PARTIAL_CONTENT),
        Range::Part(from, to) => (from, to, StatusCode::PARTIAL_CONTENT),
    };
    if status == StatusCode::PARTIAL_CONTENT && from >= to {
        return Ok(unsatisfiable("file", len));
    }
    let digest = etag.as_ref().and_then(|_| repr_digest(&file.file.sha256));
    let kind = media_type(&file.file.path);
    let mut response = Response::new(body(file, from, to));
    *response.status_mut() = status;
    let sent = response.headers_mut();
    sent.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    sent.insert(header::CONTENT_LENGTH, HeaderValue::from(to - from));
    sent.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    sent.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    sent.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
    sent.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    sent.extend(etag.map(|etag| (header::ETAG, etag)));
    sent.extend(digest.map(|digest| (REPR_DIGEST, digest)));
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {from}-{}/{len}", to - 1);
        sent.extend(HeaderValue::from_str(&text).ok().map(|value| (header::CONTENT_RANGE, value)));
    }
    Ok(response)
}

fn repr_digest(sha256: &str) -> Option<HeaderValue> {
    let bytes: [u8; 32] = unhex(sha256)?;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    HeaderValue::from_str(&format!("sha-256=:{text}:")).ok()
}

/// The bytes, read at the reader's pace.
fn body(file: OpenFile, from: u64, to: u64) -> Body {
    Body::from_stream(stream::try_unfold(from, move |at| {
        let file = file.clone();
        async move {
            if at >= to {
                return Ok(None);
            }
            let bytes = file.read(at, (to - at).min(MAX_ARTIFACT_READ)).await?;
            let next = at + bytes.len() as u64;
            Ok::<_, ArtifactError>(Some((bytes, next)))
        }
    }))
}

fn words(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

fn view(listed: &Listed, file: &RunFile) -> RunFileView {
    RunFileView {
        name: listed.name(file).to_owned(),
        path: file.path.clone(),
        bytes: file.bytes,
        media_type: media_type(&file.path).to_owned(),
        sha256: words(&file.sha256),
        modified_at: Some(file.modified_ms).filter(|ms| *ms > 0).and_then(rfc3339),
        created: !file.changed,
        kept: file.kept,
        why_not: words(&file.why_not),
        perhaps_changed: file.perhaps_changed,
    }
}

impl From<ArtifactError> for Problem {
    fn from(error: ArtifactError) -> Self {
        let words = error.to_string();
        match error {
            ArtifactError::Find(error) => error.into(),
            ArtifactError::Blob(error) => error.into(),
            ArtifactError::Unknown { .. } => {
                problem(StatusCode::NOT_FOUND, "unknown-file", "There is no such file", words)
            }
            ArtifactError::Gone { .. } | ArtifactError::Refused { .. } => {
                problem(StatusCode::GONE, "file-gone", "The file cannot be read any more", words)
            }
            ArtifactError::Away(_) => {
                problem(StatusCode::SERVICE_UNAVAILABLE, "host-away", "The file's host is away", words)
            }
            ArtifactError::Unanswered { .. } => {
                problem(StatusCode::BAD_GATEWAY, "host-silent", "The file's host does not answer", words)
            }
            ArtifactError::Changed(_) => {
                problem(StatusCode::CONFLICT, "file-changed", "The file was written to meanwhile", words)
            }
            ArtifactError::Disk(error) => BlobError::Disk(error).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_in_base64_between_colons() {
        let hex = longhaul_proto::sha256_hex(b"");
        assert_eq!(repr_digest(&hex).unwrap(), "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:");
        assert_eq!(repr_digest("45"), None);
    }
}
