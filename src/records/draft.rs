//! The first half of the gate: turns received bytes into a draft, which is enough to find out whether the same content is stored already.
//!
//! In order: pre-screen, references of the source made local, id. It has no side effects except the look-ups of [`Links`].

use super::local::Links;
use super::splice::{compact, splice};
use super::{compartment, narrative, rules};
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{JsonKind, ScreenLimits, Screened, screen};
use crate::secret::sha256;
use std::borrow::Cow;
use std::ops::Range;

/// A resource that passed the pre-screen, with its references made local: enough to find out whether it is stored already.
pub struct Draft<'b> {
    /// Its type.
    pub rtype: &'static str,
    /// Its id, as received.
    pub id: String,
    /// SHA-256 of its content, before `meta` is written.
    pub source_sha256: [u8; 32],
    /// Its bytes, as they are checked.
    pub(super) content: Cow<'b, [u8]>,
    /// The screened bytes; `None` when the content was changed.
    pub(super) screened: Option<Screened<'b>>,
}

/// First half: pre-screen, id, references. `fallback_id` is the id for a Bundle entry whose resource has none.
///
/// # Errors
/// Those of [`screen`]; [`Fault::TypeUnsupported`]; [`Fault::ValueInvalid`] for an id that breaks its grammar.
pub fn draft<'b>(bytes: &'b [u8], links: &dyn Links, fallback_id: Option<&str>) -> Result<Draft<'b>, Failure> {
    let screened = screen(bytes, &ScreenLimits::record())?;
    let rtype = causeway_fhir_types::type_name(&screened.resource_type())
        .filter(|rtype| compartment::kind(rtype).is_some())
        .ok_or_else(|| Failure::new(Fault::TypeUnsupported).at("Resource"))?;
    let edits = local_edits(&screened, links, fallback_id);
    let several_lines = bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    if edits.is_empty() && !several_lines {
        let (id, source_sha256) = (rules::id(&screened)?, sha256(bytes));
        return Ok(Draft {
            rtype,
            id,
            source_sha256,
            content: Cow::Borrowed(bytes),
            screened: Some(screened),
        });
    }
    let mut content = splice(bytes, &edits);
    if several_lines {
        // A resource must be one line, because it may be released as NDJSON.
        content = compact(&content);
    }
    let id = rules::id(&screen(&content, &ScreenLimits::record())?)?;
    Ok(Draft {
        rtype,
        id,
        source_sha256: sha256(&content),
        content: Cow::Owned(content),
        screened: None,
    })
}

/// Makes a draft of a stored body, to check it again.
///
/// # Errors
/// Those of [`screen`]; [`Fault::TypeUnsupported`] for a type that is no longer stored.
pub fn stored_draft<'b>(body: &'b [u8], id: &str, source_sha256: &[u8]) -> Result<Draft<'b>, Failure> {
    let screened = screen(body, &ScreenLimits::record())?;
    let rtype = causeway_fhir_types::type_name(&screened.resource_type())
        .filter(|rtype| compartment::kind(rtype).is_some())
        .ok_or_else(|| Failure::new(Fault::TypeUnsupported).at("Resource"))?;
    Ok(Draft {
        rtype,
        id: id.to_owned(),
        source_sha256: source_sha256.try_into().unwrap_or([0; 32]),
        content: Cow::Borrowed(body),
        screened: Some(screened),
    })
}

/// Elements of the types uri, url, uuid and oid that may reference a resource (FHIR R4 http, "transaction processing rules").
const URLS: &[&str] = &["url", "uri", "valueUri", "valueUrl", "valueUuid", "valueOid"];

fn local_edits(resource: &Screened<'_>, links: &dyn Links, fallback_id: Option<&str>) -> Vec<(Range<usize>, String)> {
    let mut edits = Vec::new();
    let root = resource.root();
    let prefix = links.id_prefix();
    match (root.get("id"), fallback_id, root.get("resourceType")) {
        (Some(id), _, _) if !prefix.is_empty() && id.kind() == JsonKind::String => {
            let start = id.span().start + 1;
            edits.push((start..start, prefix));
        }
        (None, Some(id), Some(rtype)) => {
            edits.push((rtype.span().end..rtype.span().end, format!(",\"id\":\"{prefix}{id}\"")));
        }
        _ => {}
    }
    for reference in resource.references() {
        if let Some(local) = links.local(&reference.text()) {
            edits.push((reference.span(), local));
        }
    }
    if links.has_urls() {
        for value in resource.values().filter(|value| value.kind() == JsonKind::String) {
            if value.key() == "div" {
                narrative::local_edits(&value, links, &mut edits);
            } else if URLS.contains(&value.key())
                && let Some(local) = value.text().and_then(|text| links.local_url(&text))
            {
                edits.push((value.span(), format!("\"{local}\"")));
            }
        }
    }
    edits.sort_by_key(|(span, _)| span.start);
    edits
}
