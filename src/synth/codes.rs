//! The codes in synthetic records: a small ordinary selection, with units and ranges.

use serde_json::{Value, json};

pub(super) const SNOMED: &str = "http://snomed.info/sct";
pub(super) const LOINC: &str = "http://loinc.org";
pub(super) const RXNORM: &str = "http://www.nlm.nih.gov/research/umls/rxnorm";
pub(super) const CVX: &str = "http://hl7.org/fhir/sid/cvx";
pub(super) const NDC: &str = "http://hl7.org/fhir/sid/ndc";
pub(super) const ICD10: &str = "http://hl7.org/fhir/sid/icd-10-cm";
pub(super) const HCPCS: &str = "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets";
pub(super) const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";

/// A health problem, its medication, and its sensitivity.
pub(super) struct Problem {
    pub(super) snomed: &'static str,
    pub(super) icd10: &'static str,
    pub(super) name: &'static str,
    pub(super) drug: Drug,
    /// A code of v3-ActCode (information sensitivity), for a problem that is protected more than others by law or custom.
    pub(super) label: Option<&'static str>,
}

/// A medication: RxNorm code, name, NDC of a package.
#[derive(Clone, Copy)]
pub(super) struct Drug(
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) &'static str,
);

const fn problem(
    snomed: &'static str,
    icd10: &'static str,
    name: &'static str,
    drug: Drug,
    label: Option<&'static str>,
) -> Problem {
    Problem {
        snomed,
        icd10,
        name,
        drug,
        label,
    }
}

pub(super) const PROBLEMS: &[Problem] = &[
    problem(
        "44054006",
        "E11.9",
        "Type 2 diabetes mellitus",
        Drug(
            "860975",
            "24 HR metformin hydrochloride 500 MG Extended Release Oral Tablet",
            "00093-7267-01",
        ),
        None,
    ),
    problem(
        "38341003",
        "I10",
        "Hypertensive disorder",
        Drug("314076", "lisinopril 10 MG Oral Tablet", "00143-1267-01"),
        None,
    ),
    problem(
        "195967001",
        "J45.909",
        "Asthma",
        Drug(
            "745679",
            "200 ACTUAT albuterol 0.09 MG/ACTUAT Metered Dose Inhaler",
            "00173-0682-20",
        ),
        None,
    ),
    problem(
        "55822004",
        "E78.5",
        "Hyperlipidemia",
        Drug("617311", "atorvastatin 40 MG Oral Tablet", "00071-0157-23"),
        None,
    ),
    problem(
        "40930008",
        "E03.9",
        "Hypothyroidism",
        Drug("966224", "levothyroxine sodium 0.05 MG Oral Tablet", "00074-4552-90"),
        None,
    ),
    problem(
        "235595009",
        "K21.9",
        "Gastroesophageal reflux disease",
        Drug(
            "402014",
            "omeprazole 20 MG Delayed Release Oral Capsule",
            "00378-6150-93",
        ),
        None,
    ),
    problem(
        "37796009",
        "G43.909",
        "Migraine",
        Drug("313161", "sumatriptan 50 MG Oral Tablet", "00173-0736-01"),
        None,
    ),
    problem(
        "396275006",
        "M19.90",
        "Osteoarthritis",
        Drug("198014", "naproxen 500 MG Oral Tablet", "00093-0149-01"),
        None,
    ),
];

pub(super) const SENSITIVE: &[Problem] = &[
    problem(
        "35489007",
        "F32.9",
        "Depressive disorder",
        Drug("312941", "sertraline 50 MG Oral Tablet", "00049-4900-66"),
        Some("PSY"),
    ),
    problem(
        "75544000",
        "F11.20",
        "Opioid dependence",
        Drug(
            "1010600",
            "buprenorphine 2 MG / naloxone 0.5 MG Oral Strip",
            "12496-1202-03",
        ),
        Some("ETH"),
    ),
    problem(
        "86406008",
        "B20",
        "Human immunodeficiency virus infection",
        Drug(
            "1747691",
            "bictegravir 50 MG / emtricitabine 200 MG / tenofovir alafenamide 25 MG Oral Tablet",
            "61958-2501-01",
        ),
        Some("HIV"),
    ),
];

/// A measurement: LOINC code, name, UCUM unit, lowest and highest value in hundredths.
pub(super) struct Measurement(
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) i64,
    pub(super) i64,
);

