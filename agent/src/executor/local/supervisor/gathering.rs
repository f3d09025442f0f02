//! What follows the user's code: our gathering of results, which has a limit of its own and changes nothing about the run.
//!
//! The user's part ends when the sentinel appears and the log shows that the wrapper made it. From then on the run's own
//! limits count no more; gathering is ended when it takes too long, or when the run's end is requested. Nothing is written
//! before those signals, since the sentinel is already the proof of how the run ended. The sentinel is looked for at
//! wake-ups that there are anyway.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    time::{Duration, UNIX_EPOCH},
};

use longhaul_proto::{faults, state::Cause, words};

use super::{grace::Grace, target::Live};
use crate::{
    os,
    spool::{CancelMode, CancelRecord, Ending, Gathers, Plan, Spool},
    stata::{view::ViewFinder, wrapper::Wrapper},
};

/// The end of the log that is searched for the wrapper's line.
const TAIL: u64 = 64 << 10;
/// A sentinel that is older than this at the end of Stata is looked at closely, milliseconds.
const LONG: u64 = 100;

/// Whether results are being gathered, and how that ends.
pub(super) struct Gathering {
    wanted: bool,
    limit_ms: u64,
    /// Monotonic time of the host, milliseconds.
    since: Option<u64>,
    grace: Option<Grace>,
    /// Why it was ended.
    pub(super) why: Option<String>,
}

impl Gathering {
    pub(super) fn new(plan: &Plan) -> Self {
        let wanted = plan.gathers == Some(Gathers::Yes) && !faults::bug("gathering_counts_as_running");
        Self { wanted, limit_ms: plan.timing.gathering, since: None, grace: None, why: None }
    }

    /// Whether it has begun, and the run's own limits do not count any more. `request` = to end the run.
    pub(super) fn goes_on(&mut self, spool: &Spool, request: Option<&CancelRecord>) -> bool {
        if self.wanted && self.since.is_none() && spool.sentinel().exists() && is_ours(spool) {
            self.since = Some(os::monotonic_ms());
        }
        let Some(since) = self.since else { return false };
        if let (Some(grace), Some(request)) = (&mut self.grace, request) {
            grace.strengthen(request.mode);
        }
        if self.grace.is_none() {
            let late = os::monotonic_ms().saturating_sub(since) >= self.limit_ms;
            let why = match request {
                Some(_) => "the run's end was requested while that went on".to_owned(),
                None if late => {
                    let limit = words::whole_duration(Duration::from_millis(self.limit_ms));
                    format!("it took longer than {limit} and was ended")
                }
                None => return true,
            };
            self.why =
                Some(format!("not gathered: {why}; the code had come to its end before, and nothing else changed"));
            let mode = request.map_or(CancelMode::Terminate, |request| request.mode.max(CancelMode::Terminate));
            let ending = Ending { cause: Cause::CancelRequested, by: String::new(), at_ms: 0, words: String::new() };
            self.grace = Some(Grace::new(mode, ending));
        }
        true
    }

    /// Sends what is due; returns when to look again, on the host's monotonic clock.
    pub(super) fn step(&mut self, now: Duration, plan: &Plan, live: &Live) -> Option<Duration> {
        let limit = self.since.map(|since| Duration::from_millis(since.saturating_add(self.limit_ms)));
        match &mut self.grace {
            Some(grace) => grace.step(now, &plan.timing, live),
            None => limit,
        }
    }

    /// How long ago the user's part ended, at the end of Stata, milliseconds. `now_ms` = the wall clock.
    pub(super) fn took_ms(&self, spool: &Spool, now_ms: i64) -> u64 {
        let made = fs::metadata(spool.sentinel()).and_then(|m| m.modified()).ok();
        let made = made.filter(|_| self.wanted).and_then(|made| made.duration_since(UNIX_EPOCH).ok());
        let Some(made) = made.and_then(|made| i64::try_from(made.as_millis()).ok()) else { return 0 };
        let ago = u64::try_from(now_ms.saturating_sub(made)).unwrap_or(0);
        if ago <= LONG || self.since.is_some() || is_ours(spool) { ago } else { 0 }
    }
}

/// Whether the log shows that the wrapper's line made the sentinel: the user's code can make a file of that name, too.
fn is_ours(spool: &Spool) -> bool {
    let Ok(wrapper) = fs::read_to_string(spool.wrapper()) else { return false };
    let mut tail = Vec::new();
    let read = File::open(spool.log()).and_then(|mut log| {
        let len = log.seek(SeekFrom::End(0))?;
        log.seek(SeekFrom::Start(len.saturating_sub(TAIL)))?;
        log.take(TAIL).read_to_end(&mut tail)
    });
    let mut finder = ViewFinder::new(&Wrapper::from_text(wrapper));
    finder.push(&tail);
    read.is_ok() && finder.reached_sentinel()
}
