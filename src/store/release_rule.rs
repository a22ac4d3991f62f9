//! The release rule: which grants are live, and which rows may be released under one. It
//! is written only here, as SQL that every release uses.
//!
//! A live grant is not revoked and within its dates, and its consent is not revoked and within its period. A releasable
//! row belongs to a sensitivity category that the grant covers, shows no amounts of money, and is no prior authorization
//! that must be withheld. No other file may contain a condition on these columns: `tests/it/layers.rs` searches for one,
//! and `tests/it/release_rules.rs` compares all ways of release.
//!
//! The rule exists in two forms with the same text: macros that give a literal, for statements with fixed or assembled text, and query
//! builder expressions over the tables `grants`, `consent` and `resource` (`live`, `releasable`, `shared`).

use super::schema::{grants, resource};
use diesel::backend::Backend;
use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Bool, HasSqlType, Text};

/// Not a prior authorization. `records` writes these codes.
pub const PA_NONE: i64 = 0;
/// Approved, or waiting for a decision. `pa_changed_ms` is the end of its period, if it
/// has one; after that it counts as ended, without another import.
pub const PA_ACTIVE: i64 = 1;
/// Cancelled, or its period was over when it was stored; `pa_changed_ms` is the time of its end.
pub const PA_ENDED: i64 = 2;
/// Nothing was approved and something was denied; never released. The same holds for all higher codes.
pub const PA_DENIED: i64 = 3;
/// For a drug, or for a drug and other things.
pub const PA_DRUG: i64 = 4;
/// It claims to be a prior authorization, but its decision is not recognized.
pub const PA_UNCLEAR: i64 = 5;
/// Something that it covers is not recognized, so it may be a drug.
pub const PA_SERVICE_UNKNOWN: i64 = 6;
/// It references a claim or an authorization that is not stored, so nobody knows whether that one may be released.
pub const PA_ABSENT: i64 = 7;
/// Rows with a sensitivity bit from here up are withheld under every policy. [`super::withheld`] says what each bit means.
pub const WITHHELD_ALWAYS: i64 = 1 << 40;
/// Prior authorizations stay releasable for a year after they ended (42 CFR 422.119(b)(1)(iv)); milliseconds.
pub const PA_KEPT_MS: i64 = 365 * 86_400_000;

// The SQL texts below contain these codes as numbers.
const _: () = assert!(PA_NONE == 0 && PA_ACTIVE == 1 && PA_ENDED == 2 && WITHHELD_ALWAYS == 1_099_511_627_776);

/// SQL: prior authorizations whose period ends, in the words of the partial index; with a
/// bound value the database would not use that index.
pub(super) const PA_WITH_PERIOD: &str = "pa_state = 1 AND pa_changed_ms IS NOT NULL";

/// The period of an authorization was over at `now_ms`, but its state does not say so yet.
/// Updating the state does not change what may be released.
#[diesel::dsl::auto_type]
pub(super) fn is_over(now_ms: i64) -> _ {
    let active: i64 = PA_ACTIVE;
    resource::pa_state.eq(active).and(resource::pa_changed_ms.lt(now_ms))
}

/// SQL: the grant `$g` with its consent `$k` is live for a partner. The caller joins the
/// two by `$k.id = $g.consent_id`. The values are [`live_values`].
macro_rules! live_sql {
    ($g:literal, $k:literal) => {
        concat!(
            "(",
            $g,
            ".partner_id = ? AND ",
            $g,
            ".revoked_ms IS NULL AND ",
            $g,
            ".valid_from_ms <= ? AND ",
            $g,
            ".valid_until_ms > ? \
             AND ",
            $k,
            ".revoked_ms IS NULL AND ",
            $k,
            ".period_from_ms <= ? AND ",
            $k,
            ".period_to_ms > ?)"
        )
    };
}
pub(super) use live_sql;

/// SQL: what a disclosure was begun on still holds, which is the version of the partner's registration and the token. The values are the
/// partner, its version, and the hash of the token.
pub(super) const BASIS_SQL: &str = "EXISTS (SELECT 1 FROM partner p WHERE p.id = ? AND p.version = ? AND p.status = 'active') \
    AND NOT EXISTS (SELECT 1 FROM access_token t WHERE t.hash = ? AND t.revoked_ms IS NOT NULL)";

