//! `/api/v1/blobs`: files by the SHA-256 of their content, uploaded in one request or in several.
//!
//! Words and headers are those of tus 1.0, the protocol of resumable uploads, where they fit: `POST` begins an upload
//! (`Upload-Length`, and the digest in `Upload-Metadata: sha256 ...`), `HEAD` tells how many bytes are there, `PATCH` goes
//! on at `Upload-Offset`. A wrong offset is 409, a wrong digest 460. `PUT` sends the whole at once; where it breaks off,
//! `PATCH` goes on. A request holds one piece of its body at a time.

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use base64::Engine;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use longhaul_proto::digest::ContentDigest;

use super::{
    ranges::{Range, range_of, unsatisfiable},
    strict::Path,
};
use crate::{
    blobs::{BlobError, BlobReader, Progress, Receiving, Start},
    frontend::{Frontend, bodies::Pieces},
    model::Identity,
    problem::{Problem, problem},
    runs::MAX_READ,
};

/// The offset of the next byte.
const OFFSET: &str = "upload-offset";
/// The length of the whole.
const LENGTH: &str = "upload-length";
/// What a client says of an upload that it begins.
const METADATA: &str = "upload-metadata";
/// The version of tus.
const RESUMABLE: &str = "tus-resumable";
const VERSION: &str = "1.0.0";
/// The type of a `PATCH`'s body.
const OFFSET_STREAM: &str = "application/offset+octet-stream";

/// `POST /api/v1/blobs`: begins an upload.
pub(super) async fn begin(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let digest = digest_of_metadata(&headers)?;
    let bytes = number(&headers, LENGTH)?.ok_or_else(no_length)?;
    let progress = opened(&frontend, &who, digest, bytes).await?;
    let mut response = told(StatusCode::CREATED, progress);
    let place = HeaderValue::from_str(&format!("/api/v1/blobs/{digest}")).ok();
    response.headers_mut().extend(place.map(|place| (header::LOCATION, place)));
    Ok(response)
}

/// `PUT /api/v1/blobs/{sha256}`: the whole in one request. 201 = it is kept now, 200 = it was there already.
pub(super) async fn put(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let digest = digest(&name)?;
    let length = number(request.headers(), LENGTH)?;
    let length = length.or(number(request.headers(), header::CONTENT_LENGTH.as_str())?).ok_or_else(no_length)?;
    let pieces = Pieces::of(&frontend, request.into_body());
    let progress = opened(&frontend, &who, digest, length).await?;
    if let Progress::Kept { .. } = progress {
        return Ok(told(StatusCode::OK, progress));
    }
    let receiving = frontend.core.blobs.receive(&who.principal, digest, Start::Over).await?;
    match receive(receiving, pieces).await? {
        kept @ Progress::Kept { .. } => Ok(told(StatusCode::CREATED, kept)),
        Progress::Open { offset, bytes } => {
            let detail =
                format!("{offset} of {bytes} bytes came: go on with PATCH from there, or send the whole again");
            Err(Problem::bad_request(detail))
        }
    }
}

/// Begins an upload, or says how much of it is there; a quota that refuses it is counted.
async fn opened(frontend: &Frontend, who: &Identity, digest: ContentDigest, bytes: u64) -> Result<Progress, Problem> {
    let opened = frontend.core.blobs.begin(&who.principal, digest, bytes).await;
    if let Err(BlobError::OverQuota(over)) = &opened {
        frontend.core.metrics.refused_by(over.reached.kind);
    }
    Ok(opened?)
}

