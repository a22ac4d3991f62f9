//! What is looked for again and again does not read the exchanges of years ago, or all that a partner has: how SQLite runs the statements of
//! the sweeps, of the start and of pieces of bulk work.

use super::granted_members::MembersAsked;
use super::{Db, exchanges, granted_members, ingest, jobs, migrate, received_twice};
use crate::error::Failure;
use diesel::SqliteConnection;
use diesel::connection::{InstrumentationEvent, SimpleConnection as _};
use diesel::prelude::*;
use diesel::sql_types::Text;
use std::sync::{Arc, Mutex};

/// What ANALYZE says of a store with a million exchanges that have ended.
const OLD: &str = "ANALYZE; DELETE FROM sqlite_stat1; INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES \
    ('exchange', 'sqlite_autoindex_exchange_1', '1000000 1'), ('exchange', 'exchange_partner', '1000000 1000000 1'), \
    ('exchange', 'exchange_live', '1000000 1000000'), ('exchange_ask', 'sqlite_autoindex_exchange_ask_1', '1000000 1'), \
    ('exchange_ask', 'exchange_ask_opt_in', '1000000 631'), ('opt_in', 'sqlite_autoindex_opt_in_1', '1300 1'), \
    ('ingest', 'sqlite_autoindex_ingest_1', '1000000 1'), ('ingest', 'ingest_key', '1000000 1000000'), \
    ('ingest_resource', 'sqlite_autoindex_ingest_resource_1', '6000000 7 4 1'), \
    ('ingest_resource', 'ingest_resource_outcome', '6000000 7 3'), ('job', 'job_live', '1006 144 1')";
/// The same of its indexes without rows. Some versions leave them out.
const NO_ROWS: &str = "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('exchange', 'exchange_lives', '0 0 0'), \
    ('exchange', 'exchange_awake', '0 0'), ('exchange', 'exchange_parked', '0 0'), \
    ('ingest_resource', 'ingest_resource_quarantine', '0 0 0')";
/// The indexes that have no rows of exchanges that are over, and came to nothing that waits.
const SMALL: [&str; 4] = [
    "exchange_lives",
    "exchange_awake",
    "exchange_parked",
    "ingest_resource_quarantine",
];

#[derive(QueryableByName)]
struct PlanStep {
    #[diesel(sql_type = Text)]
    detail: String,
}

/// The texts of the statements that `act` sends.
fn sent(db: &mut Db, act: impl FnOnce(&mut Db) -> Result<(), Failure>) -> Vec<String> {
    let texts = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&texts);
    db.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            told.lock().expect("texts").push(query.to_string());
        }
    });
    act(db).expect("runs");
    db.set_instrumentation(|_: InstrumentationEvent<'_>| {});
    let texts = texts.lock().expect("texts");
    texts
        .iter()
        .filter_map(|text| text.split(" -- binds").next())
        .map(str::to_owned)
        .collect()
}

/// Everything that is looked for again and again.
fn look(db: &mut Db) -> Result<(), Failure> {
    exchanges::with_lost_jobs(db, "exchange", 100, 0)?;
    exchanges::without_job(db, ("exchange", "bulk-ask"), &["matching", "storing"], 100, 0)?;
    exchanges::waiting_under_ended(db, 1, "manual_review", 100, 0)?;
    exchanges::parked(db)?;
    exchanges::has_so_many(db, "p", 100)?;
    exchanges::live(db, "key")?;
    ingest::key_ids(db, "retracted")?;
    ingest::quarantined_before(db, 2, "retracted", "")?;
    jobs::next_ms(db)?;
    Ok(())
}

#[test]
fn what_is_looked_for_again_and_again_does_not_read_exchanges_of_years_ago() {
    for statistics in ["", OLD, &[OLD, NO_ROWS].join("; ")] {
        let mut db = Db::Sqlite(SqliteConnection::establish(":memory:").expect("opens"));
        migrate::up(&mut db).expect("up");
        if !statistics.is_empty() {
            db.batch_execute(&[statistics, "; ANALYZE sqlite_schema"].concat())
                .expect("statistics");
        }
        let texts = sent(&mut db, look);
        assert!(texts.len() >= 12, "{texts:?}");
        for text in texts {
            let steps: Vec<PlanStep> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {text}"))
                .load(&mut db)
                .expect(&text);
            for PlanStep { detail } in steps {
                let is_small = SMALL.iter().any(|index| detail.contains(index));
                assert!(!detail.starts_with("SCAN") || is_small, "{text}\n{detail}");
            }
        }
    }
}

