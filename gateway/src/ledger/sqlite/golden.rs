//! Test: this version opens ledgers in each published format, made from one that the first version wrote (`golden/format-1.sql`, a dump of a real one).

use longhaul_proto::{
    state::{Cause, RunState},
    tasks::Tasks,
    wire::submission::Source,
};
use sqlx::Row;

use super::{SqliteLedger, schema};
use crate::{
    ledger::{AgentStore, Ledger, ListQuery, RunStore, Stash, StashStore, TokenStore, Transition},
    model::{Attempt, Principal, Record},
};

async fn number(pool: &sqlx::SqlitePool, pragma: &str) -> String {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA {pragma}"))).fetch_one(pool).await.unwrap();
    row.try_get::<String, _>(0).unwrap_or_else(|_| row.get::<i64, _>(0).to_string())
}

#[tokio::test]
async fn a_ledger_of_each_version_is_taken_over_whole() {
    for format in 1..=schema::PUBLISHED_BEFORE_ISSUERS {
        taken_over_from(format).await;
    }
}

async fn taken_over_from(format: usize) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}?mode=rwc", folder.path().join("ledger.sqlite").display());
    let raw = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::raw_sql(include_str!("golden/format-1.sql")).execute(&raw).await.unwrap();
    let mut connection = raw.acquire().await.unwrap();
    schema::migrate_to(&mut connection, format).await.unwrap();
    drop(connection);
    assert_eq!(number(&raw, "user_version").await, format.to_string());
    raw.close().await;

    let tasks = Tasks::new();
    for opened in 0..2 {
        let ledger = SqliteLedger::open(folder.path(), "a new name", &tasks).await.unwrap();
        assert_eq!(ledger.cluster_id(), "01a20498-ffcf-7434-886e-663c3a48478d");
        let fourth = as_the_first_version_left_it(&ledger).await;

        // And it goes on: with the next step, and with what the first version had no table for.
        let name = fourth.run.to_string();
        if opened == 0 {
            assert_eq!(ledger.unfinished().await.unwrap().len(), 2);
            let step = Transition {
                run: fourth.run,
                from: RunState::Running,
                from_attempt: fourth.attempt(),
                to: RunState::Succeeded,
                cause: Cause::Completed,
                at_ms: 7,
                detail: fourth.detail.clone(),
            };
            ledger.transition(step).await.unwrap();
            let stash = Stash {
                kind: "call".into(),
                name: name.clone(),
                principal: Principal::local("root"),
                created_ms: 1,
                body: "{}".into(),
            };
            ledger.stash_put(stash).await.unwrap();
        }
        assert_eq!(ledger.get(fourth.run).await.unwrap().unwrap().state, RunState::Succeeded);
        assert!(ledger.stash_get("call", &name).await.unwrap().is_some());
        ledger.close().await;
    }
    let raw = sqlx::SqlitePool::connect(&url).await.unwrap();
    assert_eq!(number(&raw, "integrity_check").await, "ok");
    assert_ne!(number(&raw, "user_version").await, format.to_string());
    raw.close().await;
}

/// Checks all that the first version wrote; gives the last run, which is unfinished at first.
async fn as_the_first_version_left_it(ledger: &SqliteLedger) -> Record {
    let mut runs = ledger.list(ListQuery { limit: 10, ..ListQuery::default() }).await.unwrap();
    runs.reverse();
    let [first, second, third, fourth] = runs.as_slice() else { panic!("four runs: {runs:#?}") };
    assert_eq!((first.state, first.cause, first.detail.end.complete), (RunState::Succeeded, Cause::Completed, true));
    assert_eq!((second.state, second.detail.end.rc), (RunState::Failed, Some(9)));
    assert_eq!(second.detail.asked.args, ["2024", "a b"]);
    assert_eq!(third.cancel.as_ref().map(|c| c.by.as_str()), Some("root"));
    assert_eq!((third.state, third.host(), third.attempt_number()), (RunState::Running, "vm", 1));
    let submission = ledger.submission(first.run).await.unwrap().unwrap();
    assert_eq!(submission.source, Some(Source::Text(b"display \"one\"\ndisplay 2+2\n".to_vec())));
    assert_eq!(
        ledger.by_key(&Principal::local("root"), "golden-key").await.unwrap().map(|(run, _)| run),
        Some(first.run)
    );
    let steps = ledger.history(first.run).await.unwrap();
    let steps: Vec<_> = steps.iter().map(|s| (s.state, s.attempt.map_or(0, Attempt::number))).collect();
    use RunState::{Queued, Running, Starting, Succeeded};
    assert_eq!(steps, [(Queued, 0), (Starting, 1), (Running, 1), (Succeeded, 1)]);
    let tokens = ledger.token_list().await.unwrap();
    assert_eq!(tokens.iter().map(|token| &token.principal).collect::<Vec<_>>(), [&Principal::local("root")]);
    for run in &runs {
        assert_eq!((run.principal.issuer(), run.principal.subject()), ("local", "root"));
    }
    assert_eq!(ledger.principals_called("root").await.unwrap(), [Principal::local("root")]);
    assert_eq!(ledger.agents().await.unwrap()[0].info.name, "vm");
    fourth.clone()
}
