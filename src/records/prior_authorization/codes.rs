//! Decides from a code and its system whether it means a drug, is known to mean none, or is unknown.
//!
//! HCPCS level II contains drugs and services, so its codes are judged one by one, whatever system they are written
//! with. Codes of systems that are not listed here are unknown.
//!
//! Source: CMS HCPCS level II quarterly file (ranges by letter), AMA CPT sections, NUBC revenue codes, X12 1365 service types.

use super::text::{canonical, squeezed};
use super::words::ServiceKind::{self, Drug, NoDrug, Unknown};

/// How the codes of a system are judged.
#[derive(Clone, Copy)]
pub(super) enum CodeRule {
    /// All are drugs.
    Drugs,
    /// None is a drug.
    Services,
    /// HCPCS level II, CPT (which is its level I) and CDT (its letter D).
    Hcpcs,
    /// ICD-10-PCS.
    Procedures,
    /// NUBC revenue codes.
    Revenue,
    /// X12 service types.
    ServiceTypes,
}

/// Code systems in lower case, without scheme, `www.`, version and final slash.
#[rustfmt::skip]
pub(super) const SYSTEMS: &[(&str, CodeRule)] = &[
    ("ama-assn.org/go/cpt", CodeRule::Hcpcs),
    ("urn:oid:2.16.840.1.113883.6.12", CodeRule::Hcpcs),
    ("terminology.hl7.org/codesystem/cpt", CodeRule::Hcpcs),
    ("cms.gov/medicare/coding/hcpcsreleasecodesets", CodeRule::Hcpcs),
    ("cms.gov/medicare/coding/medhcpcsgeninfo", CodeRule::Hcpcs),
    ("terminology.hl7.org/codesystem/hcpcs", CodeRule::Hcpcs),
    ("terminology.hl7.org/codesystem/hcpcs-level-ii", CodeRule::Hcpcs),
    ("bluebutton.cms.gov/resources/codesystem/hcpcs", CodeRule::Hcpcs),
    ("bluebutton.cms.gov/resources/variables/hcpcs_cd", CodeRule::Hcpcs),
    ("urn:oid:2.16.840.1.113883.6.14", CodeRule::Hcpcs),
    ("urn:oid:2.16.840.1.113883.6.285", CodeRule::Hcpcs),
    ("ada.org/cdt", CodeRule::Hcpcs),
    ("ada.org/en/publications/cdt", CodeRule::Hcpcs),
    ("urn:oid:2.16.840.1.113883.6.13", CodeRule::Hcpcs),
    ("cms.gov/medicare/coding/icd10", CodeRule::Procedures),
    ("hl7.org/fhir/sid/icd-10-pcs", CodeRule::Procedures),
    ("urn:oid:2.16.840.1.113883.6.4", CodeRule::Procedures),
    ("nubc.org/codesystem/revenuecodes", CodeRule::Revenue),
    ("urn:oid:2.16.840.1.113883.6.301.3", CodeRule::Revenue),
    ("codesystem.x12.org/005010/1365", CodeRule::ServiceTypes),
    ("x12.org/codes/service-type-codes", CodeRule::ServiceTypes),
    ("cms.gov/medicare/medicare-fee-for-service-payment/prospmedicarefeesvcpmtgen/hippscodes", CodeRule::Services),
    ("loinc.org", CodeRule::Services),
    ("urn:oid:2.16.840.1.113883.6.1", CodeRule::Services),
    ("hl7.org/fhir/sid/ndc", CodeRule::Drugs),
    ("urn:oid:2.16.840.1.113883.6.69", CodeRule::Drugs),
    ("nlm.nih.gov/research/umls/rxnorm", CodeRule::Drugs),
    ("urn:oid:2.16.840.1.113883.6.88", CodeRule::Drugs),
    ("hl7.org/fhir/sid/cvx", CodeRule::Drugs),
    ("urn:oid:2.16.840.1.113883.12.292", CodeRule::Drugs),
    ("fdasis.nlm.nih.gov", CodeRule::Drugs),
    ("urn:oid:2.16.840.1.113883.4.9", CodeRule::Drugs),
    ("whocc.no/atc", CodeRule::Drugs),
    ("urn:oid:2.16.840.1.113883.6.73", CodeRule::Drugs),
    ("hl7.org/fhir/ndfrt", CodeRule::Drugs),
    ("terminology.hl7.org/codesystem/medrt", CodeRule::Drugs),
    ("urn:oid:2.16.840.1.113883.6.68", CodeRule::Drugs), // Medi-Span GPI
    ("terminology.hl7.org/codesystem/mspan", CodeRule::Drugs),
    ("urn:oid:2.16.840.1.113883.6.64", CodeRule::Drugs), // First Databank
    ("terminology.hl7.org/codesystem/fdb", CodeRule::Drugs),
];

