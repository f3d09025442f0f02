//! Which do-files a run entered, with their digests: a request for the same again can then be answered whether the
//! result is still that of these files.
//!
//! The log is read as it grows, and each do-file is read when the log shows that Stata entered it. The digests are kept
//! in the spool (`entered.json`), so that a later agent process does not mistake a file's bytes of that time for the
//! ones that ran. An old result must never pass for a new one, so every doubt counts as unsure: a file named by a macro
//! that cannot be followed, one that cannot be read, one that may have been changed between Stata's read and the
//! agent's, and more files than are kept.
//!
//! The bytes are kept too, for who asks later what exactly ran ([`super::do_files`]).

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use longhaul_proto::{MAX_CODE_API, faults, sha256_hex, wire};
use serde::{Deserialize, Serialize};

use super::do_files::{self, DoFiles};
use crate::{
    spool::{Plan, Spool, Started},
    stata::locate::{Locator, LogStart},
};

/// Bytes read in one go.
const STEP: usize = 256 * 1024;
/// Most do-files that are kept, and most bytes that they may have together: more than any project has, and a bound on
/// what a check may cost.
const MOST: (usize, u64) = (500, 64 << 20);
/// Most names in an answer.
const NAMED: usize = 5;

/// `entered.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Entered {
    /// Hex digests by path.
    files: BTreeMap<PathBuf, String>,
    /// Why these are not all, in words; empty = all.
    unsure: String,
    /// Bytes of the log that have been read for this.
    read: u64,
    /// The do-files with their bytes; `None` = an agent of an earlier version began this.
    do_files: Option<DoFiles>,
}

impl Entered {
    /// The do-files in the order in which they were entered.
    pub(super) fn do_files(&self) -> DoFiles {
        self.do_files.clone().unwrap_or_else(|| DoFiles::of_earlier(self.files.iter()))
    }

    /// Why the do-files are not all, in words; empty = they are.
    pub(super) fn unsure(&self) -> &str {
        &self.unsure
    }
}

/// Filled by the reader of sources.
struct Notes {
    entered: Entered,
    do_files: DoFiles,
    spool: Spool,
    /// Bytes of all sources read so far.
    bytes: u64,
    /// A file entered before this moment (Unix ms) and younger than that may have other bytes than were entered; 0 =
    /// the reader is in time.
    late_since_ms: i64,
    /// Reading log bytes that an earlier process has read: what is known stays.
    again: bool,
    changed: bool,
}

impl Notes {
    fn new(spool: &Spool, late_since_ms: i64) -> Self {
        let spool = spool.clone();
        let (entered, do_files) = (Entered::default(), DoFiles::default());
        Self { entered, do_files, spool, bytes: 0, late_since_ms, again: false, changed: false }
    }

    fn unsure(&mut self, why: &str) {
        if self.entered.unsure.is_empty() {
            why.clone_into(&mut self.entered.unsure);
            self.changed = true;
        }
    }

    fn take(&mut self, path: &Path, bytes: &[u8], modified_ms: i64) {
        if self.again || self.is_ours(path) {
            return;
        }
        let digest = sha256_hex(bytes);
        let late = self.late_since_ms > 0 && modified_ms >= self.late_since_ms;
        let read = if late { do_files::Read::PerhapsChanged } else { do_files::Read::InTime };
        self.changed |= self.do_files.take(&self.spool, path, bytes, &digest, read);
        // A file that the run itself made, or that came with it, is not a change from outside.
        if path.starts_with(self.spool.path()) {
            return;
        }
        if late {
            self.unsure(&format!("{} was changed while the run went on", path.display()));
        }
        self.bytes += bytes.len() as u64;
        if self.bytes > MOST.1 || (self.entered.files.len() >= MOST.0 && !self.entered.files.contains_key(path)) {
            return self.unsure("it ran more do-files than are kept track of");
        }
        if self.entered.files.get(path) != Some(&digest) {
            self.entered.files.insert(path.to_owned(), digest);
            self.changed = true;
        }
    }

    /// Whether a file is one that is written for the run: the do-file itself is named by where it came from.
    fn is_ours(&self, path: &Path) -> bool {
        [self.spool.code(), self.spool.wrapper(), self.spool.profile(), self.spool.gather()]
            .iter()
            .any(|ours| ours == path)
    }
}

type ReadFile = Box<dyn Fn(&Path) -> Option<Vec<u8>> + Send>;

/// When this process began to follow a run: a file that was entered before may have been changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// With its start.
    Start,
    /// Another process started it.
    Later,
}

/// Follows one run's log for the do-files that it enters.
pub(crate) struct Reader {
    spool: Spool,
    found: Arc<Mutex<Notes>>,
    locator: Locator<ReadFile>,
    file: Option<File>,
    offset: u64,
    /// Bytes that an earlier process had read, and those that were there when this reader started.
    known_to: u64,
    late_to: u64,
}

