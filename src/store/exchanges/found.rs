//! Lists of exchanges: for operators, for a member, and for the sweep that looks for work that was forgotten.

use super::ExchangeRow;
use crate::error::Failure;
use crate::store::Db;
use crate::store::dynamic::{HeldValue, Sql};
use crate::store::jobs::PARKED;
use crate::store::ops_queries::fetched;
use crate::store::schema::{bulk_run_member, exchange, exchange_ask, job};
use diesel::prelude::*;
use diesel::sql_types::Text;

/// Which exchanges to list; `None` is any.
#[derive(Clone, Debug, Default)]
pub struct ExchangeFilter {
    /// Of this partner.
    pub partner: Option<String>,
    /// In this phase.
    pub phase: Option<String>,
    /// One of whose states has this name (`parked` for parked ones).
    pub state: Option<String>,
    /// With this fault as its reason.
    pub fault: Option<String>,
    /// With this correlation id of ours, or this request id of the partner.
    pub correlation: Option<String>,
    /// Of the member with this Patient id.
    pub member: Option<String>,
    /// That began at this time (UTC milliseconds) or later.
    pub since_ms: Option<i64>,
    /// Id of the last exchange of the previous page.
    pub cursor: Option<String>,
    /// Items on the page.
    pub limit: i64,
}

/// Returns a page of exchanges, oldest first, plus one more when there is a next page.
///
/// # Errors
/// Those of the database.
pub fn page(db: &mut Db, filter: &ExchangeFilter) -> Result<Vec<ExchangeRow>, Failure> {
    let mut sql = Sql::new("SELECT id FROM exchange");
    let after = filter.cursor.as_deref().unwrap_or("");
    sql.with(" WHERE id > ?", [HeldValue::from(after)]);
    let columns = [
        ("partner_id", &filter.partner),
        ("phase", &filter.phase),
        ("reason", &filter.fault),
        ("member_id", &filter.member),
    ];
    for (column, value) in columns {
        if let Some(value) = value {
            sql.add(" AND ")
                .add(column)
                .with(" = ?", [HeldValue::from(value.as_str())]);
        }
    }
    match filter.state.as_deref() {
        None => {}
        Some("parked") => {
            // By the index of those: of a million, few are parked.
            sql.add(" AND id IN (SELECT id FROM exchange WHERE parked_at_ms IS NOT NULL)");
        }
        Some(state) => {
            sql.with(
                " AND (identity_state = ? OR consent_state = ? OR transport_state = ? OR delivery_state = ? OR audit_state = ?)",
                [state, state, state, state, state].map(HeldValue::from),
            );
        }
    }
    if let Some(correlation) = &filter.correlation {
        sql.with(
            " AND (correlation_id = ? OR id IN (SELECT exchange_id FROM exchange_step WHERE partner_request_id = ?))",
            [correlation.as_str(), correlation.as_str()].map(HeldValue::from),
        );
    }
    if let Some(since_ms) = filter.since_ms {
        sql.with(" AND created_ms >= ?", [HeldValue::Big(since_ms)]);
    }
    sql.with(" ORDER BY id LIMIT ?", [HeldValue::Big(fetched(filter.limit))]);
    let ids: Vec<(String,)> = match db {
        Db::Pg(pg) => sql.rows::<(Text,)>().load(pg)?,
        Db::Sqlite(sqlite) => sql.rows::<(Text,)>().load(sqlite)?,
    };
    let ids: Vec<String> = ids.into_iter().map(|(id,)| id).collect();
    Ok(exchange::table
        .filter(exchange::id.eq_any(ids))
        .order(exchange::id)
        .select(ExchangeRow::as_select())
        .load(db)?)
}

/// Returns the newest exchanges that we began, with a partner or with any, newest first.
///
/// # Errors
/// Those of the database.
pub fn newest(db: &mut Db, partner: Option<&str>, limit: i64) -> Result<Vec<ExchangeRow>, Failure> {
    let mut query = exchange::table
        .order(exchange::id.desc())
        .limit(limit)
        .select(ExchangeRow::as_select())
        .into_boxed();
    if let Some(partner) = partner {
        query = query.filter(exchange::partner_id.eq(partner));
    }
    Ok(query.load(db)?)
}

/// Returns the exchanges of a member, oldest first, at most 1,000.
///
/// # Errors
/// Those of the database.
pub fn of_member(db: &mut Db, member_id: &str) -> Result<Vec<ExchangeRow>, Failure> {
    Ok(exchange::table
        .filter(exchange::member_id.eq(member_id))
        .order(exchange::id)
        .limit(1_000)
        .select(ExchangeRow::as_select())
        .load(db)?)
}

/// Returns the live exchanges under an opt-in.
///
/// # Errors
/// Those of the database.
pub fn live_under(db: &mut Db, opt_in_id: &str) -> Result<Vec<ExchangeRow>, Failure> {
    Ok(exchange::table
        .inner_join(exchange_ask::table.on(exchange_ask::exchange_id.eq(exchange::id)))
        .filter(exchange_ask::opt_in_id.eq(opt_in_id).and(exchange::ended_ms.is_null()))
        .order(exchange::id)
        .select(ExchangeRow::as_select())
        .load(db)?)
}

