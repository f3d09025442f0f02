//! The JSON objects of the HTTP API, version 1: what the gateway writes and the command line reads.
//!
//! Times are RFC 3339 in UTC, durations are seconds. Within v1 objects only grow, so readers ignore fields they do not
//! know; requests are strict, so that a misspelt field is an error instead of a default.

mod data;
mod do_files;
mod error;
mod events;
mod files;
mod help;
mod history;
mod host;
mod limits;
mod notify;
mod process;
mod provenance;
mod quotas;
mod results;
mod run;
mod runs;
mod search;
mod submit;

use serde::{Deserialize, Serialize};

pub use data::{DataColumnView, DataRoom, DataText, DataView, data_number};
pub use do_files::{DoFileView, RunDoFiles};
pub use error::{RunError, SuppressedError};
pub use events::{EventsReady, ProgressEvent, StepEvent};
pub use files::{RunFileView, RunFiles};
pub use help::{HelpSectionView, HelpTopicView, HelpView};
pub use history::{AttemptEndView, AttemptView, RunHistory, StepView};
pub use host::{
    AgentKeyView, AgentKeys, DrainBody, DrainView, Drained, ForeignView, Forgotten, HolderView, HostView, Hosts,
    InvitationView, Invitations, LicenceView, PoolView, QueueView,
};
pub use limits::LimitsView;
pub use notify::{
    NotificationView, NotifyList, NotifySecret, NotifySecretRequest, NotifyTestRequest, NotifyTested, ReceiverRequest,
    ReceiverView, TestedView,
};
pub use process::ProcessView;
pub use provenance::{DataFileView, MadeWith, PackageFileView, PackageView, Packages, RunRecord, StataFacts};
pub use quotas::{Priority, PriorityView, QuotaKind, QuotaList, QuotaReached, QuotaUse, QuotaView};
pub use results::{Coefficient, LeftOut, Matrix, Results, RunResults, Statistic, StoredResults};
pub use run::{
    ActivityView, ArtifactView, CancelRequested, ContactView, ExpectedView, FilesRemoved, LocationView, ProgressView,
    RunView, ViewRange,
};
pub use runs::{AdoptBody, Adopted, CancelBody, CancelMode, OutputEvent, RerunBody, RunList};
pub use search::{FoundLine, SearchView};
pub use submit::{BundleFileRequest, BundleRequest, Joined, Retry, SubmitRequest, Submitted};

/// Answer to an operator's confirmation that the gateway's clock is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClockTrusted {
    /// The clock's time.
    pub now: String,
}

/// An error answer, `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A stable word, such as `unknown-run`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is wrong, short.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request, and what to do.
    pub detail: String,
    /// Of `missing-blobs`: the digests of what is to be uploaded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Of `quota`: which one is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Box<QuotaReached>>,
}

/// Where a gateway tells everybody the certificate of its own authority's root, PEM.
pub const CA_CERTIFICATE: &str = "/.well-known/longhaul/ca.pem";
/// Where a gateway tells everybody what its API is, in OpenAPI 3.1.
pub const OPENAPI: &str = "/api/v1/openapi.json";
/// Header of output answers: where the next read starts.
pub const NEXT_OFFSET: &str = "longhaul-next-offset";
/// Header of output answers: the offset of the first returned byte. From there the bytes are contiguous up to
/// [`NEXT_OFFSET`], unless the caller asked for more than one `offset`: of the user's parts of several attempts.
pub const FIRST_OFFSET: &str = "longhaul-first-offset";
/// Header of output answers: `true` when the run has ended and no byte follows the returned ones.
pub const COMPLETE: &str = "longhaul-complete";
