//! Judges a product or service that has only a text: the only place where words decide.
//!
//! No list contains all names of drugs. So a text counts as a service only when all of its words are known names of services, parts of the
//! body and equipment. Words for drugs are searched first, so that the reason is correct.

/// What a product or service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ServiceKind {
    /// Known to be no drug.
    NoDrug,
    /// Unknown.
    Unknown,
    /// A drug, or a drug is a part of it.
    Drug,
}

/// Words for drugs, which count anywhere in a text.
#[rustfmt::skip]
const DRUG_WORDS: &[&str] = &[
    "drug", "medication", "medicine", "pharm", "tablet", "capsule", "inject", "infus", "vial", "inhaler", "syringe", "vaccin",
    "immuniz", "biologic", "biosimilar", "insulin", "antibiotic", "steroid", "opioid", "chemo", "prescription",
    "immunoglobulin", "globulin", "hormone", "contrast", "dose", "dosage", "ointment", "cream", "solution", "suspension",
    "botox", "toxin", "serum", "plasma", "ndc", "formulary", "gene therapy",
];
/// Typical endings of drug names (USAN stems).
#[rustfmt::skip]
const DRUG_ENDINGS: &[&str] = &[
    "mab", "nib", "statin", "pril", "sartan", "cillin", "mycin", "micin", "gliptin", "gliflozin", "glutide", "prazole",
    "olol", "azepam", "azolam", "oxetine", "vir", "cept", "tide", "setron", "triptan", "parin", "xaban", "caine", "dronate",
    "leucel", "ciclib", "rasib", "platin", "taxel",
];
const DRUG_UNITS: &[&str] = &["mg", "mcg", "ug", "ml", "iu", "meq"];

/// Words for services. A text with any other word is unknown. A plural counts like its singular.
#[rustfmt::skip]
const SERVICE_WORDS: &[&str] = &[
    "a", "abdomen", "abdominal", "acute", "additional", "admission", "adult", "aid", "air", "ambulance", "ambulatory", "an",
    "and", "angiography", "ankle", "aortic", "appendectomy", "arm", "artery", "arthroplasty", "arthroscopy", "artificial",
    "assessment", "assistance", "at", "audiology", "autism", "back", "bariatric", "bath", "bathroom", "bed", "behavior",
    "behavioral", "bilateral", "biopsy", "bone", "brace", "brain", "breast", "bridge", "bypass", "by", "cardiac", "care", "cardiology",
    "cast", "cataract", "catheter", "catheterization", "center", "cervical", "chair", "chest", "child", "chiropractic",
    "cholecystectomy", "clinic", "cochlear", "cognitive", "colonoscopy", "commode", "community", "complete", "computed",
    "consult", "consultation", "coronary", "counseling", "cpap", "crown", "crutch", "ct", "custodial", "day", "delivery",
    "dental", "denture", "dermatology", "device", "diabetes", "diagnostic", "dialysis", "disc", "doctor", "doppler", "durable",
    "echocardiogram", "education", "elbow", "electric", "emergency", "endoscopy", "equipment", "evaluation", "exam",
    "examination", "exercise", "external", "extremity", "eye", "facility", "family", "fitting", "foot", "for", "full",
    "follow", "fracture", "fusion", "gait", "gastric", "general", "genetic", "glasses", "graft", "group", "habilitation",
    "hand", "head", "health", "hearing", "heart", "hernia", "hip", "home", "hospice", "hospital", "hospitalization", "hour",
    "house", "hysterectomy", "imaging", "implant", "in", "individual", "initial", "inpatient", "intensive", "internal",
    "invasive", "joint", "kidney", "knee", "lab", "laboratory", "left", "leg", "lens", "level", "lift", "liver", "long", "low",
    "lower", "lumbar", "lung", "magnetic", "mammogram", "mammography", "manual", "massage", "mastectomy", "maternity",
    "mattress", "mechanical", "medical", "mental", "minimally", "monitor", "monitoring", "mri", "neck", "new", "newborn",
    "night", "non", "nurse", "nursing", "nutrition", "observation", "occupational", "of", "office", "on", "oncology", "open",
    "ophthalmology", "oral", "orthodontic", "orthopedic", "orthosis", "orthotic", "outpatient", "oxygen", "pain", "partial",
    "patient", "pediatric", "pelvis", "per", "personal", "pet", "physical", "physician", "podiatry", "portable", "post",
    "power", "pregnancy", "prenatal", "private", "procedure", "program", "prosthesis", "prosthetic", "provider",
    "psychiatric", "psychological", "psychotherapy", "pulmonary", "pump", "radiation", "radiology", "rehabilitation", "removal",
    "renal", "rental", "repair", "replacement", "residential", "resonance", "respiratory", "respite", "revision", "right",
    "room", "root", "routine", "scan", "screening", "second", "semi", "service", "session", "shoe", "short", "shoulder",
    "skilled", "sleep", "social", "specialist", "specialty", "speech", "spinal", "spine", "standard", "stay", "study",
    "supply", "support", "surgery", "surgical", "telehealth", "term", "test", "testing", "the", "therapist", "therapy",
    "thoracic", "to", "tomography", "tonsillectomy", "total", "training", "transfer", "transplant", "transplantation",
    "transportation", "treatment", "ultrasound", "unit", "up", "upper", "urgent", "vascular", "vein", "ventilator",
    "vision", "visit", "walker", "wheelchair", "with", "without", "work", "wound", "wrist", "xray",
];

