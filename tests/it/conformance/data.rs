//! A member's record in which every type of every guide occurs twice, with the elements that the guides' profiles name.
//!
//! Nobody in it exists. It comes on top of a synthetic member's record, so that nothing the runner can test is skipped.

use serde_json::{Value, json};

const CORE: &str = "http://hl7.org/fhir/us/core/StructureDefinition";
const TERMS: &str = "http://terminology.hl7.org/CodeSystem";
const SNOMED: &str = "http://snomed.info/sct";
const LOINC: &str = "http://loinc.org";
const RXNORM: &str = "http://www.nlm.nih.gov/research/umls/rxnorm";

fn concept(system: &str, code: &str) -> Value {
    json!({"coding": [{"system": system, "code": code, "display": code}], "text": code})
}

fn core(name: &str, n: u32) -> Value {
    meta(&format!("{CORE}/{name}"), n)
}

/// Of US Core and of CARIN.
fn both(core: &str, carin: &str) -> Value {
    let carin = format!("http://hl7.org/fhir/us/carin-bb/StructureDefinition/{carin}");
    json!({"lastUpdated": "2026-05-01T04:00:00Z", "profile": [format!("{CORE}/{core}"), carin]})
}

fn meta(profile: &str, n: u32) -> Value {
    json!({"lastUpdated": format!("2026-0{}-01T04:00:00Z", n + 3), "profile": [profile]})
}

/// The word of the first or of the second.
fn one(n: u32, words: [&str; 2]) -> &str {
    words[n as usize - 1]
}

/// The record: `patient` is the member's Patient as it was imported, `coverage` the id of its Coverage.
pub fn record(patient: &Value, coverage: &str) -> Vec<Value> {
    let id = patient["id"].as_str().expect("an id");
    let mut person = patient.clone();
    person["meta"] = both("us-core-patient", "C4BB-Patient");
    person["communication"] = json!([{"language": concept("urn:ietf:bcp:47", "en")}]);
    person["telecom"] = json!([{"system": "phone", "value": "(555) 555-0100", "use": "home"}]);
    let mut all = shared();
    all.push(person);
    for n in [1, 2] {
        let scene = Scene {
            n,
            patient: json!({"reference": format!("Patient/{id}")}),
            coverage: json!({"reference": format!("Coverage/{coverage}")}),
        };
        all.extend(scene.care());
        all.extend(scene.plans());
        all.extend(scene.results());
        all.extend(scene.medicines());
        all.extend(scene.people());
        all.extend(scene.claims());
    }
    let targets: Vec<Value> = all
        .iter()
        .filter(|one| one.to_string().contains(&format!("Patient/{id}")) || one["resourceType"] == "Patient")
        .map(|one| json!({"reference": format!("{}/{}", one["resourceType"].as_str().expect("a type"), one["id"].as_str().expect("an id"))}))
        .collect();
    for n in [1, 2] {
        all.push(json!({
            "resourceType": "Provenance", "id": format!("cf-provenance-{n}"), "meta": {"lastUpdated": "2026-06-01T04:00:00Z", "profile": [format!("{CORE}/us-core-provenance"), "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-provenance"]},
            "target": targets, "recorded": "2026-06-01T04:00:00Z",
            "agent": [{
                "type": concept(&format!("{TERMS}/provenance-participant-type"), "author"),
                "who": {"reference": "Practitioner/cf-practitioner-1"}, "onBehalfOf": {"reference": "Organization/cf-organization-1"},
            }],
        }));
    }
    all
}

