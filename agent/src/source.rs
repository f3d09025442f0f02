//! The code of a run: found on this host, or sent along. Every error names the host, the path as it was requested and
//! what to do; the executed bytes are read once, with their digest.
//!
//! A refusal names no folder that its caller did not name: the caller may not be allowed to know where things are here.
//! The gateway adds what an operator may know besides.

use std::{
    fs,
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::{Component, Path, PathBuf},
};

use longhaul_proto::{MAX_CODE_API, faults, paths, sha256_hex, state::Cause, wire};

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

/// Code that may be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Their hex digest.
    pub sha256: String,
    /// The do-file, with symbolic links resolved; `None` for text.
    pub file: Option<PathBuf>,
}

/// Why code cannot be run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The kind.
    pub cause: Cause,
    /// In words for the user.
    pub text: String,
}

fn unreadable(text: String) -> Problem {
    Problem { cause: Cause::SourceUnreadable, text }
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
        Ok(Code { sha256: sha256_hex(&bytes), bytes, file: Some(real) })
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

/// Checks code that came as bytes.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn text(bytes: &[u8]) -> Result<Code, Problem> {
    check_bytes(bytes, "the submitted code")?;
    Ok(Code { bytes: bytes.to_vec(), sha256: sha256_hex(bytes), file: None })
}

fn check_bytes(bytes: &[u8], what: &str) -> Result<(), Problem> {
    let wrong = if bytes.len() > MAX_CODE_API {
        format!("{what} is larger than {} MiB, which no do-file is: is it data?", MAX_CODE_API >> 20)
    } else if bytes.iter().all(u8::is_ascii_whitespace) {
        format!("{what} is empty: there is nothing to run. Was it saved?")
    } else if bytes.contains(&0) {
        format!("{what} is not text (it has bytes of value 0): a do-file is wanted, not data or a UTF-16 file")
    } else {
        return Ok(());
    };
    Err(unreadable(wrong))
}

/// Checks that the bytes are those the caller meant.
///
/// # Errors
/// When they are not, in words.
pub(crate) fn check_digest(code: &Code, expected: &str) -> Result<(), Problem> {
    if expected.is_empty() || expected.eq_ignore_ascii_case(&code.sha256) {
        return Ok(());
    }
    let name = if code.file.is_some() { "the do-file" } else { "the code" };
    Err(unreadable(format!(
        "{name} is not what was submitted: its SHA-256 is {} and not {expected}. It was changed meanwhile, or is \
         another file; submit it again",
        code.sha256
    )))
}

/// Unpacks a bundle into `work` and returns the code of its entry.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn unpack(bundle: &wire::Bundle, work: &Path) -> Result<Code, Problem> {
    let total: usize = bundle.files.iter().map(|f| f.content.len()).sum();
    if total > MAX_CODE_API {
        return Err(unreadable(format!("the bundle is larger than {} MiB", MAX_CODE_API >> 20)));
    }
    for file in &bundle.files {
        let path = work.join(safe(&file.path)?);
        let write = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&path, &file.content)
        };
        write().map_err(|e| unreadable(format!("{} of the bundle could not be written: {e}", file.path)))?;
    }
    let entry = safe(&bundle.entry)?;
    let Some(file) = bundle.files.iter().find(|f| safe(&f.path).is_ok_and(|p| p == entry)) else {
        return Err(unreadable(format!("the bundle has no file {}, which is to be run", bundle.entry)));
    };
    check_bytes(&file.content, &format!("{} of the bundle", bundle.entry))?;
    Ok(Code { bytes: file.content.clone(), sha256: sha256_hex(&file.content), file: Some(work.join(entry)) })
}