/// SQL: the row `$r` may be released under the grant `$g`. The value is [`releasable_value`].
macro_rules! releasable_sql {
    ($r:literal, $g:literal) => {
        concat!(
            "((",
            $r,
            ".sensitivity = 0 OR (",
            $g,
            ".sensitive = 1 AND ",
            $r,
            ".sensitivity < 1099511627776)) \
             AND (",
            $r,
            ".financial = 0 OR ",
            $r,
            ".released IS NOT NULL) \
             AND (",
            $r,
            ".pa_state = 0 OR (",
            $r,
            ".pa_state = 1 AND ",
            $r,
            ".pa_changed_ms IS NULL) \
             OR (",
            $r,
            ".pa_state IN (1, 2) AND ",
            $r,
            ".pa_changed_ms >= ?)))"
        )
    };
}
pub(super) use releasable_sql;

/// SQL: the row `$r`, which belongs to no member, may be released under every grant. The caller restricts the compartment.
macro_rules! shared_sql {
    ($r:literal) => {
        concat!(
            "(",
            $r,
            ".sensitivity = 0 AND (",
            $r,
            ".financial = 0 OR ",
            $r,
            ".released IS NOT NULL))"
        )
    };
}
pub(super) use shared_sql;

/// SQL: the grant `$g` was not revoked, whatever its dates are. It narrows a search, and guards
/// against a second revocation; it never suffices for a release.
macro_rules! unrevoked_sql {
    ($g:literal) => {
        concat!($g, ".revoked_ms IS NULL")
    };
}
pub(super) use unrevoked_sql;

/// SQL: the row of `grants` may be renewed under its consent: neither was revoked. The match that renews
/// the grant has checked the dates of the consent in its request.
macro_rules! renewable_sql {
    () => {
        "(grants.revoked_ms IS NULL AND EXISTS (SELECT 1 FROM consent WHERE consent.id = grants.consent_id AND consent.revoked_ms IS NULL))"
    };
}
pub(super) use renewable_sql;

/// The rule as text, for its content hash.
pub fn text() -> String {
    format!(
        "live {}\nreleasable {}\nshared {}\nrenewable {}\nkept {PA_KEPT_MS}",
        live_sql!("grants", "consent"),
        releasable_sql!("resource", "grants"),
        shared_sql!("resource"),
        renewable_sql!(),
    )
}

/// Returns the values of [`live_sql`], in its order.
pub(super) fn live_values<'a, V: From<&'a str> + From<i64>>(partner: &'a str, now_ms: i64) -> [V; 5] {
    [
        partner.into(),
        now_ms.into(),
        now_ms.into(),
        now_ms.into(),
        now_ms.into(),
    ]
}

/// Returns the value of [`releasable_sql`]: authorizations that ended before this instant (UTC ms) are withheld.
pub(super) fn releasable_value(now_ms: i64) -> i64 {
    now_ms - PA_KEPT_MS
}

/// Makes a rule a query builder condition. It can be added to any query, but the SQL is valid only over the tables that it names.
macro_rules! condition {
    ($name:ident) => {
        impl Expression for $name<'_> {
            type SqlType = Bool;
        }
        impl<Tables: ?Sized> AppearsOnTable<Tables> for $name<'_> {}
        impl<Tables: ?Sized> SelectableExpression<Tables> for $name<'_> {}
        impl ValidGrouping<()> for $name<'_> {
            type IsAggregate = is_aggregate::No;
        }
        impl QueryId for $name<'_> {
            type QueryId = $name<'static>;
            const HAS_STATIC_QUERY_ID: bool = true;
        }
    };
}

/// [`live_sql`] over `grants` and `consent`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Live<'a> {
    partner: &'a str,
    now_ms: i64,
}

condition!(Live);

/// The condition that the grant of a row is live for `partner`.
pub(super) fn live(partner: &str, now_ms: i64) -> Live<'_> {
    Live { partner, now_ms }
}

impl<DB> QueryFragment<DB> for Live<'_>
where
    DB: Backend + HasSqlType<Text> + HasSqlType<BigInt>,
    str: ToSql<Text, DB>,
    i64: ToSql<BigInt, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        let mut is_partner = true;
        walk(live_sql!("grants", "consent"), &mut out, |out| {
            if std::mem::take(&mut is_partner) {
                out.push_bind_param::<Text, str>(self.partner)
            } else {
                out.push_bind_param::<BigInt, i64>(&self.now_ms)
            }
        })
    }
}

/// [`releasable_sql`] over `resource` and `grants`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Releasable<'a> {
    ended_since_ms: i64,
    kind: std::marker::PhantomData<&'a ()>,
}

condition!(Releasable);

/// The condition that the resource of a row may be released under the grant of that row.
pub(super) fn releasable(now_ms: i64) -> Releasable<'static> {
    Releasable {
        ended_since_ms: releasable_value(now_ms),
        kind: std::marker::PhantomData,
    }
}

