//! The Patient and the clinical resources, conforming to US Core 6.1.

use super::codes::{
    ACT_CODE, ALLERGENS, CVX, ICD10, LABS, LOINC, Measurement, NDC, PROCEDURES, Problem, RXNORM, SNOMED, VACCINES,
    VITALS, coded, concept, decimal, refer,
};
use super::scene::{CareVisit, Scene};
use base64::Engine as _;
use chrono::Days;
use serde_json::{Value, json};

fn core(name: &str) -> String {
    format!("http://hl7.org/fhir/us/core/StructureDefinition/{name}")
}

pub(super) fn patient(scene: &Scene<'_>) -> Value {
    let member = scene.member;
    let mut name = json!({"use": "official", "family": member.family, "given": member.given});
    if let Some(suffix) = member.suffix {
        name["suffix"] = json!([suffix]);
    }
    let mut names = vec![name];
    if let Some(former) = &member.former_family {
        names.push(json!({"use": "old", "family": former, "given": member.given}));
    }
    let mut telecom = vec![json!({"system": "phone", "value": member.phone, "use": "home"})];
    if let Some(email) = &member.email {
        telecom.push(json!({"system": "email", "value": email}));
    }
    json!({
        "resourceType": "Patient", "id": member.patient_id,
        "meta": {"lastUpdated": format!("{}T04:00:00Z", member.covered_from), "profile": [core("us-core-patient")]},
        "extension": [{"url": core("us-core-birthsex"), "valueCode": if member.gender == "female" { "F" } else { "M" }}],
        "identifier": [{
            "use": "official",
            "type": concept("http://terminology.hl7.org/CodeSystem/v2-0203", "MB", "Member Number"),
            "system": scene.options.member_system, "value": member.member_number,
            "assigner": refer("Organization", &scene.directory.payer),
        }],
        "active": true,
        "name": names, "telecom": telecom, "gender": member.gender, "birthDate": member.birth_date.to_string(),
        "address": [{
            "use": "home", "line": [member.street], "city": member.city, "state": member.state,
            "postalCode": member.postal_code, "country": "US",
        }],
    })
}

