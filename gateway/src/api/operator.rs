//! An operator, as an argument of a handler: everyone else is refused before any part of the request is read.

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::{model::Identity, problem::Problem};

/// A principal that may act for others.
pub(super) struct Operator(pub(super) Identity);

impl<S: Sync> FromRequestParts<S> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let who = parts.extensions.get::<Identity>().filter(|who| who.may_operate());
        who.cloned().map(Self).ok_or_else(Problem::operators_only)
    }
}
