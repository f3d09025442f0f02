//! Test: every filter of a list of runs goes along an index, and the words of a run are written when they change.

use longhaul_proto::{ids::Ids, state::RunState, tasks::Tasks};
use sqlx::{Row, SqlitePool};

use super::super::{SqliteLedger, changes::STEPS, list::listing};
use crate::{
    ledger::{
        Ledger, ListQuery, RunFilter, RunStore,
        conformance::{end, new_run, running},
    },
    model::Principal,
};

async fn raw(folder: &tempfile::TempDir) -> SqlitePool {
    SqlitePool::connect(&format!("sqlite:{}", folder.path().join("ledger.sqlite").display())).await.unwrap()
}

/// The steps of a plan that read a table.
fn reads(rows: &[sqlx::sqlite::SqliteRow]) -> Vec<String> {
    let steps = rows.iter().map(|row| row.get::<String, _>("detail"));
    steps.filter(|step| step.starts_with("SCAN") || step.starts_with("SEARCH")).collect()
}

#[tokio::test]
async fn every_filter_of_a_list_has_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(folder.path(), "c1", &Tasks::new()).await.unwrap();
    let db = raw(&folder).await;
    let text = |text: &str| Some(text.to_owned());
    let one = RunFilter::in_state(RunState::Failed);
    let several = RunFilter { states: vec![RunState::Failed, RunState::Lost], ..RunFilter::default() };
    let name = RunFilter { name: text("n"), ..RunFilter::default() };
    let host = RunFilter { host: text("h"), ..RunFilter::default() };
    let pool = RunFilter { pool: text("p"), ..RunFilter::default() };
    let since = RunFilter { since_ms: Some(1_800_000_000_000), ..RunFilter::default() };
    let until = RunFilter { until_ms: Some(1_800_000_000_000), ..RunFilter::default() };
    let words = RunFilter { text: text("t"), ..RunFilter::default() };
    let cases = [
        (RunFilter::default(), "(run<?)", "runs_principal"),
        (one, "runs_state (state=? AND run<?)", "runs_principal_state"),
        (several, "runs_state (state=? AND run<?)", "runs_principal_state"),
        (name, "runs_name (name=? AND run<?)", "runs_"),
        (host, "runs_host (host=? AND run<?)", "runs_"),
        (pool, "runs_pool (pool=? AND run<?)", "runs_"),
        (since, "(run>? AND run<?)", "runs_principal"),
        (until, "(run<?)", "runs_principal"),
        (words, "(run>? AND run<?)", "runs_principal"),
    ];
    for (which, everybodys, own) in cases {
        for (principal, index) in [(None, everybodys), (Some(Principal::local("ann")), own)] {
            for before in [None, Some(Ids::system().run())] {
                let which = which.clone();
                let query =
                    ListQuery { principal: principal.clone(), which, before, limit: 20, ..ListQuery::default() };
                let sql = format!("EXPLAIN QUERY PLAN {}", listing(&query).sql().as_str());
                let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&db).await.unwrap();
                let reads = reads(&rows);
                // The list of ids that several states gave is no table.
                assert!(
                    reads.iter().all(|step| step.starts_with("SEARCH") || !step.contains("runs")),
                    "{query:?}: {reads:#?}"
                );
                assert!(reads.iter().any(|step| step.contains(index)), "{query:?}: {reads:#?}");
            }
        }
    }
    // What is told of all runs goes along the order of steps, and looks up the run of each.
    let sql = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {STEPS}"))).bind(1).bind(0).bind(10);
    let steps = reads(&sql.fetch_all(&db).await.unwrap());
    assert!(steps[0].contains("SEARCH t USING INDEX transitions_change (change>"), "{steps:#?}");
    assert!(steps.iter().all(|step| step.starts_with("SEARCH")), "{steps:#?}");
    // The control: what has no index is seen to have none.
    let rows = sqlx::query("EXPLAIN QUERY PLAN SELECT run FROM runs WHERE cause = 'x'").fetch_all(&db).await.unwrap();
    assert_eq!(reads(&rows), ["SCAN runs"]);
    db.close().await;
    ledger.close().await;
}

#[tokio::test]
async fn words_are_written_with_the_record_and_with_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(folder.path(), "c1", &Tasks::new()).await.unwrap();
    let db = raw(&folder).await;
    let count = "CREATE TABLE written(words TEXT); CREATE TRIGGER counts AFTER UPDATE OF words ON runs BEGIN \
                 INSERT INTO written VALUES (new.words); END";
    sqlx::raw_sql(count).execute(&db).await.unwrap();
    let mut new = new_run("ann");
    new.record.detail.asked.name = "Nightly".to_owned();
    let run = running(&ledger, new).await;
    let written = async || sqlx::query("SELECT count(*) FROM written").fetch_one(&db).await.unwrap().get::<i64, _>(0);
    assert_eq!(written().await, 0, "neither the start nor the first byte changes them");
    let which = RunFilter { text: Some("nightly".to_owned()), ..RunFilter::default() };
    let found =
        async || ledger.list(ListQuery { which: which.clone(), limit: 9, ..ListQuery::default() }).await.unwrap();
    assert_eq!(found().await[0].run, run);
    end(&ledger, run, 1_100, true).await;
    assert_eq!(written().await, 1, "an end has a message");
    db.close().await;
    ledger.close().await;
}
