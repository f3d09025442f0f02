//! Answers also when a handler panics.

use std::panic::AssertUnwindSafe;

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;

use crate::problem::Problem;

/// The layer: a panic becomes 500 with what to do. The state behind the handlers stays sound: runs live in tasks of
/// their own, and no lock is held here while it answers.
pub(crate) async fn answer(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            tracing::error!(%path, panic = text(&*panic), "a handler panicked");
            Problem::internal().into_response()
        }
    }
}

/// The message of a panic.
pub(crate) fn text(panic: &(dyn std::any::Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no text)")
}
