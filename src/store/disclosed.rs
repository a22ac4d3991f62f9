//! Of whom the files are whose downloads are one ledger entry each: each member's share of such a file. Rows are only appended, and outlive the
//! file.
//!
//! This file authorizes nothing: who may have a file was decided by whoever opened it.

use super::Db;
use super::many::insert;
use super::schema::{disclosed_file, disclosed_share};
use super::statement::{Bind, Statement, run};
use crate::error::Failure;
use diesel::prelude::*;

/// Files that one query names.
const FILES: usize = 500;

/// A row of `disclosed_file`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = disclosed_file)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct DisclosedFileRow {
    pub name: String,
    pub members: i64,
    pub root: Vec<u8>,
    pub leaves: Vec<u8>,
}

/// A row of `disclosed_share`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = disclosed_share)]
#[allow(missing_docs)]
pub struct DisclosedShareRow {
    pub subject: String,
    pub file: String,
    pub place: i64,
    pub consent_id: String,
    pub sensitive: i64,
    pub begins: i64,
    pub bytes: i64,
    pub resources: i64,
    pub salt: Vec<u8>,
}

impl DisclosedShareRow {
    /// The words to which its leaf commits.
    pub fn line(&self) -> String {
        let (rule, begins, bytes, resources) = (self.rule(), self.begins, self.bytes, self.resources);
        format!(
            "{} {} {rule} {begins} {bytes} {resources}",
            self.subject, self.consent_id
        )
    }

    /// The row of the decision table that permits it.
    pub fn rule(&self) -> &'static str {
        match self.sensitive {
            1 => "sensitive",
            _ => "regular",
        }
    }
}

/// The names of the files that have a share of this member.
#[diesel::dsl::auto_type]
pub(super) fn files_of<'a>(member: &'a str) -> _ {
    disclosed_share::table
        .filter(disclosed_share::subject.eq(member))
        .select(disclosed_share::file)
}

/// Returns the file of this name, if a download of it has begun before.
///
/// # Errors
/// Those of the database.
pub fn file(db: &mut Db, name: &str) -> Result<Option<DisclosedFileRow>, Failure> {
    Ok(disclosed_file::table
        .find(name)
        .select(DisclosedFileRow::as_select())
        .first(db)
        .optional()?)
}

/// Whether the file of this name has the shares of all its members: none was taken out with what opens the ledger. Also when there is no such
/// file yet.
///
/// # Errors
/// Those of the database.
pub fn is_whole(db: &mut Db, name: &str) -> Result<bool, Failure> {
    let members: Option<i64> = disclosed_file::table
        .find(name)
        .select(disclosed_file::members)
        .first(db)
        .optional()?;
    let Some(members) = members else { return Ok(true) };
    let shares: i64 = disclosed_share::table
        .filter(disclosed_share::file.eq(name))
        .count()
        .get_result(db)?;
    Ok(shares == members)
}

/// Returns the files whose names come after `after`, in their order, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn files(db: &mut Db, after: &str, limit: i64) -> Result<Vec<DisclosedFileRow>, Failure> {
    Ok(disclosed_file::table
        .filter(disclosed_file::name.gt(after))
        .order(disclosed_file::name)
        .limit(limit)
        .select(DisclosedFileRow::as_select())
        .load(db)?)
}

/// Returns the member's shares, of all files.
///
/// # Errors
/// Those of the database.
pub fn shares_of(db: &mut Db, member: &str) -> Result<Vec<DisclosedShareRow>, Failure> {
    Ok(disclosed_share::table
        .filter(disclosed_share::subject.eq(member))
        .select(DisclosedShareRow::as_select())
        .load(db)?)
}

/// Returns the member's shares of these files.
///
/// # Errors
/// Those of the database.
pub fn shares_in(db: &mut Db, member: &str, files: &[&str]) -> Result<Vec<DisclosedShareRow>, Failure> {
    let mut found = Vec::new();
    for some in files.chunks(FILES) {
        let rows: Vec<DisclosedShareRow> = disclosed_share::table
            .filter(disclosed_share::subject.eq(member))
            .filter(disclosed_share::file.eq_any(some))
            .select(DisclosedShareRow::as_select())
            .load(db)?;
        found.extend(rows);
    }
    Ok(found)
}

/// Returns which of these members have a share of which of these files: the file, then the member.
///
/// # Errors
/// Those of the database.
pub(super) fn members_in(db: &mut Db, files: &[&str], members: &[&str]) -> Result<Vec<(String, String)>, Failure> {
    let mut found = Vec::new();
    for some in files.chunks(FILES) {
        let rows: Vec<(String, String)> = disclosed_share::table
            .filter(disclosed_share::subject.eq_any(members))
            .filter(disclosed_share::file.eq_any(some))
            .select((disclosed_share::file, disclosed_share::subject))
            .load(db)?;
        found.extend(rows);
    }
    Ok(found)
}

/// Returns the shares of a file, in their places.
///
/// # Errors
/// Those of the database.
pub fn shares_at(db: &mut Db, file: &str) -> Result<Vec<DisclosedShareRow>, Failure> {
    Ok(disclosed_share::table
        .filter(disclosed_share::file.eq(file))
        .order(disclosed_share::place)
        .select(DisclosedShareRow::as_select())
        .load(db)?)
}

/// Returns the share at this place of a file.
///
/// # Errors
/// Those of the database.
pub fn share_at(db: &mut Db, file: &str, place: i64) -> Result<Option<DisclosedShareRow>, Failure> {
    Ok(disclosed_share::table
        .filter(disclosed_share::file.eq(file).and(disclosed_share::place.eq(place)))
        .select(DisclosedShareRow::as_select())
        .first(db)
        .optional()?)
}

/// Whether any file has a share of one of these members.
///
/// # Errors
/// Those of the database.
pub(super) fn has_any(db: &mut Db, members: &[&str]) -> Result<bool, Failure> {
    let found: Option<String> = disclosed_share::table
        .filter(disclosed_share::subject.eq_any(members))
        .select(disclosed_share::file)
        .first(db)
        .optional()?;
    Ok(found.is_some())
}

struct OneShare;

/// Inserts a file with its shares, unless another download of it was first.
///
/// # Errors
/// Those of the database.
pub fn put(db: &mut Db, file: &DisclosedFileRow, shares: &[DisclosedShareRow]) -> Result<(), Failure> {
    let insert = diesel::insert_into(disclosed_file::table)
        .values(file)
        .on_conflict_do_nothing();
    let inserted = match db {
        Db::Pg(pg) => insert.execute(pg)?,
        Db::Sqlite(sqlite) => insert.execute(sqlite)?,
    };
    if inserted == 0 {
        return Ok(());
    }
    if let Db::Pg(_) = db {
        insert!(db, disclosed_share::table, shares);
        return Ok(());
    }
    // A prepared statement for each row costs SQLite less than the text of one for all.
    for share in shares {
        let one = Statement::<OneShare>::new(
            "INSERT INTO disclosed_share (subject, file, place, consent_id, sensitive, begins, bytes, resources, salt) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            vec![
                Bind::Text(&share.subject),
                Bind::Text(&share.file),
                Bind::Big(share.place),
                Bind::Text(&share.consent_id),
                Bind::Big(share.sensitive),
                Bind::Big(share.begins),
                Bind::Big(share.bytes),
                Bind::Big(share.resources),
                Bind::Blob(&share.salt),
            ],
        );
        run(db, one)?;
    }
    Ok(())
}
