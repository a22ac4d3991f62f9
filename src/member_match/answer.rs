//! The bytes of a successful answer, for every HRex version a partner may speak.

use crate::context::Payer;
use crate::security::Dialect;
use serde::Serialize;

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

/// The Parameters that name a matched member: its UMB under both codings, and from HRex 1.1 on its Patient.
pub fn bytes(payer: &Payer, dialect: &Dialect, umb: &str, patient_id: &str) -> Vec<u8> {
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
    .unwrap_or_default()
}

/// HRex 1.0 closes the answer after one parameter; a strict validator of it would refuse MemberId.
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
        let old = bytes(&payer, &dialect("1.0"), "U1", "p1");
        assert_eq!(
            String::from_utf8_lossy(&old),
            format!(r#"{{"resourceType":"Parameters","parameter":[{identifier}]}}"#)
        );
        let member = r#"{"name":"MemberId","valueReference":{"reference":"Patient/p1"}}"#;
        for hrex in ["1.1", "1.2"] {
            let new = bytes(&payer, &dialect(hrex), "U1", "p1");
            assert_eq!(
                String::from_utf8_lossy(&new),
                format!(r#"{{"resourceType":"Parameters","parameter":[{identifier},{member}]}}"#)
            );
        }
    }
}
