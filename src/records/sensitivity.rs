//! Security labels as bits, so that the release rule can filter by a column.
//!
//! A label that is not in the table sets [`UNKNOWN`]: a resource with a label that is not understood is withheld.

use crate::fhir::prescreen::Screened;

/// Confidentiality `R`.
pub const RESTRICTED: i64 = 1 << 0;
/// Confidentiality `V`.
pub const VERY_RESTRICTED: i64 = 1 << 1;
/// Substance use disorder treatment, including 42 CFR Part 2.
pub const SUBSTANCE_USE: i64 = 1 << 2;
/// Psychiatry and behavioral health.
pub const MENTAL_HEALTH: i64 = 1 << 3;
/// Psychotherapy notes.
pub const PSYCHOTHERAPY_NOTES: i64 = 1 << 4;
/// HIV and AIDS.
pub const HIV: i64 = 1 << 5;
/// Sexual and reproductive health.
pub const SEXUAL_REPRODUCTIVE: i64 = 1 << 6;
/// Sexual assault, abuse and domestic violence.
pub const VIOLENCE: i64 = 1 << 7;
/// Genetic disease.
pub const GENETIC: i64 = 1 << 8;
/// Information of or about a minor.
pub const MINOR: i64 = 1 << 9;
/// Another known sensitivity (celebrity, employee, location, taboo).
pub const OTHER: i64 = 1 << 10;
/// A label that is not in the table.
pub const UNKNOWN: i64 = 1 << 62;

const CONFIDENTIALITY: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
const ACT_REASON: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
const OBSERVATION_VALUE: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";

/// Every known label. Source: HL7 v3 Confidentiality, ActCode `_InformationSensitivityPolicy` and 42 CFR Part 2 policies.
#[rustfmt::skip]
pub const LABELS: &[(&str, &str, i64)] = &[
    (CONFIDENTIALITY, "U", 0), (CONFIDENTIALITY, "L", 0), (CONFIDENTIALITY, "M", 0), (CONFIDENTIALITY, "N", 0),
    (CONFIDENTIALITY, "R", RESTRICTED), (CONFIDENTIALITY, "V", VERY_RESTRICTED),
    (ACT_CODE, "42CFRPart2", SUBSTANCE_USE), (ACT_CODE, "42CFRPart2CD", SUBSTANCE_USE),
    (ACT_CODE, "ETH", SUBSTANCE_USE), (ACT_CODE, "ETHUD", SUBSTANCE_USE), (ACT_CODE, "OPIOIDUD", SUBSTANCE_USE),
    (ACT_CODE, "SUD", SUBSTANCE_USE), (ACT_CODE, "ALC", SUBSTANCE_USE), (ACT_CODE, "DRGIS", SUBSTANCE_USE),
    (ACT_CODE, "PSY", MENTAL_HEALTH), (ACT_CODE, "BH", MENTAL_HEALTH), (ACT_CODE, "MH", MENTAL_HEALTH),
    (ACT_CODE, "COGN", MENTAL_HEALTH), (ACT_CODE, "DVD", MENTAL_HEALTH), (ACT_CODE, "EMOTDIS", MENTAL_HEALTH),
    (ACT_CODE, "PSYTHPN", PSYCHOTHERAPY_NOTES),
    (ACT_CODE, "HIV", HIV), (ACT_CODE, "STD", SEXUAL_REPRODUCTIVE), (ACT_CODE, "SEX", SEXUAL_REPRODUCTIVE),
    (ACT_CODE, "PREGNANT", SEXUAL_REPRODUCTIVE), (ACT_CODE, "REPRO", SEXUAL_REPRODUCTIVE),
    (ACT_CODE, "ABORTION", SEXUAL_REPRODUCTIVE), (ACT_CODE, "GENDER", SEXUAL_REPRODUCTIVE),
    (ACT_CODE, "SDV", VIOLENCE), (ACT_CODE, "DV", VIOLENCE), (ACT_CODE, "SA", VIOLENCE), (ACT_CODE, "IPV", VIOLENCE),
    (ACT_CODE, "VIO", VIOLENCE), (ACT_CODE, "CHILD", VIOLENCE),
    (ACT_CODE, "GDIS", GENETIC), (ACT_CODE, "SICKLE", GENETIC),
    (ACT_CODE, "ADOL", MINOR), (ACT_CODE, "MINOR", MINOR),
    (ACT_CODE, "TBOO", OTHER), (ACT_CODE, "CEL", OTHER), (ACT_CODE, "VIP", OTHER), (ACT_CODE, "EMP", OTHER),
    (ACT_CODE, "DEMO", OTHER), (ACT_CODE, "DIA", OTHER), (ACT_CODE, "LOCIS", OTHER), (ACT_CODE, "SSP", OTHER),
    (ACT_CODE, "B", OTHER), (ACT_CODE, "PHY", OTHER), (ACT_CODE, "PDS", OTHER), (ACT_CODE, "PRS", OTHER),
    (ACT_CODE, "PATEXP", OTHER), (ACT_CODE, "DX", OTHER),
    // Marks of test data and of shortened resources say nothing about sensitivity.
    (ACT_REASON, "HTEST", 0), (OBSERVATION_VALUE, "SUBSETTED", 0),
];

/// Returns the bits for the labels of a resource and of what it contains.
pub fn bits(resource: &Screened<'_>) -> i64 {
    let root = resource.root();
    let mut bits = 0;
    for label in root
        .all(&["meta", "security"])
        .iter()
        .chain(&root.all(&["contained", "meta", "security"]))
    {
        let text = |name| label.get(name).and_then(|value| value.text()).unwrap_or_default();
        let (system, code) = (text("system"), text("code"));
        bits |= LABELS
            .iter()
            .find(|row| row.0 == system && row.1 == code)
            .map_or(UNKNOWN, |row| row.2);
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::prescreen::{ScreenLimits, screen};

    fn of(meta: &str) -> i64 {
        let text = format!(r#"{{"resourceType":"Condition","meta":{{{meta}}},"subject":{{"reference":"Patient/a"}}}}"#);
        bits(&screen(text.as_bytes(), &ScreenLimits::record()).expect("passes"))
    }

    #[test]
    fn labels_become_bits_and_unknown_ones_are_told() {
        let label = |system: &str, code: &str| format!(r#""security":[{{"system":"{system}","code":"{code}"}}]"#);
        assert_eq!(of(r#""versionId":"1""#), 0);
        assert_eq!(of(&label(CONFIDENTIALITY, "N")), 0);
        assert_eq!(of(&label(CONFIDENTIALITY, "V")), VERY_RESTRICTED);
        assert_eq!(of(&label(ACT_CODE, "ETH")), SUBSTANCE_USE);
        assert_eq!(of(&label(ACT_CODE, "NEWCODE")), UNKNOWN);
        assert_eq!(of(r#""security":[{"display":"secret"}]"#), UNKNOWN);
    }
}
