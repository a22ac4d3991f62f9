//! The fields of the operations: which a request must have, may have and must not have, and which values the server derives.
//!
//! Data only. The OperationDefinitions and docs/partners/fields.md are made from it; what refuses a request is elsewhere, and
//! `tests/it/operation_fields.rs` compares the two over the wire.

/// Whether a field has to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldPresence {
    /// Without it the request is refused.
    Mandatory,
    /// It is used when it is there.
    Optional,
    /// The server makes it. It cannot be sent.
    Derived,
    /// With it the request is refused.
    Prohibited,
}

impl FieldPresence {
    /// Every need, in the order in which fields are told.
    pub const ALL: [FieldPresence; 4] = [
        FieldPresence::Mandatory,
        FieldPresence::Optional,
        FieldPresence::Derived,
        FieldPresence::Prohibited,
    ];

    /// The word of the documentation.
    pub const fn word(self) -> &'static str {
        match self {
            FieldPresence::Mandatory => "Mandatory",
            FieldPresence::Optional => "Optional",
            FieldPresence::Derived => "Derived",
            FieldPresence::Prohibited => "Prohibited",
        }
    }
}

/// A field of a resource in a parameter, or a value that the server derives.
#[derive(Clone, Copy, Debug)]
pub struct OperationField {
    /// Its path below the resource. Of several with ` or ` between them, one is enough.
    pub path: &'static str,
    /// Whether it has to be sent.
    pub need: FieldPresence,
    /// What it holds.
    pub text: &'static str,
}

/// A parameter of an operation.
#[derive(Clone, Copy, Debug)]
pub struct OperationPart {
    /// Its name.
    pub name: &'static str,
    /// `in` or `out`.
    pub direction: &'static str,
    /// How often at least.
    pub min: u8,
    /// How often at most.
    pub max: &'static str,
    /// Its FHIR type.
    pub kind: &'static str,
    /// What it is.
    pub text: &'static str,
    /// The fields of its resource, where there are rules for them.
    pub fields: &'static [OperationField],
}

impl OperationPart {
    /// Whether it has to be sent.
    pub const fn need(&self) -> FieldPresence {
        match (self.direction.as_bytes(), self.min) {
            (b"out", _) => FieldPresence::Derived,
            (_, 0) => FieldPresence::Optional,
            _ => FieldPresence::Mandatory,
        }
    }

    /// All that is said about it, in one text.
    pub fn documentation(&self) -> String {
        let mut text = format!("{}. {}", self.need().word(), self.text);
        for need in FieldPresence::ALL {
            let fields: Vec<String> = self
                .fields
                .iter()
                .filter(|field| field.need == need)
                .map(|field| format!("{} ({})", field.path, field.text))
                .collect();
            if !fields.is_empty() {
                text.push_str(&format!(" {}: {}.", need.word(), fields.join("; ")));
            }
        }
        text
    }
}

/// An operation.
#[derive(Clone, Copy, Debug)]
pub struct OperationFields {
    /// Its code, without the dollar sign.
    pub code: &'static str,
    /// Its parameters.
    pub parts: &'static [OperationPart],
    /// What the server derives for a request, beside its parameters.
    pub derived: &'static [OperationField],
}

impl OperationFields {
    /// What the words mean and what is derived, in Markdown.
    pub fn comment(&self) -> String {
        let mut text = String::from(
            "Mandatory fields must be sent; without one the request is refused. Optional fields are used when they are sent. Derived values are \
             made by the server and cannot be sent. Prohibited fields must be left out; with one the request is refused. Fields that are not \
             named here are checked against R4 and not used.\n",
        );
        for field in self.derived {
            text.push_str(&format!(
                "\n* {}: {}: {}.",
                FieldPresence::Derived.word(),
                field.path,
                field.text
            ));
        }
        text
    }
}

const fn must(path: &'static str, text: &'static str) -> OperationField {
    let need = FieldPresence::Mandatory;
    OperationField { path, need, text }
}

const fn may(path: &'static str, text: &'static str) -> OperationField {
    let need = FieldPresence::Optional;
    OperationField { path, need, text }
}

const fn made(path: &'static str, text: &'static str) -> OperationField {
    let need = FieldPresence::Derived;
    OperationField { path, need, text }
}

const fn never(path: &'static str, text: &'static str) -> OperationField {
    let need = FieldPresence::Prohibited;
    OperationField { path, need, text }
}

/// A parameter that holds a resource, or an answer; at most one.
const fn part(
    name: &'static str,
    direction: &'static str,
    min: u8,
    kind: &'static str,
    text: &'static str,
    fields: &'static [OperationField],
) -> OperationPart {
    OperationPart {
        name,
        direction,
        min,
        max: "1",
        kind,
        text,
        fields,
    }
}

/// A parameter that a request may have.
const fn option(name: &'static str, max: &'static str, kind: &'static str, text: &'static str) -> OperationPart {
    OperationPart {
        name,
        direction: "in",
        min: 0,
        max,
        kind,
        text,
        fields: &[],
    }
}

const RULES_UNKNOWN: &str = "the server does not follow rules that it does not know";
const MEANING_CHANGED: &str = "it could change the meaning of the resource";
const OTHER_PERSON: &str = "it must not contain a Patient: the member is MemberPatient alone";
const NO_FILTER: &str = "HRex allows no filter in this consent";

