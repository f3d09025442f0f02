//! The end of a run: reads what the supervisor and Stata left and writes the verdict, once.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use longhaul_proto::faults;

use crate::{
    live::LiveReader,
    spool::{Artifact, Ending, Exit, Location, OutcomeRecord, Plan, Spool},
    stata::{self, judge::State, locate},
    verdict::{Evidence, weigh},
};

/// Logs larger than this are not searched for the line of a failure, bytes.
const LOCATE_WITHIN: u64 = 256 << 20;
/// Most files that are named.
const ARTIFACTS: usize = 200;
/// Most directory entries examined for them: naming files must not delay a verdict.
const LOOKS: u32 = 10_000;
/// Console bytes that are searched for the reason of a failed start.
const CONSOLE: u64 = 64 << 10;
/// Do-files that a log's end unwinds when the user's failed: that one, and the wrapper. After the wrapper's own line at
/// most the wrapper is left.
const USERS_AND_OURS: u32 = 2;
/// Most console characters in a message.
const SAID: usize = 500;

/// Judges the run in `spool`. `live` has read part of its log already.
///
/// # Errors
/// Any failure of the file system; nothing is written then, and the call may be repeated.
pub(crate) fn finish(spool: &Spool, exit: &Exit, live: Option<LiveReader>) -> io::Result<OutcomeRecord> {
    let mut spoiled = vec![];
    if let Some(known) = spool.read_or_name::<OutcomeRecord>(&spool.outcome(), &mut spoiled)? {
        return Ok(known);
    }
    let plan = spool.read_or_name::<Plan>(&spool.plan(), &mut spoiled)?;
    let ending = spool.read_or_name::<Ending>(&spool.ending(), &mut spoiled)?.or_else(|| exit.ending.clone());
    let judgement = match File::open(spool.log()) {
        Ok(mut log) => stata::judge_file(&mut log)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => stata::judge::judge(b""),
        Err(error) => return Err(error),
    };
    let mut live = live.unwrap_or_else(|| LiveReader::new(spool));
    while live.advance()? {}
    let (view, reached_end) = live.finish();
    let console = tail(&spool.console(), CONSOLE)?;
    let reached = spool.sentinel().exists() || reached_end;
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
        note: notes(exit, plan.as_ref(), verdict.note, &spoiled),
        ended_by: ending.map(|e| e.by).unwrap_or_default(),
        artifacts: plan.as_ref().map(|p| artifacts(spool, p, exit.started_at_ms, exit.log.len)).unwrap_or_default(),
        view: view.map(|v| (v.start, v.end)),
    };
    // Every process that wrote here is done or dead; a supervisor that was killed left its files.
    if let Err(error) = spool.clear() {
        tracing::warn!(run = %spool.run(), %error, "temporary files of the run stay");
    }
    faults::point("agent.before_outcome");
    spool.write(&spool.outcome(), &record)?;
    faults::point("agent.after_outcome");
    Ok(record)
}

