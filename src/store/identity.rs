//! Blocking keys and profiles of the members: written with the record, read for one decision. Knows no name and decides nothing.
//!
//! What a look-up costs depends on how many members share a key, never on the roster: a block is read up to its cap and no
//! further, and a block beyond its cap is left to the other keys.

use super::Db;
use super::schema::{compartment, identity_key, identity_profile, member, resource_identifier};
use super::statement::Statement;
use super::statement::{Bind, run};
use crate::error::{Failure, Fault};
use crate::identity::{Key, PROFILE_FORMAT};
use crate::store::resources::SEQUENCE_BITS;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary};
use std::collections::HashSet;
use std::sync::LazyLock;

/// Members that share a key beyond this number say nothing about each other.
pub const BLOCK_MAX: usize = 200;
/// Members that one look-up finds at most: those that share the most keys.
pub const FOUND_MAX: usize = 400;
/// Rows of one statement.
const ROWS: usize = 500;
/// Blocks that one statement reads; a look-up takes the smallest that holds its keys.
const SIZES: [usize; 4] = [8, 16, 24, 32];
/// Profiles that one statement reads.
const PROFILES: usize = 8;

/// What a member's profile and keys are made from.
#[derive(Clone, Debug)]
pub struct Source {
    /// Number of the compartment.
    pub compartment: i64,
    /// Its UMB.
    pub umb: String,
    /// The demographics, as `member` has them.
    pub demographics: String,
    /// Type of the resource, kind, system and value of each identifier of the Patient and the Coverages.
    pub identifiers: Vec<[String; 4]>,
}

/// A member as the matcher finds and compares them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indexed {
    /// Number of the compartment.
    pub compartment: i64,
    /// The packed profile.
    pub profile: Vec<u8>,
    /// Hashes of the blocking keys, each once.
    pub keys: Vec<i64>,
}

/// What the profile of this compartment is made from; `None` where there is no member.
///
/// # Errors
/// Those of the database.
pub fn source(db: &mut Db, no: i64) -> Result<Option<Source>, Failure> {
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
    // Several Coverages may say the same, and neither database promises an order.
    identifiers.sort_unstable();
    identifiers.dedup();
    Ok(Some(Source {
        compartment: no,
        umb,
        demographics,
        identifiers,
    }))
}

struct Take;

/// Writes profiles and keys in place of what was there, in the caller's transaction; only keys that changed are touched.
///
/// # Errors
/// Those of the database; [`Fault::StoreDamaged`] for a list of keys that is none.
pub fn put(db: &mut Db, rows: &[Indexed]) -> Result<(), Failure> {
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
        // Neighbours in the index are written together.
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

/// Removes profiles and keys of compartments that hold no member any more.
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

/// Takes the profiles of these compartments out and returns the keys they had.
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

struct Blocks<const N: usize>;

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

fn load_blocks<const N: usize>(db: &mut Db, sql: &'static str, keys: &[Key]) -> Result<Vec<(i64, i64)>, Failure> {
    // A slot without a key looks for a hash that no key has.
    let hashes = keys.iter().map(|key| key.hash).chain(std::iter::repeat(0));
    let binds = hashes.take(N).map(Bind::Big).collect();
    let statement = Statement::<Blocks<N>, (BigInt, BigInt)>::new(sql, binds);
    Ok(match db {
        Db::Pg(pg) => statement.load(pg)?,
        Db::Sqlite(sqlite) => statement.load(sqlite)?,
    })
}

/// The compartments that share one of these keys, in order; blocks beyond a key's cap are left out. Of more than [`FOUND_MAX`]
/// those that share the most keys.
///
/// # Errors
/// Those of the database.
pub fn sharing(db: &mut Db, keys: &[Key]) -> Result<Vec<i64>, Failure> {
    let mut found = Vec::new();
    for keys in keys.chunks(SIZES[SIZES.len() - 1]) {
        let size = SIZES.iter().position(|size| keys.len() <= *size).unwrap_or(0);
        let sql = BLOCKS[size];
        let rows = match size {
            0 => load_blocks::<{ SIZES[0] }>(db, sql, keys),
            1 => load_blocks::<{ SIZES[1] }>(db, sql, keys),
            2 => load_blocks::<{ SIZES[2] }>(db, sql, keys),
            _ => load_blocks::<{ SIZES[3] }>(db, sql, keys),
        }?;
        let mut counts = vec![0usize; keys.len()];
        let slot = |slot: i64| usize::try_from(slot).unwrap_or(usize::MAX);
        for (number, _) in &rows {
            if let Some(count) = counts.get_mut(slot(*number)) {
                *count += 1;
            }
        }
        let within = |number: i64| {
            let (count, key) = (counts.get(slot(number)), keys.get(slot(number)));
            count
                .zip(key)
                .is_some_and(|(count, key)| *count <= key.cap.min(BLOCK_MAX))
        };
        found.extend(rows.iter().filter(|(number, _)| within(*number)).map(|(_, no)| *no));
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
    Ok(shared.into_iter().map(|(_, no)| no).collect())
}

struct Profiles;

const PROFILES_SQL: &str =
    "SELECT compartment, profile FROM identity_profile WHERE compartment IN (?, ?, ?, ?, ?, ?, ?, ?)";

/// The packed profiles of these compartments, in the order of their numbers.
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

/// A page of all profiles after compartment `after`, in order, for counting the roster.
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

/// Members after compartment `after` whose profile is not there or of another format, in order.
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