pub(super) const LABS: &[Measurement] = &[
    Measurement("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "%", 450, 980),
    Measurement(
        "2093-3",
        "Cholesterol [Mass/volume] in Serum or Plasma",
        "mg/dL",
        13_000,
        27_000,
    ),
    Measurement(
        "2085-9",
        "Cholesterol in HDL [Mass/volume] in Serum or Plasma",
        "mg/dL",
        3_000,
        8_500,
    ),
    Measurement(
        "2160-0",
        "Creatinine [Mass/volume] in Serum or Plasma",
        "mg/dL",
        55,
        180,
    ),
    Measurement(
        "2345-7",
        "Glucose [Mass/volume] in Serum or Plasma",
        "mg/dL",
        7_000,
        19_000,
    ),
    Measurement("718-7", "Hemoglobin [Mass/volume] in Blood", "g/dL", 1_050, 1_750),
    Measurement(
        "6690-2",
        "Leukocytes [#/volume] in Blood by Automated count",
        "10*3/uL",
        350,
        1_250,
    ),
    Measurement(
        "2951-2",
        "Sodium [Moles/volume] in Serum or Plasma",
        "mmol/L",
        13_200,
        14_700,
    ),
    Measurement(
        "3016-3",
        "Thyrotropin [Units/volume] in Serum or Plasma",
        "m[IU]/L",
        40,
        650,
    ),
];

pub(super) const VITALS: &[Measurement] = &[
    Measurement("8867-4", "Heart rate", "/min", 5_200, 10_400),
    Measurement("29463-7", "Body weight", "kg", 4_500, 12_500),
    Measurement("8302-2", "Body height", "cm", 14_800, 19_600),
    Measurement("8310-5", "Body temperature", "Cel", 3_600, 3_880),
];

/// Vaccines: CVX code and name.
pub(super) const VACCINES: &[(&str, &str)] = &[
    ("140", "Influenza, seasonal, injectable, preservative free"),
    ("115", "Tdap"),
    ("133", "Pneumococcal conjugate PCV 13"),
    ("187", "zoster recombinant"),
    ("208", "COVID-19, mRNA, LNP-S, PF, 30 mcg/0.3 mL dose"),
    ("03", "MMR"),
];

/// Procedures: SNOMED CT code and name.
pub(super) const PROCEDURES: &[(&str, &str)] = &[
    ("73761001", "Colonoscopy"),
    ("168537006", "Plain radiography"),
    ("127783003", "Spirometry"),
    ("29303009", "Electrocardiographic procedure"),
    ("241615005", "Magnetic resonance imaging of breast"),
    ("91251008", "Physical therapy procedure"),
];

/// Services that are claimed: HCPCS level II code and name.
pub(super) const SERVICES: &[(&str, &str)] = &[
    (
        "G0439",
        "Annual wellness visit, includes a personalized prevention plan of service, subsequent visit",
    ),
    (
        "G0463",
        "Hospital outpatient clinic visit for assessment and management of a patient",
    ),
    (
        "G0121",
        "Colorectal cancer screening; colonoscopy on individual not meeting criteria for high risk",
    ),
    (
        "G0108",
        "Diabetes outpatient self-management training services, individual, per 30 minutes",
    ),
];

/// Items and services that need prior authorization: HCPCS level II code and name.
pub(super) const AUTHORIZED: &[(&str, &str)] = &[
    ("E0601", "Continuous positive airway pressure (CPAP) device"),
    ("E1390", "Oxygen concentrator, single delivery port"),
    (
        "G0151",
        "Services performed by a qualified physical therapist in the home health or hospice setting, each 15 minutes",
    ),
    (
        "L1832",
        "Knee orthosis, adjustable knee joints (unicentric or polycentric), positional orthosis",
    ),
    ("K0823", "Power wheelchair, group 2 standard, captains chair"),
];

/// Allergies: SNOMED CT code and name.
pub(super) const ALLERGENS: &[(&str, &str)] = &[
    ("764146007", "Penicillin"),
    ("256277009", "Grass pollen"),
    ("102263004", "Eggs (edible)"),
    ("111088007", "Latex"),
    ("387207008", "Ibuprofen"),
];

/// A CodeableConcept with one coding and its text.
pub(super) fn concept(system: &str, code: &str, display: &str) -> Value {
    json!({"coding": [{"system": system, "code": code, "display": display}], "text": display})
}

/// A CodeableConcept with one coding without a display.
pub(super) fn coded(system: &str, code: &str) -> Value {
    json!({"coding": [{"system": system, "code": code}]})
}

/// A Reference.
pub(super) fn refer(kind: &str, id: &str) -> Value {
    json!({"reference": format!("{kind}/{id}")})
}

/// `hundredths` as a decimal with two places.
pub(super) fn decimal(hundredths: i64) -> Value {
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    text.parse().map_or(Value::from(hundredths / 100), Value::Number)
}

/// An amount of money in US dollars.
pub(super) fn usd(cents: i64) -> Value {
    json!({"value": decimal(cents), "currency": "USD"})
}
