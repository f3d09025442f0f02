//! Requests to the API whose answers are compared with its description ([`crate::described`]).

use std::time::Duration;

use bytes::Bytes;
use reqwest::{
    Body, Method, RequestBuilder, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::described::{Described, Operation};

/// A request.
#[derive(Debug)]
#[must_use]
pub struct Request {
    builder: RequestBuilder,
    operation: Option<Operation>,
    /// Below `/api/`, where all there is is described.
    of_api: bool,
}

impl Request {
    /// A request of this method and path, as a client makes it.
    pub fn new(builder: RequestBuilder, method: &Method, path: &str) -> Self {
        let operation = Described::own().operation(method, path);
        Self { builder, operation, of_api: path.starts_with("/api/") }
    }

    fn map(self, change: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Self {
        Self { builder: change(self.builder), ..self }
    }

    /// As [`RequestBuilder::json`].
    pub fn json<T: Serialize + ?Sized>(self, body: &T) -> Self {
        self.map(|builder| builder.json(body))
    }

    /// As [`RequestBuilder::body`].
    pub fn body(self, body: impl Into<Body>) -> Self {
        self.map(|builder| builder.body(body))
    }

    /// As [`RequestBuilder::header`].
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        HeaderName: TryFrom<N>,
        <HeaderName as TryFrom<N>>::Error: Into<http::Error>,
        HeaderValue: TryFrom<V>,
        <HeaderValue as TryFrom<V>>::Error: Into<http::Error>,
    {
        self.map(|builder| builder.header(name, value))
    }

    /// As [`RequestBuilder::timeout`].
    pub fn timeout(self, limit: Duration) -> Self {
        self.map(|builder| builder.timeout(limit))
    }

    /// Sends it.
    ///
    /// # Errors
    /// When no answer comes.
    ///
    /// # Panics
    /// When the head of the answer is not what is described.
    pub async fn send(self) -> reqwest::Result<Answered> {
        let response = self.builder.send().await?;
        let (status, headers) = (response.status(), response.headers());
        // What a proxy answers itself is none of ours.
        let own =
            !headers.get("server").is_some_and(|server| server.as_bytes().starts_with(b"nginx")) || status.is_success();
        let operation = self.operation.filter(|_| own);
        if let Some(operation) = &operation {
            if let Some(wrong) = Described::own().wrong_head(operation, status, headers) {
                panic!("not what is described: {wrong}");
            }
        } else if self.of_api && own {
            assert!(!status.is_success(), "{} is answered and not described", response.url());
        }
        Ok(Answered { response, operation })
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answered {
    response: reqwest::Response,
    operation: Option<Operation>,
}

/// Of another server, or by another protocol: compared with nothing.
impl From<reqwest::Response> for Answered {
    fn from(response: reqwest::Response) -> Self {
        Self { response, operation: None }
    }
}

impl Answered {
    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Its headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// As [`reqwest::Response::extensions`].
    pub fn extensions(&self) -> &http::Extensions {
        self.response.extensions()
    }

    /// As [`reqwest::Response::version`].
    pub fn version(&self) -> http::Version {
        self.response.version()
    }

    /// The operation that it answers.
    pub fn operation(&self) -> Option<&Operation> {
        self.operation.as_ref()
    }

    /// The whole body.
    ///
    /// # Errors
    /// When it breaks off.
    ///
    /// # Panics
    /// When it is not what is described.
    pub async fn bytes(self) -> reqwest::Result<Bytes> {
        let status = self.response.status();
        let kind = self.response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.to_owned();
        let body = self.response.bytes().await?;
        if let Some(operation) = &self.operation
            && let Some(wrong) = Described::own().wrong_body(operation, status, &kind, &body)
        {
            panic!("not what is described: {wrong}");
        }
        Ok(body)
    }

    /// The whole body as text.
    ///
    /// # Errors
    /// When it breaks off.
    pub async fn text(self) -> reqwest::Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes().await?).into_owned())
    }

    /// The whole body as a value.
    ///
    /// # Errors
    /// When it breaks off.
    ///
    /// # Panics
    /// When it is another value.
    pub async fn json<T: DeserializeOwned>(self) -> reqwest::Result<T> {
        let body = self.bytes().await?;
        Ok(serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&body))))
    }

    /// The next piece of the body.
    ///
    /// # Errors
    /// When it breaks off.
    pub async fn chunk(&mut self) -> reqwest::Result<Option<Bytes>> {
        self.response.chunk().await
    }

    /// The body piece by piece, which is compared with nothing.
    pub fn bytes_stream(self) -> impl futures_util::Stream<Item = reqwest::Result<Bytes>> {
        self.response.bytes_stream()
    }
}
