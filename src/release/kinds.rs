//! Which types of resources are released at all: those that belong to members, and those that all partners may read.

use crate::records::{compartment, released};

/// Types that belong to no member and may be read by every partner: directories and products (`docs/threats.md` D02).
pub const SHARED: &[&str] = &[
    "Endpoint",
    "HealthcareService",
    "InsurancePlan",
    "Location",
    "Medication",
    "Organization",
    "OrganizationAffiliation",
    "Practitioner",
    "PractitionerRole",
];

/// Whether resources of a type belong to no member and may be read by every partner.
pub fn is_shared(rtype: &str) -> bool {
    SHARED.binary_search(&rtype).is_ok()
}

/// Whether resources of a type can be released at all: they are stored, belong to a member or are shared, and are not entirely about money.
pub fn is_served(rtype: &str) -> bool {
    compartment::kind(rtype).is_some_and(|kind| kind != compartment::OwnerRule::Shared || is_shared(rtype))
        && released::money(rtype) != released::Money::Whole
}

/// Whether resources of a type can be searched. A Binary can only be read by its id.
pub fn is_searchable(rtype: &str) -> bool {
    is_served(rtype) && rtype != "Binary"
}
