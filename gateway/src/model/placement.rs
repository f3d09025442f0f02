//! Where an attempt is executed.

/// The agent that an attempt is given to, and the pool whose seat it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The agent.
    pub agent_id: String,
    /// Its name.
    pub host: String,
    /// The pool.
    pub pool: String,
}
