//! Compares what stands here with a partner's file: both sides in the same order, each once from the begin to the end. Pure.

use super::next::{
    ReconcileAction, ReconcileFinding, fits, of_acknowledgement, of_one_side, of_outcome, of_receipt, of_rows,
};
use super::row::ReconcileOutcome;
use super::side::{SideGroup, SideRows, place};
use crate::error::Failure;
use serde::Serialize;
use std::cmp::Ordering;
use std::ops::Range;

/// The exchanges that are compared: those that began at `from_ms` or later and before `until_ms`, UTC milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct ReconcilePeriod {
    /// The first instant.
    pub from_ms: i64,
    /// The first instant after it.
    pub until_ms: i64,
}

impl ReconcilePeriod {
    /// All of time.
    pub const ALL: ReconcilePeriod = ReconcilePeriod {
        from_ms: i64::MIN,
        until_ms: i64::MAX,
    };

    fn range(self) -> Range<i64> {
        self.from_ms..self.until_ms
    }
}

/// Something in which the two payers differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReconcileDifference {
    /// The id that both have.
    pub correlation_id: String,
    /// `us` or `partner`.
    pub asked_by: &'static str,
    /// In what they differ.
    pub finding: ReconcileFinding,
    /// Our id of the exchange.
    pub exchange_id: Option<String>,
    /// The partner's id of it.
    pub partner_exchange_id: Option<String>,
    /// What stands here.
    pub ours: Option<String>,
    /// What stands in the partner's file.
    pub theirs: Option<String>,
    /// What is safe to do next.
    pub action: ReconcileAction,
    /// The same for people.
    pub next: &'static str,
}

/// How much was compared, and how much differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReconcileCounts {
    /// Rows of ours that say how the exchanges of the period stand.
    pub ours: u64,
    /// Rows of the partner's file.
    pub theirs: u64,
    /// Rows of the file that are about the same exchange as a later row.
    pub duplicates: u64,
    /// Exchanges that both have.
    pub both: u64,
    /// Exchanges that both have and in which nothing differs.
    pub same: u64,
    /// Bulk exchanges that whoever asked has, and whoever was asked has no longer: a job is kept for some hours only. They are not compared.
    pub not_kept: u64,
    /// Differences.
    pub differences: u64,
}

/// What is told of each difference.
type Each<'e> = &'e mut dyn FnMut(ReconcileDifference) -> Result<(), Failure>;

/// Compares two sides after [`SideRows::settle`], and tells each difference, in the order of who asked and of the correlation id. What only
/// one side has counts only when it began in the period.
///
/// # Errors
/// Those of `each`.
pub fn compare(
    ours: &SideRows,
    theirs: &SideRows,
    period: ReconcilePeriod,
    each: Each<'_>,
) -> Result<ReconcileCounts, Failure> {
    let mut counts = ReconcileCounts {
        theirs: theirs.len() as u64,
        duplicates: theirs.duplicates(),
        ..ReconcileCounts::default()
    };
    let (mut left, mut right) = (
        ours.groups(period.range()).peekable(),
        theirs.groups(period.range()).peekable(),
    );
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return Ok(counts),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(ours), Some(theirs)) => place(&ours.last).cmp(&place(&theirs.last)),
        };
        let found: Vec<ReconcileDifference> = match order {
            Ordering::Less => {
                let group = left.next().filter(|group| group.is_in_period);
                counts.ours += group.map_or(0, |group| group.rows);
                only(ReconcileFinding::OnlyOurs, group, &mut counts)
            }
            Ordering::Greater => {
                let group = right.next().filter(|group| group.is_in_period);
                only(ReconcileFinding::OnlyTheirs, group, &mut counts)
            }
            Ordering::Equal => {
                let (Some(ours), Some(theirs)) = (left.next(), right.next()) else {
                    return Ok(counts);
                };
                if !ours.is_in_period && !theirs.is_in_period {
                    continue;
                }
                counts.both += 1;
                counts.ours += ours.rows;
                let (asker, asked) = if ours.last.by_us {
                    (&ours, &theirs)
                } else {
                    (&theirs, &ours)
                };
                if asker.last.is_bulk && !asked.last.is_bulk {
                    counts.not_kept += 1;
                    continue;
                }
                let found = both(&ours, &theirs);
                counts.same += u64::from(found.is_empty());
                found
            }
        };
        for difference in found {
            counts.differences += 1;
            each(difference)?;
        }
    }
}

