//! The model: the values that several parts of the gateway share. It depends on no other part of the gateway.

mod attempt;
mod condition;
mod contact;
mod need;
mod placement;
mod principal;
mod queue_reason;
mod snapshot;
mod stream;
mod time;
mod wait;

pub use attempt::Attempt;
pub use condition::{Condition, Remark};
pub use contact::{Contact, ContactState};
pub use longhaul_proto::principal::{AmbiguousPrincipal, Principal, Typed};
pub use need::Need;
pub use placement::Placement;
pub use principal::{Identity, Scope, UnknownScope};
pub use queue_reason::QueueReason;
pub use snapshot::{Activity, CancelRequest, Progress, RunSnapshot};
pub use stream::Stream;
pub use time::UnixMs;
pub use wait::Wait;
