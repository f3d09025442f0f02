//! Lists of runs, and runs by a part of their id.
//!
//! Every list goes along an index that ends with the run's id, newest first, and stops when it has enough. A text has no
//! index: for it the words of the runs that the rest of the filter leaves are read, newest first, and of so many at most
//! ([`MOST_SEARCHED`]). The tests of this folder hold each filter to its plan.

use longhaul_proto::{ids::RunId, ids::SHORT_LEN, state::RunState};
use sqlx::{QueryBuilder, Row, Sqlite, SqlitePool};

use super::{
    row::{columns, parse, record},
    storage,
};
use crate::{
    ledger::{LedgerError, ListQuery},
    model::{Principal, Record},
};

/// Above every id.
const END: &str = "~";
/// How far the time in an id may lie from the one at which its run was recorded, ms.
const APART_MS: i64 = 24 * 3600 * 1000;
/// The words of so many runs are searched for a text, the newest that the rest of the filter leaves: a text that is nowhere
/// must not keep a reader busy for as long as there are records.
const MOST_SEARCHED: i64 = 100_000;

/// The runs that a query asks for.
pub(super) async fn list(readers: &SqlitePool, query: ListQuery) -> Result<Vec<Record>, LedgerError> {
    let rows = listing(&query).build().fetch_all(readers).await.map_err(storage)?;
    rows.iter().map(record).collect()
}

/// The statement of a list.
pub(super) fn listing(query: &ListQuery) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::<Sqlite>::new(columns!(""));
    match query.which.states.as_slice() {
        [] => conditions(&mut sql, query, None),
        [state] => conditions(&mut sql, query, Some(*state)),
        states => {
            // Each state has its place in the index.
            sql.push("WHERE run IN (");
            for (n, state) in states.iter().enumerate() {
                sql.push(if n > 0 { " UNION ALL " } else { "" }).push("SELECT run FROM (SELECT run FROM runs ");
                conditions(&mut sql, query, Some(*state));
                sql.push(")");
            }
            sql.push(") ORDER BY run DESC LIMIT ").push_bind(i64::from(query.limit));
        }
    }
    sql
}

fn conditions(sql: &mut QueryBuilder<Sqlite>, query: &ListQuery, state: Option<RunState>) {
    indexed(sql, query, state);
    if let Some(text) = &query.which.text {
        sql.push(" AND run >= coalesce((SELECT run FROM runs ");
        indexed(sql, query, state);
        sql.push(" ORDER BY run DESC LIMIT 1 OFFSET ").push_bind(MOST_SEARCHED).push("), '')");
        sql.push(" AND instr(words, ").push_bind(text.to_lowercase()).push(") > 0");
    }
    sql.push(" ORDER BY run DESC LIMIT ").push_bind(i64::from(query.limit));
}

/// What an index knows.
fn indexed(sql: &mut QueryBuilder<Sqlite>, query: &ListQuery, state: Option<RunState>) {
    let which = &query.which;
    let before = query.before.map_or_else(|| END.to_owned(), |run| run.to_string());
    let until = which.until_ms.map(|until| first_at(until.saturating_add(APART_MS)));
    sql.push("WHERE run < ").push_bind(until.map_or(before.clone(), |until| until.min(before)));
    of_principal(sql, query.principal.as_ref());
    if let Some(state) = state {
        sql.push(" AND state = ").push_bind(state.as_str());
    }
    if let Some(name) = &which.name {
        // The first half says that the index of named runs has them all.
        sql.push(" AND name <> '' AND name = ").push_bind(name.clone());
    }
    if let Some(host) = &which.host {
        sql.push(" AND host <> '' AND host = ").push_bind(host.clone());
    }
    if let Some(pool) = &which.pool {
        sql.push(" AND pool <> '' AND pool = ").push_bind(pool.clone());
    }
    if let Some(until) = which.until_ms {
        sql.push(" AND created < ").push_bind(until);
    }
    if let Some(since) = which.since_ms {
        sql.push(" AND created >= ").push_bind(since);
        sql.push(" AND run >= ").push_bind(first_at(since.saturating_sub(APART_MS)));
    }
}

fn of_principal(sql: &mut QueryBuilder<Sqlite>, principal: Option<&Principal>) {
    if let Some(principal) = principal {
        sql.push(" AND principal = ").push_bind(principal.subject().to_owned());
        sql.push(" AND issuer = ").push_bind(principal.issuer().to_owned());
    }
}

/// Not above any id that was made then or later.
fn first_at(ms: i64) -> String {
    let ms = u64::try_from(ms).unwrap_or(0).min((1 << 48) - 1);
    format!("{:08x}-{:04x}", ms >> 16, ms & 0xffff)
}

/// The runs that a part of their id names.
pub(super) async fn by_tail(
    readers: &SqlitePool,
    principal: Option<&Principal>,
    tail: &str,
    limit: u32,
) -> Result<Vec<RunId>, LedgerError> {
    if tail.len() >= SHORT_LEN {
        // The index has the last eight characters; longer forms are compared among the few runs that share them.
        let short = tail.get(tail.len() - SHORT_LEN..).unwrap_or_default();
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT run FROM runs WHERE tail = ");
        sql.push_bind(short.to_owned());
        of_principal(&mut sql, principal);
        sql.push(" ORDER BY run DESC LIMIT 1000");
        let mut found = ids(readers, sql).await?;
        found.retain(|run| run.to_string().replace('-', "").ends_with(tail));
        found.truncate(limit as usize);
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let mut found = Vec::new();
    for (column, from) in [("tail", tail.to_owned()), ("run", hyphenated(tail))] {
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT run FROM runs WHERE ");
        sql.push(column).push(" >= ").push_bind(from.clone());
        sql.push(" AND ").push(column).push(" < ").push_bind(from + END);
        of_principal(&mut sql, principal);
        sql.push(" ORDER BY ").push(column).push(" DESC LIMIT ").push_bind(i64::from(limit));
        found.append(&mut ids(readers, sql).await?);
    }
    found.sort_by(|a, b| b.cmp(a));
    found.dedup();
    found.truncate(limit as usize);
    Ok(found)
}

async fn ids(readers: &SqlitePool, mut sql: QueryBuilder<Sqlite>) -> Result<Vec<RunId>, LedgerError> {
    let rows = sql.build().fetch_all(readers).await.map_err(storage)?;
    rows.iter().map(|row| parse(row.try_get(0).map_err(storage)?)).collect()
}

/// The beginning of an id as the ledger has it.
fn hyphenated(beginning: &str) -> String {
    let hyphen = |at: usize| matches!(at, 8 | 12 | 16 | 20);
    beginning.chars().enumerate().flat_map(|(at, c)| hyphen(at).then_some('-').into_iter().chain([c])).collect()
}
