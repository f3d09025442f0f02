//! Changes of a stored record that are no step: the principal of an unverified run, and notes.

use longhaul_proto::ids::RunId;
use sqlx::SqliteConnection;

use super::{
    blobs, changes, do_files,
    insert::{Binding, name_run},
    row,
    statements::Statements,
    writer::Applied,
};
use crate::{
    ledger::{Adoption, stored},
    model::{Detail, Origin},
};

/// Changes the detail of the run if `change` says that it changed something, and answers whether it did; `false` when
/// there is no such run.
pub(super) async fn change_detail(
    db: &mut SqliteConnection,
    run: RunId,
    change: impl FnOnce(&mut Detail) -> bool + Send,
) -> Applied<bool> {
    let name = run.to_string();
    let row = sqlx::query("SELECT attempt, agent_id, host, pool, detail FROM runs WHERE run = ?")
        .bind(&name)
        .fetch_optional(&mut *db)
        .await?;
    let Some(row) = row else { return Ok(false) };
    let mut detail = row::detail(&row, 0, 4)?;
    if !change(&mut detail) {
        return Ok(false);
    }
    sqlx::query("UPDATE runs SET detail = ? WHERE run = ?")
        .bind(stored::write(&detail)?)
        .bind(name)
        .execute(&mut *db)
        .await?;
    changes::note(db, run).await?;
    Ok(true)
}

/// Gives an unverified run to its principal.
pub(super) async fn adopt(db: &mut SqliteConnection, adoption: &Adoption) -> Applied<bool> {
    let Adoption { run, principal, key, dedupe } = adoption;
    let unowned = sqlx::query("SELECT 1 FROM runs WHERE run = ? AND principal = ''").bind(run.to_string());
    if unowned.fetch_optional(&mut *db).await?.is_none() {
        return Ok(false);
    }
    change_detail(db, *run, |detail| {
        detail.origin = Origin::Imported;
        true
    })
    .await?;
    blobs::adopt(db, &run.to_string(), principal).await?;
    do_files::adopt(db, &run.to_string(), principal).await?;
    sqlx::query("UPDATE runs SET principal = ?, issuer = ?, shape = ?, code = ? WHERE run = ?")
        .bind(principal.subject())
        .bind(principal.issuer())
        .bind(&dedupe.shape)
        .bind(&dedupe.code)
        .bind(run.to_string())
        .execute(&mut *db)
        .await?;
    if let Some(key) = key {
        let mut name = Statements::default();
        name_run(&mut name, principal, key, *run, Binding::Keep);
        name.execute(db).await?;
    }
    Ok(true)
}
