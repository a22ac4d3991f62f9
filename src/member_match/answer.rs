//! The answer to a member-match request, and the body of a successful answer for every HRex version that a partner may speak.

use crate::context::Payer;
use crate::error::{Failure, Fault};
use crate::security::Dialect;
use serde::Serialize;

/// An answer to a member-match request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchAnswer {
    /// HTTP status: 200, or the stored 422 of a replay.
    pub status: u16,
    /// FHIR JSON.
    pub body: Vec<u8>,
    /// Whether this is a repetition of an earlier answer under the same idempotency key.
    pub replayed: bool,
}

const UMB: Coding = Coding {
    system: "http://hl7.org/fhir/us/davinci-hrex/CodeSystem/hrex-temp",
    code: "UMB",
};
const MB: Coding = Coding {
    system: "http://terminology.hl7.org/CodeSystem/v2-0203",
    code: "MB",
};

#[derive(Clone, Copy, Serialize)]
struct Coding {
    system: &'static str,
    code: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Parameters<'a> {
    resource_type: &'static str,
    parameter: Vec<Parameter<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Parameter<'a> {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_identifier: Option<Identifier<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_reference: Option<Reference>,
}

#[derive(Serialize)]
struct Identifier<'a> {
    #[serde(rename = "type")]
    kind: Concept,
    system: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct Concept {
    coding: [Coding; 2],
}

#[derive(Serialize)]
struct Reference {
    reference: String,
}

/// The Parameters that name a matched member: the unique member id (UMB) under both codings and, from HRex 1.1 on, a reference to the
/// Patient.
///
/// # Errors
/// [`Fault::Internal`] if the JSON cannot be written, which does not happen in practice.
pub fn bytes(payer: &Payer, dialect: &Dialect, umb: &str, patient_id: &str) -> Result<Vec<u8>, Failure> {
    let identifier = Identifier {
        kind: Concept { coding: [UMB, MB] },
        system: &payer.umb_system,
        value: umb,
    };
    let mut parameter = vec![Parameter {
        name: "MemberIdentifier",
        value_identifier: Some(identifier),
        value_reference: None,
    }];
    if takes_member_id(dialect) {
        let reference = Reference {
            reference: format!("Patient/{patient_id}"),
        };
        parameter.push(Parameter {
            name: "MemberId",
            value_identifier: None,
            value_reference: Some(reference),
        });
    }
    serde_json::to_vec(&Parameters {
        resource_type: "Parameters",
        parameter,
    })
    .map_err(|error| Failure::new(Fault::Internal).because(error))
}

/// HRex 1.0 allows no second parameter in the answer; a strict validator would refuse MemberId.
fn takes_member_id(dialect: &Dialect) -> bool {
    dialect.hrex != "1.0" && !dialect.hrex.starts_with("1.0.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_codings_always_and_member_id_by_dialect() {
        let payer = Payer {
            name: "Old".into(),
            npi: "1".into(),
            member_system: "urn:m".into(),
            umb_system: "urn:umb".into(),
            base_url: "https://localhost/fhir".into(),
            time_zone: chrono_tz::UTC,
        };
        let dialect = |hrex: &str| Dialect {
            hrex: hrex.into(),
            pdex: "2.0".into(),
            us_core: "3.1.1".into(),
        };
        let identifier = r#"{"name":"MemberIdentifier","valueIdentifier":{"type":{"coding":[{"system":"http://hl7.org/fhir/us/davinci-hrex/CodeSystem/hrex-temp","code":"UMB"},{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MB"}]},"system":"urn:umb","value":"U1"}}"#;
        let old = bytes(&payer, &dialect("1.0"), "U1", "p1").expect("JSON");
        assert_eq!(
            String::from_utf8_lossy(&old),
            format!(r#"{{"resourceType":"Parameters","parameter":[{identifier}]}}"#)
        );
        let member = r#"{"name":"MemberId","valueReference":{"reference":"Patient/p1"}}"#;
        for hrex in ["1.1", "1.2"] {
            let new = bytes(&payer, &dialect(hrex), "U1", "p1").expect("JSON");
            assert_eq!(
                String::from_utf8_lossy(&new),
                format!(r#"{{"resourceType":"Parameters","parameter":[{identifier},{member}]}}"#)
            );
        }
    }
}
