//! When a version of a policy decides, and for whom: the rows of acts, and which of them decides at a moment.
//!
//! Of the rows of a scope that are approved, not withdrawn and effective, the latest decides; a row for every partner counts in the scope of
//! each. The answer is read with the clock of the caller, so that a version takes effect at its time in all processes, without any job.
//! Whether an act is allowed is decided elsewhere.

use super::Db;
use super::schema::{operator_note, policy_activation};
use super::statement::{Bind, Statement};
use crate::error::Failure;
use diesel::backend::Backend;
use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, HasSqlType, Nullable, Text};

/// The scope of every partner.
pub const EVERYONE: &str = "";
/// The kind of policy that says which versions of the guides a partner speaks. Its text is a dialect as JSON, or [`AS_REGISTERED`].
pub const DIALECTS: &str = "dialects";
/// The kind of policy that says what partners are told to do about a refusal.
pub const ERROR_TEXTS: &str = "error-texts";
/// The kind of policy that says how long evidence is kept.
pub const RETENTION: &str = "retention";
/// The text of a dialect that is the one of the partner's registration.
pub const AS_REGISTERED: &str = "{}\n";
/// Rows of a kind that are read at most, the newest.
const READ_MOST: i64 = 5_000;

/// An act on one scope, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = policy_activation)]
pub struct ActivationRow {
    /// Id of the ledger entry that recorded the act.
    pub act_id: String,
    /// The partner; [`EVERYONE`] for every partner.
    pub partner_id: String,
    /// The kind of policy.
    pub kind: String,
    /// The version.
    pub version_id: String,
    /// The version that decided in this scope when the act was asked for.
    pub before_id: Option<String>,
    /// When it was asked for, UTC milliseconds.
    pub asked_ms: i64,
    /// From when on it decides, UTC milliseconds.
    pub effective_ms: i64,
    /// When it was approved, UTC milliseconds; `None` while it waits for a second person.
    pub approved_ms: Option<i64>,
    /// Id of the ledger entry of a second person's approval.
    pub approval_id: Option<String>,
    /// When it was withdrawn, UTC milliseconds.
    pub withdrawn_ms: Option<i64>,
}

impl ActivationRow {
    /// Whether it decides at `at_ms`, unless a later one does.
    pub fn is_effective(&self, at_ms: i64) -> bool {
        self.approved_ms.is_some() && self.withdrawn_ms.is_none() && self.effective_ms <= at_ms
    }
}

/// The row that decides for `partner` at `at_ms`, of rows of one kind.
pub fn deciding<'r>(rows: &'r [ActivationRow], partner: &str, at_ms: i64) -> Option<&'r ActivationRow> {
    rows.iter()
        .filter(|row| row.partner_id == partner || row.partner_id == EVERYONE)
        .filter(|row| row.is_effective(at_ms))
        .max_by(|a, b| (a.effective_ms, &a.act_id).cmp(&(b.effective_ms, &b.act_id)))
}

/// SQL: the id of the version that decides. The values are the kind, the partner and the time. It is what [`deciding`] computes.
pub(super) const DECIDING_SQL: &str = "SELECT version_id FROM policy_activation WHERE kind = ? AND partner_id IN (?, '') \
    AND effective_ms <= ? AND approved_ms IS NOT NULL AND withdrawn_ms IS NULL ORDER BY effective_ms DESC, act_id DESC LIMIT 1";

/// Returns the id of the version of this kind that decides for `partner` at `at_ms`; `None` when none was activated, so that the one
/// that ships decides.
///
/// # Errors
/// Those of the database.
pub fn in_force(db: &mut Db, kind: &str, partner: &str, at_ms: i64) -> Result<Option<String>, Failure> {
    struct Deciding;
    let binds = vec![Bind::Text(kind), Bind::Text(partner), Bind::Big(at_ms)];
    let statement = Statement::<Deciding, (Text,)>::new(DECIDING_SQL, binds);
    let found: Option<(String,)> = match db {
        Db::Pg(pg) => statement.get_result(pg).optional()?,
        Db::Sqlite(sqlite) => statement.get_result(sqlite).optional()?,
    };
    Ok(found.map(|(id,)| id))
}

/// Returns the dialect that was put in force for a partner, as JSON; `None` for the one of its registration.
///
/// # Errors
/// Those of the database.
pub fn spoken(db: &mut Db, partner: &str, at_ms: i64) -> Result<Option<String>, Failure> {
    let Some(id) = in_force(db, DIALECTS, partner, at_ms)? else {
        return Ok(None);
    };
    let row = super::policies::find(db, &id)?;
    Ok(row.map(|row| row.body).filter(|body| body != AS_REGISTERED))
}

/// SQL expression over the table `partner`: the text of the version of this kind that decides for the partner.
///
/// `DIALECT` says which kind: [`DIALECTS`] or [`ERROR_TEXTS`]. So each statement has a text of its own.
pub(super) struct TextInForce<const DIALECT: bool> {
    pub(super) at_ms: i64,
}

impl<const DIALECT: bool> Expression for TextInForce<DIALECT> {
    type SqlType = Nullable<Text>;
}

impl<Tables: ?Sized, const DIALECT: bool> AppearsOnTable<Tables> for TextInForce<DIALECT> {}
impl<Tables: ?Sized, const DIALECT: bool> SelectableExpression<Tables> for TextInForce<DIALECT> {}

impl<const DIALECT: bool> ValidGrouping<()> for TextInForce<DIALECT> {
    type IsAggregate = is_aggregate::No;
}