/// What to say of an exchange that only one side has, if it is to be compared. A bulk exchange of which whoever was asked has nothing is not.
fn only(
    finding: ReconcileFinding,
    group: Option<SideGroup<'_>>,
    counts: &mut ReconcileCounts,
) -> Vec<ReconcileDifference> {
    let Some(group) = group else { return Vec::new() };
    let is_of_asker = group.last.by_us == (finding == ReconcileFinding::OnlyOurs);
    if group.last.is_bulk && is_of_asker && group.last.outcome != ReconcileOutcome::Unasked {
        counts.not_kept += 1;
        return Vec::new();
    }
    alone(finding, &group).into_iter().collect()
}

/// What to say of an exchange that only one side has.
fn alone(finding: ReconcileFinding, group: &SideGroup<'_>) -> Option<ReconcileDifference> {
    let row = &group.last;
    let action = of_one_side(finding, row.by_us, row.outcome)?;
    let is_ours = finding == ReconcileFinding::OnlyOurs;
    let (id, said) = (Some(row.exchange_id.to_owned()), Some(row.outcome.code().to_owned()));
    Some(ReconcileDifference {
        correlation_id: row.correlation_id.to_owned(),
        asked_by: asked_by(row.by_us),
        finding,
        exchange_id: id.clone().filter(|_| is_ours),
        partner_exchange_id: id.filter(|_| !is_ours),
        ours: said.clone().filter(|_| is_ours),
        theirs: said.filter(|_| !is_ours),
        action,
        next: action.text(),
    })
}

/// In what an exchange differs that both have.
fn both(ours: &SideGroup<'_>, theirs: &SideGroup<'_>) -> Vec<ReconcileDifference> {
    let by_us = ours.last.by_us;
    let (asker, asked) = if by_us { (ours, theirs) } else { (theirs, ours) };
    let is_short = asker.is_in_period && asker.wanted > asked.all;
    let of_asker = (format!("{} rows", asker.wanted), format!("{} rows", asked.all));
    let (here, there) = if by_us { of_asker } else { (of_asker.1, of_asker.0) };
    let (ours, theirs) = (&ours.last, &theirs.last);
    let (asker, asked) = if by_us { (ours, theirs) } else { (theirs, ours) };
    let is_bulk = ours.is_bulk || theirs.is_bulk;
    let mut found = Vec::new();
    let mut differs = |finding, said: [Option<&str>; 2], action: ReconcileAction| {
        let [here, there] = said;
        found.push(ReconcileDifference {
            correlation_id: ours.correlation_id.to_owned(),
            asked_by: asked_by(by_us),
            finding,
            exchange_id: Some(ours.exchange_id.to_owned()),
            partner_exchange_id: Some(theirs.exchange_id.to_owned()),
            ours: here.map(str::to_owned),
            theirs: there.map(str::to_owned),
            action,
            next: action.text(),
        });
    };
    if !is_bulk && is_short {
        let said = [Some(here.as_str()), Some(there.as_str())];
        differs(ReconcileFinding::Rows, said, of_rows(by_us));
        return found;
    }
    if !fits(asker.outcome, asked.outcome, is_bulk) {
        let said = [Some(ours.outcome.code()), Some(theirs.outcome.code())];
        let action = of_outcome(by_us, asker.outcome, asked.outcome);
        differs(ReconcileFinding::Outcome, said, action);
        return found;
    }
    if matches!(asker.outcome, ReconcileOutcome::Refused | ReconcileOutcome::Ended) {
        return found;
    }
    // Whoever was asked keeps a receipt as long as its files, or when it was acknowledged.
    let is_kept = asked.receipt.is_some() || asker.receipt.is_none() || asker.is_acknowledged;
    if is_kept && asker.receipt != asked.receipt {
        let action = of_receipt(by_us, asker.receipt.is_some(), asked.receipt.is_some());
        differs(ReconcileFinding::Receipt, [ours.receipt, theirs.receipt], action);
    } else if is_kept && asker.receipt.is_some() && asker.is_acknowledged && !asked.is_acknowledged {
        let said = |row: bool| Some(if row { "acknowledged" } else { "not acknowledged" });
        let said = [said(ours.is_acknowledged), said(theirs.is_acknowledged)];
        differs(ReconcileFinding::Acknowledgement, said, of_acknowledgement(by_us));
    }
    found
}

const fn asked_by(by_us: bool) -> &'static str {
    if by_us { "us" } else { "partner" }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
