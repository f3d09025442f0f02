//! Exit statuses. [`longhaul_proto::state::RunState::meaning`] gives the status of an ended run; these are the others.

use longhaul_proto::state::RunState;

/// The command line or the configuration is not valid.
pub(crate) const USAGE: u8 = 2;
/// A failure on our side: gateway unreachable, no data folder, a folder that another process holds.
pub(crate) const SYSTEM: u8 = 4;
/// The command stopped waiting, and the run goes on.
pub(crate) const GOES_ON: u8 = 6;

/// The gateway refuses this agent, until a person does something about it.
pub(crate) const REFUSED: u8 = 7;

/// The status for a run in this state; an unfinished run goes on.
pub(crate) fn of_state(state: RunState) -> u8 {
    state.meaning().map_or(GOES_ON, |m| m.exit_status)
}

/// The worse of two statuses of runs: one that goes on may still become anything.
pub(crate) fn worse(one: u8, other: u8) -> u8 {
    const ORDER: [u8; 7] = [0, 3, 1, 2, 5, SYSTEM, GOES_ON];
    let rank = |status: u8| ORDER.iter().position(|known| *known == status).unwrap_or(ORDER.len());
    if rank(other) > rank(one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_counts() {
        for (one, other, want) in [(0, 0, 0), (0, 3, 3), (1, 3, 1), (5, 1, 5), (4, 5, 4), (4, 6, 6)] {
            assert_eq!((worse(one, other), worse(other, one)), (want, want));
        }
    }

    #[test]
    fn the_documented_table() {
        let want = [
            (RunState::Queued, 6),
            (RunState::Starting, 6),
            (RunState::Running, 6),
            (RunState::Succeeded, 0),
            (RunState::Failed, 1),
            (RunState::Errored, 4),
            (RunState::TimedOut, 5),
            (RunState::Cancelled, 3),
            (RunState::Rejected, 4),
            (RunState::Lost, 4),
        ];
        assert_eq!(RunState::ALL.len(), want.len());
        for (state, status) in want {
            assert_eq!(of_state(state), status, "{state}");
        }
    }
}