fn notes(exit: &Exit, plan: Option<&Plan>, first: Option<String>, spoiled: &[String]) -> String {
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
    if !spoiled.is_empty() {
        notes.push(format!("records in the run's spool could not be read: {}", spoiled.join(", ")));
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
    let own = |place: &locate::Place| place.path == spool.wrapper();
    let name = |place: &locate::Place| match plan {
        Some(plan) if place.path == spool.code() => {
            if plan.source.is_empty() {
                "the submitted code".to_owned()
            } else {
                plan.source.clone()
            }
        }
        _ => place.path.display().to_string(),
    };
    if own(&found.place) {
        return None;
    }
    Some(Location {
        file: name(&found.place),
        line: found.place.line,
        callers: found
            .callers
            .iter()
            .filter(|caller| !own(caller))
            .map(|caller| format!("{}:{}", name(caller), caller.line))
            .collect(),
    })
}

/// The files that are younger than the run's start, in its working directory and the folders below, and the graphs
/// that its log says were saved, wherever they are.
fn artifacts(spool: &Spool, plan: &Plan, since_ms: i64, log_len: u64) -> Vec<Artifact> {
    let mut search = Search { own: spool.path().to_owned(), since_ms, looks_left: LOOKS, seen: vec![], found: vec![] };
    if log_len <= LOCATE_WITHIN
        && let Ok(log) = File::open(spool.log())
    {
        // A log that cannot be read is reported elsewhere.
        let graphs = stata::saved::saved(io::BufReader::new(log.take(log_len))).unwrap_or_default();
        graphs.iter().for_each(|name| search.named(&plan.working_dir, name));
    }
    // A run's own folder is searched deeper than a project's, which may be large.
    search.folder(&plan.working_dir, if plan.working_dir.starts_with(spool.path()) { 4 } else { 2 });
    search.found.sort_by(|a, b| a.path.cmp(&b.path));
    search.found
}

struct Search {
    /// The run's spool: a folder around it is the agent's, not the user's.
    own: PathBuf,
    since_ms: i64,
    looks_left: u32,
    /// Device and inode of the files found: a file may have several names.
    seen: Vec<(u64, u64)>,
    found: Vec<Artifact>,
}

impl Search {
    fn take(&mut self, path: &Path, meta: &fs::Metadata) {
        let young = meta.is_file() && meta.mtime() * 1000 + meta.mtime_nsec() / 1_000_000 >= self.since_ms;
        let file = (meta.dev(), meta.ino());
        if young && self.found.len() < ARTIFACTS && !self.seen.contains(&file) {
            self.seen.push(file);
            self.found.push(Artifact { path: path.display().to_string(), bytes: meta.len() });
        }
    }

    /// A file by the name that the do-file gave it.
    fn named(&mut self, working_dir: &Path, name: &str) {
        let path = working_dir.join(name);
        // Without `..`, as people write paths; the file itself is not followed.
        let Some((folder, file)) = path.parent().zip(path.file_name()) else { return };
        let Ok(path) = folder.canonicalize().map(|folder| folder.join(file)) else { return };
        if let Ok(meta) = fs::symlink_metadata(&path) {
            self.take(&path, &meta);
        }
    }

    /// The files of a folder before its subfolders, so that a large subfolder does not hide them.
    fn folder(&mut self, folder: &Path, depth: u32) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        let mut below = vec![];
        for entry in entries.flatten() {
            if self.looks_left == 0 || self.found.len() >= ARTIFACTS {
                return;
            }
            self.looks_left -= 1;
            let Ok(meta) = fs::symlink_metadata(entry.path()) else { continue };
            if meta.is_dir() {
                let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
                if depth > 0 && !hidden && !self.own.starts_with(entry.path()) {
                    below.push(entry.path());
                }
            } else {
                self.take(&entry.path(), &meta);
            }
        }
        below.sort();
        for folder in below {
            self.folder(&folder, depth - 1);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_wrote_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, at_s: u64| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = File::create(path).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(at_s)).unwrap();
        };
        for name in
            ["b.png", "a.log", "figures/x.svg", "one/two/y.png", "one/two/three/z.png", ".git/w", "data/spool/v"]
        {
            write(name, 1_000);
        }
        write("before.dta", 999);
        let found = |depth: u32, looks_left: u32| {
            let own = dir.path().join("data/spool");
            let mut search = Search { own, since_ms: 1_000_000, looks_left, seen: vec![], found: vec![] };
            search.named(&dir.path().join("figures"), "../one/two/y.png");
            search.named(dir.path(), "no/such.png");
            search.folder(dir.path(), depth);
            let strip = |a: Artifact| a.path.strip_prefix(&format!("{}/", dir.path().display())).unwrap().to_owned();
            let mut names: Vec<String> = search.found.into_iter().map(strip).collect();
            names.sort();
            names
        };
        assert_eq!(found(2, 100), ["a.log", "b.png", "figures/x.svg", "one/two/y.png"]);
        assert_eq!(found(0, 100), ["a.log", "b.png", "one/two/y.png"]);
        assert_eq!(found(2, 0), ["one/two/y.png"]);
    }
}
