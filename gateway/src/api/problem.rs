//! Errors of the HTTP API: every one of them is made here, as `application/problem+json` (RFC 9457).
//!
//! `type` is a stable word for programs, `detail` tells a person what is wrong and what to do.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use longhaul_proto::api;

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem(api::Problem);

/// A problem in full.
pub fn problem(status: StatusCode, kind: &str, title: &str, detail: impl Into<String>) -> Problem {
    Problem(api::Problem {
        kind: kind.to_owned(),
        title: title.to_owned(),
        status: status.as_u16(),
        detail: detail.into(),
    })
}

impl Problem {
    /// 400: the request says something we cannot take.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        problem(StatusCode::BAD_REQUEST, "bad-request", "The request is malformed", detail)
    }

    /// 403: the principal may not do this.
    pub fn operators_only() -> Self {
        let detail = "this needs a token of scope `operate`, and yours has scope `use`: ask whoever runs this gateway";
        problem(StatusCode::FORBIDDEN, "forbidden", "Operators only", detail)
    }

    /// 503: our own trouble, likely to pass.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The gateway cannot do this now", detail)
    }

    /// 500: our own fault.
    pub fn internal() -> Self {
        let detail = "the gateway failed at this request. Runs are not affected: GET /api/v1/runs lists them. Its log has the details";
        problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The gateway failed", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, body).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}
