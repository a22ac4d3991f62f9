//! Blocking keys and profiles of the members: written with the record, and read for a match. They are opaque here, and nothing is decided.
//!
//! The cost of a look-up depends on how many members share a key, not on the size of the roster: a block is read only up to its cap, and a
//! block larger than its cap is ignored, so that the other keys decide.

use super::Db;
use super::schema::{compartment, identity_key, identity_profile, member, resource_identifier};
use super::statement::Statement;
use super::statement::{Bind, run};
use crate::error::{Failure, Fault};
use crate::identity::{LookupKey, PROFILE_FORMAT};
use crate::store::resources::SEQUENCE_BITS;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary};
use std::collections::HashSet;
use std::sync::LazyLock;

/// A block with more members than this is ignored.
pub const BLOCK_MAX: usize = 200;
/// How many members one look-up returns at most: those that share the most keys.
pub const FOUND_MAX: usize = 400;
/// Most rows in one statement.
const ROWS: usize = 500;
/// How many blocks one statement reads; a look-up uses the smallest size that holds its keys.
const SIZES: [usize; 4] = [8, 16, 24, 32];
/// How many profiles one statement reads.
const PROFILES: usize = 8;

/// What a member's profile and keys are made from.
#[derive(Clone, Debug)]
pub struct ProfileSource {
    /// Number of the compartment.
    pub compartment: i64,
    /// Its UMB.
    pub umb: String,
    /// The member's demographics, as the table `member` has them.
    pub demographics: String,
    /// Resource type, kind, system and value of each identifier of the Patient and the Coverages.
    pub identifiers: Vec<[String; 4]>,
}

/// A member as the matcher finds and compares them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedMember {
    /// Number of the compartment.
    pub compartment: i64,
    /// The packed profile.
    pub profile: Vec<u8>,
    /// Hashes of the blocking keys, without duplicates.
    pub keys: Vec<i64>,
}

/// Returns what the profile of this compartment is made from; `None` when the compartment has no member.
///
/// # Errors
/// Those of the database.
pub fn source(db: &mut Db, no: i64) -> Result<Option<ProfileSource>, Failure> {
    let found: Option<(String, String)> = member::table
        .inner_join(compartment::table.on(compartment::no.eq(member::compartment)))
        .filter(member::compartment.eq(no))
        .select((compartment::umb, member::demographics))
        .first(db)
        .optional()?;
    let Some((umb, demographics)) = found else {
        return Ok(None);
    };
    let range = resource_identifier::key.ge(no << SEQUENCE_BITS);
    let rows: Vec<(String, String, String, String)> = resource_identifier::table
        .filter(range.and(resource_identifier::key.lt((no + 1) << SEQUENCE_BITS)))
        .select((
            resource_identifier::rtype,
            resource_identifier::kind,
            resource_identifier::system,
            resource_identifier::value,
        ))
        .load(db)?;
    let mut identifiers: Vec<[String; 4]> = rows
        .into_iter()
        .filter(|(rtype, ..)| matches!(rtype.as_str(), "Patient" | "Coverage"))
        .map(|(rtype, kind, system, value)| [rtype, kind, system, value])
        .collect();
    // Several Coverages may have equal identifiers, and neither database promises an order.
    identifiers.sort_unstable();
    identifiers.dedup();
    Ok(Some(ProfileSource {
        compartment: no,
        umb,
        demographics,
        identifiers,
    }))
}

struct Take;

/// Replaces the profiles and keys of these compartments, in the caller's transaction. Only keys that changed are written.
///
/// # Errors
/// Those of the database; [`Fault::StoreDamaged`] for a stored list of keys that cannot be read.
pub fn put(db: &mut Db, rows: &[IndexedMember]) -> Result<(), Failure> {
    for rows in rows.chunks(ROWS) {
        let numbers: Vec<i64> = rows.iter().map(|row| row.compartment).collect();
        let old = taken_back(db, &numbers)?;
        let mut fresh: Vec<(i64, i64)> = Vec::new();
        let mut gone: HashSet<(i64, i64)> = old.into_iter().collect();
        for row in rows {
            for key in &row.keys {
                if !gone.remove(&(*key, row.compartment)) {
                    fresh.push((*key, row.compartment));
                }
            }
        }
        drop_keys(db, &gone)?;
        // Sorted, so that neighbors in the index are written together.
        fresh.sort_unstable();
        let fresh: Vec<_> = fresh
            .iter()
            .map(|(hash, no)| (identity_key::hash.eq(*hash), identity_key::compartment.eq(*no)))
            .collect();
        for rows in fresh.chunks(ROWS) {
            match db {
                Db::Pg(pg) => diesel::insert_into(identity_key::table).values(rows).execute(pg)?,
                Db::Sqlite(sqlite) => diesel::insert_into(identity_key::table).values(rows).execute(sqlite)?,
            };
        }
        let profiles: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    identity_profile::compartment.eq(row.compartment),
                    identity_profile::format.eq(i64::from(PROFILE_FORMAT)),
                    identity_profile::profile.eq(row.profile.as_slice()),
                    identity_profile::keys.eq(listed(&row.keys)),
                )
            })
            .collect();
        match db {
            Db::Pg(pg) => diesel::insert_into(identity_profile::table)
                .values(&profiles)
                .execute(pg)?,
            Db::Sqlite(sqlite) => diesel::insert_into(identity_profile::table)
                .values(&profiles)
                .execute(sqlite)?,
        };
    }
    Ok(())
}

