//! Splits documents into resources: Bundles (transaction, batch, collection, searchset, history
//! and others), arrays, and resources alone or one after another.
//!
//! The method of a Bundle entry (POST or PUT) makes no difference: each resource is stored under its id. Nothing is ever deleted; when a
//! history says that a resource was deleted, none of its versions is stored.

use super::chunk::{Chunk, Emit, Item, PHASES, phase};
use super::compartment;
use super::links::{FullUrls, base_of};
use super::sniff::{objects, root_type, without_mark};
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{ScreenLimits, Screened, Value, screen};
use crate::ids::is_fhir_id;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// How many resources a chunk holds at most.
const CHUNK_ITEMS: usize = 200;

/// A document, and which of its resources are wanted.
pub struct InputDocument<'d> {
    /// The name of its file.
    pub name: &'d Arc<str>,
    /// The line of the file in which it begins, from 1.
    pub line: u64,
    /// The phases whose resources are emitted.
    pub wanted: &'d dyn Fn(u8) -> bool,
    /// How far the file was read, in decompressed bytes; 0 when it was read as a whole.
    pub offset: u64,
    /// Whether content that is not part of a record is refused; otherwise it is skipped.
    pub strict: bool,
}

/// What a document contains.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    /// The phases for which it has resources, one bit each.
    pub phases: u8,
    /// Whether it holds resources of a record.
    pub record: bool,
    /// Whether the receiver wants more; false ends the reading.
    pub go_on: bool,
}

