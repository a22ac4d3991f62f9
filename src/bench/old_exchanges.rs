//! Exchanges of years ago, in a store that no process uses: copies of one that has really ended, with ids and times of their own by a seed.
//! They are there for size alone; nothing reads them again.

use crate::error::{Failure, Fault};
use crate::store::entries::COMPLETED;
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::{PgConnection, SqliteConnection};

/// Exchanges that are written in one transaction.
const AT_ONCE: u64 = 20_000;
/// The oldest began so long before the one that is copied, milliseconds.
const PAST_MS: u64 = 3 * 365 * 86_400_000;
/// The numbers of the copies.
const NUMBERS: &str = "WITH RECURSIVE numbers(i) AS (SELECT CAST({from} AS BIGINT) UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < {to})";
/// Says that the copied entries of the ledger are indexed.
const INDEXED: &str = "UPDATE ledger_subject_state SET upto = old.id \
     FROM (SELECT MAX(id) AS id FROM ledger_entry WHERE id LIKE '00-%') AS old WHERE upto < old.id";
/// The tables with rows of an exchange, each with the column that names it.
const TABLES: [(&str, &str); 9] = [
    ("exchange", "id"),
    ("exchange_ask", "exchange_id"),
    ("exchange_result", "exchange_id"),
    ("exchange_step", "exchange_id"),
    ("ingest", "exchange_id"),
    ("ingest_part", "exchange_id"),
    ("ingest_page", "exchange_id"),
    ("ingest_resource", "exchange_id"),
    ("ledger_entry", "exchange_id"),
];

/// The store of a payer that does not run now.
pub(super) enum RestingStore {
    Sqlite(Box<SqliteConnection>),
    Postgres(Box<PgConnection>),
}

#[derive(QueryableByName)]
struct ColumnName {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct OneNumber {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct OneText {
    #[diesel(sql_type = Text)]
    text: String,
}

impl RestingStore {
    /// Opens the store with this URL.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`].
    pub(super) fn open(url: &str) -> Result<RestingStore, Failure> {
        let refused = |error: diesel::ConnectionError| Failure::new(Fault::StoreUnavailable).because(error.to_string());
        match url.strip_prefix("sqlite:") {
            Some(path) => SqliteConnection::establish(path).map(|db| RestingStore::Sqlite(Box::new(db))),
            None => PgConnection::establish(url).map(|db| RestingStore::Postgres(Box::new(db))),
        }
        .map_err(refused)
    }

    /// A number by a query that gives it as `n`.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`].
    pub(super) fn number(&mut self, query: &str) -> Result<i64, Failure> {
        let query = diesel::sql_query(query);
        match self {
            RestingStore::Sqlite(db) => query.get_result::<OneNumber>(db.as_mut()),
            RestingStore::Postgres(db) => query.get_result::<OneNumber>(db.as_mut()),
        }
        .map(|row| row.n)
        .map_err(broken)
    }

    /// A text by a query that gives it as `text`; `None` when it finds no row.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`].
    pub(super) fn text(&mut self, query: &str) -> Result<Option<String>, Failure> {
        let query = diesel::sql_query(query);
        match self {
            RestingStore::Sqlite(db) => query.get_result::<OneText>(db.as_mut()).optional(),
            RestingStore::Postgres(db) => query.get_result::<OneText>(db.as_mut()).optional(),
        }
        .map(|row| row.map(|row| row.text))
        .map_err(broken)
    }

    /// Lets the database count its rows, for its plans.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`].
    pub(super) fn analyze(&mut self) -> Result<(), Failure> {
        self.run("ANALYZE")
    }

    fn columns(&mut self, table: &str) -> Result<Vec<String>, Failure> {
        let found = match self {
            RestingStore::Sqlite(db) => diesel::sql_query(format!("SELECT name FROM pragma_table_info('{table}')"))
                .load::<ColumnName>(db.as_mut()),
            RestingStore::Postgres(db) => diesel::sql_query(format!(
                "SELECT column_name::text AS name FROM information_schema.columns WHERE table_name = '{table}' \
                 AND table_schema = current_schema() ORDER BY ordinal_position"
            ))
            .load::<ColumnName>(db.as_mut()),
        };
        Ok(found.map_err(broken)?.into_iter().map(|one| one.name).collect())
    }

    fn run(&mut self, statements: &str) -> Result<(), Failure> {
        match self {
            RestingStore::Sqlite(db) => db.batch_execute(statements),
            RestingStore::Postgres(db) => db.batch_execute(statements),
        }
        .map_err(broken)
    }

