//! The bytes of the do-files that a run entered, as they were then: kept in the run's spool by their digests, until the
//! gateway has them.
//!
//! They are in hand when the digest is taken, so keeping them costs one write, and each content is kept once. The list
//! (in `entered.json`) is written after the files that it names. It is no promise: what a crash of the host tore, a full
//! disk refused or the bounds left out is named with the reason, and the run goes on unharmed. The gateway compares each
//! digest before it promises anything.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use longhaul_proto::{
    MAX_CODE_API, MAX_DO_FILE, MAX_DO_FILES, MAX_DO_FILES_BYTES, MAX_DO_FILES_NAMED, digest::ContentDigest, durable,
    faults, sha256_hex, wire, words,
};
use serde::{Deserialize, Serialize};

use super::entered::Entered;
use crate::spool::{Plan, Spool};

/// Most bytes of the paths that are named: a bound on the list that travels.
const MAX_PATHS: usize = 512 * 1024;

/// Why a file that an agent of an earlier version saw has no bytes.
const EARLIER: &str = "it was entered while the agent was of an earlier version, which kept no bytes";

/// How sure it is that the bytes read are those that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// They were read in time.
    InTime,
    /// They were read late, and the file had been changed since the run started.
    PerhapsChanged,
}

/// One content of a do-file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct DoFile {
    path: PathBuf,
    bytes: u64,
    /// Hex.
    sha256: String,
    /// Why its bytes are not kept, in words; empty = they are.
    missing: String,
    perhaps_changed: bool,
}

/// What a run entered, in the order in which it first did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct DoFiles {
    files: Vec<DoFile>,
    /// More were entered than are named.
    more: bool,
}

impl DoFiles {
    /// What an agent of an earlier version noted: digests alone.
    pub(super) fn of_earlier<'a>(digests: impl Iterator<Item = (&'a PathBuf, &'a String)>) -> Self {
        let file = |(path, sha256): (&PathBuf, &String)| DoFile {
            path: path.clone(),
            sha256: sha256.clone(),
            missing: EARLIER.to_owned(),
            ..DoFile::default()
        };
        Self { files: digests.map(file).collect(), more: false }
    }

    /// Notes a content that was entered, and keeps its bytes if it may; `false` = it was known.
    pub(super) fn take(&mut self, spool: &Spool, path: &Path, content: &[u8], sha256: &str, read: Read) -> bool {
        if self.files.iter().any(|file| file.path == path && (file.sha256 == sha256 || file.sha256.is_empty())) {
            return false;
        }
        let bytes = content.len() as u64;
        let missing = self.keep(spool, content, sha256).err().unwrap_or_default();
        // Of a longer file only the beginning was read.
        let sha256 = if content.len() < MAX_CODE_API { sha256 } else { "" };
        let perhaps_changed = read == Read::PerhapsChanged && !faults::bug("late_do_files_pass");
        self.name(DoFile { path: path.to_owned(), bytes, sha256: sha256.to_owned(), missing, perhaps_changed })
    }

    /// Notes a do-file whose bytes cannot be had.
    pub(super) fn without_bytes(&mut self, path: &Path, sha256: &str, why: &str) {
        let (path, sha256, missing) = (path.to_owned(), sha256.to_owned(), why.to_owned());
        self.name(DoFile { path, sha256, missing, ..DoFile::default() });
    }

    fn name(&mut self, file: DoFile) -> bool {
        let paths: usize = self.files.iter().map(|file| file.path.as_os_str().len()).sum();
        if self.files.len() >= MAX_DO_FILES_NAMED || paths + file.path.as_os_str().len() > MAX_PATHS {
            return !std::mem::replace(&mut self.more, true);
        }
        self.files.push(file);
        true
    }

    /// Writes a content into the spool, once.
    ///
    /// # Errors
    /// Why it is not kept, in words.
    fn keep(&self, spool: &Spool, content: &[u8], sha256: &str) -> Result<(), String> {
        let mut kept: Vec<(&str, u64)> =
            self.files.iter().filter(|f| f.missing.is_empty()).map(|f| (&*f.sha256, f.bytes)).collect();
        if kept.iter().any(|(known, _)| *known == sha256) {
            return Ok(());
        }
        kept.sort_unstable();
        kept.dedup();
        let bytes = content.len() as u64;
        let all: u64 = kept.iter().map(|(_, bytes)| bytes).sum();
        let bounded = !faults::bug("do_files_without_bounds");
        if bytes > MAX_DO_FILE && bounded {
            return Err(format!("it has {}, and of one do-file {} are kept", size(bytes), size(MAX_DO_FILE)));
        }
        if all + bytes > MAX_DO_FILES_BYTES && bounded {
            return Err(format!("the run entered more do-files than the {} that are kept", size(MAX_DO_FILES_BYTES)));
        }
        if kept.len() >= MAX_DO_FILES && bounded {
            return Err(format!("the run entered more do-files than the {MAX_DO_FILES} that are kept"));
        }
        write(spool, content, sha256).map_err(|error| format!("it could not be kept on its host: {error}"))
    }

    /// As it goes over the wire.
    fn to_wire(&self, spool: &Spool) -> Vec<wire::EnteredFile> {
        let entered = |file: &DoFile| {
            let mut missing = file.missing.clone();
            if missing.is_empty() && !spool.do_files().join(&file.sha256).is_file() {
                "its bytes were lost on its host".clone_into(&mut missing);
            }
            wire::EnteredFile {
                path: file.path.display().to_string(),
                bytes: file.bytes,
                sha256: file.sha256.clone(),
                missing,
                perhaps_changed: file.perhaps_changed,
            }
        };
        self.files.iter().map(entered).collect()
    }
}

