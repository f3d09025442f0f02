//! The end of a run: reads what the supervisor and Stata left and writes the verdict, once.

pub(crate) mod artifacts;
mod coefficients;
mod diagnosis;
mod location;
mod over_limit;
pub(crate) mod results;
mod verdict;

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use longhaul_proto::{faults, ids::RunId};

use crate::{
    follow::LiveReader,
    os,
    spool::{Ending, Exit, OutcomeRecord, Plan, Spool},
    stata::{
        self,
        judge::{Judgement, LogEnd},
        view::View,
    },
};
use verdict::{Evidence, weigh};

/// Logs larger than this are not searched for the line of a failure or for the names of graphs, bytes.
const SEARCHED: u64 = 256 << 20;
/// Console bytes that are searched for the reason of a failed start.
const CONSOLE: u64 = 64 << 10;
/// Do-files that a log's end unwinds when the user's failed: that one, and the wrapper. After the wrapper's own line at
/// most the wrapper is left.
const USERS_AND_OURS: u32 = 2;
/// Most console characters in a message.
const CONSOLE_IN_MESSAGE: usize = 500;

/// What the spool shows of an end besides its exit record.
struct Found {
    plan: Option<Plan>,
    ending: Option<Ending>,
    judgement: Judgement,
    /// The user's part of the log.
    view: Option<View>,
    console: Vec<u8>,
    /// The wrapper's last line was reached: there is a sentinel, or the log has the line's echo.
    reached: bool,
    /// Records that could not be read.
    damaged: Vec<String>,
}

/// Judges the run in `spool`. `live` has read part of its log already; `others` ran in the same folder meanwhile.
///
/// # Errors
/// Any failure of the file system; nothing is written then, and the call may be repeated.
pub(crate) fn finish(
    spool: &Spool,
    exit: &Exit,
    live: Option<LiveReader>,
    others: &[RunId],
) -> io::Result<OutcomeRecord> {
    // One that a crash of the host tore is made again; nothing that was found is lost with it.
    if let Some(known) = spool.read_or_name::<OutcomeRecord>(&spool.outcome(), &mut vec![])? {
        return Ok(known);
    }
    let mut record = judged(spool, exit, read(spool, exit, live)?);
    record.shared_with = others.iter().map(RunId::to_string).collect();
    // Every process that wrote here is done or dead; a supervisor that was killed left its files.
    if let Err(error) = spool.clear() {
        tracing::warn!(run = %spool.run(), %error, "temporary files of the run stay");
    }
    faults::point("agent.before_outcome");
    // The end waits for no disk here: all that the verdict is made of is durable with the exit record.
    spool.write_unsynced_whole(&spool.outcome(), &record)?;
    faults::point("agent.after_outcome");
    Ok(record)
}

fn read(spool: &Spool, exit: &Exit, live: Option<LiveReader>) -> io::Result<Found> {
    let mut damaged = vec![];
    let plan = spool.read_or_name::<Plan>(&spool.plan(), &mut damaged)?;
    let ending = spool.read_or_name::<Ending>(&spool.ending(), &mut damaged)?.or_else(|| exit.ending.clone());
    let judgement = match File::open(spool.log()) {
        Ok(mut log) => stata::judge_file_in(&mut log, plan.as_ref().map(Plan::encoding).unwrap_or_default())?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => stata::judge::judge(b""),
        Err(error) => return Err(error),
    };
    let mut live = live.unwrap_or_else(|| LiveReader::new(spool));
    while live.advance()? {}
    let (view, reached_end) = live.finish();
    let console = tail(&spool.console(), CONSOLE)?;
    let reached = spool.sentinel().exists() || reached_end;
    Ok(Found { plan, ending, judgement, view, console, reached, damaged })
}