    /// Adds old exchanges until there are `wanted` of all ages. Copies the first that has been completed.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`]; also when none has been completed.
    pub(super) fn age(&mut self, wanted: u64, seed: u64) -> Result<(), Failure> {
        let there = u64::try_from(self.number("SELECT COUNT(*) AS n FROM exchange")?).unwrap_or(0);
        let query =
            "SELECT id AS text FROM exchange WHERE phase = 'completed' AND id NOT LIKE '00-%' ORDER BY id LIMIT 1";
        let model = self.text(query)?;
        let model = model.ok_or_else(|| broken(diesel::result::Error::NotFound))?;
        let mut copies = Vec::new();
        for (table, key) in TABLES {
            copies.push(copy(table, key, &self.columns(table)?, &model, seed));
        }
        copies.push(subjects(&model));
        let mut from = there;
        while from < wanted {
            let to = (from + AT_ONCE).min(wanted);
            let mut statements = "BEGIN;".to_owned();
            for one in &copies {
                statements.push_str(
                    &one.replace("{from}", &from.to_string())
                        .replace("{to}", &to.to_string()),
                );
            }
            statements.push_str("COMMIT;");
            self.run(&statements)?;
            from = to;
        }
        self.run(INDEXED)?;
        self.analyze()
    }
}

/// The statement that copies the rows of the model in one table, with `{from}` and `{to}` for the numbers of the copies.
fn copy(table: &str, key: &str, columns: &[String], model: &str, seed: u64) -> String {
    // Spread by a multiplier that has no factor in common with the span; the same seed gives the same times.
    let past = format!("((i * {} + {seed}) % {PAST_MS})", 40_503 * 2_654_435 + 2 * seed);
    let values: Vec<String> = columns
        .iter()
        .map(|column| match column.as_str() {
            name if name == key => "'00-' || i".to_owned(),
            // An entry of the ledger has an id of its own, and no place in the sequence.
            "id" if table == "ledger_entry" => "'00-' || i || '-' || id".to_owned(),
            "idx" | "request_key" | "live_key" => "NULL".to_owned(),
            "correlation_id" => "'00-' || i".to_owned(),
            name if name.ends_with("_ms") => format!("{name} - {past}"),
            "at_us" => format!("at_us - 1000 * {past}"),
            name => name.to_owned(),
        })
        .collect();
    format!(
        "{NUMBERS} INSERT INTO {table} ({}) SELECT {} FROM {table}, numbers WHERE {key} = '{model}';",
        columns.join(", "),
        values.join(", ")
    )
}

/// The statement that indexes the copied entries of the ledger by their subject, as a server has done within minutes. Otherwise the next one
/// to start would make up for years.
fn subjects(model: &str) -> String {
    format!(
        "{NUMBERS} INSERT INTO ledger_subject (subject, entry_id) SELECT subject, '00-' || i || '-' || id FROM ledger_entry, numbers \
         WHERE exchange_id = '{model}' AND subject IS NOT NULL AND action <> '{COMPLETED}';"
    )
}

fn broken(error: diesel::result::Error) -> Failure {
    Failure::new(Fault::StoreUnavailable).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_names_and_times_of_its_own() {
        let columns = ["id", "live_key", "phase", "created_ms"].map(str::to_owned);
        let text = copy("exchange", "id", &columns, "e1", 7);
        assert!(text.contains(
            "INSERT INTO exchange (id, live_key, phase, created_ms) SELECT '00-' || i, NULL, phase, created_ms - (("
        ));
        assert!(text.ends_with("WHERE id = 'e1';") && text.contains("{from}") && text.contains("{to}"));
        assert_eq!(text, copy("exchange", "id", &columns, "e1", 7));
        assert_ne!(text, copy("exchange", "id", &columns, "e1", 8));
        let entry = copy(
            "ledger_entry",
            "exchange_id",
            &["id", "idx", "exchange_id", "at_us"].map(str::to_owned),
            "e1",
            7,
        );
        assert!(entry.contains("SELECT '00-' || i || '-' || id, NULL, '00-' || i, at_us - 1000 * (("));
        let subjects = subjects("e1");
        assert!(
            subjects.contains(
                "SELECT subject, '00-' || i || '-' || id FROM ledger_entry, numbers WHERE exchange_id = 'e1'"
            )
        );
        assert!(subjects.contains("{from}") && subjects.contains("{to}"));
    }
}
