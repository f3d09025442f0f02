//! Errors of the HTTP API: every one of them is made here, as `application/problem+json` (RFC 9457).
//!
//! `type` is a stable word for programs, `detail` tells a person what is wrong and what to do.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use longhaul_proto::api::{self, QuotaKind};

use crate::{
    audit::NotAudited,
    blobs::BlobError,
    ledger::LedgerError,
    model::OverQuota,
    notify::NotifyError,
    runs::{
        AgentsError, ControlError, DataError, DoFileError, DrainError, FindError, HelpError, ReadError, RerunError,
        SubmitError,
    },
};

/// The status that tus has for bytes with another digest.
const CHECKSUM_MISMATCH: u16 = 460;

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    body: api::Problem,
    retry_after: Option<u32>,
}

/// A problem in full.
pub fn problem(status: StatusCode, kind: &str, title: &str, detail: impl Into<String>) -> Problem {
    let body = api::Problem {
        kind: kind.to_owned(),
        title: title.to_owned(),
        status: status.as_u16(),
        detail: detail.into(),
        missing: Vec::new(),
        quota: None,
    };
    Problem { body, retry_after: None }
}

/// What a token lacks, and whom to ask, for people and models: the words of the scopes of which it needs one, and of those
/// that it has.
pub fn scope_missing(needs: &str, has: &str) -> String {
    format!("this needs a token of scope {needs}, and yours has scope `{has}`: ask the operator of this gateway")
}

impl Problem {
    /// 400: the request contains something we do not accept.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        problem(StatusCode::BAD_REQUEST, "bad-request", "The request is malformed", detail)
    }

    /// 403: the token's scopes do not permit this; as [`scope_missing`].
    pub fn scope_missing(needs: &str, has: &str) -> Self {
        let title = if needs == "`operate`" { "Operators only" } else { "A scope is missing" };
        problem(StatusCode::FORBIDDEN, "forbidden", title, scope_missing(needs, has))
    }

    /// 403: only operators may do this.
    pub fn operators_only() -> Self {
        let detail = "this needs a token of scope `operate`: ask the operator of this gateway";
        problem(StatusCode::FORBIDDEN, "forbidden", "Operators only", detail)
    }

    /// 503: a failure on our side that is likely to pass.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The gateway cannot do this now", detail)
    }

    /// 500: a defect on our side.
    pub fn internal() -> Self {
        let detail = "the gateway failed at this request. Runs are not affected: GET /api/v1/runs lists them. Its log has the details";
        problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The gateway failed", detail)
    }
}

/// 503 with `Retry-After`, seconds: one of our bounds is reached.
pub fn busy(detail: impl Into<String>, retry_after: u32) -> Problem {
    let whole = format!("{}: try again in {retry_after} s", detail.into());
    let problem = problem(StatusCode::SERVICE_UNAVAILABLE, "busy", "The gateway is busy", whole);
    Problem { retry_after: Some(retry_after), ..problem }
}

impl Problem {
    /// The same under another status.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.body.status = status.as_u16();
        self
    }

    /// The body alone.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.body).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.body).unwrap_or_default();
        let mut response = (status, body).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// 413.