/// `HEAD /api/v1/blobs/{sha256}`: how many bytes are there of an upload of the caller's; all of a blob that it may name.
pub(super) async fn head(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let digest = digest(&name)?;
    let progress = frontend.core.blobs.progress(&who.principal, digest).await?.ok_or_else(|| unknown(digest))?;
    let mut response = told(StatusCode::OK, progress);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `PATCH /api/v1/blobs/{sha256}`: goes on with an upload, from the offset at which its bytes end.
pub(super) async fn patch(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let digest = digest(&name)?;
    let kind = request.headers().get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| kind.as_bytes() != OFFSET_STREAM.as_bytes()) {
        let detail = format!("the body of a PATCH has the type {OFFSET_STREAM}");
        return Err(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong-type", "Another type of body", detail));
    }
    let offset = number(request.headers(), OFFSET)?;
    let offset = offset.ok_or_else(|| Problem::bad_request("`Upload-Offset` must say where the bytes begin"))?;
    let pieces = Pieces::of(&frontend, request.into_body());
    match frontend.core.blobs.receive(&who.principal, digest, Start::At(offset)).await {
        Err(BlobError::Offset { offset }) => {
            let mut response = Problem::from(BlobError::Offset { offset }).into_response();
            let headers = response.headers_mut();
            headers.insert(OFFSET, HeaderValue::from(offset));
            headers.insert(RESUMABLE, HeaderValue::from_static(VERSION));
            Ok(response)
        }
        receiving => Ok(told(StatusCode::NO_CONTENT, receive(receiving?, pieces).await?)),
    }
}

/// `DELETE /api/v1/blobs/{sha256}`: ends an upload that is under way, and deletes what came.
pub(super) async fn end(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let digest = digest(&name)?;
    if !frontend.core.blobs.end_upload(&who.principal, digest).await? {
        return Err(BlobError::NoUpload(digest).into());
    }
    Ok((StatusCode::NO_CONTENT, [(RESUMABLE, VERSION)]).into_response())
}

/// `GET /api/v1/blobs/{sha256}`: the bytes, or a `Range` of them, for a principal that may name the blob.
pub(super) async fn get(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let digest = digest(&name)?;
    let reader = frontend.core.blobs.open(&who.principal, digest).await?.ok_or_else(|| unknown(digest))?;
    let len = reader.bytes();
    let asked = headers.get(header::RANGE).map_or(Range::Whole, |range| range_of(range, len));
    let (from, to, status) = match asked {
        Range::Whole => (0, len, StatusCode::OK),
        Range::Last(n) => (len.saturating_sub(n), len, StatusCode::PARTIAL_CONTENT),
        Range::Part(from, to) => (from, to, StatusCode::PARTIAL_CONTENT),
    };
    if status == StatusCode::PARTIAL_CONTENT && from >= to {
        return Ok(unsatisfiable("blob", len));
    }
    let mut response = Response::new(body(reader, from, to));
    *response.status_mut() = status;
    let sent = response.headers_mut();
    sent.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    sent.insert(header::CONTENT_LENGTH, HeaderValue::from(to - from));
    sent.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {from}-{}/{len}", to - 1);
        sent.extend(HeaderValue::from_str(&text).ok().map(|value| (header::CONTENT_RANGE, value)));
    }
    Ok(response)
}

/// `OPTIONS /api/v1/blobs`: what of tus is understood.
pub(super) async fn abilities(State(frontend): State<Frontend>) -> Response {
    let mut response = (StatusCode::NO_CONTENT, [(RESUMABLE, VERSION)]).into_response();
    let headers = response.headers_mut();
    headers.insert("tus-version", HeaderValue::from_static(VERSION));
    headers.insert("tus-extension", HeaderValue::from_static("creation,termination"));
    headers.insert("tus-max-size", HeaderValue::from(frontend.core.options.max_bundle));
    response
}

/// Receives the body of a request. What came before a failure stays.
async fn receive(mut receiving: Receiving, mut pieces: Pieces) -> Result<Progress, Problem> {
    while let Some(piece) = pieces.next().await? {
        receiving.take(piece).await?;
    }
    Ok(receiving.end().await?)
}

/// The bytes of a blob, read at the reader's pace.
pub(super) fn body(reader: BlobReader, from: u64, to: u64) -> Body {
    Body::from_stream(stream::try_unfold(from, move |at| {
        let reader = reader.clone();
        async move {
            if at >= to {
                return Ok(None);
            }
            let most = usize::try_from(to - at).unwrap_or(MAX_READ).min(MAX_READ);
            let bytes = reader.read(at, most).await?;
            let next = at + bytes.len() as u64;
            Ok::<_, std::io::Error>(Some((bytes, next)))
        }
    }))
}

fn told(status: StatusCode, progress: Progress) -> Response {
    let (offset, bytes) = progress.offset_of();
    let mut response = status.into_response();
    let headers = response.headers_mut();
    headers.insert(OFFSET, HeaderValue::from(offset));
    headers.insert(LENGTH, HeaderValue::from(bytes));
    headers.insert(RESUMABLE, HeaderValue::from_static(VERSION));
    response
}

fn digest(name: &str) -> Result<ContentDigest, Problem> {
    name.parse().map_err(|_| {
        Problem::bad_request(format!("`{name}` is not the name of a blob: 64 hexadecimal digits, its SHA-256"))
    })
}

/// The digest in `Upload-Metadata: sha256 <base64 of the 64 digits>`.
fn digest_of_metadata(headers: &HeaderMap) -> Result<ContentDigest, Problem> {
    let text = headers.get(METADATA).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut pairs = text.split(',').filter_map(|pair| pair.trim().split_once(' '));
    let value = pairs.find(|(name, _)| *name == "sha256").map(|(_, value)| value);
    let decoded = value.and_then(|value| base64::engine::general_purpose::STANDARD.decode(value).ok());
    let found = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|text| text.parse().ok());
    found.ok_or_else(|| {
        let detail = "`Upload-Metadata` must have `sha256` and, in base64, the 64 hexadecimal digits of the content's \
                      SHA-256";
        Problem::bad_request(detail)
    })
}

fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or_else(|| Problem::bad_request(format!("`{name}` must be a number of bytes")))
}

fn no_length() -> Problem {
    let detail = "say how many bytes the whole has, in `Content-Length` or `Upload-Length`";
    problem(StatusCode::LENGTH_REQUIRED, "no-length", "The length is missing", detail)
}

fn unknown(digest: ContentDigest) -> Problem {
    let detail = format!(
        "you have uploaded no blob {digest}, or too long ago, and no run of yours holds one: upload it with PUT to this path"
    );
    problem(StatusCode::NOT_FOUND, "unknown-blob", "No such blob", detail)
}
