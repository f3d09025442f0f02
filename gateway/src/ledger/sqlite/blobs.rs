//! Blobs: who may name one, and what holds it.
//!
//! `blob_names` has a row for each blob that a principal may name, with when it was uploaded and how many of the
//! principal's runs hold it. A row that says neither is deleted, and the blob is marked as loose: the sweep removes it if
//! no other principal may name it. So a sweep examines only blobs of which something changed. What each principal has in
//! all is a running figure (`blob_usage`, kept by triggers), so that an upload costs the same however many there are.

use futures_util::FutureExt;
use longhaul_proto::{digest::ContentDigest, ids::RunId};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    SqliteLedger,
    row::{parse, to_json},
    rows, storage,
    writer::Applied,
};
use crate::{
    ledger::{
        Answer, Blob, BlobBounds, BlobFile, BlobStore, BlobsSwept, Finished, LedgerError, NewUpload, Upload,
        UploadBegun,
    },
    model::Principal,
};

/// The blob of a digest that a principal may name.
const NAMED: &str = "SELECT sha256, file, bytes FROM blobs WHERE sha256 = ?3 AND (\
                     EXISTS (SELECT 1 FROM blob_names WHERE principal = ?1 AND issuer = ?2 AND sha256 = ?3) \
                     OR EXISTS (SELECT 1 FROM do_file_holds WHERE principal = ?1 AND issuer = ?2 AND sha256 = ?3))";
/// The upload of a digest by a principal.
const OPEN: &str = "SELECT sha256, file, bytes, principal, issuer FROM uploads \
                    WHERE principal = ? AND issuer = ? AND sha256 = ?";

impl BlobStore for SqliteLedger {
    fn begin_upload(&self, new: NewUpload) -> Answer<'_, UploadBegun> {
        self.write(new, |db, new| begin(db, new).boxed())
    }

    fn use_upload(&self, principal: Principal, digest: ContentDigest, at_ms: i64) -> Answer<'_, Option<Upload>> {
        self.write((principal, digest, at_ms), |db, (principal, digest, at_ms)| {
            async move {
                let found = open(db, principal, *digest).await?;
                if let Some(upload) = &found {
                    used(db, upload, *at_ms).await?;
                }
                Ok(found)
            }
            .boxed()
        })
    }

    fn upload<'a>(&'a self, principal: &'a Principal, digest: ContentDigest) -> Answer<'a, Option<Upload>> {
        async move {
            let query = sqlx::query(OPEN).bind(principal.subject()).bind(principal.issuer()).bind(digest.to_string());
            let row = query.fetch_optional(&self.readers).await.map_err(storage)?;
            row.map(|row| upload_of(&row)).transpose()
        }
        .boxed()
    }

    fn finish_upload(&self, upload: Upload, at_ms: i64) -> Answer<'_, Option<Finished>> {
        self.write((upload, at_ms), |db, (upload, at_ms)| finish(db, upload, *at_ms).boxed())
    }

    fn end_upload(&self, upload: Upload) -> Answer<'_, bool> {
        self.write(upload, |db, upload| end(db, upload).boxed())
    }

    fn blob<'a>(&'a self, principal: &'a Principal, digest: ContentDigest) -> Answer<'a, Option<Blob>> {
        async move {
            let query = sqlx::query(NAMED).bind(principal.subject()).bind(principal.issuer()).bind(digest.to_string());
            let row = query.fetch_optional(&self.readers).await.map_err(storage)?;
            row.map(|row| blob_of(&row)).transpose()
        }
        .boxed()
    }

    fn blobs_of(&self, run: RunId) -> Answer<'_, Vec<Blob>> {
        async move {
            let query = sqlx::query(
                "SELECT sha256, file, bytes FROM blobs WHERE sha256 IN (SELECT sha256 FROM blob_holds WHERE run = ?1 \
                 UNION SELECT sha256 FROM do_file_holds WHERE run = ?1) ORDER BY sha256",
            );
            rows(&self.readers, query.bind(run.to_string()), blob_of).await
        }
        .boxed()
    }

    fn blob_sweep(&self, before_ms: i64, limit: u32) -> Answer<'_, BlobsSwept> {
        self.write((before_ms, limit), |db, (before_ms, limit)| sweep(db, *before_ms, *limit).boxed())
    }

    fn blob_files<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<BlobFile>> {
        async move {
            // Behind all digests that begin with it.
            let behind = format!("{prefix}g");
            let query = sqlx::query(
                "SELECT sha256, file FROM blobs WHERE sha256 >= ?1 AND sha256 < ?2 \
                 UNION ALL SELECT sha256, file FROM uploads WHERE sha256 >= ?1 AND sha256 < ?2",
            );
            rows(&self.readers, query.bind(prefix).bind(behind), file_of).await
        }
        .boxed()
    }
}

