//! Versions of policies, which of them is active, and what a shadow run counted.
//!
//! The id of a version is the digest of its text, so a version that was read once can be cached forever. Which version is active is read
//! for each decision, so that all processes of a store switch at the same time.

use super::schema::{policy_active, policy_shadow, policy_version};
use super::statement::{Bind, Statement, run};
use super::{Db, Store};
use crate::error::{Failure, Fault};
use crate::identity::Rules;
use crate::secret::{hex, sha256};
use diesel::prelude::*;
use std::sync::Arc;

/// The kind of policy that decides matches.
pub const MATCHING: &str = "matching";
/// The kind of policy that decides which source's value is shown for each attribute of a person.
pub const SURVIVORSHIP: &str = "survivorship";
/// How many hexadecimal digits of an id follow the name where a version is cited.
pub const CITED_DIGITS: usize = 16;
/// How many versions are listed at most.
const LISTED: i64 = 1_000;
/// How many versions a process caches: the active one, its shadow, and those of a switch.
const REMEMBERED: usize = 8;

/// One version, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = policy_version)]
pub struct VersionRow {
    /// SHA-256 of `body`, hexadecimal.
    pub id: String,
    /// What it rules, such as [`MATCHING`].
    pub kind: String,
    /// Name for people.
    pub name: String,
    /// The text of the policy.
    pub body: String,
    /// When it was added, UTC milliseconds.
    pub added_ms: i64,
}

impl VersionRow {
    /// As what entries cite a version that is cited by its name and its id.
    pub fn cited(&self) -> String {
        format!("{}-{}", self.name, self.id.get(..CITED_DIGITS).unwrap_or(&self.id))
    }
}

/// Which version of a kind runs as a shadow, and which was active before acts had scopes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = policy_active)]
pub struct ActiveRow {
    /// The version that decides where no act does; `None` for the configured one.
    pub version_id: Option<String>,
    /// When it was activated, UTC milliseconds.
    pub activated_ms: Option<i64>,
    /// The version that runs as a shadow: it decides too, but without effect.
    pub shadow_id: Option<String>,
    /// When the shadow run began, UTC milliseconds.
    pub shadow_ms: Option<i64>,
}

/// How often a shadow run ended with one pair of outcomes.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = policy_shadow)]
pub struct PairRow {
    /// The outcome of the active version.
    pub active_outcome: String,
    /// The outcome of the candidate version.
    pub candidate_outcome: String,
    /// How often this pair occurred.
    pub seen: i64,
    /// When it last occurred, UTC milliseconds.
    pub last_ms: i64,
}

/// The rules that decide now.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The rules.
    pub rules: Arc<Rules>,
    /// The shadow run, if there is one.
    pub shadow: Option<Shadow>,
}

/// A candidate version that decides in parallel, without effect.
#[derive(Clone, Debug)]
pub struct Shadow {
    /// The candidate's rules.
    pub rules: Arc<Rules>,
    /// The candidate's id.
    pub candidate_id: String,
    /// The active rules, with which it is compared.
    pub active: Arc<Rules>,
}

impl Store {
    /// Returns the rules that decide matches: the activated version, or `configured` when there is none.
    ///
    /// # Errors
    /// [`Fault::StoreDamaged`] when the text of a version does not match its id; those of the database.
    pub fn matching(&self, db: &mut Db, configured: &Arc<Rules>) -> Result<InForce, Failure> {
        let row = active(db, MATCHING)?;
        self.in_force(db, row, configured)
    }

    /// The same for a `row` that was read already. Reads the database only for a version that this process has not cached.
    ///
    /// # Errors
    /// As [`Store::matching`].
    pub fn in_force(&self, db: &mut Db, row: ActiveRow, configured: &Arc<Rules>) -> Result<InForce, Failure> {
        let rules = match &row.version_id {
            Some(id) => self.version(db, id)?,
            None => Arc::clone(configured),
        };
        let shadow = match row.shadow_id {
            Some(candidate_id) => Some(Shadow {
                rules: self.version(db, &candidate_id)?,
                candidate_id,
                active: Arc::clone(&rules),
            }),
            None => None,
        };
        Ok(InForce { rules, shadow })
    }

