//! The control *transformation*: entries of disclosures chosen by chance name the release rules that decided, by version and hash, and those
//! that ended say what went out and of how much a part was cut.

use super::found::EntryRead;
use super::report::ControlFindings;
use super::sample::{HowMany, places};
use crate::audit::Action;
use crate::error::Failure;
use crate::jobs::Chance;
use crate::release::{POLICY, policy_digest};
use crate::secret::hex;
use crate::store::Store;
use crate::store::control_rows;
use std::collections::BTreeMap;

/// The actions of disclosures.
const DISCLOSURES: [Action; 3] = [
    Action::DisclosureBegun,
    Action::DisclosureCompleted,
    Action::DisclosureRefused,
];
/// Entries that one query reads.
const PAGE: i64 = 500;

/// What the entries that were looked at say together.
#[derive(Default)]
struct Totals {
    /// How many name each version of the rules, with its hash.
    rules: BTreeMap<String, u64>,
    sent: u64,
    cut: u64,
    without_cut: u64,
}

/// Looks at what was chosen. Waits on this thread.
///
/// # Errors
/// Those of the store.
pub fn run(store: &Store, chance: &Chance, many: HowMany) -> Result<ControlFindings, Failure> {
    let mut findings = ControlFindings::default();
    let codes = DISCLOSURES.map(Action::code);
    let all = store.read_blocking(|db| control_rows::count_of(db, &codes))?;
    let mut totals = Totals::default();
    let mut look = |rows, findings: &mut ControlFindings| -> Result<(), Failure> {
        for entry in EntryRead::all(rows)? {
            findings.look();
            totals.add(&entry);
            if let Some(why) = wrong(&entry) {
                findings.defect("entry", &entry.row.id, why);
            }
        }
        Ok(())
    };
    if many.of(all) == all {
        let mut after = String::new();
        loop {
            let rows = store.read_blocking(|db| control_rows::entries_of(db, &codes, &after, 0, PAGE))?;
            let Some(last) = rows.last() else { break };
            after.clone_from(&last.id);
            look(rows, &mut findings)?;
        }
    } else {
        for place in places(chance, all, many.of(all)) {
            let rows = store.read_blocking(|db| control_rows::entries_of(db, &codes, "", place, 1))?;
            look(rows, &mut findings)?;
        }
    }
    findings.fact("entries of disclosures", all);
    for (rules, count) in &totals.rules {
        // The version in force is named; others by their number alone.
        if *rules == in_force() {
            findings.fact("entries by the rules in force", count);
        }
    }
    findings.fact("versions of the rules", totals.rules.len());
    findings.fact("rules in force", in_force());
    findings.fact("resources that went out", totals.sent);
    findings.fact("resources of which a part was cut", totals.cut);
    findings.fact("ends that do not say what was cut", totals.without_cut);
    if all == 0 {
        findings.skip("nothing was disclosed");
    }
    Ok(findings)
}

fn in_force() -> String {
    format!("{POLICY} {}", hex(&policy_digest()))
}

impl Totals {
    fn add(&mut self, entry: &EntryRead) {
        let version = entry.text("/policy_version").unwrap_or("none");
        let digest = entry.text("/tables/release").unwrap_or("none");
        *self.rules.entry(format!("{version} {digest}")).or_insert(0) += 1;
        let counts = entry.told["counts"].as_object();
        let sent: u64 = counts
            .into_iter()
            .flat_map(|counts| counts.values())
            .filter_map(serde_json::Value::as_u64)
            .sum();
        self.sent += sent;
        match entry.number("/cut") {
            Some(cut) => self.cut += cut,
            None if sent > 0 => self.without_cut += 1,
            None => {}
        }
    }
}

/// What an entry does not say, or says wrongly.
fn wrong(entry: &EntryRead) -> Option<&'static str> {
    let Some(version) = entry.text("/policy_version") else {
        return Some("it does not name the version of the release rules");
    };
    let Some(digest) = entry.text("/tables/release") else {
        return Some("it does not have the hash of the release rules");
    };
    if version == POLICY && digest != hex(&policy_digest()) {
        return Some("the hash of the release rules is not the one of the version that it names");
    }
    let is_end = entry.is(Action::DisclosureCompleted);
    if is_end && entry.text("/outcome/class") == Some("ok") && entry.number("/bytes").is_none() {
        return Some("it does not say how many bytes went out");
    }
    let sent = entry.told["counts"]
        .as_object()
        .map_or(0, |counts| counts.values().filter_map(serde_json::Value::as_u64).sum());
    (entry.number("/cut") > Some(sent)).then_some("more was cut than went out")
}
