//! Searches as SQL. Every statement contains the condition of what the caller may read, so
//! nothing else is matched, counted, sorted or paged.
//!
//! A search of one member reads adjacent rows of the index of that member's compartment; its cost does not depend on other members.

mod along;
mod condition;
mod find;
mod parts;

pub use along::{IncludeRoom, by_reference, referring};
pub use find::{COUNTED_MAX, FoundKey, Hit, PageBytes, PageRead, by_keys, count, keys, page, sort_values};

use super::disclosure::LiveGrant;
use super::dynamic::{HeldValue, Sql};
use super::release_rule::{
    RECEIVED_LIKE, live_sql, live_values, releasable_sql, releasable_value, shared_sql, unrevoked_sql,
};
use super::resources::NOBODY;
use crate::fhir::search::Search;

/// The members whose resources are searched.
#[derive(Clone, Debug)]
pub enum SearchScope {
    /// One member, under this grant of this partner.
    One {
        /// The partner.
        partner: String,
        /// Its grant.
        grant: LiveGrant,
    },
    /// All members on whom this partner has live grants.
    Granted {
        /// The partner.
        partner: String,
    },
    /// The resources that belong to no member, without those that other payers sent.
    Shared,
    /// The resources that belong to no member and that a match refers to.
    Referred,
}

/// A search and what its statements need.
#[derive(Clone, Copy, Debug)]
pub struct SearchAsked<'a> {
    /// Whose resources are searched.
    pub scope: &'a SearchScope,
    /// When it is not empty: only these compartments of the scope are searched.
    pub part: &'a [i64],
    /// The parsed search.
    pub search: &'a Search,
    /// System of the UMB identifiers of this server, which every Patient has besides its own.
    pub umb_system: &'a str,
    /// The present time, UTC milliseconds.
    pub now_ms: i64,
}

/// Adds the condition that the row of table `r` may be released under grant `g`.
fn releasable(sql: &mut Sql, now_ms: i64) {
    sql.add(" AND ")
        .with(releasable_sql!("r", "g"), [releasable_value(now_ms).into()]);
}

/// Adds the condition that grant `g` with its consent `k` is live for `partner`.
fn live(sql: &mut Sql, partner: &str, now_ms: i64) {
    sql.with(live_sql!("g", "k"), live_values(partner, now_ms));
}

/// Adds `FROM … WHERE …` over the resources `r` that may be released in this scope.
fn allowed(sql: &mut Sql, scope: &SearchScope, now_ms: i64) {
    match scope {
        SearchScope::One { partner, grant } => {
            // One row, the grant, is read first; CROSS JOIN makes SQLite keep this order.
            sql.with(
                " FROM grants g CROSS JOIN consent k CROSS JOIN resource r WHERE g.id = ? AND k.id = g.consent_id AND ",
                [grant.id.as_str().into()],
            );
            live(sql, partner, now_ms);
            releasable(sql, now_ms);
        }
        SearchScope::Granted { partner } => {
            sql.add(" FROM resource r WHERE EXISTS (SELECT 1 FROM grants g JOIN consent k ON k.id = g.consent_id WHERE g.compartment = r.compartment AND ");
            live(sql, partner, now_ms);
            releasable(sql, now_ms);
            sql.add(")");
        }
        SearchScope::Shared | SearchScope::Referred => {
            sql.with(
                concat!(" FROM resource r WHERE r.compartment = ? AND ", shared_sql!("r")),
                [NOBODY.into()],
            );
            if matches!(scope, SearchScope::Shared) {
                sql.with(" AND r.id NOT LIKE ?", [RECEIVED_LIKE.into()]);
            }
        }
    }
}

/// Restricts `column` to the compartments that are searched.
fn inside(sql: &mut Sql, column: &str, asked: &SearchAsked<'_>) {
    match asked.scope {
        SearchScope::One { grant, .. } => sql.add(column).with(" = ?", [grant.compartment.into()]),
        SearchScope::Shared | SearchScope::Referred => sql.add(column).with(" = ?", [NOBODY.into()]),
        SearchScope::Granted { .. } if !asked.part.is_empty() => sql
            .add(column)
            .add(" IN ")
            .list(asked.part.iter().map(|no| HeldValue::from(*no))),
        SearchScope::Granted { partner } => sql.add(column).with(
            concat!(
                " IN (SELECT compartment FROM grants WHERE partner_id = ? AND ",
                unrevoked_sql!("grants"),
                ")"
            ),
            [partner.as_str().into()],
        ),
    };
}
