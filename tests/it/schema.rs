//! Migrations go up, down and up again, and give both databases and the program the same schema.

use crate::support::postgres;
use crate::support::store::{Place, connect, on_postgres};
use causeway::store::{Db, StoreUrl, migrate};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use std::collections::{BTreeMap, BTreeSet};

/// Tables with their columns in order (name, type, may be null) and their indexes (columns, unique).
#[derive(Debug, Default, PartialEq, Eq)]
struct Schema {
    columns: BTreeMap<String, Vec<(String, String, bool)>>,
    indexes: BTreeSet<(String, Vec<String>, bool)>,
}

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    owner: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = BigInt)]
    nullable: i64,
}

#[derive(QueryableByName)]
struct Index {
    #[diesel(sql_type = Text)]
    owner: String,
    #[diesel(sql_type = Text)]
    columns: String,
    #[diesel(sql_type = BigInt)]
    only: i64,
}

const SQLITE_COLUMNS: &str = "SELECT m.name AS owner, c.name AS name, c.type AS kind, 1 - c.\"notnull\" AS nullable \
    FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\' \
    AND m.name NOT LIKE 'sqlite%' ORDER BY m.name, c.cid";
const SQLITE_INDEXES: &str = "SELECT m.name AS owner, i.\"unique\" AS only, \
    (SELECT group_concat(name) FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno)) AS columns \
    FROM sqlite_master m, pragma_index_list(m.name) i WHERE m.type = 'table' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\' \
    UNION ALL SELECT m.name, 1, c.name FROM sqlite_master m, pragma_table_info(m.name) c \
    WHERE m.type = 'table' AND c.pk = 1 AND c.type = 'INTEGER' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\'";
const POSTGRES_COLUMNS: &str = "SELECT table_name::text AS owner, column_name::text AS name, data_type::text AS kind, \
    CASE is_nullable WHEN 'YES' THEN 1::bigint ELSE 0::bigint END AS nullable FROM information_schema.columns \
    WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_%' ORDER BY table_name, ordinal_position";
const POSTGRES_INDEXES: &str = "SELECT t.relname::text AS owner, CASE WHEN i.indisunique THEN 1::bigint ELSE 0::bigint END AS only, \
    (SELECT string_agg(a.attname::text, ',' ORDER BY k.place) FROM unnest(i.indkey) WITH ORDINALITY AS k(number, place) \
     JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number) AS columns \
    FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace \
    WHERE n.nspname = 'public' AND t.relname NOT LIKE '\\_\\_%'";

fn schema(db: &mut Db) -> Schema {
    let (columns, indexes) = match db {
        Db::Sqlite(_) => (SQLITE_COLUMNS, SQLITE_INDEXES),
        Db::Pg(_) => (POSTGRES_COLUMNS, POSTGRES_INDEXES),
    };
    let mut schema = Schema::default();
    for column in diesel::sql_query(columns).load::<Column>(db).expect("columns") {
        let kind = match column.kind.to_lowercase().as_str() {
            "bytea" => "blob".to_owned(),
            // An INTEGER PRIMARY KEY of SQLite is its row id: 64 bits, unique, without an index of its own.
            "integer" if matches!(db, Db::Sqlite(_)) => "bigint".to_owned(),
            other => other.to_owned(),
        };
        schema
            .columns
            .entry(column.owner)
            .or_default()
            .push((column.name, kind, column.nullable == 1));
    }
    for index in diesel::sql_query(indexes).load::<Index>(db).expect("indexes") {
        let mut columns: Vec<String> = index.columns.split(',').map(str::to_owned).collect();
        columns.retain(|name| !name.is_empty());
        schema.indexes.insert((index.owner, columns, index.only == 1));
    }
    schema
}

fn migrated(url: &StoreUrl) -> Schema {
    let mut db = connect(url);
    migrate::up(&mut db).expect("up");
    schema(&mut db)
}

#[test]
fn migrations_go_up_down_and_up_again() {
    let place = Place::fresh();
    let mut db = connect(&place.url);
    migrate::up(&mut db).expect("up");
    let first = schema(&mut db);
    assert!(first.columns.len() >= 10, "{first:?}");
    migrate::up(&mut db).expect("up again changes nothing");
    assert_eq!(schema(&mut db), first);
    // A step that was undone, restored and undone again: two rows undo it, which the schema before did not take.
    for row in [
        "INSERT INTO identity_step (id, at_ms, event) VALUES ('s1', 1, 'confirm')",
        "INSERT INTO identity_step (id, at_ms, event, undoes) VALUES ('s2', 2, 'take-back', 's1')",
        "INSERT INTO identity_step (id, at_ms, event, undoes) VALUES ('s3', 3, 'take-back', 's1')",
        "INSERT INTO identity_change (step_id, place, link_id, link_after, patient_id) VALUES ('s1', 0, 'l', '{\"patient_id\":\"p\"}', 'p')",
    ] {
        diesel::sql_query(row).execute(&mut db).expect(row);
    }
    migrate::down(&mut db).expect("down");
    assert_eq!(schema(&mut db), Schema::default());
    migrate::up(&mut db).expect("up after down");
    assert_eq!(schema(&mut db), first);
}