fn shared() -> Vec<Value> {
    let mut all = Vec::new();
    for n in [1, 2] {
        let address = json!({"line": [format!("{n} Alder Way")], "city": one(n, ["Salem", "Portland"]), "state": "OR", "postalCode": format!("9730{n}"), "country": "US"});
        let telecom = json!([{"system": "phone", "value": "(555) 555-0101"}]);
        let identifier = json!([{"system": "http://hl7.org/fhir/sid/us-npi", "value": format!("19920000{n}2")}]);
        all.push(json!({
            "resourceType": "Organization", "id": format!("cf-organization-{n}"), "meta": both("us-core-organization", "C4BB-Organization"), "active": true,
            "identifier": identifier, "name": format!("{} Clinic", one(n, ["Alder", "Birch"])), "address": [address], "telecom": telecom,
            "partOf": {"reference": "Organization/cf-organization-1"},
        }));
        all.push(json!({
            "resourceType": "Location", "id": format!("cf-location-{n}"), "meta": core("us-core-location", n), "status": "active",
            "name": format!("{} House", one(n, ["Alder", "Birch"])), "address": address, "telecom": telecom,
            "managingOrganization": {"reference": format!("Organization/cf-organization-{n}")},
        }));
        all.push(json!({
            "resourceType": "Practitioner", "id": format!("cf-practitioner-{n}"), "meta": both("us-core-practitioner", "C4BB-Practitioner"), "active": true,
            "identifier": identifier, "name": [{"family": one(n, ["Quill", "Reed"]), "given": ["Ada"]}], "address": [address], "telecom": telecom,
            "qualification": [{"code": concept(SNOMED, "309343006"), "issuer": {"reference": "Organization/cf-organization-1"}}],
        }));
        all.push(json!({
            "resourceType": "Endpoint", "id": format!("cf-endpoint-{n}"), "status": "active", "address": "https://clinic.example/fhir",
            "connectionType": {"system": format!("{TERMS}/endpoint-connection-type"), "code": "hl7-fhir-rest"},
            "payloadType": [concept(&format!("{TERMS}/endpoint-payload-type"), "any")],
        }));
        all.push(json!({
            "resourceType": "PractitionerRole", "id": format!("cf-role-{n}"), "meta": core("us-core-practitionerrole", n), "active": true,
            "practitioner": {"reference": format!("Practitioner/cf-practitioner-{n}")},
            "organization": {"reference": format!("Organization/cf-organization-{n}")},
            "location": [{"reference": format!("Location/cf-location-{n}")}], "endpoint": [{"reference": format!("Endpoint/cf-endpoint-{n}")}],
            "code": [concept(SNOMED, "158965000")], "telecom": telecom,
            "specialty": [concept("http://nucc.org/provider-taxonomy", one(n, ["207Q00000X", "207R00000X"]))],
        }));
        all.push(json!({
            "resourceType": "Medication", "id": format!("cf-medication-{n}"), "meta": core("us-core-medication", n),
            "code": concept(RXNORM, one(n, ["314076", "617314"])), "manufacturer": {"reference": "Organization/cf-organization-1"},
        }));
    }
    all
}

struct Scene {
    n: u32,
    patient: Value,
    coverage: Value,
}

impl Scene {
    fn id(&self, kind: &str) -> String {
        format!("cf-{kind}-{}", self.n)
    }

    fn at(&self, rtype: &str, kind: &str) -> Value {
        json!({"reference": format!("{rtype}/cf-{kind}-{}", self.n)})
    }

