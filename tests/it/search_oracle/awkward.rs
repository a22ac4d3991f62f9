//! Resources by hand, of the types and with the values that synthetic members lack: half-open periods, several codings and
//! none, no system, accents, the characters that a search escapes, instants with fractions, every form of reference.

use serde_json::{Value, json};

const LOINC: &str = "http://loinc.org";
const SNOMED: &str = "http://snomed.info/sct";

/// What belongs to nobody. References among these resolve.
pub fn shared() -> Vec<Value> {
    vec![
        json!({
            "resourceType": "Organization", "id": "Org-A", "name": "Clínica São José", "alias": ["St. Joseph's", "Joseph  Clinic, East"],
            "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}, {"value": "A,B|C$D\\E"}],
            "type": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/organization-type", "code": "prov"}, {"code": "local"}]}, {"text": "only words"}],
            "address": [
                {"line": ["1 Rue de l'Église", "Étage 2"], "city": "Montréal", "state": "QC", "postalCode": "H2X 1Y4", "country": "CA"},
                {"text": "PO Box 7, Springfield", "district": "Sangamon"},
            ],
        }),
        json!({"resourceType": "Organization", "id": "org-a", "name": "ﬁne \u{212B}ngström Labs", "partOf": {"reference": "Organization/Org-A"}}),
        json!({"resourceType": "Organization", "id": "org.b", "identifier": [{"system": "urn:oid:1.2.3", "value": "b-1"}]}),
        json!({
            "resourceType": "Location", "id": "loc-1", "status": "active", "name": "Ward 3", "alias": ["Station DREI", "Straße 3"],
            "identifier": [{"system": "http://places.example", "value": "w3"}],
            "address": {"line": ["12 Main St"], "city": "SAINT PAUL", "state": "MN", "postalCode": "55101-1234"},
            "managingOrganization": {"reference": "Organization/Org-A"},
        }),
        json!({"resourceType": "Location", "id": "loc-2", "mode": "kind", "description": "no name at all"}),
        json!({
            "resourceType": "Practitioner", "id": "prac-1", "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1111111112"}],
            "name": [{"text": "Dr. Zoë  O'Brien-Müller", "family": "O'Brien-Müller", "given": ["Zoë", "M."], "prefix": ["Dr."], "suffix": ["MD", "PhD"]},
                     {"use": "maiden", "family": "de la Cruz"}],
        }),
        json!({"resourceType": "Practitioner", "id": "prac-2", "name": [{"given": ["Li"], "text": "李 Li"}]}),
        json!({
            "resourceType": "PractitionerRole", "id": "role-1", "practitioner": {"reference": "Practitioner/prac-1"},
            "organization": {"reference": "Organization/Org-A"}, "identifier": [{"value": "r1"}],
            "code": [{"coding": [{"system": "http://nucc.org/provider-taxonomy", "code": "207Q00000X"}]}],
            "specialty": [{"coding": [{"system": "http://nucc.org/provider-taxonomy", "code": "207Q00000X"}, {"system": SNOMED, "code": "419772000"}]}],
            "location": [{"reference": "Location/loc-1"}, {"reference": "Location/loc-2"}], "endpoint": [{"reference": "Endpoint/end-1"}],
        }),
        json!({"resourceType": "PractitionerRole", "id": "role-2", "practitioner": {"display": "somebody"}, "active": true}),
        json!({
            "resourceType": "Endpoint", "id": "end-1", "status": "active", "name": "FHIR endpoint", "identifier": [{"system": "http://e.example", "value": "1"}],
            "connectionType": {"system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type", "code": "hl7-fhir-rest"},
            "managingOrganization": {"reference": "Organization/Org-A"}, "payloadType": [{"text": "any"}], "address": "https://fhir.example/r4",
        }),
        json!({
            "resourceType": "HealthcareService", "id": "serv-1", "name": "Café & Beratung", "providedBy": {"reference": "Organization/org-a"},
            "location": [{"reference": "Location/loc-1"}],
        }),
        json!({
            "resourceType": "InsurancePlan", "id": "plan-1", "status": "active", "name": "Silver PPO", "alias": ["Plata"],
            "identifier": [{"system": "http://plans.example", "value": "S-1"}], "ownedBy": {"reference": "Organization/Org-A"},
        }),
        json!({
            "resourceType": "OrganizationAffiliation", "id": "aff-1", "organization": {"reference": "Organization/Org-A"},
            "participatingOrganization": {"reference": "Organization/org-a"},
        }),
        json!({
            "resourceType": "Medication", "id": "med-1", "status": "active",
            "code": {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "861007"}, {"system": "http://hl7.org/fhir/sid/ndc", "code": "0093-7214"}]},
        }),
        json!({"resourceType": "Medication", "id": "med-2", "code": {"text": "herbs"}}),
        json!({"resourceType": "Device", "id": "dev-nobody", "status": "inactive", "type": {"coding": [{"system": SNOMED, "code": "706767009"}]}}),
    ]
}

