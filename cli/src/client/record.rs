//! With what a run was made.

use longhaul_proto::api::RunRecord;
use reqwest::Method;

use super::{Client, ClientError, path};

impl Client {
    /// With what a run was made.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn record(&self, run: &str) -> Result<RunRecord, ClientError> {
        self.json(self.request(Method::GET, &path(run, "/record"))).await
    }
}