impl<DB> QueryFragment<DB> for Releasable<'_>
where
    DB: Backend + HasSqlType<BigInt>,
    i64: ToSql<BigInt, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        walk(releasable_sql!("resource", "grants"), &mut out, |out| {
            out.push_bind_param::<BigInt, i64>(&self.ended_since_ms)
        })
    }
}

/// Writes `text` and pushes a value for each `?`.
fn walk<'b, DB: Backend>(
    text: &str,
    out: &mut AstPass<'_, 'b, DB>,
    mut push: impl FnMut(&mut AstPass<'_, 'b, DB>) -> QueryResult<()>,
) -> QueryResult<()> {
    for (index, piece) in text.split('?').enumerate() {
        if index > 0 {
            push(out)?;
        }
        out.push_sql(piece);
    }
    Ok(())
}

/// [`shared_sql`] over `resource`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shared<'a>(std::marker::PhantomData<&'a ()>);

condition!(Shared);

/// With this begins the id of what another payer sent. Of what belongs to no member such a resource leaves only along a record that names it:
/// neither a read nor a search of its own finds it (threats D02).
pub const RECEIVED: &str = "px.";
/// Whether a resource with this id came from a partner.
pub fn is_received(id: &str) -> bool {
    id.strip_prefix(RECEIVED)
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

/// [`RECEIVED`] as a pattern of SQL.
pub(super) const RECEIVED_LIKE: &str = "px.%";

/// The condition that the resource of a row, which belongs to no member, may be released.
pub(super) fn shared() -> Shared<'static> {
    Shared(std::marker::PhantomData)
}

impl<DB: Backend> QueryFragment<DB> for Shared<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql(shared_sql!("resource"));
        Ok(())
    }
}

/// [`unrevoked_sql`] over `grants`, for writes that revoke: a grant is revoked only once.
pub(super) fn unrevoked() -> diesel::dsl::IsNull<grants::revoked_ms> {
    grants::revoked_ms.is_null()
}

/// The condition over `grants` that a grant was revoked at this time (UTC ms) or later. It tells what may have ended while an answer is sent;
/// it never suffices for a release.
pub(super) fn revoked_since(since_ms: i64) -> diesel::dsl::GtEq<grants::revoked_ms, i64> {
    grants::revoked_ms.ge(since_ms)
}

/// A condition over `resource`: the row may have to be withheld.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspect<'a>(std::marker::PhantomData<&'a ()>);

condition!(Suspect);

/// The condition that something speaks against releasing a row, so that [`ReleaseColumns`] is worth asking for the reason. All rows that
/// are withheld under a consent for regular data meet it.
pub(super) fn suspect() -> Suspect<'static> {
    Suspect(std::marker::PhantomData)
}

impl<DB: Backend> QueryFragment<DB> for Suspect<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql(concat!("(resource.pa_state <> 0 OR NOT ", shared_sql!("resource"), ")"));
        Ok(())
    }
}

/// The release columns of a row, judged by the same rule in code. Only for explaining why a row is withheld, never for releasing it.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct ReleaseColumns {
    pub sensitivity: i64,
    pub pa_state: i64,
    pub pa_changed_ms: Option<i64>,
    pub financial: i64,
    pub has_released: bool,
}

impl ReleaseColumns {
    /// Whether its category is withheld under a grant for regular data. With a bit from
    /// [`WITHHELD_ALWAYS`] up it is withheld under every grant.
    pub fn category_stays(&self) -> bool {
        self.sensitivity != 0
    }

    /// Whether it shows amounts of money and has no released form without them.
    pub fn money_stays(&self) -> bool {
        self.financial != 0 && !self.has_released
    }

    /// Whether it is, or depends on, a prior authorization that is withheld at `now_ms` (UTC ms).
    pub fn authorization_stays(&self, now_ms: i64) -> bool {
        !authorization_leaves(self.pa_state, self.pa_changed_ms, now_ms)
    }
}

/// Whether a prior authorization in this state, changed at `pa_changed_ms`, may be released at `now_ms` (UTC ms).
pub fn authorization_leaves(pa_state: i64, pa_changed_ms: Option<i64>, now_ms: i64) -> bool {
    match (pa_state, pa_changed_ms) {
        (PA_NONE, _) | (PA_ACTIVE, None) => true,
        (PA_ACTIVE | PA_ENDED, Some(changed)) => changed >= releasable_value(now_ms),
        _ => false,
    }
}

#[cfg(test)]
#[path = "release_rule_tests.rs"]
mod tests;
