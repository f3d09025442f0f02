//! What a request needs of its token: one table for all routes, which [`Routes`] fills as it makes them.
//!
//! A route can be added with what it needs, and in no other way; a request for a path that the router has and this table has not
//! is refused. Which runs a token may see or end is decided where the run is found
//! ([`Identity::may_read`](crate::model::Identity::may_read)).

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use axum::{
    Router,
    extract::{MatchedPath, Request},
    handler::Handler,
    response::IntoResponse,
    routing::{MethodFilter, Route, on},
};
use http::Method;
use tower::{Layer, Service};

use crate::{
    model::{Identity, Permission},
    problem::Problem,
};

/// What one route needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The method; `None` = every one.
    pub method: Option<Method>,
    /// The path, as the router has it.
    pub path: &'static str,
    /// What it needs.
    pub needs: Permission,
}

/// The routes of MCP. What is asked through them is checked there, by tool and method.
pub const MCP: [Row; 2] = [
    Row { method: None, path: "/mcp", needs: Permission::Token },
    Row { method: None, path: "/mcp/", needs: Permission::Token },
];

/// A path as OpenAPI has it: what the router calls `{*name}` is `{name}` there.
pub fn in_openapi(path: &str) -> String {
    path.replace("{*", "{")
}

/// Routes, and what each needs.
pub struct Routes<S> {
    router: Router<S>,
    rows: Vec<Row>,
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self { router: Router::new(), rows: Vec::new() }
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one. `GET` answers `HEAD` too, unless that has a handler of its own.
    ///
    /// A method that HTTP does not define makes no route.
    ///
    /// # Panics
    /// When there is one of this method and path already.
    pub fn on<H, T>(mut self, method: Method, path: &'static str, needs: Permission, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        if let Ok(filter) = MethodFilter::try_from(method.clone()) {
            self.router = self.router.route(path, on(filter, handler));
            self.rows.push(Row { method: Some(method), path, needs });
        }
        self
    }

    /// Puts a layer around the routes so far.
    pub fn layer<L>(self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request>>::Error: Into<Infallible> + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        Self { router: self.router.layer(layer), ..self }
    }

    /// The rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The router with its state, and the rows.
    pub fn with_state(self, state: S) -> (Router, Vec<Row>) {
        (self.router.with_state(state), self.rows)
    }
}

/// What all routes of the port need.
#[derive(Clone, Debug, Default)]
pub struct Table(Arc<HashMap<&'static str, Vec<Row>>>);

impl Table {
    /// The table of these rows.
    pub fn of(rows: impl IntoIterator<Item = Row>) -> Self {
        let mut all: HashMap<&'static str, Vec<Row>> = HashMap::new();
        for row in rows {
            all.entry(row.path).or_default().push(row);
        }
        Self(Arc::new(all))
    }

    /// Refuses a request whose token is not enough. Where the router has no such path or method, it says so itself.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self, request: &Request, who: &Identity) -> Result<(), Problem> {
        let Some(path) = request.extensions().get::<MatchedPath>() else { return Ok(()) };
        let Some(rows) = self.0.get(path.as_str()) else {
            tracing::error!(path = path.as_str(), "a route has no row in the table of what routes need");
            return Err(Problem::internal());
        };
        let method = request.method();
        let of = |wanted: &Method| rows.iter().find(|row| row.method.as_ref().is_none_or(|method| method == wanted));
        let row = of(method).or_else(|| (*method == Method::HEAD).then(|| of(&Method::GET)).flatten());
        match row {
            // 405, by the router.
            None => Ok(()),
            Some(row) if row.needs.met_by(who.scopes) => Ok(()),
            Some(row) => Err(Problem::scope_missing(&row.needs.words(), &who.scopes.to_string())),
        }
    }
}