impl Reader {
    /// A reader for the run whose plan lies in the spool; `since` = when this process began to follow the run.
    ///
    /// # Errors
    /// When the record of an earlier process cannot be read.
    fn new(spool: &Spool, since: Since) -> io::Result<Self> {
        let kept = spool.read::<Entered>(&spool.entered())?;
        let late_to = if since == Since::Later { fs::metadata(spool.log()).map_or(0, |m| m.len()) } else { 0 };
        let started_ms = spool.read::<Started>(&spool.started())?.map_or(0, |s| s.at_ms);
        let mut found = Notes::new(spool, started_ms);
        let known_to = kept.as_ref().map_or(0, |kept| kept.read);
        match kept {
            Some(kept) => (found.do_files, found.entered) = (kept.do_files(), kept),
            None => {
                if let Some(plan) = spool.read::<Plan>(&spool.plan())? {
                    begin(&mut found, &plan);
                }
            }
        }
        let found = Arc::new(Mutex::new(found));
        let shared = Arc::clone(&found);
        let read_file: ReadFile = Box::new(move |path| {
            let (bytes, modified_ms) = read_source(path)?;
            shared.lock().unwrap_or_else(PoisonError::into_inner).take(path, &bytes, modified_ms);
            Some(bytes)
        });
        let locator = Locator::new(LogStart::in_directory(spool.run_folder()), read_file);
        Ok(Self { spool: spool.clone(), found, locator, file: None, offset: 0, known_to, late_to })
    }

    /// Whether the whole log was read.
    pub(crate) fn is_at_end(&self) -> bool {
        fs::metadata(self.spool.log()).map_or(0, |m| m.len()) <= self.offset
    }

    /// Reads the next bytes of the log; `false` when there were none.
    ///
    /// # Errors
    /// Any failure of the file system but a missing log.
    fn advance(&mut self) -> io::Result<bool> {
        if self.file.is_none() {
            self.file = match File::open(self.spool.log()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                file => Some(file?),
            };
        }
        let Some(file) = &self.file else { return Ok(false) };
        if file.metadata()?.len() <= self.offset {
            return Ok(false);
        }
        // Not beyond the offset up to which an earlier process has read: what comes after it is new.
        let most = if self.offset < self.known_to { self.known_to - self.offset } else { STEP as u64 };
        let mut buffer = vec![0; STEP.min(usize::try_from(most).unwrap_or(STEP))];
        let n = file.read_at(&mut buffer, self.offset)?;
        {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.again = self.offset < self.known_to;
            if self.offset >= self.late_to {
                found.late_since_ms = 0;
            }
        }
        let before = self.locator.unknown();
        self.locator.push(&buffer[..n]);
        self.offset += n as u64;
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if self.locator.unknown() > before && !found.again {
            found.unsure("it ran a do-file whose name or place cannot be told from its log");
        }
        drop(found);
        self.save()?;
        Ok(n > 0)
    }

    /// Writes what is new into the spool. What could not be written is written with the next call.
    fn save(&self) -> io::Result<()> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.changed {
            found.entered.read = self.offset;
            found.entered.do_files = Some(found.do_files.clone());
            self.spool.write(&self.spool.entered(), &found.entered)?;
            found.changed = false;
        }
        Ok(())
    }
}

/// Reads the log of the run in `spool` for do-files that were entered, at most `steps` steps of 256 KiB. `None` = nothing can be noted yet.
pub(crate) fn note(reader: Option<Reader>, spool: &Spool, since: Since, steps: u32) -> Option<Reader> {
    if steps < u32::MAX && faults::bug("do_files_read_at_the_end") {
        return None;
    }
    // Where there is a log, the plan was written before.
    if reader.is_none() && !spool.log().exists() {
        return None;
    }
    // Until it is noted, no record shows that they are still the same, and the answer says so.
    let warn = |error: io::Error| {
        tracing::warn!(run = %spool.run(), %error, "the do-files that the run entered could not be noted");
    };
    let mut reader = reader.map_or_else(|| Reader::new(spool, since), Ok).map_err(warn).ok()?;
    let noted = reader.save().and_then(|()| {
        for _ in 0..steps {
            if !reader.advance()? {
                break;
            }
        }
        Ok(())
    });
    noted.unwrap_or_else(warn);
    // Also when the disk is full: a reader that starts later could not tell what has been changed since.
    Some(reader)
}

/// What is known before the log is read: the do-file itself, as it was executed, and the project's profile.
fn begin(found: &mut Notes, plan: &Plan) {
    found.changed = true;
    // Stata runs it first.
    if let Some(profile) = &plan.profile {
        match read_source(profile) {
            Some((bytes, modified_ms)) => found.take(profile, &bytes, modified_ms),
            None => found.unsure("its profile.do cannot be read any more"),
        }
    }
    let name = if plan.source.is_empty() { Path::new("code.do") } else { Path::new(&plan.source) };
    let why = match fs::read(found.spool.code()) {
        Ok(code) if sha256_hex(&code) == plan.code_sha256 => {
            found.do_files.take(&found.spool, name, &code, &plan.code_sha256, do_files::Read::InTime);
            None
        }
        Ok(_) => Some("the run itself changed our copy of it".to_owned()),
        Err(error) => Some(format!("it cannot be read: {error}")),
    };
    if let Some(why) = why {
        found.do_files.without_bytes(name, &plan.code_sha256, &why);
    }
    if Path::new(&plan.source).is_absolute() {
        found.entered.files.insert(PathBuf::from(&plan.source), plan.code_sha256.clone());
    }
}

