//! What leaves, and why: the one place that turns a caller's grant into bytes.
//!
//! Every disclosure is written to the ledger, durably, before its first byte; it is completed afterwards with the bytes
//! that went out. Nothing here authorises by itself: the queries do (`store::disclosure`). It never parses member data.

mod everything;
mod page_link;
mod read;
mod search;
mod sent;
mod supporting;

pub use everything::{Everything, Query};
pub use page_link::{PageLinks, SearchPage};
pub use read::read;
pub use search::{Found, Place, START, search};
pub use sent::Sent;

use crate::audit::{Action, ConsentNote, Entry, Object, Outcome, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::records::{compartment, released};
use crate::security::Caller;
use crate::store::disclosure::LiveGrant;
use crate::telemetry::metrics as families;
use std::collections::BTreeMap;

/// Name and version of the release rules; goes into each ledger entry.
pub const POLICY: &str = "cms-0057/2";

/// Types that belong to nobody and may be read by every partner: directories and products (`docs/threats.md` D02).
pub const SHARED: &[&str] = &[
    "Endpoint",
    "HealthcareService",
    "InsurancePlan",
    "Location",
    "Medication",
    "Organization",
    "OrganizationAffiliation",
    "Practitioner",
    "PractitionerRole",
];

/// Whether resources of a type belong to nobody and may be read by every partner.
pub fn is_shared(rtype: &str) -> bool {
    SHARED.binary_search(&rtype).is_ok()
}

/// Whether resources of a type can leave at all: kept, about a member or shared, and not wholly about money.
pub fn is_served(rtype: &str) -> bool {
    compartment::kind(rtype).is_some_and(|kind| kind != compartment::Kind::Shared || is_shared(rtype))
        && released::money(rtype) != released::Money::Whole
}

/// Whether resources of a type are found by searches. A Binary is read by its address only.
pub fn is_searchable(rtype: &str) -> bool {
    is_served(rtype) && rtype != "Binary"
}

/// The ledger entry of a disclosure under `grant`.
fn entry(action: Action, caller: &Caller, grant: &LiveGrant) -> Entry {
    let mut entry = Entry::new(action, caller.actor(), caller.correlation.clone());
    entry.object = Some(Object {
        kind: "Patient",
        id: grant.patient_id.clone(),
    });
    entry.consent = Some(ConsentNote {
        id: grant.consent_id.clone(),
        decision: "permit",
        rule: if grant.sensitive == 1 { "sensitive" } else { "regular" },
    });
    entry.policy_version = Some(POLICY.to_owned());
    entry
}

/// A disclosure whose intent is durable, until it is completed.
struct Begun {
    entry: Entry,
    id: String,
}

/// How many resources of each type went out.
#[derive(Clone, Debug, Default)]
struct Tally(BTreeMap<String, u64>);

impl Tally {
    fn add(&mut self, rtype: &str) {
        match self.0.get_mut(rtype) {
            Some(count) => *count += 1,
            None => drop(self.0.insert(rtype.to_owned(), 1)),
        }
    }
}

/// Makes the intent to disclose durable. Nothing may be sent before this returned.
async fn begin(ctx: &Context, entries: Vec<Entry>) -> Result<Vec<Begun>, Failure> {
    let now_us = ctx.clock.now_us();
    let ids: Vec<String> = entries.iter().map(|_| ctx.ids.new_id(now_us / 1000)).collect();
    let rows: Vec<(Entry, String)> = entries.into_iter().zip(ids).collect();
    let begun = rows
        .iter()
        .map(|(entry, id)| Begun {
            entry: entry.clone(),
            id: id.clone(),
        })
        .collect();
    let written = ctx
        .store
        .reserved()
        .write(move |db| {
            rows.iter()
                .try_for_each(|(entry, id)| ledger::append(db, entry, id, now_us))
        })
        .await;
    written.map(|()| begun).map_err(|failure| match failure.fault() {
        Fault::Overloaded => failure,
        _ => Failure::new(Fault::AuditUnavailable).because(failure),
    })
}

/// Notes what became of a disclosure. Not waited for: a missing entry reads as "may have been disclosed".
fn complete(ctx: &Context, begun: Begun, outcome: Outcome, bytes: u64, tally: Tally) {
    let how = if outcome.class == "ok" {
        "completed"
    } else {
        "broken-off"
    };
    metrics::counter!(families::DISCLOSURES, "outcome" => how).increment(1);
    metrics::counter!(families::DISCLOSED_BYTES).increment(bytes);
    let mut entry = begun.entry;
    entry.action = Action::DisclosureCompleted;
    entry.outcome = outcome;
    entry.bytes = Some(bytes);
    entry.counts = tally.0;
    entry.begun = Some(begun.id);
    let (ids, now_us) = (ctx.ids.clone(), ctx.clock.now_us());
    ctx.store
        .reserved()
        .write_later(move |db| ledger::append(db, &entry, &ids.new_id(now_us / 1000), now_us));
}

/// Records that nothing was disclosed, then answers with `fault`. "Not yours" and "not there" come here alike.
async fn refuse(ctx: &Context, caller: &Caller, fault: Fault) -> Failure {
    metrics::counter!(families::DISCLOSURES, "outcome" => "refused").increment(1);
    let mut entry = Entry::new(Action::DisclosureRefused, caller.actor(), caller.correlation.clone());
    entry.outcome = Outcome {
        class: "refused",
        http: Some(fault.row().http),
        reason: Some(fault.code()),
    };
    entry.policy_version = Some(POLICY.to_owned());
    match begin(ctx, vec![entry]).await {
        Ok(_) => Failure::new(fault).noted(),
        Err(failure) => failure,
    }
}
