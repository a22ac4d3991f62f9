//! How SQLite runs a search across members.

use super::*;
use crate::fhir::search::query::{QueryReading, read};
use crate::store::migrate;
use diesel::SqliteConnection;
use diesel::connection::SimpleConnection as _;
use diesel::sql_types::Integer;

const READING: QueryReading<'static> = QueryReading {
    base_url: "https://p.example/fhir",
    now_ms: 1_700_000_000_000,
    strict: true,
};

/// A store in which partner `p` has grants on a few members.
fn store() -> Db {
    let mut db = Db::Sqlite(SqliteConnection::establish(":memory:").expect("opens"));
    migrate::up(&mut db).expect("up");
    db.batch_execute(
        "PRAGMA foreign_keys = OFF; \
         INSERT INTO compartment (no, patient_id, umb, next_seq) VALUES (1, 'm', 'u', 1), (2, 'n', 'v', 1); \
         INSERT INTO grants (id, partner_id, compartment, patient_id, consent_id, decision_id, sensitive, valid_from_ms, valid_until_ms, \
         created_ms, renewed_ms) VALUES ('g', 'p', 1, 'm', 'k', 'd', 0, 0, 1, 1, 1), ('h', 'p', 2, 'n', 'l', 'd', 0, 0, 1, 1, 1)",
    )
    .expect("grants");
    db
}

/// The steps of the first statement.
fn plan(db: &mut Db, rtype: &str, pairs: &[(&str, &str)]) -> Vec<String> {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let search = read(rtype, &pairs, &READING).expect("a search");
    let scope = SearchScope::Granted {
        partner: "p".to_owned(),
    };
    let asked = SearchAsked {
        scope: &scope,
        part: &[],
        search: &search,
        umb_system: "urn:umb",
        now_ms: 0,
    };
    let mut steps = Vec::new();
    parts::each(db, &asked, -1, |db, asked| {
        let mut sql = Sql::new("EXPLAIN QUERY PLAN SELECT r.key");
        matching(&mut sql, asked, -1, false);
        sql.with(" ORDER BY r.key LIMIT ?", [2.into()]);
        let rows: Vec<(i32, i32, i32, String)> = load!(db, sql, (Integer, Integer, Integer, Text));
        steps.extend(rows.into_iter().map(|row| row.3));
        Ok(false)
    })
    .expect("a plan");
    steps
}

#[test]
fn t_b07_a_search_across_members_reads_the_index_once_and_not_for_each_resource() {
    let mut db = store();
    for filter in [
        &[("code", "http://loinc.org|2085-9")][..],
        &[("code", "2085-9,1-8")],
        &[("code", "http://loinc.org|")],
        &[("code:not", "2085-9")],
        &[("code:missing", "true")],
        &[("code:missing", "false")],
        &[("date", "2020")],
        &[("date", "ne2020")],
        &[("date", "gt2020")],
        &[("date", "lt2020")],
        &[("date", "ge1900-01-01")],
        &[("date", "le2020")],
        &[("date", "sa2020")],
        &[("date", "eb2020")],
        &[("date", "ap2020")],
        &[("date:missing", "true")],
        &[("encounter", "Encounter/1")],
        &[("patient", "Patient/m,Patient/n")],
        &[("patient:missing", "true")],
        &[("_profile", "http://p.example/profile")],
        &[("date", "ge1900-01-01"), ("status", "final"), ("code:not", "1-8")],
    ] {
        let plan = plan(&mut db, "Observation", filter);
        let again = plan.iter().filter(|step| step.contains("CORRELATED")).count();
        assert_eq!(again, 1, "only the grant is looked up for each: {filter:?}\n{plan:#?}");
        assert!(
            !plan.iter().any(|step| step.starts_with("SCAN r")),
            "{filter:?}\n{plan:#?}"
        );
    }
    for filter in [
        &[("name:contains", "an")][..],
        &[("birthdate", "lt2000"), ("gender", "female")],
    ] {
        let plan = plan(&mut db, "Patient", filter);
        let again = plan.iter().filter(|step| step.contains("CORRELATED")).count();
        assert_eq!(again, 1, "{filter:?}\n{plan:#?}");
    }
}
