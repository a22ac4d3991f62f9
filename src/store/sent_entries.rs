//! The *begun* entries of disclosures of one member to one partner, newest first and a piece at a time, from the ledger's index of subjects.
//!
//! An entry may be about a file that has a share of the member ([`super::disclosed`]). Every read has a bound, and says how far it came. Entries
//! that are too young to be in the index are read once for all members of a list.

use super::Db;
use super::disclosed::{files_of, has_any, members_in};
use super::entries::{BEGUN, ENTRY, EntryRow};
use super::schema::{disclosed_share, ledger_entry, ledger_subject, ledger_subject_state};
use crate::error::Failure;
use diesel::prelude::*;
use std::collections::HashMap;

/// Whose entries are looked for, in which part of the ledger.
#[derive(Clone, Debug)]
pub struct SentStretch<'a> {
    /// Id of the Patient.
    pub member: &'a str,
    /// Id of the partner.
    pub partner: &'a str,
    /// The first id.
    pub from: &'a str,
    /// The id after the last one; everything from `from` on when it is empty.
    pub before: String,
}

/// A piece of a stretch.
#[derive(Debug)]
pub struct SentPiece {
    /// The *begun* entries, newest first.
    pub rows: Vec<EntryRow>,
    /// How many entries about the member were looked at, whatever they say and to whom.
    pub looked_at: usize,
    /// The oldest id that was looked at, if more may come before it.
    pub more_before: Option<String>,
}

/// The *begun* entries that the index does not have yet.
#[derive(Debug, Default)]
pub struct YoungEntries {
    /// All of them, newest first.
    rows: Vec<EntryRow>,
    /// Their places among `rows`, by partner and member.
    by_whom: HashMap<(String, String), Vec<usize>>,
    /// The last entry that the index has.
    upto: String,
    /// Whether there are more than were read.
    pub is_cut: bool,
}

impl YoungEntries {
    /// The newest of disclosures of `members` to `partners`: at most `limit` about members, and as many about files.
    ///
    /// # Errors
    /// Those of the database.
    pub fn read(db: &mut Db, partners: &[&str], members: &[&str], limit: usize) -> Result<YoungEntries, Failure> {
        let upto: String = ledger_subject_state::table
            .find(1)
            .select(ledger_subject_state::upto)
            .first(db)?;
        let mut young = YoungEntries {
            upto,
            ..YoungEntries::default()
        };
        if members.is_empty() {
            return Ok(young);
        }
        let bound = i64::try_from(limit).unwrap_or(i64::MAX);
        macro_rules! newest {
            ($subjects:expr) => {
                ledger_entry::table
                    .filter(ledger_entry::id.gt(&young.upto))
                    .filter(ledger_entry::action.eq(BEGUN))
                    .filter(ledger_entry::partner_id.eq_any(partners))
                    .filter(ledger_entry::subject.eq_any($subjects))
                    .order(ledger_entry::id.desc())
                    .limit(bound)
                    .select(ENTRY)
            };
        }
        let own: Vec<EntryRow> = newest!(members).load(db)?;
        // No join: SQLite would look for a share of each of the members for each of the entries, of which a busy ledger has many.
        let files = disclosed_share::table
            .filter(disclosed_share::subject.eq_any(members))
            .select(disclosed_share::file.nullable());
        let of_files: Vec<EntryRow> = match has_any(db, members)? {
            false => Vec::new(),
            true => newest!(files).load(db)?,
        };
        let mut files: Vec<&str> = of_files.iter().filter_map(|row| row.subject.as_deref()).collect();
        files.sort_unstable();
        files.dedup();
        let mut shared: HashMap<String, Vec<String>> = HashMap::new();
        for (file, member) in members_in(db, &files, members)? {
            shared.entry(file).or_default().push(member);
        }
        young.is_cut = own.len() == limit || of_files.len() == limit;
        young.rows = own.into_iter().chain(of_files).collect();
        young.rows.sort_unstable_by(|one, other| other.id.cmp(&one.id));
        for (at, row) in young.rows.iter().enumerate() {
            let (Some(partner), Some(subject)) = (&row.partner_id, &row.subject) else {
                continue;
            };
            let own = std::slice::from_ref(subject);
            for member in shared.get(subject).map_or(own, Vec::as_slice) {
                let whose = (partner.clone(), member.clone());
                young.by_whom.entry(whose).or_default().push(at);
            }
        }
        Ok(young)
    }

    /// Those of a stretch, newest first.
    pub fn of(&self, stretch: &SentStretch<'_>) -> Vec<EntryRow> {
        let whose = (stretch.partner.to_owned(), stretch.member.to_owned());
        let all = self.by_whom.get(&whose).into_iter().flatten();
        let inside =
            |row: &&EntryRow| row.id.as_str() >= stretch.from && (stretch.before.is_empty() || row.id < stretch.before);
        all.filter_map(|at| self.rows.get(*at))
            .filter(inside)
            .cloned()
            .collect()
    }

