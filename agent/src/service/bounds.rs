//! The bounds of the agent's listener: few connections, all of its gateway, and none that stays silent.
//!
//! A connection has [`Bounds::head`] for its first request's head and [`PROOF`] for the proof that it is the gateway's;
//! without them it is closed. Beyond the limits the oldest unproven connection is closed.

use std::time::Duration;

use longhaul_proto::{connections::Bounds, descriptors};

/// From acceptance to the proof: a gateway proves itself in its first request.
const PROOF: Duration = Duration::from_secs(30);
/// Unproven connections of one address; a gateway needs two for a moment.
const UNPROVEN: usize = 16;

/// The bounds of an agent's listener.
pub(crate) fn bounds(head: Duration, max: usize) -> Bounds {
    // Spools and logs come first: at least half of the files that the process may open is for them.
    let files = usize::try_from(descriptors::limit() / 2).unwrap_or(usize::MAX);
    Bounds {
        max: max.min(files).max(2),
        per_address: UNPROVEN.min(max),
        per_principal: usize::MAX,
        head,
        proof: Some(PROOF.max(head)),
    }
}
