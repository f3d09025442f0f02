//! The cells: which fault at which moment, and which ends a run may then have.

use longhaul_proto::state::{Cause, RunState};

use super::{
    rng::Rng,
    site::{Setup, Side},
};

/// A process that a run depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The gateway.
    Gateway,
    /// The agent.
    Agent,
    /// The supervisor of the run in focus.
    Supervisor,
    /// Its engine.
    Stata,
}

/// Which connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Clients to gateway.
    Front,
    /// Between gateway and agent, both ways.
    Links,
}

/// A call that a gateway never makes, made by the test with the join secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// `Run` with a lower attempt than one the agent has revoked.
    LowerAttempt,
    /// `Run` of an attempt that ended, once more.
    SameAttempt,
    /// `Forget` with another digest.
    WrongDigest,
}

/// What the fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL; daemons are started again.
    Kill(Who),
    /// SIGSTOP, and after a while SIGCONT.
    Stop(Who),
    /// Everything on the agent's host dies at once and comes back with another boot id; with the gateway or without it.
    HostLost {
        /// The gateway dies too.
        gateway: bool,
    },
    /// The agent's host dies and stays away until its runs are given up.
    HostGone,
    /// SIGTERM, waited for; then started again.
    Terminate(Side),
    /// Both are stopped in order and started again on the same data.
    RestartBoth,
    /// All connections are cut, some times.
    Cut(Wire),
    /// Bytes are held back for a while and neither side is notified; then the connections are cut.
    HalfOpen(Wire),
    /// Gateway and agent cannot reach each other, and notice it, until the runs have ended there.
    Partition,
    /// Bytes are late for a while.
    Delay(Wire),
    /// Clients send and receive drop by drop.
    SlowClients,
    /// The `Run` call is held back, its connection ends, and it arrives after another call was made.
    LateRun,
    /// A check fails for a while.
    Failing(Side, &'static str, &'static str),
    /// The file system of a daemon is full for a while.
    Full(Side),
    /// Wall-clock time jumps, forth or back, by months.
    ClockJump(Side),
    /// The log of a run that has ended is cut short in its spool before the gateway has all of it.
    LogCut,
    /// The gateway's task of the run in focus panics.
    Panic,
    /// The ledger is gone, another one takes its place, and then the first is brought back.
    LedgerLost,
    /// The ledger is a backup from before all runs.
    LedgerOld,
    /// See [`Stale`].
    Stale(Stale),
    /// None: the run does the harm itself.
    Nothing,
}

/// What the run in focus does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// Waits for its gate.
    Gated,
    /// Prints a lot.
    Burst,
    /// Prints a few lines and ends, well or badly.
    Lines,
    /// Waits until a client cancels it.
    Cancelled,
    /// Waits until its limit.
    TimedOut,
    /// Writes more bytes than a run's spool may take.
    Filling,
}

/// When the fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// A stop point of that side's daemon, or of the agent's supervisors.
    Point(Side, &'static str),
    /// The run in focus has printed.
    Printing,
}

/// A moment: its name, how it is recognised, and what the run in focus does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// For people.
    pub name: &'static str,
    /// When.
    pub when: When,
    /// Of which run.
    pub focus: Focus,
}

const fn at(name: &'static str, side: Side, point: &'static str, focus: Focus) -> Moment {
    Moment { name, when: When::Point(side, point), focus }
}

const BEFORE_COMMIT: Moment = at("before the submit commit", Side::Gateway, "submit.before_commit", Focus::Gated);
const AFTER_COMMIT: Moment = at("after the submit commit", Side::Gateway, "submit.after_commit", Focus::Gated);
const DISPATCH: Moment = at("before the Run call", Side::Gateway, "dispatch.before_run", Focus::Gated);
const DISPATCHED: Moment = at("after the Run call", Side::Gateway, "dispatch.after_run", Focus::Gated);
const BEFORE_ATTEMPT: Moment = at("before the attempt file", Side::Agent, "agent.before_attempt", Focus::Gated);
const AFTER_ATTEMPT: Moment = at("after the attempt file", Side::Agent, "agent.after_attempt", Focus::Gated);
const LAID_OUT: Moment = at("before the supervisor", Side::Agent, "agent.before_supervisor", Focus::Gated);
const SPAWNING: Moment = at("starting", Side::Agent, "supervisor.after_spawning", Focus::Gated);
const UNMARKED: Moment = at("before the start mark", Side::Agent, "supervisor.before_spawning", Focus::Gated);
const SPAWNED: Moment = at("spawned", Side::Agent, "supervisor.after_spawn", Focus::Gated);
const FIRST_BYTE: Moment = at("first byte", Side::Agent, "supervisor.after_running", Focus::Gated);
const RUNNING: Moment = Moment { name: "running", when: When::Printing, focus: Focus::Gated };
const FILLING: Moment = Moment { name: "running", when: When::Printing, focus: Focus::Filling };
const BURST: Moment = Moment { name: "output burst", when: When::Printing, focus: Focus::Burst };
const EXIT: Moment = at("at exit", Side::Agent, "supervisor.before_exit", Focus::Lines);
const RECORDED: Moment = at("exit recorded", Side::Agent, "supervisor.after_exit", Focus::Lines);
const JUDGING: Moment = at("exit not delivered", Side::Agent, "agent.before_outcome", Focus::Lines);
const JUDGED: Moment = at("verdict not delivered", Side::Agent, "agent.after_outcome", Focus::Lines);
const ENDING: Moment = at("before the end's commit", Side::Gateway, "end.before_commit", Focus::Lines);
const ENDED: Moment = at("after the end's commit", Side::Gateway, "end.after_commit", Focus::Lines);
const WISH: Moment = at("cancel recorded", Side::Gateway, "cancel.after_wish", Focus::Cancelled);
const CANCELLING: Moment = at("cancelling", Side::Agent, "supervisor.after_ending", Focus::Cancelled);
const TIMING_OUT: Moment = at("timing out", Side::Agent, "supervisor.after_ending", Focus::TimedOut);

