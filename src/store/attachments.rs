//! The compartment of a Binary: the compartment of the resources that reference it. A Binary that no resource references yet, or that
//! resources of several members reference, belongs to no member and is not released (`release::read`).

use super::Db;
use super::resources::{self, NOBODY, SEQUENCE_BITS};
use super::schema::{attachment, authorization_dependency, resource};
use crate::error::Failure;
use diesel::prelude::*;
use std::collections::{BTreeSet, HashMap};

/// Most ids in one statement.
const ROWS: usize = 500;

/// Returns, for each of these Binaries, the compartments of the resources that reference it.
///
/// # Errors
/// Those of the database.
pub fn owners(db: &mut Db, binary_ids: &[&str]) -> Result<HashMap<String, BTreeSet<i64>>, Failure> {
    let mut found: HashMap<String, BTreeSet<i64>> = HashMap::new();
    for ids in binary_ids.chunks(ROWS) {
        let rows = attachment::table
            .inner_join(resource::table.on(resource::key.eq(attachment::key)))
            .filter(attachment::binary_id.eq_any(ids))
            .select((attachment::binary_id, resource::compartment))
            .distinct()
            .load::<(String, i64)>(db)?;
        for (id, compartment) in rows {
            found.entry(id).or_default().insert(compartment);
        }
    }
    Ok(found)
}

/// Returns the ids of the Binaries that the resources with these keys reference.
///
/// # Errors
/// Those of the database.
pub fn named_by(db: &mut Db, keys: &[i64]) -> Result<BTreeSet<String>, Failure> {
    let mut found = BTreeSet::new();
    for keys in keys.chunks(ROWS) {
        let ids = attachment::table
            .filter(attachment::key.eq_any(keys))
            .select(attachment::binary_id)
            .load::<String>(db)?;
        found.extend(ids);
    }
    Ok(found)
}

/// Moves these Binaries into the compartment they belong to now. Returns the new keys of those that moved.
///
/// # Errors
/// Those of the database.
pub fn settle(db: &mut Db, binary_ids: &BTreeSet<String>) -> Result<Vec<i64>, Failure> {
    let ids: Vec<&str> = binary_ids.iter().map(String::as_str).collect();
    let stored = resources::existing(db, "Binary", &ids)?;
    if stored.is_empty() {
        return Ok(Vec::new());
    }
    let owners = owners(db, &ids)?;
    let mut moves = Vec::new();
    let mut counts: HashMap<i64, i64> = HashMap::new();
    for row in &stored {
        let compartment = owners.get(&row.id).map_or(NOBODY, one);
        if row.key >> SEQUENCE_BITS != compartment {
            moves.push((row.key, compartment));
            *counts.entry(compartment).or_default() += 1;
        }
    }
    let mut next = resources::take_sequences(db, &counts)?;
    let mut keys = Vec::with_capacity(moves.len());
    for (old, compartment) in moves {
        let sequence = next.entry(compartment).or_insert(1);
        // In the compartment NOBODY (0), the sequence number is the whole key, so this expression holds for it as well.
        let key = (compartment << SEQUENCE_BITS) | *sequence;
        *sequence += 1;
        diesel::update(resource::table.find(old))
            .set((resource::key.eq(key), resource::compartment.eq(compartment)))
            .execute(db)?;
        // Dependency rows of the Binary are found by its key, and the old key may be given to another resource later.
        let own = authorization_dependency::table.filter(authorization_dependency::key.eq(old));
        diesel::update(own)
            .set(authorization_dependency::key.eq(key))
            .execute(db)?;
        keys.push(key);
    }
    Ok(keys)
}

/// Returns the only compartment of the set, or `NOBODY` when the set is empty or has several.
pub fn one(compartments: &BTreeSet<i64>) -> i64 {
    match compartments.first() {
        Some(only) if compartments.len() == 1 => *only,
        _ => NOBODY,
    }
}
