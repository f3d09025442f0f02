//! What a path is here, or may be meant to be, without running anything.
//!
//! Only what lies below the agent's folders is looked for. A search is bounded in what it reads, because a home folder may
//! hold millions of files, and a caller waits for the answer.

use std::{
    collections::{BTreeSet, VecDeque},
    fs,
    path::{Path, PathBuf},
};

use longhaul_proto::{faults, paths, risk, state::Cause, wire};

use super::{
    Code, Problem,
    places::{Places, Refusal},
};

/// Most entries of folders that one search reads.
const MOST_READ: usize = 10_000;
/// Most paths told of a missing file.
const MOST_NEAR: usize = 5;
/// Most paths told of the beginning of one.
const MOST_COMPLETIONS: usize = 100;
/// Most letters by which a name may differ from the one that was meant.
const MOST_WRONG: usize = 2;

/// What a path should name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    DoFile,
    Folder,
    Data,
}

impl Wanted {
    fn word(self) -> &'static str {
        match self {
            Self::DoFile => "do-file",
            Self::Folder => "folder",
            Self::Data => "data file",
        }
    }

    /// How the names of such files end.
    fn ending(self) -> &'static str {
        if self == Self::Data { "dta" } else { "do" }
    }
}

/// Why there is no such file, and what may be meant.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) problem: Problem,
    pub(crate) near: Vec<PathBuf>,
}

impl Missing {
    /// It is there and cannot be read.
    pub(crate) fn plain(text: String) -> Self {
        Self { problem: Problem { cause: Cause::SourceUnreadable, text }, near: Vec::new() }
    }
}

impl Places {
    /// Examines a path here.
    pub fn inspect(&self, request: &wire::InspectRequest) -> wire::InspectReply {
        if request.complete {
            return wire::InspectReply { near: self.complete(&request.path, &request.endings), ..Default::default() };
        }
        let mut reply = wire::InspectReply::default();
        if let Err((refusal, near)) = self.examine(request, &mut reply) {
            // Nothing is revealed of what lies outside.
            reply.found = refusal.cause != Cause::Forbidden && self.map(&request.path).exists();
            // The mapped path is for operators, and the gateway shows it only to them.
            reply.resolved = self.map(&request.path).to_string_lossy().into_owned();
            reply.cause = refusal.cause.to_wire() as i32;
            reply.near = near.iter().map(|path| path.to_string_lossy().into_owned()).collect();
            reply.problem = refusal.short();
        }
        reply
    }

    fn examine(
        &self,
        request: &wire::InspectRequest,
        reply: &mut wire::InspectReply,
    ) -> Result<(), (Refusal, Vec<PathBuf>)> {
        if !request.path.is_empty() {
            let path = self.whole(&request.path, Wanted::DoFile)?;
            let Code { bytes, sha256, file, .. } =
                self.look(&path).map_err(|refusal| self.with_near(refusal, &path, Wanted::DoFile))?;
            reply.risks = risk::to_wire(&risk::of_code(&bytes));
            (reply.found, reply.bytes, reply.sha256) = (true, bytes.len() as u64, sha256);
            reply.resolved = file.map(|f| f.to_string_lossy().into_owned()).unwrap_or_default();
        }
        if !request.working_dir.is_empty() {
            let path = self.whole(&request.working_dir, Wanted::Folder)?;
            self.look_at_folder(&path).map_err(|refusal| self.with_near(refusal, &path, Wanted::Folder))?;
            reply.working_dir = path;
        }
        Ok(())
    }

    /// The data file that a path names, with its symbolic links resolved, and the root below which it is.
    pub(crate) fn data_file(&self, path: &str) -> Result<(PathBuf, PathBuf), Missing> {
        let refused = |(refusal, near): (Refusal, Vec<PathBuf>)| {
            let problem = Problem { cause: refusal.cause, text: refusal.short() };
            Missing { problem, near }
        };
        let whole = self.whole(path, Wanted::Data).map_err(refused)?;
        let real = match self.with_dta(&whole) {
            Some(real) => Ok(real),
            None => self.resolve(&whole, "data file").map_err(|refusal| self.with_near(refusal, &whole, Wanted::Data)),
        };
        let real = real.map_err(refused)?;
        match self.root_of(&real) {
            Some(root) => Ok((root, real)),
            None => Err(Missing::plain(format!("the data file {path} on {} is not there any more", self.host))),
        }
    }

