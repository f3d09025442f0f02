//! `GET /api/v1/runs/{run}/do-files`: what a run entered, and the bytes as they were then.

use axum::{Extension, Json, extract::State, response::Response};
use http::{StatusCode, header};
use longhaul_proto::{
    api::{DoFileView, RunDoFiles},
    digest::ContentDigest,
};

use super::{blobs, strict::Path};
use crate::{frontend::Frontend, ledger::DoFile, model::Identity, problem::Problem};

/// The list.
pub(super) async fn list(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Path(name): Path<String>,
) -> Result<Json<RunDoFiles>, Problem> {
    let run_id = frontend.core.runs.find(&who, &name).await?;
    let entered = frontend.core.runs.do_files(&who, run_id).await?;
    let note = words(&entered.do_files.note);
    let do_files = entered.do_files.files.iter().zip(1..).map(|(file, order)| view(file, order)).collect();
    Ok(Json(RunDoFiles { run_id, complete: entered.complete, note, do_files }))
}

/// The bytes of one.
pub(super) async fn get(
    State(frontend): State<Frontend>,
    Extension(who): Extension<Identity>,
    Path((name, sha256)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let run = frontend.core.runs.find(&who, &name).await?;
    let digest: ContentDigest = sha256.parse().map_err(|_| {
        Problem::bad_request(format!(
            "`{sha256}` is not the SHA-256 of a do-file: 64 hexadecimal digits, as in the list"
        ))
    })?;
    let reader = frontend.core.runs.do_file(&who, run, digest).await?;
    let len = reader.bytes();
    let mut response = Response::new(blobs::body(reader, 0, len));
    *response.status_mut() = StatusCode::OK;
    let sent = response.headers_mut();
    sent.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/octet-stream"));
    sent.insert(header::CONTENT_LENGTH, header::HeaderValue::from(len));
    Ok(response)
}

fn words(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

fn view(file: &DoFile, order: u32) -> DoFileView {
    DoFileView {
        order,
        path: file.path.clone(),
        bytes: file.bytes,
        sha256: words(&file.sha256),
        kept: file.kept().is_some(),
        why_not: words(&file.missing),
        perhaps_changed: file.perhaps_changed,
    }
}
