//! Where Stata is on this host, and why other places were not used.
//!
//! Searched in this order: the configured path, the environment names that other tools use, the names on PATH, the
//! usual places of the operating system ([`places`]). Of what was found, and not named, the newest release is the best, then
//! the edition: MP, SE, plain, BE. Every place tried is returned with its reason, since "not found" without a list of places
//! helps no reader. Environment, root and system are passed in, so nothing here depends on the process.

pub mod places;

use std::cmp::Reverse;
use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use places::System;

use super::banner::Edition;

/// Where to look.
#[derive(Debug, Clone, Default)]
pub struct SearchPlaces {
    /// The configured path: an executable or an install folder. If set, no other place is searched.
    pub explicit: Option<PathBuf>,
    /// Values of [`VARIABLES`] that are set.
    pub variables: Vec<(String, PathBuf)>,
    /// The folders of PATH.
    pub path: Vec<PathBuf>,
    /// The user's home.
    pub home: Option<PathBuf>,
    /// Root of the file system, `/` outside of tests.
    pub root: PathBuf,
    /// Whose usual places are searched.
    pub system: System,
}

/// Environment names in use among other tools, in the order in which they are read.
pub const VARIABLES: [&str; 4] = ["STATA_BINARY", "STATA_PATH", "STATA_CLI", "STATA_BIN"];

/// Why the configured path was tried; the setting is not always made by that flag.
pub const EXPLICIT: &str = "--stata";

/// Names of console executables, the best first.
const NAMES: [&str; 5] = ["stata-mp", "stata-se", "stata-be", "stata-ic", "stata"];
/// Programs in a bundle of macOS that have windows and take the flags of the console ones; used where those are missing.
const IN_BUNDLE: [&str; 4] = ["StataMP", "StataSE", "StataBE", "StataIC"];
/// The graphical ones of Linux, which need a display.
const GRAPHICAL: [&str; 4] = ["xstata-mp", "xstata-se", "xstata-be", "xstata"];

impl SearchPlaces {
    /// The places that an environment gives.
    pub fn from_env(explicit: Option<PathBuf>, get: impl Fn(&str) -> Option<std::ffi::OsString>) -> Self {
        let variables =
            VARIABLES.iter().filter_map(|n| Some(((*n).to_owned(), get(n).filter(|v| !v.is_empty())?.into())));
        Self {
            explicit,
            variables: variables.collect(),
            path: get("PATH").map(|p| std::env::split_paths(&p).collect()).unwrap_or_default(),
            home: get("HOME").map(PathBuf::from),
            root: PathBuf::from("/"),
            system: System::OWN,
        }
    }
}

impl SearchPlaces {
    /// Where [`find`] looks, in words, in its order.
    pub fn in_words(&self) -> Vec<String> {
        if let Some(path) = &self.explicit {
            return vec![format!("--stata {}", path.display())];
        }
        let variable = |name: &&str| match self.variables.iter().find(|(set, _)| set == name) {
            Some((_, path)) => format!("{name}={}", path.display()),
            None => format!("{name} (not set)"),
        };
        let folders: Vec<String> = self.path.iter().map(|folder| folder.display().to_string()).collect();
        let home = self.home.as_deref().map(|home| home.display().to_string());
        let usual = places::table(self.system).iter().filter_map(|row| match (row.pattern.strip_prefix('~'), &home) {
            (None, _) => Some(row.pattern.to_owned()),
            (Some(rest), home) => home.as_ref().map(|home| format!("{home}{rest}")),
        });
        // `#` is ours alone.
        let usual: Vec<String> = usual.map(|pattern| pattern.replace('#', "NUMBER")).collect();
        vec![
            VARIABLES.iter().map(variable).collect::<Vec<_>>().join(", "),
            format!("PATH: {}", folders.join(", ")),
            usual.join(", "),
            format!("by the names {}", NAMES.join(", ")),
        ]
    }
}

/// One executable that was found, or one place that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// The executable, or the place.
    pub path: PathBuf,
    /// By its name; none for plain `stata`, which may be any.
    pub edition: Option<Edition>,
    /// Release by the install folder: 190 for 19, 185 for 18.5.
    pub version: Option<u32>,
    /// Why it was tried: `--stata`, `STATA_PATH`, `PATH`, `usual place`.
    pub why: String,
    /// What is wrong with it; none if it can be started.
    pub problem: Option<String>,
}

impl Candidate {
    /// Whether it can be started.
    pub fn usable(&self) -> bool {
        self.problem.is_none()
    }
}

/// Everything tried: usable ones first; named paths before found ones, then the newest release, then MP, SE, BE.
pub fn find(places: &SearchPlaces) -> Vec<Candidate> {
    let mut all = vec![];
    if let Some(path) = &places.explicit {
        named(path, EXPLICIT, &mut all);
        return all;
    }
    for (name, path) in &places.variables {
        named(path, name, &mut all);
    }
    let chosen = all.len();
    for folder in places.path.iter().filter(|p| p.is_absolute()) {
        in_folder(folder, "PATH", &mut all);
    }
    for row in places::table(places.system) {
        for folder in row.folders(&places.root, places.home.as_deref()) {
            let before = all.len();
            in_folder(&folder, "usual place", &mut all);
            if all.len() == before {
                all.extend(installed_without(&folder));
            }
        }
    }
    let mut seen = HashSet::new();
    let mut ranked: Vec<(bool, Candidate)> = all.into_iter().enumerate().map(|(i, c)| (i >= chosen, c)).collect();
    ranked.retain(|(_, c)| seen.insert(fs::canonicalize(&c.path).unwrap_or_else(|_| c.path.clone())));
    ranked.sort_by_key(|(found, c)| {
        (!c.usable(), *found, if *found { Reverse(rank(c)) } else { Reverse((0, 0, false)) })
    });
    ranked.into_iter().map(|(_, c)| c).collect()
}

