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

/// Makes the intent to disclose durable. Nothing may be sent before this returned.
async fn begin(ctx: &Context, entries: Vec<Entry>) -> Result<(), Failure> {
    let (ids, now_us) = (ctx.ids.clone(), ctx.clock.now_us());
    ctx.store
        .write(move |db| {
            for entry in &entries {
                ledger::append(db, entry, &ids.new_id(now_us / 1000), now_us)?;
            }
            Ok(())
        })
        .await
        .map_err(|failure| match failure.fault() {
            Fault::Overloaded => failure,
            _ => Failure::new(Fault::AuditUnavailable).because(failure),
        })
}

/// Notes what became of a disclosure. Not waited for: a missing entry reads as "may have been disclosed".
fn complete(ctx: &Context, mut entry: Entry, outcome: Outcome, bytes: u64) {
    entry.action = Action::DisclosureCompleted;
    entry.outcome = outcome;
    entry.bytes = Some(bytes);
    let (ids, now_us) = (ctx.ids.clone(), ctx.clock.now_us());
    ctx.store
        .write_later(move |db| ledger::append(db, &entry, &ids.new_id(now_us / 1000), now_us));
}

/// Records that nothing was disclosed, then answers with `fault`. "Not yours" and "not there" come here alike.
async fn refuse(ctx: &Context, caller: &Caller, fault: Fault) -> Failure {
    let mut entry = Entry::new(Action::DisclosureRefused, caller.actor(), caller.correlation.clone());
    entry.outcome = Outcome {
        class: "refused",
        http: Some(fault.row().http),
        reason: Some(fault.code()),
    };
    entry.policy_version = Some(POLICY.to_owned());
    match begin(ctx, vec![entry]).await {
        Ok(()) => Failure::new(fault),
        Err(failure) => failure,
    }
}
