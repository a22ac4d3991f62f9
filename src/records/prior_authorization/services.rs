//! What a prior authorization is for: a drug, something that is known to be no drug, or something that nobody knows.
//!
//! HCPCS level II holds drugs and services, so its codes are judged one by one, in whatever system they are written. Code
//! systems that are not listed here are not known, and neither is what they name.
//!
//! Source: CMS HCPCS level II quarterly file (ranges by letter), AMA CPT sections, NUBC revenue codes, X12 1365 service types.

use super::words::of_text;
use super::{canonical, squeezed, text_of};
use crate::fhir::prescreen::{Kind, Value};

/// What something is, by its codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Service {
    /// Known to be no drug.
    NoDrug,
    /// Nobody knows.
    Unknown,
    /// A drug, or a drug is a part of it.
    Drug,
}

use Service::{Drug, NoDrug, Unknown};

/// How the codes of a system are judged.
#[derive(Clone, Copy)]
enum Codes {
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

/// Code systems without scheme, `www.`, version and slash at the end, in lower case.
#[rustfmt::skip]
const SYSTEMS: &[(&str, Codes)] = &[
    ("ama-assn.org/go/cpt", Codes::Hcpcs),
    ("urn:oid:2.16.840.1.113883.6.12", Codes::Hcpcs),
    ("terminology.hl7.org/codesystem/cpt", Codes::Hcpcs),
    ("cms.gov/medicare/coding/hcpcsreleasecodesets", Codes::Hcpcs),
    ("cms.gov/medicare/coding/medhcpcsgeninfo", Codes::Hcpcs),
    ("terminology.hl7.org/codesystem/hcpcs", Codes::Hcpcs),
    ("terminology.hl7.org/codesystem/hcpcs-level-ii", Codes::Hcpcs),
    ("bluebutton.cms.gov/resources/codesystem/hcpcs", Codes::Hcpcs),
    ("bluebutton.cms.gov/resources/variables/hcpcs_cd", Codes::Hcpcs),
    ("urn:oid:2.16.840.1.113883.6.14", Codes::Hcpcs),
    ("urn:oid:2.16.840.1.113883.6.285", Codes::Hcpcs),
    ("ada.org/cdt", Codes::Hcpcs),
    ("ada.org/en/publications/cdt", Codes::Hcpcs),
    ("urn:oid:2.16.840.1.113883.6.13", Codes::Hcpcs),
    ("cms.gov/medicare/coding/icd10", Codes::Procedures),
    ("hl7.org/fhir/sid/icd-10-pcs", Codes::Procedures),
    ("urn:oid:2.16.840.1.113883.6.4", Codes::Procedures),
    ("nubc.org/codesystem/revenuecodes", Codes::Revenue),
    ("urn:oid:2.16.840.1.113883.6.301.3", Codes::Revenue),
    ("codesystem.x12.org/005010/1365", Codes::ServiceTypes),
    ("x12.org/codes/service-type-codes", Codes::ServiceTypes),
    ("cms.gov/medicare/medicare-fee-for-service-payment/prospmedicarefeesvcpmtgen/hippscodes", Codes::Services),
    ("loinc.org", Codes::Services),
    ("urn:oid:2.16.840.1.113883.6.1", Codes::Services),
    ("hl7.org/fhir/sid/ndc", Codes::Drugs),
    ("urn:oid:2.16.840.1.113883.6.69", Codes::Drugs),
    ("nlm.nih.gov/research/umls/rxnorm", Codes::Drugs),
    ("urn:oid:2.16.840.1.113883.6.88", Codes::Drugs),
    ("hl7.org/fhir/sid/cvx", Codes::Drugs),
    ("urn:oid:2.16.840.1.113883.12.292", Codes::Drugs),
    ("fdasis.nlm.nih.gov", Codes::Drugs),
    ("urn:oid:2.16.840.1.113883.4.9", Codes::Drugs),
    ("whocc.no/atc", Codes::Drugs),
    ("urn:oid:2.16.840.1.113883.6.73", Codes::Drugs),
    ("hl7.org/fhir/ndfrt", Codes::Drugs),
    ("terminology.hl7.org/codesystem/medrt", Codes::Drugs),
    ("urn:oid:2.16.840.1.113883.6.68", Codes::Drugs), // Medi-Span GPI
    ("terminology.hl7.org/codesystem/mspan", Codes::Drugs),
    ("urn:oid:2.16.840.1.113883.6.64", Codes::Drugs), // First Databank
    ("terminology.hl7.org/codesystem/fdb", Codes::Drugs),
];
/// Parts of the names of other systems of drugs.
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

/// Codes of HCPCS level II, first and last, that are drugs, biologicals, blood products, radiopharmaceuticals or their supply.
#[rustfmt::skip]
const HCPCS_DRUGS: &[(&str, &str)] = &[
    ("A4641", "A4642"), ("A4802", "A4802"), ("A9150", "A9153"), ("A9500", "A9899"), ("B4164", "B5200"), ("C1000", "C1199"), ("C9000", "C9599"),
    ("D9610", "D9613"), ("D9630", "D9630"), ("G0138", "G0138"), ("G0333", "G0333"), ("G1028", "G1028"), ("G2067", "G2083"),
    ("G2215", "G2216"), ("G9017", "G9036"), ("H0020", "H0020"), ("J0000", "J9999"), ("P9010", "P9100"),
    ("S0012", "S0200"), ("S1090", "S1091"), ("S4980", "S4999"), ("S5000", "S5014"), ("S5550", "S5553"),
];
/// The codes that are no drugs in letters where drugs are the rule.
#[rustfmt::skip]
const Q_SERVICES: &[(&str, &str)] = &[
    ("Q0035", "Q0035"), ("Q0081", "Q0092"), ("Q0111", "Q0115"), ("Q0477", "Q0509"), ("Q1004", "Q1005"),
    ("Q3014", "Q3014"), ("Q4001", "Q4051"), ("Q5001", "Q5010"),
];
#[rustfmt::skip]
const C_SERVICES: &[(&str, &str)] = &[
    ("C1300", "C1300"), ("C1600", "C1999"), ("C2600", "C2999"), ("C5271", "C5278"), ("C7000", "C8999"), ("C9600", "C9899"),
];
/// Letters of HCPCS level II under which everything else is no drug.
const SERVICE_LETTERS: &str = "ABDEGHKLMPRSTUV";
/// CPT codes of products: immune globulins, vaccines.
const CPT_DRUGS: &[(&str, &str)] = &[("90281", "90399"), ("90476", "90759"), ("91300", "91399")];
/// Modifiers that only lines for drugs bear: route, waste, 340B, competitive acquisition, parts of a dose.
const DRUG_MODIFIERS: &[&str] = &[
    "JA", "JB", "JG", "JW", "JZ", "TB", "KD", "KO", "KP", "KQ", "J1", "J2", "J3", "RD",
];
/// X12 1365: pharmacy, prescription drugs of each kind, chemotherapy, immunizations.
const DRUG_SERVICE_TYPES: &[&str] = &[
    "78", "80", "88", "89", "90", "91", "92", "B2", "B3", "BW", "BX", "GF", "GN",
];
/// Kinds of supporting information that only dispensed drugs have (CARIN).
const DRUG_SUPPORT: &[&str] = &[
    "dayssupply",
    "dawcode",
    "refillnum",
    "refillsauthorized",
    "rxorigincode",
    "brandgenericindicator",
    "compoundcode",
];
const CLAIM_TYPES: [&str; 2] = ["terminology.hl7.org/codesystem/claim-type", "hl7.org/fhir/ex-claimtype"];
/// Claim types other than pharmacy.
const OTHER_TYPES: [&str; 4] = ["institutional", "oral", "professional", "vision"];
/// What `root` is for; the worst of everything it names.
pub(super) fn of(root: &Value<'_>, rtype: &str) -> Service {
    let mut worst = claim_type(root);
    for reference in root
        .all(&["prescription"])
        .iter()
        .chain(&root.all(&["originalPrescription"]))
    {
        let text = text_of(reference, "reference");
        let device = ["DeviceRequest/", "VisionPrescription/"]
            .iter()
            .any(|kind| text.starts_with(kind));
        worst = worst.max(if device { NoDrug } else { Drug });
    }
    for coding in root.all(&["supportingInfo", "category", "coding"]) {
        if DRUG_SUPPORT.contains(&squeezed(&text_of(&coding, "code")).as_str()) {
            worst = Drug;
        }
    }
    // A code of a drug may stand beside the lines: in what supports them, or in an extension of the whole.
    for member in root.members() {
        if ["extension", "supportingInfo", "procedure", "programCode"].contains(&member.key()) && names_drug(&member) {
            worst = Drug;
        }
    }
    // The answer to a request names the request's lines by number alone.
    let numbered = rtype == "ClaimResponse";
    for line in root.all(&["item"]) {
        worst = worst.max(of_line(&line, !numbered));
    }
    for line in root.all(&["addItem"]) {
        worst = worst.max(of_line(&line, true));
    }
    worst
}

/// A line with its details. `named`: it has to say what it is for.
fn of_line(line: &Value<'_>, named: bool) -> Service {
    let mut worst = if named && line.get("productOrService").is_none() {
        Unknown
    } else {
        NoDrug
    };
    within(line, &mut worst);
    if names_drug(line) { Drug } else { worst }
}

/// Whether something below `value`, in whatever element, is a code or a number of a drug, or an extension that tells of one.
fn names_drug(value: &Value<'_>) -> bool {
    let of_drugs = |system: &str| {
        let system = canonical(system);
        match SYSTEMS.iter().find(|row| row.0 == system) {
            Some(row) => matches!(row.1, Codes::Drugs),
            None => names_drug_system(&system),
        }
    };
    let names = match value.kind() {
        Kind::Object => {
            let url = text_of(value, "url");
            of_drugs(&text_of(value, "system")) || value.get("url").is_some() && names_drug_system(&url)
        }
        // A code system in a text, as FHIR's tokens are written.
        Kind::String => value.key().starts_with("value") && value.text().is_some_and(|text| of_token(&text, &of_drugs)),
        Kind::Array => false,
        _ => return false,
    };
    names || value.members().chain(value.items()).any(|child| names_drug(&child))
}

/// `system|code`.
fn of_token(text: &str, of_drugs: &impl Fn(&str) -> bool) -> bool {
    text.split_once('|').is_some_and(|(system, _)| of_drugs(system))
}

/// Whether a URL that is not known is one of drugs, by a part of its name.
fn names_drug_system(url: &str) -> bool {
    let lower = url.to_ascii_lowercase();
    let mut words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    let squeezed = squeezed(url);
    DRUG_SYSTEMS.iter().any(|part| {
        if part.len() > 4 {
            squeezed.contains(part)
        } else {
            // Three letters stand within other words too.
            words.clone().any(|word| word.starts_with(part) || word.ends_with(part))
        }
    }) || words.any(|word| word == "prescription")
}

/// Everything below `value` that names a product or a service.
fn within(value: &Value<'_>, worst: &mut Service) {
    for member in value.members().chain(value.items()) {
        let found = match member.key() {
            "productOrService" | "productOrServiceEnd" => each(&member, concept),
            "revenue" => each(&member, |one| by_codings(one, Codes::Revenue)),
            "category" => each(&member, category),
            "modifier" => each(&member, modifier),
            "reference" if medication(&member) => Drug,
            // PAS: what was authorized in place of what was asked for.
            "valueCodeableConcept" if text_of(value, "url").starts_with("productOrServiceCode") => {
                each(&member, concept)
            }
            _ => NoDrug,
        };
        *worst = (*worst).max(found);
        if matches!(member.kind(), Kind::Object | Kind::Array) {
            within(&member, worst);
        }
    }
}

/// The worst of a member that may be one or several.
fn each(value: &Value<'_>, judge: impl Fn(&Value<'_>) -> Service) -> Service {
    if value.kind() == Kind::Array {
        value.items().map(|item| judge(&item)).max().unwrap_or(Unknown)
    } else {
        judge(value)
    }
}