const PATIENT: &[OperationField] = &[
    must(
        "id",
        "1 to 64 letters, digits, hyphens and dots; the other resources refer to it as Patient/[id]",
    ),
    must("name", "at least one with family and given"),
    must(
        "birthDate",
        "YYYY-MM-DD; a year, or a year and month, is accepted but counts for less",
    ),
    must(
        "gender or extension",
        "male, female, other or unknown; or the extension us-core-birthsex",
    ),
    may(
        "identifier",
        "a number from this payer, or the Social Security number; other numbers are not compared",
    ),
    may("address", "it is compared"),
    may("telecom", "telephone and email are compared"),
    never("implicitRules", RULES_UNKNOWN),
    never("modifierExtension", MEANING_CHANGED),
    never("contained", OTHER_PERSON),
];

const COVERAGE: &[OperationField] = &[
    must("status", "active, cancelled, draft or entered-in-error"),
    must("beneficiary", "a reference to MemberPatient as Patient/[id]"),
    must("payor", "exactly one"),
    must(
        "identifier or subscriberId",
        "the number on the card: as an identifier of type MB (at most 7), or as subscriberId",
    ),
    may(
        "subscriberId",
        "the number of the subscriber, in addition to an identifier",
    ),
    never("implicitRules", RULES_UNKNOWN),
    never("modifierExtension", MEANING_CHANGED),
    never("contained", OTHER_PERSON),
];

const CONSENT: &[OperationField] = &[
    must("status", "active"),
    must("scope", "patient-privacy"),
    must("category", "exactly one IDSCL"),
    must("patient", "a reference to MemberPatient as Patient/[id]"),
    must(
        "performer",
        "exactly one: MemberPatient, or a representative whom an actor names",
    ),
    must(
        "sourceReference",
        "a reference to the DocumentReference of the signed original, which the server does not read",
    ),
    may("verification", "if it is sent, each one must say verified true"),
    must("policy", "exactly one"),
    must("policy.uri", "the policy #regular or #sensitive of HRex"),
    must("provision", "what the member permits"),
    must("provision.type", "permit"),
    must(
        "provision.period",
        "the time in which the consent is in force; it must include now",
    ),
    must("provision.period.start", "a day or an instant"),
    must("provision.period.end", "a day, which is included, or an instant"),
    must(
        "provision.actor",
        "at least two: performer with the NPI of this payer, and IRCP with the NPI under which the caller is registered",
    ),
    must("provision.action", "exactly one: disclose"),
    never("sourceAttachment", "refer to the original instead"),
    never("provision.securityLabel", NO_FILTER),
    never("provision.purpose", NO_FILTER),
    never("provision.class", NO_FILTER),
    never("provision.code", NO_FILTER),
    never("provision.dataPeriod", NO_FILTER),
    never("provision.data", NO_FILTER),
    never("provision.provision", NO_FILTER),
    never("implicitRules", RULES_UNKNOWN),
    never("modifierExtension", MEANING_CHANGED),
    never("contained", OTHER_PERSON),
];

/// `Patient/$member-match`.
pub const MEMBER_MATCH: OperationFields = OperationFields {
    code: "member-match",
    parts: &[
        part(
            "MemberPatient",
            "in",
            1,
            "Patient",
            "The member as the new payer knows them.",
            PATIENT,
        ),
        part(
            "CoverageToMatch",
            "in",
            1,
            "Coverage",
            "The coverage with this payer, as on the card.",
            COVERAGE,
        ),
        part(
            "CoverageToLink",
            "in",
            0,
            "Coverage",
            "The coverage with the new payer. If it is sent, the rules are those of CoverageToMatch.",
            COVERAGE,
        ),
        part(
            "Consent",
            "in",
            1,
            "Consent",
            "The member's consent to disclose the record to the new payer.",
            CONSENT,
        ),
        part(
            "MemberIdentifier",
            "out",
            1,
            "Identifier",
            "The member's UMB identifier with this payer: type, system and value.",
            &[],
        ),
        part(
            "MemberId",
            "out",
            0,
            "Reference",
            "The Patient to read next. A partner that is registered for HRex 1.0 does not get it.",
            &[],
        ),
    ],
    derived: &[
        made("the partner", "from the token, never from the request"),
        made(
            "the NPI that the actor IRCP must have",
            "from the registration of the partner",
        ),
        made(
            "the NPI that the actor performer must have",
            "from the configuration of this payer",
        ),
        made(
            "now, and the time zone of days",
            "from the clock and the configuration of this payer",
        ),
        made("the grant", "from the match and the consent; it ends with the consent"),
    ],
};

/// `Patient/[id]/$everything`.
pub const EVERYTHING: OperationFields = OperationFields {
    code: "everything",
    parts: &[
        option(
            "start",
            "1",
            "date",
            "Only care on or after this day; the date of care counts, not that of the record.",
        ),
        option("end", "1", "date", "Only care on or before this day."),
        option(
            "_since",
            "1",
            "instant",
            "Only resources that changed after this instant.",
        ),
        option(
            "_type",
            "*",
            "code",
            "Only resources of these types; in a URL, a list with commas.",
        ),
        option(
            "_count",
            "1",
            "integer",
            "Entries on a page; without it the whole record comes in one answer.",
        ),
        part(
            "return",
            "out",
            1,
            "Bundle",
            "A searchset Bundle with the Patient, the compartment, and the resources to which that refers.",
            &[],
        ),
    ],
    derived: &[
        made("the member", "from the id in the address"),
        made(
            "what may be released",
            "from the live grant of the partner and the consent behind it",
        ),
        made(
            "the types",
            "from the scope of the token; _type narrows them and never widens them",
        ),
        made(
            "the link to the next page",
            "from the previous answer; its _page is opaque",
        ),
    ],
};

/// Every operation.
pub const OPERATIONS: [OperationFields; 2] = [MEMBER_MATCH, EVERYTHING];
