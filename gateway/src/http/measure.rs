//! Counts requests and how long they take, by route: the path as the router has it, never as it was asked for.

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::Method;
use longhaul_proto::{clock::Clock, telemetry::KeyValue};

use crate::metrics::Metrics;

/// What the layer needs.
#[derive(Clone)]
pub(super) struct Measure {
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
}

/// The route of requests to which none belongs.
const NO_ROUTE: &str = "none";

/// The word for a method; of methods there are as many as clients like to write.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn class(status: http::StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

/// The layer.
pub(super) async fn measure(State(measure): State<Measure>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = word(request.method());
    let began = measure.clock.monotonic();
    let response = next.run(request).await;
    let took = measure.clock.monotonic().saturating_sub(began);
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str).to_owned();
    let route = KeyValue::new("route", route);
    let labels =
        vec![route.clone(), KeyValue::new("method", method), KeyValue::new("status", class(response.status()))];
    measure.metrics.requests.one(labels);
    measure.metrics.request_time.of(took.as_secs_f64(), &[route]);
    response
}