/// A line may refer to what is asked for: a request for a medication is one for a drug.
fn medication(reference: &Value<'_>) -> bool {
    let text = reference.text().unwrap_or_default();
    let before = text.split("/_history").next().unwrap_or_default();
    let mut parts = before.rsplit('/');
    parts
        .nth(1)
        .is_some_and(|rtype| rtype.starts_with("Medication") || rtype == "Immunization")
}

/// A product or a service.
fn concept(value: &Value<'_>) -> Service {
    let codings = value.all(&["coding"]);
    if codings.is_empty() {
        // No code at all: the text is all that is told.
        return of_text(&text_of(value, "text"));
    }
    codings
        .iter()
        .map(|coding| of_coding(&text_of(coding, "system"), &text_of(coding, "code")))
        .max()
        .unwrap_or(Unknown)
}

fn of_coding(system: &str, code: &str) -> Service {
    let system = canonical(system);
    let found = match SYSTEMS.iter().find(|row| row.0 == system) {
        Some(row) => by_code(row.1, code),
        None if names_drug_system(&system) || DRUG_SYSTEMS.iter().any(|part| squeezed(&system).contains(part)) => Drug,
        None => Unknown,
    };
    // A code of HCPCS that is a drug is one in whatever system it is written.
    found.max(if hcpcs(&code.trim().to_ascii_uppercase()) == Drug {
        Drug
    } else {
        NoDrug
    })
}

