//! Work of a migration on every row of a large table, done before the migration in pieces. Each piece is a short transaction of its own
//! over few rows; it can be interrupted, and finished pieces are not repeated.
//!
//! Only for statements whose effect the previous version of the program would not notice, so that it can go on running while
//! they are half done; a test of the migration shows this. The migration then runs the same statement over the few rows written
//! in the meantime, in the transaction that writes its version row.

use super::tell::Tell;
use crate::error::Failure;
use crate::store::connection::Db;
use crate::store::resources;
use diesel::connection::{Connection as _, SimpleConnection as _};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use std::time::Instant;

/// How many rows one piece covers.
pub(super) const PIECE: i64 = 50_000;

/// Statements over `resource`; each ends in a condition, to which the range of keys is added.
struct Prepared {
    version: &'static str,
    sqlite: &'static [&'static str],
    postgres: &'static [&'static str],
}

const PREPARED: &[Prepared] = &[Prepared {
    // The previous version's release rule reads `pa_changed_ms` only for ended authorizations (`pa_state = 2`), and an
    // unknown source only makes an import check the same bytes again.
    version: "00000000000008",
    sqlite: &[
        "UPDATE resource SET pa_changed_ms = NULL WHERE pa_state = 1 AND pa_changed_ms IS NOT NULL",
        "UPDATE resource SET source_sha256 = x'' WHERE pa_state <> 0 AND source_sha256 <> x''",
    ],
    postgres: &[
        "UPDATE resource SET pa_changed_ms = NULL WHERE pa_state = 1 AND pa_changed_ms IS NOT NULL",
        "UPDATE resource SET source_sha256 = ''::bytea WHERE pa_state <> 0 AND source_sha256 <> ''::bytea",
    ],
}];

#[derive(QueryableByName)]
struct Range {
    #[diesel(sql_type = Nullable<BigInt>)]
    upto: Option<i64>,
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Runs the large statements of this migration, `piece` rows at a time. Does nothing for a migration without such statements.
///
/// # Errors
/// Those of the database; finished pieces are kept and not repeated.
pub(super) fn prepare(db: &mut Db, version: &str, piece: i64, tell: Tell<'_>) -> Result<(), Failure> {
    let Some(prepared) = PREPARED.iter().find(|one| one.version == version) else {
        return Ok(());
    };
    let statements = match db {
        Db::Sqlite(_) => prepared.sqlite,
        Db::Pg(_) => prepared.postgres,
    };
    let began = Instant::now();
    // One more than the smallest number, whose digits PostgreSQL does not read as a BIGINT.
    let (mut after, mut looked) = (i64::MIN + 1, 0);
    loop {
        let range = diesel::sql_query(format!(
            "SELECT MAX(key) AS upto, COUNT(*) AS n FROM \
             (SELECT key FROM resource WHERE key > {after} ORDER BY key LIMIT {piece}) AS piece"
        ))
        .get_result::<Range>(db)?;
        let Some(upto) = range.upto else { return Ok(()) };
        db.transaction::<_, Failure, _>(|db| {
            // Imports of the previous version write the same rows; they take the same lock.
            resources::lock(db)?;
            for statement in statements {
                db.batch_execute(&format!("{statement} AND key > {after} AND key <= {upto}"))?;
            }
            Ok(())
        })?;
        after = upto;
        looked += range.n;
        // A store that fits into one piece is not worth a report.
        if looked > piece || range.n == piece {
            tell(&format!(
                "preparing migration {version}: {looked} resources looked at in {} s",
                began.elapsed().as_secs()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::migrate;
    use diesel::sqlite::SqliteConnection;

    fn store() -> Db {
        let mut db = Db::Sqlite(SqliteConnection::establish(":memory:").expect("opens"));
        migrate::up(&mut db).expect("up");
        for key in 0..10 {
            let state = key % 3;
            db.batch_execute(&format!(
                "INSERT INTO resource (key, compartment, type, id, version, last_updated_ms, sensitivity, pa_state, pa_changed_ms, \
                 financial, source_sha256, sha256, body) VALUES ({}, 1, 'Claim', 'c{key}', 1, 1, 0, {state}, 7, 0, x'01', x'01', x'01')",
                key * 1_000
            ))
            .expect("a row");
        }
        db
    }

    fn rows(db: &mut Db, condition: &str) -> i64 {
        diesel::sql_query(format!(
            "SELECT MAX(key) AS upto, COUNT(*) AS n FROM resource WHERE {condition}"
        ))
        .get_result::<Range>(db)
        .expect("a count")
        .n
    }

    #[test]
    fn every_row_is_prepared_whatever_the_size_of_a_piece() {
        for piece in [1, 3, 10, 100] {
            let (mut db, mut told) = (store(), 0);
            prepare(&mut db, "00000000000008", piece, &mut |_| told += 1).expect("prepared");
            assert_eq!(rows(&mut db, "pa_state = 1 AND pa_changed_ms IS NULL"), 3, "{piece}");
            assert_eq!(rows(&mut db, "pa_state <> 1 AND pa_changed_ms = 7"), 7, "{piece}");
            assert_eq!(rows(&mut db, "pa_state <> 0 AND source_sha256 = x''"), 6, "{piece}");
            assert_eq!(rows(&mut db, "pa_state = 0 AND source_sha256 = x'01'"), 4, "{piece}");
            assert_eq!(told > 0, piece <= 10, "{piece}: {told}");
        }
    }

    #[test]
    fn a_migration_without_large_statements_touches_nothing() {
        let mut db = store();
        prepare(&mut db, "00000000000009", 1, &mut |_| panic!("told")).expect("nothing to do");
        assert_eq!(rows(&mut db, "pa_changed_ms = 7"), 10);
    }
}
