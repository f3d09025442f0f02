//! `GET /api/v1/openapi.json`: what the API is, in OpenAPI 3.1. It needs no token, for nothing in it is of this gateway.
//!
//! The document is in the source, and a test writes it ([`document`]): the schemas from the types that handlers read and write, the
//! paths and what they need from the router, the rest from a table. So programs carry its text and nothing that makes it.

#[cfg(test)]
mod document;

use axum::response::{IntoResponse, Response};
use http::header;

/// The document.
pub const DOCUMENT: &str = include_str!("openapi/openapi.json");

/// The handler.
pub(super) async fn get() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
