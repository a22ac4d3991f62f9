//! The *begun* entries of disclosures of one member to one partner, newest first and a piece at a time, from the ledger's index of subjects.
//!
//! An entry may be about a file that has a share of the member ([`super::disclosed`]). Every read has a bound, and says how far it came. Entries
//! that are too young to be in the index are read once for all members of a list.

use super::Db;
use super::disclosed::{files_of, has_any};
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
    by_whom: HashMap<(String, String), Vec<EntryRow>>,
    /// The last entry that the index has.
    upto: String,
    /// Whether there are more than were read.
    pub is_cut: bool,
}

impl YoungEntries {
    /// The newest of disclosures of `members` to `partners`, at most `limit`.
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
        let own: Vec<(EntryRow, Option<String>)> = ledger_entry::table
            .filter(ledger_entry::id.gt(&young.upto))
            .filter(ledger_entry::action.eq(BEGUN))
            .filter(ledger_entry::partner_id.eq_any(partners))
            .filter(ledger_entry::subject.eq_any(members))
            .order(ledger_entry::id.desc())
            .limit(bound)
            .select((ENTRY, ledger_entry::subject))
            .load(db)?;
        let of_files: Vec<(EntryRow, Option<String>)> = match has_any(db, members)? {
            false => Vec::new(),
            true => ledger_entry::table
                .inner_join(disclosed_share::table.on(disclosed_share::file.nullable().eq(ledger_entry::subject)))
                .filter(ledger_entry::id.gt(&young.upto))
                .filter(ledger_entry::action.eq(BEGUN))
                .filter(ledger_entry::partner_id.eq_any(partners))
                .filter(disclosed_share::subject.eq_any(members))
                .order(ledger_entry::id.desc())
                .limit(bound)
                .select((ENTRY, disclosed_share::subject.nullable()))
                .load(db)?,
        };
        young.is_cut = own.len() == limit || of_files.len() == limit;
        let mut rows: Vec<_> = own.into_iter().chain(of_files).collect();
        rows.sort_by(|one, other| other.0.id.cmp(&one.0.id));
        for (row, member) in rows {
            if let (Some(partner), Some(member)) = (row.partner_id.clone(), member) {
                young.by_whom.entry((partner, member)).or_default().push(row);
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
        all.filter(inside).cloned().collect()
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
