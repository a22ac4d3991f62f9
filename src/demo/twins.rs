//! The twins of the demonstration: two members who differ only in a name and a number.

use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::records::import;
use serde_json::{Value, json};

pub(super) const MB: &str = "http://terminology.hl7.org/CodeSystem/v2-0203";
pub(super) const FAMILY: &str = "Abara-Lindqvist";
pub(super) const BORN: &str = "2026-09-14";
pub(super) const SUBSCRIBER: &str = "S700000001";
/// Given name, Patient id and member number of each twin.
pub(super) const TWINS: [(&str, &str, &str); 2] =
    [("Noor", "twin-noor", "M700000001"), ("Lena", "twin-lena", "M700000002")];

/// Adds the twins to the old payer's records.
pub(super) fn enter_twins(ctx: &Context) -> Result<(), Failure> {
    let mut lines = Vec::new();
    for (given, id, number) in TWINS {
        let member = json!({"type": {"coding": [{"system": MB, "code": "MB"}]}, "system": ctx.payer.member_system, "value": number});
        let patient = json!({"resourceType": "Patient", "id": id, "identifier": [member], "active": true,
            "name": [{"use": "official", "family": FAMILY, "given": [given]}], "gender": "female", "birthDate": BORN,
            "telecom": [{"system": "phone", "value": "(508) 555-0177"}], "address": [home()]});
        let coverage = json!({"resourceType": "Coverage", "id": format!("{id}-cover"), "identifier": [member], "status": "active",
            "subscriberId": SUBSCRIBER, "beneficiary": {"reference": format!("Patient/{id}")},
            "relationship": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/subscriber-relationship", "code": "child"}]},
            "period": {"start": BORN},
            "payor": [{"identifier": {"system": "http://hl7.org/fhir/sid/us-npi", "value": ctx.payer.npi}, "display": ctx.payer.name}]});
        for resource in [patient, coverage] {
            lines.extend(resource.to_string().into_bytes());
            lines.push(b'\n');
        }
    }
    let counts = import::ingest_ndjson(ctx, lines.as_slice(), "twins", &mut |line, failure| {
        tracing::warn!(line, fault = failure.fault().code(), "a twin's resource was refused");
    })?;
    if counts.rejected > 0 {
        return Err(
            Failure::new(Fault::ResourceInvalid).remedy("The demonstration's twins do not pass the gate: report this.")
        );
    }
    Ok(())
}

pub(super) fn home() -> Value {
    json!({"line": ["12 Alder Way"], "city": "Worcester", "state": "MA", "postalCode": "01608"})
}
