//! The payer's own data: coverage (HRex), paid claims (CARIN) and prior authorizations (PDex).

use super::codes::{AUTHORIZED, HCPCS, ICD10, NDC, Problem, SERVICES, coded, concept, decimal, refer, usd};
use super::scene::{CareVisit, Scene};
use chrono::Days;
use serde_json::{Value, json};

const ADJUDICATION: &str = "http://terminology.hl7.org/CodeSystem/adjudication";
const CARIN_ADJUDICATION: &str = "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBAdjudication";
const CARIN_DISCRIMINATOR: &str = "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBAdjudicationDiscriminator";
const CARIN_STATUS: &str = "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBPayerAdjudicationStatus";
const DISPENSED_AS_WRITTEN: &str =
    "http://terminology.hl7.org/CodeSystem/NCPDPDispensedAsWrittenOrProductSelectionCode";
const SUPPORTING: &str = "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBSupportingInfoType";

pub(super) fn coverage(scene: &Scene<'_>, id: &str) -> Value {
    let member = scene.member;
    let group = member.subscriber_id.get(7..).unwrap_or("001");
    let mut body = json!({
        "resourceType": "Coverage", "id": id,
        "meta": {
            "lastUpdated": format!("{}T04:00:00Z", member.covered_from),
            "profile": ["http://hl7.org/fhir/us/davinci-hrex/StructureDefinition/hrex-coverage"],
        },
        "identifier": [{
            "type": coded("http://terminology.hl7.org/CodeSystem/v2-0203", "MB"),
            "system": scene.options.member_system, "value": member.member_number,
        }],
        "status": "active",
        "type": concept("http://terminology.hl7.org/CodeSystem/v3-ActCode", "HIP", "health insurance plan policy"),
        "subscriber": refer("Patient", &member.subscriber_patient_id),
        "subscriberId": member.subscriber_id,
        "beneficiary": scene.patient(),
    });
    if let Some(dependent) = &member.dependent {
        body["dependent"] = json!(dependent);
    }
    body["relationship"] = coded(
        "http://terminology.hl7.org/CodeSystem/subscriber-relationship",
        member.relationship,
    );
    body["period"] = json!({"start": member.covered_from.to_string()});
    body["payor"] = json!([{
        "reference": format!("Organization/{}", scene.directory.payer),
        "identifier": {"system": "http://hl7.org/fhir/sid/us-npi", "value": scene.options.payer_npi},
        "display": scene.options.payer_name,
    }]);
    let class = |code: &str, value: String, name: String| json!({"type": coded("http://terminology.hl7.org/CodeSystem/coverage-class", code), "value": value, "name": name});
    body["class"] = json!([
        class("group", format!("GRP-{group}"), format!("Employer group {group}")),
        class("plan", "PPO-SILVER".to_owned(), "Silver PPO".to_owned()),
    ]);
    body
}

struct Claim<'a> {
    profile: &'a str,
    kind: &'a str,
    identifier: String,
    item: Value,
    diagnosis: Option<&'a str>,
    submitted: i64,
    /// Supporting information in addition to the day of receipt; sequence numbers are set later.
    supporting: Vec<Value>,
}

/// The payment status of the benefit. Professional claims have it in each item, other claims once.
fn benefit_status() -> Value {
    json!({
        "category": coded(CARIN_DISCRIMINATOR, "benefitpaymentstatus"),
        "reason": coded(CARIN_STATUS, "innetwork"),
    })
}

