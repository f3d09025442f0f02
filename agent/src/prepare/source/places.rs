//! Where code may be on this host. Nothing is revealed of what lies outside, not even whether it exists.

use std::{
    fs,
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use longhaul_proto::{MAX_CODE_API, faults, paths, sha256_hex, state::Cause, wire};

use super::{Code, Problem, check_bytes, unreadable};

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

    /// What to do with code that is missing here, or lies where it may not be.
    fn where_else(&self) -> String {
        let mut words = "code that is elsewhere can be sent as text, or with the files it needs as a bundle".to_owned();
        if faults::bug("folders_told") {
            words.push_str(&format!("; do-files are run from {:?}", self.roots));
        }
        words
    }

    /// Resolves a path, symbolic links followed, and checks that it lies under a root.
    fn resolve(&self, path: &str, what: &str) -> Result<PathBuf, Problem> {
        let mapped = self.map(path);
        if !mapped.is_absolute() && paths::is_windows(path) {
            return Err(unreadable(format!(
                "the {what} {path} is a path of a Windows machine, and {} maps no folder of it to one of its own: its \
                 owner can, in the agent's configuration: [path_map] and below it 'C:\\Users\\ana' = \"/home/ana\" \
                 (`longhaul doctor` there lists what is mapped). Or give the path as {} has it, or send the code as text",
                self.host, self.host
            )));
        }
        if !mapped.is_absolute() {
            return Err(unreadable(format!(
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
            return Err(Problem {
                cause: Cause::Forbidden,
                text: format!(
                    "the {what} {path} on {} lies outside the agent's folders; {}. Its owner can add one with --root",
                    self.host,
                    self.where_else()
                ),
            });
        };
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "does not exist".to_owned(),
            std::io::ErrorKind::PermissionDenied => "may not be read by the agent's user".to_owned(),
            _ => format!("cannot be reached ({error})"),
        };
        Err(unreadable(format!("the {what} {path} {why} on {}; {}", self.host, self.where_else())))
    }

    /// Whether a path, its symbolic links followed, lies under a root and in no hidden folder.
    fn is_inside(&self, real: &Path) -> bool {
        let below = |folder: &PathBuf| fs::canonicalize(folder).is_ok_and(|folder| real.starts_with(folder));
        let hidden = self.hidden.iter().any(below) && !faults::bug("data_folder_in_roots");
        self.roots.iter().any(below) && !hidden
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
        let real = match self.with_do(path) {
            Some(real) => real,
            None => self.resolve(path, "do-file")?,
        };
        let what = format!("{path} on {}", self.host);
        let cannot = |error: std::io::Error| {
            unreadable(match error.kind() {
                std::io::ErrorKind::PermissionDenied => format!("{what} may not be read by the agent's user"),
                _ => format!("{what} cannot be read ({error})"),
            })
        };
        // Without blocking: a FIFO of that name would wait for a writer for ever.
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(&real).map_err(cannot)?;
        let meta = file.metadata().map_err(cannot)?;
        if meta.is_dir() {
            return Err(unreadable(format!("{what} is a folder: name the do-file in it")));
        }
        if !meta.is_file() {
            return Err(unreadable(format!("{what} is not an ordinary file")));
        }
        let mut bytes = vec![];
        file.take(MAX_CODE_API as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
        check_bytes(&bytes, &what)?;
        Ok(Code { sha256: sha256_hex(&bytes), bytes, at: None, file: Some(real) })
    }

    /// The file that Stata would run for a name without an extension, unless a file has exactly that name.
    fn with_do(&self, path: &str) -> Option<PathBuf> {
        let named = paths::with_do(path).filter(|_| !self.map(path).is_file())?;
        self.resolve(&named, "do-file").ok().filter(|real| real.is_file())
    }

    /// A working directory of this host.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn directory(&self, path: &str) -> Result<PathBuf, Problem> {
        let real = self.resolve(path, "working directory")?;
        if real.is_dir() {
            Ok(real)
        } else {
            Err(unreadable(format!("the working directory {path} on {} is not a folder", self.host)))
        }
    }

    /// Examines a path here, without running anything.
    pub fn inspect(&self, request: &wire::InspectRequest) -> wire::InspectReply {
        let looked = self.read(&request.path).and_then(|code| {
            if request.working_dir.is_empty() { Ok(code) } else { self.directory(&request.working_dir).map(|_| code) }
        });
        match looked {
            Ok(code) => wire::InspectReply {
                found: true,
                bytes: code.bytes.len() as u64,
                sha256: code.sha256,
                resolved: code.file.map(|f| f.to_string_lossy().into_owned()).unwrap_or_default(),
                ..Default::default()
            },
            Err(problem) => wire::InspectReply {
                // Nothing is revealed of what lies outside.
                found: problem.cause != Cause::Forbidden && self.map(&request.path).exists(),
                // The mapped path is for operators, and the gateway shows it only to them.
                resolved: self.map(&request.path).to_string_lossy().into_owned(),
                problem: problem.text,
                cause: problem.cause.to_wire() as i32,
                ..Default::default()
            },
        }
    }
}

#[cfg(test)]
mod tests;
