//! Groups of resources on their way from a file to the gate, and the order in which types are stored.

use super::links::FullUrls;
use crate::error::Fault;
use std::ops::Range;
use std::sync::Arc;

/// How many times an import goes through its sources.
pub const PHASES: u8 = 7;

/// Returns the phase in which a type is stored: directories first, then members, their coverage, all
/// other types, attachments, and last the Provenances of all that.
pub fn phase(rtype: Option<&str>) -> u8 {
    match rtype {
        Some(
            "Organization" | "Practitioner" | "Location" | "Medication" | "Substance" | "Endpoint" | "DeviceDefinition",
        ) => 0,
        Some("PractitionerRole" | "HealthcareService" | "InsurancePlan" | "OrganizationAffiliation") => 1,
        Some("Patient") => 2,
        Some("Coverage" | "RelatedPerson") => 3,
        Some("Binary") => 5,
        Some("Provenance") => 6,
        _ => 4,
    }
}

/// One resource in a chunk.
#[derive(Debug)]
pub struct Item {
    /// Its position in the chunk's buffer.
    pub span: Range<usize>,
    /// Line in the file, from 1.
    pub line: u64,
    /// The index of its entry in the Bundle, from 0.
    pub entry: Option<usize>,
    /// The id for a resource that has none.
    pub fallback_id: Option<String>,
    /// The base of the server it comes from, when its Bundle entry shows it.
    pub base: Option<Arc<str>>,
    /// The fault for which it is refused without being checked.
    pub refused: Option<Fault>,
}

impl Item {
    /// Makes an item for the resource at `span`; everything else is unknown.
    pub fn of(span: Range<usize>) -> Self {
        Item {
            span,
            line: 1,
            entry: None,
            fallback_id: None,
            base: None,
            refused: None,
        }
    }
}

/// Resources that are processed together.
#[derive(Debug)]
pub struct Chunk {
    /// The name of their file.
    pub source: Arc<str>,
    /// Their bytes.
    pub buffer: Arc<Vec<u8>>,
    /// The position of each resource.
    pub items: Vec<Item>,
    /// Full URLs of the Bundle they come from.
    pub urls: Option<Arc<FullUrls>>,
    /// How many bytes of the file it represents, decompressed.
    pub bytes: u64,
    /// How far the file was read, in decompressed bytes; 0 when unknown.
    pub offset: u64,
}

/// Receives a chunk. Returns false to end the reading.
pub type Emit<'e> = dyn FnMut(Chunk) -> bool + 'e;