/// Removes profiles and keys of compartments that have no member any more.
///
/// # Errors
/// As [`put`].
pub fn remove(db: &mut Db, numbers: &[i64]) -> Result<(), Failure> {
    for numbers in numbers.chunks(ROWS) {
        let old = taken_back(db, numbers)?;
        drop_keys(db, &old.into_iter().collect())?;
    }
    Ok(())
}

/// Deletes the profiles of these compartments and returns their keys, as pairs of hash and compartment.
fn taken_back(db: &mut Db, numbers: &[i64]) -> Result<Vec<(i64, i64)>, Failure> {
    let old: Vec<(i64, Vec<u8>)> = identity_profile::table
        .filter(identity_profile::compartment.eq_any(numbers))
        .select((identity_profile::compartment, identity_profile::keys))
        .load(db)?;
    if old.is_empty() {
        return Ok(Vec::new());
    }
    diesel::delete(identity_profile::table.filter(identity_profile::compartment.eq_any(numbers))).execute(db)?;
    let mut keys = Vec::new();
    for (no, list) in &old {
        let (chunks, rest) = list.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(Failure::new(Fault::StoreDamaged).because("a list of blocking keys is cut"));
        }
        keys.extend(chunks.iter().map(|bytes| (i64::from_be_bytes(*bytes), *no)));
    }
    Ok(keys)
}

fn drop_keys(db: &mut Db, keys: &HashSet<(i64, i64)>) -> Result<(), Failure> {
    for (hash, no) in keys {
        let binds = vec![Bind::Big(*hash), Bind::Big(*no)];
        run(
            db,
            Statement::<Take>::new("DELETE FROM identity_key WHERE hash = ? AND compartment = ?", binds),
        )?;
    }
    Ok(())
}

fn listed(keys: &[i64]) -> Vec<u8> {
    keys.iter().flat_map(|key| key.to_be_bytes()).collect()
}

struct BlocksOf<const N: usize>;

static BLOCKS: LazyLock<[&'static str; SIZES.len()]> = LazyLock::new(|| {
    SIZES.map(|size| {
        let one = |slot: usize| {
            format!(
                "SELECT * FROM (SELECT CAST({slot} AS BIGINT) AS slot, compartment FROM identity_key WHERE hash = ? \
                 ORDER BY compartment LIMIT {}) b{slot}",
                BLOCK_MAX + 1
            )
        };
        let text: Vec<String> = (0..size).map(one).collect();
        &*Box::leak(text.join(" UNION ALL ").into_boxed_str())
    })
});

fn load_blocks<const N: usize>(db: &mut Db, sql: &'static str, keys: &[LookupKey]) -> Result<Vec<(i64, i64)>, Failure> {
    // An unused slot searches for a hash that no key has.
    let hashes = keys.iter().map(|key| key.hash).chain(std::iter::repeat(0));
    let binds = hashes.take(N).map(Bind::Big).collect();
    let statement = Statement::<BlocksOf<N>, (BigInt, BigInt)>::new(sql, binds);
    Ok(match db {
        Db::Pg(pg) => statement.load(pg)?,
        Db::Sqlite(sqlite) => statement.load(sqlite)?,
    })
}

/// Blocks that were read: for each hash the first [`BLOCK_MAX`] compartments that have it, plus one more when there are more.
#[derive(Clone, Debug, Default)]
pub struct Blocks(Vec<(i64, Vec<i64>)>);

impl Blocks {
    /// Adds the blocks of these keys. A row is the index of a key and a compartment of its block.
    pub(super) fn add(&mut self, keys: &[LookupKey], rows: &[(i64, i64)]) {
        let first = self.0.len();
        self.0.extend(keys.iter().map(|key| (key.hash, Vec::new())));
        for (slot, compartment) in rows {
            let place = usize::try_from(*slot)
                .ok()
                .and_then(|slot| self.0.get_mut(first + slot));
            if let Some((_, block)) = place {
                block.push(*compartment);
            }
        }
    }

    fn of(&self, hash: i64) -> Option<&[i64]> {
        let found = self.0.iter().find(|(known, _)| *known == hash);
        found.map(|(_, block)| block.as_slice())
    }

