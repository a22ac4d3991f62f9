//! Our own Provenance of what is sent: this payer transmits it.
//!
//! Made when it is sent, never stored. The record of a member has one for each grant, which can be read by its id and targets the Patient
//! alone, so that it costs the same for any record. A page of a search has one that targets what is on the page.
//!
//! Source: PDex STU 2.2, "Provenance" (pdex-127): at least one Provenance for an exchange, whose agent is the health plan as transmitter.

use crate::clock::rfc3339_ms;
use crate::context::Payer;
use crate::fhir::search::{Include, Search};
use crate::secret::sha256_of;
use crate::store::disclosure::{LiveGrant, Released};
use crate::store::search::Hit;
use serde_json::{Value as Json, json};

const PROFILE: &str = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-provenance";
const ROLES: &str = "http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type";
const NPI: &str = "http://hl7.org/fhir/sid/us-npi";
/// With this begins the id of the Provenance of a record; the id of the grant follows.
const PREFIX: &str = "tx.";

/// The id of the grant that a Provenance with this id is about; `None` when it has another form.
pub(super) fn grant_of(id: &str) -> Option<&str> {
    id.strip_prefix(PREFIX)
}

/// The Provenance of the record that is released under a grant: the same for each answer, because it is one exchange.
pub(super) fn of_record(payer: &Payer, grant: &LiveGrant) -> Released {
    let id = format!("{PREFIX}{}", grant.id);
    let target = json!([{"reference": format!("Patient/{}", grant.patient_id)}]);
    let mut body = provenance(payer, &id, &target, grant.created_ms);
    body["meta"]["versionId"] = json!("1");
    body["meta"]["lastUpdated"] = json!(rfc3339_ms(grant.created_ms));
    Released::made("Provenance", &id, grant.created_ms, body.to_string().into_bytes())
}

/// The Provenance of a page of a search. It cannot be read by its id, because it is about this page only.
pub struct PageTransmitter {
    /// Its id, a UUID; the same for the same resources and partner.
    pub id: String,
    /// Its JSON.
    pub bytes: Vec<u8>,
}

impl PageTransmitter {
    /// The Provenance of a page with these resources for `partner`; `None` for a page without any.
    pub(super) fn of<'h>(
        payer: &Payer,
        partner: &str,
        hits: impl Iterator<Item = &'h Hit>,
        now_ms: i64,
    ) -> Option<PageTransmitter> {
        let targets: Vec<String> = hits
            .filter(|hit| hit.rtype != "Provenance")
            .map(|hit| format!("{}/{}", hit.rtype, hit.id))
            .collect();
        if targets.is_empty() {
            return None;
        }
        let mut pieces: Vec<&[u8]> = vec![b"transmitter", partner.as_bytes()];
        for target in &targets {
            pieces.extend([b"\n", target.as_bytes()]);
        }
        let id = uuid_of(&sha256_of(&pieces));
        let target = targets.iter().map(|name| json!({"reference": name})).collect();
        let bytes = provenance(payer, &id, &target, now_ms).to_string().into_bytes();
        Some(PageTransmitter { id, bytes })
    }
}

/// Whether a search asks for the Provenance of its matches.
pub(super) fn with_provenance(search: &Search) -> bool {
    let is_target = |include: &Include| {
        let param = include.param;
        let is_meant = include.target.as_deref().is_none_or(|only| only == search.rtype);
        param.rtype == "Provenance" && param.name == "target" && param.leads_to(&search.rtype) && is_meant
    };
    search.rtype != "Provenance" && search.revincludes.iter().any(is_target)
}

/// A UUID of version 8 from a hash (RFC 9562, section 5.8).
fn uuid_of(hash: &[u8; 32]) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes)
        .into_uuid()
        .hyphenated()
        .to_string()
}

fn provenance(payer: &Payer, id: &str, target: &Json, recorded_ms: i64) -> Json {
    json!({
        "resourceType": "Provenance",
        "id": id,
        "meta": {"profile": [PROFILE]},
        "target": target,
        "recorded": rfc3339_ms(recorded_ms),
        "agent": [{
            "type": {"coding": [{"system": ROLES, "code": "transmitter", "display": "Transmitter"}]},
            "who": {
                "type": "Organization",
                "identifier": {"system": NPI, "value": payer.npi},
                "display": payer.name,
            },
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payer() -> Payer {
        Payer {
            name: "Old Payer".into(),
            npi: "1992000012".into(),
            member_system: "http://p.example/member".into(),
            umb_system: "http://p.example/umb".into(),
            base_url: "https://p.example/fhir".into(),
            time_zone: chrono_tz::Tz::UTC,
        }
    }

    fn hit(rtype: &str, id: &str) -> Hit {
        Hit {
            key: 1,
            rtype: rtype.into(),
            id: id.into(),
            bytes: Vec::new(),
            is_cut: false,
        }
    }

    fn read(bytes: &[u8]) -> Json {
        serde_json::from_slice(bytes).expect("JSON")
    }

    #[test]
    fn the_record_of_a_grant_is_always_the_same() {
        let grant = LiveGrant {
            id: "0193-g".into(),
            patient_id: "m1".into(),
            created_ms: 1_767_225_600_123,
            ..LiveGrant::default()
        };
        let made = of_record(&payer(), &grant);
        assert_eq!(made.bytes(), of_record(&payer(), &grant).bytes());
        assert_eq!((made.id.as_str(), grant_of(&made.id)), ("tx.0193-g", Some("0193-g")));
        assert_eq!(grant_of("px.0193-g"), None);
        let body = read(made.bytes());
        assert_eq!(body["id"], "tx.0193-g");
        assert_eq!(body["target"], json!([{"reference": "Patient/m1"}]));
        assert_eq!(body["recorded"], "2026-01-01T00:00:00.123Z");
        assert_eq!(body["meta"]["lastUpdated"], body["recorded"]);
        assert_eq!(body["agent"][0]["type"]["coding"][0]["code"], "transmitter");
        assert_eq!(body["agent"][0]["who"]["identifier"]["value"], "1992000012");
    }

    #[test]
    fn a_page_has_one_about_what_it_holds() {
        let (payer, goals) = (payer(), [hit("Goal", "1"), hit("Goal", "2")]);
        let of = |partner: &str, hits: &[&Hit]| PageTransmitter::of(&payer, partner, hits.iter().copied(), 5);
        assert!(of("a", &[]).is_none(), "nothing was sent");
        let (provenance, doctor) = (hit("Provenance", "p"), hit("Practitioner", "d"));
        let one = of("a", &[&goals[0], &goals[1], &provenance, &doctor]).expect("one");
        let body = read(&one.bytes);
        let targets = body["target"].as_array().expect("targets");
        let named: Vec<&str> = targets.iter().filter_map(|one| one["reference"].as_str()).collect();
        assert_eq!(named, ["Goal/1", "Goal/2", "Practitioner/d"]);
        assert_eq!(body["id"], one.id.as_str());
        let same = [&goals[0], &goals[1], &doctor];
        assert_eq!(of("a", &same).expect("one").id, one.id, "the same resources");
        let others = [of("b", &same), of("a", &same[..2])];
        assert!(others.iter().flatten().all(|other| other.id != one.id));
        assert_eq!(uuid::Uuid::parse_str(&one.id).expect("a UUID").get_version_num(), 8);
    }
}
