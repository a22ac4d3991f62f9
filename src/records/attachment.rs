//! Which Binaries a resource references as its attachments, and may be read with it.
//!
//! Only for types whose release rule covers what is attached. Claims are not among them: amounts of money are removed from the released
//! form of a claim, but cannot be removed from an attached document.

use super::compartment;
use crate::fhir::prescreen::Screened;

/// The elements in which these types reference attachments.
const PATHS: &[(&str, &[&str])] = &[
    ("DiagnosticReport", &["presentedForm", "url"]),
    ("DocumentReference", &["content", "attachment", "url"]),
    ("Media", &["content", "url"]),
];

/// Whether resources of this type reference Binaries that may be read with them.
pub fn may_name(rtype: &str) -> bool {
    PATHS.iter().any(|row| row.0 == rtype)
}

/// Returns the ids of the Binaries of this server that `resource` references, without duplicates.
pub fn named(resource: &Screened<'_>, rtype: &str, base_url: &str) -> Vec<String> {
    let Some((_, path)) = PATHS.iter().find(|row| row.0 == rtype) else {
        return Vec::new();
    };
    let mut ids: Vec<String> = resource
        .root()
        .all(path)
        .iter()
        .filter_map(|url| {
            let text = url.text()?;
            compartment::local(&text, base_url)
                .filter(|(rtype, _)| *rtype == "Binary")
                .map(|(_, id)| id.to_owned())
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
