//! Where Stata is on this host, and why other places were not used.
//!
//! Searched in this order: the configured path, the environment names that other tools use, the names on PATH, the
//! usual places. Every place tried is returned with its reason, since "not found" without a list of places helps no
//! reader. Environment and root are passed in, so nothing here depends on the process.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

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
}

/// Environment names in use among other tools, in the order in which they are read.
pub const VARIABLES: [&str; 4] = ["STATA_BINARY", "STATA_PATH", "STATA_CLI", "STATA_BIN"];

/// Why the configured path was tried; the setting is not always made by that flag.
pub const EXPLICIT: &str = "--stata";

/// Names of console executables, the best first.
const NAMES: [&str; 6] = ["stata-mp", "stata-se", "stata-be", "stata-ic", "stata", "StataMP"];

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
        let home = self.home.as_deref().map(Path::display);
        let home = home.map(|home| format!(", {home}/stata*, {home}/Applications/Stata*")).unwrap_or_default();
        vec![
            VARIABLES.iter().map(variable).collect::<Vec<_>>().join(", "),
            format!("PATH: {}", folders.join(", ")),
            format!("/usr/local/stata*, /usr/local/stata/*, /opt/stata*, /opt/stata/*, /Applications/Stata*{home}"),
            format!("by the names {}", NAMES[..5].join(", ")),
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
    for folder in usual(places) {
        in_folder(&folder, "usual place", &mut all);
    }
    let mut seen = HashSet::new();
    let mut ranked: Vec<(bool, Candidate)> = all.into_iter().enumerate().map(|(i, c)| (i >= chosen, c)).collect();
    ranked.retain(|(_, c)| seen.insert(fs::canonicalize(&c.path).unwrap_or_else(|_| c.path.clone())));
    ranked.sort_by_key(|(found, c)| (!c.usable(), *found, if *found { Reverse(rank(c)) } else { Reverse((0, 0)) }));
    ranked.into_iter().map(|(_, c)| c).collect()
}

fn rank(c: &Candidate) -> (u32, u8) {
    let edition = match c.edition {
        Some(Edition::Mp) => 3,
        Some(Edition::Se) => 2,
        None => 1,
        Some(Edition::Be) => 0,
    };
    (c.version.unwrap_or(0), edition)
}

/// A path that was named: an executable, or a folder that holds one.
fn named(path: &Path, why: &str, all: &mut Vec<Candidate>) {
    if path.is_dir() {
        let before = all.len();
        in_folder(path, why, all);
        if all.len() == before {
            let names = NAMES[..5].join(", ");
            all.push(candidate(path, why, Some(format!("is a folder without an executable named {names}"))));
        }
    } else {
        all.push(candidate(path, why, problem(path)));
    }
}

fn in_folder(folder: &Path, why: &str, all: &mut Vec<Candidate>) {
    for name in NAMES {
        let path = folder.join(name);
        if path.is_file() {
            all.push(candidate(&path, why, problem(&path)));
        }
    }
    let bundle = folder.join("Contents/MacOS");
    if bundle.is_dir() {
        in_folder(&bundle, why, all);
    }
}

/// `/usr/local/stata*`, `/opt/stata*`, `~/stata*` and the bundles in `/Applications`, sorted by name.
fn usual(places: &SearchPlaces) -> Vec<PathBuf> {
    let mut out = vec![];
    let home = places.home.as_deref();
    let mut parents: Vec<PathBuf> =
        ["usr/local", "opt", "usr/local/stata", "Applications"].map(|p| places.root.join(p)).into();
    parents.extend(home.map(Path::to_owned));
    parents.extend(home.map(|h| h.join("Applications")));
    for parent in parents {
        let children = matching(&parent);
        for child in &children {
            // `/Applications/StataNow/StataMP.app`, `/opt/stata/18`.
            out.extend(matching(child));
            out.extend(numbered(child));
        }
        out.extend(children);
    }
    out
}

fn folders(parent: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return vec![] };
    let named = entries.flatten().filter(|e| e.file_name().to_str().is_some_and(&wanted));
    let mut found: Vec<PathBuf> = named.map(|e| e.path()).filter(|p| p.is_dir()).collect();
    found.sort();
    found
}