#[test]
fn both_databases_have_the_same_schema() {
    if !on_postgres() {
        return; // the run on PostgreSQL compares both
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sqlite = StoreUrl::Sqlite(folder.path().join("schema.db"));
    let postgres = StoreUrl::parse(&postgres::fresh_database()).expect("an address");
    let (sqlite, postgres) = (migrated(&sqlite), migrated(&postgres));
    assert_eq!(sqlite.columns, postgres.columns);
    assert_eq!(sqlite.indexes, postgres.indexes);
}

#[test]
fn the_program_sees_the_tables_as_the_migrations_made_them() {
    let place = Place::fresh();
    let made = migrated(&place.url);
    let source = concat!(
        include_str!("../../src/store/schema.rs"),
        include_str!("../../src/store/schema/alerts.rs"),
        include_str!("../../src/store/schema/bulk.rs"),
        include_str!("../../src/store/schema/console.rs"),
        include_str!("../../src/store/schema/erased.rs"),
        include_str!("../../src/store/schema/evidence.rs"),
        include_str!("../../src/store/schema/exchanges.rs"),
        include_str!("../../src/store/schema/figures.rs"),
        include_str!("../../src/store/schema/ledger.rs"),
        include_str!("../../src/store/schema/policy.rs"),
        include_str!("../../src/store/schema/received.rs"),
        include_str!("../../src/store/schema/retention.rs")
    );
    let mut seen: BTreeMap<String, Vec<(String, String, bool)>> = BTreeMap::new();
    let (mut current, mut renamed) = (None, None);
    for line in source.lines().map(str::trim) {
        if let (Some((head, _)), true) = (line.split_once(" ("), line.ends_with(") {")) {
            current = Some(head.to_owned());
        } else if let Some(name) = line.strip_prefix("#[sql_name = \"") {
            renamed = Some(name.trim_end_matches("\"]").to_owned());
        } else if let (Some((name, kind)), Some(owner)) = (line.trim_end_matches(',').split_once(" -> "), &current) {
            let inner = kind.trim_start_matches("Nullable<").trim_end_matches('>');
            let plain = if inner == "Binary" {
                "blob".to_owned()
            } else {
                inner.to_lowercase()
            };
            let name = renamed.take().unwrap_or_else(|| name.to_owned());
            seen.entry(owner.clone())
                .or_default()
                .push((name, plain, kind != inner));
        }
    }
    assert_eq!(seen, made.columns);
}

/// How the database would run `query`.
fn plan(db: &mut Db, query: &str) -> String {
    #[derive(QueryableByName)]
    struct Detail {
        #[diesel(sql_type = Text)]
        detail: String,
    }
    #[derive(QueryableByName)]
    struct Explained {
        #[diesel(sql_type = Text)]
        #[diesel(column_name = "QUERY PLAN")]
        line: String,
    }
    let lines: Vec<String> = match db {
        Db::Sqlite(_) => diesel::sql_query(format!("EXPLAIN QUERY PLAN {query}"))
            .load::<Detail>(db)
            .expect(query)
            .into_iter()
            .map(|row| row.detail)
            .collect(),
        Db::Pg(_) => diesel::sql_query(format!("EXPLAIN {query}"))
            .load::<Explained>(db)
            .expect(query)
            .into_iter()
            .map(|row| row.line)
            .collect(),
    };
    lines.join("\n")
}

#[test]
fn t_b07_a_partners_own_exchanges_are_found_without_a_walk_through_those_of_all() {
    let place = Place::fresh();
    drop(place.open());
    let mut db = connect(&place.url);
    let numbers = if on_postgres() {
        "SELECT n FROM generate_series(1, 20000) AS n"
    } else {
        "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) SELECT n FROM s"
    };
    // One partner in a thousand is small, and each of its grants was renewed twice.
    diesel::sql_query(format!(
        "INSERT INTO decision (id, partner_id, correlation_id, request_id, kind, outcome, grant_id, policy_version, detail, created_ms) \
         SELECT 'd' || n, CASE WHEN n % 1000 = 0 THEN 'small' ELSE 'large' END, 'c' || n, 'r' || n, 'match', 'matched', 'g' || n / 3, \
         'v', '{{}}', n FROM ({numbers}) AS numbers"
    ))
    .execute(&mut db)
    .expect("rows");
    diesel::sql_query("ANALYZE").execute(&mut db).expect("statistics");
    for (index, query) in [
        (
            "decision_partner",
            "SELECT * FROM decision WHERE partner_id = 'small' AND id < 'd9' ORDER BY id DESC LIMIT 100",
        ),
        (
            "decision_partner",
            "SELECT * FROM decision WHERE partner_id = 'small' AND outcome IN ('matched') ORDER BY id DESC LIMIT 100",
        ),
        (
            "decision_request",
            "SELECT * FROM decision WHERE partner_id = 'large' AND correlation_id = 'c7' ORDER BY id DESC LIMIT 100",
        ),
        (
            "decision_own_request",
            "SELECT * FROM decision WHERE request_id IN ('r7', 'r9')",
        ),
        (
            "decision_grant",
            "SELECT d.id, n.id, n.created_ms FROM decision d JOIN decision n ON n.id = (SELECT MIN(o.id) FROM decision o \
             WHERE o.grant_id = d.grant_id AND o.id > d.id) WHERE d.id IN ('d3', 'd6')",
        ),
    ] {
        let plan = plan(&mut db, query);
        assert!(plan.contains(index), "{query}\n{plan}");
        for walk in ["Seq Scan", "SCAN decision", "SCAN d", "TEMP B-TREE"] {
            assert!(!plan.contains(walk), "{query}\n{plan}");
        }
    }
}