#[test]
fn the_list_of_parked_exchanges_goes_by_those_that_are_parked() {
    let filter = exchanges::ExchangeFilter {
        state: Some("parked".to_owned()),
        limit: 100,
        ..exchanges::ExchangeFilter::default()
    };
    for statistics in ["", OLD, &[OLD, NO_ROWS].join("; ")] {
        let mut db = Db::Sqlite(SqliteConnection::establish(":memory:").expect("opens"));
        migrate::up(&mut db).expect("up");
        if !statistics.is_empty() {
            db.batch_execute(&[statistics, "; ANALYZE sqlite_schema"].concat())
                .expect("statistics");
        }
        let texts = sent(&mut db, |db| exchanges::page(db, &filter).map(drop));
        let ids = texts.first().expect("the query of the ids");
        let steps: Vec<PlanStep> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {ids}"))
            .load(&mut db)
            .expect(ids);
        let details: Vec<&str> = steps.iter().map(|step| step.detail.as_str()).collect();
        assert!(
            details.iter().any(|detail| detail.contains("exchange_parked")),
            "{ids}: {details:?}"
        );
        assert!(
            !details.iter().any(|detail| detail.contains("(id>?)")),
            "{ids}: {details:?}"
        );
    }
}

#[test]
fn what_came_twice_is_looked_for_by_its_exchange_and_not_by_names_that_others_brought_too() {
    for statistics in ["", OLD] {
        let mut db = Db::Sqlite(SqliteConnection::establish(":memory:").expect("opens"));
        migrate::up(&mut db).expect("up");
        if !statistics.is_empty() {
            db.batch_execute(&[statistics, "; ANALYZE sqlite_schema"].concat())
                .expect("statistics");
        }
        let texts = sent(&mut db, |db| {
            received_twice::pages_aside(db, "e1")?;
            received_twice::received_on(db, "e1", 1, -1)?;
            ingest::pages_from(db, "e1", 1, 100).map(drop)
        });
        assert_eq!(texts.len(), 3, "{texts:?}");
        for text in texts {
            let steps: Vec<PlanStep> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {text}"))
                .load(&mut db)
                .expect(&text);
            let details: Vec<&str> = steps.iter().map(|step| step.detail.as_str()).collect();
            assert!(
                details.iter().any(|detail| detail.contains("exchange_id=?")),
                "{text}: {details:?}"
            );
            assert!(
                !details.iter().any(|detail| detail.contains("ingest_resource_name")),
                "{text}: {details:?}"
            );
        }
    }
}

/// What ANALYZE says of a store where one partner has a million grants.
const ONE_PARTNER: &str = "ANALYZE; DELETE FROM sqlite_stat1; INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES \
    ('grants', 'sqlite_autoindex_grants_1', '1000000 1'), ('grants', 'sqlite_autoindex_grants_2', '1000000 1000000 1 1'), \
    ('grants', 'grants_member', '1000000 1 1'), ('consent', 'sqlite_autoindex_consent_1', '1000000 1'), \
    ('member_group_entry', 'sqlite_autoindex_member_group_entry_1', '1000000 100000 1'), \
    ('member_group_entry', 'member_group_entry_patient', '1000000 10 1')";

#[test]
fn the_members_of_a_piece_are_found_without_reading_all_grants_of_the_partner() {
    for statistics in ["", ONE_PARTNER] {
        let mut db = Db::Sqlite(SqliteConnection::establish(":memory:").expect("opens"));
        migrate::up(&mut db).expect("up");
        if !statistics.is_empty() {
            db.batch_execute(&[statistics, "; ANALYZE sqlite_schema"].concat())
                .expect("statistics");
        }
        for (group, patients) in [(None, vec![]), (Some("g"), vec![]), (Some("g"), vec!["p1".to_owned()])] {
            let asked = MembersAsked {
                partner: "p".into(),
                group: group.map(str::to_owned),
                patients,
                now_ms: 1,
                granted_until_ms: 1,
            };
            let texts = sent(&mut db, |db| {
                granted_members::after(db, &asked, "", 500)?;
                granted_members::between(db, &asked, "a", "b").map(drop)
            });
            assert_eq!(texts.len(), 2, "{texts:?}");
            for text in texts {
                let steps: Vec<PlanStep> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {text}"))
                    .load(&mut db)
                    .expect(&text);
                let details: Vec<&str> = steps.iter().map(|step| step.detail.as_str()).collect();
                let by_member = "SEARCH g USING INDEX grants_member (patient_id";
                assert!(
                    details.iter().any(|detail| detail.starts_with(by_member)),
                    "{text}: {details:?}"
                );
                let is_named = |detail: &str| detail.contains("SCAN w VIRTUAL TABLE");
                assert!(
                    !details
                        .iter()
                        .any(|detail| detail.starts_with("SCAN") && !is_named(detail)),
                    "{text}: {details:?}"
                );
            }
        }
    }
}