/// A path that stays below the folder it is joined to.
fn safe(path: &str) -> Result<PathBuf, Problem> {
    let plain: PathBuf = Path::new(path).components().filter(|c| *c != Component::CurDir).collect();
    let inside = plain.components().all(|c| matches!(c, Component::Normal(_)));
    if plain.as_os_str().is_empty() || !inside || path.contains('\0') || path.contains('\\') {
        return Err(Problem {
            cause: Cause::Malformed,
            text: format!(
                "the bundle's path {path:?} does not stay inside the bundle: use relative paths with / and without .."
            ),
        });
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(root: &Path) -> Places {
        Places { host: "stata1".into(), roots: vec![root.to_owned()], hidden: vec![], path_map: vec![] }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let places = places(&root);
        fs::write(root.join("ok.do"), "display 1\n").unwrap();
        fs::write(root.join("empty.do"), "\n").unwrap();
        fs::write(root.join("binary.do"), b"a\0b").unwrap();
        fs::create_dir(root.join("folder.do")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("link.do")).unwrap();
        let check = |path: &str, words: &[&str]| {
            let said = places.read(path).unwrap_err().text;
            assert!(words.iter().all(|w| said.contains(w)), "{said}");
        };
        let at = |name: &str| root.join(name).display().to_string();
        assert_eq!(places.read(&at("ok.do")).unwrap().bytes, b"display 1\n");
        check(&at("missing.do"), &["does not exist", "stata1", "text", "bundle"]);
        check(&at("empty.do"), &["empty"]);
        check(&at("binary.do"), &["not text"]);
        check(&at("folder.do"), &["folder"]);
        check("relative.do", &["absolute"]);
        check("C:\\Users\\ana\\x.do", &["Windows", "[path_map]", "stata1"]);
        check("/etc/passwd", &["outside", "--root"]);
        check(&at("link.do"), &["outside"]);
        check(&format!("{}/../../etc/passwd", root.display()), &["on stata1"]);
    }

    #[test]
    fn a_name_without_an_extension_is_that_of_a_do_file_as_in_stata() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let mut places = places(&root);
        places.path_map = vec![("C:\\ana".into(), root.clone())];
        fs::write(root.join("main.do"), "display 1\n").unwrap();
        fs::create_dir(root.join("main")).unwrap();
        let at = |name: &str| root.join(name).display().to_string();
        for path in [at("main"), at("main.do"), "C:\\ana\\main".to_owned()] {
            let code = places.read(&path).unwrap();
            assert_eq!(code.file, Some(root.join("main.do")), "{path}");
        }
        fs::write(root.join("plain"), "display 2\n").unwrap();
        fs::write(root.join("plain.do"), "display 3\n").unwrap();
        assert_eq!(places.read(&at("plain")).unwrap().bytes, b"display 2\n", "a file of that very name");
        assert!(places.read(&at("main.d")).unwrap_err().text.contains("does not exist"), "another extension");
        assert!(places.read(&at("missing")).unwrap_err().text.contains("missing does not exist"));
        std::os::unix::fs::symlink("/etc/passwd", root.join("link.do")).unwrap();
        assert!(
            places.read(&at("link")).unwrap_err().text.contains("does not exist"),
            "nothing is told of what is outside"
        );
    }

    /// The message about a path, without the path.
    fn said(places: &Places, path: &str) -> String {
        let looked = places.inspect(&wire::InspectRequest { path: path.to_owned(), ..Default::default() });
        format!("{} {} {}", looked.found, looked.cause, looked.problem.replace(path, "PATH"))
    }

    #[test]
    fn paths_outside_answer_alike() {
        let folder = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(folder.path()).unwrap();
        let at = |name: &str| base.join(name).display().to_string();
        for name in ["root", "outside/closed"] {
            fs::create_dir_all(base.join(name)).unwrap();
        }
        fs::write(base.join("outside/there.do"), "display 1\n").unwrap();
        std::os::unix::fs::symlink(base.join("outside/there.do"), base.join("root/to_there.do")).unwrap();
        std::os::unix::fs::symlink(base.join("outside/missing.do"), base.join("root/to_missing.do")).unwrap();
        std::os::unix::fs::symlink(base.join("outside"), base.join("root/out")).unwrap();
        let places = places(&base.join("root"));
        let outside = said(&places, &at("outside/there.do"));
        assert!(outside.contains("outside the agent's folders"), "{outside}");
        for path in [
            "outside/missing.do",
            "outside",
            "outside/closed",
            "missing/missing.do",
            "root/../outside/missing.do",
            "root/to_there.do",
            "root/to_missing.do",
            "root/out/there.do",
            "root/out/missing.do",
        ] {
            assert_eq!(said(&places, &at(path)), outside, "{path}");
        }
        // Inside, the message says what is wrong.
        for path in ["root/missing.do", "root/missing/missing.do"] {
            assert!(said(&places, &at(path)).contains("does not exist"), "{path}");
        }
        #[cfg(feature = "faults")]
        {
            let _scope = faults::enter("bug=paths_told");
            assert_ne!(said(&places, &at("outside/missing.do")), outside, "the control");
        }
    }

    #[test]
    fn a_refusal_names_no_folder_that_the_caller_did_not_name() {
        let folder = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir_all(base.join("root")).unwrap();
        fs::write(base.join("root/empty.do"), "\n").unwrap();
        std::os::unix::fs::symlink(base.join("root/empty.do"), base.join("root/link.do")).unwrap();
        let mut places = places(&base.join("root"));
        places.path_map = vec![("/Users/ana".into(), base.join("root")), ("/Users/out".into(), base.join("out"))];
        let named = |places: &Places| {
            ["ana/missing.do", "ana/empty.do", "ana/link.do", "out/x.do", "other/x.do"]
                .map(|path| format!("/Users/{path}"))
                .into_iter()
                .flat_map(|path| [places.read(&path).unwrap_err().text, places.directory(&path).unwrap_err().text])
                .any(|said| said.contains(&base.display().to_string()))
        };
        assert!(!named(&places));
        let told =
            |path: &str| places.inspect(&wire::InspectRequest { path: path.to_owned(), ..Default::default() }).resolved;
        assert_eq!(told("/Users/ana/missing.do"), base.join("root/missing.do").display().to_string());
        #[cfg(feature = "faults")]
        {
            let _scope = faults::enter("bug=folders_told");
            assert!(named(&places), "the control");
        }
    }

    #[test]
    fn the_data_folder_is_within_no_root() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir(root.join("data")).unwrap();
        fs::write(root.join("data/join-secret"), "display 1\n").unwrap();
        let places = Places { hidden: vec![root.join("data")], ..places(&root) };
        let at = |name: &str| root.join(name).display().to_string();
        for path in ["data/join-secret", "data/missing", "data", "data/../data/join-secret"] {
            let said = said(&places, &at(path));
            assert!(said.contains("outside the agent's folders"), "{path}: {said}");
            assert!(places.directory(&at(path)).is_err(), "{path}");
        }
        #[cfg(feature = "faults")]
        {
            let _scope = faults::enter("bug=data_folder_in_roots");
            assert!(places.read(&at("data/join-secret")).is_ok(), "the control");
        }
    }

    #[test]
    fn clients_paths_become_ours() {
        let places = Places {
            host: String::new(),
            roots: vec![],
            hidden: vec![],
            path_map: vec![
                ("/Users/ada".into(), "/home/ada".into()),
                ("/Users/ada/big/".into(), "/scratch".into()),
                ("C:\\proj".into(), "/srv/proj".into()),
            ],
        };
        let check = |from: &str, to: &str| assert_eq!(places.map(from), PathBuf::from(to));
        check("/Users/ada/x.do", "/home/ada/x.do");
        check("/Users/ada/big/x.do", "/scratch/x.do");
        check("/Users/adamant/x.do", "/Users/adamant/x.do");
        check("C:\\proj\\a\\x.do", "/srv/proj/a/x.do");
        check("c:/proj\\a/x.do", "/srv/proj/a/x.do");
        check("C:\\proj", "/srv/proj");
        check("D:\\proj\\x.do", "D:\\proj\\x.do");
    }

    #[test]
    fn a_bundle_stays_inside() {
        let folder = tempfile::tempdir().unwrap();
        let check = |path: &str, ok: bool| {
            let files = vec![wire::BundleFile { path: path.into(), content: b"display 1\n".to_vec() }];
            let bundle = wire::Bundle { files, entry: path.into() };
            assert_eq!(unpack(&bundle, &folder.path().join("work")).is_ok(), ok, "{path}");
        };
        check("a.do", true);
        check("./sub/a.do", true);
        check("../a.do", false);
        check("sub/../../a.do", false);
        check("/etc/a.do", false);
        check("", false);
        assert!(!folder.path().join("a.do").exists());
    }

    #[test]
    fn other_bytes_than_meant_are_refused() {
        let code = text(b"display 1\n").unwrap();
        assert!(check_digest(&code, "").is_ok());
        assert!(check_digest(&code, &code.sha256.to_uppercase()).is_ok());
        assert!(check_digest(&code, "00").is_err());
    }
}
