//! Writes Bundles: their few bytes around resources that are copied as stored, into one buffer or piece by piece.
//!
//! FHIR forbids empty arrays, so the `entry` array begins with the first entry, and a Bundle without entries has none.

use bytes::BufMut;
use serde_json::{Value, json};

/// Type of the answer to a search.
pub const SEARCHSET: &str = "searchset";
/// Type of the answer to a batch.
pub const BATCH_RESPONSE: &str = "batch-response";

/// The state of a Bundle that is being written; it holds no bytes. If it is dropped before [`Bundle::end`], the Bundle is incomplete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    entries: Entries,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Entries {
    /// No entry was written yet.
    #[default]
    None,
    /// The array of entries is open.
    Open,
}

impl Bundle {
    /// Begins a Bundle of this type, a code of the FHIR value set `bundle-type`.
    pub fn begin(out: &mut impl BufMut, kind: &'static str) -> Bundle {
        out.put_slice(b"{\"resourceType\":\"Bundle\",\"type\":\"");
        out.put_slice(kind.as_bytes());
        out.put_u8(b'"');
        Bundle::default()
    }

    /// Writes the number of all matches. Must be called before the first entry or after [`Bundle::close_entries`].
    pub fn total(&self, out: &mut impl BufMut, total: impl std::fmt::Display) {
        out.put_slice(format!(",\"total\":{total}").as_bytes());
    }

    /// Writes the links, each with a relation and a URL. Must be called before the first entry or after [`Bundle::close_entries`].
    pub fn links(&self, out: &mut impl BufMut, links: &[(&str, String)]) {
        let links: Vec<Value> = links
            .iter()
            .map(|(relation, url)| json!({"relation": relation, "url": url}))
            .collect();
        out.put_slice(b",\"link\":");
        out.put_slice(Value::Array(links).to_string().as_bytes());
    }

    /// Writes an entry of a searchset: the resource with its URL and its search mode (`match`, `include` or `outcome`). The parts of
    /// `full_url` need no escaping in JSON, because they are the base URL, a type and an id, or a UUID.
    pub fn found(&mut self, out: &mut impl BufMut, full_url: &[&str], resource: &[u8], mode: &'static str) {
        self.begin_found(out, full_url);
        out.put_slice(resource);
        self.end_found(out, mode);
    }

    /// Begins an entry of a searchset up to its resource, which the caller writes.
    pub fn begin_found(&mut self, out: &mut impl BufMut, full_url: &[&str]) {
        self.sign(out);
        out.put_slice(b"{\"fullUrl\":\"");
        for part in full_url {
            out.put_slice(part.as_bytes());
        }
        out.put_slice(b"\",\"resource\":");
    }

    /// Ends that entry after its resource.
    pub fn end_found(&self, out: &mut impl BufMut, mode: &'static str) {
        out.put_slice(b",\"search\":{\"mode\":\"");
        out.put_slice(mode.as_bytes());
        out.put_slice(b"\"}}");
    }

    /// Writes an entry of a batch response; `response` is a JSON object. It has no `fullUrl`, because the same resource may be requested
    /// twice (FHIR R4 Bundle, bdl-7).
    pub fn answered(&mut self, out: &mut impl BufMut, resource: Option<&[u8]>, response: &[u8]) {
        match resource {
            Some(resource) => {
                self.begin_answered(out);
                out.put_slice(resource);
                self.end_answered(out, response);
            }
            None => {
                self.sign(out);
                out.put_slice(b"{\"response\":");
                out.put_slice(response);
                out.put_u8(b'}');
            }
        }
    }

    /// Begins an entry of a batch response up to its resource, which the caller writes.
    pub fn begin_answered(&mut self, out: &mut impl BufMut) {
        self.sign(out);
        out.put_slice(b"{\"resource\":");
    }

    /// Ends that entry after its resource.
    pub fn end_answered(&self, out: &mut impl BufMut, response: &[u8]) {
        out.put_slice(b",\"response\":");
        out.put_slice(response);
        out.put_u8(b'}');
    }

    /// Ends the array of entries, so that other members can follow.
    pub fn close_entries(&mut self, out: &mut impl BufMut) {
        if std::mem::take(&mut self.entries) == Entries::Open {
            out.put_u8(b']');
        }
    }

    /// Ends the Bundle.
    pub fn end(mut self, out: &mut impl BufMut) {
        self.close_entries(out);
        out.put_u8(b'}');
    }

    fn sign(&mut self, out: &mut impl BufMut) {
        match std::mem::replace(&mut self.entries, Entries::Open) {
            Entries::None => out.put_slice(b",\"entry\":["),
            Entries::Open => out.put_u8(b','),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn a_bundle_without_entries_has_no_array() {
        let empty = text(|out| {
            let mut bundle = Bundle::begin(out, "searchset");
            bundle.total(out, 0);
            bundle.close_entries(out);
            bundle.links(out, &[("self", "https://p/Goal?a=\"".to_owned())]);
            bundle.end(out);
        });
        assert_eq!(
            empty,
            r#"{"resourceType":"Bundle","type":"searchset","total":0,"link":[{"relation":"self","url":"https://p/Goal?a=\""}]}"#
        );
        assert_eq!(
            text(|out| Bundle::begin(out, "batch-response").end(out)),
            r#"{"resourceType":"Bundle","type":"batch-response"}"#
        );
    }

    #[test]
    fn entries_stand_in_one_array_and_links_may_follow() {
        let found = text(|out| {
            let mut bundle = Bundle::begin(out, "searchset");
            bundle.found(out, &["https://p", "/Goal/", "1"], b"{\"a\": 1}", "match");
            bundle.found(out, &["urn:uuid:2"], b"{}", "outcome");
            bundle.close_entries(out);
            bundle.links(out, &[("self", "s".to_owned()), ("next", "n".to_owned())]);
            bundle.end(out);
        });
        assert_eq!(
            found,
            concat!(
                r#"{"resourceType":"Bundle","type":"searchset","entry":[{"fullUrl":"https://p/Goal/1","resource":{"a": 1},"search":{"mode":"match"}},"#,
                r#"{"fullUrl":"urn:uuid:2","resource":{},"search":{"mode":"outcome"}}],"#,
                r#""link":[{"relation":"self","url":"s"},{"relation":"next","url":"n"}]}"#
            )
        );
        let answered = text(|out| {
            let mut bundle = Bundle::begin(out, "batch-response");
            bundle.answered(out, Some(b"{}"), br#"{"status":"200 OK"}"#);
            bundle.answered(out, None, br#"{"status":"404 Not Found"}"#);
            bundle.end(out);
        });
        assert_eq!(
            answered,
            concat!(
                r#"{"resourceType":"Bundle","type":"batch-response","entry":[{"resource":{},"response":{"status":"200 OK"}},"#,
                r#"{"response":{"status":"404 Not Found"}}]}"#
            )
        );
    }
}
