//! Making a backup.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use longhaul_proto::{clock, faults, private, tasks::blocking};

use super::{
    DATA, LEDGER, OF_DATA, OF_GATEWAY,
    error::BackupError,
    kept::{self, Kept},
    manifest::{self, Entry, FORMAT, Manifest},
    rounds::{self, Earlier, Rounds},
    tree::{self, Tree},
};
use crate::{
    audit,
    ledger::sqlite::{Named, SqliteLedger},
};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The gateway's data folder.
    pub data: PathBuf,
    /// The folder that holds backups; made if missing.
    pub to: PathBuf,
    /// How many of this gateway's backups are kept there, this one among them; `None` = all.
    pub keep: Option<usize>,
    /// The time, Unix milliseconds.
    pub now_ms: i64,
}

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its folder.
    pub path: PathBuf,
    /// Of what it is.
    pub manifest: Manifest,
    /// Files that have not changed since the backup before, and are second names (hard links) of its files.
    pub linked_files: u64,
    /// Their bytes.
    pub linked_bytes: u64,
    /// Older backups that were removed.
    pub removed: Vec<PathBuf>,
}

/// Copies everything that the data folder must have, also while its gateway works.
///
/// # Errors
/// See [`BackupError`]; nothing that looks like a backup is left then.
pub async fn back_up(request: Request) -> Result<Made, BackupError> {
    let Request { data, to, keep, now_ms } = request;
    let home = data.join("gateway");
    if !data.join(LEDGER).exists() {
        return Err(BackupError::NoGateway(data));
    }
    private::check_folder(&data)?;
    let tree = Arc::new(Tree::open(&data).map_err(BackupError::read(&data))?);
    let kept = Arc::new(
        in_thread({
            let data = data.clone();
            move || Kept::open(&to, &data)
        })
        .await?,
    );
    let made = in_thread({
        let (kept, tree) = (kept.clone(), tree.clone());
        move || {
            let made = kept.begin(now_ms)?;
            let ledger = tree.file(Path::new(LEDGER))?.map_or(0, |file| file.bytes);
            rounds::refuse_without_room(ledger, &made.path)?;
            Ok(made)
        }
    })
    .await?;
    let into = made.path.join(DATA);

    let (mut all, mut before) = (Rounds::default(), None);
    let named = loop {
        let named = ledger(&home, &into).await?;
        let earlier = match before.take() {
            Some(earlier) => earlier,
            None => {
                let (kept, cluster) = (kept.clone(), named.cluster_id.clone());
                in_thread(move || earlier_of(&kept, &cluster)).await?
            }
        };
        faults::point("backup.ledger_copied");
        let whole;
        (whole, all, before) = in_thread({
            let (named, tree, into) = (named.clone(), tree.clone(), into.clone());
            let mut all = std::mem::take(&mut all);
            move || all.round(&named, &tree, &earlier, &into).map(|whole| (whole, all, Some(earlier)))
        })
        .await?;
        if whole {
            break named;
        }
        if all.done >= rounds::MOST {
            return Err(BackupError::Restless(all.done));
        }
    };
    faults::point("backup.files_copied");
    let named = match faults::bug("backup_files_first") {
        true => ledger(&home, &into).await?,
        false => named,
    };
    in_thread(move || {
        let (linked_files, linked_bytes) = all.linked();
        let lacking = std::mem::take(&mut all.lacking);
        let mut entries = all.entries;
        rest(&tree, &before.unwrap_or_default(), &into, &mut entries)?;
        let made_at = clock::rfc3339(now_ms).unwrap_or_default();
        let manifest = manifest_of(&named, made_at, &entries, lacking);
        let listed: Vec<&Entry> = entries.values().collect();
        for (name, content) in manifest::written(&manifest, &listed).map_err(BackupError::write(&made.path))? {
            tree::write(&made.path.join(name), &content)?;
        }
        let path = kept.finish(made)?;
        let removed = keep.map(|keep| kept.keep(keep.max(1), &manifest.cluster_id)).transpose()?.unwrap_or_default();
        Ok(Made { path, manifest, linked_files, linked_bytes, removed })
    })
    .await
}

async fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    blocking(work).await.map_err(BackupError::read(Path::new("the data folder")))?
}

fn earlier_of(kept: &Kept, cluster_id: &str) -> Result<Earlier, BackupError> {
    let Some((folder, _, entries)) = kept::earlier(kept, cluster_id)? else { return Ok(Earlier::default()) };
    let entries = entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
    Ok(Earlier { folder: folder.join(DATA), entries })
}

/// Copies the ledger, in place of a copy from before, and reads what it names.
async fn ledger(home: &Path, into: &Path) -> Result<Named, BackupError> {
    let to = into.join(LEDGER);
    let prepare = to.clone();
    in_thread(move || {
        if let Some(above) = prepare.parent() {
            tree::make_folder(above)?;
        }
        match std::fs::remove_file(&prepare) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(BackupError::write(&prepare)(error)),
            _ => Ok(()),
        }
    })
    .await?;
    SqliteLedger::copy(home, &to).await.map_err(BackupError::Ledger)?;
    SqliteLedger::named(&to).await.map_err(BackupError::Ledger)
}

/// What comes after the ledger: keys, credentials, the audit log.
fn rest(tree: &Tree, earlier: &Earlier, into: &Path, entries: &mut BTreeMap<String, Entry>) -> Result<(), BackupError> {
    let mut put = |entry: Entry| entries.insert(entry.path.clone(), entry);
    let own = OF_DATA.iter().map(PathBuf::from).chain(OF_GATEWAY.iter().map(|name| Path::new("gateway").join(name)));
    for below in own {
        if let Some(opened) = tree.file(&below)? {
            put(tree::copy(opened, &below, into)?);
        }
    }
    for entry in audit_log(tree, earlier, into)? {
        put(entry);
    }
    let ledger = Tree::open(into).map_err(BackupError::read(into))?.file(Path::new(LEDGER))?;
    if let Some(opened) = ledger {
        let modified_ns = opened.modified_ns;
        let (bytes, digest) = tree::digest(opened, Path::new(LEDGER))?;
        put(Entry { path: LEDGER.to_owned(), bytes, sha256: digest.to_string(), modified_ns });
    }
    Ok(())
}

/// The audit log: its head before its files, so that these have the line that it names.
fn audit_log(tree: &Tree, earlier: &Earlier, into: &Path) -> Result<Vec<Entry>, BackupError> {
    let (folder, head) = audit::places(Path::new(""));
    for _ in 0..rounds::MOST {
        let mut copied = Vec::new();
        if let Some(opened) = tree.file(&head)? {
            copied.push(tree::copy(opened, &head, into)?);
        }
        let names = tree.names(&folder)?;
        let mut all_there = true;
        for (at, name) in names.iter().enumerate() {
            let below = folder.join(name);
            let Some(opened) = tree.file(&below)? else {
                // The oldest were removed for room, which a line says in a file that may not be in this list.
                all_there = false;
                break;
            };
            let before = earlier.same(&below, &opened).filter(|_| at + 1 < names.len()).cloned();
            copied.push(match before {
                Some(before) if tree::link(&earlier.folder, &below, into)? => before,
                _ => tree::copy_lines(opened, &below, into)?,
            });
        }
        if all_there {
            return Ok(copied);
        }
        for entry in &copied {
            let path = into.join(&entry.path);
            std::fs::remove_file(&path).map_err(BackupError::write(&path))?;
        }
    }
    Err(BackupError::Restless(rounds::MOST))
}

fn manifest_of(named: &Named, made_at: String, entries: &BTreeMap<String, Entry>, lacking: Vec<String>) -> Manifest {
    Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster_id: named.cluster_id.clone(),
        made_at,
        ledger_format: named.format,
        newest_run: named.runs.last().map(|run| run.run),
        runs: named.runs.len() as u64,
        unfinished: named.runs.iter().filter(|run| !run.ended).count() as u64,
        files: entries.len() as u64,
        bytes: entries.values().map(|entry| entry.bytes).sum(),
        lacking,
    }
}