impl InputDocument<'_> {
    /// Emits the wanted resources of `bytes`.
    pub fn read(&self, bytes: Vec<u8>, emit: &mut Emit<'_>) -> Read {
        let start = bytes.len() - without_mark(&bytes).len();
        let buffer = Arc::new(bytes);
        let text = &buffer[start..];
        if text.trim_ascii_start().first() == Some(&b'[') {
            return self.several(&buffer, start, emit);
        }
        match screen(text, &ScreenLimits::bundle()) {
            Ok(screened) => self.one(&buffer, start, &screened, emit),
            Err(failure) if failure.fault() == Fault::NotJson && objects(text).len() > 1 => {
                self.several(&buffer, start, emit)
            }
            Err(failure) => self.unscreened(&failure, &buffer, start, emit),
        }
    }

    /// Emits the wanted resources of `bytes`. When several phases are wanted, it emits
    /// them phase by phase, so that referenced resources come first.
    pub fn in_order(&self, bytes: Vec<u8>, emit: &mut Emit<'_>) -> Read {
        let phases: Vec<u8> = (0..PHASES).filter(|phase| (self.wanted)(*phase)).collect();
        if phases.len() < 2 {
            return self.read(bytes, emit);
        }
        let mut read = Read {
            phases: 0,
            record: true,
            go_on: true,
        };
        for now in phases {
            let wanted = |own: u8| own == now;
            read = InputDocument {
                wanted: &wanted,
                ..*self
            }
            .read(bytes.clone(), emit);
            // There may be nothing for the later phases.
            if !read.go_on || read.phases >> (now + 1) == 0 && read.phases != 0 {
                break;
            }
        }
        read
    }

    /// Emits resources and Bundles from an array, or one after another.
    fn several(&self, buffer: &Arc<Vec<u8>>, start: usize, emit: &mut Emit<'_>) -> Read {
        let mut read = Read {
            phases: 0,
            record: self.strict,
            go_on: true,
        };
        let mut lines = Lines::new(buffer, self.line, start);
        let mut items = Vec::new();
        for span in objects(&buffer[start..]) {
            let span = start + span.start..start + span.end;
            let rtype = root_type(&buffer[span.clone()]);
            let is_record = rtype.is_some_and(|rtype| rtype == "Bundle" || compartment::kind(rtype).is_some());
            if !is_record && !self.strict {
                continue;
            }
            read.record = true;
            if rtype == Some("Bundle")
                && let Ok(screened) = screen(&buffer[span.clone()], &ScreenLimits::bundle())
            {
                if !items.is_empty() {
                    read.go_on &= emit(self.chunk(buffer, std::mem::take(&mut items), None));
                }
                let line = lines.at(span.start);
                let inner = InputDocument { line, ..*self }.bundle(buffer, span.start, &screened, emit);
                read.phases |= inner.phases;
                read.go_on &= inner.go_on;
            } else {
                let own = phase(rtype);
                read.phases |= 1 << own;
                if (self.wanted)(own) {
                    let line = lines.at(span.start);
                    items.push(Item { line, ..Item::of(span) });
                }
            }
            if items.len() == CHUNK_ITEMS {
                read.go_on &= emit(self.chunk(buffer, std::mem::take(&mut items), None));
            }
            if !read.go_on {
                return read;
            }
        }
        if !items.is_empty() {
            read.go_on &= emit(self.chunk(buffer, items, None));
        }
        read
    }

    /// Emits one resource or one Bundle.
    fn one(&self, buffer: &Arc<Vec<u8>>, start: usize, screened: &Screened<'_>, emit: &mut Emit<'_>) -> Read {
        let rtype = screened.resource_type();
        if rtype == "Bundle" {
            return self.bundle(buffer, start, screened, emit);
        }
        if !self.strict && compartment::kind(&rtype).is_none() {
            return Read {
                phases: 0,
                record: false,
                go_on: true,
            };
        }
        let own = phase(Some(&rtype));
        let go_on = !(self.wanted)(own) || emit(self.chunk(buffer, vec![self.whole(buffer, start)], None));
        Read {
            phases: 1 << own,
            record: true,
            go_on,
        }
    }

    fn bundle(&self, buffer: &Arc<Vec<u8>>, start: usize, bundle: &Screened<'_>, emit: &mut Emit<'_>) -> Read {
        let urls = Arc::new(full_urls(bundle));
        let deleted = deleted(bundle);
        let mut read = Read {
            phases: 0,
            record: true,
            go_on: true,
        };
        let mut lines = Lines::new(buffer, self.line, start);
        let mut items = Vec::new();
        for (index, entry) in bundle.root().all(&["entry"]).iter().enumerate() {
            let Some(item) = item(entry, index, start, &deleted) else {
                continue;
            };
            let rtype = entry
                .get("resource")
                .and_then(|resource| resource.get("resourceType"))
                .and_then(|t| t.text());
            let own = phase(rtype.as_deref());
            read.phases |= 1 << own;
            if !(self.wanted)(own) {
                continue;
            }
            let line = lines.at(item.span.start);
            items.push(Item { line, ..item });
            if items.len() == CHUNK_ITEMS {
                read.go_on = emit(self.chunk(buffer, std::mem::take(&mut items), Some(Arc::clone(&urls))));
                if !read.go_on {
                    return read;
                }
            }
        }
        if !items.is_empty() {
            read.go_on = emit(self.chunk(buffer, items, Some(urls)));
        }
        read
    }

    /// Emits a document that fails the pre-screen as a whole. The gate screens it again and reports the reason.
    fn unscreened(&self, failure: &Failure, buffer: &Arc<Vec<u8>>, start: usize, emit: &mut Emit<'_>) -> Read {
        // Other JSON in a folder (without any resource) is skipped.
        let foreign = !self.strict && failure.fault() == Fault::ResourceInvalid && !mentions_resource(buffer);
        let own = phase(None);
        let mut go_on = true;
        if !foreign && (self.wanted)(own) {
            let item = Item {
                refused: (failure.fault() == Fault::TooLarge).then_some(Fault::TooLarge),
                ..self.whole(buffer, start)
            };
            go_on = emit(self.chunk(buffer, vec![item], None));
        }
        Read {
            phases: if foreign { 0 } else { 1 << own },
            record: !foreign,
            go_on,
        }
    }

    fn whole(&self, buffer: &Arc<Vec<u8>>, start: usize) -> Item {
        Item {
            line: self.line,
            ..Item::of(start..buffer.len())
        }
    }

    fn chunk(&self, buffer: &Arc<Vec<u8>>, items: Vec<Item>, urls: Option<Arc<FullUrls>>) -> Chunk {
        Chunk {
            source: Arc::clone(self.name),
            bytes: items.iter().map(|item| item.span.len() as u64).sum(),
            offset: self.offset,
            buffer: Arc::clone(buffer),
            items,
            urls,
        }
    }
}

/// Counts lines while going forward through a buffer.
struct Lines<'b> {
    buffer: &'b [u8],
    line: u64,
    counted: usize,
}

impl<'b> Lines<'b> {
    /// `line` is the line of the byte `from`.
    fn new(buffer: &'b [u8], line: u64, from: usize) -> Self {
        Lines {
            buffer,
            line,
            counted: from,
        }
    }

    /// Returns the line of a position, which must not be before the last one.
    fn at(&mut self, place: usize) -> u64 {
        self.line += memchr::memchr_iter(b'\n', &self.buffer[self.counted..place]).count() as u64;
        self.counted = place;
        self.line
    }
}