fn by_code(codes: Codes, code: &str) -> Service {
    match codes {
        _ if code.is_empty() => Unknown,
        Codes::Drugs => Drug,
        Codes::Services => NoDrug,
        Codes::Hcpcs => hcpcs(code),
        Codes::Procedures => procedure(code),
        Codes::Revenue => revenue(code),
        Codes::ServiceTypes if DRUG_SERVICE_TYPES.contains(&code.to_ascii_uppercase().as_str()) => Drug,
        Codes::ServiceTypes if code.len() <= 3 && code.bytes().all(|b| b.is_ascii_alphanumeric()) => NoDrug,
        Codes::ServiceTypes => Unknown,
    }
}

/// A code of HCPCS level I (CPT) or II.
fn hcpcs(code: &str) -> Service {
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

/// ICD-10-PCS. Section 3 administers substances; new technology (X) W does too.
fn procedure(code: &str) -> Service {
    let code = code.replace('.', "");
    let shape = code.len() == 7 && code.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
    match (shape, code.starts_with('3') || code.starts_with("XW")) {
        (true, false) => NoDrug,
        (true, true) => Drug,
        (false, _) => Unknown,
    }
}

/// Pharmacy (025x, 063x, 089x), drugs of intravenous therapy, chemotherapy, radiopharmaceuticals.
fn revenue(code: &str) -> Service {
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

/// A concept beside the product: only what is known to mean a drug counts.
fn by_codings(value: &Value<'_>, codes: Codes) -> Service {
    let codings = value.all(&["coding"]);
    let drug = codings
        .iter()
        .any(|coding| by_code(codes, &text_of(coding, "code")) == Drug);
    if drug { Drug } else { NoDrug }
}

/// The category of a line: a service type, or words.
fn category(value: &Value<'_>) -> Service {
    let words = |value: &Value<'_>, name: &str| {
        let text = squeezed(&text_of(value, name));
        ["pharm", "drug", "medication", "prescription"]
            .iter()
            .any(|part| text.contains(part))
    };
    let coded = value.all(&["coding"]).iter().any(|coding| {
        let system = canonical(&text_of(coding, "system"));
        let drug = matches!(SYSTEMS.iter().find(|row| row.0 == system), Some((_, codes)) if by_code(*codes, &text_of(coding, "code")) == Drug);
        drug || words(coding, "code") || words(coding, "display")
    });
    if coded || words(value, "text") { Drug } else { NoDrug }
}

fn modifier(value: &Value<'_>) -> Service {
    let drug = value.all(&["coding"]).iter().any(|coding| {
        let code = text_of(coding, "code").trim().to_ascii_uppercase();
        DRUG_MODIFIERS.contains(&code.as_str())
    });
    if drug { Drug } else { NoDrug }
}

/// `type` and `subType`: no pharmacy in any spelling, and a type that is recognized.
fn claim_type(root: &Value<'_>) -> Service {
    let concepts: Vec<Value<'_>> = root.all(&["type"]).into_iter().chain(root.all(&["subType"])).collect();
    let drug = |text: String| {
        let text = squeezed(&text);
        text.contains("pharm") || text.contains("drug") || text.contains("medication") || text == "rx"
    };
    let mut known = false;
    for concept in &concepts {
        if drug(text_of(concept, "text")) {
            return Drug;
        }
        for coding in concept.all(&["coding"]) {
            if drug(text_of(&coding, "code")) || drug(text_of(&coding, "display")) {
                return Drug;
            }
            known |= CLAIM_TYPES.contains(&canonical(&text_of(&coding, "system")).as_str())
                && coding
                    .get("code")
                    .is_some_and(|code| OTHER_TYPES.iter().any(|one| code.is(one)));
        }
    }
    if known { NoDrug } else { Unknown }
}
