//! What a Group keeps of a member as it was sent: the Patient, and the coverage where one Patient was sent with several. Pure.
//!
//! Everything of the Patient is kept (PDex pdex-150 to 152) except what must not be in a contained resource: nested resources, and the
//! version, time and security labels of `meta` (pdex-151a).

use super::named::{NamedMember, part, wrapped};
use crate::fhir::prescreen::{JsonKind, ScreenLimits, Value, screen};
use crate::ids::is_fhir_id;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The resources of one member that a Group contains.
#[derive(Debug, Serialize, Deserialize)]
pub struct ContainedMember {
    /// The id of the Patient within the Group.
    pub id: String,
    /// The Patient.
    pub patient: Box<RawValue>,
    /// The id of the coverage within the Group, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage_id: Option<String>,
    /// The coverage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Box<RawValue>>,
}

/// Elements of `meta` that a contained resource must not have.
const META: [&str; 3] = ["versionId", "lastUpdated", "security"];

impl ContainedMember {
    /// What a Group keeps of `member`; `None` when its Patient cannot be read. `was_read`: the member was judged, so that its parts conform to
    /// the typed model.
    pub fn of(member: &NamedMember, was_read: bool) -> Option<ContainedMember> {
        let text = wrapped(&member.bytes);
        let screened = screen(&text, &ScreenLimits::request()).ok()?;
        let patient = part(&screened, "MemberPatient").filter(|one| is_a(*one, "Patient", was_read))?;
        let id = patient.get("id")?.text()?.into_owned();
        if !is_fhir_id(&id) {
            return None;
        }
        let coverage = match member.is_repeated {
            true => part(&screened, "CoverageToMatch").filter(|one| is_a(*one, "Coverage", was_read)),
            false => None,
        };
        let coverage_id = coverage.map(|_| format!("coverage-{}", member.index));
        Some(ContainedMember {
            patient: kept(patient, &id)?,
            coverage: match (coverage, &coverage_id) {
                (Some(coverage), Some(id)) => Some(kept(coverage, id)?),
                _ => None,
            },
            coverage_id,
            id,
        })
    }

    /// The text of the row.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the text of a row.
    pub fn read(bytes: &[u8]) -> Option<ContainedMember> {
        serde_json::from_slice(bytes).ok()
    }
}

/// The typed model is not asked twice about the same resource: it takes longer than all else that is done with a member.
fn is_a(value: Value<'_>, rtype: &str, was_read: bool) -> bool {
    let is_named = value.get("resourceType").is_some_and(|own| own.is(rtype));
    is_named && (was_read || causeway_fhir_types::check(value.raw()).is_ok())
}

/// A resource as it is contained under `id`, in one line.
fn kept(resource: Value<'_>, id: &str) -> Option<Box<RawValue>> {
    let mut out = format!("{{\"resourceType\":{}", raw(resource.get("resourceType")?)?).into_bytes();
    out.extend_from_slice(format!(",\"id\":\"{id}\"").as_bytes());
    for member in resource.members() {
        match member.key() {
            "resourceType" | "id" | "contained" => {}
            "meta" => {
                let meta: Vec<Value<'_>> = member.members().filter(|one| !is_dropped(one.key())).collect();
                if !meta.is_empty() {
                    out.extend_from_slice(b",\"meta\":");
                    object(&meta, &mut out);
                }
            }
            _ => {
                out.push(b',');
                named(member, &mut out);
            }
        }
    }
    out.push(b'}');
    RawValue::from_string(String::from_utf8(out).ok()?).ok()
}

fn raw(value: Value<'_>) -> Option<&str> {
    std::str::from_utf8(value.raw()).ok()
}

fn is_dropped(name: &str) -> bool {
    META.contains(&name.trim_start_matches('_'))
}

/// Writes a value without the white space between its parts, so that it fits into one line; numbers and strings stay as they are.
fn compact(value: Value<'_>, out: &mut Vec<u8>) {
    match value.kind() {
        JsonKind::Object => object(&value.members().collect::<Vec<_>>(), out),
        JsonKind::Array => {
            out.push(b'[');
            for (at, item) in value.items().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                compact(item, out);
            }
            out.push(b']');
        }
        _ => out.extend_from_slice(value.raw()),
    }
}

fn object(members: &[Value<'_>], out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, member) in members.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        named(*member, out);
    }
    out.push(b'}');
}

fn named(member: Value<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(member.key().as_bytes());
    out.extend_from_slice(b"\":");
    compact(member, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn member(is_repeated: bool) -> NamedMember {
        let text = json!({"name": "MemberBundle", "part": [
            {"name": "MemberPatient", "resource": {
                "resourceType": "Patient", "id": "mp1",
                "meta": {"versionId": "3", "lastUpdated": "2026-01-01T00:00:00Z", "security": [{"code": "R"}], "profile": ["urn:p"]},
                "contained": [{"resourceType": "Organization", "id": "o"}],
                "identifier": [{"value": "N1"}], "name": [{"family": "O\u{1f600}x", "given": ["A"]}], "birthDate": "1984-07-09",
                "extension": [{"url": "urn:e", "valueDecimal": 1.50}],
            }},
            {"name": "CoverageToMatch", "resource": {
                "resourceType": "Coverage", "id": "c", "status": "active", "beneficiary": {"reference": "Patient/mp1"},
                "payor": [{"display": "p"}], "subscriberId": "S",
            }},
        ]});
        NamedMember {
            index: 7,
            is_repeated,
            bytes: serde_json::to_vec_pretty(&text).expect("text"),
        }
    }

    fn json_of(raw: &RawValue) -> Json {
        serde_json::from_str(raw.get()).expect("JSON")
    }

    #[test]
    fn the_patient_is_kept_but_for_what_must_not_be_contained() {
        let kept = ContainedMember::of(&member(false), false).expect("a member");
        let again = ContainedMember::read(&kept.bytes()).expect("read back");
        assert_eq!(again.id, "mp1");
        assert!(!again.patient.get().contains('\n') && again.coverage.is_none());
        let patient = json_of(&again.patient);
        assert_eq!(patient["meta"], json!({"profile": ["urn:p"]}));
        assert!(patient.get("contained").is_none());
        assert_eq!(patient["name"][0]["family"], "O\u{1f600}x");
        assert_eq!(patient["identifier"][0]["value"], "N1");
        assert!(again.patient.get().contains("1.5"));
    }

    #[test]
    fn a_patient_with_several_coverages_keeps_the_coverage_under_an_id_of_its_own() {
        let kept = ContainedMember::of(&member(true), false).expect("a member");
        assert_eq!(kept.coverage_id.as_deref(), Some("coverage-7"));
        let coverage = json_of(kept.coverage.as_deref().expect("a coverage"));
        assert_eq!(
            (&coverage["id"], &coverage["subscriberId"]),
            (&json!("coverage-7"), &json!("S"))
        );
    }

    #[test]
    fn a_patient_that_cannot_be_read_is_not_kept() {
        for (from, to) in [
            ("\"mp1\"", "\"m p\""),
            ("\"Patient\"", "\"Person\""),
            ("birthDate", "birthDay"),
        ] {
            let text = String::from_utf8(member(false).bytes).expect("text").replace(from, to);
            let broken = NamedMember {
                bytes: text.into_bytes(),
                ..member(false)
            };
            assert!(ContainedMember::of(&broken, false).is_none(), "{from}");
        }
    }
}
