//! What the gate takes, what it refuses and where it says the fault is.

use super::*;

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
fn the_source_keeps_its_last_updated_and_not_its_version() {
    let text = r#"{"resourceType":"Organization","meta":{"lastUpdated":"2020-01-01T00:00:00Z","versionId":"99"},"id":"o","name":"x"}"#;
    let kept = candidate(text).expect("kept");
    assert_eq!(body(&kept), text.replace("99", "1"));
    assert_eq!(rfc3339_ms(kept.last_updated_ms), "2020-01-01T00:00:00.000Z");
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
