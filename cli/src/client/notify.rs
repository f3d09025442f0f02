//! Who is told of the ends of the caller's runs.

use longhaul_proto::api::{
    NotifyList, NotifySecret, NotifySecretRequest, NotifyTestRequest, NotifyTested, ReceiverRequest, ReceiverView,
};
use reqwest::Method;

use super::{ANSWER, Client, ClientError, with_query};

const RECEIVERS: &str = "/api/v1/notify/receivers";

impl Client {
    /// The receivers, and what became of the latest messages.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn receivers(&self) -> Result<NotifyList, ClientError> {
        self.json(self.request(Method::GET, "/api/v1/notify")).await
    }

    /// Adds one.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn add_receiver(&self, body: &ReceiverRequest) -> Result<ReceiverView, ClientError> {
        self.json(self.request(Method::POST, RECEIVERS).json(body)).await
    }

    /// Removes one.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn remove_receiver(&self, address: &str) -> Result<(), ClientError> {
        let path = with_query(RECEIVERS, &[("address", address.to_owned())]);
        self.send(self.request(Method::DELETE, &path), ANSWER).await.map(drop)
    }

    /// The secret by which webhooks are signed.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn notify_secret(&self, body: NotifySecretRequest) -> Result<NotifySecret, ClientError> {
        self.json(self.request(Method::POST, "/api/v1/notify/secret").json(&body)).await
    }

    /// Sends a test.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn test_receivers(&self, body: &NotifyTestRequest) -> Result<NotifyTested, ClientError> {
        self.json(self.request(Method::POST, "/api/v1/notify/test").json(body)).await
    }
}
