//! The bounds of the agent's listener: few connections, for its gateway alone, and none that says nothing.
//!
//! A connection has [`Bounds::head`] to its first request's head and [`PROOF`] to the proof that it is the gateway's;
//! without them it is closed. Where there are too many, the oldest that has proved nothing makes room.

use std::time::Duration;

use longhaul_proto::{connections::Bounds, descriptors};

/// From acceptance to the proof: a gateway proves itself in its first request.
const PROOF: Duration = Duration::from_secs(30);
/// Connections of one address that have proved nothing; a gateway needs a moment's two.
const UNPROVEN: usize = 16;

/// The bounds of an agent's listener.
pub(crate) fn bounds(head: Duration, max: usize) -> Bounds {
    // Spools and logs come first: half of what the process may have open is theirs at least.
    let files = usize::try_from(descriptors::limit() / 2).unwrap_or(usize::MAX);
    Bounds {
        max: max.min(files).max(2),
        per_address: UNPROVEN.min(max),
        per_principal: usize::MAX,
        head,
        proof: Some(PROOF.max(head)),
    }
}
