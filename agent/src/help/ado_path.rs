//! The folders in which Stata looks for help: those of its installation, and those of the user who runs it.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::standin;
use crate::prepare::{Engine, Preparer};

/// Parents of the program among which the folder with `ado` is looked for: a bundle of macOS is four deep.
const PARENTS: usize = 5;
/// Stata's own order.
const USUAL: &str = "BASE;SITE;PERSONAL;PLUS;OLDPLACE";

/// One folder of the ado-path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Folder {
    /// As people call it: `BASE`, `PLUS`, or its path.
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// All folders, in Stata's order; some may not be there yet.
#[derive(Debug)]
pub(super) struct AdoPath {
    folders: Vec<Folder>,
    /// The stand-in, and the folder into which it writes its help files when they are asked for first.
    standin: Option<(Engine, PathBuf, OnceLock<()>)>,
}

impl AdoPath {
    /// Of the engine that `preparer` starts, with its environment; `more` comes first.
    pub(super) fn of(preparer: &Preparer, more: &[PathBuf], own: PathBuf) -> Self {
        let engine = preparer.engine.as_ref().ok();
        let variable = |name: &str| {
            let found = preparer.environment.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_os_str()).filter(|value| !value.is_empty())
        };
        let mut folders: Vec<Folder> = more.iter().map(|path| named(path)).collect();
        let install = engine.filter(|engine| !engine.is_standin()).and_then(|engine| install(&engine.program));
        let home = variable("HOME").map(Path::new);
        let order = variable("S_ADO").and_then(OsStr::to_str).unwrap_or(USUAL);
        for word in order.split(';').map(|word| word.trim().trim_matches('"')) {
            for path in places(word, install.as_deref(), home) {
                let name = if path == Path::new(word) { path.display().to_string() } else { word.to_uppercase() };
                folders.push(Folder { name, path });
            }
        }
        let standin = engine.filter(|engine| engine.is_standin()).map(|engine| {
            folders.insert(more.len(), Folder { name: "STANDIN".to_owned(), path: own.clone() });
            (engine.clone(), own, OnceLock::new())
        });
        Self { folders, standin }
    }

    /// Those that are there, each once.
    pub(super) fn folders(&self) -> Vec<Folder> {
        if let Some((engine, folder, laid_out)) = &self.standin {
            laid_out.get_or_init(|| standin::lay_out(engine, folder));
        }
        let mut seen = HashSet::new();
        let real = |folder: &Folder| {
            let path = fs::canonicalize(&folder.path).ok().filter(|path| path.is_dir())?;
            seen.insert(path.clone()).then(|| Folder { name: folder.name.clone(), path })
        };
        self.folders.iter().filter_map(real).collect()
    }
}

/// The usual folders of packages that a user with this home installs.
pub(crate) fn plus_folders(home: &Path) -> Vec<PathBuf> {
    places("PLUS", None, Some(home))
}

fn named(path: &Path) -> Folder {
    Folder { name: path.display().to_string(), path: path.to_owned() }
}

/// The folder of the installation: the nearest above the program that has `ado/base`.
fn install(program: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(program).unwrap_or_else(|_| program.to_owned());
    real.ancestors().skip(1).take(PARENTS).find(|folder| folder.join("ado/base").is_dir()).map(Path::to_owned)
}

/// Where a word of the ado-path may be. `.` is the working directory of a run, which help has none of.
fn places(word: &str, install: Option<&Path>, home: Option<&Path>) -> Vec<PathBuf> {
    let installed = |parts: &[&str]| parts.iter().filter_map(|part| Some(install?.join(part))).collect::<Vec<_>>();
    let homes = |parts: &[&str]| parts.iter().filter_map(|part| Some(home?.join(part))).collect::<Vec<_>>();
    match word.to_uppercase().as_str() {
        "BASE" => installed(&["ado/updates", "ado/base"]),
        "SITE" => installed(&["ado/site"]).into_iter().chain([PathBuf::from("/usr/local/ado")]).collect(),
        "PERSONAL" => {
            let apple = ["Documents/Stata/ado/personal", "Library/Application Support/Stata/ado/personal"];
            homes(&[&["ado/personal"][..], &apple[..]].concat())
        }
        "PLUS" => homes(&["ado/plus", "Documents/Stata/ado/plus", "Library/Application Support/Stata/ado/plus"]),
        "OLDPLACE" => homes(&["ado"]),
        _ => match word.strip_prefix("~/") {
            Some(rest) => homes(&[rest]),
            None => Some(PathBuf::from(word)).filter(|path| path.is_absolute()).into_iter().collect(),
        },
    }
}