/// The file in the first two columns of a row.
fn file_of(row: &SqliteRow) -> Result<BlobFile, LedgerError> {
    Ok(BlobFile { digest: parse(row.try_get(0).map_err(storage)?)?, name: row.try_get(1).map_err(storage)? })
}

/// Digest, file and length.
pub(super) fn blob_of(row: &SqliteRow) -> Result<Blob, LedgerError> {
    Ok(Blob { file: file_of(row)?, bytes: number(row, 2)? })
}

/// Likewise, with subject and issuer.
fn upload_of(row: &SqliteRow) -> Result<Upload, LedgerError> {
    let text = |at: usize| row.try_get::<String, _>(at).map_err(storage);
    Ok(Upload { principal: Principal::new(text(4)?, text(3)?), file: file_of(row)?, bytes: number(row, 2)? })
}

fn number(row: &SqliteRow, at: usize) -> Result<u64, LedgerError> {
    Ok(u64::try_from(row.try_get::<i64, _>(at).map_err(storage)?).unwrap_or_default())
}

/// A number of bytes for a column.
fn stored(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

pub(super) async fn named(
    db: &mut SqliteConnection,
    principal: &Principal,
    digest: ContentDigest,
) -> Applied<Option<Blob>> {
    let query = sqlx::query(NAMED).bind(principal.subject()).bind(principal.issuer()).bind(digest.to_string());
    Ok(query.fetch_optional(db).await?.map(|row| blob_of(&row)).transpose()?)
}

async fn open(db: &mut SqliteConnection, principal: &Principal, digest: ContentDigest) -> Applied<Option<Upload>> {
    let query = sqlx::query(OPEN).bind(principal.subject()).bind(principal.issuer()).bind(digest.to_string());
    Ok(query.fetch_optional(db).await?.map(|row| upload_of(&row)).transpose()?)
}

async fn used(db: &mut SqliteConnection, upload: &Upload, at_ms: i64) -> Result<(), sqlx::Error> {
    let update = sqlx::query("UPDATE uploads SET used = ? WHERE principal = ? AND issuer = ? AND sha256 = ?")
        .bind(at_ms)
        .bind(upload.principal.subject())
        .bind(upload.principal.issuer())
        .bind(upload.file.digest.to_string());
    update.execute(db).await.map(drop)
}

async fn begin(db: &mut SqliteConnection, new: &NewUpload) -> Applied<UploadBegun> {
    let NewUpload { upload, at_ms, bounds } = new;
    let Upload { principal, file, bytes } = upload;
    if let Some(blob) = named(db, principal, file.digest).await? {
        name(db, principal, &blob, *at_ms).await?;
        return Ok(UploadBegun::Kept(blob));
    }
    if let Some(open) = open(db, principal, file.digest).await? {
        used(db, &open, *at_ms).await?;
        return Ok(UploadBegun::Open(open));
    }
    let has = sqlx::query("SELECT blobs, bytes FROM blob_usage WHERE principal = ? AND issuer = ?")
        .bind(principal.subject())
        .bind(principal.issuer())
        .fetch_optional(&mut *db)
        .await?;
    let has = match has {
        Some(row) => BlobBounds { count: number(&row, 0)?, bytes: number(&row, 1)? },
        None => BlobBounds { count: 0, bytes: 0 },
    };
    if has.count >= bounds.count || has.bytes.saturating_add(*bytes) > bounds.bytes {
        return Ok(UploadBegun::Full(has));
    }
    sqlx::query("INSERT INTO uploads(principal, issuer, sha256, bytes, file, used) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(principal.subject())
        .bind(principal.issuer())
        .bind(file.digest.to_string())
        .bind(stored(*bytes))
        .bind(&file.name)
        .bind(at_ms)
        .execute(db)
        .await?;
    Ok(UploadBegun::Open(upload.clone()))
}

/// Lets the principal that uploaded a blob name it.
async fn name(db: &mut SqliteConnection, who: &Principal, blob: &Blob, at_ms: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO blob_names(principal, issuer, sha256, bytes, uploaded, runs) VALUES (?, ?, ?, ?, ?, 0) \
         ON CONFLICT(principal, issuer, sha256) DO UPDATE SET uploaded = excluded.uploaded",
    )
    .bind(who.subject())
    .bind(who.issuer())
    .bind(blob.file.digest.to_string())
    .bind(stored(blob.bytes))
    .bind(at_ms)
    .execute(db)
    .await
    .map(drop)
}

async fn end(db: &mut SqliteConnection, upload: &Upload) -> Applied<bool> {
    let delete = sqlx::query("DELETE FROM uploads WHERE principal = ? AND issuer = ? AND sha256 = ? AND file = ?")
        .bind(upload.principal.subject())
        .bind(upload.principal.issuer())
        .bind(upload.file.digest.to_string())
        .bind(&upload.file.name);
    Ok(delete.execute(db).await?.rows_affected() > 0)
}

async fn finish(db: &mut SqliteConnection, upload: &Upload, at_ms: i64) -> Applied<Option<Finished>> {
    let Upload { principal, file, bytes } = upload;
    if end(db, upload).await? {
        // Where another principal uploaded it, its file stays.
        sqlx::query("INSERT OR IGNORE INTO blobs(sha256, bytes, file, loose) VALUES (?, ?, ?, 0)")
            .bind(file.digest.to_string())
            .bind(stored(*bytes))
            .bind(&file.name)
            .execute(&mut *db)
            .await?;
        let blob = Blob { file: file.clone(), bytes: *bytes };
        name(db, principal, &blob, at_ms).await?;
    }
    // Also when the answer to the same call was lost.
    let Some(blob) = named(db, principal, file.digest).await? else { return Ok(None) };
    Ok(Some(Finished { spare: (blob.file != *file).then(|| file.clone()), blob }))
}

async fn sweep(db: &mut SqliteConnection, before_ms: i64, limit: u32) -> Applied<BlobsSwept> {
    let mut swept = BlobsSwept::default();
    let full = |found: usize| found >= limit as usize;
    let old = sqlx::query(
        "DELETE FROM uploads WHERE (principal, issuer, sha256) IN \
                           (SELECT principal, issuer, sha256 FROM uploads WHERE used < ? LIMIT ?) RETURNING sha256, file",
    );
    let old = old.bind(before_ms).bind(limit).fetch_all(&mut *db).await?;
    swept.more |= full(old.len());
    for row in &old {
        swept.files.push(file_of(row)?);
    }
    let old = sqlx::query(
        "UPDATE blob_names SET uploaded = 0 WHERE (principal, issuer, sha256) IN \
                           (SELECT principal, issuer, sha256 FROM blob_names WHERE uploaded > 0 AND uploaded < ? LIMIT ?) \
                           RETURNING sha256",
    );
    let old = old.bind(before_ms).bind(limit).fetch_all(&mut *db).await?;
    swept.more |= full(old.len());
    for row in &old {
        unname(db, row.try_get(0)?).await?;
    }
    let loose = sqlx::query("SELECT sha256, file FROM blobs WHERE loose = 1 LIMIT ?").bind(limit);
    let loose = loose.fetch_all(&mut *db).await?;
    swept.more |= full(loose.len());
    for row in &loose {
        let digest: &str = row.try_get(0)?;
        let delete = "DELETE FROM blobs WHERE sha256 = ?1 \
                      AND NOT EXISTS (SELECT 1 FROM blob_names WHERE sha256 = ?1) \
                      AND NOT EXISTS (SELECT 1 FROM do_file_holds WHERE sha256 = ?1)";
        if sqlx::query(delete).bind(digest).execute(&mut *db).await?.rows_affected() > 0 {
            swept.files.push(file_of(row)?);
        } else {
            sqlx::query("UPDATE blobs SET loose = 0 WHERE sha256 = ?").bind(digest).execute(&mut *db).await?;
        }
    }
    Ok(swept)
}

/// The principal names what it uploaded no more: a run holds it.
pub(super) async fn upload_taken(
    db: &mut SqliteConnection,
    who: &Principal,
    digest: ContentDigest,
) -> Result<(), sqlx::Error> {
    let digest = digest.to_string();
    let taken = sqlx::query("UPDATE blob_names SET uploaded = 0 WHERE principal = ? AND issuer = ? AND sha256 = ?");
    let taken = taken.bind(who.subject()).bind(who.issuer()).bind(&digest);
    taken.execute(&mut *db).await?;
    unname(db, &digest).await
}

/// Deletes the names of a blob for which there is no reason any more, and has the sweep look at it.
async fn unname(db: &mut SqliteConnection, digest: &str) -> Result<(), sqlx::Error> {
    let delete = sqlx::query("DELETE FROM blob_names WHERE sha256 = ? AND uploaded = 0 AND runs = 0").bind(digest);
    if delete.execute(&mut *db).await?.rows_affected() > 0 {
        sqlx::query("UPDATE blobs SET loose = 1 WHERE sha256 = ?").bind(digest).execute(db).await?;
    }
    Ok(())
}

/// Checks that a new run may hold these.
///
/// # Errors
/// [`LedgerError::NoSuchBlobs`].
pub(super) async fn may_hold(
    db: &mut SqliteConnection,
    principal: &Principal,
    digests: &[ContentDigest],
) -> Applied<()> {
    if digests.is_empty() {
        return Ok(());
    }
    let missing = sqlx::query(
        "SELECT value FROM json_each(?1) WHERE NOT EXISTS \
         (SELECT 1 FROM blob_names WHERE principal = ?2 AND issuer = ?3 AND sha256 = value) AND NOT EXISTS \
         (SELECT 1 FROM do_file_holds WHERE principal = ?2 AND issuer = ?3 AND sha256 = value)",
    );
    let missing = missing.bind(list(digests)?).bind(principal.subject()).bind(principal.issuer());
    let missing = missing.fetch_all(db).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let digest = |row: &SqliteRow| parse(row.try_get(0).map_err(storage)?);
    Err(LedgerError::NoSuchBlobs(missing.iter().map(digest).collect::<Result<_, _>>()?).into())
}

/// Lets a new run hold blobs that its principal may name.
pub(super) async fn hold(
    db: &mut SqliteConnection,
    run: RunId,
    principal: &Principal,
    digests: &[ContentDigest],
) -> Applied<()> {
    if digests.is_empty() {
        return Ok(());
    }
    let run = run.to_string();
    let hold = sqlx::query("INSERT INTO blob_holds(run, sha256) SELECT ?, value FROM json_each(?)");
    hold.bind(&run).bind(list(digests)?).execute(&mut *db).await?;
    Ok(take(db, &run, principal).await?)
}

/// These as a JSON array.
fn list(digests: &[ContentDigest]) -> Result<String, LedgerError> {
    to_json(&digests.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// Counts one run more of this principal at each blob that the run holds.
async fn take(db: &mut SqliteConnection, run: &str, who: &Principal) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO blob_names(principal, issuer, sha256, bytes, uploaded, runs) \
         SELECT ?1, ?2, b.sha256, b.bytes, 0, 1 FROM blob_holds h JOIN blobs b ON b.sha256 = h.sha256 WHERE h.run = ?3 \
         ON CONFLICT(principal, issuer, sha256) DO UPDATE SET runs = runs + 1",
    )
    .bind(who.subject())
    .bind(who.issuer())
    .bind(run)
    .execute(db)
    .await
    .map(drop)
}

/// The reverse; where that was the last reason to name a blob, the sweep looks at it.
async fn give_back(db: &mut SqliteConnection, run: &str, who: &Principal) -> Result<(), sqlx::Error> {
    for change in [
        "UPDATE blob_names SET runs = runs - 1 WHERE principal = ?1 AND issuer = ?2 \
         AND sha256 IN (SELECT sha256 FROM blob_holds WHERE run = ?3)",
        "UPDATE blobs SET loose = 1 WHERE sha256 IN \
         (SELECT h.sha256 FROM blob_holds h \
         CROSS JOIN blob_names n ON n.principal = ?1 AND n.issuer = ?2 AND n.sha256 = h.sha256 \
         WHERE h.run = ?3 AND n.uploaded = 0 AND n.runs = 0)",
        "DELETE FROM blob_names WHERE principal = ?1 AND issuer = ?2 AND uploaded = 0 AND runs = 0 \
         AND sha256 IN (SELECT sha256 FROM blob_holds WHERE run = ?3)",
    ] {
        sqlx::query(change).bind(who.subject()).bind(who.issuer()).bind(run).execute(&mut *db).await?;
    }
    Ok(())
}

async fn holds_any(db: &mut SqliteConnection, run: &str) -> Result<bool, sqlx::Error> {
    let any = sqlx::query("SELECT 1 FROM blob_holds WHERE run = ? LIMIT 1").bind(run);
    Ok(any.fetch_optional(db).await?.is_some())
}

/// The run, whose record is still there, holds nothing any more.
pub(super) async fn release(db: &mut SqliteConnection, run: &str) -> Result<(), sqlx::Error> {
    if !holds_any(db, run).await? {
        return Ok(());
    }
    let row =
        sqlx::query("SELECT issuer, principal FROM runs WHERE run = ?").bind(run).fetch_optional(&mut *db).await?;
    let Some(row) = row else { return Ok(()) };
    let principal = Principal::new(row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?);
    give_back(db, run, &principal).await?;
    sqlx::query("DELETE FROM blob_holds WHERE run = ?").bind(run).execute(db).await.map(drop)
}

/// What a run without a principal holds is its principal's from now on.
pub(super) async fn adopt(db: &mut SqliteConnection, run: &str, principal: &Principal) -> Result<(), sqlx::Error> {
    if !holds_any(db, run).await? {
        return Ok(());
    }
    take(db, run, principal).await?;
    give_back(db, run, &Principal::default()).await
}
