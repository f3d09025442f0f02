//! Statements that cross to the database's thread together.
//!
//! The library executes every query on a thread of the connection's own, so that each costs two changes of threads. The
//! statements of one change are sent as one query, and its parameters are numbered on from statement to statement: only
//! `?` may be used. What follows the first statement of a change is executed only if that found its row, which then has
//! the number of the change.

use longhaul_proto::ids::RunId;
use sqlx::{
    Arguments, Encode, Sqlite, SqliteConnection, Type,
    sqlite::{SqliteArguments, SqliteQueryResult},
};

/// The number of the change that is being made.
pub(super) const CHANGE: &str = "(SELECT value FROM counters WHERE name = 'changes')";

/// Some statements with their parameters.
#[derive(Default)]
pub(super) struct Statements {
    text: String,
    arguments: SqliteArguments,
    /// The run that is changed; `None` = nothing is, and all are executed.
    changed: Option<String>,
    /// The first parameter that could not be encoded.
    wrong: Option<sqlx::Error>,
}

impl Statements {
    /// A change of a run, which is numbered. The next statement writes the row of the run with [`CHANGE`] as its number.
    pub(super) fn change(run: RunId) -> Self {
        let mut statements = Self { changed: Some(run.to_string()), ..Self::default() };
        statements.add("UPDATE counters SET value = value + 1 WHERE name = 'changes'");
        statements
    }

    /// Begins the next statement; [`Statements::and`] goes on with it.
    pub(super) fn add(&mut self, text: &str) -> &mut Self {
        if !self.text.is_empty() {
            self.text.push_str("; ");
        }
        self.and(text)
    }

    /// Goes on with the last statement.
    pub(super) fn and(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// The next parameter.
    pub(super) fn bind<'q, T: Encode<'q, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> &mut Self {
        if let Err(error) = self.arguments.add(value) {
            self.wrong.get_or_insert(sqlx::Error::Encode(error));
        }
        self
    }

    /// Ends an `INSERT ... SELECT ?, ...`: executed only if the run's row was written.
    pub(super) fn if_written(&mut self) -> &mut Self {
        self.condition(" WHERE ")
    }

    /// Ends a statement that has a condition: and only if the run's row was written.
    pub(super) fn and_if_written(&mut self) -> &mut Self {
        self.condition(" AND ")
    }

    fn condition(&mut self, word: &str) -> &mut Self {
        let Some(run) = self.changed.clone() else { return self };
        self.and(word).and("EXISTS (SELECT 1 FROM runs WHERE run = ? AND changed = ").and(CHANGE).and(")").bind(run)
    }

    /// Executes all of them; the rows that they wrote.
    pub(super) async fn execute(self, db: &mut SqliteConnection) -> Result<Rows, sqlx::Error> {
        if let Some(error) = self.wrong {
            return Err(error);
        }
        let done = sqlx::query_with(sqlx::AssertSqlSafe(self.text), self.arguments).execute(db).await?;
        Ok(Rows { done, counted: u64::from(self.changed.is_some()) })
    }
}

/// What statements wrote.
pub(super) struct Rows {
    done: SqliteQueryResult,
    /// Rows of counters.
    counted: u64,
}

impl Rows {
    /// Whether they wrote a row, besides the number of the change.
    pub(super) fn any(&self) -> bool {
        self.done.rows_affected() > self.counted
    }
}

#[cfg(test)]
mod tests {
    use longhaul_proto::ids::Ids;
    use sqlx::{Connection, Row};

    use super::*;

    async fn texts(db: &mut SqliteConnection, query: &'static str) -> Vec<String> {
        let rows = sqlx::query(query).fetch_all(db).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// What follows a statement that finds no row is not executed, and each parameter reaches its own statement.
    #[tokio::test]
    async fn what_follows_depends_on_the_row_of_the_run() {
        let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let tables = "CREATE TABLE counters(name TEXT, value INTEGER); CREATE TABLE runs(run TEXT, changed INTEGER); \
                      CREATE TABLE notes(text TEXT); INSERT INTO counters VALUES ('changes', 7)";
        sqlx::raw_sql(tables).execute(&mut db).await.unwrap();
        let run = Ids::system().run();
        sqlx::query("INSERT INTO runs VALUES (?, 7)").bind(run.to_string()).execute(&mut db).await.unwrap();
        for (named, expected) in [(Ids::system().run(), false), (run, true)] {
            let mut change = Statements::change(named);
            change.add("UPDATE runs SET changed = ").and(CHANGE).and(" WHERE run = ?").bind(named.to_string());
            change.add("INSERT INTO notes(text) SELECT ?").bind("first").if_written();
            change.add("UPDATE notes SET text = ? WHERE text = ?").bind("second").bind("first").and_if_written();
            assert_eq!(change.execute(&mut db).await.unwrap().any(), expected);
        }
        assert_eq!(texts(&mut db, "SELECT text FROM notes").await, ["second"]);
        assert_eq!(texts(&mut db, "SELECT CAST(changed AS TEXT) FROM runs").await, ["9"]);
    }
}
