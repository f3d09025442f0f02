//! The tables, as a list of migrations. `PRAGMA user_version` counts the applied ones; a published step is never
//! edited, only followed by another.

use sqlx::{Connection, Row, SqliteConnection};

use super::storage;
use crate::ledger::LedgerError;

const STEPS: &[&str] = &[
    r"
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE runs(
    run TEXT PRIMARY KEY,                -- UUIDv7: the order of names is the order of time
    tail TEXT NOT NULL,                  -- the short form
    principal TEXT NOT NULL,
    state TEXT NOT NULL,
    cause TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    steps INTEGER NOT NULL,              -- rows in transitions
    agent_id TEXT NOT NULL,
    host TEXT NOT NULL,
    pool TEXT NOT NULL,
    created INTEGER NOT NULL,            -- Unix ms, as all times here
    finished INTEGER NOT NULL,           -- 0 = not yet
    delivered INTEGER NOT NULL,          -- 0 = not yet
    cancel_by TEXT,
    cancel_at INTEGER,
    cancel_mode TEXT,
    shape TEXT NOT NULL,                 -- what makes two requests equal, but for their code
    code TEXT NOT NULL,                  -- digest of the code; empty = nobody looked
    spool_held INTEGER NOT NULL,         -- an agent keeps the spool and the mirror is whole
    detail TEXT NOT NULL                 -- JSON: what no query asks for
);
CREATE INDEX runs_active ON runs(run) WHERE state IN ('queued', 'starting', 'running');
CREATE INDEX runs_tail ON runs(tail);
CREATE INDEX runs_principal ON runs(principal, run);
CREATE INDEX runs_principal_state ON runs(principal, state, run);
CREATE INDEX runs_state ON runs(state, run);
CREATE INDEX runs_shape ON runs(shape, run);
CREATE INDEX runs_finished ON runs(finished) WHERE finished > 0;
CREATE INDEX runs_spool ON runs(agent_id, finished) WHERE spool_held = 1;

-- Apart from runs, so that a scan of runs does not read 32 MiB bundles.
CREATE TABLE submissions(run TEXT PRIMARY KEY, body BLOB NOT NULL);

CREATE TABLE transitions(
    run TEXT NOT NULL, n INTEGER NOT NULL, state TEXT NOT NULL, cause TEXT NOT NULL, attempt INTEGER NOT NULL,
    at INTEGER NOT NULL, PRIMARY KEY(run, n)
) WITHOUT ROWID;

CREATE TABLE keys(
    principal TEXT NOT NULL, key TEXT NOT NULL, run TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY(principal, key)
) WITHOUT ROWID;
CREATE INDEX keys_run ON keys(run);

CREATE TABLE tokens(
    name TEXT PRIMARY KEY, principal TEXT NOT NULL, sha256 TEXT NOT NULL UNIQUE, scope TEXT NOT NULL,
    created INTEGER NOT NULL, expires INTEGER, revoked INTEGER
);

CREATE TABLE agents(agent_id TEXT PRIMARY KEY, seen INTEGER NOT NULL, info BLOB NOT NULL);
",
    r"
-- What the face must know again after a restart.
CREATE TABLE memos(
    kind TEXT NOT NULL, name TEXT NOT NULL, principal TEXT NOT NULL, created INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY(kind, name)
) WITHOUT ROWID;
CREATE INDEX memos_created ON memos(created);
",
    r"
-- Hosts on which nothing new starts.
CREATE TABLE drains(host TEXT PRIMARY KEY, by TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
",
    r"
-- What is remembered of runs whose records were removed: an agent may show one again.
CREATE TABLE removed(run TEXT PRIMARY KEY, at INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX removed_at ON removed(at);
-- Whether the mirror is what the agent recorded; an agent keeps a spool whether or not it is.
ALTER TABLE runs ADD COLUMN whole INTEGER NOT NULL DEFAULT 1;
UPDATE runs SET spool_held = 1, whole = 0
WHERE finished > 0 AND state <> 'lost' AND agent_id <> '' AND spool_held = 0 AND json_extract(detail, '$.complete') = 0;
",
    r"
-- Keys by which agents are known.
CREATE TABLE pins(
    key TEXT PRIMARY KEY,                -- SHA-256 of the public key, hex
    agent_id TEXT NOT NULL, name TEXT NOT NULL,
    state TEXT NOT NULL,                 -- accepted, waiting, revoked
    at INTEGER NOT NULL, by TEXT NOT NULL
) WITHOUT ROWID;
",
    r"
-- A principal is a subject (the columns named principal) of an issuer; all before were of this gateway's tokens.
ALTER TABLE runs ADD COLUMN issuer TEXT NOT NULL DEFAULT 'local';
DROP INDEX runs_principal;
DROP INDEX runs_principal_state;
CREATE INDEX runs_principal ON runs(principal, issuer, run);
CREATE INDEX runs_principal_state ON runs(principal, issuer, state, run);
ALTER TABLE tokens ADD COLUMN issuer TEXT NOT NULL DEFAULT 'local';
ALTER TABLE memos ADD COLUMN issuer TEXT NOT NULL DEFAULT 'local';
CREATE TABLE keys_of(
    principal TEXT NOT NULL, issuer TEXT NOT NULL DEFAULT 'local', key TEXT NOT NULL, run TEXT NOT NULL,
    body TEXT NOT NULL, PRIMARY KEY(principal, issuer, key)
) WITHOUT ROWID;
INSERT INTO keys_of(principal, key, run, body) SELECT principal, key, run, body FROM keys;
DROP TABLE keys;
ALTER TABLE keys_of RENAME TO keys;
CREATE INDEX keys_run ON keys(run);
",
    r"
-- Every attempt that was given to an agent, also one that never started.
CREATE TABLE attempts(
    run TEXT NOT NULL, number INTEGER NOT NULL,
    agent_id TEXT NOT NULL, host TEXT NOT NULL, pool TEXT NOT NULL, -- empty = not known any more
    given INTEGER NOT NULL,
    ended INTEGER NOT NULL,              -- 0 = not yet
    state TEXT NOT NULL, cause TEXT NOT NULL, -- of the step that ended it; empty = not yet
    PRIMARY KEY(run, number)
) WITHOUT ROWID;
-- Seats that are taken. A holder (a run, a session, a pilot) has one at most.
CREATE TABLE leases(
    kind TEXT NOT NULL, holder TEXT NOT NULL, attempt INTEGER NOT NULL,
    agent_id TEXT NOT NULL, host TEXT NOT NULL, pool TEXT NOT NULL, since INTEGER NOT NULL,
    PRIMARY KEY(kind, holder)
) WITHOUT ROWID;
-- Numbers that only grow: `changes` of runs, `epoch` of the owners of runs.
CREATE TABLE counters(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
ALTER TABLE runs ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN owner_epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN changed INTEGER NOT NULL DEFAULT 0; -- its latest change, of the counter

INSERT INTO attempts(run, number, agent_id, host, pool, given, ended, state, cause)
SELECT run, attempt, '', '', '', at, 0, '', ''
FROM (SELECT run, attempt, at, min(n) FROM transitions WHERE attempt > 0 GROUP BY run, attempt);
-- The queue takes a run back when its attempt never started or is dead: what follows is not of that attempt.
UPDATE attempts SET (ended, state, cause) = (
    SELECT t.at, t.state, t.cause FROM transitions t
    WHERE t.run = attempts.run AND t.attempt = attempts.number AND t.state NOT IN ('starting', 'running')
    ORDER BY t.state <> 'queued', CASE t.state WHEN 'queued' THEN t.n ELSE -t.n END LIMIT 1
) WHERE EXISTS (
    SELECT 1 FROM transitions t
    WHERE t.run = attempts.run AND t.attempt = attempts.number AND t.state NOT IN ('starting', 'running')
);
UPDATE attempts SET (agent_id, host, pool) = (
    SELECT r.agent_id, r.host, r.pool FROM runs r WHERE r.run = attempts.run
) WHERE EXISTS (SELECT 1 FROM runs r WHERE r.run = attempts.run AND r.attempt = attempts.number);
-- Of attempts before the last one, those that died have an entry in the record.
UPDATE attempts SET (agent_id, host, pool) = (
    SELECT coalesce(json_extract(e.value, '$.agent_id'), ''), coalesce(json_extract(e.value, '$.host'), ''),
        coalesce(json_extract(e.value, '$.pool'), '')
    FROM runs r, json_each(r.detail, '$.earlier') e
    WHERE r.run = attempts.run AND json_extract(e.value, '$.attempt') = attempts.number
) WHERE agent_id = '' AND EXISTS (
    SELECT 1 FROM runs r, json_each(r.detail, '$.earlier') e
    WHERE r.run = attempts.run AND json_extract(e.value, '$.attempt') = attempts.number
);
INSERT INTO leases(kind, holder, attempt, agent_id, host, pool, since)
SELECT 'run', r.run, r.attempt, r.agent_id, r.host, r.pool, coalesce(a.given, r.created)
FROM runs r LEFT JOIN attempts a ON a.run = r.run AND a.number = r.attempt
WHERE r.state IN ('starting', 'running') AND r.attempt > 0;
UPDATE runs SET changed = numbered.n
FROM (SELECT run, row_number() OVER (ORDER BY run) AS n FROM runs) AS numbered WHERE numbered.run = runs.run;
CREATE INDEX runs_changed ON runs(changed);
INSERT INTO counters(name, value) VALUES ('epoch', 0);
INSERT INTO counters(name, value) SELECT 'changes', count(*) FROM runs;
",
    r"
-- Files that are kept by their content, the bytes outside of the ledger. A name of a file is never used again.
CREATE TABLE blobs(
    sha256 TEXT PRIMARY KEY, bytes INTEGER NOT NULL, file TEXT NOT NULL,
    loose INTEGER NOT NULL               -- 1 = a principal names it no more: the sweep looks whether any does
) WITHOUT ROWID;
CREATE INDEX blobs_loose ON blobs(sha256) WHERE loose = 1;
-- Who may name a blob.
CREATE TABLE blob_names(
    principal TEXT NOT NULL, issuer TEXT NOT NULL, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL,
    uploaded INTEGER NOT NULL,           -- 0 = not, or too long ago
    runs INTEGER NOT NULL,               -- of this principal that hold it
    PRIMARY KEY(principal, issuer, sha256)
) WITHOUT ROWID;
CREATE INDEX blob_names_sha256 ON blob_names(sha256);
CREATE INDEX blob_names_uploaded ON blob_names(uploaded) WHERE uploaded > 0;
CREATE TABLE blob_holds(run TEXT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY(run, sha256)) WITHOUT ROWID;
-- Uploads that are under way.
CREATE TABLE uploads(
    principal TEXT NOT NULL, issuer TEXT NOT NULL, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL, file TEXT NOT NULL,
    used INTEGER NOT NULL,
    PRIMARY KEY(principal, issuer, sha256)
) WITHOUT ROWID;
CREATE INDEX uploads_sha256 ON uploads(sha256);
CREATE INDEX uploads_used ON uploads(used);
-- What a principal has of both, which the triggers keep.
CREATE TABLE blob_usage(
    principal TEXT NOT NULL, issuer TEXT NOT NULL, blobs INTEGER NOT NULL, bytes INTEGER NOT NULL,
    PRIMARY KEY(principal, issuer)
) WITHOUT ROWID;
CREATE TRIGGER blob_named AFTER INSERT ON blob_names BEGIN
    INSERT INTO blob_usage(principal, issuer, blobs, bytes) VALUES (new.principal, new.issuer, 1, new.bytes)
    ON CONFLICT(principal, issuer) DO UPDATE SET blobs = blobs + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER blob_unnamed AFTER DELETE ON blob_names BEGIN
    UPDATE blob_usage SET blobs = blobs - 1, bytes = bytes - old.bytes
    WHERE principal = old.principal AND issuer = old.issuer;
END;
CREATE TRIGGER upload_begun AFTER INSERT ON uploads BEGIN
    INSERT INTO blob_usage(principal, issuer, blobs, bytes) VALUES (new.principal, new.issuer, 1, new.bytes)
    ON CONFLICT(principal, issuer) DO UPDATE SET blobs = blobs + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER upload_ended AFTER DELETE ON uploads BEGIN
    UPDATE blob_usage SET blobs = blobs - 1, bytes = bytes - old.bytes
    WHERE principal = old.principal AND issuer = old.issuer;
END;
",
    r"
-- The do-files that runs entered.
CREATE TABLE do_files(run TEXT PRIMARY KEY, body TEXT NOT NULL);
-- The blobs that runs hold for them, and the principal of each run, who may name them.
CREATE TABLE do_file_holds(
    run TEXT NOT NULL, sha256 TEXT NOT NULL, principal TEXT NOT NULL, issuer TEXT NOT NULL, PRIMARY KEY(run, sha256)
) WITHOUT ROWID;
CREATE INDEX do_file_holds_sha256 ON do_file_holds(sha256, principal, issuer);
ALTER TABLE runs ADD COLUMN do_files_noted INTEGER NOT NULL DEFAULT 0;
CREATE INDEX runs_do_files ON runs(agent_id, finished) WHERE spool_held = 1 AND do_files_noted = 0;
",
    r"
-- What runs are called, and what a text is searched in: small letters of name, note, do-file, message and arguments.
ALTER TABLE runs ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN words TEXT NOT NULL DEFAULT '';
CREATE INDEX runs_name ON runs(name, run) WHERE name <> '';
CREATE INDEX runs_host ON runs(host, run) WHERE host <> '';
UPDATE runs SET words = substr(lower(
    coalesce(json_extract(detail, '$.source'), '') || char(10) || coalesce(json_extract(detail, '$.message'), '')
    || char(10) || coalesce((SELECT group_concat(value, char(10)) FROM json_each(runs.detail, '$.args')), '')
), 1, 8192) WHERE json_valid(detail);
",
    r"
-- The files that runs left. Their blobs are in `do_file_holds`.
CREATE TABLE run_files(run TEXT PRIMARY KEY, body TEXT NOT NULL);
ALTER TABLE runs ADD COLUMN files_noted INTEGER NOT NULL DEFAULT 0;
CREATE INDEX runs_files ON runs(agent_id, finished) WHERE spool_held = 1 AND files_noted = 0;
",
    r"
-- What tokens are limited to, and the secret before the present one.
ALTER TABLE tokens ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';
ALTER TABLE tokens ADD COLUMN rotated INTEGER;
ALTER TABLE tokens ADD COLUMN before_sha256 TEXT;
ALTER TABLE tokens ADD COLUMN before_until INTEGER;
CREATE INDEX tokens_before ON tokens(before_sha256) WHERE before_sha256 IS NOT NULL;
",
    r"
-- Who may join once, by the digest of a token; and by what the known keys became known.
CREATE TABLE invitations(
    digest TEXT PRIMARY KEY, name TEXT NOT NULL, issuer TEXT NOT NULL, principal TEXT NOT NULL, by TEXT NOT NULL,
    made INTEGER NOT NULL, ends INTEGER NOT NULL, used INTEGER, used_key TEXT, withdrawn INTEGER
) WITHOUT ROWID;
ALTER TABLE pins ADD COLUMN joined TEXT NOT NULL DEFAULT 'secret';
ALTER TABLE pins ADD COLUMN serves TEXT;
",
    r"
-- Bytes of the output of ended runs that are kept of each principal, which the triggers count.
CREATE TABLE kept_usage(
    principal TEXT NOT NULL, issuer TEXT NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY(principal, issuer)
) WITHOUT ROWID;
INSERT INTO kept_usage(principal, issuer, bytes)
SELECT principal, issuer, sum(CASE WHEN json_valid(detail)
    THEN coalesce(json_extract(detail, '$.log_len'), 0) + coalesce(json_extract(detail, '$.console_len'), 0) ELSE 0 END)
FROM runs WHERE finished > 0 GROUP BY principal, issuer;
CREATE TRIGGER output_kept AFTER INSERT ON runs WHEN new.finished > 0 BEGIN
    INSERT INTO kept_usage(principal, issuer, bytes)
    SELECT new.principal, new.issuer, CASE WHEN json_valid(new.detail) THEN
        coalesce(json_extract(new.detail, '$.log_len'), 0) + coalesce(json_extract(new.detail, '$.console_len'), 0) ELSE 0 END
    WHERE true
    ON CONFLICT(principal, issuer) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER output_changed AFTER UPDATE OF detail, finished, principal, issuer ON runs
WHEN old.finished > 0 OR new.finished > 0 BEGIN
    UPDATE kept_usage SET bytes = bytes - CASE WHEN json_valid(old.detail) THEN
        coalesce(json_extract(old.detail, '$.log_len'), 0) + coalesce(json_extract(old.detail, '$.console_len'), 0) ELSE 0 END
    WHERE principal = old.principal AND issuer = old.issuer AND old.finished > 0;
    INSERT INTO kept_usage(principal, issuer, bytes)
    SELECT new.principal, new.issuer, CASE WHEN json_valid(new.detail) THEN
        coalesce(json_extract(new.detail, '$.log_len'), 0) + coalesce(json_extract(new.detail, '$.console_len'), 0) ELSE 0 END
    WHERE new.finished > 0
    ON CONFLICT(principal, issuer) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER output_removed AFTER DELETE ON runs WHEN old.finished > 0 BEGIN
    UPDATE kept_usage SET bytes = bytes - CASE WHEN json_valid(old.detail) THEN
        coalesce(json_extract(old.detail, '$.log_len'), 0) + coalesce(json_extract(old.detail, '$.console_len'), 0) ELSE 0 END
    WHERE principal = old.principal AND issuer = old.issuer;
END;
",
    r"
-- Steps of runs have the number of the change that made them (0 = made by an earlier version), and runs are found by the
-- pool whose seat they took.
ALTER TABLE transitions ADD COLUMN change INTEGER NOT NULL DEFAULT 0;
CREATE INDEX transitions_change ON transitions(change, n) WHERE change > 0;
CREATE INDEX runs_pool ON runs(pool, run) WHERE pool <> '';
",
    include_str!("schema/notifications.sql"),
];

/// The newest format that this program knows.
pub(super) fn known() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// The first format with blobs.
pub(super) const WITH_BLOBS: i64 = 8;

/// Migrates the file to the newest format.
///
/// # Errors
/// When it is newer than this program, or cannot be written.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), LedgerError> {
    migrate_to(connection, STEPS.len()).await
}

/// The number of formats without rows of attempts and leases.
#[cfg(test)]
pub(super) const PUBLISHED_BEFORE_ATTEMPTS: usize = 6;

/// The number of formats without blobs.
#[cfg(test)]
pub(super) const PUBLISHED_BEFORE_BLOBS: usize = 7;

/// The number of formats without do-files.
#[cfg(test)]
pub(super) const PUBLISHED_BEFORE_DO_FILES: usize = 8;

/// The number of formats in which runs have no names.
#[cfg(test)]
pub(super) const PUBLISHED_BEFORE_NAMES: usize = 9;

/// Migrates the file to the format after so many steps.
pub(super) async fn migrate_to(connection: &mut SqliteConnection, steps: usize) -> Result<(), LedgerError> {
    let known = i64::try_from(steps).unwrap_or(i64::MAX);
    let found: i64 = sqlx::query("PRAGMA user_version")
        .fetch_one(&mut *connection)
        .await
        .map_err(storage)?
        .try_get(0)
        .map_err(storage)?;
    if found > known {
        return Err(LedgerError::TooNew { found, known });
    }
    for (n, step) in STEPS.iter().enumerate().take(steps).skip(usize::try_from(found).unwrap_or_default()) {
        let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.map_err(storage)?;
        sqlx::raw_sql(*step).execute(&mut *tx).await.map_err(storage)?;
        // A pragma takes no parameters; the number is the program's own.
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA user_version = {}", n + 1)))
            .execute(&mut *tx)
            .await
            .map_err(storage)?;
        tx.commit().await.map_err(storage)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::STEPS;

    /// Released ledgers are at these steps. A new step gets a new line.
    const PUBLISHED: [&str; 16] = [
        "2257e31ffd69df8101661089c4a0a71214457787f50c883b91a32a01fdc8f690",
        "2575abb34b9c6aeea6201882b4000473b04656249d5a05ce312973cadfaa9620",
        "dda136271797a1b6f0ab576f7a3125879c01d1d44624f425f79eb6159f258ca5",
        "8d100c25864e8306beff797b8f81fe21a065a4f6c0a96c8018fd6502966b9a0c",
        "48af2866205a5859fd22f0d513ea7322f833ea2dcaaf66a2126ace38abcdcc99",
        "f5349ba348809da23c3d76d1f06c319e2c48f59099708505f9e5db5b8c7c35d3",
        "21cb93cdfcbb839650819636d0df6c38627b0940a2c4ae59832de05fb12ff6ed",
        "04ff48dcf5ece2b4bc0edd2156c42721ceb7809d8f9fa5d1a5e26d897a2127c0",
        "46003e9be3443bbf91d21e6ab24ec64dfcc2a025b44d9cc69ca5f5628d8a173f",
        "5d6b9f880d8cf42771396bbfca2791c3b2e57af2e2294fd9eccbf25e223cbf6c",
        "d4a448cfdf153b0cba14d751832fc8c2cf748c4ff4d0c249ad864c181335e60f",
        "372fd87a76eac9ac17687e8c1d560af50b8539285ab466ae3113e09f444b10c9",
        "903d401bcfb3b36602867461fa66f7906d21f6a3a0476d022d5dff10dc1edbd5",
        "3bf614f2b7bab654769e3a772b6c973eb66fd23bccfd97bf9485ca074a816499",
        "6bae47dd18c082938928491570a1be6ebf9131c15d29a2de8af0baff7eb55b7c",
        "d92bcf175085c210aef54f2229e7f6df4662ac53a7889432c3cffb89b2334112",
    ];

    #[test]
    fn a_published_step_is_never_edited() {
        for (n, (step, published)) in STEPS.iter().zip(PUBLISHED).enumerate() {
            let digest = longhaul_proto::sha256_hex(step.as_bytes());
            assert_eq!(digest, published, "step {} was edited: put it back, and write another step", n + 1);
        }
        assert_eq!(STEPS.len(), PUBLISHED.len(), "every step is published: add its digest");
    }
}