/// The record of the end: the supervisor's facts, and the verdict on what was found.
fn judged(spool: &Spool, exit: &Exit, found: Found) -> OutcomeRecord {
    let Found { plan, ending, judgement, view, console, reached, damaged } = found;
    let contradicted = reached && judgement.unwound >= USERS_AND_OURS && !faults::bug("sentinel_outweighs_the_log");
    let completed = reached && !contradicted;
    let verdict = weigh(&Evidence {
        exit,
        ending: ending.as_ref(),
        completed,
        contradicted,
        judgement: &judgement,
        licence: stata::licence::recognise(&console),
        console: last_words(&console),
    });
    let failing = judgement.state != LogEnd::Succeeded && !completed;
    let located = failing && exit.log.len > 0;
    let command = judgement.command.clone().filter(|_| failing);
    let part = view.map_or(0..0, |view| view.start..view.end.unwrap_or(u64::MAX));
    let of_failure = || location::of_failure(spool, plan.as_ref(), exit.log.len, &judgement, part);
    let (location, around) = if located { of_failure() } else { Default::default() };
    let diagnosis = diagnosis::of(&verdict, ending.as_ref(), command.as_deref().unwrap_or_default(), around);
    let since = artifacts::since_ms(spool, exit.started_at_ms);
    let (artifacts, more_artifacts) =
        plan.as_ref().map(|plan| artifacts::of_run(spool, plan, since, exit.log.len)).unwrap_or_default();
    OutcomeRecord {
        state: verdict.state,
        cause: verdict.cause,
        rc: verdict.rc,
        message: verdict.message,
        location,
        diagnosis,
        command: command.unwrap_or_default(),
        exit_code: exit.code,
        signal: exit.signal,
        log: exit.log.clone(),
        console: exit.console.clone(),
        leftovers: exit.leftovers.clone(),
        started_at_ms: exit.started_at_ms,
        running_at_ms: exit.running_at_ms,
        ended_at_ms: exit.ended_at_ms,
        duration_ms: exit.duration_ms,
        max_rss_bytes: exit.max_rss_bytes,
        cpu_ms: exit.cpu_ms,
        written_bytes: exit.written_bytes,
        cores: cores(plan.as_ref()),
        memory_bytes: os::memory_bytes().unwrap_or(0),
        limits: exit.limits,
        note: notes(exit, plan.as_ref(), verdict.note, &damaged),
        ended_by: ending.map(|e| e.by).unwrap_or_default(),
        artifacts,
        more_artifacts,
        shared_with: vec![],
        view: view.map(|v| (v.start, v.end)),
    }
}

fn notes(exit: &Exit, plan: Option<&Plan>, first: Option<String>, damaged: &[String]) -> String {
    let mut notes: Vec<String> = first.into_iter().collect();
    if let Some(plan) = plan.filter(|p| p.engine == "standin") {
        notes.push(format!("run by the {}", plan.engine_note));
    }
    if exit.status_lost && !exit.rebooted {
        notes.push("the run's supervisor ended before Stata did, so Stata's exit status is not known".to_owned());
    }
    if exit.rebooted {
        notes.push("the record was written by the agent after the host's restart".to_owned());
    }
    if !damaged.is_empty() {
        notes.push(format!("records in the run's spool could not be read: {}", damaged.join(", ")));
    }
    notes.extend(exit.unlocked.clone());
    if !exit.leftovers.is_empty() {
        notes.push(format!("processes left behind were ended: {}", exit.leftovers.join(", ")));
    }
    for (name, facts) in [("log", &exit.log), ("console output", &exit.console)] {
        if let Some(beyond) = facts.beyond {
            notes.push(format!(
                "the {name} reached the output limit: the first {} of {beyond} bytes are kept here, all of them on the \
                 host until the run is removed",
                facts.len
            ));
        }
        notes.extend(facts.note.clone());
    }
    notes.join("; ")
}

fn tail(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        file => file?,
    };
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(most)))?;
    let mut bytes = vec![];
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn last_words(console: &[u8]) -> String {
    let text = String::from_utf8_lossy(console);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let skip = words.chars().count().saturating_sub(CONSOLE_IN_MESSAGE);
    words.chars().skip(skip).collect()
}

/// Cores that the run could use: the host's, or fewer where Stata was told so; 0 = not known.
fn cores(plan: Option<&Plan>) -> u32 {
    let host = std::thread::available_parallelism().map_or(0, |n| u32::try_from(n.get()).unwrap_or(u32::MAX));
    plan.and_then(|plan| plan.cores).map_or(host, |most| most.min(host))
}
