//! The root's certificate, for clients that are to trust it.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};

use crate::{
    frontend::Frontend,
    problem::{Problem, problem},
};

/// `GET /.well-known/longhaul/ca.pem`: the certificate of the built-in authority. It needs no token, as nothing in it is
/// secret; a client believes it for its fingerprint, which its operator tells.
pub(super) async fn root(State(frontend): State<Frontend>) -> Result<Response, Problem> {
    match frontend.core.certificates.as_ref().and_then(|all| all.authority()) {
        Some(authority) => {
            Ok(([(header::CONTENT_TYPE, "application/x-pem-file")], authority.pem.clone()).into_response())
        }
        None => {
            let detail =
                "no certificate authority is used here: the port speaks no TLS, or has a certificate of another";
            Err(problem(StatusCode::NOT_FOUND, "not-found", "No root here", detail))
        }
    }
}