/// What belongs to the member whose Patient has this id; `base` is our own base URL.
pub fn of_member(patient: &str, tag: &str, base: &str) -> Vec<Value> {
    let subject = json!({"reference": format!("Patient/{patient}")});
    let absolute = json!({"reference": format!("{base}/Patient/{patient}")});
    let versioned = json!({"reference": format!("Patient/{patient}/_history/1")});
    let id = |name: &str| format!("{name}-{tag}");
    let to = |rtype: &str, name: &str| json!({"reference": format!("{rtype}/{name}-{tag}")});
    let mut all = clinical(&subject, &absolute, &versioned, &id, &to, base);
    all.extend(administrative(&subject, &absolute, &id, &to, patient, base));
    all
}

type Name<'n> = &'n dyn Fn(&str) -> String;
type Link<'n> = &'n dyn Fn(&str, &str) -> Value;

fn clinical(
    subject: &Value,
    absolute: &Value,
    versioned: &Value,
    id: Name<'_>,
    to: Link<'_>,
    base: &str,
) -> Vec<Value> {
    let category = json!([{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}, {"code": "local-lab"}]},
                          {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "Vital-Signs"}]}]);
    let code = json!({"coding": [{"system": LOINC, "code": "4548-4"}, {"system": "http://local.example", "code": "A1C,total"}], "text": "Hb A1c"});
    let observation = |name: &str, more: Value| {
        let mut body = json!({"resourceType": "Observation", "id": id(name), "status": "final", "code": code, "subject": subject, "category": category});
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        body
    };
    vec![
        observation(
            "Obs-A",
            json!({"effectivePeriod": {"start": "2021-05-01"}, "encounter": to("Encounter", "enc")}),
        ),
        observation(
            "obs-a",
            json!({"effectivePeriod": {"end": "2020-02"}, "subject": absolute}),
        ),
        observation(
            "obs-period",
            json!({"effectivePeriod": {"start": "2019-12-31T23:30:00-05:00", "end": "2020-01-01T06:00:00Z"}, "subject": versioned}),
        ),
        observation(
            "obs-timing",
            json!({"effectiveTiming": {"event": ["2020-03-01", "2020-03-15T10:00:00Z", "2020-03-31"]}}),
        ),
        observation(
            "obs-bounds",
            json!({"effectiveTiming": {"repeat": {"boundsPeriod": {"start": "2022-01", "end": "2022-03"}, "frequency": 1, "period": 1, "periodUnit": "d"}}}),
        ),
        observation(
            "obs-daily",
            json!({"effectiveTiming": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}}}),
        ),
        observation("obs-instant", json!({"effectiveInstant": "2023-07-04T12:30:15.250Z"})),
        observation(
            "obs-micro",
            json!({"effectiveDateTime": "2023-07-04T12:30:15.250999+02:00"}),
        ),
        observation(
            "obs-year",
            json!({"effectiveDateTime": "2019", "status": "entered-in-error"}),
        ),
        observation(
            "obs-month",
            json!({"effectiveDateTime": "2019-02", "status": "amended"}),
        ),
        observation(
            "obs-leap",
            json!({"effectiveDateTime": "2020-02-29", "encounter": {"identifier": {"system": "http://v.example", "value": "1"}}}),
        ),
        observation(
            "obs-zone",
            json!({"effectiveDateTime": "2020-02-29T23:59:59+14:00", "encounter": {"display": "a visit"}}),
        ),
        json!({"resourceType": "Observation", "id": id("obs-bare"), "status": "final", "code": {"text": "words only"}, "subject": subject}),
        observation(
            "obs-panel",
            json!({
                "hasMember": [to("Observation", "obs-a"), to("Observation", "Obs-A"), {"reference": "#inner"}],
                "contained": [{"resourceType": "Observation", "id": "inner", "status": "final", "code": {"coding": [{"system": LOINC, "code": "9999-9"}]}}],
                "code": {"coding": [{"code": "no-system"}, {"system": LOINC, "display": "no code"}]},
                "meta": {"profile": ["http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-lab|6.1.0", "http://example.org/p,q"],
                         "tag": [{"system": "http://tags.example", "code": "Review"}, {"code": "untagged"}],
                         "security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "N"}],
                         "lastUpdated": "2024-02-29T10:11:12.131Z"},
            }),
        ),
        json!({
            "resourceType": "Condition", "id": id("cond-1"), "subject": subject, "encounter": to("Encounter", "enc"),
            "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/condition-assertedDate", "valueDateTime": "2018-11-05"},
                          {"url": "http://example.org/other", "valueDateTime": "2001-01-01"}],
            "clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "recurrence"}]},
            "verificationStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code": "provisional"}]},
            "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-category", "code": "encounter-diagnosis"}]},
                         {"coding": [{"system": "http://hl7.org/fhir/us/core/CodeSystem/condition-category", "code": "health-concern"}]}],
            "code": {"coding": [{"system": SNOMED, "code": "44054006"}, {"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "e11.9"}]},
            "onsetPeriod": {"start": "2017"}, "abatementString": "last spring", "recordedDate": "2018-11-06T08:00:00Z",
        }),
        json!({
            "resourceType": "Condition", "id": id("cond-2"), "subject": absolute, "code": {"coding": [{"system": SNOMED, "code": "38341003"}]},
            "onsetAge": {"value": 40, "unit": "a"}, "abatementPeriod": {"start": "2020-01-01", "end": "2020-06-30"},
            "encounter": {"reference": format!("{base}/Encounter/{}/_history/2", id("enc"))},
        }),
        json!({"resourceType": "Condition", "id": id("cond-3"), "subject": subject, "onsetString": "long ago"}),
        json!({
            "resourceType": "AllergyIntolerance", "id": id("all-1"), "patient": subject, "recordedDate": "2015",
            "reaction": [{"substance": {"coding": [{"system": SNOMED, "code": "256349002"}]}, "manifestation": [{"text": "hives"}]}],
        }),
        json!({
            "resourceType": "CareTeam", "id": id("team-1"), "status": "active", "subject": subject, "period": {"end": "2021-01-01"},
            "participant": [
                {"role": [{"coding": [{"system": SNOMED, "code": "17561000"}]}], "member": {"reference": "Practitioner/prac-1"}},
                {"role": [{"text": "mother"}], "member": to("RelatedPerson", "rel-1")},
                {"member": {"reference": "Organization/Org-A"}}, {"member": subject},
            ],
        }),
        json!({"resourceType": "CareTeam", "id": id("team-2"), "subject": subject}),
        json!({
            "resourceType": "CarePlan", "id": id("plan-1"), "status": "on-hold", "intent": "plan", "subject": subject,
            "category": [{"coding": [{"system": "http://hl7.org/fhir/us/core/CodeSystem/careplan-category", "code": "assess-plan"}, {"system": SNOMED, "code": "734163000"}]}],
            "period": {"start": "2022-01-01", "end": "2022-12"},
        }),
        json!({
            "resourceType": "Goal", "id": id("goal-1"), "lifecycleStatus": "on-hold", "subject": subject,
            "description": {"coding": [{"system": SNOMED, "code": "410546004"}], "text": "walk"},
            "target": [{"dueDate": "2023-06"}, {"dueDate": "2024-12-31"}, {"dueDuration": {"value": 1, "unit": "a"}}],
        }),
        json!({
            "resourceType": "Immunization", "id": id("imm-1"), "status": "not-done", "patient": subject, "occurrenceString": "in childhood",
            "vaccineCode": {"coding": [{"system": "http://hl7.org/fhir/sid/cvx", "code": "08"}, {"system": "http://hl7.org/fhir/sid/ndc", "code": "49281-0629-15"}]},
            "location": {"reference": "Location/loc-1"},
        }),
        json!({"resourceType": "Procedure", "id": id("proc-1"), "status": "in-progress", "subject": subject, "performedPeriod": {"start": "2024-02-28T22:00:00-06:00"},
               "code": {"coding": [{"system": SNOMED, "code": "80146002"}, {"system": "http://www.ama-assn.org/go/cpt", "code": "44950"}]}}),
        json!({"resourceType": "Procedure", "id": id("proc-2"), "status": "completed", "subject": subject, "performedAge": {"value": 7, "unit": "a"}}),
        json!({
            "resourceType": "DiagnosticReport", "id": id("rep-1"), "status": "preliminary", "subject": subject, "effectivePeriod": {"start": "2023-01-01", "end": "2023-01-02"},
            "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB"}]}, {"coding": [{"system": LOINC, "code": "LP29684-5"}]}],
            "code": {"coding": [{"system": LOINC, "code": "24323-8"}]}, "encounter": to("Encounter", "enc"),
            "result": [to("Observation", "obs-instant"), to("Observation", "Obs-A")],
            "performer": [{"reference": "Practitioner/prac-1"}, {"reference": "Organization/Org-A"}],
        }),
        json!({
            "resourceType": "ServiceRequest", "id": id("req-1"), "status": "active", "intent": "order", "subject": subject, "authoredOn": "2024-05-05T05:05:05.5Z",
            "category": [{"coding": [{"system": SNOMED, "code": "108252007"}]}], "code": {"coding": [{"system": LOINC, "code": "24323-8"}]},
            "encounter": to("Encounter", "enc"), "requester": {"reference": "PractitionerRole/role-1"},
        }),
        json!({"resourceType": "ServiceRequest", "id": id("req-2"), "status": "revoked", "intent": "plan", "subject": subject, "requester": subject}),
        json!({"resourceType": "Specimen", "id": id("spec-1"), "status": "available", "subject": subject, "receivedTime": "2024-01-01"}),
        json!({
            "resourceType": "MedicationRequest", "id": id("rx-1"), "status": "stopped", "intent": "plan", "subject": subject, "authoredOn": "2022-08",
            "medicationReference": {"reference": "Medication/med-1"}, "requester": {"reference": "Organization/Org-A"}, "encounter": to("Encounter", "enc"),
        }),
        json!({
            "resourceType": "MedicationRequest", "id": id("rx-2"), "status": "draft", "intent": "order", "subject": subject,
            "contained": [{"resourceType": "Medication", "id": "m", "code": {"text": "tea"}}], "medicationReference": {"reference": "#m"},
        }),
        json!({
            "resourceType": "MedicationDispense", "id": id("fill-1"), "status": "on-hold", "subject": subject, "whenHandedOver": "2022-09-01T00:00:00Z",
            "medicationReference": {"reference": format!("{base}/Medication/med-1")}, "authorizingPrescription": [to("MedicationRequest", "rx-1")],
        }),
    ]
}