/// Judges a text without a code.
pub(super) fn of_text(text: &str) -> ServiceKind {
    if tell_drug(text) {
        ServiceKind::Drug
    } else if names_service(text) {
        ServiceKind::NoDrug
    } else {
        ServiceKind::Unknown
    }
}

/// Whether a text is about a drug: by a word, by an ending of drug names, or by a strength.
fn tell_drug(text: &str) -> bool {
    let lower = text.to_lowercase();
    let word = |word: &str| {
        let letters = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ',');
        word == "rx"
            || DRUG_UNITS.contains(&letters)
            || word.len() > 5 && DRUG_ENDINGS.iter().any(|end| word.ends_with(end))
    };
    DRUG_WORDS.iter().any(|part| lower.contains(part))
        || lower
            .split(|c: char| !c.is_alphanumeric() && c != '.' && c != ',')
            .any(word)
}

/// Whether every word is a word for services, and there is at least one.
fn names_service(text: &str) -> bool {
    let lower = text.to_lowercase().replace("x-ray", "xray");
    let mut words = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty() && !word.bytes().all(|byte| byte.is_ascii_digit()))
        .peekable();
    let known = |word: &str| {
        let is = |word: &str| SERVICE_WORDS.contains(&word);
        is(word)
            || word.strip_suffix('s').is_some_and(is)
            || word.strip_suffix("es").is_some_and(is)
            || word.strip_suffix("ies").is_some_and(|stem| is(&format!("{stem}y")))
    };
    words.peek().is_some() && words.all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_service_only_when_all_of_its_words_are() {
        for text in [
            "therapy",
            "Physical Therapy Visits",
            "MRI of the left knee without contrast",
            "Home nursing visit",
            "Hospital bed, semi-electric",
            "Chest X-ray",
            "Transplant surgeries",
            "Wheelchair rental (12)",
        ] {
            let contrast = text.contains("contrast");
            let right = if contrast {
                ServiceKind::Drug
            } else {
                ServiceKind::NoDrug
            };
            assert_eq!(of_text(text), right, "{text}");
        }
        for text in [
            "Humira",
            "Keytruda therapy",
            "Ozempic (per month)",
            "Eliquis",
            "Dupixent treatment",
            "ocrelizumabi",
            "12",
            " ",
            "Zolgensma",
            "Стелара",
            "Hum1ra",
            "EPO",
        ] {
            assert_eq!(of_text(text), ServiceKind::Unknown, "{text}");
        }
        assert_eq!(of_text("Gene therapy"), ServiceKind::Drug);
        assert_eq!(of_text("Adalimumab therapy"), ServiceKind::Drug);
    }
}