/// Returns how many exchanges are parked, and since when the oldest of them is (UTC milliseconds).
///
/// # Errors
/// Those of the database.
pub fn parked(db: &mut Db) -> Result<(i64, Option<i64>), Failure> {
    let parked = exchange::table.filter(exchange::parked_at_ms.is_not_null());
    let count: i64 = parked.select(diesel::dsl::count_star()).first(db)?;
    let oldest: Option<Option<i64>> = parked
        .order(exchange::parked_at_ms.asc())
        .select(exchange::parked_at_ms)
        .first(db)
        .optional()?;
    Ok((count, oldest.flatten()))
}

/// Returns exchanges whose job is parked, with the class of its last failure, at most `limit` after the first `skip`.
///
/// # Errors
/// Those of the database.
pub fn with_lost_jobs(db: &mut Db, kind: &str, limit: i64, skip: i64) -> Result<Vec<(String, String)>, Failure> {
    let rows: Vec<(String, Option<String>)> = job::table
        .filter(job::parked_at_ms.is_not_null().and(job::kind.eq(kind)))
        .order((job::parked_at_ms, job::id))
        .limit(limit)
        .offset(skip)
        .select((job::live_key, job::last_class))
        .load(db)?;
    Ok(rows
        .into_iter()
        .map(|(key, class)| (key, class.unwrap_or_else(|| "failed".to_owned())))
        .collect())
}

/// Whether the job of this exchange is parked.
///
/// # Errors
/// Those of the database.
pub fn has_lost_job(db: &mut Db, kind: &str, id: &str) -> Result<bool, Failure> {
    let found: Option<String> = job::table
        .filter(job::kind.eq(kind).and(job::live_key.eq(id)))
        .filter(job::parked_at_ms.is_not_null())
        .select(job::id)
        .first(db)
        .optional()?;
    Ok(found.is_some())
}

/// Returns the ids of exchanges that are parked or in `phase`, and whose opt-in ended before `now_ms` (UTC milliseconds), at most
/// `limit` after the first `skip`.
///
/// # Errors
/// Those of the database.
pub fn waiting_under_ended(
    db: &mut Db,
    now_ms: i64,
    phase: &str,
    limit: i64,
    skip: i64,
) -> Result<Vec<String>, Failure> {
    // In the order of the index of live exchanges: in the order of ids, SQLite walks through all exchanges of all times. The CROSS JOINs
    // fix the order in which it reads the tables.
    let mut sql = Sql::new(
        "SELECT e.id FROM exchange e CROSS JOIN exchange_ask a CROSS JOIN opt_in o \
         WHERE e.ended_ms IS NULL AND e.direction = 'outbound' AND a.exchange_id = e.id AND o.id = a.opt_in_id",
    );
    sql.with(
        " AND (e.parked_at_ms IS NOT NULL OR e.phase = ?) AND o.to_ms < ? ORDER BY e.partner_id, e.id LIMIT ? OFFSET ?",
        [
            HeldValue::from(phase),
            HeldValue::Big(now_ms),
            HeldValue::Big(limit),
            HeldValue::Big(skip),
        ],
    );
    let ids: Vec<(String,)> = match db {
        Db::Pg(pg) => sql.rows::<(Text,)>().load(pg)?,
        Db::Sqlite(sqlite) => sql.rows::<(Text,)>().load(sqlite)?,
    };
    Ok(ids.into_iter().map(|(id,)| id).collect())
}

/// Returns live exchanges of ours that neither wait for an operator nor have a job, their own or that of a bulk run (`carrier`) which works for
/// them, at most `limit` after the first `skip`. There should be none.
///
/// # Errors
/// Those of the database.
pub fn without_job(
    db: &mut Db,
    (kind, carrier): (&str, &str),
    phases: &[&str],
    limit: i64,
    skip: i64,
) -> Result<Vec<ExchangeRow>, Failure> {
    let jobs = job::table.filter(job::kind.eq(kind)).select(job::live_key);
    // A run whose job is parked works for nobody.
    let runs = job::table
        .filter(job::kind.eq(carrier).and(job::state.ne(PARKED)))
        .select(job::live_key);
    let carried = bulk_run_member::table
        .filter(bulk_run_member::carried.eq(1).and(bulk_run_member::run_id.eq_any(runs)))
        .select(bulk_run_member::exchange_id);
    Ok(exchange::table
        .filter(exchange::phase.eq_any(phases.to_vec()))
        .filter(exchange::ended_ms.is_null().and(exchange::parked_at_ms.is_null()))
        .filter(exchange::direction.eq("outbound"))
        .filter(exchange::id.ne_all(jobs).and(exchange::id.ne_all(carried)))
        .order(exchange::id)
        .limit(limit)
        .offset(skip)
        .select(ExchangeRow::as_select())
        .load(db)?)
}
