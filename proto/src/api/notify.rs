//! Who is told of the ends of runs.

use serde::{Deserialize, Serialize};

use crate::ids::RunId;

/// A person's receivers, and what became of the latest messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotifyList {
    /// Whether this gateway may send webhooks anywhere.
    pub webhooks: bool,
    /// Whether it sends mail.
    pub mail: bool,
    /// Those who are told of all ends.
    pub receivers: Vec<ReceiverView>,
    /// The latest messages, newest first.
    pub recent: Vec<NotificationView>,
}

/// One who is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReceiverView {
    /// `https://…` or `mailto:…`.
    pub address: String,
    /// Since when.
    pub created_at: Option<String>,
}

/// A message about the end of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotificationView {
    /// The run.
    pub run_id: RunId,
    /// To whom.
    pub address: String,
    /// `waiting`, `delivered` or `given_up`.
    pub state: String,
    /// When the end was recorded.
    pub recorded_at: Option<String>,
    /// How often it was tried.
    pub tries: u32,
    /// When it was delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_at: Option<String>,
    /// When it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_up_at: Option<String>,
    /// When it is tried next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<String>,
    /// What went wrong at the last try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Asks for a receiver.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReceiverRequest {
    /// `https://HOST/PATH`, or `mailto:ADDRESS`.
    pub address: String,
}

/// Asks for the secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NotifySecretRequest {
    /// Make another one.
    pub rotate: bool,
}

/// The secret by which webhooks are signed.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotifySecret {
    /// `whsec_` and base64.
    pub secret: String,
    /// Since when.
    pub made_at: Option<String>,
    /// Until when webhooks are signed with the one before, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_before_until: Option<String>,
}

impl std::fmt::Debug for NotifySecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NotifySecret(..)")
    }
}

/// Asks for a test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NotifyTestRequest {
    /// Of this receiver alone; of all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// What became of a test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotifyTested {
    /// For each receiver.
    pub receivers: Vec<TestedView>,
}

/// What became of a test to one receiver.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TestedView {
    /// The receiver.
    pub address: String,
    /// Whether it took it.
    pub delivered: bool,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
