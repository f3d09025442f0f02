//! What is in a data file.

use std::time::Duration;

use longhaul_proto::api::DataView;
use reqwest::{Method, Response};

use super::{Client, ClientError, with_query};

/// How long an answer may take: an agent reads a large file for a minute.
const ANSWER: Duration = Duration::from_secs(100);

impl Client {
    /// A table about a data file; the query is the API's.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn data(&self, query: &[(&str, String)]) -> Result<DataView, ClientError> {
        let response = self.data_file(query).await?;
        let body = tokio::time::timeout(ANSWER, response.bytes())
            .await
            .map_err(|_| ClientError::Silent { url: self.url.clone(), limit: ANSWER })?
            .map_err(|source| ClientError::Broken { source })?;
        serde_json::from_slice(&body).map_err(|source| ClientError::Strange { url: self.url.clone(), source })
    }

    /// The answer as it comes: its body is not whole unless it ends without an error.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn data_file(&self, query: &[(&str, String)]) -> Result<Response, ClientError> {
        self.send(self.request(Method::GET, &with_query("/api/v1/data", query)), ANSWER).await
    }
}
