//! The resources that come along with the matches of a search (`_include`, `_revinclude`).
//!
//! The sizes of what is found are read first, and bytes only of what has room: a database server sends all rows of a statement at once.

use super::super::Db;
use super::super::dynamic::{HeldValue, Sql};
use super::super::resources::SEQUENCE_BITS;
use super::find::{Hit, PageBytes, PageRead, by_keys};
use super::{SearchScope, allowed};
use crate::error::Failure;
use crate::fhir::search::params::NOT_OWNER;
use crate::fhir::search::{Param, ParamKind};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use std::collections::{HashMap, HashSet};

/// How many resources one statement looks for by their ids.
const IDS: usize = 200;

/// The room on a page for what comes along.
pub struct IncludeRoom {
    rows: usize,
    bytes: usize,
    /// Bytes for which there is room in memory.
    held: usize,
    /// Bytes of what was found.
    found: usize,
    is_empty: bool,
    is_cut: bool,
    /// The resources that are on the page.
    keys: HashSet<i64>,
}

impl IncludeRoom {
    /// Room for so many resources and about so many bytes, on a page with these matches. A single larger resource still has room.
    /// What is found is only read while it has no more than `held` bytes.
    pub fn new(rows: usize, bytes: usize, held: usize, matches: &[Hit]) -> IncludeRoom {
        IncludeRoom {
            rows,
            bytes,
            held,
            found: 0,
            is_empty: true,
            is_cut: false,
            keys: matches.iter().map(|hit| hit.key).collect(),
        }
    }

    /// Whether something was left out for want of room.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The bytes for which there was too little room in memory, so that they were not read.
    pub fn needs(&self) -> Option<usize> {
        (self.found > self.held).then(|| self.found.saturating_add(self.bytes))
    }

    /// How many rows a statement reads: one more than have room shows that there are more.
    fn limit(&self) -> i64 {
        i64::try_from(self.rows + 1).unwrap_or(i64::MAX)
    }

    /// Takes room for those of the found resources that are not on the page yet, up to the first one without room. Returns their keys.
    /// `is_more`: the statement did not read all, and what is on the page already may stand where others were left out.
    fn take(&mut self, found: &[SizedHit], is_more: bool) -> Vec<i64> {
        let mut taken = Vec::new();
        for one in found.iter().filter(|one| !self.keys.contains(&one.key)) {
            let bytes = usize::try_from(one.bytes).unwrap_or(usize::MAX);
            if self.rows == 0 || (bytes > self.bytes && !self.is_empty) {
                self.is_cut = true;
                break;
            }
            self.rows -= 1;
            self.bytes = self.bytes.saturating_sub(bytes);
            self.found = self.found.saturating_add(bytes);
            self.is_empty = false;
            taken.push(one.key);
        }
        self.is_cut |= is_more;
        self.keys.extend(&taken);
        taken
    }
}

/// A resource that may be released, without its bytes.
#[derive(Queryable)]
struct SizedHit {
    key: i64,
    rtype: String,
    id: String,
    bytes: i64,
}

// `length` of a column reads no bytes of it, in both databases.
const SIZED: &str = "SELECT r.key, r.type, r.id, CAST(coalesce(length(r.released), length(r.body)) AS BIGINT)";

type SizedRow = (BigInt, Text, Text, BigInt);

/// Reads as many rows as may have room, and says whether there may be more.
fn load(db: &mut Db, mut sql: Sql, room: &IncludeRoom) -> Result<(Vec<SizedHit>, bool), Failure> {
    sql.with(" ORDER BY r.key LIMIT ?", [room.limit().into()]);
    let found: Vec<SizedHit> = match db {
        Db::Pg(pg) => sql.rows::<SizedRow>().load(pg)?,
        Db::Sqlite(sqlite) => sql.rows::<SizedRow>().load(sqlite)?,
    };
    let is_more = i64::try_from(found.len()) == Ok(room.limit());
    Ok((found, is_more))
}

/// Reads what has room on the page, if it has room in memory as well.
fn read(
    db: &mut Db,
    (scope, now_ms): (&SearchScope, i64),
    keys: &[i64],
    room: &IncludeRoom,
) -> Result<Vec<Hit>, Failure> {
    if room.needs().is_some() {
        return Ok(Vec::new());
    }
    match by_keys(db, scope, keys, now_ms, PageBytes::KNOWN)? {
        PageRead::Read(hits, _) => Ok(hits),
        PageRead::Larger(_) => Ok(Vec::new()),
    }
}

