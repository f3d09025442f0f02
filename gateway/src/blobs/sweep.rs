//! Deleting what nobody may name any more, and what a crash left.

use std::{collections::HashSet, ffi::OsString, fs, io};

use longhaul_proto::tasks::blocking;

use super::{BlobError, Blobs};

/// Rows of each kind that one transaction examines.
const BATCH: u32 = 200;

impl Blobs {
    /// Lets go uploads from before `before_ms` that no run took, and deletes the blobs that nobody may name. Returns how
    /// many files it deleted.
    ///
    /// # Errors
    /// The ledger fails.
    pub async fn sweep(&self, before_ms: i64) -> Result<usize, BlobError> {
        let mut deleted = 0;
        loop {
            let swept = self.ledger.blob_sweep(before_ms, BATCH).await?;
            for file in &swept.files {
                self.remove(file).await;
            }
            deleted += swept.files.len();
            if !swept.more {
                return Ok(deleted);
            }
        }
    }

    /// Deletes files that the ledger does not know: what a gateway left that died before it told the ledger of them, or
    /// before it deleted them. May run at any time, since the ledger knows each file before it is made. Returns how many
    /// there were.
    ///
    /// # Errors
    /// The ledger or the disk fails.
    pub async fn sweep_leftovers(&self) -> Result<usize, BlobError> {
        let mut deleted = 0;
        for prefix in 0..=u8::MAX {
            deleted += self.sweep_leftovers_below(&format!("{prefix:02x}")).await?;
        }
        Ok(deleted)
    }

    async fn sweep_leftovers_below(&self, prefix: &str) -> Result<usize, BlobError> {
        let folder = self.folder.below(prefix);
        // First the files, and then the rows: a file that is there now has its row already.
        let listed = {
            let folder = folder.clone();
            blocking(move || names(fs::read_dir(folder))).await??
        };
        if listed.is_empty() {
            return Ok(0);
        }
        let known = self.ledger.blob_files(prefix).await?;
        let known: HashSet<OsString> = known
            .iter()
            .map(|file| format!("{}.{}", file.digest, file.name))
            .flat_map(|name| [OsString::from(format!("{name}.part")), OsString::from(name)])
            .collect();
        let leftovers: Vec<_> = listed.into_iter().filter(|name| !known.contains(name)).collect();
        let deleted = leftovers.len();
        blocking(move || {
            for name in leftovers {
                match fs::remove_file(folder.join(name)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            Ok(())
        })
        .await??;
        Ok(deleted)
    }
}

/// The names in a folder; a missing one has none.
fn names(entries: io::Result<fs::ReadDir>) -> io::Result<Vec<OsString>> {
    match entries {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.file_name())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
