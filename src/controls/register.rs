//! The register: which controls there are, what each shows, who answers for it, how often it is run, and what is kept as evidence; with the
//! last run of each.

use crate::clock::rfc3339_ms;
use crate::error::Failure;
use crate::secret::hex;
use crate::store::Db;
use crate::store::control_runs::{self, ControlRunRow};
use serde::Serialize;

/// A control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Its id, which never changes.
    pub id: &'static str,
    /// What it shows.
    pub shows: &'static str,
    /// The role that answers for it.
    pub owner: &'static str,
    /// How often it is to be run, in words.
    pub every: &'static str,
    /// The same in days; after so many it is due.
    pub days: i64,
    /// What is kept as evidence.
    pub evidence: &'static str,
}

const fn monthly(id: &'static str, shows: &'static str, owner: &'static str, evidence: &'static str) -> Control {
    Control {
        id,
        shows,
        owner,
        every: "month",
        days: 31,
        evidence,
    }
}

/// Rebuilds from the ledger.
pub const REBUILD: &str = "rebuild";
/// Rows have their entries, entries their rows.
pub const COMPLETENESS: &str = "completeness";
/// Repetitions change nothing.
pub const IDEMPOTENCY: &str = "idempotency";
/// The ledger extends every kept checkpoint.
pub const CONSISTENCY: &str = "consistency";
/// Partners' checkpoints do not contradict each other.
pub const PARTNER_CHECKPOINTS: &str = "partner-checkpoints";
/// Shares of files are those that were committed to.
pub const DISCLOSED_SHARES: &str = "disclosed-shares";
/// Disclosures name their rules and what was cut.
pub const TRANSFORMATION: &str = "transformation";
/// An outage of a partner loses nothing.
pub const OUTAGE_DRILL: &str = "outage-drill";

/// Every control, in the order in which they run.
pub const CONTROLS: &[Control] = &[
    monthly(
        REBUILD,
        "Exchanges and matches can be rebuilt from the ledger alone, and their rows say the same.",
        "auditor",
        "the timelines that were rebuilt",
    ),
    monthly(
        COMPLETENESS,
        "Every business row has its entries in the ledger, and every entry has its row.",
        "auditor",
        "how many rows and entries of each kind were looked at",
    ),
    monthly(
        IDEMPOTENCY,
        "A submission that is repeated gets the same answer, and nothing is written.",
        "operator",
        "how many answers and requests were repeated",
    ),
    monthly(
        CONSISTENCY,
        "The ledger is what was signed, and extends every checkpoint that is kept here or elsewhere.",
        "auditor",
        "how many entries were verified, and the last checkpoint that a witness confirmed",
    ),
    monthly(
        PARTNER_CHECKPOINTS,
        "The checkpoints of partners' ledgers that came with their answers do not contradict each other.",
        "auditor",
        "how many checkpoints of how many ledgers were compared",
    ),
    monthly(
        DISCLOSED_SHARES,
        "The stored shares of members in files are those that the entries of the files commit to.",
        "auditor",
        "how many shares of how many files were looked at",
    ),
    monthly(
        TRANSFORMATION,
        "Every disclosure names the release rules that decided, and how much was cut.",
        "auditor",
        "the versions of the rules, and the counts",
    ),
    monthly(
        OUTAGE_DRILL,
        "While a partner is down, exchanges wait or are parked; after that they complete, and nothing is lost or asked twice.",
        "operator",
        "how an exchange went through a short and a long outage",
    ),
];

/// The control with this id.
pub fn control(id: &str) -> Option<&'static Control> {
    CONTROLS.iter().find(|control| control.id == id)
}

/// The last run of a control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastControlRun {
    /// When it was.
    pub at: String,
    /// `holds`, `failed` or `not-run`.
    pub result: String,
    /// By what it chose.
    pub seed: i64,
    /// How many things it looked at.
    pub checked: i64,
    /// How many were not as they should be.
    pub defects: i64,
    /// SHA-256 of the report.
    pub report_sha256: String,
    /// The ledger entry of the run.
    pub entry_id: String,
}

/// A control with its last run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RegisteredControl {
    /// Its id.
    pub control: &'static str,
    /// What it shows.
    pub shows: &'static str,
    /// The role that answers for it.
    pub owner: &'static str,
    /// How often it is to be run.
    pub every: &'static str,
    /// What is kept as evidence.
    pub evidence: &'static str,
    /// Whether it was not run for that long, or never.
    pub is_due: bool,
    /// Its last run.
    pub last: Option<LastControlRun>,
}

/// The register with the last runs, as it is at this time (UTC milliseconds).
///
/// # Errors
/// Those of the database.
pub fn listed(db: &mut Db, now_ms: i64) -> Result<Vec<RegisteredControl>, Failure> {
    let last = control_runs::all(db)?;
    let row_of = |control: &Control| last.iter().find(|row| row.control == control.id);
    Ok(CONTROLS
        .iter()
        .map(|control| registered(control, row_of(control), now_ms))
        .collect())
}

fn registered(control: &Control, row: Option<&ControlRunRow>, now_ms: i64) -> RegisteredControl {
    let is_young = |row: &ControlRunRow| now_ms - row.last_run_ms < control.days * 86_400_000;
    RegisteredControl {
        control: control.id,
        shows: control.shows,
        owner: control.owner,
        every: control.every,
        evidence: control.evidence,
        is_due: !row.is_some_and(is_young),
        last: row.map(|row| LastControlRun {
            at: rfc3339_ms(row.last_run_ms),
            result: row.result.clone(),
            seed: row.seed,
            checked: row.checked,
            defects: row.defects,
            report_sha256: hex(&row.report_sha256),
            entry_id: row.entry_id.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn controls_have_ids_of_their_own_and_say_what_they_show() {
        let ids: BTreeSet<&str> = CONTROLS.iter().map(|control| control.id).collect();
        assert_eq!(ids.len(), CONTROLS.len());
        for one in CONTROLS {
            assert!(one.shows.ends_with('.') && !one.evidence.is_empty(), "{}", one.id);
            assert_eq!(control(one.id), Some(one));
        }
    }

    #[test]
    fn a_control_is_due_when_it_never_ran_or_a_month_ago() {
        let day = 86_400_000;
        let row = ControlRunRow {
            control: REBUILD.into(),
            last_run_ms: 10 * day,
            result: "holds".into(),
            seed: 7,
            checked: 1,
            defects: 0,
            report_sha256: vec![7; 32],
            entry_id: "e".into(),
        };
        let control = control(REBUILD).expect("there");
        for (now, row, is_due) in [(0, None, true), (41, Some(&row), true), (40, Some(&row), false)] {
            assert_eq!(registered(control, row, now * day).is_due, is_due, "{now}");
        }
    }
}
