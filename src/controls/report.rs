//! What a run of controls found: one dated report, the same for programs and for people. It names rows and entries by their ids, and nobody.
//!
//! Plain values. With the same store, seed and date it has the same bytes.

use serde::Serialize;
use std::collections::BTreeMap;

/// Most defects of one control that a report lists; all are counted.
pub const LISTED: usize = 200;

/// What a control found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlResult {
    /// All that was looked at is as it should be.
    Holds,
    /// Something is not.
    Failed,
    /// There was nothing to look at, or it was not asked for.
    NotRun,
}

impl ControlResult {
    /// Its stored name.
    pub const fn code(self) -> &'static str {
        match self {
            ControlResult::Holds => "holds",
            ControlResult::Failed => "failed",
            ControlResult::NotRun => "not-run",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ControlDefect {
    /// What it is: `entry`, or a kind of row.
    pub what: &'static str,
    /// Its id.
    pub id: String,
    /// What is wrong with it.
    pub why: String,
}

/// One state of something that was rebuilt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RebuiltState {
    /// When the entry was written.
    pub at: String,
    /// Its action.
    pub action: String,
    /// Where it led to.
    pub state: String,
}

/// An exchange or a match, rebuilt from the ledger alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RebuiltTimeline {
    /// `exchange` or `decision`.
    pub what: &'static str,
    /// Its id.
    pub id: String,
    /// Its states, in order.
    pub states: Vec<RebuiltState>,
}

/// What one control found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ControlFinding {
    /// The control.
    pub control: &'static str,
    /// What it shows.
    pub shows: &'static str,
    /// The role that answers for it.
    pub owner: &'static str,
    /// How often it is to be run.
    pub every: &'static str,
    /// What it found.
    pub result: ControlResult,
    /// How many things it looked at.
    pub checked: u64,
    /// How many things are not as they should be.
    pub defects: u64,
    /// Those, the first of them.
    pub found: Vec<ControlDefect>,
    /// Figures and facts, by name.
    pub facts: BTreeMap<&'static str, String>,
    /// What was rebuilt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rebuilt: Vec<RebuiltTimeline>,
}

/// The report of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ControlReport {
    /// The format of this document.
    pub format: &'static str,
    /// The program that made it.
    pub software: &'static str,
    /// The payer.
    pub payer: String,
    /// When the run began.
    pub at: String,
    /// By what everything was chosen.
    pub seed: u32,
    /// How many of each kind were looked at; all when there is none.
    pub sample: Option<u32>,
    /// `holds`, or `failed` when a control failed.
    pub result: ControlResult,
    /// The controls, in the order of the register.
    pub controls: Vec<ControlFinding>,
}

/// What a control is finding.
#[derive(Clone, Debug, Default)]
pub struct ControlFindings {
    checked: u64,
    defects: Vec<ControlDefect>,
    facts: BTreeMap<&'static str, String>,
    rebuilt: Vec<RebuiltTimeline>,
    is_skipped: bool,
}

impl ControlFindings {
    /// Counts one thing that was looked at.
    pub fn look(&mut self) {
        self.checked += 1;
    }

    /// Counts so many things that were looked at.
    pub fn looked_at(&mut self, many: u64) {
        self.checked += many;
    }

    /// How many things were looked at.
    pub fn checked(&self) -> u64 {
        self.checked
    }

    /// Notes something that is not as it should be.
    pub fn defect(&mut self, what: &'static str, id: &str, why: impl Into<String>) {
        self.defects.push(ControlDefect {
            what,
            id: id.to_owned(),
            why: why.into(),
        });
    }

    /// Takes over defects.
    pub fn take(&mut self, defects: Vec<ControlDefect>) {
        self.defects.extend(defects);
    }

    /// The defects until now.
    pub fn defects(&self) -> &[ControlDefect] {
        &self.defects
    }

    /// Notes a fact.
    pub fn fact(&mut self, name: &'static str, value: impl ToString) {
        self.facts.insert(name, value.to_string());
    }

    /// Notes that there was nothing to look at, and why.
    pub fn skip(&mut self, why: &str) {
        self.is_skipped = true;
        self.fact("why", why);
    }

    /// Adds something that was rebuilt.
    pub fn rebuilt(&mut self, timeline: RebuiltTimeline) {
        self.rebuilt.push(timeline);
    }

    /// What it has found, defects once each, in order: their number, and the first of them.
    pub fn end(mut self) -> ControlEnd {
        self.defects.sort_unstable();
        self.defects.dedup();
        let result = match (self.defects.is_empty(), self.is_skipped) {
            (false, _) => ControlResult::Failed,
            (true, true) => ControlResult::NotRun,
            (true, false) => ControlResult::Holds,
        };
        let defects = self.defects.len() as u64;
        self.defects.truncate(LISTED);
        ControlEnd {
            result,
            checked: self.checked,
            defects,
            listed: self.defects,
            facts: self.facts,
            rebuilt: self.rebuilt,
        }
    }
}

/// What a control has found.
#[derive(Clone, Debug)]
pub struct ControlEnd {
    /// The result.
    pub result: ControlResult,
    /// How many things were looked at.
    pub checked: u64,
    /// How many are not as they should be.
    pub defects: u64,
    /// Those, the first of them.
    pub listed: Vec<ControlDefect>,
    /// Facts.
    pub facts: BTreeMap<&'static str, String>,
    /// What was rebuilt.
    pub rebuilt: Vec<RebuiltTimeline>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_outweighs_that_there_was_nothing_to_look_at_and_counts_once() {
        let mut findings = ControlFindings::default();
        findings.skip("nothing");
        assert_eq!(findings.clone().end().result, ControlResult::NotRun);
        findings.defect("entry", "b", "x");
        findings.defect("entry", "a", "x");
        findings.defect("entry", "b", "x");
        let found = findings.end();
        assert_eq!((found.result, found.defects), (ControlResult::Failed, 2));
        assert_eq!(found.listed[0].id, "a", "in order");
        assert_eq!(ControlFindings::default().end().result, ControlResult::Holds);
    }

    #[test]
    fn a_report_lists_the_first_defects_and_counts_all() {
        let mut findings = ControlFindings::default();
        for number in 0..LISTED + 5 {
            findings.defect("entry", &format!("{number:04}"), "x");
        }
        let found = findings.end();
        assert_eq!((found.listed.len(), found.defects), (LISTED, LISTED as u64 + 5));
    }
}
