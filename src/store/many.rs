//! Inserts many rows in few statements.

/// Most rows in one INSERT; both databases limit the number of parameters.
pub(super) const ROWS: usize = 500;

macro_rules! insert {
    ($db:expr, $table:expr, $rows:expr) => {
        for rows in $rows.chunks($crate::store::many::ROWS) {
            match $db {
                $crate::store::Db::Pg(pg) => diesel::insert_into($table).values(rows).execute(pg)?,
                $crate::store::Db::Sqlite(sqlite) => diesel::insert_into($table).values(rows).execute(sqlite)?,
            };
        }
    };
}
pub(super) use insert;