pub fn too_large(limit: usize) -> Problem {
    let detail = format!("the body is larger than {limit} bytes: put the files on the Stata host and pass a path");
    problem(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Too large", detail)
}

fn logged(error: &(dyn std::error::Error + 'static)) {
    tracing::error!(error, "the ledger or a mirror failed under a request");
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let detail = error.to_string();
        match &error {
            SubmitError::Blob(error) => of_blob(error),
            SubmitError::Malformed(_) => Self::bad_request(detail),
            SubmitError::Refused(_) | SubmitError::NotThere(_) => {
                problem(StatusCode::UNPROCESSABLE_ENTITY, "refused", "No agent will run this", detail)
            }
            SubmitError::Unconfirmed(_) => {
                problem(StatusCode::CONFLICT, "unconfirmed", "A person must agree to this run", detail)
            }
            SubmitError::Changed(_) => problem(StatusCode::CONFLICT, "changed", "An equal run may not answer", detail),
            SubmitError::Unasked(_) => Self { retry_after: Some(5), ..Self::unavailable(detail) },
            SubmitError::MissingBlobs(missing) => {
                let title = "Some files are to be uploaded first";
                let mut answer = problem(StatusCode::CONFLICT, "missing-blobs", title, detail);
                answer.body.missing = missing.iter().map(ToString::to_string).collect();
                answer
            }
            SubmitError::TooLarge(_) => problem(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Too large", detail),
            SubmitError::Busy { retry_after, .. } => Self {
                retry_after: Some(*retry_after),
                ..problem(StatusCode::TOO_MANY_REQUESTS, "busy", "Too many runs are waiting", detail)
            },
            SubmitError::OverQuota(over) => over_quota(over),
            SubmitError::Forbidden(_) => problem(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail),
            SubmitError::KeyTaken { .. } => problem(StatusCode::CONFLICT, "key-taken", "The key is taken", detail),
            SubmitError::Ledger(_) | SubmitError::Unsettled(_) => {
                logged(&error);
                Self::unavailable(detail)
            }
            SubmitError::Panicked => {
                problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The gateway failed", detail)
            }
            SubmitError::Stopping | SubmitError::Unaudited(_) => Self::unavailable(detail),
        }
    }
}

impl From<FindError> for Problem {
    fn from(error: FindError) -> Self {
        let detail = error.to_string();
        match &error {
            // Here people read, and programs that are no models: the tools' names would tell them nothing.
            FindError::Unknown(name) => {
                let detail = format!("no run `{name}`: `longhaul runs` lists yours");
                problem(StatusCode::NOT_FOUND, "unknown-run", "No such run", detail)
            }
            FindError::Ambiguous(_) => problem(StatusCode::CONFLICT, "ambiguous-run", "Several runs fit", detail),
            FindError::Ledger(_) => {
                logged(&error);
                Self::unavailable(detail)
            }
        }
    }
}

impl From<HelpError> for Problem {
    fn from(error: HelpError) -> Self {
        let detail = error.to_string();
        match &error {
            HelpError::Malformed => Self::bad_request(detail),
            HelpError::NotFound { .. } => problem(StatusCode::NOT_FOUND, "unknown-topic", "No such help", detail),
            HelpError::UnknownHost(_) => problem(StatusCode::NOT_FOUND, "unknown-host", "No such host", detail),
            HelpError::NoAgent(_) | HelpError::Unanswered { .. } => Self::unavailable(detail),
        }
    }
}

impl From<RerunError> for Problem {
    fn from(error: RerunError) -> Self {
        match error {
            RerunError::Find(error) => error.into(),
            RerunError::Submit(error) => error.into(),
            RerunError::Others { .. } => {
                problem(StatusCode::FORBIDDEN, "forbidden", "Another principal's run", error.to_string())
            }
        }
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let detail = error.to_string();
        match error {
            ControlError::Find(error) => error.into(),
            ControlError::Forbidden(_) => problem(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail),
            ControlError::WrongState(_) => problem(StatusCode::CONFLICT, "wrong-state", "Not in this state", detail),
            ControlError::Ledger(_) => {
                logged(&error);
                Self::unavailable(detail)
            }
            ControlError::Slow(_) | ControlError::Stopping | ControlError::Unaudited(_) => Self::unavailable(detail),
        }
    }
}

impl From<NotAudited> for Problem {
    fn from(error: NotAudited) -> Self {
        Self::unavailable(error.to_string())
    }
}

impl From<NotifyError> for Problem {
    fn from(error: NotifyError) -> Self {
        let detail = error.to_string();
        match &error {
            NotifyError::Malformed(_) | NotifyError::Unknown { .. } => Self::bad_request(detail),
            NotifyError::NoWebhooks | NotifyError::NoMail | NotifyError::NotAllowed { .. } => {
                problem(StatusCode::FORBIDDEN, "receiver-not-allowed", "Nothing is sent there", detail)
            }
            NotifyError::TooMany => problem(StatusCode::CONFLICT, "too-many-receivers", "Too many receivers", detail),
            NotifyError::NotThere => problem(StatusCode::NOT_FOUND, "unknown-receiver", "No such receiver", detail),
            NotifyError::Shown(_) => problem(StatusCode::CONFLICT, "secret-shown", "It is shown once", detail),
            NotifyError::Unaudited(_) => Self::unavailable(detail),
            NotifyError::Ledger(_) => {
                logged(&error);
                Self::unavailable(detail)
            }
        }
    }
}

impl From<DrainError> for Problem {
    fn from(error: DrainError) -> Self {
        let detail = error.to_string();
        match &error {
            DrainError::Forbidden => Self::operators_only(),
            DrainError::Malformed(_) => Self::bad_request(detail),
            DrainError::Unknown { .. } => problem(StatusCode::NOT_FOUND, "unknown-host", "No such host", detail),
            DrainError::Unaudited(_) => Self::unavailable(detail),
            DrainError::InUse(_) => problem(StatusCode::CONFLICT, "host-in-use", "The host is in use", detail),
            DrainError::Ledger(_) => {
                logged(&error);
                Self::unavailable(detail)
            }
        }
    }
}

impl From<AgentsError> for Problem {
    fn from(error: AgentsError) -> Self {
        let detail = error.to_string();
        match &error {
            AgentsError::Forbidden => Self::operators_only(),
            AgentsError::Unknown(_) => problem(StatusCode::NOT_FOUND, "unknown-agent", "No such agent", detail),
            AgentsError::Malformed(_) => Self::bad_request(detail),
            AgentsError::Unaudited(_) => Self::unavailable(detail),
            AgentsError::Taken(_) => problem(StatusCode::CONFLICT, "agent-taken", "Another key is in the way", detail),
            AgentsError::Ledger(_) => {
                logged(&error);
                Self::unavailable(detail)
            }
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let detail = error.to_string();
        match error {
            ReadError::Find(error) => error.into(),
            ReadError::PastEnd { .. } => {
                problem(StatusCode::RANGE_NOT_SATISFIABLE, "past-end", "The offset is past the end", detail)
            }
            ReadError::Io(_) => {
                logged(&error);
                Self::unavailable(detail)
            }
        }
    }
}

impl From<DoFileError> for Problem {
    fn from(error: DoFileError) -> Self {
        let detail = error.to_string();
        match error {
            DoFileError::Find(error) => error.into(),
            DoFileError::Unknown { .. } => problem(StatusCode::NOT_FOUND, "unknown-do-file", "No such do-file", detail),
            DoFileError::Blob(error) => error.into(),
        }
    }
}

impl From<DataError> for Problem {
    fn from(error: DataError) -> Self {
        let detail = error.to_string();
        match error {
            DataError::Host(error) => error.into(),
            DataError::Run(error) => error.into(),
            DataError::File(error) => error.into(),
            DataError::Asked { .. } | DataError::OfFile { asked: true, .. } => Self::bad_request(detail),
            DataError::NotThere(_)
            | DataError::Different(_)
            | DataError::OfFile { .. }
            | DataError::Refused { .. }
            | DataError::TooOld(_) => {
                problem(StatusCode::UNPROCESSABLE_ENTITY, "refused", "The data file cannot be shown", detail)
            }
            DataError::NoAgent | DataError::Unanswered { .. } => {
                Self { retry_after: Some(5), ..Self::unavailable(detail) }
            }
        }
    }
}

/// 429, or 507 for bytes: a quota of the caller is reached.
pub fn over_quota(over: &OverQuota) -> Problem {
    let status = match over.reached.kind {
        QuotaKind::Kept => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::TOO_MANY_REQUESTS,
    };
    let mut problem = problem(status, "quota", "A quota is reached", over.to_string());
    problem.body.quota = Some(Box::new(over.reached.clone()));
    Problem { retry_after: over.retry_after, ..problem }
}

/// What is wrong with a blob.
fn of_blob(error: &BlobError) -> Problem {
    let detail = error.to_string();
    match error {
        BlobError::TooLarge { .. } => problem(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Too large", detail),
        BlobError::Full { .. } => {
            problem(StatusCode::INSUFFICIENT_STORAGE, "blobs-full", "You have as many blobs as you may", detail)
        }
        BlobError::OverQuota(over) => over_quota(over),
        BlobError::NoRoom(_) => problem(StatusCode::INSUFFICIENT_STORAGE, "no-room", "The disk is full", detail),
        BlobError::NoUpload(_) => problem(StatusCode::NOT_FOUND, "unknown-upload", "No such upload", detail),
        BlobError::OtherLength { .. } => problem(StatusCode::CONFLICT, "other-length", "Another length", detail),
        BlobError::Offset { .. } => problem(StatusCode::CONFLICT, "wrong-offset", "Another offset", detail),
        BlobError::Receiving => Problem {
            retry_after: Some(1),
            ..problem(StatusCode::LOCKED, "upload-in-use", "Another request uploads this", detail)
        },
        BlobError::TooLong { .. } => Problem::bad_request(detail),
        BlobError::Mismatch { .. } => {
            let status = StatusCode::from_u16(CHECKSUM_MISMATCH).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
            problem(status, "wrong-digest", "The bytes have another digest", detail)
        }
        BlobError::Gone(_) => problem(StatusCode::NOT_FOUND, "blob-gone", "The file is gone", detail),
        BlobError::Ledger(_) | BlobError::Disk(_) => {
            logged(error);
            Problem::unavailable(detail)
        }
    }
}

impl From<BlobError> for Problem {
    fn from(error: BlobError) -> Self {
        of_blob(&error)
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        logged(&error);
        Self::unavailable(
            "the gateway could not read or write its ledger: try again, and look at the disk of its data folder and its log",
        )
    }
}
