//! Business figures as rows: how many of what, by minute, hour and day. Written by the job of `figures`, read by operators.
//!
//! Knows no meaning: what a figure, a kind or a state is, comes in. The partner `""` stands for all partners together, so that a look at all of
//! them reads as few rows as a look at one.

use super::Db;
use super::many::insert;
use super::schema::{business_figure, figure_state};
use super::statement::{Bind, Statement, run};
use crate::error::Failure;
use diesel::dsl::min;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

/// The partner of rows about all partners together.
pub const ALL_PARTNERS: &str = "";
/// The figure of minutes in which the job ran. It is written once and never counted again.
pub const UP: &str = "up";
/// Rows that one look returns, at most.
pub const ROWS: i64 = 200_000;

/// How long the times are that figures are counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureGrain {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day of UTC.
    Day,
}

impl FigureGrain {
    /// Its name in rows.
    pub const fn code(self) -> &'static str {
        match self {
            FigureGrain::Minute => "minute",
            FigureGrain::Hour => "hour",
            FigureGrain::Day => "day",
        }
    }

    /// Its length, milliseconds.
    pub const fn ms(self) -> i64 {
        match self {
            FigureGrain::Minute => 60_000,
            FigureGrain::Hour => 3_600_000,
            FigureGrain::Day => 86_400_000,
        }
    }

    /// The begin of the minute, hour or day in which `at_ms` is; UTC milliseconds, both.
    pub const fn floor(self, at_ms: i64) -> i64 {
        at_ms.div_euclid(self.ms()) * self.ms()
    }
}

/// One figure of one time.
#[derive(Clone, Debug, PartialEq, Eq, Insertable)]
#[diesel(table_name = business_figure)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct FigureRow {
    pub grain: &'static str,
    pub partner_id: String,
    pub begin_ms: i64,
    pub figure: &'static str,
    pub kind: String,
    pub channel: String,
    pub state: String,
    pub owner: String,
    pub reason: String,
    pub total: i64,
}

/// How far the figures are counted. Times are UTC milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Queryable)]
pub struct FigureState {
    /// Since when the job runs; 0 before its first run.
    pub began_ms: i64,
    /// Up to when everything is counted.
    pub counted_ms: i64,
    /// Up to when changes were looked for.
    pub seen_ms: i64,
    /// When it last ran.
    pub beat_ms: i64,
    /// From when on every minute is kept; the begin of an hour.
    pub minutes_from_ms: i64,
    /// From when on every hour is kept; the begin of a day.
    pub hours_from_ms: i64,
}

/// Returns how far the figures are counted.
///
/// # Errors
/// Those of the database.
pub fn state(db: &mut Db) -> Result<FigureState, Failure> {
    Ok(figure_state::table
        .find(1)
        .select((
            figure_state::began_ms,
            figure_state::counted_ms,
            figure_state::seen_ms,
            figure_state::beat_ms,
            figure_state::minutes_from_ms,
            figure_state::hours_from_ms,
        ))
        .first(db)?)
}

/// Writes how far the figures are counted.
///
/// # Errors
/// Those of the database.
pub fn set_state(db: &mut Db, state: FigureState) -> Result<(), Failure> {
    diesel::update(figure_state::table.find(1))
        .set((
            figure_state::began_ms.eq(state.began_ms),
            figure_state::counted_ms.eq(state.counted_ms),
            figure_state::seen_ms.eq(state.seen_ms),
            figure_state::beat_ms.eq(state.beat_ms),
            figure_state::minutes_from_ms.eq(state.minutes_from_ms),
            figure_state::hours_from_ms.eq(state.hours_from_ms),
        ))
        .execute(db)?;
    Ok(())
}

/// Writes what was counted from `from_ms` until before `until_ms` (UTC milliseconds), in place of what was there. Minutes in which the job ran
/// stay.
///
/// # Errors
/// Those of the database.
pub fn replace(
    db: &mut Db,
    grain: FigureGrain,
    (from_ms, until_ms): (i64, i64),
    rows: &[FigureRow],
) -> Result<(), Failure> {
    let counted = business_figure::table
        .filter(business_figure::grain.eq(grain.code()))
        .filter(
            business_figure::begin_ms
                .ge(from_ms)
                .and(business_figure::begin_ms.lt(until_ms)),
        )
        .filter(business_figure::figure.ne(UP));
    diesel::delete(counted).execute(db)?;
    insert!(db, business_figure::table, rows);
    Ok(())
}