/// The elements that all CARIN profiles share. Amounts of money are in items, totals and the payment.
fn explanation(scene: &mut Scene<'_>, visit: &CareVisit<'_>, claim: Claim<'_>) -> Value {
    let allowed = claim.submitted * scene.random.between(45, 90) / 100;
    let copay = allowed * scene.random.between(5, 30) / 100;
    let received = (visit.day + Days::new(3)).min(scene.options.as_of);
    let adjudication = json!([
        {"category": coded(ADJUDICATION, "submitted"), "amount": usd(claim.submitted)},
        {"category": coded(ADJUDICATION, "eligible"), "amount": usd(allowed)},
        {"category": coded(CARIN_ADJUDICATION, "paidbypatient"), "amount": usd(copay)},
        {"category": coded(ADJUDICATION, "benefit"), "amount": usd(allowed - copay)},
    ]);
    let mut item = claim.item;
    item["adjudication"] = adjudication.clone();
    let by_item = claim.kind == "professional";
    if let (true, Some(statuses)) = (by_item, item["adjudication"].as_array_mut()) {
        statuses.push(benefit_status());
    }
    let mut supporting =
        vec![json!({"sequence": 1, "category": coded(SUPPORTING, "clmrecvddate"), "timingDate": received.to_string()})];
    for (at, mut one) in claim.supporting.into_iter().enumerate() {
        one["sequence"] = json!(at + 2);
        supporting.push(one);
    }
    let mut body = json!({
        "resourceType": "ExplanationOfBenefit", "id": scene.random.uuid(),
        "meta": visit.meta(&format!("http://hl7.org/fhir/us/carin-bb/StructureDefinition/{}|2.1.0", claim.profile)),
        "identifier": [{
            "type": coded("http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBIdentifierType", "uc"),
            "system": "http://claims.example/identifiers/claim", "value": claim.identifier,
        }],
        "status": "active",
        "type": coded("http://terminology.hl7.org/CodeSystem/claim-type", claim.kind),
        "use": "claim", "patient": scene.patient(),
        "billablePeriod": {"start": visit.day.to_string(), "end": visit.day.to_string()},
        "created": visit.at(600),
        "insurer": refer("Organization", &scene.directory.payer),
        "provider": refer("Organization", &visit.facility.id),
        "payee": {"type": coded("http://terminology.hl7.org/CodeSystem/payeetype", "provider")},
        "outcome": "complete",
        "careTeam": [{
            "sequence": 1, "provider": refer("Practitioner", &visit.practitioner.id),
            "role": coded("http://terminology.hl7.org/CodeSystem/claimcareteamrole", "primary"),
        }],
        "supportingInfo": supporting,
    });
    if claim.kind == "institutional" {
        body["subType"] = coded(
            "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBInstitutionalClaimSubType",
            "outpatient",
        );
    }
    if !by_item {
        body["adjudication"] = json!([benefit_status()]);
    }
    if let Some(code) = claim.diagnosis {
        body["diagnosis"] = json!([{
            "sequence": 1, "diagnosisCodeableConcept": coded(ICD10, code),
            "type": [coded("http://terminology.hl7.org/CodeSystem/ex-diagnosistype", "principal")],
        }]);
    }
    body["insurance"] = json!([{"focal": true, "coverage": refer("Coverage", &scene.member.coverage_id)}]);
    body["item"] = json!([item]);
    body["total"] = adjudication;
    body["payment"] = json!({
        "type": coded(CARIN_STATUS, "paid"),
        "date": received.to_string(), "amount": usd(allowed - copay),
    });
    body
}

fn claim_number(scene: &mut Scene<'_>) -> String {
    format!("CLM{:011}", scene.random.below(100_000_000_000))
}

pub(super) fn professional(scene: &mut Scene<'_>, visit: &CareVisit<'_>, problem: Option<&Problem>) -> Value {
    let (code, name) = *scene.random.pick(SERVICES);
    let item = json!({
        "sequence": 1, "productOrService": concept(HCPCS, code, name), "servicedDate": visit.day.to_string(),
        "locationCodeableConcept": coded("https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set", "11"),
        "quantity": {"value": 1}, "encounter": [refer("Encounter", &visit.encounter)],
    });
    let claim = Claim {
        profile: "C4BB-ExplanationOfBenefit-Professional-NonClinician",
        kind: "professional",
        identifier: claim_number(scene),
        item,
        diagnosis: Some(problem.map_or("Z00.00", |problem| problem.icd10)),
        submitted: scene.random.between(8_000, 45_000),
        supporting: Vec::new(),
    };
    explanation(scene, visit, claim)
}

pub(super) fn institutional(scene: &mut Scene<'_>, visit: &CareVisit<'_>) -> Value {
    let item = json!({
        "sequence": 1, "revenue": coded("https://www.nubc.org/CodeSystem/RevenueCodes", "0360"),
        "productOrService": coded("http://terminology.hl7.org/CodeSystem/data-absent-reason", "not-applicable"),
        "servicedDate": visit.day.to_string(), "quantity": {"value": 1}, "encounter": [refer("Encounter", &visit.encounter)],
    });
    let claim = Claim {
        profile: "C4BB-ExplanationOfBenefit-Outpatient-Institutional",
        kind: "institutional",
        identifier: claim_number(scene),
        item,
        diagnosis: Some("Z12.11"),
        submitted: scene.random.between(60_000, 900_000),
        supporting: Vec::new(),
    };
    explanation(scene, visit, claim)
}