fn mentions_resource(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"\"resourceType\"").is_some()
}

/// Returns the names of resources whose last change in a history (newest first) is a deletion.
fn deleted(bundle: &Screened<'_>) -> Vec<String> {
    if !bundle.root().get("type").is_some_and(|own| own.is("history")) {
        return Vec::new();
    }
    let mut newest: HashMap<String, bool> = HashMap::new();
    for entry in bundle.root().all(&["entry"]) {
        let request = entry.get("request");
        let member = |name: &str| request.as_ref()?.get(name)?.text();
        let is_delete = member("method").is_some_and(|method| method == "DELETE");
        let name = match entry.get("resource") {
            Some(resource) => name_of(&resource),
            None => member("url").map(|url| {
                let url = url.split_once("/_history/").map_or(&*url, |(before, _)| before);
                let mut parts: Vec<&str> = url.rsplitn(3, '/').take(2).collect();
                parts.reverse();
                parts.join("/")
            }),
        };
        if let Some(name) = name {
            newest.entry(name).or_insert(is_delete);
        }
    }
    newest
        .into_iter()
        .filter_map(|(name, is_deleted)| is_deleted.then_some(name))
        .collect()
}

fn name_of(resource: &Value<'_>) -> Option<String> {
    Some(format!(
        "{}/{}",
        resource.get("resourceType")?.text()?,
        resource.get("id")?.text()?
    ))
}

/// Returns the resource of an entry; `None` for an entry that has only a response, and for an OperationOutcome about a search.
fn item(entry: &Value<'_>, index: usize, start: usize, deleted: &[String]) -> Option<Item> {
    let method = entry
        .get("request")
        .and_then(|request| request.get("method"))
        .and_then(|method| method.text());
    let is_delete = method.as_deref() == Some("DELETE");
    let other_method = method.is_some_and(|method| method != "POST" && method != "PUT");
    let outcome = entry.first(&["search", "mode"]).is_some_and(|mode| mode.is("outcome"));
    let moved = |span: Range<usize>| start + span.start..start + span.end;
    match entry.get("resource") {
        Some(_) if outcome => None,
        Some(resource) => {
            let url = entry.get("fullUrl").and_then(|url| url.text());
            let is_deleted = !deleted.is_empty() && name_of(&resource).is_some_and(|name| deleted.contains(&name));
            Some(Item {
                entry: Some(index),
                fallback_id: url.as_deref().and_then(|url| uuid(url).map(str::to_owned)),
                base: url.as_deref().and_then(base_of),
                refused: match (is_deleted, other_method) {
                    (true, _) => Some(Fault::DeletedAtSource),
                    (false, true) => Some(Fault::TypeUnsupported),
                    (false, false) => None,
                },
                ..Item::of(moved(resource.span()))
            })
        }
        None if is_delete => Some(Item {
            entry: Some(index),
            refused: Some(Fault::DeletedAtSource),
            ..Item::of(moved(entry.span()))
        }),
        None if entry.get("response").is_some() => None,
        None => Some(Item {
            entry: Some(index),
            refused: Some(Fault::ResourceInvalid),
            ..Item::of(moved(entry.span()))
        }),
    }
}

fn full_urls(bundle: &Screened<'_>) -> FullUrls {
    let mut urls = FullUrls::default();
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
            urls.add(&url, &rtype, &id);
        }
    }
    urls
}

