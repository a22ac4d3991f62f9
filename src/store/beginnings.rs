//! Ids by their first characters, so that a person may type the beginning of an id.
//!
//! Only for tables whose ids this program mints: lower-case hexadecimal digits and hyphens. Nothing here changes a row.

use super::Db;
use crate::error::Failure;
use diesel::prelude::*;

/// Most ids that are read for one beginning.
const READ_MOST: i64 = 1_000;

/// What an id is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum IdKind {
    Decision,
    Consent,
    Grant,
    Review,
    Link,
    LinkStep,
    Job,
    Exchange,
    BulkJob,
    BulkRun,
    Hold,
    Packet,
}

macro_rules! on_table {
    ($kind:expr, $table:ident => $work:expr) => {
        match $kind {
            IdKind::Decision => {
                use super::schema::decision as $table;
                $work
            }
            IdKind::Consent => {
                use super::schema::consent as $table;
                $work
            }
            IdKind::Grant => {
                use super::schema::grants as $table;
                $work
            }
            IdKind::Review => {
                use super::schema::review as $table;
                $work
            }
            IdKind::Link => {
                use super::schema::identity_link as $table;
                $work
            }
            IdKind::LinkStep => {
                use super::schema::identity_step as $table;
                $work
            }
            IdKind::Job => {
                use super::schema::job as $table;
                $work
            }
            IdKind::Exchange => {
                use super::schema::exchange as $table;
                $work
            }
            IdKind::BulkJob => {
                use super::schema::bulk_job as $table;
                $work
            }
            IdKind::BulkRun => {
                use super::schema::bulk_run as $table;
                $work
            }
            IdKind::Hold => {
                use super::schema::retention_hold as $table;
                $work
            }
            IdKind::Packet => {
                use super::schema::evidence_packet as $table;
                $work
            }
        }
    };
}

/// Returns the ids of this kind that begin with `beginning`, at most 1000.
///
/// # Errors
/// Those of the database.
pub fn beginning_with(db: &mut Db, kind: IdKind, beginning: &str) -> Result<Vec<String>, Failure> {
    // 'g' sorts after every character that an id may have there.
    let end = format!("{beginning}g");
    let found: Vec<String> = on_table!(kind, of => of::table
        .filter(of::id.ge(beginning).and(of::id.lt(&end)))
        .select(of::id)
        .order(of::id)
        .limit(READ_MOST)
        .load(db)?);
    // A collation that ignores hyphens may have let others in.
    Ok(found.into_iter().filter(|id| id.starts_with(beginning)).collect())
}

/// Returns how many characters of `id` tell it from every other id of its kind.
///
/// # Errors
/// Those of the database.
pub fn telling(db: &mut Db, kind: IdKind, id: &str) -> Result<usize, Failure> {
    let before: Option<String> = on_table!(kind, of => of::table
        .filter(of::id.lt(id))
        .select(of::id)
        .order(of::id.desc())
        .first(db)
        .optional()?);
    let after: Option<String> = on_table!(kind, of => of::table
        .filter(of::id.gt(id))
        .select(of::id)
        .order(of::id)
        .first(db)
        .optional()?);
    let shared = |other: &String| id.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let most = [before, after].iter().flatten().map(shared).max();
    Ok(most.map_or(1, |shared| shared + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema::decision as table;
    use crate::store::{Store, StoreOptions, StoreUrl};

    const IDS: [&str; 4] = [
        "0199f0a2-7c1e-7b3a-9d4e-000000000001",
        "0199f0a2-7c1e-7b3a-9d4e-000000000002",
        "0199f0a2-7c1f-7b3a-9d4e-000000000001",
        "0199f0b0-0000-7b3a-9d4e-000000000001",
    ];

    fn store(folder: &std::path::Path) -> Store {
        let url = StoreUrl::Sqlite(folder.join("t.db"));
        let store = Store::open(&url, &StoreOptions::default()).expect("store");
        let insert = |db: &mut Db| {
            for id in IDS {
                diesel::insert_into(table::table)
                    .values((
                        table::id.eq(id),
                        table::partner_id.eq("new-payer"),
                        table::correlation_id.eq("c"),
                        table::request_id.eq("r"),
                        table::kind.eq("member-match"),
                        table::outcome.eq("matched"),
                        table::policy_version.eq("v"),
                        table::detail.eq("{}"),
                        table::created_ms.eq(0i64),
                    ))
                    .execute(db)?;
            }
            Ok(())
        };
        store.write_blocking(insert).expect("insert");
        store
    }

    #[test]
    fn a_beginning_finds_every_id_that_has_it_and_no_other() {
        let folder = tempfile::tempdir().expect("folder");
        let store = store(folder.path());
        let found = |kind, beginning: &str| {
            let read = store.read_blocking(|db| beginning_with(db, kind, beginning));
            read.expect("ids").len()
        };
        for (beginning, several) in [
            ("0199", 4),
            ("0199f0a2-7c1", 3),
            ("0199f0a2-7c1e-", 2),
            ("0199f0b", 1),
            ("0200", 0),
        ] {
            assert_eq!(found(IdKind::Decision, beginning), several, "{beginning}");
        }
        for other in [
            IdKind::Consent,
            IdKind::Grant,
            IdKind::Review,
            IdKind::Link,
            IdKind::LinkStep,
            IdKind::Job,
            IdKind::Exchange,
            IdKind::BulkJob,
            IdKind::BulkRun,
            IdKind::Packet,
        ] {
            assert_eq!(found(other, "0199"), 0, "{other:?}");
        }
    }

    #[test]
    fn the_telling_characters_of_an_id_find_it_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let store = store(folder.path());
        for id in IDS {
            let length = store
                .read_blocking(|db| telling(db, IdKind::Decision, id))
                .expect("a length");
            let find = |length: usize| {
                let read = store.read_blocking(|db| beginning_with(db, IdKind::Decision, &id[..length]));
                read.expect("ids")
            };
            assert_eq!(find(length), [id]);
            assert!(find(length - 1).len() > 1, "{id} needs {length}");
        }
        let alone = store
            .read_blocking(|db| telling(db, IdKind::Job, IDS[0]))
            .expect("a length");
        assert_eq!(alone, 1);
    }
}