    fn version(&self, db: &mut Db, id: &str) -> Result<Arc<Rules>, Failure> {
        let known = self.versions().0.load();
        if let Some((_, rules)) = known.iter().find(|(known, _)| known == id) {
            return Ok(Arc::clone(rules));
        }
        let damaged = |what: String| Failure::new(Fault::StoreDamaged).because(what);
        let row = find(db, id)?.ok_or_else(|| damaged("a policy version is gone".to_owned()))?;
        let rules = Rules::parse(&row.body).map_err(|error| damaged(error.to_string()))?;
        if hex(&sha256(row.body.as_bytes())) != row.id {
            return Err(damaged("a policy version is not what its id says".to_owned()));
        }
        let rules = Arc::new(rules);
        let mut more = known.as_ref().clone();
        more.truncate(REMEMBERED - 1);
        more.insert(0, (id.to_owned(), Arc::clone(&rules)));
        self.versions().0.store(Arc::new(more));
        Ok(rules)
    }
}

struct Active;
type ActiveSql = (
    diesel::sql_types::Nullable<diesel::sql_types::Text>,
    diesel::sql_types::Nullable<diesel::sql_types::BigInt>,
    diesel::sql_types::Nullable<diesel::sql_types::Text>,
    diesel::sql_types::Nullable<diesel::sql_types::BigInt>,
);

/// Returns which versions of this kind are active and in a shadow run.
///
/// # Errors
/// Those of the database.
pub fn active(db: &mut Db, kind: &str) -> Result<ActiveRow, Failure> {
    let statement = Statement::<Active, ActiveSql>::new(
        "SELECT version_id, activated_ms, shadow_id, shadow_ms FROM policy_active WHERE kind = ?",
        vec![Bind::Text(kind)],
    );
    let row: Option<ActiveRow> = match db {
        Db::Pg(pg) => statement.get_result(pg).optional()?,
        Db::Sqlite(sqlite) => statement.get_result(sqlite).optional()?,
    };
    Ok(row.unwrap_or_default())
}

/// Returns the version with this id.
///
/// # Errors
/// Those of the database.
pub fn find(db: &mut Db, id: &str) -> Result<Option<VersionRow>, Failure> {
    Ok(policy_version::table
        .find(id)
        .select(VersionRow::as_select())
        .first(db)
        .optional()?)
}

/// Returns the version of a kind whose id begins with these hexadecimal digits, if there is one.
///
/// # Errors
/// Those of the database.
pub fn beginning_with(db: &mut Db, kind: &str, digits: &str) -> Result<Option<VersionRow>, Failure> {
    // No hexadecimal digit sorts behind this letter.
    let end = format!("{digits}g");
    Ok(policy_version::table
        .filter(policy_version::kind.eq(kind))
        .filter(policy_version::id.ge(digits).and(policy_version::id.lt(end)))
        .order(policy_version::id)
        .select(VersionRow::as_select())
        .first(db)
        .optional()?)
}

/// Returns which of these ids are stored.
///
/// # Errors
/// Those of the database.
pub fn stored_of(db: &mut Db, ids: &[String]) -> Result<Vec<String>, Failure> {
    Ok(policy_version::table
        .filter(policy_version::id.eq_any(ids.to_vec()))
        .select(policy_version::id)
        .load(db)?)
}

/// Returns the versions of a kind, oldest first; at most 1,000.
///
/// # Errors
/// Those of the database.
pub fn list(db: &mut Db, kind: &str) -> Result<Vec<VersionRow>, Failure> {
    Ok(policy_version::table
        .filter(policy_version::kind.eq(kind))
        .order((policy_version::added_ms, policy_version::id))
        .limit(LISTED)
        .select(VersionRow::as_select())
        .load(db)?)
}

