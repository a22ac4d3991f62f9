//! Bundles: transaction, batch, collection, searchset and the others, taken apart into their resources.
//!
//! A file that holds one resource is a Bundle of one here. What the entries ask for (POST or PUT) makes no difference: each
//! resource is kept under its id.

use super::compartment;
use super::links::FullUrls;
use super::source::{Chunk, Emit, Item, phase};
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{Limits, Screened, Value, screen};
use crate::ids::is_fhir_id;
use std::sync::Arc;

/// Resources that travel together.
const CHUNK_ITEMS: usize = 200;

/// What a file turned out to be.
pub struct Read {
    /// The phases it has something for, one bit each.
    pub phases: u8,
    /// Whether it holds resources of a record.
    pub record: bool,
}

/// Emits the resources of `now`'s phase in the document `bytes`.
pub fn read(bytes: Vec<u8>, name: &Arc<str>, now: u8, explicit: bool, emit: &mut Emit<'_>) -> Read {
    let buffer = Arc::new(bytes);
    let whole = |refused: Option<Fault>| Item {
        span: 0..buffer.len(),
        line: 1,
        entry: None,
        fallback_id: None,
        refused,
    };
    let chunk = |items: Vec<Item>, urls: Option<Arc<FullUrls>>| Chunk {
        source: Arc::clone(name),
        buffer: Arc::clone(&buffer),
        items,
        urls,
    };
    let screened = match screen(&buffer, &Limits::bundle()) {
        Ok(screened) => screened,
        Err(failure) => return unscreened(&failure, &buffer, explicit, emit, &chunk, &whole),
    };
    let rtype = screened.resource_type();
    if rtype != "Bundle" {
        if !explicit && compartment::kind(&rtype).is_none() {
            return Read {
                phases: 0,
                record: false,
            };
        }
        let own = phase(Some(&rtype));
        if own == now {
            emit(chunk(vec![whole(None)], None));
        }
        return Read {
            phases: 1 << own,
            record: true,
        };
    }
    let urls = Arc::new(full_urls(&screened));
    let mut phases = 0;
    let mut items = Vec::new();
    let (mut line, mut counted) = (1u64, 0usize);
    for (index, entry) in screened.root().all(&["entry"]).iter().enumerate() {
        let Some(item) = item(entry, index) else { continue };
        let rtype = entry
            .get("resource")
            .and_then(|resource| resource.get("resourceType"))
            .and_then(|t| t.text());
        let own = phase(rtype.as_deref());
        phases |= 1 << own;
        if own != now {
            continue;
        }
        line += buffer[counted..item.span.start]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count() as u64;
        counted = item.span.start;
        items.push(Item { line, ..item });
        if items.len() == CHUNK_ITEMS && !emit(chunk(std::mem::take(&mut items), Some(Arc::clone(&urls)))) {
            return Read { phases, record: true };
        }
    }
    if !items.is_empty() {
        emit(chunk(items, Some(urls)));
    }
    Read { phases, record: true }
}

/// A document that fails the pre-screen as a whole. The gate screens it again and tells why.
fn unscreened(
    failure: &Failure,
    buffer: &[u8],
    explicit: bool,
    emit: &mut Emit<'_>,
    chunk: &dyn Fn(Vec<Item>, Option<Arc<FullUrls>>) -> Chunk,
    whole: &dyn Fn(Option<Fault>) -> Item,
) -> Read {
    // JSON of another kind in a folder (no resource at all) is none of our business.
    let foreign = !explicit && failure.fault() == Fault::ResourceInvalid && !mentions_resource(buffer);
    if !foreign {
        let large = failure.fault() == Fault::TooLarge;
        emit(chunk(vec![whole(large.then_some(Fault::TooLarge))], None));
    }
    Read {
        phases: 0,
        record: !foreign,
    }
}

fn mentions_resource(bytes: &[u8]) -> bool {
    const NAME: &[u8] = b"\"resourceType\"";
    bytes.windows(NAME.len()).any(|window| window == NAME)
}

