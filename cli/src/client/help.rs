//! Stata's help.

use longhaul_proto::api::HelpView;
use reqwest::Method;

use super::{Client, ClientError};

impl Client {
    /// A topic, or topics by words: which of the two, and the text.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn stata_help(&self, asked: (&str, &str), host: Option<&str>) -> Result<HelpView, ClientError> {
        let mut query = vec![(asked.0, asked.1.to_owned())];
        query.extend(host.map(|host| ("host", host.to_owned())));
        self.json(self.request(Method::GET, &super::with_query("/api/v1/help", &query))).await
    }
}
