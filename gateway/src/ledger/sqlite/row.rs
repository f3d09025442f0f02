//! Rows of `runs`, read as records.

use std::str::FromStr;

use longhaul_proto::api::CancelMode;
use sqlx::{Row, sqlite::SqliteRow};

use super::storage;
use crate::{
    ledger::{
        LedgerError,
        stored::{self, LastAttempt},
    },
    model::{Attempt, CancelIntent, Detail, Owner, Placement, Principal, Record},
};

/// The columns of a [`Record`], in the order of [`record`].
macro_rules! columns {
    ($rest:literal) => {
        concat!(
            "SELECT run, principal, state, cause, attempt, agent_id, host, pool, created, finished, delivered, ",
            "cancel_by, cancel_at, cancel_mode, detail, issuer, owner, owner_epoch FROM runs ",
            $rest
        )
    };
}

pub(super) fn parse<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, LedgerError> {
    text.parse().map_err(|e: T::Err| LedgerError::Broken(e.to_string()))
}

/// The name of a mode in the ledger.
pub(super) fn mode_word(mode: CancelMode) -> &'static str {
    match mode {
        CancelMode::Break => "break",
        CancelMode::Terminate => "terminate",
        CancelMode::Kill => "kill",
    }
}

fn mode_of(word: &str) -> CancelMode {
    match word {
        "kill" => CancelMode::Kill,
        "terminate" => CancelMode::Terminate,
        _ => CancelMode::Break,
    }
}

/// The query for one [`record`].
pub(super) const ONE_RECORD: &str = columns!("WHERE run = ?");

pub(super) fn record(row: &SqliteRow) -> Result<Record, LedgerError> {
    let text = |at: usize| row.try_get::<&str, _>(at).map_err(storage);
    let number = |at: usize| row.try_get::<i64, _>(at).map_err(storage);
    let cancel = match row.try_get::<Option<String>, _>(11).map_err(storage)? {
        None => None,
        Some(by) => Some(CancelIntent { by, at_ms: number(12)?, mode: mode_of(text(13)?) }),
    };
    Ok(Record {
        run: parse(text(0)?)?,
        principal: Principal::new(text(15)?, text(1)?),
        state: parse(text(2)?)?,
        cause: parse(text(3)?)?,
        created_ms: number(8)?,
        finished_ms: number(9)?,
        shown_ms: number(10)?,
        cancel,
        detail: detail(row, 4, 14)?,
        owner: Owner { gateway: text(16)?.into(), epoch: u64::try_from(number(17)?).unwrap_or_default() },
    })
}

/// The detail of a row whose columns from `first` on are the last attempt, its agent, that agent's name and its pool, and
/// whose column `json` has the rest.
pub(super) fn detail(row: &SqliteRow, first: usize, json: usize) -> Result<Detail, LedgerError> {
    let text = |at: usize| row.try_get::<&str, _>(at).map_err(storage);
    let at = Placement {
        agent_id: text(first + 1)?.to_owned(),
        host: text(first + 2)?.to_owned(),
        pool: text(first + 3)?.to_owned(),
    };
    let last = attempt(row, first).map_err(storage)?.map(|number| LastAttempt { number, at });
    stored::read(text(json)?, last)
}

/// An attempt in a column, where 0 is none.
pub(super) fn attempt(row: &SqliteRow, at: usize) -> Result<Option<Attempt>, sqlx::Error> {
    Ok(u32::try_from(row.try_get::<i64, _>(at)?).ok().and_then(Attempt::known))
}

/// An attempt for a column, where 0 is none.
pub(super) fn number(attempt: Option<Attempt>) -> u32 {
    attempt.map_or(0, Attempt::number)
}

/// JSON of the ledger's own, as a value.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, LedgerError> {
    serde_json::from_str(text).map_err(|e| LedgerError::Broken(e.to_string()))
}

/// A value as JSON.
pub(super) fn to_json(value: &impl serde::Serialize) -> Result<String, LedgerError> {
    serde_json::to_string(value).map_err(|e| LedgerError::Broken(e.to_string()))
}

pub(super) use columns;
