//! The model: the values that several parts of the gateway share. It depends on no other part of the gateway.

mod asked;
mod attempt;
mod attempt_record;
mod condition;
mod contact;
mod diagnosis;
mod held_spool;
mod need;
mod owner;
mod placement;
mod principal;
mod queue_reason;
mod record;
mod snapshot;
mod stream;
mod time;
mod wait;

pub use asked::{Asked, Origin, TRACE_STATE};
pub use attempt::Attempt;
pub use attempt_record::{AttemptRecord, Death, Execution, OutputLengths};
pub use condition::{Condition, Conditions, Remark};
pub use contact::{Contact, ContactState};
pub use diagnosis::Diagnosis;
pub use held_spool::{HeldSpool, Removed};
pub use longhaul_proto::principal::{AmbiguousPrincipal, Principal, Typed};
pub use need::Need;
pub use owner::Owner;
pub use placement::Placement;
pub use principal::{Identity, Scope, UnknownScope};
pub use queue_reason::QueueReason;
pub use record::{CancelIntent, Detail, End, QueueRecord, Record};
pub use snapshot::{Activity, CancelRequest, Expected, Progress, RunSnapshot};
pub use stream::Stream;
pub use time::UnixMs;
pub use wait::Wait;
