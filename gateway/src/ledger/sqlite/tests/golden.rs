//! Test: this version opens ledgers in each published format, and the API shows their runs as before.
//!
//! They are made from dumps of ledgers that earlier versions wrote: the first (`format-1.sql`), the last one before
//! attempts and leases had rows (`format-6.sql`), the last one before there were blobs (`format-7.sql`), and the last one
//! before do-files were kept (`format-8.sql`). Beside each dump is what the API of that version showed (`format-N.json`).

use longhaul_proto::{
    api::RunView,
    state::{Cause, RunState},
    tasks::Tasks,
    wire::submission::Source,
};
use sqlx::Row;

use super::super::{SqliteLedger, schema};
use crate::{
    frontend::run_view::run_view,
    ledger::{
        AgentStore, AttemptRow, BlobStore, BlobsSwept, ChangeStore, DoFileStore, DoFiles, LeaseChange, LeaseStore,
        Ledger, ListQuery, RunFilter, RunStore, Stash, StashStore, TokenStore, Transition, agreement,
    },
    model::{Attempt, Principal, Record},
    runs::snapshot::recorded,
};

async fn number(pool: &sqlx::SqlitePool, pragma: &str) -> String {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA {pragma}"))).fetch_one(pool).await.unwrap();
    row.try_get::<String, _>(0).unwrap_or_else(|_| row.get::<i64, _>(0).to_string())
}

#[tokio::test]
async fn a_ledger_of_each_version_is_taken_over_whole() {
    for format in 1..=schema::PUBLISHED_BEFORE_NAMES {
        taken_over_from(format).await;
    }
}

/// Makes a ledger of a dump, migrated to a format; returns its folder and its address.
async fn restored(dump: &'static str, format: usize) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}?mode=rwc", folder.path().join("ledger.sqlite").display());
    let raw = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::raw_sql(dump).execute(&raw).await.unwrap();
    let mut connection = raw.acquire().await.unwrap();
    schema::migrate_to(&mut connection, format).await.unwrap();
    drop(connection);
    assert_eq!(number(&raw, "user_version").await, format.to_string());
    raw.close().await;
    (folder, url)
}

/// What the API shows of a run, without what it did not show then.
fn shown(run: &Record) -> serde_json::Value {
    let view = run_view(&recorded(run));
    let failed = view.state.is_end() && view.state != RunState::Succeeded;
    assert_eq!(view.error.is_some(), failed, "records of all versions have kinds: {view:#?}");
    serde_json::to_value(RunView { error: None, ..view }).unwrap()
}

/// Checks that the API shows the runs as it did when the golden file was made.
async fn shown_as_before(ledger: &SqliteLedger, before: &str) {
    let mut runs = ledger.list(ListQuery { limit: 100, ..ListQuery::default() }).await.unwrap();
    runs.reverse();
    let shown: Vec<_> = runs.iter().map(shown).collect();
    let before: Vec<serde_json::Value> = serde_json::from_str(before).unwrap();
    assert_eq!(shown.len(), before.len());
    for (shown, before) in shown.iter().zip(&before) {
        assert_eq!(shown, before);
    }
    assert_eq!(agreement::disagreements(ledger).await.unwrap(), Vec::<String>::new());
}

/// The leases that the ledger has, by the end of their runs' names, with attempt and host.
async fn leases(ledger: &SqliteLedger) -> Vec<(String, u32, String)> {
    let leases = ledger.leases().await.unwrap();
    let tail = |id: &str| id[id.len() - 2..].to_owned();
    leases.into_iter().map(|l| (tail(&l.holder.id), l.attempt.map_or(0, Attempt::number), l.at.host)).collect()
}

#[tokio::test]
async fn attempts_and_leases_of_the_last_format_without_them_are_found() {
    let (folder, _) = restored(include_str!("golden/format-6.sql"), schema::PUBLISHED_BEFORE_ATTEMPTS).await;
    let ledger = SqliteLedger::open(folder.path(), "x", &Tasks::new()).await.unwrap();
    shown_as_before(&ledger, include_str!("golden/format-6.json")).await;
    let held = [("02", 2, "stata2"), ("05", 3, "stata2"), ("09", 1, "stata1")];
    assert_eq!(leases(&ledger).await, held.map(|(run, attempt, host)| (run.to_owned(), attempt, host.to_owned())));
    let mut runs = ledger.list(ListQuery { limit: 100, ..ListQuery::default() }).await.unwrap();
    runs.reverse();
    let mut found = Vec::new();
    for run in &runs {
        let attempts = ledger.attempts(run.run).await.unwrap();
        found.push(attempts.iter().map(in_words).collect::<Vec<_>>().join(", "));
    }
    // Of an attempt that never started that version kept no host.
    let expected = [
        "1 on : queued returned, 2 on stata2: succeeded completed",
        "1 on stata1: queued proven_dead, 2 on stata2: goes on",
        "1 on stata1: queued returned",
        "1 on stata3: lost declared_dead",
        "3 on stata2: goes on",
        "1 on stata1: queued returned",
        "",
        "1 on stata1: queued proven_dead, 2 on stata2: queued proven_dead, 3 on stata1: errored killed",
        "1 on stata1: goes on",
    ];
    assert_eq!(found, expected);
    let changes = ledger.changes_since(0, 100).await.unwrap();
    let changed: Vec<_> = changes.iter().map(|change| change.run).collect();
    assert_eq!(changed, runs.iter().map(|run| run.run).collect::<Vec<_>>(), "each run is a change");
    let owner = ledger.take_over("this gateway".to_owned()).await.unwrap();
    assert_eq!(owner.epoch, 1);
    ledger.close().await;
}

