//! Searches as SQL: who may see a row is part of every statement, so that nothing is matched, counted, ordered or paged that
//! the caller could not read.
//!
//! A search of one member reads neighbours in the index of that compartment; its cost does not depend on other members.

mod condition;
mod find;

pub use find::{Hit, Keyed, by_keys, by_reference, count, keys, page, referring, sort_values};

use super::disclosure::{LiveGrant, PA_ACTIVE, PA_ENDED, PA_KEPT_MS, PA_NONE, WITHHELD_ALWAYS};
use super::dynamic::Sql;
use super::resources::NOBODY;
use crate::fhir::search::Search;

/// Whose resources a search is about.
#[derive(Clone, Debug)]
pub enum Scope {
    /// One member's, under this grant of this partner.
    One {
        /// The partner.
        partner: String,
        /// Its grant.
        grant: LiveGrant,
    },
    /// Those of all members that this partner has live grants on.
    Granted {
        /// The partner.
        partner: String,
    },
    /// Those that belong to nobody.
    Shared,
}

/// A search with what its statements need.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Whose resources.
    pub scope: &'a Scope,
    /// What of them.
    pub search: &'a Search,
    /// System of our UMB identifiers, which every Patient has beside its own.
    pub umb_system: &'a str,
    /// The clock, UTC milliseconds.
    pub now_ms: i64,
}

/// What may leave of table `r` under grant `g`; the same rules as `disclosure` has. The integration test `release_rules` compares every
/// way out.
fn releasable(sql: &mut Sql, now_ms: i64) {
    sql.with(
        " AND (r.sensitivity = 0 OR (g.sensitive = 1 AND r.sensitivity < ?)) \
         AND (r.financial = 0 OR r.released IS NOT NULL) \
         AND (r.pa_state = ? OR (r.pa_state = ? AND r.pa_changed_ms IS NULL) \
         OR (r.pa_state IN (?, ?) AND r.pa_changed_ms >= ?))",
        [
            WITHHELD_ALWAYS.into(),
            PA_NONE.into(),
            PA_ACTIVE.into(),
            PA_ACTIVE.into(),
            PA_ENDED.into(),
            (now_ms - PA_KEPT_MS).into(),
        ],
    );
}

/// Grant `g` with its consent `k` is live for `partner`.
fn live(sql: &mut Sql, partner: &str, now_ms: i64) {
    sql.with(
        "g.partner_id = ? AND g.revoked_ms IS NULL AND g.valid_from_ms <= ? AND g.valid_until_ms > ? \
         AND k.revoked_ms IS NULL AND k.period_from_ms <= ? AND k.period_to_ms > ?",
        [
            partner.into(),
            now_ms.into(),
            now_ms.into(),
            now_ms.into(),
            now_ms.into(),
        ],
    );
}

/// `FROM … WHERE …` over resources `r` that may leave in this scope.
fn allowed(sql: &mut Sql, scope: &Scope, now_ms: i64) {
    match scope {
        Scope::One { partner, grant } => {
            // The grant first, one row; CROSS JOIN keeps SQLite to that order.
            sql.with(
                " FROM grants g CROSS JOIN consent k CROSS JOIN resource r WHERE g.id = ? AND k.id = g.consent_id AND ",
                [grant.id.as_str().into()],
            );
            live(sql, partner, now_ms);
            releasable(sql, now_ms);
        }
        Scope::Granted { partner } => {
            sql.add(" FROM resource r WHERE EXISTS (SELECT 1 FROM grants g JOIN consent k ON k.id = g.consent_id WHERE g.compartment = r.compartment AND ");
            live(sql, partner, now_ms);
            releasable(sql, now_ms);
            sql.add(")");
        }
        Scope::Shared => {
            sql.with(
                " FROM resource r WHERE r.compartment = ? AND r.sensitivity = 0 AND (r.financial = 0 OR r.released IS NOT NULL)",
                [NOBODY.into()],
            );
        }
    }
}

/// Restricts `column` to the compartments of a scope.
fn inside(sql: &mut Sql, column: &str, scope: &Scope) {
    match scope {
        Scope::One { grant, .. } => sql.add(column).with(" = ?", [grant.compartment.into()]),
        Scope::Shared => sql.add(column).with(" = ?", [NOBODY.into()]),
        Scope::Granted { partner } => sql.add(column).with(
            " IN (SELECT compartment FROM grants WHERE partner_id = ? AND revoked_ms IS NULL)",
            [partner.as_str().into()],
        ),
    };
}