fn administrative(
    subject: &Value,
    absolute: &Value,
    id: Name<'_>,
    to: Link<'_>,
    patient: &str,
    base: &str,
) -> Vec<Value> {
    vec![
        json!({
            "resourceType": "Encounter", "id": id("enc"), "status": "in-progress", "subject": subject, "period": {"start": "2024-06-01T10:00:00Z"},
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
            "identifier": [{"system": "http://visits.example", "value": "V,1"}, {"value": "V2"}],
            "type": [{"coding": [{"system": SNOMED, "code": "185347001"}, {"system": "http://www.ama-assn.org/go/cpt", "code": "99213"}]}],
            "participant": [{"individual": {"reference": "PractitionerRole/role-1"}}, {"individual": {"reference": "Practitioner/prac-2"}}],
            "location": [{"location": {"reference": "Location/loc-1"}}, {"location": {"reference": "Location/loc-2"}}],
            "hospitalization": {"dischargeDisposition": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/discharge-disposition", "code": "home"}]}},
            "serviceProvider": {"reference": "Organization/Org-A"},
        }),
        json!({"resourceType": "Encounter", "id": id("enc-2"), "status": "planned", "subject": absolute, "class": {"code": "AMB"}}),
        json!({
            "resourceType": "RelatedPerson", "id": id("rel-1"), "patient": subject,
            "name": [{"family": "Núñez", "given": ["María José"]}, {"text": "Mamá"}],
        }),
        json!({
            "resourceType": "Consent", "id": id("consent-1"), "status": "active", "patient": subject, "dateTime": "2024-01-01T00:00:00.000Z",
            "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
            "category": [{"coding": [{"system": LOINC, "code": "59284-0"}]}], "provision": {"period": {"start": "2024-01-01"}},
        }),
        json!({
            "resourceType": "DocumentReference", "id": id("doc-1"), "status": "superseded", "subject": subject, "date": "2024-03-10T07:59:59.999Z",
            "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3.4"}, "identifier": [{"system": "http://docs.example", "value": "D-1"}],
            "type": {"coding": [{"system": LOINC, "code": "18842-5"}]}, "author": [{"reference": "Practitioner/prac-2"}, {"reference": "Organization/Org-A"}, subject],
            "category": [{"coding": [{"system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category", "code": "clinical-note"}]}],
            "content": [{"attachment": {"contentType": "text/plain", "data": "eA=="}}],
            "context": {"encounter": [to("Encounter", "enc"), to("EpisodeOfCare", "episode")], "period": {"start": "2024-03-01", "end": "2024-03-10"}},
        }),
        json!({"resourceType": "EpisodeOfCare", "id": id("episode"), "status": "active", "patient": subject}),
        json!({
            "resourceType": "Device", "id": id("dev-1"), "status": "active", "patient": subject,
            "type": {"coding": [{"system": SNOMED, "code": "706767009"}]}, "udiCarrier": [{"deviceIdentifier": "0001"}],
        }),
        json!({
            "resourceType": "QuestionnaireResponse", "id": id("qr-1"), "status": "completed", "subject": subject, "authored": "2023-10-01",
            "questionnaire": "http://example.org/Questionnaire/phq-9|1.2",
        }),
        json!({"resourceType": "QuestionnaireResponse", "id": id("qr-2"), "status": "in-progress", "subject": subject, "questionnaire": "http://example.org/Questionnaire/gad-7"}),
        json!({
            "resourceType": "Coverage", "id": id("cov-2"), "status": "cancelled", "beneficiary": subject, "payor": [{"reference": "Organization/org.b"}, subject],
            "identifier": [{"value": "no system"}], "policyHolder": subject,
        }),
        json!({
            "resourceType": "ExplanationOfBenefit", "id": id("eob-1"), "status": "active", "use": "claim", "outcome": "partial", "patient": subject,
            "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/claim-type", "code": "oral"}, {"system": "http://local.example/type", "code": "DENTAL"}]},
            "created": "2024-04-01", "billablePeriod": {"start": "2024-03", "end": "2024-03-20"},
            "insurer": {"reference": "Organization/org.b"}, "provider": {"reference": "PractitionerRole/role-1"}, "facility": {"reference": "Location/loc-1"},
            "payee": {"type": {"text": "other"}, "party": subject}, "identifier": [{"system": "http://claims.example/x", "value": "c|1"}],
            "careTeam": [{"sequence": 1, "provider": {"reference": "Practitioner/prac-1"}}, {"sequence": 2, "provider": {"reference": "Organization/Org-A"}}],
            "insurance": [{"focal": true, "coverage": to("Coverage", "cov-2")}],
            "item": [{"sequence": 1, "productOrService": {"text": "x"}, "servicedDate": "2024-03-05"},
                     {"sequence": 2, "productOrService": {"text": "y"}, "servicedPeriod": {"start": "2024-03-07", "end": "2024-03-09"}},
                     {"sequence": 3, "productOrService": {"text": "z"}, "servicedPeriod": {"start": "2024-03-15"}}],
            "total": [{"category": {"coding": [{"code": "submitted"}]}, "amount": {"value": 12.5, "currency": "USD"}}],
        }),
        json!({
            "resourceType": "ExplanationOfBenefit", "id": id("eob-2"), "status": "active", "use": "claim", "outcome": "complete", "patient": subject,
            "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/claim-type", "code": "institutional"}]},
            "created": "2024-04-02", "insurer": subject, "provider": {"reference": "Organization/org.b"},
            "insurance": [{"focal": true, "coverage": {"display": "pays for himself"}}],
        }),
        json!({
            "resourceType": "Provenance", "id": id("prov-1"), "recorded": "2024-07-01T00:00:00.001Z",
            "target": [to("Encounter", "enc"), {"reference": format!("{base}/Condition/{}", id("cond-1"))}, {"reference": format!("Patient/{patient}/_history/1")}],
            "agent": [{"who": {"reference": "Organization/Org-A"}}, {"who": {"reference": "Practitioner/prac-1"}, "onBehalfOf": {"reference": "Organization/org.b"}}],
        }),
        json!({
            "resourceType": "Provenance", "id": id("prov-2"), "recorded": "2024-07-02T00:00:00Z",
            "target": [to("Observation", "Obs-A")], "agent": [{"who": {"display": "somebody"}}],
        }),
        json!({
            "resourceType": "Communication", "id": id("com-1"), "status": "completed", "subject": subject, "sent": "2024-01-01T00:00:00Z",
            "meta": {"tag": [{"system": "http://tags.example", "code": "review"}]},
        }),
        json!({"resourceType": "List", "id": id("list-1"), "status": "current", "mode": "working", "subject": subject, "entry": [{"item": to("Condition", "cond-1")}]}),
        json!({"resourceType": "Flag", "id": id("flag-1"), "status": "active", "code": {"text": "careful"}, "subject": subject}),
    ]
}

/// A Patient whose demographics are out of the ordinary.
pub fn patients() -> Vec<Value> {
    vec![
        json!({
            "resourceType": "Patient", "id": "Pat.Awkward", "gender": "other", "birthDate": "1980-02", "deceasedDateTime": "2024-12-31T23:00:00-08:00",
            "identifier": [{"system": "http://old-payer.example/identifiers/member", "value": "AWK-0001"}, {"value": "a,b\\c"}],
            "name": [{"family": "Ñandú-Ångström", "given": ["José  María", "Ii"], "suffix": ["Jr."]}, {"use": "nickname", "text": "Pepe, \u{FB03}cient"}],
            "address": [{"line": ["5 Ünter Str."], "city": "Zürich", "postalCode": "8001"}],
        }),
        json!({"resourceType": "Patient", "id": "pat.awkward", "gender": "unknown", "birthDate": "1980", "deceasedBoolean": true, "name": [{"family": "Nandu"}]}),
    ]
}