    /// Reads the blocks of those of these keys that have not been read yet.
    ///
    /// # Errors
    /// Those of the database.
    pub fn read(&mut self, db: &mut Db, keys: &[LookupKey]) -> Result<(), Failure> {
        let mut missing: Vec<LookupKey> = Vec::new();
        for key in keys {
            if self.of(key.hash).is_none() && missing.iter().all(|other| other.hash != key.hash) {
                missing.push(*key);
            }
        }
        for keys in missing.chunks(SIZES[SIZES.len() - 1]) {
            let size = SIZES.iter().position(|size| keys.len() <= *size).unwrap_or(0);
            let sql = BLOCKS[size];
            let rows = match size {
                0 => load_blocks::<{ SIZES[0] }>(db, sql, keys),
                1 => load_blocks::<{ SIZES[1] }>(db, sql, keys),
                2 => load_blocks::<{ SIZES[2] }>(db, sql, keys),
                _ => load_blocks::<{ SIZES[3] }>(db, sql, keys),
            }?;
            self.add(keys, &rows);
        }
        Ok(())
    }

    /// Returns the compartments that share at least one of these keys, in ascending order; the blocks must have been read before. Blocks
    /// larger than a key's cap are left out. Of more than [`FOUND_MAX`] compartments it returns those that share the most keys.
    pub fn sharing(&self, keys: &[LookupKey]) -> Vec<i64> {
        let mut found = Vec::new();
        for key in keys {
            let block = self.of(key.hash).unwrap_or_default();
            if block.len() <= key.cap.min(BLOCK_MAX) {
                found.extend_from_slice(block);
            }
        }
        found.sort_unstable();
        let mut shared: Vec<(usize, i64)> = found
            .chunk_by(|a, b| a == b)
            .map(|same| (same.len(), same[0]))
            .collect();
        if shared.len() > FOUND_MAX {
            shared.sort_unstable_by_key(|(count, no)| (std::cmp::Reverse(*count), *no));
            shared.truncate(FOUND_MAX);
            shared.sort_unstable_by_key(|(_, no)| *no);
        }
        shared.into_iter().map(|(_, no)| no).collect()
    }
}

struct Profiles;

const PROFILES_SQL: &str =
    "SELECT compartment, profile FROM identity_profile WHERE compartment IN (?, ?, ?, ?, ?, ?, ?, ?)";

/// Returns the packed profiles of these compartments, ordered by compartment.
///
/// # Errors
/// Those of the database.
pub fn profiles(db: &mut Db, numbers: &[i64]) -> Result<Vec<(i64, Vec<u8>)>, Failure> {
    let mut found: Vec<(i64, Vec<u8>)> = Vec::with_capacity(numbers.len());
    for numbers in numbers.chunks(PROFILES) {
        let last = numbers.last().copied().unwrap_or(0);
        let binds = numbers.iter().copied().chain(std::iter::repeat(last));
        let binds = binds.take(PROFILES).map(Bind::Big).collect();
        let statement = Statement::<Profiles, (BigInt, Binary)>::new(PROFILES_SQL, binds);
        let rows: Vec<(i64, Vec<u8>)> = match db {
            Db::Pg(pg) => statement.load(pg)?,
            Db::Sqlite(sqlite) => statement.load(sqlite)?,
        };
        found.extend(rows);
    }
    found.sort_unstable_by_key(|(no, _)| *no);
    Ok(found)
}

/// Returns a page of all profiles after compartment `after`, in order. The roster is counted from these pages.
///
/// # Errors
/// Those of the database.
pub fn page(db: &mut Db, after: i64, limit: i64) -> Result<Vec<(i64, Vec<u8>)>, Failure> {
    Ok(identity_profile::table
        .filter(identity_profile::compartment.gt(after))
        .order(identity_profile::compartment)
        .select((identity_profile::compartment, identity_profile::profile))
        .limit(limit)
        .load(db)?)
}

/// Returns the members after compartment `after` whose profile is missing or has an old format, in order.
///
/// # Errors
/// Those of the database.
pub fn missing(db: &mut Db, after: i64, limit: i64) -> Result<Vec<i64>, Failure> {
    let current = identity_profile::compartment
        .eq(member::compartment)
        .and(identity_profile::format.eq(i64::from(PROFILE_FORMAT)));
    Ok(member::table
        .left_join(identity_profile::table.on(current))
        .filter(member::compartment.gt(after))
        .filter(identity_profile::compartment.is_null())
        .order(member::compartment)
        .select(member::compartment)
        .limit(limit)
        .load(db)?)
}

/// How many members have a profile.
///
/// # Errors
/// Those of the database.
pub fn count(db: &mut Db) -> Result<i64, Failure> {
    Ok(identity_profile::table.select(diesel::dsl::count_star()).first(db)?)
}
