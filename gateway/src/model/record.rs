//! The record of a run: what was asked for, the attempts in order, what became of it, and what holds of it besides.

use longhaul_proto::{
    api,
    ids::RunId,
    state::{Cause, RunState},
};

use super::{
    Asked, Attempt, AttemptRecord, Conditions, Death, Diagnosis, Origin, OutputLengths, Owner, Placement, Principal,
};

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its id.
    pub run: RunId,
    /// The principal that submitted it.
    pub principal: Principal,
    /// Its state.
    pub state: RunState,
    /// Why it is in that state.
    pub cause: Cause,
    /// When it was recorded, Unix milliseconds.
    pub created_ms: i64,
    /// When it ended; 0 = not yet.
    pub finished_ms: i64,
    /// When its owner was first shown its end; 0 = not yet.
    pub shown_ms: i64,
    /// The intent to end it.
    pub cancel: Option<CancelIntent>,
    /// The gateway that moves it.
    pub owner: Owner,
    /// The rest.
    pub detail: Detail,
}

impl Record {
    /// The record of a new request: queued, given to no agent; of no gateway yet.
    pub fn queued(run: RunId, principal: Principal, created_ms: i64, asked: Asked) -> Self {
        Self {
            run,
            principal,
            state: RunState::Queued,
            cause: Cause::Submitted,
            created_ms,
            finished_ms: 0,
            shown_ms: 0,
            cancel: None,
            owner: Owner::default(),
            detail: Detail { asked, ..Detail::default() },
        }
    }

    /// The fencing token; `None` before the first attempt.
    pub fn attempt(&self) -> Option<Attempt> {
        self.detail.attempt()
    }

    /// The number of the last attempt, for agents; 0 before the first.
    pub fn attempt_number(&self) -> u32 {
        self.attempt().map_or(0, Attempt::number)
    }

    /// The agent that had the last attempt; empty = none had.
    pub fn agent_id(&self) -> &str {
        self.detail.placement().map_or("", |at| &at.agent_id)
    }

    /// That agent's name.
    pub fn host(&self) -> &str {
        self.detail.placement().map_or("", |at| &at.host)
    }

    /// The pool whose seat its lease holds or held.
    pub fn pool(&self) -> &str {
        self.detail.placement().map_or("", |at| &at.pool)
    }
}

/// The part of a record that no query filters by, but for its last attempt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detail {
    /// What was asked for.
    pub asked: Asked,
    /// How it came here.
    pub origin: Origin,
    /// Its waits in the queue.
    pub queue: QueueRecord,
    /// Its attempts, in order: those that are proven dead, and the present one. One that is proven never to have started
    /// has left nothing, and the next takes the place of its entry.
    pub attempts: Vec<AttemptRecord>,
    /// What became of it.
    pub end: End,
    /// What holds of it besides its state.
    pub conditions: Conditions,
    /// Other results that agents reported for an attempt whose result is recorded here, in words.
    pub contested: Vec<String>,
}

/// The waits of a run in the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueRecord {
    /// When the present wait started, Unix ms; 0 = when the run was recorded.
    pub since_ms: i64,
    /// What the queue limit counts from, Unix ms: moved only by the death of an attempt that had started; 0 = when the
    /// run was recorded.
    pub limit_from_ms: i64,
    /// How long it waited for the lease of its present attempt, ms; 0 = it has none yet, or had it at once.
    pub waited_ms: u64,
    /// The reason for which it waited longest, in words.
    pub waited_for: String,
}

/// What became of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct End {
    /// Stata's return code.
    pub rc: Option<i64>,
    /// Stata's error text, or the gateway's.
    pub message: String,
    /// The command that failed.
    pub command: String,
    /// Where it failed.
    pub location: Option<api::LocationView>,
    /// What else is known of the error.
    pub diagnosis: Diagnosis,
    /// What else a person should know, set once: by the agent, or at the end.
    pub note: String,
    /// Bytes in the mirror when the run, or an attempt before the present one, ended.
    pub output: OutputLengths,
    /// Whether length and digest of the mirror match the agent's report.
    pub complete: bool,
    /// Set when the folder of the files that it left was removed from its host.
    pub files_removed: Option<api::FilesRemoved>,
}

/// A durable intent to end a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelIntent {
    /// Who asked.
    pub by: String,
    /// When, Unix ms.
    pub at_ms: i64,
    /// The mode.
    pub mode: api::CancelMode,
}

/// Most other results that are noted of one run; more would say nothing new.
const MAX_CONTESTED: usize = 8;

impl Detail {
    /// The number of the last attempt.
    pub fn attempt(&self) -> Option<Attempt> {
        self.attempts.last().map(|last| last.number)
    }

    /// Where the last attempt was executed.
    pub fn placement(&self) -> Option<&Placement> {
        self.attempts.last().map(|last| &last.at)
    }

    /// The attempt that is not proven dead.
    pub fn present(&self) -> Option<&AttemptRecord> {
        self.attempts.last().filter(|last| last.death.is_none())
    }

    /// The attempt that is not proven dead, to be changed before a step records it.
    pub fn present_mut(&mut self) -> Option<&mut AttemptRecord> {
        self.attempts.last_mut().filter(|last| last.death.is_none())
    }

    /// Attempts that are proven dead, in order. The mirror begins with their output.
    pub fn dead(&self) -> impl DoubleEndedIterator<Item = &AttemptRecord> {
        self.attempts.iter().filter(|attempt| attempt.death.is_some())
    }

    /// Whether all output of the dead attempts is in the mirror.
    pub fn dead_complete(&self) -> bool {
        self.dead().all(AttemptRecord::died_complete)
    }

    /// Where in the mirror the output of the present attempt begins, or that of the next one would.
    pub fn base(&self) -> OutputLengths {
        match self.attempts.last() {
            None => OutputLengths::default(),
            Some(last) if last.death.is_some() => self.end.output,
            Some(present) => present.base,
        }
    }

    /// Digest of the code: of the executed bytes, or else of those found before.
    pub fn code_sha256(&self) -> &str {
        let mut known = self.attempts.iter().rev().map(|attempt| attempt.execution.code_sha256.as_str());
        known.find(|code| !code.is_empty()).unwrap_or(&self.asked.found_sha256)
    }

    /// Where the code runs, or was asked to.
    pub fn working_dir(&self) -> &str {
        self.present().map_or(&self.asked.working_dir, |attempt| &attempt.execution.working_dir)
    }

    /// Appends an attempt that is given to an agent.
    pub fn give(&mut self, number: Attempt, at: Placement) {
        let mut next = AttemptRecord { base: self.base(), ..AttemptRecord::given(number, at) };
        next.execution.working_dir.clone_from(&self.asked.working_dir);
        self.code_sha256().clone_into(&mut next.execution.code_sha256);
        if self.present().is_some() {
            // It never started.
            self.attempts.pop();
        }
        self.attempts.push(next);
    }

    /// Marks the present attempt as dead, so that another may follow: what was asked for and the entries of all attempts
    /// stay, and nothing is left of its outcome. The mirror has `output` by now.
    pub fn attempt_died(&mut self, death: Death, output: OutputLengths) {
        if let Some(present) = self.present_mut() {
            present.death = Some(death);
        }
        self.queue = QueueRecord::default();
        self.end = End { output, ..End::default() };
        self.conditions = Conditions::default();
    }

    /// Notes another result; `false` when it is noted already, or too many are.
    pub fn contest(&mut self, words: &str) -> bool {
        let new = !self.contested.iter().any(|known| known == words) && self.contested.len() < MAX_CONTESTED;
        if new {
            self.contested.push(words.to_owned());
        }
        new
    }
}
