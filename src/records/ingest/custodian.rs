//! Our own record of what came: for each batch that is stored, one Provenance that says who keeps it now and from whom it came.
//!
//! Source: PDex STU 2.2, "Handling data provenance" (pdex-11): the receiving payer adds its own records as custodian and keeps those that
//! came.

use super::super::gate::{self, Candidate, GATE_VERSION};
use super::super::keep::{BatchEntry, keep};
use super::super::local::NoLinks;
use super::outcome::MADE;
use super::scope::IngestScope;
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::store::Db;
use crate::store::ingest::ReceivedRow;
use serde_json::{Value as Json, json};

const PROFILE: &str = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-provenance";
const SOURCE_FROM: &str = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/ProvenanceSourceFrom";
const SOURCES: &str = "http://hl7.org/fhir/us/davinci-pdex/CodeSystem/ProvenancePayerDataSource";
const NPI: &str = "http://hl7.org/fhir/sid/us-npi";

/// Stores the Provenance for these resources, which this transaction stored; returns its row. Provenances that came need none.
///
/// # Errors
/// Those of the gate, which accepts it in practice; those of the database.
pub(super) fn record(
    db: &mut Db,
    scope: &IngestScope,
    stored: &[&ReceivedRow],
) -> Result<Option<ReceivedRow>, Failure> {
    let of_record: Vec<&&ReceivedRow> = stored.iter().filter(|row| row.rtype != "Provenance").collect();
    let Some(first) = of_record.first() else {
        return Ok(None);
    };
    let now_ms = scope.ctx.clock.now_ms();
    let targets: Vec<Json> = of_record
        .iter()
        .map(|row| json!({"reference": format!("{}/{}", row.rtype, row.id)}))
        .collect();
    let body = provenance(scope, first.page, first.entry, &targets, now_ms).to_string();
    let draft = gate::draft(body.as_bytes(), &NoLinks, None)?;
    let candidate = gate::judge(&draft, 1, now_ms, scope.base_url())?;
    let row = made(scope, first.page, first.entry, &candidate);
    let mut entries = [BatchEntry::Fit(Box::new(candidate))];
    let kept = keep(db, &mut entries, &scope.run)?;
    match kept.rejected.into_iter().next() {
        None => Ok(Some(row)),
        Some((_, failure)) => Err(Failure::new(Fault::Internal).because(failure)),
    }
}

fn provenance(scope: &IngestScope, page: i64, entry: i64, targets: &[Json], now_ms: i64) -> Json {
    let payer = &scope.ctx.payer;
    let text = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    json!({
        "resourceType": "Provenance",
        "id": scope.names.custodian_id(&scope.matched.exchange_id, page, entry),
        "meta": {"profile": [PROFILE]},
        "target": targets,
        "recorded": rfc3339_ms(now_ms),
        "reason": [text("http://terminology.hl7.org/CodeSystem/v3-ActReason", "RECORDMGT")],
        "activity": text("http://terminology.hl7.org/CodeSystem/v3-DataOperation", "APPEND"),
        "agent": [{
            "type": text("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "custodian"),
            "who": {"identifier": {"system": NPI, "value": payer.npi}, "display": payer.name},
        }],
        "entity": [{
            "extension": [{"url": SOURCE_FROM, "valueCodeableConcept": text(SOURCES, "hl7fhirr4")}],
            "role": "source",
            "what": {"display": scope.matched.partner_name},
        }],
    })
}

/// The row of a resource that this server made for what came.
fn made(scope: &IngestScope, page: i64, entry: i64, candidate: &Candidate) -> ReceivedRow {
    ReceivedRow {
        exchange_id: scope.matched.exchange_id.clone(),
        page: 0,
        entry: (page << 32) | entry,
        start: 0,
        length: 0,
        rtype: candidate.rtype.to_owned(),
        id: candidate.id.clone(),
        outcome: MADE.into(),
        reason: None,
        source_sha256: candidate.source_sha256.to_vec(),
        gate_version: GATE_VERSION,
    }
}