fn size(bytes: u64) -> String {
    words::bytes(bytes)
}

/// Keeps a content beside the do-files, by its digest.
///
/// # Errors
/// Any failure of the file system.
pub(crate) fn write(spool: &Spool, content: &[u8], sha256: &str) -> io::Result<()> {
    let path = spool.do_files().join(sha256);
    // A process that was killed may have written it before it could be named.
    if path.is_file() {
        return Ok(());
    }
    faults::check("do_files.write")?;
    durable::make_folder(&spool.do_files())?;
    durable::replace_unsynced(&path, content)?;
    faults::point("do_files.kept");
    Ok(())
}

/// The do-files that an attempt entered, for the gateway.
///
/// # Errors
/// When a record cannot be read.
pub(crate) fn list(spool: &Spool, attempt: u32) -> io::Result<wire::DoFilesReply> {
    if !is_of(spool, attempt)? {
        return Ok(wire::DoFilesReply::default());
    }
    let mut reply = wire::DoFilesReply { known: true, ..wire::DoFilesReply::default() };
    let Some(entered) = spool.read::<Entered>(&spool.entered())? else {
        if spool.log().exists() {
            "its do-files were not noted when it ran".clone_into(&mut reply.unsure);
        }
        return Ok(reply);
    };
    let files = entered.do_files();
    reply.unsure = match (entered.unsure(), files.more) {
        ("", true) => "it entered more do-files than are named".to_owned(),
        (unsure, _) => unsure.to_owned(),
    };
    reply.files = files.to_wire(spool);
    Ok(reply)
}