/// Code and bundles of that version are in the rows of their submissions, where they stay until the records go.
#[tokio::test]
async fn the_code_of_the_last_format_without_blobs_is_read_where_it_is() {
    let (folder, _) = restored(include_str!("golden/format-7.sql"), schema::PUBLISHED_BEFORE_BLOBS).await;
    let ledger = SqliteLedger::open(folder.path(), "x", &Tasks::new()).await.unwrap();
    let before: Vec<serde_json::Value> = serde_json::from_str(include_str!("golden/format-7.json")).unwrap();
    for before in &before {
        let run = before["run_id"].as_str().unwrap().parse().unwrap();
        let record = ledger.get(run).await.unwrap().unwrap();
        assert_eq!(&shown(&record), before);
    }
    let mut runs = ledger.list(ListQuery { limit: 100, ..ListQuery::default() }).await.unwrap();
    runs.reverse();
    use RunState::{Failed, Queued, Running, Succeeded};
    let states: Vec<_> = runs.iter().map(|run| run.state).collect();
    assert_eq!(states, [Succeeded, Succeeded, Failed, Running, Queued]);
    let mut code = Vec::new();
    for run in &runs {
        code.push(match ledger.submission(run.run).await.unwrap().unwrap().source.unwrap() {
            Source::Text(text) => String::from_utf8(text).unwrap(),
            Source::Bundle(bundle) => bundle.files.iter().map(|file| format!("{} ", file.path)).collect(),
            other => panic!("{other:?}"),
        });
        assert!(ledger.blobs_of(run.run).await.unwrap().is_empty());
    }
    let expected = ["display 1\n", "lib/one.do main.do ", "display 1\nerror 9\n", "sleep 600000\n", "waits.do "];
    assert_eq!(code, expected);
    assert_eq!(leases(&ledger).await.len(), 1);
    assert_eq!(agreement::disagreements(&ledger).await.unwrap(), Vec::<String>::new());
    // And blobs can be kept from now on.
    assert_eq!(ledger.blob_sweep(i64::MAX, 10).await.unwrap(), BlobsSwept::default());
    ledger.close().await;
}

/// Runs of that version are asked after once; their agents kept no bytes. What they hold stays.
#[tokio::test]
async fn the_do_files_of_the_last_format_without_them_are_due() {
    let (folder, _) = restored(include_str!("golden/format-8.sql"), schema::PUBLISHED_BEFORE_DO_FILES).await;
    let ledger = SqliteLedger::open(folder.path(), "x", &Tasks::new()).await.unwrap();
    shown_as_before(&ledger, include_str!("golden/format-8.json")).await;
    let mut runs = ledger.list(ListQuery { limit: 100, ..ListQuery::default() }).await.unwrap();
    runs.reverse();
    let [path, bundle] = runs.as_slice() else { panic!("two runs: {runs:#?}") };
    assert_eq!(ledger.blobs_of(path.run).await.unwrap(), []);
    assert_eq!(ledger.blobs_of(bundle.run).await.unwrap().len(), 2);
    let due = ledger.do_files_due(path.agent_id(), 10).await.unwrap();
    assert_eq!(due, [path.run, bundle.run]);
    for run in due {
        assert_eq!(ledger.do_files(run).await.unwrap(), None);
        let note = DoFiles { note: "not kept".to_owned(), ..DoFiles::default() };
        assert!(ledger.note_do_files(run, note.clone()).await.unwrap());
        assert_eq!(ledger.do_files(run).await.unwrap(), Some(note));
    }
    assert_eq!(ledger.do_files_due(path.agent_id(), 10).await.unwrap(), []);
    assert_eq!(ledger.blob_sweep(0, 10).await.unwrap(), BlobsSwept::default());
    ledger.close().await;
}

fn in_words(row: &AttemptRow) -> String {
    let end = row.ended.as_ref().map_or_else(|| "goes on".to_owned(), |end| format!("{} {}", end.state, end.cause));
    format!("{} on {}: {end}", row.number, row.at.host)
}

async fn taken_over_from(format: usize) {
    let (folder, url) = restored(include_str!("golden/format-1.sql"), format).await;
    let tasks = Tasks::new();
    for opened in 0..2 {
        let ledger = SqliteLedger::open(folder.path(), "a new name", &tasks).await.unwrap();
        assert_eq!(ledger.cluster_id(), "01a20498-ffcf-7434-886e-663c3a48478d");
        let fourth = as_the_first_version_left_it(&ledger).await;

        // And it goes on: with the next step, and with what the first version had no table for.
        let name = fourth.run.to_string();
        if opened == 0 {
            assert_eq!(ledger.unfinished().await.unwrap().len(), 2);
            shown_as_before(&ledger, include_str!("golden/format-1.json")).await;
            assert_eq!(leases(&ledger).await.len(), 2, "both may have a Stata");
            let step = Transition {
                run: fourth.run,
                from: RunState::Running,
                from_attempt: fourth.attempt(),
                to: RunState::Succeeded,
                cause: Cause::Completed,
                at_ms: 7,
                detail: fourth.detail.clone(),
                lease: LeaseChange::Free,
                owner: fourth.owner.clone(),
                told: None,
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
        // Runs of before are searched like those of today.
        let which = RunFilter { text: Some(fourth.detail.asked.source.to_uppercase()), ..RunFilter::default() };
        let found = ledger.list(ListQuery { which, limit: 100, ..ListQuery::default() }).await.unwrap();
        assert!(found.iter().any(|run| run.run == fourth.run), "{found:#?}");
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
