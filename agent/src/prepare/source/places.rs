//! Where code may be on this host. Nothing is revealed of what lies outside, not even whether it exists.

use std::{
    fs,
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use longhaul_proto::{MAX_CODE_API, faults, paths, sha256_hex, state::Cause};

use super::{Code, Problem, check_bytes};

/// Where do-files may be, and how paths of clients become paths of this host.
#[derive(Clone, Debug)]
pub struct Places {
    /// This host's name, for messages.
    pub host: String,
    /// Folders under which do-files may be run and code may work.
    pub roots: Vec<PathBuf>,
    /// Folders that count as outside every root: the data folder, with its secrets and others' runs.
    pub hidden: Vec<PathBuf>,
    /// Prefixes of clients' paths and the paths here that replace them; the longest that fits counts.
    pub path_map: Vec<(String, PathBuf)>,
}

impl Places {
    /// A client's path as a path of this host.
    pub fn map(&self, path: &str) -> PathBuf {
        let fitting = self.path_map.iter().filter_map(|(from, to)| Some((from.len(), paths::below(path, from)?, to)));
        match fitting.max_by_key(|(len, ..)| *len) {
            Some((_, rest, to)) if rest.is_empty() => to.clone(),
            Some((_, rest, to)) => to.join(rest),
            None => PathBuf::from(path),
        }
    }

    /// Resolves a path, symbolic links followed, and checks that it lies under a root.
    pub(super) fn resolve(&self, path: &str, what: &str) -> Result<PathBuf, Refusal> {
        let mapped = self.map(path);
        if !mapped.is_absolute() && paths::is_windows(path) {
            return Err(Refusal::plain(format!(
                "the {what} {path} is a path of a Windows machine, and {} maps no folder of it to one of its own: its \
                 owner can, in the agent's configuration: [path_map] and below it 'C:\\Users\\ana' = \"/home/ana\" \
                 (`longhaul doctor` there lists what is mapped). Or give the path as {} has it, or send the code as text",
                self.host, self.host
            )));
        }
        if !mapped.is_absolute() {
            return Err(Refusal::plain(format!(
                "the {what} {path} is not an absolute path, and {} cannot know where it begins: give the whole path, \
                 or send the code as text",
                self.host
            )));
        }
        let error = match fs::canonicalize(&mapped) {
            Ok(real) if self.is_inside(&real) => return Ok(real),
            Ok(_) => None,
            Err(error) => self.would_be_inside(&mapped).then_some(error),
        };
        // Nothing is revealed of what lies outside, not even whether it exists.
        let Some(error) = error else {
            let text = format!("the {what} {path} on {} lies outside the agent's folders", self.host);
            return Err(Refusal { cause: Cause::Forbidden, owner: true, ..Refusal::elsewhere(text) });
        };
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "does not exist".to_owned(),
            std::io::ErrorKind::PermissionDenied => "may not be read by the agent's user".to_owned(),
            _ => format!("cannot be reached ({error})"),
        };
        Err(Refusal::elsewhere(format!("the {what} {path} {why} on {}", self.host)))
    }

    /// Whether a path, its symbolic links followed, lies under a root and in no hidden folder.
    pub(crate) fn is_inside(&self, real: &Path) -> bool {
        let below = |folder: &PathBuf| fs::canonicalize(folder).is_ok_and(|folder| real.starts_with(folder));
        let hidden = self.hidden.iter().any(below) && !faults::bug("data_folder_in_roots");
        self.roots.iter().any(below) && !hidden
    }

    /// The real path of a file that a run's code named: below a root, or in the run's `own` folder.
    ///
    /// # Errors
    /// Why it may not be read, in words.
    pub(crate) fn named_by_code(&self, path: &Path, own: &Path) -> Result<PathBuf, String> {
        let allowed =
            |real: &Path| real.starts_with(own) || self.is_inside(real) || faults::bug("data_outside_is_read");
        match fs::canonicalize(path) {
            Ok(real) if allowed(&real) => Ok(real),
            Err(error) if path.starts_with(own) || self.would_be_inside(path) => Err(match error.kind() {
                std::io::ErrorKind::NotFound => "it was not there after the run".to_owned(),
                _ => format!("it cannot be read: {error}"),
            }),
            _ => Err("it lies outside the agent's folders and was not read".to_owned()),
        }
    }

    /// The root, its symbolic links followed, below which such a path lies.
    pub(super) fn root_of(&self, real: &Path) -> Option<PathBuf> {
        let roots = self.roots.iter().filter_map(|root| fs::canonicalize(root).ok());
        roots.into_iter().find(|root| real.starts_with(root) && self.is_inside(real))
    }

    /// Whether a path that cannot be reached would lie inside: its nearest folder that can be reached does, and the
    /// next part is not a symbolic link to elsewhere.
    fn would_be_inside(&self, path: &Path) -> bool {
        if faults::bug("paths_told") {
            return true;
        }
        let mut next = path;
        for folder in path.ancestors().skip(1) {
            if let Ok(real) = fs::canonicalize(folder) {
                let link = fs::symlink_metadata(next).is_ok_and(|meta| meta.is_symlink());
                return !link && self.is_inside(&real);
            }
            next = folder;
        }
        false
    }

    /// Reads a do-file of this host.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(&self, path: &str) -> Result<Code, Problem> {
        self.look(path).map_err(|refusal| refusal.told(self))
    }

    /// As [`Self::read`], for an answer whose reader knows what else there is.
    pub(super) fn look(&self, path: &str) -> Result<Code, Refusal> {
        let real = match self.with_do(path) {
            Some(real) => real,
            None => self.resolve(path, "do-file")?,
        };
        let what = format!("{path} on {}", self.host);
        let cannot = |error: std::io::Error| {
            Refusal::plain(match error.kind() {
                std::io::ErrorKind::PermissionDenied => format!("{what} may not be read by the agent's user"),
                _ => format!("{what} cannot be read ({error})"),
            })
        };
        // Without blocking: a FIFO of that name would wait for a writer for ever.
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(&real).map_err(cannot)?;
        let meta = file.metadata().map_err(cannot)?;
        if meta.is_dir() {
            return Err(Refusal::plain(format!("{what} is a folder: name the do-file in it")));
        }
        if !meta.is_file() {
            return Err(Refusal::plain(format!("{what} is not an ordinary file")));
        }
        let mut bytes = vec![];
        file.take(MAX_CODE_API as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
        check_bytes(&bytes, &what).map_err(|problem| Refusal::plain(problem.text))?;
        Ok(Code { sha256: sha256_hex(&bytes), bytes, at: None, file: Some(real) })
    }

    /// The file that Stata would run for a name without an extension, unless a file has exactly that name.
    pub(super) fn with_do(&self, path: &str) -> Option<PathBuf> {
        let named = paths::with_do(path).filter(|_| !self.map(path).is_file())?;
        self.resolve(&named, "do-file").ok().filter(|real| real.is_file())
    }

    /// A working directory of this host.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn directory(&self, path: &str) -> Result<PathBuf, Problem> {
        self.look_at_folder(path).map_err(|refusal| refusal.told(self))
    }

    /// As [`Self::directory`], for an answer whose reader knows what else there is.
    pub(super) fn look_at_folder(&self, path: &str) -> Result<PathBuf, Refusal> {
        let real = self.resolve(path, "working directory")?;
        if real.is_dir() {
            Ok(real)
        } else {
            Err(Refusal::plain(format!("the working directory {path} on {} is not a folder", self.host)))
        }
    }
}

/// Why a path is not taken, and what else there is.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) cause: Cause,
    /// In words, without what else there is.
    pub(super) text: String,
    /// The code may come another way.
    pub(super) elsewhere: bool,
    /// The owner of the agent can mend it.
    owner: bool,
}

impl Refusal {
    pub(super) fn plain(text: String) -> Self {
        Self { cause: Cause::SourceUnreadable, text, elsewhere: false, owner: false }
    }

    pub(super) fn elsewhere(text: String) -> Self {
        Self { elsewhere: true, ..Self::plain(text) }
    }

    /// For a reader who knows what else there is.
    pub(super) fn short(&self) -> String {
        let owner = if self.owner { ", and its owner can add one with --root" } else { "" };
        format!("{}{owner}", self.text)
    }

    /// With what else there is.
    fn told(self, places: &Places) -> Problem {
        let mut text = self.short();
        if self.elsewhere {
            text.push_str("; code that is elsewhere can be sent as text, or with the files it needs as a bundle");
        }
        if faults::bug("folders_told") {
            text.push_str(&format!("; do-files are run from {:?}", places.roots));
        }
        Problem { cause: self.cause, text }
    }
}

#[cfg(test)]
mod tests;