impl<const DIALECT: bool> QueryId for TextInForce<DIALECT> {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<DB, const DIALECT: bool> QueryFragment<DB> for TextInForce<DIALECT>
where
    DB: Backend + HasSqlType<BigInt>,
    i64: ToSql<BigInt, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql(
            "(SELECT v.body FROM policy_activation a JOIN policy_version v ON v.id = a.version_id \
             WHERE a.partner_id IN (partner.id, '') AND a.approved_ms IS NOT NULL AND a.withdrawn_ms IS NULL AND a.kind = '",
        );
        out.push_sql(if DIALECT { DIALECTS } else { ERROR_TEXTS });
        out.push_sql("' AND a.effective_ms <= ");
        out.push_bind_param::<BigInt, _>(&self.at_ms)?;
        out.push_sql(" ORDER BY a.effective_ms DESC, a.act_id DESC LIMIT 1)");
        Ok(())
    }
}

/// Adds the rows of an act.
///
/// # Errors
/// Those of the database.
pub fn add(db: &mut Db, rows: &[ActivationRow]) -> Result<(), Failure> {
    for row in rows {
        let insert = diesel::insert_into(policy_activation::table).values(row);
        match db {
            Db::Pg(pg) => insert.execute(pg)?,
            Db::Sqlite(sqlite) => insert.execute(sqlite)?,
        };
    }
    Ok(())
}

/// Returns the rows of a kind, oldest first; at most the newest 5,000.
///
/// # Errors
/// Those of the database.
pub fn of_kind(db: &mut Db, kind: &str) -> Result<Vec<ActivationRow>, Failure> {
    let mut rows: Vec<ActivationRow> = policy_activation::table
        .filter(policy_activation::kind.eq(kind))
        .order((policy_activation::asked_ms.desc(), policy_activation::act_id.desc()))
        .limit(READ_MOST)
        .select(ActivationRow::as_select())
        .load(db)?;
    rows.reverse();
    Ok(rows)
}

/// Returns the rows of an act.
///
/// # Errors
/// Those of the database.
pub fn of_act(db: &mut Db, act_id: &str) -> Result<Vec<ActivationRow>, Failure> {
    Ok(policy_activation::table
        .filter(policy_activation::act_id.eq(act_id))
        .order(policy_activation::partner_id)
        .select(ActivationRow::as_select())
        .load(db)?)
}

/// Approves an act that waits, with the time from which on it decides. Returns false when it does not wait any more.
///
/// # Errors
/// Those of the database.
pub fn approve(db: &mut Db, act_id: &str, approval_id: &str, now_ms: i64, effective_ms: i64) -> Result<bool, Failure> {
    let waits = policy_activation::table
        .filter(policy_activation::act_id.eq(act_id))
        .filter(policy_activation::approved_ms.is_null())
        .filter(policy_activation::withdrawn_ms.is_null());
    let changed = diesel::update(waits)
        .set((
            policy_activation::approved_ms.eq(Some(now_ms)),
            policy_activation::approval_id.eq(Some(approval_id)),
            policy_activation::effective_ms.eq(effective_ms),
        ))
        .execute(db)?;
    Ok(changed > 0)
}

/// Withdraws an act that does not decide yet at `now_ms`. Returns false when it decides already or was withdrawn.
///
/// # Errors
/// Those of the database.
pub fn withdraw(db: &mut Db, act_id: &str, now_ms: i64) -> Result<bool, Failure> {
    let is_ahead = policy_activation::approved_ms
        .is_null()
        .or(policy_activation::effective_ms.gt(now_ms));
    let changed = diesel::update(
        policy_activation::table
            .filter(policy_activation::act_id.eq(act_id))
            .filter(policy_activation::withdrawn_ms.is_null())
            .filter(is_ahead),
    )
    .set(policy_activation::withdrawn_ms.eq(Some(now_ms)))
    .execute(db)?;
    Ok(changed > 0)
}

/// Returns who gave the command that this ledger entry recorded; `None` when the note was erased.
///
/// # Errors
/// Those of the database.
pub fn operator_of(db: &mut Db, entry_id: &str) -> Result<Option<String>, Failure> {
    Ok(operator_note::table
        .find(entry_id)
        .select(operator_note::operator)
        .first(db)
        .optional()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(act: &str, partner: &str, effective_ms: i64, is_approved: bool) -> ActivationRow {
        ActivationRow {
            act_id: act.into(),
            partner_id: partner.into(),
            kind: "retry".into(),
            version_id: format!("version-{act}"),
            before_id: None,
            asked_ms: 0,
            effective_ms,
            approved_ms: is_approved.then_some(0),
            approval_id: None,
            withdrawn_ms: None,
        }
    }

    #[test]
    fn the_latest_effective_row_of_a_scope_decides_and_one_for_everyone_counts_for_each_partner() {
        let mut rows = vec![
            row("1", EVERYONE, 100, true),
            row("2", "p", 200, true),
            row("3", EVERYONE, 300, true),
            row("4", "p", 250, false),
        ];
        let said = |rows: &[ActivationRow], partner: &str, at_ms| {
            deciding(rows, partner, at_ms)
                .map(|row| row.act_id.clone())
                .unwrap_or_default()
        };
        assert_eq!(said(&rows, "p", 99), "");
        assert_eq!((said(&rows, "p", 250), said(&rows, "q", 250)), ("2".into(), "1".into()));
        assert_eq!((said(&rows, "p", 300), said(&rows, "q", 300)), ("3".into(), "3".into()));
        rows[2].withdrawn_ms = Some(1);
        assert_eq!((said(&rows, "p", 300), said(&rows, "q", 300)), ("2".into(), "1".into()));
    }
}