    /// The file that Stata would use for a name without an extension, unless a file has exactly that name.
    fn with_dta(&self, path: &str) -> Option<PathBuf> {
        let has_ending = Path::new(path).extension().is_some();
        let named = (!has_ending && !self.map(path).is_file()).then(|| format!("{path}.dta"))?;
        self.resolve(&named, "data file").ok().filter(|real| real.is_file())
    }

    /// The one absolute path that a path stands for.
    fn whole(&self, path: &str, wanted: Wanted) -> Result<String, (Refusal, Vec<PathBuf>)> {
        let Some(rest) = below_a_root(path).filter(|_| !self.map(path).is_absolute()) else {
            return Ok(path.to_owned());
        };
        // As it is typed on Windows.
        let rest = &if rest.contains('/') { rest.to_owned() } else { rest.replace('\\', "/") };
        let what = wanted.word();
        let fits: BTreeSet<PathBuf> = self.roots.iter().filter_map(|root| self.at(&root.join(rest), wanted)).collect();
        let mut fits: Vec<PathBuf> = fits.into_iter().collect();
        match fits.len() {
            0 => {
                let text = format!("no {what} {path} is in the folders of {}", self.host);
                Err((Refusal::elsewhere(text), self.near(Path::new(rest), wanted)))
            }
            1 => Ok(fits.remove(0).to_string_lossy().into_owned()),
            n => {
                let text = format!("{path} names {n} {what}s on {}: pass the whole path of one", self.host);
                fits.truncate(MOST_NEAR);
                Err((Refusal::plain(text), fits))
            }
        }
    }

    /// What is wanted at an absolute path of this host, with symbolic links resolved.
    fn at(&self, path: &Path, wanted: Wanted) -> Option<PathBuf> {
        let path = path.to_str()?;
        match wanted {
            Wanted::DoFile => {
                let real = self.with_do(path).or_else(|| self.resolve(path, "do-file").ok())?;
                real.is_file().then_some(real)
            }
            Wanted::Folder => self.resolve(path, "folder").ok().filter(|real| real.is_dir()),
            Wanted::Data => {
                let real = self.with_dta(path).or_else(|| self.resolve(path, "data file").ok())?;
                real.is_file().then_some(real)
            }
        }
    }

    fn with_near(&self, refusal: Refusal, path: &str, wanted: Wanted) -> (Refusal, Vec<PathBuf>) {
        let near = if refusal.elsewhere { self.near(&self.map(path), wanted) } else { Vec::new() };
        (refusal, near)
    }

    /// Files or folders whose names are like that of a missing one, best first: with fewer wrong letters, in the same
    /// folder, below folders of the same names.
    fn near(&self, missing: &Path, wanted: Wanted) -> Vec<PathBuf> {
        let ending = format!(".{}", wanted.ending());
        let stem = |path: &Path| stem(path, &ending);
        let Some(name) = stem(missing).filter(|_| !faults::bug("no_near_paths")) else { return Vec::new() };
        let mut found: Vec<(usize, bool, usize, PathBuf)> = Vec::new();
        self.each_below(missing.parent(), |path, is_dir| {
            let is_wanted = match wanted {
                Wanted::Folder => is_dir,
                _ => !is_dir && path.extension().is_some_and(|e| e.eq_ignore_ascii_case(wanted.ending())),
            };
            let Some(its) = stem(path).filter(|_| is_wanted) else { return };
            let wrong = strsim::osa_distance(&name, &its);
            // A short name is like many others.
            if wrong <= MOST_WRONG.min(name.chars().count() / 3) {
                let elsewhere = path.parent() != missing.parent();
                found.push((wrong, elsewhere, usize::MAX - alike(path, missing), path.to_owned()));
            }
        });
        found.sort();
        found.dedup_by(|a, b| a.3 == b.3);
        found.into_iter().map(|(.., path)| path).take(MOST_NEAR).collect()
    }