/// Ranges of HCPCS level II codes (first, last) that are drugs, biologicals, blood products, radiopharmaceuticals or their supply.
#[rustfmt::skip]
const HCPCS_DRUGS: &[(&str, &str)] = &[
    ("A4641", "A4642"), ("A4802", "A4802"), ("A9150", "A9153"), ("A9500", "A9899"), ("B4164", "B5200"), ("C1000", "C1199"), ("C9000", "C9599"),
    ("D9610", "D9613"), ("D9630", "D9630"), ("G0138", "G0138"), ("G0333", "G0333"), ("G1028", "G1028"), ("G2067", "G2083"),
    ("G2215", "G2216"), ("G9017", "G9036"), ("H0020", "H0020"), ("J0000", "J9999"), ("P9010", "P9100"),
    ("S0012", "S0200"), ("S1090", "S1091"), ("S4980", "S4999"), ("S5000", "S5014"), ("S5550", "S5553"),
];

/// Codes that are no drugs, under the letters whose codes are mostly drugs.
#[rustfmt::skip]
const Q_SERVICES: &[(&str, &str)] = &[
    ("Q0035", "Q0035"), ("Q0081", "Q0092"), ("Q0111", "Q0115"), ("Q0477", "Q0509"), ("Q1004", "Q1005"),
    ("Q3014", "Q3014"), ("Q4001", "Q4051"), ("Q5001", "Q5010"),
];

#[rustfmt::skip]
const C_SERVICES: &[(&str, &str)] = &[
    ("C1300", "C1300"), ("C1600", "C1999"), ("C2600", "C2999"), ("C5271", "C5278"), ("C7000", "C8999"), ("C9600", "C9899"),
];

/// Letters of HCPCS level II under which all other codes are no drugs.
const SERVICE_LETTERS: &str = "ABDEGHKLMPRSTUV";

/// CPT codes of products: immune globulins and vaccines.
const CPT_DRUGS: &[(&str, &str)] = &[("90281", "90399"), ("90476", "90759"), ("91300", "91399")];

/// X12 1365: pharmacy, prescription drugs of each kind, chemotherapy, immunizations.
const DRUG_SERVICE_TYPES: &[&str] = &[
    "78", "80", "88", "89", "90", "91", "92", "B2", "B3", "BW", "BX", "GF", "GN",
];

/// Judges a code of this system.
pub(super) fn of_coding(system: &str, code: &str) -> ServiceKind {
    let system = canonical(system);
    let found = match SYSTEMS.iter().find(|row| row.0 == system) {
        Some(row) => by_code(row.1, code),
        None if names_drug_system(&system) || DRUG_SYSTEMS.iter().any(|part| squeezed(&system).contains(part)) => Drug,
        None => Unknown,
    };
    // A HCPCS code of a drug counts as a drug in whatever system it is written.
    found.max(if hcpcs(&code.trim().to_ascii_uppercase()) == Drug {
        Drug
    } else {
        NoDrug
    })
}

