//! Which gateway moves a run: the one that took it over last.

use std::sync::Arc;

/// A gateway as the owner of runs. Each take-over (the ledger's `take_over`) makes a new epoch, larger than all
/// before; a run is moved only under the epoch that it has, so a gateway whose runs another one took over moves none of
/// them any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The start of a gateway, as it names itself; for people.
    pub gateway: Arc<str>,
    /// The fence. 0 = no gateway has taken over any run.
    pub epoch: u64,
}