/// Returns the id that a full URL gives to a resource without one.
fn uuid(url: &str) -> Option<&str> {
    const SCHEME: &str = "urn:uuid:";
    let is_urn = url
        .get(..SCHEME.len())
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
    is_urn.then(|| &url[SCHEME.len()..]).filter(|id| is_fhir_id(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::chunk::PHASES;

    type Got = (u8, u64, Option<usize>, Option<String>, Option<Fault>);

    fn read(text: &str, strict: bool) -> (Vec<Got>, u8, bool) {
        let (mut got, mut phases, mut record) = (Vec::new(), 0, false);
        for now in 0..PHASES {
            let wanted = |own: u8| own == now;
            let document = InputDocument {
                name: &"f".into(),
                line: 1,
                wanted: &wanted,
                offset: 0,
                strict,
            };
            let read = document.read(text.into(), &mut |chunk| {
                got.extend(
                    chunk
                        .items
                        .into_iter()
                        .map(|item| (now, item.line, item.entry, item.fallback_id, item.refused)),
                );
                true
            });
            (phases, record) = (read.phases, read.record);
        }
        (got, phases, record)
    }

    #[test]
    fn a_bundle_comes_apart_by_phase() {
        let text = r#"{"resourceType":"Bundle","type":"transaction","entry":[
 {"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient"},"request":{"method":"POST","url":"Patient"}},
 {"fullUrl":"http://x/Condition/c","resource":{"resourceType":"Condition","id":"c"}},
 {"resource":{"resourceType":"Condition","id":"d"},"request":{"method":"PATCH","url":"Condition/d"}},
 {"response":{"status":"200"}}, {"request":{"method":"GET","url":"x"}}]}"#;
        let (got, phases, _) = read(text, true);
        let expected = [
            (2, 2, Some(0), Some("1".to_owned()), None),
            (4, 3, Some(1), None, None),
            (4, 4, Some(2), None, Some(Fault::TypeUnsupported)),
            (4, 5, Some(4), None, Some(Fault::ResourceInvalid)),
        ];
        assert_eq!((got.as_slice(), phases), (&expected[..], 1 << 2 | 1 << 4));
    }

    #[test]
    fn what_a_search_tells_of_itself_is_passed_over() {
        let text = r#"{"resourceType":"Bundle","type":"searchset","total":1,"link":[{"relation":"next","url":"http://x/?p=2"}],"entry":[
 {"fullUrl":"http://x/Goal/g","resource":{"resourceType":"Goal","id":"g"},"search":{"mode":"match"}},
 {"resource":{"resourceType":"Location","id":"l"},"search":{"mode":"include"}},
 {"resource":{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"processing"}]},"search":{"mode":"outcome"}}]}"#;
        let (got, ..) = read(text, true);
        assert_eq!(
            got.iter().map(|one| (one.0, one.2, one.4)).collect::<Vec<_>>(),
            [(0, Some(1), None), (4, Some(0), None)]
        );
    }

    #[test]
    fn no_version_is_taken_of_what_a_history_says_was_deleted() {
        let text = r#"{"resourceType":"Bundle","type":"history","entry":[
 {"fullUrl":"http://x/Goal/a","request":{"method":"DELETE","url":"Goal/a"},"response":{"status":"204"}},
 {"fullUrl":"http://x/Goal/b","resource":{"resourceType":"Goal","id":"b"},"request":{"method":"PUT","url":"Goal/b"}},
 {"fullUrl":"http://x/Goal/b","request":{"method":"DELETE","url":"Goal/b/_history/2"},"response":{"status":"204"}},
 {"fullUrl":"http://x/Goal/a","resource":{"resourceType":"Goal","id":"a"},"request":{"method":"PUT","url":"Goal/a"}}]}"#;
        let (got, ..) = read(text, true);
        let gone = Some(Fault::DeletedAtSource);
        assert_eq!(
            got.iter().map(|one| (one.2, one.4)).collect::<Vec<_>>(),
            [(Some(0), gone), (Some(1), None), (Some(2), gone), (Some(3), gone)]
        );
    }

    #[test]
    fn arrays_and_resources_one_after_another_come_apart() {
        for text in [
            "[{\"resourceType\":\"Goal\"},\n{\"resourceType\":\"Bundle\",\"entry\":[{\"resource\":{\"resourceType\":\"Location\"}}]},{\"a\":1}]",
            "\u{feff}{\"resourceType\":\"Goal\"}\n{\"resourceType\":\"Bundle\",\"entry\":[{\"resource\":{\"resourceType\":\"Location\"}}]}{\"a\":1}",
        ] {
            let (got, phases, record) = read(text, true);
            let expected = [
                (0, 2, Some(0), None, None),
                (4, 1, None, None, None),
                (4, 2, None, None, None),
            ];
            assert_eq!(got, expected, "{text}");
            assert_eq!((phases, record), (1 << 0 | 1 << 4, true));
            assert_eq!(read(text, false).0.len(), 2, "{text}");
        }
        assert_eq!(read("[{\"a\":1}]", false), (Vec::new(), 0, false));
        assert_eq!(read("[{\"a\":1}]", true).0.len(), 1);
    }

    #[test]
    fn a_file_of_a_folder_that_is_no_record_is_left_aside() {
        for (text, record) in [
            (r#"{"resourceType":"Parameters","parameter":[{"name":"a"}]}"#, false),
            (r#"{"name":"package"}"#, false),
            (r#"{"resourceType":"Patient","name":[]}"#, true),
        ] {
            assert_eq!(read(text, false).2, record, "{text}");
            assert!(read(text, true).2, "{text}");
        }
    }
}
