//! Compares the rule's SQL with the same rule in code, over every combination of values in its columns.

use super::*;
use crate::store::{Db, migrate};
use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;

const NOW: i64 = 1_800_000_000_000;
const KEPT: i64 = NOW - PA_KEPT_MS;

fn store() -> Db {
    let mut db = Db::Sqlite(SqliteConnection::establish(":memory:").expect("opens"));
    migrate::up(&mut db).expect("up");
    db
}

/// Every combination of values in the release columns of a row of `resource`.
fn rows() -> Vec<ReleaseColumns> {
    let mut rows = Vec::new();
    for sensitivity in [0, 1, WITHHELD_ALWAYS - 1, WITHHELD_ALWAYS, (1 << 62) | 1, -1] {
        for (financial, has_released) in [(0, false), (0, true), (1, false), (1, true)] {
            for pa_state in -1..9 {
                for pa_changed_ms in [None, Some(KEPT - 1), Some(KEPT), Some(NOW + 1)] {
                    rows.push(ReleaseColumns {
                        sensitivity,
                        pa_state,
                        pa_changed_ms,
                        financial,
                        has_released,
                    });
                }
            }
        }
    }
    rows
}

fn insert(db: &mut Db, rows: &[ReleaseColumns]) {
    let mut text = String::new();
    for (key, row) in rows.iter().enumerate() {
        let changed = row.pa_changed_ms.map_or("NULL".to_owned(), |ms| ms.to_string());
        let released = if row.has_released { "x'02'" } else { "NULL" };
        text.push_str(&format!(
            "INSERT INTO resource (key, compartment, type, id, version, last_updated_ms, sensitivity, pa_state, pa_changed_ms, financial, \
             source_sha256, sha256, body, released) VALUES ({key}, 1, 'Claim', 'c{key}', 1, 1, {}, {}, {changed}, {}, x'', x'', x'01', \
             {released});",
            row.sensitivity, row.pa_state, row.financial
        ));
    }
    db.batch_execute(&text).expect("rows");
}

fn grant(db: &mut Db, sensitive: i64) {
    db.batch_execute(&format!(
        "PRAGMA foreign_keys = OFF; DELETE FROM grants; DELETE FROM consent; \
         INSERT INTO consent (id, partner_id, patient_id, digest, policy, period_from_ms, period_to_ms, body, recorded_ms) \
         VALUES ('k', 'p', 'm', x'01', 'regular', {NOW}, {NOW} + 1, x'01', 1); \
         INSERT INTO grants (id, partner_id, compartment, patient_id, consent_id, decision_id, sensitive, valid_from_ms, valid_until_ms, \
         created_ms, renewed_ms) VALUES ('g', 'p', 1, 'm', 'k', 'd', {sensitive}, {NOW}, {NOW} + 1, 1, 1)"
    ))
    .expect("a grant");
}

fn keys(db: &mut Db, condition: &str) -> Vec<i64> {
    #[derive(QueryableByName)]
    struct Key {
        #[diesel(sql_type = BigInt)]
        key: i64,
    }
    let text = format!(
        "SELECT resource.key AS key FROM resource JOIN grants ON grants.compartment = resource.compartment WHERE {condition} \
         ORDER BY resource.key"
    );
    let found: Vec<Key> = diesel::sql_query(text).load(db).expect("keys");
    found.into_iter().map(|row| row.key).collect()
}