/// Notes that the job ran in these minutes (their begins, UTC milliseconds). Each counts once, however often it is noted.
///
/// # Errors
/// Those of the database.
pub fn note_up(db: &mut Db, minutes: &[i64]) -> Result<(), Failure> {
    let row = |begin_ms: &i64| FigureRow {
        grain: FigureGrain::Minute.code(),
        partner_id: ALL_PARTNERS.to_owned(),
        begin_ms: *begin_ms,
        figure: UP,
        kind: String::new(),
        channel: String::new(),
        state: String::new(),
        owner: String::new(),
        reason: String::new(),
        total: 1,
    };
    let rows: Vec<FigureRow> = minutes.iter().map(row).collect();
    let noted = business_figure::table
        .filter(business_figure::grain.eq(FigureGrain::Minute.code()))
        .filter(business_figure::partner_id.eq(ALL_PARTNERS))
        .filter(business_figure::begin_ms.eq_any(minutes.to_vec()))
        .filter(business_figure::figure.eq(UP));
    diesel::delete(noted).execute(db)?;
    insert!(db, business_figure::table, rows);
    Ok(())
}

struct HourTag;
struct DayTag;

/// Adds up the minutes of the hour that begins at `hour_ms` (UTC milliseconds), in place of what was there. All of them have to be kept.
///
/// # Errors
/// Those of the database.
pub fn sum_hour(db: &mut Db, hour_ms: i64) -> Result<(), Failure> {
    clear(db, FigureGrain::Hour, hour_ms)?;
    let statement = Statement::<HourTag>::new(
        "INSERT INTO business_figure (grain, partner_id, begin_ms, figure, kind, channel, state, owner, reason, total) \
         SELECT 'hour', partner_id, CAST(? AS BIGINT), figure, kind, channel, state, owner, reason, CAST(SUM(total) AS BIGINT) \
         FROM business_figure WHERE grain = 'minute' AND begin_ms >= ? AND begin_ms < ? \
         GROUP BY partner_id, figure, kind, channel, state, owner, reason",
        vec![
            Bind::Big(hour_ms),
            Bind::Big(hour_ms),
            Bind::Big(hour_ms + FigureGrain::Hour.ms()),
        ],
    );
    run(db, statement)?;
    Ok(())
}

/// Adds up the hours of the day that begins at `day_ms` (UTC milliseconds), in place of what was there. All of them have to be kept.
///
/// # Errors
/// Those of the database.
pub fn sum_day(db: &mut Db, day_ms: i64) -> Result<(), Failure> {
    clear(db, FigureGrain::Day, day_ms)?;
    let statement = Statement::<DayTag>::new(
        "INSERT INTO business_figure (grain, partner_id, begin_ms, figure, kind, channel, state, owner, reason, total) \
         SELECT 'day', partner_id, CAST(? AS BIGINT), figure, kind, channel, state, owner, reason, CAST(SUM(total) AS BIGINT) \
         FROM business_figure WHERE grain = 'hour' AND begin_ms >= ? AND begin_ms < ? \
         GROUP BY partner_id, figure, kind, channel, state, owner, reason",
        vec![
            Bind::Big(day_ms),
            Bind::Big(day_ms),
            Bind::Big(day_ms + FigureGrain::Day.ms()),
        ],
    );
    run(db, statement)?;
    Ok(())
}

fn clear(db: &mut Db, grain: FigureGrain, begin_ms: i64) -> Result<(), Failure> {
    let old = business_figure::table
        .filter(business_figure::grain.eq(grain.code()))
        .filter(business_figure::begin_ms.eq(begin_ms));
    diesel::delete(old).execute(db)?;
    Ok(())
}

/// Deletes what began before `before_ms` (UTC milliseconds), at most `times` minutes, hours or days of it. Returns whether more is left.
///
/// # Errors
/// Those of the database.
pub fn prune(db: &mut Db, grain: FigureGrain, before_ms: i64, times: i64) -> Result<bool, Failure> {
    let oldest: Option<i64> = business_figure::table
        .filter(business_figure::grain.eq(grain.code()))
        .select(min(business_figure::begin_ms))
        .first(db)?;
    let Some(oldest) = oldest.filter(|oldest| *oldest < before_ms) else {
        return Ok(false);
    };
    let until_ms = before_ms.min(oldest.saturating_add(grain.ms().saturating_mul(times)));
    let old = business_figure::table
        .filter(business_figure::grain.eq(grain.code()))
        .filter(business_figure::begin_ms.lt(until_ms));
    diesel::delete(old).execute(db)?;
    Ok(until_ms < before_ms)
}

/// A figure of a whole time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct FigureTotal {
    pub kind: String,
    pub channel: String,
    pub state: String,
    pub owner: String,
    pub reason: String,
    pub total: i64,
}

/// Which figures: of one partner or of [`ALL_PARTNERS`], in rows of this length that begin in a time (UTC milliseconds).
#[derive(Clone, Copy, Debug)]
pub struct FigureSpan<'a> {
    /// The length of the rows.
    pub grain: FigureGrain,
    /// The partner.
    pub partner: &'a str,
    /// The first begin.
    pub from_ms: i64,
    /// The time before which rows begin.
    pub until_ms: i64,
}

struct TotalsTag;

