//! Grants by hand, for tests whose members cannot be matched one by one: the rows that a match would have left.

use super::payer::TestPayer;
use causeway::store::schema::{compartment, consent, grants};
use causeway::synth::SharingPolicy;
use diesel::prelude::*;

/// How long a grant made here lives, in milliseconds.
const LIVES_MS: i64 = 30 * 86_400_000;

/// Gives `partner` a live grant on this member.
pub fn grant(payer: &TestPayer, partner: &str, patient: &str, policy: SharingPolicy) {
    let mut db = payer.db();
    let no: i64 = compartment::table
        .filter(compartment::patient_id.eq(patient))
        .select(compartment::no)
        .first(&mut db)
        .expect("the member is there");
    let now_ms = chrono::Utc::now().timestamp_millis();
    let id = format!("by-hand-{partner}-{no}");
    let (name, sensitive) = match policy {
        SharingPolicy::Sensitive => ("sensitive", 1i64),
        SharingPolicy::Regular => ("regular", 0i64),
    };
    diesel::insert_into(consent::table)
        .values((
            consent::id.eq(&id),
            consent::partner_id.eq(partner),
            consent::patient_id.eq(patient),
            consent::digest.eq(id.as_bytes()),
            consent::policy.eq(name),
            consent::period_from_ms.eq(now_ms - LIVES_MS),
            consent::period_to_ms.eq(now_ms + LIVES_MS),
            consent::body.eq(&b"{\"resourceType\":\"Consent\"}"[..]),
            consent::recorded_ms.eq(now_ms),
        ))
        .execute(&mut db)
        .expect("a consent");
    diesel::insert_into(grants::table)
        .values((
            grants::id.eq(&id),
            grants::partner_id.eq(partner),
            grants::compartment.eq(no),
            grants::patient_id.eq(patient),
            grants::consent_id.eq(&id),
            grants::decision_id.eq(&id),
            grants::sensitive.eq(sensitive),
            grants::valid_from_ms.eq(now_ms - LIVES_MS),
            grants::valid_until_ms.eq(now_ms + LIVES_MS),
            grants::created_ms.eq(now_ms),
            grants::renewed_ms.eq(now_ms),
        ))
        .execute(&mut db)
        .expect("a grant");
}
