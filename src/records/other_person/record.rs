//! The record to which a resource belongs, and the elements and identifier systems by which persons are recognized.

/// Elements that identify a person: R4 allows only persons in them, or does not exclude that a person is meant.
pub(super) const PERSON_ELEMENTS: &[(&str, &[&str])] = &[
    ("Consent", &["verification", "verifiedWith"]),
    ("Coverage", &["policyHolder"]),
    ("Coverage", &["subscriber"]),
    ("DocumentReference", &["context", "sourcePatientInfo"]),
    ("Patient", &["link", "other"]),
];

/// Identifier systems of providers, payers and laboratories, never of members: NPI, NAIC, CLIA.
pub(super) const PROVIDER_SYSTEMS: &[&str] = &[
    "http://hl7.org/fhir/sid/us-npi",
    "urn:oid:2.16.840.1.113883.4.6",
    "urn:oid:2.16.840.1.113883.6.300",
    "http://terminology.hl7.org/NamingSystem/CLIA",
    "urn:oid:2.16.840.1.113883.4.7",
];

/// The record to which a resource belongs.
#[derive(Clone, Copy, Debug)]
pub struct RecordOwner<'a> {
    /// Id of the member's Patient; `None` when the resource belongs to no member, or does not show the member.
    pub member: Option<&'a str>,
    /// The FHIR base URL of this server.
    pub base_url: &'a str,
}