/// The bytes of one of them; `None` = they are not here, or not what they were.
///
/// # Errors
/// When a record cannot be read.
pub(crate) fn content(spool: &Spool, attempt: u32, sha256: &str) -> io::Result<Option<Vec<u8>>> {
    // The name of a file, and never a path.
    if sha256.parse::<ContentDigest>().is_err() || !is_of(spool, attempt)? {
        return Ok(None);
    }
    match fs::read(spool.do_files().join(sha256)) {
        Ok(content) => Ok(Some(content).filter(|content| sha256_hex(content) == sha256)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the files in the spool are those of this attempt.
pub(crate) fn is_of(spool: &Spool, attempt: u32) -> io::Result<bool> {
    Ok(spool.read::<Plan>(&spool.plan())?.is_some_and(|plan| plan.attempt == attempt))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool() -> (tempfile::TempDir, Spool) {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::at(&folder.path().join("019a8e4c-7d3b-7cc2-8a54-0d2f7f3a9c21")).unwrap();
        fs::create_dir_all(spool.control_folder()).unwrap();
        (folder, spool)
    }

    fn take(files: &mut DoFiles, spool: &Spool, path: &str, content: &[u8]) -> String {
        assert!(files.take(spool, Path::new(path), content, &sha256_hex(content), Read::InTime), "{path}");
        files.files.last().unwrap().missing.clone()
    }

    #[test]
    fn a_content_is_kept_once_and_two_contents_of_a_file_are_two() {
        let (_folder, spool) = spool();
        let mut files = DoFiles::default();
        for (path, content) in [("/a.do", "one"), ("/b.do", "one"), ("/a.do", "two")] {
            assert_eq!(take(&mut files, &spool, path, content.as_bytes()), "");
        }
        assert!(!files.take(&spool, Path::new("/a.do"), b"one", &sha256_hex(b"one"), Read::InTime), "it is known");
        assert_eq!(fs::read_dir(spool.do_files()).unwrap().count(), 2);
        assert_eq!(fs::read(spool.do_files().join(sha256_hex(b"two"))).unwrap(), b"two");
        assert_eq!(files.to_wire(&spool).iter().map(|f| &*f.path).collect::<Vec<_>>(), ["/a.do", "/b.do", "/a.do"]);
    }

    #[test]
    fn what_is_beyond_the_bounds_is_named() {
        let (_folder, spool) = spool();
        let mut files = DoFiles::default();
        let missing = take(&mut files, &spool, "/large.do", &vec![b' '; (1 << 20) + 1]);
        assert!(missing.contains("1.0 MiB") && missing.contains("of one do-file"), "{missing}");
        for n in 0..16_u8 {
            assert_eq!(take(&mut files, &spool, &format!("/{n}.do"), &vec![n; 1 << 20]), "");
        }
        assert!(take(&mut files, &spool, "/more.do", b"more").contains("16.0 MiB"));
        assert_eq!(take(&mut files, &spool, "/same.do", &vec![3; 1 << 20]), "", "it is kept already");
        assert!(files.files.iter().all(|file| file.sha256.len() == 64));
        let mut files = DoFiles::default();
        for n in 0..1000 {
            let missing = take(&mut files, &spool, &format!("/{n}.do"), format!("{n}").as_bytes());
            assert_eq!(missing.is_empty(), n < 500, "{n}: {missing}");
        }
        assert!(files.take(&spool, Path::new("/one-more.do"), b"x", &sha256_hex(b"x"), Read::InTime) && files.more);
        assert_eq!(files.files.len(), 1000);
    }

    #[test]
    fn bytes_that_a_crash_tore_are_not_shown() {
        let (_folder, spool) = spool();
        let sha256 = sha256_hex(b"whole");
        let plan = r#"{"format":2,"attempt":1,"program":"/p","arg0":null,"argv":[],"env":{},"engine":"standin",
            "engine_note":"","working_dir":"/w","source":"","code_sha256":"","profile":null,
            "timing":{"timeout":null,"start":1,"after_break":1,"after_terminate":1},"output_limit":1}"#;
        fs::write(spool.plan(), plan).unwrap();
        write(&spool, b"whole", &sha256).unwrap();
        assert_eq!(content(&spool, 1, &sha256).unwrap().as_deref(), Some(&b"whole"[..]));
        assert_eq!(content(&spool, 2, &sha256).unwrap(), None, "of another attempt");
        assert_eq!(content(&spool, 1, "../plan.json").unwrap(), None);
        fs::write(spool.do_files().join(&sha256), "who").unwrap();
        assert_eq!(content(&spool, 1, &sha256).unwrap(), None);
    }
}