    fn of<'a>(&self, words: [&'a str; 2]) -> &'a str {
        words[self.n as usize - 1]
    }

    fn day(&self) -> String {
        format!("2026-0{}-10", self.n + 2)
    }

    fn time(&self) -> String {
        format!("{}T15:00:00Z", self.day())
    }

    fn care(&self) -> Vec<Value> {
        let period = json!({"start": self.time(), "end": format!("{}T16:00:00Z", self.day())});
        vec![
            json!({
                "resourceType": "Encounter", "id": self.id("encounter"), "meta": core("us-core-encounter", self.n), "status": "finished",
                "identifier": [{"system": "http://clinic.example/visits", "value": self.id("visit")}],
                "class": {"system": format!("{TERMS}/v3-ActCode"), "code": self.of(["AMB", "EMER"])},
                "type": [concept(SNOMED, self.of(["185349003", "50849002"]))], "subject": self.patient, "period": period,
                "participant": [{"type": [concept(&format!("{TERMS}/v3-ParticipationType"), "PPRF")], "period": period, "individual": self.at("Practitioner", "practitioner")},
                    {"individual": self.at("PractitionerRole", "role")}],
                "reasonCode": [concept(SNOMED, "38341003")], "reasonReference": [self.at("Condition", "condition")],
                "hospitalization": {"dischargeDisposition": concept(&format!("{TERMS}/discharge-disposition"), "home")},
                "location": [{"location": self.at("Location", "location")}], "serviceProvider": self.at("Organization", "organization"),
            }),
            json!({
                "resourceType": "Condition", "id": self.id("condition"), "meta": core("us-core-condition-problems-health-concerns", self.n),
                "clinicalStatus": concept(&format!("{TERMS}/condition-clinical"), "resolved"),
                "verificationStatus": concept(&format!("{TERMS}/condition-ver-status"), "confirmed"),
                "category": [concept(&format!("{TERMS}/condition-category"), self.of(["problem-list-item", "encounter-diagnosis"]))],
                "code": concept(SNOMED, self.of(["38341003", "44054006"])), "subject": self.patient, "encounter": self.at("Encounter", "encounter"),
                "onsetDateTime": self.day(), "abatementDateTime": "2026-06-01", "recordedDate": self.day(),
            }),
            json!({
                "resourceType": "AllergyIntolerance", "id": self.id("allergy"), "meta": core("us-core-allergyintolerance", self.n),
                "clinicalStatus": concept(&format!("{TERMS}/allergyintolerance-clinical"), self.of(["active", "inactive"])),
                "verificationStatus": concept(&format!("{TERMS}/allergyintolerance-verification"), "confirmed"),
                "code": concept(SNOMED, "762952008"), "patient": self.patient, "encounter": self.at("Encounter", "encounter"),
                "reaction": [{"manifestation": [concept(SNOMED, "247472004")]}],
            }),
            json!({
                "resourceType": "Procedure", "id": self.id("procedure"), "meta": core("us-core-procedure", self.n), "status": "completed",
                "code": concept(SNOMED, self.of(["73761001", "80146002"])), "subject": self.patient, "performedDateTime": self.time(),
                "encounter": self.at("Encounter", "encounter"),
            }),
            json!({
                "resourceType": "Immunization", "id": self.id("immunization"), "meta": core("us-core-immunization", self.n), "status": "not-done",
                "statusReason": concept(&format!("{TERMS}/v3-ActReason"), "PATOBJ"), "primarySource": true,
                "vaccineCode": concept("http://hl7.org/fhir/sid/cvx", self.of(["140", "207"])), "patient": self.patient,
                "occurrenceDateTime": self.day(), "encounter": self.at("Encounter", "encounter"),
            }),
            json!({
                "resourceType": "Device", "id": self.id("device"), "status": "active", "patient": self.patient,
                "meta": {"lastUpdated": "2026-05-01T04:00:00Z", "profile": [format!("{CORE}/us-core-implantable-device"), "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-device"]},
                "udiCarrier": [{"deviceIdentifier": "09504000059118", "carrierHRF": "(01)09504000059118"}],
                "distinctIdentifier": "A-1", "manufactureDate": "2024-01-01", "expirationDate": "2034-01-01", "lotNumber": "L1", "serialNumber": "S1",
                "owner": self.at("Organization", "organization"), "type": concept(SNOMED, self.of(["468063009", "72506001"])),
            }),
        ]
    }

    fn plans(&self) -> Vec<Value> {
        vec![
            json!({
                "resourceType": "CarePlan", "id": self.id("plan"), "meta": core("us-core-careplan", self.n), "status": self.of(["active", "completed"]),
                "intent": "plan", "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">A plan</div>"},
                "category": [concept("http://hl7.org/fhir/us/core/CodeSystem/careplan-category", "assess-plan")], "subject": self.patient,
                "encounter": self.at("Encounter", "encounter"), "period": {"start": self.day()},
            }),
            json!({
                "resourceType": "CareTeam", "id": self.id("team"), "meta": core("us-core-careteam", self.n), "status": self.of(["active", "inactive"]),
                "subject": self.patient, "participant": [{"role": [concept(SNOMED, "223366009")], "member": self.at("Practitioner", "practitioner")}],
            }),
            json!({
                "resourceType": "Goal", "id": self.id("goal"), "meta": core("us-core-goal", self.n), "lifecycleStatus": self.of(["active", "completed"]),
                "description": concept(SNOMED, "289169006"), "subject": self.patient, "startDate": self.day(), "target": [{"dueDate": "2027-01-01"}],
                "expressedBy": self.at("Practitioner", "practitioner"),
            }),
            json!({
                "resourceType": "ServiceRequest", "id": self.id("order"), "meta": core("us-core-servicerequest", self.n), "status": "active", "intent": "order",
                "category": [concept(SNOMED, self.of(["108252007", "363679005"]))], "code": concept(SNOMED, self.of(["104091002", "77477000"])),
                "subject": self.patient, "occurrenceDateTime": self.time(), "authoredOn": self.time(), "requester": self.at("Practitioner", "practitioner"),
            }),
            json!({
                "resourceType": "QuestionnaireResponse", "id": self.id("answers"), "meta": core("us-core-questionnaireresponse", self.n), "status": "completed",
                "identifier": {"system": "http://clinic.example/forms", "value": self.id("form")}, "questionnaire": "http://clinic.example/Questionnaire/a",
                "subject": self.patient, "authored": self.time(), "author": self.at("Practitioner", "practitioner"),
                "item": [{"linkId": "1", "text": "All well?", "answer": [{"valueBoolean": true}]}, {"linkId": "2", "text": "More", "item": [{"linkId": "2.1", "text": "What?"}]}],
            }),
            json!({
                "resourceType": "DocumentReference", "id": self.id("document"), "meta": core("us-core-documentreference", self.n), "status": "current",
                "identifier": [{"system": "http://clinic.example/documents", "value": self.id("document")}],
                "type": concept(LOINC, self.of(["34133-9", "18842-5"])), "subject": self.patient, "date": self.time(),
                "category": [concept("http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category", self.of(["clinical-note", "other-note"]))],
                "author": [self.at("Practitioner", "practitioner")], "custodian": self.at("Organization", "organization"),
                "content": [{"attachment": {"contentType": "text/plain", "data": "YQ=="}, "format": {"system": "urn:oid:1.3.6.1.4.1.19376.1.2.3", "code": "urn:hl7-org:sdwg:ccda-nonXMLBody:2.1"}}],
                "context": {"encounter": [self.at("Encounter", "encounter")], "period": {"start": self.day()}},
            }),
        ]
    }

    fn results(&self) -> Vec<Value> {
        let observation = |kind: &str, profile: &str, category: &str, code: &str| {
            json!({
                "resourceType": "Observation", "id": self.id(kind), "meta": core(profile, self.n), "status": "final",
                "category": [concept(&format!("{TERMS}/observation-category"), category)], "code": concept(LOINC, code), "subject": self.patient,
                "effectiveDateTime": self.time(), "issued": self.time(), "performer": [self.at("Practitioner", "practitioner")],
            })
        };
        let mut lab = observation(
            "lab",
            "us-core-observation-lab",
            "laboratory",
            self.of(["2339-0", "718-7"]),
        );
        lab["valueQuantity"] =
            json!({"value": 90, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL"});
        lab["specimen"] = self.at("Specimen", "specimen");
        let mut panel = observation("panel", "us-core-blood-pressure", "vital-signs", "85354-9");
        panel["component"] = json!([{"code": concept(LOINC, "8480-6"), "valueQuantity": {"value": 120, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}}]);
        panel["hasMember"] = json!([self.at("Observation", "lab")]);
        panel["derivedFrom"] = json!([self.at("Observation", "lab")]);
        let mut missing = observation(
            "missing",
            "us-core-observation-social-history",
            "social-history",
            "72166-2",
        );
        missing["dataAbsentReason"] = concept(&format!("{TERMS}/data-absent-reason"), "unknown");
        vec![
            lab,
            panel,
            missing,
            json!({
                "resourceType": "Specimen", "id": self.id("specimen"), "meta": core("us-core-specimen", self.n), "type": concept(SNOMED, "119297000"),
                "subject": self.patient, "collection": {"collector": self.at("Practitioner", "practitioner")},
            }),
            json!({
                "resourceType": "DiagnosticReport", "id": self.id("report"), "meta": core("us-core-diagnosticreport-lab", self.n), "status": "final",
                "category": [concept(&format!("{TERMS}/v2-0074"), self.of(["LAB", "RAD"]))], "code": concept(LOINC, self.of(["51990-0", "24627-2"])),
                "subject": self.patient, "encounter": self.at("Encounter", "encounter"), "effectiveDateTime": self.time(), "issued": self.time(),
                "performer": [self.at("Organization", "organization")], "result": [self.at("Observation", "lab")],
                "presentedForm": [{"contentType": "text/plain", "data": "YQ=="}], "media": [{"link": self.at("Media", "media")}],
            }),
            json!({
                "resourceType": "Media", "id": self.id("media"), "status": "completed", "subject": self.patient,
                "content": {"contentType": "text/plain", "data": "YQ=="},
            }),
        ]
    }

    fn medicines(&self) -> Vec<Value> {
        let dosage = json!([{
            "text": "one a day", "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}},
            "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "tablet"}}],
        }]);
        vec![
            json!({
                "resourceType": "MedicationRequest", "id": self.id("prescription"), "meta": core("us-core-medicationrequest", self.n),
                "status": self.of(["active", "completed"]), "intent": self.of(["order", "plan"]), "reportedBoolean": false,
                "category": [concept(&format!("{TERMS}/medicationrequest-category"), "community")],
                "medicationReference": self.at("Medication", "medication"), "subject": self.patient, "encounter": self.at("Encounter", "encounter"),
                "authoredOn": self.time(), "requester": self.at("Practitioner", "practitioner"), "dosageInstruction": dosage,
                "dispenseRequest": {"numberOfRepeatsAllowed": 1, "quantity": {"value": 30, "unit": "tablet"}},
            }),
            json!({
                "resourceType": "MedicationDispense", "id": self.id("dispense"), "status": "completed",
                "meta": {"lastUpdated": "2026-05-01T04:00:00Z", "profile": [format!("{CORE}/us-core-medicationdispense"), "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-medicationdispense"]},
                "medicationReference": self.at("Medication", "medication"), "subject": self.patient,
                "performer": [{"actor": self.at("Organization", "organization")}], "authorizingPrescription": [self.at("MedicationRequest", "prescription")],
                "type": concept(&format!("{TERMS}/v3-ActCode"), "FF"), "quantity": {"value": 30, "unit": "tablet"},
                "whenHandedOver": self.time(), "dosageInstruction": dosage,
            }),
        ]
    }

    fn people(&self) -> Vec<Value> {
        vec![
            json!({
                "resourceType": "RelatedPerson", "id": self.id("related"), "active": true,
                "identifier": [{"value": self.id("related"), "assigner": self.at("Organization", "organization")}], "patient": self.patient,
                "meta": {"lastUpdated": "2026-05-01T04:00:00Z", "profile": [format!("{CORE}/us-core-relatedperson"), "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-RelatedPerson"]},
                "relationship": [concept(&format!("{TERMS}/v3-RoleCode"), "SPS")], "name": [{"family": "Quill", "given": ["Io"]}],
                "telecom": [{"system": "phone", "value": "(555) 555-0102"}], "address": [{"city": "Salem"}],
            }),
            json!({
                "resourceType": "Coverage", "id": self.id("coverage"), "status": "cancelled", "beneficiary": self.patient, "subscriberId": "S-1",
                "meta": {"lastUpdated": "2026-05-01T04:00:00Z", "profile": [format!("{CORE}/us-core-coverage"), "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-Coverage"]},
                "identifier": [{"type": concept(&format!("{TERMS}/v2-0203"), "MB"), "system": "http://other.example/members", "value": self.id("card")}],
                "type": concept(&format!("{TERMS}/v3-ActCode"), "EHCPOL"), "relationship": concept(&format!("{TERMS}/subscriber-relationship"), "self"),
                "period": {"start": "2020-01-01", "end": "2020-12-31"}, "payor": [self.at("Organization", "organization")],
                "class": [{"type": concept(&format!("{TERMS}/coverage-class"), "group"), "value": "G1", "name": "Group"}],
            }),
            json!({
                "resourceType": "Consent", "id": self.id("consent"), "meta": meta("http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-consent", self.n),
                "status": "active", "scope": concept(&format!("{TERMS}/consentscope"), "patient-privacy"),
                "category": [concept(&format!("{TERMS}/v3-ActCode"), "IDSCL")], "patient": self.patient, "dateTime": self.time(),
                "performer": [self.patient], "organization": [self.at("Organization", "organization")],
                "sourceReference": self.at("DocumentReference", "document"), "policy": [{"uri": "http://example.org/policy"}],
                "provision": {"type": "permit", "period": {"start": "2026-01-01", "end": "2026-12-31"}},
            }),
        ]
    }

    fn claims(&self) -> Vec<Value> {
        let eob = |kind: &str, profile: &str| {
            json!({
                "resourceType": "ExplanationOfBenefit", "id": self.id(kind), "meta": meta(profile, self.n), "status": "active",
                "identifier": [{"type": concept("http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBIdentifierType", "uc"), "system": "http://claims.example/claims", "value": self.id(kind)}],
                "type": concept(&format!("{TERMS}/claim-type"), self.of(["professional", "institutional"])), "patient": self.patient,
                "billablePeriod": {"start": self.day(), "end": self.day()}, "created": self.time(), "insurer": self.at("Organization", "organization"),
                "provider": self.at("Organization", "organization"), "outcome": "complete",
                "insurance": [{"focal": true, "coverage": self.coverage}],
                "careTeam": [{"sequence": 1, "provider": self.at("Practitioner", "practitioner"), "role": concept(&format!("{TERMS}/claimcareteamrole"), "primary")}],
                "item": [{
                    "sequence": 1, "category": concept("https://x12.org/codes/service-type-codes", "3"),
                    "productOrService": concept("http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "G0101"), "servicedDate": self.day(),
                }],
            })
        };
        let mut claim = eob(
            "claim",
            "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Professional-NonClinician",
        );
        claim["use"] = json!("claim");
        claim["payee"] = json!({"type": concept(&format!("{TERMS}/payeetype"), "provider"), "party": self.at("Organization", "organization")});
        claim["supportingInfo"] = json!([{"sequence": 1, "category": concept("http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBSupportingInfoType", "clmrecvddate"), "timingDate": self.day()}]);
        claim["diagnosis"] = json!([{"sequence": 1, "diagnosisCodeableConcept": concept("http://hl7.org/fhir/sid/icd-10-cm", "I10"), "type": [concept(&format!("{TERMS}/ex-diagnosistype"), "principal")]}]);
        claim["procedure"] = json!([{"sequence": 1, "procedureCodeableConcept": concept(SNOMED, "73761001")}]);
        claim["total"] = json!([{"category": concept(&format!("{TERMS}/adjudication"), "submitted"), "amount": {"value": 10, "currency": "USD"}}]);
        let mut authorization = eob(
            "authorization",
            "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-priorauthorization",
        );
        authorization["use"] = json!("preauthorization");
        authorization["preAuthRef"] = json!([self.id("authorization")]);
        authorization["preAuthRefPeriod"] = json!([{"start": self.day(), "end": "2027-12-31"}]);
        authorization["item"][0]["adjudication"] = json!([{
            "extension": [{
                "url": "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/extension-reviewAction",
                "extension": [{
                    "url": "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/extension-reviewActionCode",
                    "valueCodeableConcept": {"coding": [{"system": "https://codesystem.x12.org/005010/306", "code": "A1"}]},
                }],
            }],
            "category": concept("http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PDexAdjudicationDiscriminator", "allowedunits"), "value": 4,
        }]);
        authorization["total"] = json!([{"category": concept(&format!("{TERMS}/adjudication"), "eligible"), "amount": {"value": 10, "currency": "USD"}}]);
        vec![claim, authorization]
    }
}