/// Adds a version. Returns false when the same text was added before, under any name.
///
/// # Errors
/// Those of the database.
pub fn insert(db: &mut Db, row: &VersionRow) -> Result<bool, Failure> {
    let statement = diesel::insert_into(policy_version::table)
        .values(row)
        .on_conflict_do_nothing();
    let added = match db {
        Db::Pg(pg) => statement.execute(pg)?,
        Db::Sqlite(sqlite) => statement.execute(sqlite)?,
    };
    Ok(added > 0)
}

/// Ends the shadow run of this version, if it runs, because it decides now.
///
/// # Errors
/// Those of the database.
pub fn end_shadow_of(db: &mut Db, kind: &str, id: &str) -> Result<(), Failure> {
    let target = policy_active::table.find(kind);
    diesel::update(target.filter(policy_active::shadow_id.eq(Some(id))))
        .set((
            policy_active::shadow_id.eq(None::<String>),
            policy_active::shadow_ms.eq(None::<i64>),
        ))
        .execute(db)?;
    Ok(())
}

/// Starts a shadow run of a version, or ends it when `id` is `None`. Earlier counts of that candidate are deleted.
///
/// # Errors
/// Those of the database.
pub fn set_shadow(db: &mut Db, kind: &str, id: Option<&str>, now_ms: i64) -> Result<(), Failure> {
    ensure(db, kind)?;
    diesel::update(policy_active::table.find(kind))
        .set((
            policy_active::shadow_id.eq(id),
            policy_active::shadow_ms.eq(id.map(|_| now_ms)),
        ))
        .execute(db)?;
    if let Some(id) = id {
        diesel::delete(policy_shadow::table.filter(policy_shadow::candidate_id.eq(id))).execute(db)?;
    }
    Ok(())
}

fn ensure(db: &mut Db, kind: &str) -> Result<(), Failure> {
    struct Ensure;
    const ENSURE: &str = "INSERT INTO policy_active (kind) VALUES (?) ON CONFLICT (kind) DO NOTHING";
    run(db, Statement::<Ensure>::new(ENSURE, vec![Bind::Text(kind)]))?;
    Ok(())
}

/// Counts one request that ended with this pair of outcomes. `shadow` holds the ids of the active and the candidate version.
///
/// # Errors
/// Those of the database.
pub fn count_pair(
    db: &mut Db,
    shadow: [&str; 2],
    active_outcome: &str,
    candidate_outcome: &str,
    now_ms: i64,
) -> Result<(), Failure> {
    struct Pair;
    const PAIR: &str = "INSERT INTO policy_shadow (active_id, candidate_id, active_outcome, candidate_outcome, seen, last_ms) \
        VALUES (?, ?, ?, ?, 1, ?) ON CONFLICT (active_id, candidate_id, active_outcome, candidate_outcome) \
        DO UPDATE SET seen = policy_shadow.seen + 1, last_ms = excluded.last_ms";
    let [active_id, candidate_id] = shadow;
    let binds = vec![
        Bind::Text(active_id),
        Bind::Text(candidate_id),
        Bind::Text(active_outcome),
        Bind::Text(candidate_outcome),
        Bind::Big(now_ms),
    ];
    run(db, Statement::<Pair>::new(PAIR, binds))?;
    Ok(())
}

/// Returns what the shadow run of these two versions counted.
///
/// # Errors
/// Those of the database.
pub fn pairs(db: &mut Db, active_id: &str, candidate_id: &str) -> Result<Vec<PairRow>, Failure> {
    Ok(policy_shadow::table
        .filter(policy_shadow::active_id.eq(active_id))
        .filter(policy_shadow::candidate_id.eq(candidate_id))
        .order((policy_shadow::active_outcome, policy_shadow::candidate_outcome))
        .limit(100)
        .select(PairRow::as_select())
        .load(db)?)
}
