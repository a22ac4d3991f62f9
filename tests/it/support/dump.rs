//! A store as text, table by table, so that two moments can be compared byte for byte.

use causeway::store::Db;
use diesel::prelude::*;
use diesel::sql_types::Text;
use std::collections::BTreeMap;

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

fn lines(db: &mut Db, query: &str) -> Vec<String> {
    let found = diesel::sql_query(query).load::<Line>(db);
    found
        .unwrap_or_else(|error| panic!("{query}: {error}"))
        .into_iter()
        .map(|row| row.line)
        .collect()
}

/// Every row of every table but `without`, in an order of its own.
pub fn dump(db: &mut Db, without: &[&str]) -> BTreeMap<String, Vec<String>> {
    let tables = match db {
        Db::Sqlite(_) => {
            "SELECT name AS line FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' \
             AND name NOT LIKE '\\_\\_%' ESCAPE '\\' ORDER BY name"
        }
        Db::Pg(_) => {
            "SELECT tablename::text AS line FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '\\_\\_%' ORDER BY 1"
        }
    };
    let mut found = BTreeMap::new();
    for table in lines(db, tables) {
        if without.contains(&table.as_str()) {
            continue;
        }
        let query = match db {
            Db::Sqlite(_) => {
                let columns = format!("SELECT 'quote(\"' || name || '\")' AS line FROM pragma_table_info('{table}')");
                let columns = lines(db, &columns).join(" || ',' || ");
                format!("SELECT {columns} AS line FROM \"{table}\" ORDER BY 1")
            }
            Db::Pg(_) => format!("SELECT t::text AS line FROM \"{table}\" t ORDER BY 1"),
        };
        let rows = lines(db, &query);
        found.insert(table, rows);
    }
    found
}
