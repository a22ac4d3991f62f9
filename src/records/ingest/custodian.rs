//! Our own record of what came: for each batch that is stored, one Provenance that says who keeps it now and from whom it came.
//!
//! Source: PDex STU 2.2, "Handling data provenance" (pdex-11): the receiving payer adds its own records as custodian and keeps those that
//! came.

use super::super::gate::{self, Candidate, GATE_VERSION};
use super::super::keep::{BatchEntry, Run, keep};
use super::super::local::NoLinks;
use super::names::Names;
use super::outcome::MADE;
use super::scope::{IngestScope, run_for};
use crate::clock::rfc3339_ms;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::store::ingest::{self as rows, ReceivedRow};
use crate::store::{Db, partners};
use serde_json::{Value as Json, json};

const PROFILE: &str = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-provenance";
const SOURCE_FROM: &str = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/ProvenanceSourceFrom";
const SOURCES: &str = "http://hl7.org/fhir/us/davinci-pdex/CodeSystem/ProvenancePayerDataSource";
const NPI: &str = "http://hl7.org/fhir/sid/us-npi";

/// By whom, from whom and with which exchange something came: all that our record of it says. It needs no keys.
#[derive(Clone)]
pub(super) struct Custody {
    ctx: Context,
    exchange_id: String,
    partner_name: String,
    names: Names,
    run: Run,
}

impl Custody {
    /// That of an exchange whose facts are open.
    pub(super) fn of(scope: &IngestScope) -> Custody {
        Custody {
            ctx: scope.ctx.clone(),
            exchange_id: scope.matched.exchange_id.clone(),
            partner_name: scope.matched.partner_name.clone(),
            names: scope.names.clone(),
            run: scope.run.clone(),
        }
    }

    /// That of an exchange whose facts cannot be opened: the name of the partner is the one that it is registered under now. Blocks this
    /// thread.
    ///
    /// # Errors
    /// [`Fault::NothingReceived`]; those of the store.
    pub(super) fn without_keys(ctx: &Context, exchange_id: &str) -> Result<Custody, Failure> {
        let read = |db: &mut Db| {
            let row = rows::find(db, exchange_id)?.ok_or(Fault::NothingReceived)?;
            let partner = partners::by_id(db, &row.partner_id)?;
            Ok((row, partner))
        };
        let (row, partner) = ctx.store.read_blocking(read)?;
        Ok(Custody {
            ctx: ctx.clone(),
            exchange_id: exchange_id.to_owned(),
            names: Names::open(ctx, &row.partner_id, &row.patient_id)?,
            run: run_for(ctx, &row.patient_id)?,
            partner_name: partner.map_or(row.partner_id, |partner| partner.name),
        })
    }
}

/// Stores the Provenance for these resources, which this transaction stored; returns its row. Provenances that came need none.
///
/// # Errors
/// Those of the gate, which accepts it in practice; those of the database.
pub(super) fn record(db: &mut Db, custody: &Custody, stored: &[&ReceivedRow]) -> Result<Option<ReceivedRow>, Failure> {
    let of_record: Vec<&&ReceivedRow> = stored.iter().filter(|row| row.rtype != "Provenance").collect();
    let Some(first) = of_record.first() else {
        return Ok(None);
    };
    let now_ms = custody.ctx.clock.now_ms();
    let targets: Vec<Json> = of_record
        .iter()
        .map(|row| json!({"reference": format!("{}/{}", row.rtype, row.id)}))
        .collect();
    let body = provenance(custody, first.page, first.entry, &targets, now_ms).to_string();
    let draft = gate::draft(body.as_bytes(), &NoLinks, None)?;
    let candidate = gate::judge(&draft, 1, now_ms, &custody.ctx.payer.base_url)?;
    let row = made(custody, first.page, first.entry, &candidate);
    let mut entries = [BatchEntry::Fit(Box::new(candidate))];
    let kept = keep(db, &mut entries, &custody.run)?;
    match kept.rejected.into_iter().next() {
        None => Ok(Some(row)),
        Some((_, failure)) => Err(Failure::new(Fault::Internal).because(failure)),
    }
}

fn provenance(custody: &Custody, page: i64, entry: i64, targets: &[Json], now_ms: i64) -> Json {
    let payer = &custody.ctx.payer;
    let text = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    json!({
        "resourceType": "Provenance",
        "id": custody.names.custodian_id(&custody.exchange_id, page, entry),
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
            "what": {"display": custody.partner_name},
        }],
    })
}

/// The row of a resource that this server made for what came.
fn made(custody: &Custody, page: i64, entry: i64, candidate: &Candidate) -> ReceivedRow {
    ReceivedRow {
        exchange_id: custody.exchange_id.clone(),
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