    /// The next piece of a stretch, of those entries that were in the index when the young ones were read. It looks at `limit` entries.
    ///
    /// # Errors
    /// Those of the database.
    pub fn piece(&self, db: &mut Db, stretch: &SentStretch<'_>, limit: usize) -> Result<SentPiece, Failure> {
        let bound = i64::try_from(limit).unwrap_or(i64::MAX);
        let all = || {
            let query = ledger_subject::table
                .filter(ledger_subject::entry_id.ge(stretch.from))
                .filter(ledger_subject::entry_id.le(&self.upto))
                .order(ledger_subject::entry_id.desc())
                .limit(bound)
                .select(ledger_subject::entry_id)
                .into_boxed();
            match stretch.before.is_empty() {
                true => query,
                false => query.filter(ledger_subject::entry_id.lt(&stretch.before)),
            }
        };
        let mut ids: Vec<String> = all().filter(ledger_subject::subject.eq(stretch.member)).load(db)?;
        let of_files = ledger_subject::subject.eq_any(files_of(stretch.member));
        ids.extend(all().filter(of_files).load::<String>(db)?);
        ids.sort_unstable_by(|one, other| other.cmp(one));
        ids.truncate(limit);
        if ids.is_empty() {
            return Ok(SentPiece {
                rows: Vec::new(),
                looked_at: 0,
                more_before: None,
            });
        }
        let mut rows: Vec<EntryRow> = ledger_entry::table
            .filter(ledger_entry::id.eq_any(&ids))
            .filter(ledger_entry::action.eq(BEGUN))
            .filter(ledger_entry::partner_id.eq(stretch.partner))
            .select(ENTRY)
            .load(db)?;
        rows.sort_unstable_by(|a, b| b.id.cmp(&a.id));
        Ok(SentPiece {
            rows,
            looked_at: ids.len(),
            more_before: ids.last().filter(|_| ids.len() == limit).cloned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, StoreOptions, StoreUrl};
    use std::time::{Duration, Instant};

    const MEMBERS: usize = 100;

    /// A ledger with so many young entries about others, one about a file, and members who all have shares of that one and of more.
    fn busy(entries: usize) -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("folder");
        let url = StoreUrl::Sqlite(folder.path().join("t.db"));
        let store = Store::open(&url, &StoreOptions::default()).expect("store");
        let counted = |to: usize| {
            format!("WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < {to})")
        };
        let entry = "INSERT INTO ledger_entry (id, at_us, action, partner_id, correlation_id, entry, subject)";
        let statements = [
            format!(
                "{} {entry} SELECT printf('%08x', n), n, 'disclosure.begun', 'a', 'c', '{{}}', 'x' || n FROM counted",
                counted(entries)
            ),
            format!("{entry} VALUES ('f', 1, 'disclosure.begun', 'a', 'c', '{{}}', 'file-1')"),
            format!(
                "{} INSERT INTO disclosed_share (subject, file, place, consent_id, sensitive, begins, bytes, resources, salt) \
                 SELECT 'm' || (n % {MEMBERS}), 'file-' || (1 + n / {MEMBERS}), n % {MEMBERS}, 'c', 0, 0, 1, 1, x'00' FROM counted",
                counted(MEMBERS * 20)
            ),
        ];
        store
            .write_blocking(move |db| {
                for sql in &statements {
                    diesel::sql_query(sql).execute(db)?;
                }
                Ok(())
            })
            .expect("rows");
        (folder, store)
    }

    #[test]
    fn young_entries_are_looked_through_once_for_all_members() {
        let (_folder, store) = busy(20_000);
        let names: Vec<String> = (1..MEMBERS).map(|at| format!("m{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let read = |members: &[&str]| {
            let began = Instant::now();
            let young = store.read_blocking(|db| YoungEntries::read(db, &["a"], members, 1_000));
            (young.expect("entries"), began.elapsed())
        };
        let shortest = |members: &[&str]| (0..3).map(|_| read(members).1).min().unwrap_or_default();
        let (mut one, mut all) = (shortest(&names[..1]), shortest(&names));
        // The shortest of more, if the machine was busy with something else.
        for _ in 0..20 {
            if all < one * 8 + Duration::from_millis(50) {
                break;
            }
            (one, all) = (one.min(read(&names[..1]).1), all.min(read(&names).1));
        }
        assert!(
            all < one * 8 + Duration::from_millis(50),
            "{all:?} for all, {one:?} for one"
        );

        let (young, _) = read(&names);
        assert!(!young.is_cut);
        for member in names {
            let found = young.of(&SentStretch {
                member,
                partner: "a",
                from: "",
                before: String::new(),
            });
            let ids: Vec<&str> = found.iter().map(|row| row.id.as_str()).collect();
            assert_eq!(ids, ["f"], "{member}");
        }
    }
}