#[test]
fn the_text_and_the_code_say_the_same_of_every_row() {
    let (mut db, rows) = (store(), rows());
    insert(&mut db, &rows);
    let where_ = |holds: &dyn Fn(&ReleaseColumns) -> bool| -> Vec<i64> {
        (0..)
            .zip(&rows)
            .filter(|(_, row)| holds(row))
            .map(|(key, _)| key)
            .collect()
    };
    let stays = |row: &ReleaseColumns| row.category_stays() || row.money_stays() || row.authorization_stays(NOW);
    grant(&mut db, 0);
    let rule = releasable_sql!("resource", "grants").replace('?', &releasable_value(NOW).to_string());
    let regular = keys(&mut db, &rule);
    assert_eq!(regular, where_(&|row| !stays(row)));
    assert!(!regular.is_empty());
    let suspects = keys(
        &mut db,
        "(resource.pa_state <> 0 OR NOT (resource.sensitivity = 0 AND (resource.financial = 0 OR resource.released IS NOT NULL)))",
    );
    let built: Vec<i64> = crate::store::schema::resource::table
        .filter(suspect())
        .order(crate::store::schema::resource::key)
        .select(crate::store::schema::resource::key)
        .load(&mut db)
        .expect("keys");
    assert_eq!(built, suspects);
    assert!(where_(&stays).iter().all(|key| suspects.contains(key)));
    grant(&mut db, 1);
    assert_eq!(
        keys(&mut db, &rule),
        where_(&|row| row.sensitivity < WITHHELD_ALWAYS && !row.money_stays() && !row.authorization_stays(NOW))
    );
    let shared = keys(&mut db, shared_sql!("resource"));
    assert_eq!(shared, where_(&|row| !row.category_stays() && !row.money_stays()));
}

#[test]
fn a_grant_is_live_while_nothing_speaks_against_it() {
    let mut db = store();
    for (change, lives) in [
        ("UPDATE grants SET revoked_ms = NULL", true),
        ("UPDATE grants SET partner_id = 'q'", false),
        ("UPDATE grants SET revoked_ms = 1", false),
        ("UPDATE grants SET valid_from_ms = valid_from_ms + 1", false),
        ("UPDATE grants SET valid_until_ms = valid_until_ms - 1", false),
        ("UPDATE consent SET revoked_ms = 1", false),
        ("UPDATE consent SET period_from_ms = period_from_ms + 1", false),
        ("UPDATE consent SET period_to_ms = period_to_ms - 1", false),
    ] {
        grant(&mut db, 0);
        db.batch_execute(change).expect("a change");
        let found: i64 = grants::table
            .inner_join(
                crate::store::schema::consent::table.on(crate::store::schema::consent::id.eq(grants::consent_id)),
            )
            .filter(live("p", NOW))
            .count()
            .get_result(&mut db)
            .expect("a count");
        assert_eq!(found == 1, lives, "{change}");
    }
}

#[test]
fn of_several_live_grants_the_best_one_counts_however_large_the_resource_is() {
    let mut db = store();
    let row = ReleaseColumns {
        sensitivity: 0,
        pa_state: 0,
        pa_changed_ms: None,
        financial: 0,
        has_released: false,
    };
    insert(&mut db, &[row]);
    grant(&mut db, 0);
    let more = |db: &mut Db, id: &str, sensitive: i64| {
        db.batch_execute(&format!(
            "INSERT INTO consent (id, partner_id, patient_id, digest, policy, period_from_ms, period_to_ms, body, recorded_ms) \
             VALUES ('k{id}', 'p', 'm', x'02{id}', 'regular', {NOW}, {NOW} + 1, x'01', 1); \
             INSERT INTO grants (id, partner_id, compartment, patient_id, consent_id, decision_id, sensitive, valid_from_ms, \
             valid_until_ms, created_ms, renewed_ms) VALUES ('{id}', 'p', 1, 'm', 'k{id}', 'd', {sensitive}, {NOW}, {NOW} + 1, 1, 1)"
        ))
        .expect("a grant");
    };
    let read = |db: &mut Db, wanted: &str| {
        for most_bytes in [128 * 1024, i32::MAX] {
            let found = crate::store::disclosure::one(db, "p", ("Claim", "c0"), NOW, most_bytes);
            let grant = found.expect("reads").map(|(row, grant)| (row.size(), grant.id));
            assert_eq!(grant, Some((1, wanted.to_owned())), "{most_bytes}");
        }
        let too_large = crate::store::disclosure::one(db, "p", ("Claim", "c0"), NOW, 0);
        assert!(too_large.expect("reads").is_none());
    };
    read(&mut db, "g");
    more(&mut db, "0a", 0);
    read(&mut db, "0a");
    more(&mut db, "ff", 1);
    more(&mut db, "ee", 1);
    read(&mut db, "ee");
}