    /// Calls `each` for what lies in `first`, if it is a folder of ours, and then for all below the roots, the upper folders
    /// first. Hidden folders and what symbolic links lead to are left out.
    fn each_below(&self, first: Option<&Path>, mut each: impl FnMut(&Path, bool)) {
        let first = first.and_then(|folder| fs::canonicalize(folder).ok());
        let roots = self.roots.iter().filter_map(|root| fs::canonicalize(root).ok());
        let mut left: VecDeque<PathBuf> = first.into_iter().chain(roots).collect();
        let (mut read, mut seen) = (0, BTreeSet::new());
        while let Some(folder) = left.pop_front() {
            if !self.is_inside(&folder) || !seen.insert(folder.clone()) {
                continue;
            }
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                read += 1;
                if read > MOST_READ {
                    return;
                }
                let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
                let path = entry.path();
                if !is_dir || !entry.file_name().to_string_lossy().starts_with('.') {
                    each(&path, is_dir);
                    left.extend(is_dir.then_some(path));
                }
            }
        }
    }

    /// How the beginning of a path may go on, in the form in which it was typed.
    fn complete(&self, prefix: &str, endings: &[String]) -> Vec<String> {
        let (folder, name) =
            prefix.rsplit_once('/').map_or(("", prefix), |(_, name)| (&prefix[..prefix.len() - name.len()], name));
        let relative = below_a_root(folder).filter(|_| !paths::is_absolute(prefix));
        let folders: Vec<PathBuf> = match relative {
            Some(rest) => self.roots.iter().map(|root| root.join(rest)).collect(),
            None => vec![self.map(folder)],
        };
        let mut found: BTreeSet<String> = BTreeSet::new();
        for folder_here in folders.iter().filter_map(|f| fs::canonicalize(f).ok()).filter(|f| self.is_inside(f)) {
            for entry in fs::read_dir(folder_here).into_iter().flatten().flatten().take(MOST_READ) {
                let its = entry.file_name().to_string_lossy().into_owned();
                let is_dir = entry.path().is_dir();
                let listed = is_dir || endings.iter().any(|ending| its.to_lowercase().ends_with(ending));
                if its.starts_with(name) && listed && (!its.starts_with('.') || name.starts_with('.')) {
                    found.insert(format!("{folder}{its}{}", if is_dir { "/" } else { "" }));
                }
            }
        }
        // The roots themselves, while what is typed has not passed them.
        let roots = self.roots.iter().map(|root| format!("{}/", root.to_string_lossy().trim_end_matches('/')));
        found.extend(roots.filter(|root| root.starts_with(prefix) && root != prefix));
        found.into_iter().take(MOST_COMPLETIONS).collect()
    }
}

/// A path that is to be looked for below the roots, as it is there; `None` = it is absolute.
fn below_a_root(path: &str) -> Option<&str> {
    (!paths::is_absolute(path))
        .then(|| path.strip_prefix("~/").unwrap_or(path))
        .map(|rest| rest.trim_start_matches("./"))
}

/// A file's name without such an ending, in lower case.
fn stem(path: &Path, ending: &str) -> Option<String> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    Some(name.strip_suffix(ending).unwrap_or(&name).to_owned())
}

/// How many folders above both have the same names, counted from the files up, also where one lacks some in between.
fn alike(a: &Path, b: &Path) -> usize {
    let above = |path: &Path| -> Vec<std::ffi::OsString> {
        path.ancestors().skip(1).filter_map(|f| Some(f.file_name()?.to_owned())).collect()
    };
    let (a, b) = (above(a), above(b));
    b.iter().filter(|name| a.contains(name)).count()
}

#[cfg(test)]
mod tests;
