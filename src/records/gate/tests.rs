//! What the gate accepts, what it refuses, and where it reports the fault.

use super::*;
use crate::records::local::Links;
use crate::records::local::NoLinks;

const NOW: i64 = 1_767_225_600_000; // 2026-01-01T00:00:00Z

struct Map(&'static [(&'static str, &'static str)]);

impl Links for Map {
    fn local(&self, reference: &str) -> Option<String> {
        self.0.iter().find(|row| row.0 == reference).map(|row| row.1.to_owned())
    }

    fn has_urls(&self) -> bool {
        true
    }
}

fn candidate(text: &str) -> Result<Candidate, (Fault, Vec<String>)> {
    draft(text.as_bytes(), &NoLinks, None)
        .and_then(|draft| judge(&draft, 1, NOW, ""))
        .map_err(|f| (f.fault(), f.expressions().to_vec()))
}

fn body(candidate: &Candidate) -> &str {
    std::str::from_utf8(&candidate.body).expect("UTF-8")
}

#[test]
fn bytes_stay_as_received_but_for_meta() {
    let text = r#"{"resourceType":"Observation","id":"a","status":"final", "code":{"text":"x"},"subject":{"reference":"Patient/p"},"valueQuantity":{"value":1.10}}"#;
    let kept = candidate(text).expect("kept");
    let meta = r#","meta":{"versionId":"1","lastUpdated":"2026-01-01T00:00:00.000Z"}"#;
    assert_eq!(body(&kept), text.replace(r#""id":"a""#, &format!(r#""id":"a"{meta}"#)));
    assert_eq!(
        (kept.financial, kept.last_updated_ms, kept.released.is_none()),
        (0, NOW, true)
    );
    let second = with_version(&kept, 2).expect("rewritten");
    assert_eq!(
        body(&second),
        body(&kept).replace(r#""versionId":"1""#, r#""versionId":"2""#)
    );
    assert_eq!(
        (second.source_sha256, second.sha256 == kept.sha256),
        (kept.source_sha256, false)
    );
}

#[test]
fn what_the_source_says_of_its_version_stands_beside_ours() {
    let text = r#"{"resourceType":"Organization","meta":{"lastUpdated":"2020-01-01T00:00:00Z","versionId":"99"},"id":"o","name":"x"}"#;
    let kept = candidate(text).expect("kept");
    let ours = text
        .replace("99", "1")
        .replace("2020-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z");
    assert_eq!(body(&kept), ours);
    assert_eq!(
        kept.source.updated_ms.map(rfc3339_ms).as_deref(),
        Some("2020-01-01T00:00:00.000Z")
    );
    assert_eq!((kept.source.number, kept.last_updated_ms), (Some(99), NOW));
}

#[test]
fn the_time_of_the_commit_is_put_into_every_form_of_a_resource() {
    let money = r#","total":[{"category":{"text":"t"},"amount":{"value":5.00,"currency":"USD"}}]}"#;
    let rest = r#""status":"active","type":{"text":"x"},"use":"claim","patient":{"reference":"Patient/p"},"created":"2020-01-01","insurer":{"display":"i"},"provider":{"display":"d"},"outcome":"complete","insurance":[{"focal":true,"coverage":{"display":"c"}}]"#;
    let profile = r#""profile":["http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Oral"]"#;
    for meta in [
        String::new(),
        r#""meta":{"versionId":"77"},"#.to_owned(),
        r#""meta":{"lastUpdated":"2020-01-01T00:00:00+02:00","versionId":"123456789"},"#.to_owned(),
        format!(r#""meta":{{{profile},"versionId":"5","lastUpdated":"2020-01-01T00:00:00Z"}},"#),
        format!(r#""meta":{{"versionId":"5",{profile}}},"#),
    ] {
        let cut = r#""payment":{"amount":{"value":1,"currency":"USD"}},"#;
        for head in [
            format!(r#"{{"resourceType":"ExplanationOfBenefit","id":"e",{meta}{rest}"#),
            format!(r#"{{"resourceType":"ExplanationOfBenefit",{meta}{cut}"id":"e",{rest}"#),
            format!(r#"{{{cut}{meta}"id":"e",{rest},"resourceType":"ExplanationOfBenefit""#),
        ] {
            let mut kept = candidate(&format!("{head}{money}")).expect("kept");
            let again = with_version(&kept, 12).expect("rewritten");
            for kept in [&mut kept, &mut again.clone()] {
                kept.stamp(NOW + 12_345);
                assert_eq!(kept.sha256, sha256(&kept.body));
                for bytes in [&kept.body, kept.released.as_ref().expect("another form")] {
                    let json: serde_json::Value = serde_json::from_slice(bytes).expect("JSON");
                    assert_eq!(json["meta"]["lastUpdated"], "2026-01-01T00:00:12.345Z", "{head}");
                    assert_eq!(json["meta"]["versionId"], kept.version.to_string(), "{head}");
                }
            }
        }
    }
}

#[test]
fn references_of_the_source_become_local_and_lines_become_one() {
    let text = "{\n  \"resourceType\": \"Condition\",\n  \"subject\": { \"reference\": \"urn:uuid:1\", \"display\": \"a  b\" },
        \"extension\":[{\"url\":\"http://x\",\"valueAttachment\":{\"url\":\"urn:uuid:2\"}}] }";
    let links = Map(&[("urn:uuid:1", "Patient/p"), ("urn:uuid:2", "Binary/b")]);
    let draft = draft(text.as_bytes(), &links, Some("c-1")).expect("a draft");
    let expected = r#"{"resourceType":"Condition","id":"c-1","subject":{"reference":"Patient/p","display":"a  b"},"extension":[{"url":"http://x","valueAttachment":{"url":"Binary/b"}}]}"#;
    assert_eq!(std::str::from_utf8(&draft.content), Ok(expected));
    assert_eq!(draft.source_sha256, sha256(expected.as_bytes()));
    let kept = judge(&draft, 1, NOW, "").expect("kept");
    assert_eq!(
        kept.owner,
        Owner::Member {
            id: "p".into(),
            at: "Condition.subject.reference".into()
        }
    );
}

#[test]
fn an_explanation_of_benefit_has_a_released_form() {
    let text = r#"{"resourceType":"ExplanationOfBenefit","id":"e","status":"active","type":{"text":"x"},"use":"claim","patient":{"reference":"Patient/p"},"created":"2020-01-01","insurer":{"display":"i"},"provider":{"display":"d"},"outcome":"complete","insurance":[{"focal":true,"coverage":{"display":"c"}}],"total":[{"category":{"text":"t"},"amount":{"value":5.00,"currency":"USD"}}]}"#;
    let kept = candidate(text).expect("kept");
    let released = kept.released.as_deref().expect("another form");
    assert_eq!(causeway_fhir_types::check(released), Ok("ExplanationOfBenefit"));
    let released = std::str::from_utf8(released).expect("UTF-8");
    assert!(kept.financial == 1 && !released.contains("5.00") && released.contains("\"versionId\":\"1\""));
    let claim = r#"{"resourceType":"Claim","id":"c","status":"active","type":{"text":"x"},"use":"claim","patient":{"reference":"Patient/p"},"created":"2020-01-01","provider":{"display":"d"},"priority":{"text":"n"},"insurance":[{"sequence":1,"focal":true,"coverage":{"display":"c"}}]}"#;
    let kept = candidate(claim).expect("kept");
    assert_eq!((kept.financial, kept.released.is_none()), (1, true));
}

#[test]
fn a_wrong_shape_is_told_before_anything_is_read_of_it() {
    for (text, fault, place) in [
        (
            r#"{"resourceType":"Patient","id":"a","name":[{"colour":"Secret"}]}"#,
            Fault::ElementUnknown,
            "Patient.name[0].colour",
        ),
        (
            r#"{"resourceType":"Observation","id":"a","status":"final","subject":[{"reference":"Patient/p"}]}"#,
            Fault::ElementShape,
            "Observation.subject",
        ),
        (
            r#"{"resourceType":"Patient","id":"a","name":{"family":"x"}}"#,
            Fault::ElementShape,
            "Patient.name",
        ),
    ] {
        assert_eq!(candidate(text).err(), Some((fault, vec![place.to_owned()])), "{text}");
    }
}

#[test]
fn types_we_do_not_keep_are_told() {
    let bundle = r#"{"resourceType":"Parameters","parameter":[{"name":"a"}]}"#;
    assert_eq!(candidate(bundle).expect_err("refused").0, Fault::TypeUnsupported);
}

/// The version of the gate, and the digest of the code and tables by which it decides.
const DECIDED_BY: (i64, &str) = (4, "046936ffdfb009af871da2f7e1316ddd94915fa724583dde9052f3e636046787");

/// Everything that decides what the gate says of a resource.
const DECIDES: &[&str] = &[
    "fhir-profiles/r4-elements.txt",
    "src/fhir/search/params.rs",
    "src/fhir/shape/mod.rs",
    "src/fhir/shape/primitive.rs",
    "src/fhir/shape/table.rs",
    "src/fhir/shape/told.rs",
    "src/fhir/shape/walk.rs",
    "src/records/attachment.rs",
    "src/records/compartment.rs",
    "src/records/demographics.rs",
    "src/records/dependencies.rs",
    "src/records/dependencies/effect.rs",
    "src/records/dependencies/says.rs",
    "src/records/draft.rs",
    "src/records/gate.rs",
    "src/records/ingest/entry.rs",
    "src/records/ingest/normal.rs",
    "src/records/labels.rs",
    "src/records/meta.rs",
    "src/records/narrative.rs",
    "src/records/other_person.rs",
    "src/records/other_person/own_elements.rs",
    "src/records/other_person/record.rs",
    "src/records/other_person/target.rs",
    "src/records/prior_authorization.rs",
    "src/records/prior_authorization/codes.rs",
    "src/records/prior_authorization/decision.rs",
    "src/records/prior_authorization/services.rs",
    "src/records/prior_authorization/text.rs",
    "src/records/prior_authorization/words.rs",
    "src/records/released.rs",
    "src/records/released/words.rs",
    "src/records/rules.rs",
    "src/records/search_index.rs",
    "src/records/sensitivity.rs",
    "src/records/service.rs",
    "src/records/splice.rs",
];

/// What decides in a file: no comment, no unit test, no layout, and not the version itself.
fn deciding(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().map(str::trim);
    lines
        .filter(|line| !line.starts_with("//") && !line.contains("GATE_VERSION"))
        .flat_map(|line| line.chars().filter(|one| !one.is_whitespace()))
        .collect()
}

#[test]
fn a_gate_that_decides_otherwise_has_another_version() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = String::new();
    for name in DECIDES {
        let text = std::fs::read_to_string(root.join(name)).expect(name);
        all.push_str(&format!("{name}\n{}\n", deciding(&text)));
    }
    let digest = crate::secret::hex(&sha256(all.as_bytes()));
    assert_eq!(
        DECIDED_BY,
        (GATE_VERSION, digest.as_str()),
        "the gate has changed: raise GATE_VERSION, so that what is stored and what was refused is judged again, then write both here. \
         Only where surely nothing is decided otherwise may the version stay"
    );
}
