//! `backup`, `backup verify`, `restore`: on the gateway's own machine, by its files.

use std::{error::Error, path::Path};

use longhaul_gateway::backup::{self, BackupError, Made, Manifest, Request};
use serde_json::{Value, json};

use crate::{
    args::{Backup, BackupAction, Restore},
    context::{Context, Failure},
    exit,
    output::{Out, When, bytes, say},
};

/// `backup`.
///
/// # Errors
/// With what to do.
pub(crate) async fn backup(context: &Context, args: &Backup) -> Result<u8, Failure> {
    if let Some(BackupAction::Verify { path, json }) = &args.action {
        return verify(context, path, *json).await;
    }
    let Some(to) = args.to.as_deref() else {
        return Err(Failure::usage("name the folder that is to hold the backups"));
    };
    let request = Request {
        data: context.data.path().to_owned(),
        to: absolute(to),
        keep: args.keep.and_then(|keep| usize::try_from(keep).ok()),
        now_ms: context.clock.unix_ms(),
    };
    let made = backup::back_up(request).await.map_err(|error| failure(&error))?;
    let mut out = Out::default();
    if args.json {
        out.json(&of_made(&made))?;
    } else {
        out.text(&format!("{}\n", made.path.display()))?;
        words(&made);
    }
    Ok(0)
}

/// What else there is to say of a backup that was made; its path alone is on stdout, for scripts.
fn words(made: &Made) {
    let manifest = &made.manifest;
    let linked = match made.linked_files {
        0 => String::new(),
        files => format!("; {files} files ({}) as in the backup before take no room again", bytes(made.linked_bytes)),
    };
    say(&format!("whole: {}{linked}", what(manifest)));
    for path in &made.removed {
        say(&format!("removed: {}", path.display()));
    }
    warn_of_lacking(manifest);
}

fn warn_of_lacking(manifest: &Manifest) {
    if let Some(first) = manifest.lacking.first() {
        let n = manifest.lacking.len();
        say(&format!("warning: the gateway itself does not have {n} files that its ledger names, such as {first}"));
    }
}

fn what(manifest: &Manifest) -> String {
    let Manifest { runs, unfinished, files, .. } = manifest;
    format!("{files} files, {}; {runs} runs, {unfinished} of them under way or waiting", bytes(manifest.bytes))
}

fn of_made(made: &Made) -> Value {
    let mut object = of_manifest(&made.path, &made.manifest);
    object["linked_files"] = made.linked_files.into();
    object["linked_bytes"] = made.linked_bytes.into();
    object["removed"] = json!(made.removed);
    object
}

fn of_manifest(path: &Path, manifest: &Manifest) -> Value {
    json!({
        "path": path, "made_at": manifest.made_at, "version": manifest.version, "cluster_id": manifest.cluster_id,
        "ledger_format": manifest.ledger_format, "newest_run": manifest.newest_run, "runs": manifest.runs,
        "unfinished": manifest.unfinished, "files": manifest.files, "bytes": manifest.bytes, "lacking": manifest.lacking,
    })
}

async fn verify(context: &Context, path: &Path, as_json: bool) -> Result<u8, Failure> {
    let path = absolute(path);
    let found = backup::verify(&path).await.map_err(|error| failure(&error))?;
    let mut out = Out::default();
    if as_json {
        let mut object = of_manifest(&path, &found.manifest);
        object["whole"] = found.damages.is_empty().into();
        object["damages"] = json!(found.damages);
        out.json(&object)?;
    } else if found.damages.is_empty() {
        let at = When::new(context.utc).whole(&found.manifest.made_at);
        out.text(&format!("{}: whole: made at {at}; {}\n", path.display(), what(&found.manifest)))?;
        warn_of_lacking(&found.manifest);
    } else {
        let damages: String = found.damages.iter().map(|damage| format!("  {damage}\n")).collect();
        out.text(&format!("{}: damaged\n{damages}", path.display()))?;
    }
    Ok(if found.damages.is_empty() { 0 } else { exit::SYSTEM })
}

/// `restore`.
///
/// # Errors
/// With what to do.
pub(crate) async fn restore(context: &Context, args: &Restore) -> Result<u8, Failure> {
    let (from, into) = (absolute(&args.from), absolute(&args.into));
    let restored = backup::restore(&from, &into, context.clock.unix_ms()).await.map_err(|error| failure(&error))?;
    let mut out = Out::default();
    if args.json {
        let mut object = of_manifest(&from, &restored.manifest);
        object["data"] = json!(restored.data);
        out.json(&object)?;
        return Ok(0);
    }
    out.text(&format!("{}\n", restored.data.display()))?;
    let at = When::new(context.utc).whole(&restored.manifest.made_at);
    say(&format!("restored as of {at}: {}", what(&restored.manifest)));
    warn_of_lacking(&restored.manifest);
    say(&format!(
        "next: start the gateway as before, under the same address: `longhaul gateway --data {}`. Agents need nothing: they \
         return by themselves, and bring the runs that they hold and this ledger does not have. Runs that waited in it are held \
         back until an agent reports them; when every host is back (`longhaul hosts`), cancel the others, or let them run: \
         remove {}/gateway/{} and start the gateway again. Tokens and keys that were revoked since are valid again: revoke them.",
        restored.data.display(),
        restored.data.display(),
        backup::RESTORED,
    ));
    Ok(0)
}

fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// With the reasons below it.
fn failure(error: &BackupError) -> Failure {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text.push_str(&format!(": {error}"));
        below = error.source();
    }
    Failure::system(text)
}
