//! The end of a run: reads what the supervisor and Stata left and writes the verdict, once.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::Path,
};

use longhaul_proto::faults;

use crate::{
    live::LiveReader,
    spool::{Artifact, Ending, Exit, Location, OutcomeRecord, Plan, Spool},
    stata::{self, judge::State, locate},
    verdict::{Evidence, weigh},
};

/// Logs larger than this are not searched for the place of a failure, bytes.
const LOCATE_WITHIN: u64 = 256 << 20;
/// Files that are named at most.
const ARTIFACTS: usize = 200;
/// Console bytes that are looked at for words about a start that failed.
const CONSOLE: u64 = 64 << 10;
/// Console characters in a message.
const SAID: usize = 500;

/// Judges the run in `spool`. `live` has read part of its log already.
///
/// # Errors
/// Any failure of the file system; nothing is written then, and it may be tried again.
pub(crate) fn finish(spool: &Spool, exit: &Exit, live: Option<LiveReader>) -> io::Result<OutcomeRecord> {
    if let Some(known) = spool.read::<OutcomeRecord>(&spool.outcome())? {
        return Ok(known);
    }
    let plan = spool.read::<Plan>(&spool.plan())?;
    let ending = spool.read::<Ending>(&spool.ending())?.or_else(|| exit.ending.clone());
    let judgement = match File::open(spool.log()) {
        Ok(mut log) => stata::judge_file(&mut log)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => stata::judge::judge(b""),
        Err(error) => return Err(error),
    };
    let mut live = live.unwrap_or_else(|| LiveReader::new(spool));
    while live.advance()? {}
    let (view, reached_end) = live.finish();
    let console = tail(&spool.console(), CONSOLE)?;
    let completed = spool.sentinel().exists() || reached_end;
    let verdict = weigh(&Evidence {
        exit,
        ending: ending.as_ref(),
        completed,
        judgement: &judgement,
        licence: stata::licence::recognise(&console),
        console: last_words(&console),
    });
    let failing = judgement.state != State::Succeeded && !completed;
    let location = if failing && exit.log.len > 0 { locate_failure(spool, plan.as_ref(), exit.log.len) } else { None };
    let record = OutcomeRecord {
        state: verdict.state,
        cause: verdict.cause,
        rc: verdict.rc,
        message: verdict.message,
        command: if failing { judgement.command.unwrap_or_default() } else { String::new() },
        location,
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
        note: notes(exit, plan.as_ref(), verdict.note),
        ended_by: ending.map(|e| e.by).unwrap_or_default(),
        artifacts: plan.as_ref().map(|p| artifacts(spool, p, exit.started_at_ms)).unwrap_or_default(),
        view: view.map(|v| (v.start, v.end)),
    };
    // Whoever wrote here is done or dead; a supervisor that was killed left its things.
    if let Err(error) = spool.clear() {
        tracing::warn!(run = %spool.run(), %error, "temporary files of the run stay");
    }
    faults::point("agent.before_outcome");
    spool.write(&spool.outcome(), &record)?;
    faults::point("agent.after_outcome");
    Ok(record)
}

fn notes(exit: &Exit, plan: Option<&Plan>, first: Option<String>) -> String {
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

fn locate_failure(spool: &Spool, plan: Option<&Plan>, len: u64) -> Option<Location> {
    if len > LOCATE_WITHIN {
        return None;
    }
    let read = |path: &Path| {
        let file = File::open(path).ok()?;
        let mut bytes = vec![];
        file.take(longhaul_proto::MAX_CODE_API as u64).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    };
    let mut locator = locate::Locator::new(locate::Start::in_directory(spool.path()), read);
    let mut log = File::open(spool.log()).ok()?.take(len);
    let mut buffer = vec![0_u8; 256 * 1024];
    loop {
        match log.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(n) => locator.push(&buffer[..n]),
        }
    }
    let found = locator.finish()?;
    let own = |place: &locate::Place| place.path.as_deref() == Some(&spool.wrapper());
    let name = |place: &locate::Place| match (&place.path, plan) {
        (Some(path), Some(plan)) if *path == spool.code() => {
            if plan.source.is_empty() {
                "the submitted code".to_owned()
            } else {
                plan.source.clone()
            }
        }
        (Some(path), _) => path.display().to_string(),
        (None, _) => place.file.clone(),
    };
    if own(&found.place) {
        return None;
    }
    Some(Location {
        file: name(&found.place),
        line: found.place.line.unwrap_or(0),
        callers: found
            .callers
            .iter()
            .filter(|caller| !own(caller))
            .map(|caller| match caller.line {
                Some(line) => format!("{}:{line}", name(caller)),
                None => name(caller),
            })
            .collect(),
    })
}

/// The files that are younger than the run's start: in its working directory, or anywhere below a folder of its own.
fn artifacts(spool: &Spool, plan: &Plan, since_ms: i64) -> Vec<Artifact> {
    let mut found = vec![];
    let depth = if plan.working_dir.starts_with(spool.path()) { 4 } else { 0 };
    collect(&plan.working_dir, since_ms, depth, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(folder: &Path, since_ms: i64, depth: u32, found: &mut Vec<Artifact>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    // A folder with more files than this is not read to its end: naming files must not hold up a verdict.
    for entry in entries.flatten().take(10_000) {
        if found.len() >= ARTIFACTS {
            return;
        }
        let Ok(meta) = fs::symlink_metadata(entry.path()) else { continue };
        if meta.is_dir() && depth > 0 {
            collect(&entry.path(), since_ms, depth - 1, found);
        } else if meta.is_file() && meta.mtime() * 1000 + meta.mtime_nsec() / 1_000_000 >= since_ms {
            found.push(Artifact { path: entry.path().display().to_string(), bytes: meta.len() });
        }
    }
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
    let skip = words.chars().count().saturating_sub(SAID);
    words.chars().skip(skip).collect()
}