fn matching(parent: &Path) -> Vec<PathBuf> {
    folders(parent, |name| name.to_ascii_lowercase().starts_with("stata"))
}

fn numbered(parent: &Path) -> Vec<PathBuf> {
    folders(parent, |name| name.starts_with(|c: char| c.is_ascii_digit()))
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
    let folder = real.parent()?;
    let mark = fs::read_dir(folder)
        .ok()?
        .flatten()
        .find_map(|e| e.file_name().to_str()?.strip_prefix("isstata.")?.parse::<u32>().ok());
    mark.or_else(|| {
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
    name.starts_with("xstata")
        .then(|| "is the graphical Stata; use the console executable beside it (without the x)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(root: &Path, path: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn found(root: &Path, places: &SearchPlaces) -> Vec<String> {
        let show = |c: &Candidate| {
            let path = c.path.strip_prefix(root).unwrap_or(&c.path).display().to_string();
            format!("{path} {} {}", c.why, c.problem.as_deref().unwrap_or("ok"))
        };
        find(places).iter().map(show).collect()
    }

    #[test]
    fn places_are_tried_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        install(root, "usr/local/stata18/stata-mp", 0o755);
        install(root, "usr/local/stata18/stata-se", 0o755);
        install(root, "usr/local/statanow19/stata", 0o755);
        install(root, "opt/stata/17/stata-mp", 0o644);
        install(root, "bin/stata-se", 0o755);
        install(root, "home/stata/stata-be", 0o755);
        install(root, "home/stata/isstata.195", 0o644);
        install(root, "mine/xstata-mp", 0o755);
        let places = SearchPlaces {
            path: vec![root.join("bin"), PathBuf::from("relative")],
            home: Some(root.join("home")),
            root: root.to_owned(),
            variables: vec![
                ("STATA_PATH".to_owned(), root.join("mine/xstata-mp")),
                ("STATA_BIN".to_owned(), root.join("none")),
            ],
            ..SearchPlaces::default()
        };
        assert_eq!(
            found(root, &places),
            [
                "home/stata/stata-be usual place ok",
                "usr/local/statanow19/stata usual place ok",
                "usr/local/stata18/stata-mp usual place ok",
                "usr/local/stata18/stata-se usual place ok",
                "bin/stata-se PATH ok",
                "mine/xstata-mp STATA_PATH is the graphical Stata; use the console executable beside it (without the x)",
                "none STATA_BIN does not exist",
                "opt/stata/17/stata-mp usual place is not executable; chmod +x would make it so",
            ]
        );
        let variables = vec![("STATA_PATH".to_owned(), root.join("bin"))];
        assert_eq!(found(root, &SearchPlaces { variables, ..places.clone() })[0], "bin/stata-se STATA_PATH ok");
        for (explicit, expected) in [
            (
                "usr/local/stata18",
                vec!["usr/local/stata18/stata-mp --stata ok", "usr/local/stata18/stata-se --stata ok"],
            ),
            ("usr/local/stata18/stata-se", vec!["usr/local/stata18/stata-se --stata ok"]),
            (
                "usr",
                vec![
                    "usr --stata is a folder without an executable named stata-mp, stata-se, stata-be, stata-ic, stata",
                ],
            ),
            ("no", vec!["no --stata does not exist"]),
        ] {
            assert_eq!(found(root, &SearchPlaces { explicit: Some(root.join(explicit)), ..places.clone() }), expected);
        }
    }

    #[test]
    fn editions_and_versions_are_read_off_names() {
        let dir = tempfile::tempdir().unwrap();
        install(dir.path(), "Applications/StataNow/StataMP.app/Contents/MacOS/stata-mp", 0o755);
        install(dir.path(), "usr/local/stata16/stata-ic", 0o755);
        let all = find(&SearchPlaces { root: dir.path().to_owned(), ..SearchPlaces::default() });
        let seen: Vec<_> = all.iter().map(|c| (c.edition, c.version)).collect();
        assert_eq!(seen, [(Some(Edition::Be), Some(160)), (Some(Edition::Mp), None)]);
    }
}