use Fault::{
    ClockJump, Cut, Delay, Failing, Full, HalfOpen, HostGone, HostLost, Kill, LateRun, LedgerLost, LedgerOld, LogCut,
    Nothing, Panic, Partition, RestartBoth, SlowClients, Stop, Terminate,
};

const NO_SPACE: &str = "enospc";
const READ_ONLY: &str = "erofs";
const BROKEN: &str = "eio";

/// Every fault with its moments.
#[rustfmt::skip]
const TABLE: &[(&str, Fault, &[Moment])] = &[
    ("gateway killed", Kill(Who::Gateway),
        &[BEFORE_COMMIT, AFTER_COMMIT, DISPATCH, DISPATCHED, RUNNING, BURST, ENDING, ENDED, WISH, JUDGED]),
    ("agent killed", Kill(Who::Agent),
        &[BEFORE_ATTEMPT, AFTER_ATTEMPT, LAID_OUT, SPAWNED, RUNNING, BURST, JUDGING, JUDGED, CANCELLING, TIMING_OUT]),
    ("supervisor killed", Kill(Who::Supervisor),
        &[UNMARKED, SPAWNING, SPAWNED, FIRST_BYTE, BURST, EXIT, RECORDED, CANCELLING, TIMING_OUT]),
    ("Stata killed", Kill(Who::Stata), &[RUNNING, BURST, CANCELLING]),
    ("gateway stopped", Stop(Who::Gateway), &[AFTER_COMMIT, BURST]),
    ("agent stopped", Stop(Who::Agent), &[AFTER_ATTEMPT, JUDGING]),
    ("supervisor stopped", Stop(Who::Supervisor), &[SPAWNING, EXIT]),
    ("Stata stopped", Stop(Who::Stata), &[RUNNING, TIMING_OUT]),
    ("host lost", HostLost { gateway: false }, &[AFTER_ATTEMPT, SPAWNING, RUNNING, RECORDED]),
    ("all lost", HostLost { gateway: true }, &[AFTER_COMMIT, BURST]),
    ("host gone", HostGone, &[RUNNING]),
    ("gateway SIGTERM", Terminate(Side::Gateway), &[BURST]),
    ("agent SIGTERM", Terminate(Side::Agent), &[RUNNING]),
    ("restart on old data", RestartBoth, &[RUNNING]),
    ("clients cut", Cut(Wire::Front), &[BEFORE_COMMIT, BURST]),
    ("clients half-open", HalfOpen(Wire::Front), &[BURST]),
    ("clients slow", SlowClients, &[BURST]),
    ("links cut", Cut(Wire::Links), &[DISPATCH, BURST, JUDGING]),
    ("links half-open", HalfOpen(Wire::Links), &[RUNNING]),
    ("links partitioned", Partition, &[RUNNING]),
    ("links delayed", Delay(Wire::Links), &[BURST]),
    ("Run delayed", LateRun, &[DISPATCH]),
    ("spool full", Failing(Side::Agent, "durable.write", NO_SPACE), &[BEFORE_ATTEMPT, EXIT]),
    ("spool read-only", Failing(Side::Agent, "durable.write", READ_ONLY), &[JUDGING]),
    ("mirror full", Failing(Side::Gateway, "mirror.append", NO_SPACE), &[BURST]),
    ("mirror read-only", Failing(Side::Gateway, "mirror.append", READ_ONLY), &[DISPATCHED]),
    ("ledger full", Failing(Side::Gateway, "ledger.before_commit", NO_SPACE), &[BEFORE_COMMIT, ENDING]),
    ("ledger read-only", Failing(Side::Gateway, "ledger.before_commit", READ_ONLY), &[AFTER_COMMIT]),
    ("ledger fails after commit", Failing(Side::Gateway, "ledger.after_commit", BROKEN),
        &[BEFORE_COMMIT, AFTER_COMMIT, ENDING]),
    ("agent's disk full", Full(Side::Agent), &[RUNNING]),
    ("gateway's disk full", Full(Side::Gateway), &[BURST]),
    ("gateway's clock jumps", ClockJump(Side::Gateway), &[RUNNING]),
    ("agent's clock jumps", ClockJump(Side::Agent), &[RUNNING]),
    ("log cut short", LogCut, &[JUDGED]),
    ("run fills its host", Nothing, &[FILLING]),
    ("run's task panics", Panic, &[DISPATCH, DISPATCHED, ENDING, ENDED]),
    ("ledger lost", LedgerLost, &[RUNNING]),
    ("ledger of before", LedgerOld, &[RUNNING, ENDED]),
    ("lower attempt", Fault::Stale(Stale::LowerAttempt), &[RUNNING]),
    ("same attempt again", Fault::Stale(Stale::SameAttempt), &[RUNNING]),
    ("forget, other digest", Fault::Stale(Stale::WrongDigest), &[RUNNING]),
];