pub(super) fn pharmacy(scene: &mut Scene<'_>, visit: &CareVisit<'_>, problem: &Problem, fill: i64) -> Value {
    let day = (visit.day + Days::new(1 + 30 * fill as u64)).min(scene.options.as_of);
    let item = json!({
        "sequence": 1, "productOrService": concept(NDC, problem.drug.2, problem.drug.1), "servicedDate": day.to_string(),
        "quantity": {"value": 30},
    });
    let claim = Claim {
        profile: "C4BB-ExplanationOfBenefit-Pharmacy",
        kind: "pharmacy",
        identifier: claim_number(scene),
        item,
        diagnosis: None,
        submitted: scene.random.between(900, 60_000),
        supporting: vec![
            json!({"category": coded(SUPPORTING, "dayssupply"), "valueQuantity": {"value": 30}}),
            json!({"category": coded(SUPPORTING, "dawcode"), "code": coded(DISPENSED_AS_WRITTEN, "0")}),
            json!({"category": coded(SUPPORTING, "refillnum"), "valueQuantity": {"value": fill}}),
            json!({"category": coded(SUPPORTING, "refillsauthorized"), "valueQuantity": {"value": 3}}),
        ],
    };
    explanation(scene, visit, claim)
}

/// A prior authorization: approved and current, approved and ended, pended, or denied. One in eight is for a drug.
pub(super) fn prior_authorization(scene: &mut Scene<'_>, visit: &CareVisit<'_>) -> Value {
    let (action, meaning) = *scene.random.pick(&[
        ("A1", "Certified in total"),
        ("A1", "Certified in total"),
        ("A1", "Certified in total"),
        ("A3", "Not Certified"),
        ("A4", "Pended"),
    ]);
    let product = if scene.random.chance(12) {
        let drug = scene.random.pick(super::codes::PROBLEMS).drug;
        json!({"coding": [
            {"system": HCPCS, "code": "J8499", "display": "Prescription drug, oral, non chemotherapeutic, NOS"},
            {"system": NDC, "code": drug.2, "display": drug.1},
        ], "text": drug.1})
    } else {
        let (code, name) = *scene.random.pick(AUTHORIZED);
        concept(HCPCS, code, name)
    };
    let number = format!("AUTH{:07}", scene.random.below(10_000_000));
    let (units, submitted) = (scene.random.between(1, 20), scene.random.between(20_000, 700_000));
    let period = json!({"start": visit.day.to_string(), "end": (visit.day + Days::new(180)).to_string()});
    let discriminator = "http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PDexAdjudicationDiscriminator";
    let mut body = json!({
        "resourceType": "ExplanationOfBenefit", "id": scene.random.uuid(),
        "meta": visit.meta("http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-priorauthorization"),
        "extension": [{
            "url": "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/extension-levelOfServiceCode",
            "valueCodeableConcept": coded("https://codesystem.x12.org/005010/1338", "E"),
        }],
        "identifier": [{"system": "http://claims.example/identifiers/prior-authorization", "value": number}],
        "status": "active",
        "type": coded("http://terminology.hl7.org/CodeSystem/claim-type", "professional"),
        "use": "preauthorization", "patient": scene.patient(),
        "billablePeriod": period, "created": visit.at(0),
        "insurer": refer("Organization", &scene.directory.payer),
        "provider": refer("Organization", &visit.facility.id),
        "priority": coded("http://terminology.hl7.org/CodeSystem/processpriority", "normal"),
        "preAuthRef": [number],
    });
    if action == "A1" {
        body["preAuthRefPeriod"] = json!([period]);
    }
    body["outcome"] = json!(if action == "A4" { "queued" } else { "complete" });
    body["insurance"] = json!([{"focal": true, "coverage": refer("Coverage", &scene.member.coverage_id)}]);
    body["item"] = json!([{
        "sequence": 1,
        "category": coded("https://x12.org/codes/service-type-codes", "3"),
        "productOrService": product,
        "servicedPeriod": period,
        "adjudication": [
            {
                "extension": [
                    {
                        "url": "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/extension-reviewAction",
                        "extension": [
                            {"url": "number", "valueString": number},
                            {
                                "url": "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/extension-reviewActionCode",
                                "valueCodeableConcept": {"coding": [
                                    {"system": "https://codesystem.x12.org/005010/306", "code": action, "display": meaning},
                                ]},
                            },
                        ],
                    },
                    {
                        "url": "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/base-ext-when-adjudicated",
                        "valueDateTime": visit.at(240),
                    },
                ],
                "category": coded(ADJUDICATION, "submitted"),
                "amount": usd(submitted),
            },
            {"category": coded(discriminator, "allowedunits"), "value": units},
            {"category": coded(discriminator, "consumedunits"), "value": decimal(scene.random.between(0, units) * 100)},
        ],
    }]);
    body["total"] = json!([{"category": coded(ADJUDICATION, "submitted"), "amount": usd(submitted)}]);
    body
}