/// Judges a code in the way that `codes` says.
pub(super) fn by_code(codes: CodeRule, code: &str) -> ServiceKind {
    match codes {
        _ if code.is_empty() => Unknown,
        CodeRule::Drugs => Drug,
        CodeRule::Services => NoDrug,
        CodeRule::Hcpcs => hcpcs(code),
        CodeRule::Procedures => procedure(code),
        CodeRule::Revenue => revenue(code),
        CodeRule::ServiceTypes if DRUG_SERVICE_TYPES.contains(&code.to_ascii_uppercase().as_str()) => Drug,
        CodeRule::ServiceTypes if code.len() <= 3 && code.bytes().all(|b| b.is_ascii_alphanumeric()) => NoDrug,
        CodeRule::ServiceTypes => Unknown,
    }
}

/// Judges a code of HCPCS level I (CPT) or II.
fn hcpcs(code: &str) -> ServiceKind {
    let among = |ranges: &[(&str, &str)]| ranges.iter().any(|(first, last)| (*first..=*last).contains(&code));
    let bytes = code.as_bytes();
    if bytes.len() != 5 {
        return Unknown;
    }
    let digits = |range: &[u8]| range.iter().all(u8::is_ascii_digit);
    match bytes[0] {
        b'0'..=b'9' if digits(&bytes[1..4]) && (bytes[4].is_ascii_digit() || bytes[4].is_ascii_uppercase()) => {
            if among(CPT_DRUGS) { Drug } else { NoDrug }
        }
        letter if letter.is_ascii_uppercase() && digits(&bytes[1..]) => {
            let service = match letter {
                b'Q' => among(Q_SERVICES),
                b'C' => among(C_SERVICES),
                other => SERVICE_LETTERS.contains(char::from(other)),
            };
            match (among(HCPCS_DRUGS), service) {
                (true, _) => Drug,
                (false, true) => NoDrug,
                (false, false) if letter == b'Q' => Drug,
                (false, false) => Unknown,
            }
        }
        _ => Unknown,
    }
}

/// Judges a code of ICD-10-PCS. Section 3 administers substances, and so does section X, group W (new technology).
fn procedure(code: &str) -> ServiceKind {
    let code = code.replace('.', "");
    let shape = code.len() == 7 && code.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
    match (shape, code.starts_with('3') || code.starts_with("XW")) {
        (true, false) => NoDrug,
        (true, true) => Drug,
        (false, _) => Unknown,
    }
}

/// Judges a revenue code. Drugs: pharmacy (025x, 063x, 089x), drugs of intravenous therapy, chemotherapy, radiopharmaceuticals.
fn revenue(code: &str) -> ServiceKind {
    let padded = format!("{code:0>4}");
    let shape = code.len() >= 3 && padded.len() == 4 && padded.bytes().all(|b| b.is_ascii_digit());
    let drug = ["025", "063", "089"].iter().any(|group| padded.starts_with(group))
        || ["0262", "0263", "0331", "0332", "0335", "0343", "0344"].contains(&padded.as_str());
    match (shape, drug) {
        (true, false) => NoDrug,
        (true, true) => Drug,
        (false, _) => Unknown,
    }
}

/// Parts of the names of other code systems of drugs.
const DRUG_SYSTEMS: &[&str] = &[
    "ndc",
    "rxnorm",
    "drug",
    "medispan",
    "fdb",
    "firstdatabank",
    "unii",
    "cvx",
    "pharm",
    "medication",
    "gpi",
    "multum",
];

/// Whether an unknown URL names a code system of drugs, by a part of its name.
pub(super) fn names_drug_system(url: &str) -> bool {
    let lower = url.to_ascii_lowercase();
    let mut words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    let squeezed = squeezed(url);
    DRUG_SYSTEMS.iter().any(|part| {
        if part.len() > 4 {
            squeezed.contains(part)
        } else {
            // Short parts also occur within other words.
            words.clone().any(|word| word.starts_with(part) || word.ends_with(part))
        }
    }) || words.any(|word| word == "prescription")
}