/// The resource of an entry; `None` for an entry that only answers.
fn item(entry: &Value<'_>, index: usize) -> Option<Item> {
    let method = entry
        .get("request")
        .and_then(|request| request.get("method"))
        .and_then(|method| method.text());
    let other_method = method.is_some_and(|method| method != "POST" && method != "PUT");
    match entry.get("resource") {
        Some(resource) => Some(Item {
            span: resource.span(),
            line: 1,
            entry: Some(index),
            fallback_id: entry
                .get("fullUrl")
                .and_then(|url| uuid(&url.text()?).map(str::to_owned)),
            refused: other_method.then_some(Fault::TypeUnsupported),
        }),
        None if entry.get("response").is_some() => None,
        None => Some(Item {
            span: entry.span(),
            line: 1,
            entry: Some(index),
            fallback_id: None,
            refused: Some(Fault::ResourceInvalid),
        }),
    }
}

fn full_urls(bundle: &Screened<'_>) -> FullUrls {
    let mut urls = FullUrls::new();
    for entry in bundle.root().all(&["entry"]) {
        let Some(url) = entry.get("fullUrl").and_then(|url| url.text()) else {
            continue;
        };
        let Some(resource) = entry.get("resource") else {
            continue;
        };
        let rtype = resource
            .get("resourceType")
            .and_then(|rtype| rtype.text())
            .unwrap_or_default();
        let own = resource
            .get("id")
            .and_then(|id| id.text())
            .map(std::borrow::Cow::into_owned);
        let Some(id) = own
            .or_else(|| uuid(&url).map(str::to_owned))
            .filter(|id| is_fhir_id(id))
        else {
            continue;
        };
        if causeway_fhir_types::is_type(&rtype) {
            urls.insert(url.into_owned(), format!("{rtype}/{id}"));
        }
    }
    urls
}

fn uuid(url: &str) -> Option<&str> {
    url.strip_prefix("urn:uuid:").filter(|id| is_fhir_id(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_comes_apart_by_phase() {
        let text = r#"{"resourceType":"Bundle","type":"transaction","entry":[
 {"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient"},"request":{"method":"POST","url":"Patient"}},
 {"fullUrl":"http://x/Condition/c","resource":{"resourceType":"Condition","id":"c"}},
 {"resource":{"resourceType":"Condition","id":"d"},"request":{"method":"DELETE","url":"Condition/d"}},
 {"response":{"status":"200"}}, {"request":{"method":"GET","url":"x"}}]}"#;
        let mut got = Vec::new();
        let mut phases = 0;
        for now in 0..super::super::source::PHASES {
            phases = read(text.into(), &"b.json".into(), now, true, &mut |chunk| {
                let urls = chunk.urls.as_deref().expect("urls");
                assert_eq!(urls.get("urn:uuid:1").map(String::as_str), Some("Patient/1"));
                assert_eq!(
                    urls.get("http://x/Condition/c").map(String::as_str),
                    Some("Condition/c")
                );
                got.extend(
                    chunk
                        .items
                        .into_iter()
                        .map(|item| (now, item.line, item.entry, item.fallback_id, item.refused)),
                );
                true
            })
            .phases;
        }
        let expected = [
            (2, 2, Some(0), Some("1".to_owned()), None),
            (4, 3, Some(1), None, None),
            (4, 4, Some(2), None, Some(Fault::TypeUnsupported)),
            (4, 5, Some(4), None, Some(Fault::ResourceInvalid)),
        ];
        assert_eq!((got.as_slice(), phases), (&expected[..], 1 << 2 | 1 << 4));
    }

    #[test]
    fn a_file_of_a_folder_that_is_no_record_is_left_aside() {
        for (text, record) in [
            (r#"{"resourceType":"Parameters","parameter":[{"name":"a"}]}"#, false),
            (r#"{"name":"package"}"#, false),
            (r#"{"resourceType":"Patient","name":[]}"#, true),
        ] {
            assert_eq!(
                read(text.into(), &"f".into(), 0, false, &mut |_| true).record,
                record,
                "{text}"
            );
            assert!(read(text.into(), &"f".into(), 0, true, &mut |_| true).record, "{text}");
        }
    }
}
