//! Random spellings: what must be withheld never becomes releasable by the way it is written, and what may be released is, as the guides
//! write it. The seed is printed; `CAUSEWAY_FUZZ_SEED` repeats a run.

use super::tests::{authorization, denial_reason, line, of, reviewed, service};
use super::{ACTIVE, ENDED, NONE};
use crate::fhir::prescreen::{ScreenLimits, screen};
use crate::records::compartment::Owner;
use crate::records::gate::{Candidate, draft, judge};
use crate::records::local::NoLinks;
use crate::store::release_rule::ReleaseColumns;
use crate::store::withheld::reasons;
use serde_json::{Value as Json, json};

const WITHHELD: usize = 12_000;
const LEAVING: usize = 4_000;
const NOW: i64 = 1_735_689_600_000; // 2025-01-01T00:00:00Z

const PDEX: &str = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition";
const PAS: &str = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition";
const X12: &str = "https://codesystem.x12.org/005010/306";

/// SplitMix64.
struct Random(u64);

impl Random {
    fn seeded() -> (Random, u64) {
        let time = || {
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(1, |d| d.as_nanos() as u64)
        };
        let seed = std::env::var("CAUSEWAY_FUZZ_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok())
            .unwrap_or_else(time);
        println!("CAUSEWAY_FUZZ_SEED={seed}");
        (Random(seed), seed)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

fn coded(system: &str, code: &str) -> Json {
    json!({"coding": [{"system": system, "code": code, "display": code}]})
}

/// A denied authorization, or one for a drug, in a random form.
fn base(random: &mut Random) -> Json {
    const DRUGS: &[(&str, &str)] = &[
        ("http://hl7.org/fhir/sid/ndc", "0006-0277-31"),
        ("urn:oid:2.16.840.1.113883.6.69", "00060277"),
        ("http://www.nlm.nih.gov/research/umls/rxnorm", "860975"),
        ("urn:oid:2.16.840.1.113883.6.88", "860975"),
        ("http://hl7.org/fhir/sid/cvx", "207"),
        ("http://fdasis.nlm.nih.gov", "2F8D9W3X6T"),
        ("http://www.whocc.no/atc", "L04AB04"),
        ("https://bluebutton.cms.gov/resources/codesystem/hcpcs", "J0897"),
        ("http://terminology.hl7.org/CodeSystem/HCPCS", "J9271"),
        ("http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "Q5103"),
        ("urn:oid:2.16.840.1.113883.6.285", "C9399"),
        ("http://www.ama-assn.org/go/cpt", "90707"),
        ("http://www.cms.gov/Medicare/Coding/ICD10", "3E033GC"),
        ("https://www.nubc.org/CodeSystem/RevenueCodes", "0636"),
        ("https://codesystem.x12.org/005010/1365", "88"),
        ("urn:oid:2.16.840.1.113883.6.68", "21300010000320"),
        ("http://snomed.info/sct", "372687004"),
    ];
    let guide = *random.pick(&[PDEX, PAS]);
    let denied = || reviewed(guide, X12, "A3");
    match random.below(9) {
        0 => authorization(vec![line(service(), vec![denied()])]),
        1 => authorization(vec![line(service(), vec![denial_reason()])]),
        2 | 3 => {
            // Denied in the header only.
            let mut one = authorization(vec![line(service(), vec![])]);
            one["adjudication"] = json!([if random.below(2) == 0 {
                denied()
            } else {
                denial_reason()
            }]);
            one
        }
        4 => {
            let mut one = authorization(vec![]);
            one["addItem"] = json!([line(service(), vec![denied(), denial_reason()])]);
            one
        }
        5 => {
            let mut one = authorization(vec![
                line(service(), vec![denied()]),
                line(service(), vec![denial_reason()]),
            ]);
            one["meta"] = json!({"profile": [format!("{PDEX}/pdex-priorauthorization|2.0.0")]});
            one
        }
        6 => {
            // It claims to be an ordinary claim.
            let mut one = authorization(vec![line(service(), vec![denied()])]);
            one["use"] = "claim".into();
            one
        }
        _ => {
            let (system, code) = *random.pick(DRUGS);
            authorization(vec![line(coded(system, code), vec![reviewed(guide, X12, "A1")])])
        }
    }
}

/// Collects the JSON pointer of every value in a tree.
fn places(value: &Json, at: String, found: &mut Vec<String>) {
    match value {
        Json::Object(members) => members
            .iter()
            .for_each(|(name, child)| places(child, format!("{at}/{name}"), found)),
        Json::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(i, child)| places(child, format!("{at}/{i}"), found)),
        _ => {}
    }
    found.push(at);
}

/// Changes one value as real exports do: case, blanks, URLs, shapes and systems.
fn respell(random: &mut Random, resource: &mut Json) {
    let mut all = Vec::new();
    places(resource, String::new(), &mut all);
    let at = random.pick(&all).clone();
    if at.is_empty() || at == "/resourceType" {
        return;
    }
    // Another word for `use` changes the meaning, and not only the spelling.
    let Some(value) = resource.pointer_mut(&at) else { return };
    match value {
        Json::String(text) => {
            *text = match random.below(11) {
                0 => text.to_uppercase(),
                1 => text.to_lowercase(),
                2 => format!(" {text}"),
                3 => format!("{text} "),
                4 => format!("{text}/"),
                5 => format!("{text}|2.1.0"),
                6 => text.replace("https://", "http://"),
                7 => text.replace("http://", "https://"),
                8 => text.replace("://", "://www."),
                9 => text.replace('-', "_"),
                _ => text
                    .chars()
                    .enumerate()
                    .map(|(i, c)| if i % 2 == 0 { c.to_ascii_uppercase() } else { c })
                    .collect(),
            };
        }
        Json::Array(items) if items.len() == 1 && random.below(2) == 0 => *value = items.remove(0),
        Json::Object(members) if members.contains_key("code") => match random.below(4) {
            0 => {
                members.remove("system");
            }
            1 => {
                if let Some(code) = members.remove("code") {
                    members.insert("display".into(), code);
                }
            }
            2 => {
                if let Some(system) = members.remove("system") {
                    members.insert("version".into(), system);
                }
            }
            _ => *value = json!([value.clone()]),
        },
        other => *other = json!([other.clone()]),
    }
}

#[test]
fn no_spelling_makes_what_is_withheld_leave() {
    let (mut random, seed) = Random::seeded();
    for at in 0..WITHHELD {
        let mut one = base(&mut random);
        for _ in 0..random.below(5) {
            respell(&mut random, &mut one);
        }
        if random.below(8) == 0 {
            let spelled = [
                "Preauthorization",
                "PREAUTHORIZATION",
                " preauthorization",
                "prior-authorization",
                "preauth",
            ];
            one["use"] = (*random.pick(&spelled)).into();
        }
        if screen(one.to_string().as_bytes(), &ScreenLimits::record()).is_err() {
            // What the pre-screen refuses is not stored.
            continue;
        }
        let (state, changed) = of(&one);
        let leaves = match state {
            NONE | ACTIVE => true,
            ENDED => changed.is_some_and(|changed| changed >= NOW - crate::store::release_rule::PA_KEPT_MS),
            _ => false,
        };
        assert!(!leaves, "seed {seed}, number {at}: {one:#}");
    }
    println!("{WITHHELD} spellings, none leaves");
}

/// An authorization that may be released, as the guides write it.
fn leaving(random: &mut Random, at: usize) -> Json {
    const PRODUCTS: &[(&str, &str)] = &[
        ("http://www.ama-assn.org/go/cpt", "99202"),
        ("http://www.ama-assn.org/go/cpt", "27447"),
        ("http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "E0601"),
        ("https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "K0823"),
        ("https://bluebutton.cms.gov/resources/codesystem/hcpcs", "L1832"),
        ("http://terminology.hl7.org/CodeSystem/HCPCS", "G0151"),
        ("urn:oid:2.16.840.1.113883.6.285", "A0428"),
        ("http://www.ada.org/cdt", "D2740"),
        ("http://www.cms.gov/Medicare/Coding/ICD10", "0SRD0J9"),
        ("https://www.nubc.org/CodeSystem/RevenueCodes", "0420"),
        (
            "https://www.cms.gov/Medicare/Medicare-Fee-for-Service-Payment/ProspMedicareFeeSvcPmtGen/HIPPSCodes",
            "BB201",
        ),
        ("https://codesystem.x12.org/005010/1365", "3"),
        ("https://x12.org/codes/service-type-codes", "42"),
    ];
    const SYSTEMS: [&str; 4] = [
        X12,
        "http://codesystem.x12.org/005010/306",
        "https://codesystem.x12.org/005010/306/",
        "https://codesystem.x12.org/005010/306|1",
    ];
    let (guide, system) = (*random.pick(&[PDEX, PAS]), *random.pick(&SYSTEMS));
    let code = *random.pick(&["A1", "A2", "A4", "A6"]);
    let product = |random: &mut Random| match random.below(PRODUCTS.len() + 1) {
        0 => json!({"text": random.pick(&["therapy", "Home nursing visit", "Hospital bed, semi-electric"])}),
        n => coded(PRODUCTS[n - 1].0, PRODUCTS[n - 1].1),
    };
    let decision = |random: &mut Random| {
        let mut one = reviewed(guide, system, code);
        if random.below(2) == 0 {
            one["amount"] = json!({"value": 300.99, "currency": "USD"});
        }
        one
    };
    let mut lines = Vec::new();
    for _ in 0..=random.below(3) {
        let own = random.below(4) > 0;
        let mut adjudications = if own { vec![decision(random)] } else { vec![] };
        for kind in ["allowedunits", "consumedunits"] {
            if random.below(3) == 0 {
                let discriminator = "http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PDexAdjudicationDiscriminator";
                adjudications.push(json!({"category": coded(discriminator, kind), "value": 4}));
            }
        }
        lines.push(line(product(random), adjudications));
    }
    let mut one = authorization(lines);
    one["id"] = format!("pa-{at}").into();
    // The header decides for lines without a decision.
    one["adjudication"] = json!([decision(random)]);
    one["outcome"] = (*random.pick(&["complete", "partial", "queued"])).into();
    let kind = *random.pick(&["professional", "institutional", "oral", "vision"]);
    one["type"] = coded("http://terminology.hl7.org/CodeSystem/claim-type", kind);
    let profile = format!("{PDEX}/pdex-priorauthorization");
    match random.below(4) {
        0 => one["meta"] = json!({"profile": [format!("{profile}|2.0.0")]}),
        1 => one["meta"] = json!({"profile": [format!("{profile}|2.2.0")]}),
        2 => one["meta"] = json!({"profile": [profile]}),
        _ => {}
    }
    if random.below(2) == 0 {
        one["total"] = json!([{"category": coded("http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PriorAuthorizationValueCodes", "eligible"),
            "extension": [{"url": format!("{PDEX}/PriorAuthorizationUtilization"), "valueQuantity": {"value": 1}}],
            "amount": {"value": 100, "currency": "USD"}}]);
    }
    if random.below(4) == 0 {
        one["contained"] = json!([{"resourceType": "Practitioner", "id": "prov", "name": [{"family": "Okafor"}]},
            {"resourceType": "Organization", "id": "org", "name": "Clinic"}]);
        one["provider"] = json!({"reference": "#prov"});
        one["facility"] = json!({"display": "Clinic"});
        one["careTeam"] = json!([{"sequence": 1, "provider": {"reference": "#org"}}]);
    }
    if random.below(6) == 0 {
        one["status"] = "cancelled".into();
    }
    one
}

/// A Coverage in a family: subscriber and policy holder are other persons.
fn coverage(random: &mut Random, at: usize) -> Json {
    let mut one = json!({"resourceType": "Coverage", "id": format!("cov-{at}"), "status": "active", "subscriberId": "M1",
        "beneficiary": {"reference": "Patient/p"}, "payor": [{"display": "plan"}],
        "subscriber": {"reference": "Patient/parent"}, "class": [{"type": {"text": "plan"}, "value": "B37", "name": "Gold"}],
        "relationship": {"coding": [{"code": random.pick(&["child", "spouse", "other"])}]}});
    match random.below(4) {
        0 => one["policyHolder"] = json!({"reference": "RelatedPerson/r"}),
        1 => one["policyHolder"] = json!({"reference": "Patient/parent"}),
        2 => {
            one["costToBeneficiary"] =
                json!([{"type": {"text": "copay"}, "valueMoney": {"value": 35, "currency": "USD"}}])
        }
        _ => {
            one["text"] =
                json!({"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">Copay: 35 USD</div>"})
        }
    }
    one
}

/// An ordinary claim that contains its providers.
fn claim(random: &mut Random, at: usize) -> Json {
    let mut one = authorization(vec![line(coded("http://hl7.org/fhir/sid/ndc", "0006-0277"), vec![])]);
    let members = one.as_object_mut().expect("an object");
    for name in ["preAuthRef", "preAuthRefPeriod", "meta"] {
        members.remove(name);
    }
    one["id"] = format!("eob-{at}").into();
    one["use"] = (*random.pick(&["claim", "predetermination"])).into();
    one["contained"] = json!([{"resourceType": "Practitioner", "id": "prov", "name": [{"family": "Okafor"}]},
        {"resourceType": "Organization", "id": "org", "name": "Clinic"}]);
    one["provider"] = json!({"reference": "#prov"});
    one["insurer"] = json!({"reference": "#org"});
    one["insurance"][0]["preAuthRef"] = json!(["AUTH1"]);
    one["item"][0]["adjudication"] = json!([{"category": {"text": "paid"}, "amount": {"value": 5, "currency": "USD"}}]);
    one
}

fn judged(resource: &Json) -> Candidate {
    let text = resource.to_string();
    let draft = draft(text.as_bytes(), &NoLinks, None).unwrap_or_else(|failure| panic!("{failure:?}: {resource:#}"));
    judge(&draft, 1, NOW, "https://payer.example/fhir").unwrap_or_else(|failure| panic!("{failure:?}: {resource:#}"))
}

#[test]
fn everything_that_may_leave_does() {
    let (mut random, seed) = Random::seeded();
    for at in 0..LEAVING {
        let one = match at % 4 {
            0 => coverage(&mut random, at),
            1 => claim(&mut random, at),
            _ => leaving(&mut random, at),
        };
        let candidate = judged(&one);
        let row = ReleaseColumns {
            sensitivity: candidate.sensitivity,
            pa_state: candidate.pa_state,
            pa_changed_ms: candidate.pa_changed_ms,
            financial: candidate.financial,
            has_released: candidate.released.is_some(),
        };
        assert_eq!(
            reasons(candidate.rtype, &row, NOW),
            Vec::<&str>::new(),
            "seed {seed}, number {at}: {one:#}"
        );
        assert!(matches!(candidate.owner, Owner::Member { .. }));
        let leaves = String::from_utf8(candidate.released.unwrap_or(candidate.body)).expect("UTF-8");
        for money in ["USD", "300.99", "currency", "Copay"] {
            assert!(!leaves.contains(money), "seed {seed}, number {at}: {money} in {leaves}");
        }
    }
    println!("{LEAVING} that may leave, all leave");
}