/// One fault at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The fault, for people.
    pub title: &'static str,
    /// What is done.
    pub fault: Fault,
    /// When.
    pub moment: Moment,
}

/// All of them.
pub fn all() -> Vec<Cell> {
    let cells = TABLE.iter().flat_map(|(title, fault, moments)| {
        moments.iter().map(move |moment| Cell { title, fault: *fault, moment: *moment })
    });
    cells.collect()
}

impl Cell {
    /// `fault / moment`.
    pub fn name(&self) -> String {
        format!("{} / {}", self.title, self.moment.name)
    }

    /// The site it needs; its limits are drawn from the seed.
    pub fn setup(&self, rng: &mut Rng) -> Setup {
        let mut limit = |text| (rng.below(5) == 0).then_some(text);
        Setup {
            lost_after: (self.fault == HostGone).then_some("1s"),
            small: match self.fault {
                Full(side) => Some(side),
                _ => None,
            },
            max_output: limit("4KiB").filter(|_| self.moment == BURST),
            max_kept: limit("1KiB"),
            max_spool: limit("64KiB"),
            max_run_spool: (self.moment == FILLING).then_some("8MiB"),
        }
    }

    /// Whether attempts of the run in focus, or of all runs, may be proven dead, so that another may follow.
    pub fn proves_dead(&self, in_focus: bool) -> bool {
        match self.fault {
            Kill(Who::Stata) => in_focus,
            HostLost { .. } | HostGone => true,
            _ => false,
        }
    }

    /// Whether the fault makes this end right, besides the run's own end.
    pub fn admits(&self, in_focus: bool, state: RunState, cause: Cause) -> bool {
        match self.fault {
            // Dead between the mark and the spawn: nothing was started, and nothing proves that.
            Kill(Who::Supervisor) if self.moment == SPAWNING => {
                (state, cause) == (RunState::Errored, Cause::Incomplete)
            }
            Kill(Who::Stata) => in_focus && (state, cause) == (RunState::Errored, Cause::Killed),
            HostLost { .. } | HostGone => (state, cause) == (RunState::Errored, Cause::HostRebooted),
            _ => false,
        }
    }

    /// Whether the copy of the run in focus may miss an end that its host lost.
    pub fn may_miss(&self, in_focus: bool) -> bool {
        in_focus && self.fault == LogCut
    }

    /// Whether runs may be lost for a while.
    pub fn may_lose(&self) -> bool {
        self.fault == HostGone
    }

    /// Whether the gateway may not know a run for a while, since its ledger does not.
    pub fn may_forget(&self) -> bool {
        matches!(self.fault, LedgerLost | LedgerOld)
    }

    /// Whether the moment is one of a submission's.
    pub fn at_submit(&self) -> bool {
        [BEFORE_COMMIT, AFTER_COMMIT].contains(&self.moment)
    }

    /// Whether submissions may be refused for a while, since they cannot be recorded.
    pub fn ledger_fails(&self) -> bool {
        matches!(self.fault, Full(Side::Gateway))
            || matches!(self.fault, Failing(_, check, _) if check.starts_with("ledger."))
    }

    /// Whether the moment is in the very process that the fault strikes, so that the process can strike itself.
    pub fn by_itself(&self) -> bool {
        let (Kill(who) | Stop(who)) = self.fault else { return false };
        let When::Point(_, point) = self.moment.when else { return false };
        let owner = match point.split('.').next() {
            Some("agent") => Who::Agent,
            Some("supervisor") => Who::Supervisor,
            _ => Who::Gateway,
        };
        owner == who
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_a_name_of_its_own() {
        let mut names: Vec<_> = all().iter().map(Cell::name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!((40..100).contains(&count), "{count}");
    }
}
