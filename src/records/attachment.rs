//! Which Binaries a resource names as its attachments, and may be read with it.
//!
//! Only the types whose release rule says enough about what is attached. A claim's attachments are not among them: its money is
//! cut from the released form, and cannot be cut from a document.

use super::compartment;
use crate::fhir::prescreen::Screened;

/// Where these types name attachments.
const PATHS: &[(&str, &[&str])] = &[
    ("DiagnosticReport", &["presentedForm", "url"]),
    ("DocumentReference", &["content", "attachment", "url"]),
    ("Media", &["content", "url"]),
];

/// Whether resources of this type name Binaries that may be read with them.
pub fn may_name(rtype: &str) -> bool {
    PATHS.iter().any(|row| row.0 == rtype)
}

/// Ids of the Binaries of ours that `resource` names, each once.
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