/// The bytes of a do-file, and when it was changed last, Unix milliseconds.
fn read_source(path: &Path) -> Option<(Vec<u8>, i64)> {
    let meta = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let mut bytes = vec![];
    File::open(path).ok()?.take(MAX_CODE_API as u64).read_to_end(&mut bytes).ok()?;
    Some((bytes, meta.mtime() * 1000 + meta.mtime_nsec() / 1_000_000))
}

/// Checks again the do-files that the run in this spool entered.
///
/// # Errors
/// When the record cannot be read.
pub(crate) fn check_again(spool: &Spool) -> io::Result<wire::ChangedReply> {
    let mut reply = wire::ChangedReply { known: true, ..Default::default() };
    let Some(entered) = spool.read::<Entered>(&spool.entered())? else {
        if !spool.log().exists() {
            // Nothing was executed.
            return Ok(reply);
        }
        reply.unsure = "its do-files were not noted when it ran".to_owned();
        return Ok(reply);
    };
    reply.unsure.clone_from(&entered.unsure);
    if faults::bug("changed_do_files_pass") {
        return Ok(reply);
    }
    for (path, digest) in &entered.files {
        let same = read_source(path).is_some_and(|(bytes, _)| sha256_hex(&bytes) == *digest);
        if !same && reply.changed.len() < NAMED {
            reply.changed.push(path.display().to_string());
        }
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Laid {
        folder: tempfile::TempDir,
        spool: Spool,
    }

    /// A spool whose log shows that `code.do` ran what `calls` says, from the folder beside it.
    fn place(calls: &str) -> Laid {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c21");
        let spool = Spool::at(&path).unwrap();
        for folder in spool.changing_folders() {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(folder.path().join("inner.do"), "display 1\n").unwrap();
        let code = format!("{calls}\n");
        fs::write(spool.code(), &code).unwrap();
        let (cwd, code_do) = (folder.path().display(), spool.code().display().to_string());
        let head = format!("\n. cd `\"{cwd}\"'\n{cwd}\n\n. do `\"{code_do}\"'\n\n. {calls}\n\n");
        let echoes = ["do ", "include "].iter().any(|verb| calls.starts_with(verb));
        let inner = if echoes { ". display 1\n1\n\n. \nend of do-file\n\n" } else { "" };
        fs::write(spool.log(), format!("{head}{inner}. \nend of do-file\n")).unwrap();
        Laid { folder, spool }
    }

    fn read(place: &Laid) -> wire::ChangedReply {
        assert!(note(None, &place.spool, Since::Later, u32::MAX).unwrap().is_at_end());
        // So that there is a record where no do-file was entered.
        if !place.spool.entered().exists() {
            place.spool.write(&place.spool.entered(), &Entered::default()).unwrap();
        }
        check_again(&place.spool).unwrap()
    }

    #[test]
    fn a_file_that_was_entered_is_looked_at_again() {
        for calls in ["do inner.do", "do \"inner\"", "quietly do inner.do", "run inner.do", "include inner.do"] {
            let place = place(calls);
            assert_eq!(read(&place), wire::ChangedReply { known: true, ..Default::default() }, "{calls}");
            let inner = place.folder.path().join("inner.do");
            fs::write(&inner, "display 2\n").unwrap();
            let changed = check_again(&place.spool).unwrap();
            assert_eq!(changed.changed, [inner.display().to_string()], "{calls}");
            fs::remove_file(&inner).unwrap();
            assert_eq!(check_again(&place.spool).unwrap().changed.len(), 1, "{calls}: gone is changed");
        }
    }

    #[test]
    fn what_cannot_be_told_is_unsure() {
        for calls in ["do `name'", "do gone.do", "quietly do $name"] {
            let reply = read(&place(calls));
            assert!(reply.unsure.contains("cannot be told"), "{calls}: {reply:?}");
        }
        // The control.
        assert_eq!(read(&place("display 1")).unsure, "");
    }

    #[test]
    fn another_process_does_not_take_a_later_file_for_the_one_that_ran() {
        let place = place("do inner.do");
        assert!(read(&place).changed.is_empty());
        let inner = place.folder.path().join("inner.do");
        fs::write(&inner, "display 2\n").unwrap();
        assert_eq!(read(&place).changed.len(), 1, "what was kept counts");
        // A file that was entered while no agent ran, and is younger than the run, may have any bytes.
        fs::remove_file(place.spool.entered()).unwrap();
        let started =
            Started { pid: 1, pgid: 1, boot_id: String::new(), start_ticks: 0, at_ms: 1, mono_ms: 0, oom_kills: None };
        place.spool.write(&place.spool.started(), &started).unwrap();
        assert!(read(&place).unsure.contains("was changed while the run went on"));
    }
}