/// Returns a figure of a whole time, by everything that it is told apart by.
///
/// # Errors
/// Those of the database.
pub fn totals(db: &mut Db, of: FigureSpan<'_>, figure: &str) -> Result<Vec<FigureTotal>, Failure> {
    let statement = Statement::<TotalsTag, (Text, Text, Text, Text, Text, BigInt)>::new(
        "SELECT kind, channel, state, owner, reason, CAST(SUM(total) AS BIGINT) FROM business_figure \
         WHERE grain = ? AND partner_id = ? AND begin_ms >= ? AND begin_ms < ? AND figure = ? \
         GROUP BY kind, channel, state, owner, reason ORDER BY kind, channel, state, owner, reason",
        vec![
            Bind::Text(of.grain.code()),
            Bind::Text(of.partner),
            Bind::Big(of.from_ms),
            Bind::Big(of.until_ms),
            Bind::Text(figure),
        ],
    );
    let rows: Vec<(String, String, String, String, String, i64)> = match db {
        Db::Pg(pg) => statement.load(pg)?,
        Db::Sqlite(sqlite) => statement.load(sqlite)?,
    };
    let totals = rows
        .into_iter()
        .map(|(kind, channel, state, owner, reason, total)| FigureTotal {
            kind,
            channel,
            state,
            owner,
            reason,
            total,
        });
    Ok(totals.collect())
}

/// A figure of one minute, hour or day, by kind and state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct FigurePoint {
    pub begin_ms: i64,
    pub figure: String,
    pub kind: String,
    pub state: String,
    pub total: i64,
}

struct PointsTag;

/// Returns all figures of a time one after the other, in the order of time, at most [`ROWS`].
///
/// # Errors
/// Those of the database.
pub fn points(db: &mut Db, of: FigureSpan<'_>) -> Result<Vec<FigurePoint>, Failure> {
    let statement = Statement::<PointsTag, (BigInt, Text, Text, Text, BigInt)>::new(
        "SELECT begin_ms, figure, kind, state, CAST(SUM(total) AS BIGINT) FROM business_figure \
         WHERE grain = ? AND partner_id = ? AND begin_ms >= ? AND begin_ms < ? \
         GROUP BY begin_ms, figure, kind, state ORDER BY begin_ms, figure, kind, state LIMIT 200000",
        vec![
            Bind::Text(of.grain.code()),
            Bind::Text(of.partner),
            Bind::Big(of.from_ms),
            Bind::Big(of.until_ms),
        ],
    );
    let rows: Vec<(i64, String, String, String, i64)> = match db {
        Db::Pg(pg) => statement.load(pg)?,
        Db::Sqlite(sqlite) => statement.load(sqlite)?,
    };
    let points = rows
        .into_iter()
        .map(|(begin_ms, figure, kind, state, total)| FigurePoint {
            begin_ms,
            figure,
            kind,
            state,
            total,
        });
    Ok(points.collect())
}

struct BusiestTag;

/// Returns how much of these two figures each partner has in a time, from the newest [`ROWS`] rows; the partner of `of` is not looked at. The
/// second value says whether there were more rows.
///
/// # Errors
/// Those of the database.
pub fn by_partner(db: &mut Db, of: FigureSpan<'_>, figures: [&str; 2]) -> Result<(Vec<(String, i64)>, bool), Failure> {
    let statement = Statement::<BusiestTag, (Text, BigInt, BigInt)>::new(
        "SELECT w.partner_id, CAST(SUM(w.total) AS BIGINT), COUNT(*) FROM \
         (SELECT partner_id, total FROM business_figure WHERE grain = ? AND begin_ms >= ? AND begin_ms < ? \
         AND partner_id <> '' AND figure IN (?, ?) ORDER BY begin_ms DESC LIMIT 200000) AS w \
         GROUP BY w.partner_id ORDER BY 2 DESC, 1",
        vec![
            Bind::Text(of.grain.code()),
            Bind::Big(of.from_ms),
            Bind::Big(of.until_ms),
            Bind::Text(figures[0]),
            Bind::Text(figures[1]),
        ],
    );
    let rows: Vec<(String, i64, i64)> = match db {
        Db::Pg(pg) => statement.load(pg)?,
        Db::Sqlite(sqlite) => statement.load(sqlite)?,
    };
    let read: i64 = rows.iter().map(|(_, _, rows)| rows).sum();
    let partners = rows.into_iter().map(|(partner, total, _)| (partner, total));
    Ok((partners.collect(), read >= ROWS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_begins_at_its_unit_before_and_after_1970() {
        for grain in [FigureGrain::Minute, FigureGrain::Hour, FigureGrain::Day] {
            let unit = grain.ms();
            for (at_ms, begin_ms) in [(0, 0), (unit - 1, 0), (unit, unit), (-1, -unit)] {
                assert_eq!(grain.floor(at_ms), begin_ms, "{grain:?} {at_ms}");
            }
        }
    }
}