/// Returns those of these resources, by type and id, that may be released in this scope and have room. `is_meant` is asked for each with
/// its compartment, type and id.
///
/// # Errors
/// Those of the database.
pub fn by_reference(
    db: &mut Db,
    (scope, now_ms): (&SearchScope, i64),
    targets: &[(String, String)],
    room: &mut IncludeRoom,
    is_meant: impl Fn(i64, &str, &str) -> bool,
) -> Result<Vec<Hit>, Failure> {
    let mut hits = Vec::new();
    let mut by_type: HashMap<&str, Vec<&str>> = HashMap::new();
    for (rtype, id) in targets {
        by_type.entry(rtype).or_default().push(id);
    }
    let mut types: Vec<_> = by_type.into_iter().collect();
    types.sort_unstable();
    for (rtype, ids) in types {
        for ids in ids.chunks(IDS) {
            if room.is_cut || room.needs().is_some() {
                return Ok(hits);
            }
            let mut sql = Sql::new(SIZED);
            allowed(&mut sql, scope, now_ms);
            if let SearchScope::One { grant, .. } = scope {
                sql.with(" AND r.compartment = ?", [grant.compartment.into()]);
            }
            sql.with(" AND r.type = ? AND r.id IN ", [rtype.into()])
                .list(ids.iter().map(|id| HeldValue::from(*id)));
            let (mut found, is_more) = load(db, sql, room)?;
            found.retain(|one| is_meant(one.key >> SEQUENCE_BITS, &one.rtype, &one.id));
            let keys = room.take(&found, is_more);
            hits.extend(read(db, (scope, now_ms), &keys, room)?);
        }
    }
    Ok(hits)
}

/// Returns resources whose `param` references one of `hits` and that have room; all are in the compartments of these hits.
///
/// # Errors
/// Those of the database.
pub fn referring(
    db: &mut Db,
    (scope, now_ms): (&SearchScope, i64),
    param: &Param,
    hits: &[Hit],
    room: &mut IncludeRoom,
) -> Result<Vec<Hit>, Failure> {
    let mut found = Vec::new();
    let mut by_compartment: HashMap<i64, Vec<&Hit>> = HashMap::new();
    for hit in hits {
        by_compartment.entry(hit.compartment()).or_default().push(hit);
    }
    let mut compartments: Vec<_> = by_compartment.into_iter().collect();
    compartments.sort_unstable_by_key(|(no, _)| *no);
    for (no, hits) in compartments {
        if room.is_cut || room.needs().is_some() {
            break;
        }
        let mut sql = Sql::new(SIZED);
        allowed(&mut sql, scope, now_ms);
        sql.with(" AND r.compartment = ?", [no.into()]);
        if param.kind == ParamKind::Owner {
            sql.with(
                " AND r.type = ? AND r.key NOT IN (SELECT key FROM search_value WHERE compartment = ? AND param = ? AND value = ?)",
                [param.rtype.into(), no.into(), NOT_OWNER.into(), param.name.into()],
            );
        } else {
            sql.with(
                " AND r.key IN (SELECT key FROM search_value WHERE compartment = ? AND param = ? AND value IN ",
                [no.into(), param.no.into()],
            );
            sql.list(hits.iter().map(|hit| HeldValue::from(hit.id.as_str())));
            sql.with(" AND system = ?)", [hits[0].rtype.as_str().into()]);
        }
        let (sized, is_more) = load(db, sql, room)?;
        let keys = room.take(&sized, is_more);
        found.extend(read(db, (scope, now_ms), &keys, room)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sized(key: i64, bytes: i64) -> SizedHit {
        SizedHit {
            key,
            rtype: "DocumentReference".to_owned(),
            id: key.to_string(),
            bytes,
        }
    }

    #[test]
    fn t_b07_what_comes_along_ends_at_the_rows_and_at_the_bytes_of_its_room() {
        let mut room = IncludeRoom::new(10, 100, 1_000, &[]);
        let found = [sized(1, 60), sized(2, 40), sized(3, 1), sized(4, 0)];
        assert_eq!(room.take(&found, false), [1, 2]);
        assert!(room.is_cut());
        let mut room = IncludeRoom::new(10, 100, 1_000, &[]);
        assert_eq!(room.take(&[sized(1, 500)], false), [1], "a single larger one");
        assert!(!room.is_cut());
        let twice = [sized(1, 500), sized(2, 1)];
        assert!(
            room.take(&twice, false).is_empty(),
            "the first is there, and the other has no room"
        );
        assert!(room.is_cut());
        let mut room = IncludeRoom::new(2, 100, 1_000, &[]);
        assert_eq!(room.limit(), 3);
        assert_eq!(room.take(&[sized(1, 1), sized(2, 1), sized(3, 1)], true), [1, 2]);
        assert!(room.is_cut());
        let mut room = IncludeRoom::new(2, 100, 1_000, &[]);
        assert_eq!(room.take(&[sized(1, 1), sized(2, 1)], false), [1, 2]);
        assert!(!room.is_cut(), "all of it had room");
        assert_eq!(room.needs(), None);
        let mut room = IncludeRoom::new(10, 100, 50, &[]);
        assert_eq!(room.take(&[sized(1, 60)], false), [1]);
        assert_eq!(room.needs(), Some(100), "and what the page still takes");
    }
}
