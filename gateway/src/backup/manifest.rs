//! What a backup says of itself: of what it is, and every file with its length and digest.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Component, Path},
};

use longhaul_proto::{digest::ContentDigest, ids::RunId, sha256_hex};
use serde::{Deserialize, Serialize};

use super::error::BackupError;

/// The form of backups that this program makes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;

/// Of what it is.
pub(super) const HEADER: &str = "backup.json";
/// Its files.
pub(super) const FILES: &str = "files.jsonl";
/// The digests of both, as `sha256sum` writes them.
pub(super) const SUMS: &str = "SHA256SUMS";

/// Of what a backup is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Form of the backup.
    pub format: u32,
    /// The version that made it.
    pub version: String,
    /// The gateway: the name of its ledger, to which its agents are bound.
    pub cluster_id: String,
    /// When its ledger was copied, RFC 3339.
    pub made_at: String,
    /// The number of the ledger's format.
    pub ledger_format: i64,
    /// The newest run in it.
    pub newest_run: Option<RunId>,
    /// Runs in it.
    pub runs: u64,
    /// Of these, runs that had not ended.
    pub unfinished: u64,
    /// Files in it.
    pub files: u64,
    /// Bytes of all files together.
    pub bytes: u64,
    /// Files that the ledger names and that the gateway itself did not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<String>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Its path below the data folder, with `/`.
    pub(super) path: String,
    /// Its length.
    pub(super) bytes: u64,
    /// Its digest.
    pub(super) sha256: String,
    /// When it was changed last, Unix nanoseconds: by it and the length the next backup knows that it is the same.
    pub(super) modified_ns: i64,
}

impl Entry {
    /// Whether its path stays below the folder that it is put in.
    fn stays_below(&self) -> bool {
        let path = Path::new(&self.path);
        path.components().all(|part| matches!(part, Component::Normal(_))) && path.components().next().is_some()
    }
}

/// The three files of a backup's own, by name and content.
pub(super) fn written(manifest: &Manifest, entries: &[&Entry]) -> io::Result<[(&'static str, Vec<u8>); 3]> {
    let mut header = serde_json::to_vec_pretty(manifest)?;
    header.push(b'\n');
    let mut files = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut files, entry)?;
        files.push(b'\n');
    }
    let sums = format!("{}  {HEADER}\n{}  {FILES}\n", sha256_hex(&header), sha256_hex(&files));
    Ok([(HEADER, header), (FILES, files), (SUMS, sums.into_bytes())])
}

/// Reads of what a backup is, without looking at the rest.
///
/// # Errors
/// It is none, or a newer program's.
pub(super) fn header(backup: &Path) -> Result<Manifest, BackupError> {
    let none = |why: String| BackupError::NoBackup { path: backup.to_owned(), why };
    let path = backup.join(HEADER);
    let bytes = std::fs::read(&path).map_err(|error| none(format!("{HEADER} cannot be read in it ({error})")))?;
    #[derive(Deserialize)]
    struct Form {
        format: u32,
        version: String,
    }
    let form: Form =
        serde_json::from_slice(&bytes).map_err(|error| none(format!("its {HEADER} is damaged ({error})")))?;
    if form.format > FORMAT {
        let (found, known) = (form.format.into(), FORMAT.into());
        return Err(BackupError::TooNew { version: form.version, what: "the form of backups", found, known });
    }
    serde_json::from_slice(&bytes).map_err(|error| none(format!("its {HEADER} is damaged ({error})")))
}

/// Reads its files; what is wrong with the lists themselves goes into `damages`.
///
/// # Errors
/// They cannot be read.
pub(super) fn entries(backup: &Path, damages: &mut Vec<String>) -> Result<Vec<Entry>, BackupError> {
    let sums_path = backup.join(SUMS);
    let sums = std::fs::read_to_string(&sums_path).unwrap_or_default();
    for name in [HEADER, FILES] {
        let path = backup.join(name);
        let digest = digest_of(&path).map_err(BackupError::read(&path))?;
        if !sums.lines().any(|line| line == format!("{digest}  {name}")) {
            damages.push(format!("{name}: not as {SUMS} has it"));
        }
    }
    let path = backup.join(FILES);
    let file = File::open(&path).map_err(BackupError::read(&path))?;
    let mut entries = Vec::new();
    for (at, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(BackupError::read(&path))?;
        match serde_json::from_str::<Entry>(&line).ok().filter(Entry::stays_below) {
            Some(entry) => entries.push(entry),
            None => damages.push(format!("{FILES}, line {}: it names no file of a data folder", at + 1)),
        }
    }
    Ok(entries)
}

fn digest_of(path: &Path) -> io::Result<ContentDigest> {
    std::fs::read(path).map(|bytes| ContentDigest::of(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_out_is_no_entry() {
        let stays =
            |path: &str| Entry { path: path.into(), bytes: 1, sha256: String::new(), modified_ns: 0 }.stays_below();
        for (path, want) in [
            ("gateway/ledger.sqlite", true),
            ("ca-key", true),
            ("../ca-key", false),
            ("gateway/../../x", false),
            ("/etc/passwd", false),
            ("", false),
        ] {
            assert_eq!(stays(path), want, "{path}");
        }
    }
}
