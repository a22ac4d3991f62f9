//! Updates many rows of `resource` by key in one statement, each row with its own values,
//! because on PostgreSQL every statement is a round trip.

use super::Db;
use super::statement::Bind;
use diesel::backend::Backend;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sqlite::Sqlite;

/// Most rows in one statement; with [`COLUMNS`] the number of values stays below the limit of both databases.
const ROWS: usize = 500;
/// Most columns of one row, including its key.
const COLUMNS: usize = 16;
/// A statement takes no further row once its values reach this many bytes.
const BYTES: usize = 4 << 20;

/// The columns of `resource` that are set. Each row has its key first, then a value for each column.
pub(super) struct Update {
    pub(super) columns: &'static [&'static str],
}

impl Update {
    /// Updates `rows`, in as few statements as their size allows.
    ///
    /// # Errors
    /// Those of the database.
    pub(super) fn run(&self, db: &mut Db, rows: &[Vec<Bind<'_>>]) -> QueryResult<()> {
        debug_assert!(self.columns.len() < COLUMNS && rows.iter().all(|row| row.len() == self.columns.len() + 1));
        let mut rest = rows;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(share(rest));
            let many = Many {
                columns: self.columns,
                rows: now,
            };
            match db {
                Db::Pg(pg) => many.execute(pg)?,
                Db::Sqlite(sqlite) => many.execute(sqlite)?,
            };
            rest = later;
        }
        Ok(())
    }
}

/// Returns how many of `rows` the next statement takes: at least one.
fn share(rows: &[Vec<Bind<'_>>]) -> usize {
    let mut bytes = 0;
    let fits = rows.iter().take(ROWS).take_while(|row| {
        let fits = bytes < BYTES;
        bytes += row.iter().map(size).sum::<usize>();
        fits
    });
    fits.count().max(1)
}

fn size(bind: &Bind<'_>) -> usize {
    match bind {
        Bind::Text(text) | Bind::OptText(Some(text)) => text.len(),
        Bind::Blob(bytes) | Bind::OptBlob(Some(bytes)) => bytes.len(),
        Bind::Big(_) | Bind::OptBig(_) | Bind::OptText(None) | Bind::OptBlob(None) => size_of::<i64>(),
        Bind::Bigs(numbers) => size_of_val(*numbers),
    }
}

struct Many<'a, 'v> {
    columns: &'static [&'static str],
    rows: &'a [Vec<Bind<'v>>],
}

impl Many<'_, '_> {
    fn walk<'b, DB: Backend>(
        &'b self,
        mut out: AstPass<'_, 'b, DB>,
        push: impl Fn(&mut AstPass<'_, 'b, DB>, &'b Bind<'b>) -> QueryResult<()>,
    ) -> QueryResult<()> {
        // The text depends on the number of rows, so it is not worth keeping prepared.
        out.unsafe_to_cache_prepared();
        out.push_sql("WITH v (key");
        for place in 0..self.columns.len() {
            out.push_sql(&format!(", c{place}"));
        }
        out.push_sql(") AS (VALUES ");
        for (number, row) in self.rows.iter().enumerate() {
            out.push_sql(if number == 0 { "(" } else { ", (" });
            for (place, bind) in row.iter().enumerate() {
                if place > 0 {
                    out.push_sql(", ");
                }
                push(&mut out, bind)?;
            }
            out.push_sql(")");
        }
        out.push_sql(") UPDATE resource SET ");
        for (place, column) in self.columns.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            out.push_sql(&format!("{comma}{column} = v.c{place}"));
        }
        out.push_sql(" FROM v WHERE resource.key = v.key");
        Ok(())
    }
}

impl QueryFragment<Pg> for Many<'_, '_> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.walk(out, |out, bind| bind.push_pg(out))
    }
}

impl QueryFragment<Sqlite> for Many<'_, '_> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.walk(out, |out, bind| bind.push_sqlite(out))
    }
}

impl QueryId for Many<'_, '_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Conn> RunQueryDsl<Conn> for Many<'_, '_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_has_a_bounded_number_of_rows_and_of_bytes() {
        let small = vec![vec![Bind::Big(1), Bind::OptBlob(None)]; ROWS + 1];
        assert_eq!(share(&small), ROWS);
        let large = vec![0; BYTES];
        let large = vec![vec![Bind::Big(1), Bind::Blob(&large)]; 3];
        assert_eq!(share(&large), 1);
        assert_eq!(share(&small[..1]), 1);
    }
}