pub(super) fn encounter(scene: &mut Scene<'_>, visit: &CareVisit<'_>) -> Value {
    let (class, kind, name) = *scene.random.pick(&[
        ("AMB", "185349003", "Encounter for check up"),
        ("AMB", "185347001", "Encounter for problem"),
        ("AMB", "390906007", "Follow-up encounter"),
        ("EMER", "50849002", "Emergency room admission"),
    ]);
    json!({
        "resourceType": "Encounter", "id": visit.encounter, "meta": visit.meta(&core("us-core-encounter")),
        "status": "finished", "class": {"system": ACT_CODE, "code": class},
        "type": [concept(SNOMED, kind, name)],
        "subject": scene.patient(),
        "participant": [{
            "type": [coded("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "PPRF")],
            "individual": {"reference": format!("Practitioner/{}", visit.practitioner.id), "display": visit.practitioner.name},
        }],
        "period": {"start": visit.at(0), "end": visit.at(scene.random.between(15, 90))},
        "location": [{"location": {"reference": format!("Location/{}", visit.facility.location), "display": visit.facility.name}}],
        "serviceProvider": refer("Organization", &visit.facility.id),
    })
}

pub(super) fn condition(scene: &mut Scene<'_>, visit: &CareVisit<'_>, problem: &Problem) -> (String, Value) {
    let id = scene.random.uuid();
    let status = if scene.random.chance(75) { "active" } else { "resolved" };
    let mut body = json!({
        "resourceType": "Condition", "id": id, "meta": visit.meta(&core("us-core-condition-problems-health-concerns")),
        "clinicalStatus": coded("http://terminology.hl7.org/CodeSystem/condition-clinical", status),
        "verificationStatus": coded("http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed"),
        "category": [coded("http://terminology.hl7.org/CodeSystem/condition-category", "problem-list-item")],
        "code": {
            "coding": [
                {"system": SNOMED, "code": problem.snomed, "display": problem.name},
                {"system": ICD10, "code": problem.icd10},
            ],
            "text": problem.name,
        },
        "subject": scene.patient(), "encounter": refer("Encounter", &visit.encounter),
        "onsetDateTime": visit.day.to_string(), "recordedDate": visit.day.to_string(),
    });
    if status == "resolved" {
        let end = (visit.day + Days::new(30 + scene.random.below(200))).min(scene.options.as_of);
        body["abatementDateTime"] = json!(end.to_string());
    }
    (id, body)
}

fn observation(
    scene: &mut Scene<'_>,
    visit: &CareVisit<'_>,
    profile: &str,
    category: &str,
    measure: &Measurement,
) -> (String, Value) {
    let id = scene.random.uuid();
    let Measurement(code, name, unit, low, high) = *measure;
    let body = json!({
        "resourceType": "Observation", "id": id, "meta": visit.meta(&core(profile)),
        "status": "final",
        "category": [coded("http://terminology.hl7.org/CodeSystem/observation-category", category)],
        "code": concept(LOINC, code, name),
        "subject": scene.patient(), "encounter": refer("Encounter", &visit.encounter),
        "effectiveDateTime": visit.at(5), "issued": visit.at(120),
        "valueQuantity": quantity(decimal(scene.random.between(low, high)), unit),
    });
    (id, body)
}

fn quantity(value: Value, unit: &str) -> Value {
    json!({"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit})
}

pub(super) fn lab(scene: &mut Scene<'_>, visit: &CareVisit<'_>) -> (String, Value) {
    let measure = scene.random.pick(LABS);
    observation(scene, visit, "us-core-observation-lab", "laboratory", measure)
}

pub(super) fn vital(scene: &mut Scene<'_>, visit: &CareVisit<'_>) -> Value {
    let measure = scene.random.pick(VITALS);
    observation(scene, visit, "us-core-vital-signs", "vital-signs", measure).1
}

pub(super) fn blood_pressure(scene: &mut Scene<'_>, visit: &CareVisit<'_>) -> Value {
    let mut part = |code: &str, name: &str, low: i64, high: i64| json!({"code": concept(LOINC, code, name), "valueQuantity": quantity(json!(scene.random.between(low, high)), "mm[Hg]")});
    let components = [
        part("8480-6", "Systolic blood pressure", 98, 168),
        part("8462-4", "Diastolic blood pressure", 58, 102),
    ];
    json!({
        "resourceType": "Observation", "id": scene.random.uuid(), "meta": visit.meta(&core("us-core-blood-pressure")),
        "status": "final",
        "category": [coded("http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs")],
        "code": concept(LOINC, "85354-9", "Blood pressure panel with all children optional"),
        "subject": scene.patient(), "encounter": refer("Encounter", &visit.encounter),
        "effectiveDateTime": visit.at(4), "component": components,
    })
}

pub(super) fn report(scene: &mut Scene<'_>, visit: &CareVisit<'_>, results: Vec<Value>) -> Value {
    json!({
        "resourceType": "DiagnosticReport", "id": scene.random.uuid(), "meta": visit.meta(&core("us-core-diagnosticreport-lab")),
        "status": "final", "category": [coded("http://terminology.hl7.org/CodeSystem/v2-0074", "LAB")],
        "code": concept(LOINC, "51990-0", "Basic metabolic panel - Blood"),
        "subject": scene.patient(), "encounter": refer("Encounter", &visit.encounter),
        "effectiveDateTime": visit.at(5), "issued": visit.at(130),
        "performer": [refer("Organization", &visit.facility.id)], "result": results,
    })
}

fn medication(problem: &Problem) -> Value {
    concept(RXNORM, problem.drug.0, problem.drug.1)
}

/// A dispensed package, with its NDC code (for PDex) and its RxNorm code (for US Core).
fn dispensed(problem: &Problem) -> Value {
    let drug = problem.drug;
    json!({"coding": [
        {"system": NDC, "code": drug.2, "display": drug.1},
        {"system": RXNORM, "code": drug.0, "display": drug.1},
    ], "text": drug.1})
}

pub(super) fn prescription(
    scene: &mut Scene<'_>,
    visit: &CareVisit<'_>,
    problem: &Problem,
    condition: &str,
) -> (String, Value) {
    let id = scene.random.uuid();
    let body = json!({
        "resourceType": "MedicationRequest", "id": id, "meta": visit.meta(&core("us-core-medicationrequest")),
        "status": if scene.random.chance(60) { "active" } else { "completed" }, "intent": "order",
        "category": [coded("http://terminology.hl7.org/CodeSystem/medicationrequest-category", "community")],
        "reportedBoolean": false, "medicationCodeableConcept": medication(problem),
        "subject": scene.patient(), "encounter": refer("Encounter", &visit.encounter), "authoredOn": visit.at(10),
        "requester": refer("Practitioner", &visit.practitioner.id), "reasonReference": [refer("Condition", condition)],
        "dosageInstruction": [{
            "sequence": 1, "text": "Take one as directed by mouth once a day",
            "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}},
            "asNeededBoolean": false,
            "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "dose"}}],
        }],
    });
    (id, body)
}

pub(super) fn dispense(
    scene: &mut Scene<'_>,
    visit: &CareVisit<'_>,
    problem: &Problem,
    request: &str,
    fill: i64,
) -> Value {
    let day = (visit.day + Days::new(1 + 30 * fill as u64)).min(scene.options.as_of);
    json!({
        "resourceType": "MedicationDispense", "id": scene.random.uuid(),
        "meta": visit.meta("http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-medicationdispense"),
        "status": "completed", "medicationCodeableConcept": dispensed(problem),
        "subject": scene.patient(), "context": refer("Encounter", &visit.encounter),
        "performer": [{"actor": refer("Organization", &visit.facility.id)}],
        "authorizingPrescription": [refer("MedicationRequest", request)],
        "type": coded(ACT_CODE, if fill == 0 { "FF" } else { "RF" }),
        "quantity": {"value": 30}, "daysSupply": {"value": 30, "unit": "day", "system": "http://unitsofmeasure.org", "code": "d"},
        "whenHandedOver": format!("{day}T17:30:00Z"),
    })
}

pub(super) fn immunization(scene: &mut Scene<'_>, visit: &CareVisit<'_>) -> Value {
    let (code, name) = *scene.random.pick(VACCINES);
    json!({
        "resourceType": "Immunization", "id": scene.random.uuid(), "meta": visit.meta(&core("us-core-immunization")),
        "status": "completed", "vaccineCode": concept(CVX, code, name), "patient": scene.patient(),
        "encounter": refer("Encounter", &visit.encounter), "occurrenceDateTime": visit.at(12), "primarySource": true,
        "location": refer("Location", &visit.facility.location),
        "performer": [{"actor": refer("Practitioner", &visit.practitioner.id)}],
    })
}

pub(super) fn allergy(scene: &mut Scene<'_>, visit: &CareVisit<'_>) -> Value {
    let (code, name) = *scene.random.pick(ALLERGENS);
    json!({
        "resourceType": "AllergyIntolerance", "id": scene.random.uuid(), "meta": visit.meta(&core("us-core-allergyintolerance")),
        "clinicalStatus": coded("http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "active"),
        "verificationStatus": coded("http://terminology.hl7.org/CodeSystem/allergyintolerance-verification", "confirmed"),
        "type": "allergy", "criticality": scene.random.pick(&["low", "high", "unable-to-assess"]),
        "code": concept(SNOMED, code, name), "patient": scene.patient(),
        "recordedDate": visit.day.to_string(),
        "reaction": [{"manifestation": [concept(SNOMED, "247472004", "Wheal")], "severity": "moderate"}],
    })
}

pub(super) fn procedure(scene: &mut Scene<'_>, visit: &CareVisit<'_>) -> Value {
    let (code, name) = *scene.random.pick(PROCEDURES);
    json!({
        "resourceType": "Procedure", "id": scene.random.uuid(), "meta": visit.meta(&core("us-core-procedure")),
        "status": "completed", "code": concept(SNOMED, code, name), "subject": scene.patient(),
        "encounter": refer("Encounter", &visit.encounter),
        "performedPeriod": {"start": visit.at(10), "end": visit.at(scene.random.between(20, 90))},
        "performer": [{"actor": refer("Practitioner", &visit.practitioner.id)}],
        "location": refer("Location", &visit.facility.location),
    })
}

pub(super) fn goal(
    scene: &mut Scene<'_>,
    visit: &CareVisit<'_>,
    problem: &Problem,
    condition: &str,
) -> (String, Value) {
    let id = scene.random.uuid();
    let body = json!({
        "resourceType": "Goal", "id": id, "meta": visit.meta(&core("us-core-goal")),
        "lifecycleStatus": "active",
        "achievementStatus": coded("http://terminology.hl7.org/CodeSystem/goal-achievement", "in-progress"),
        "description": {"text": format!("Keep under control: {}", problem.name)},
        "subject": scene.patient(), "startDate": visit.day.to_string(),
        "target": [{"dueDate": (visit.day + Days::new(180)).to_string()}],
        "addresses": [refer("Condition", condition)],
    });
    (id, body)
}

pub(super) fn care_plan(
    scene: &mut Scene<'_>,
    visit: &CareVisit<'_>,
    problem: &Problem,
    condition: &str,
    goal: &str,
) -> Value {
    json!({
        "resourceType": "CarePlan", "id": scene.random.uuid(), "meta": visit.meta(&core("us-core-careplan")),
        "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">Care plan</div>"},
        "status": "active", "intent": "plan",
        "category": [coded("http://hl7.org/fhir/us/core/CodeSystem/careplan-category", "assess-plan")],
        "title": problem.name, "subject": scene.patient(), "encounter": refer("Encounter", &visit.encounter),
        "period": {"start": visit.day.to_string()},
        "addresses": [refer("Condition", condition)], "goal": [refer("Goal", goal)],
        "activity": [{"detail": {"status": "in-progress", "description": "Review at each visit"}}],
    })
}

pub(super) fn note(scene: &mut Scene<'_>, visit: &CareVisit<'_>, problem: &Problem) -> Value {
    let text = format!(
        "# Progress note\n{} years old, seen on {} for {}.\n## Plan\nContinue {}. Return in three months.\n",
        scene.member.age(visit.day),
        visit.day,
        problem.name.to_lowercase(),
        problem.drug.1
    );
    json!({
        "resourceType": "DocumentReference", "id": scene.random.uuid(), "meta": visit.meta(&core("us-core-documentreference")),
        "status": "current", "docStatus": "final", "type": concept(LOINC, "11506-3", "Progress note"),
        "category": [coded("http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category", "clinical-note")],
        "subject": scene.patient(), "date": visit.at(60), "author": [refer("Practitioner", &visit.practitioner.id)],
        "custodian": refer("Organization", &visit.facility.id),
        "content": [{
            "attachment": {
                "contentType": "text/plain; charset=utf-8",
                "data": base64::engine::general_purpose::STANDARD.encode(text),
                "title": "Progress note",
            },
            "format": {"system": "http://ihe.net/fhir/ValueSet/IHE.FormatCode.codesystem", "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient"},
        }],
        "context": {
            "encounter": [refer("Encounter", &visit.encounter)],
            "period": {"start": visit.at(0), "end": visit.at(30)},
        },
    })
}