fn rank(c: &Candidate) -> (u32, u8, bool) {
    let edition = match c.edition {
        Some(Edition::Mp) => 3,
        Some(Edition::Se) => 2,
        None => 1,
        Some(Edition::Be) => 0,
    };
    let console = c.path.file_name().and_then(|name| name.to_str()).is_some_and(|name| NAMES.contains(&name));
    (c.version.unwrap_or(0), edition, console)
}

/// A path that was named: an executable, or a folder or bundle that holds one.
fn named(path: &Path, why: &str, all: &mut Vec<Candidate>) {
    if path.is_dir() {
        let before = all.len();
        in_folder(path, why, all);
        let bundles = places::Row { pattern: "/Stata*.app", source: "" };
        bundles.folders(path, None).iter().for_each(|bundle| in_folder(bundle, why, all));
        if all.len() == before {
            let problem = format!("is a folder without an executable named {}", NAMES.join(", "));
            all.push(candidate(path, why, Some(problem)));
        }
    } else {
        all.push(candidate(path, why, problem(path)));
    }
}

fn in_folder(folder: &Path, why: &str, all: &mut Vec<Candidate>) {
    let inside = folder.join("Contents/MacOS");
    let (folder, more): (&Path, &[&str]) = if inside.is_dir() { (&inside, &IN_BUNDLE) } else { (folder, &[]) };
    for name in NAMES.iter().chain(more) {
        let path = folder.join(name);
        // A link that leads nowhere was meant to be one.
        if fs::symlink_metadata(&path).is_ok_and(|meta| !meta.is_dir()) {
            all.push(candidate(&path, why, problem(&path)));
        }
    }
}

/// A folder into which Stata was installed, and which has no console executable.
fn installed_without(folder: &Path) -> Option<Candidate> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let is_mark = |name: &str| name.starts_with("isstata.") || name == "stata.lic" || GRAPHICAL.contains(&name);
    let marked = entries.map(|entry| entry.file_name()).any(|name| name.to_str().is_some_and(is_mark));
    let problem = format!("looks like a folder of Stata, without an executable named {}", NAMES.join(", "));
    marked.then(|| candidate(folder, "usual place", Some(problem)))
}

fn candidate(path: &Path, why: &str, problem: Option<String>) -> Candidate {
    let name = path.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let edition = [("mp", Edition::Mp), ("se", Edition::Se), ("be", Edition::Be), ("ic", Edition::Be)];
    let edition = edition.into_iter().find(|(end, _)| name.starts_with("stata") && name.ends_with(end)).map(|(_, e)| e);
    Candidate { path: path.to_owned(), edition, version: version(path), why: why.to_owned(), problem }
}

/// The release of an install: `isstata.180` beside the executable, else digits in the folder's name (`stata18`).
fn version(path: &Path) -> Option<u32> {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = if real.is_dir() { real.as_path() } else { real.parent()? };
    // `Stata/StataMP.app/Contents/MacOS/stata-mp`: the mark lies beside the bundle.
    let beside = folder.ends_with("Contents/MacOS").then(|| folder.ancestors().nth(3)).flatten();
    let mark = |folder: &Path| {
        let entries = fs::read_dir(folder).ok()?.flatten();
        entries.filter_map(|e| e.file_name().to_str()?.strip_prefix("isstata.")?.parse::<u32>().ok()).max()
    };
    mark(folder).or_else(|| beside.and_then(mark)).or_else(|| {
        folder.components().rev().find_map(|part| {
            let name = part.as_os_str().to_str()?.to_ascii_lowercase();
            let digits = name.strip_prefix("statanow").or_else(|| name.strip_prefix("stata")).unwrap_or(&name);
            let digits: String = digits.trim_start().chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u32>().ok().filter(|v| (8..100).contains(v)).map(|v| v * 10)
        })
    })
}

/// Why the program at a path cannot be started, in words that say what to do.
fn problem(path: &Path) -> Option<String> {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some("does not exist".to_owned()),
        Err(error) => return Some(format!("cannot be looked at: {error}")),
    };
    if !meta.is_file() {
        return Some("is not a file".to_owned());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if meta.permissions().mode() & 0o111 == 0 {
            return Some("is not executable; chmod +x would make it so".to_owned());
        }
    }
    let name = path.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    if name.starts_with("xstata") {
        return Some("is the graphical Stata; use the console executable beside it (without the x)".to_owned());
    }
    not_a_program(path)
}

/// First bytes of what a system can start: ELF, the forms of Mach-O (also for several processors), a script.
const PROGRAMS: [&[u8]; 8] = [
    b"\x7fELF",
    b"\xfe\xed\xfa\xce",
    b"\xfe\xed\xfa\xcf",
    b"\xce\xfa\xed\xfe",
    b"\xcf\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
    b"\xca\xfe\xba\xbf",
    b"#!",
];

/// Why a file cannot be a Stata, whatever it is called. One that may be executed and not read is left to be tried.
fn not_a_program(path: &Path) -> Option<String> {
    let mut head = Vec::new();
    let mut file = fs::File::open(path).ok()?;
    Read::by_ref(&mut file).take(4).read_to_end(&mut head).ok()?;
    if PROGRAMS.iter().any(|magic| head.starts_with(magic)) {
        return None;
    }
    Some(match head.is_empty() {
        true => "is empty, so it is not a Stata".to_owned(),
        false => "is neither a program nor a script, so it is not a Stata".to_owned(),
    })
}

#[cfg(test)]
mod tests;
