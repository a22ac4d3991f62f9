//! The resources that describe this server, prepared for reads and searches, and the Bundle of a search for them.

use super::describing;
use crate::http::document::PublicDocument;
use serde_json::{Value, json};

/// A resource that describes this server, with the elements by which it can be searched.
#[derive(Clone, Debug)]
pub struct Described {
    /// The resource.
    pub document: PublicDocument,
    /// The elements by name: `id`, `name`, `status`, `url`.
    elements: [(&'static str, String); 4],
    /// The name in lower case, for searches by name.
    small_name: String,
}

impl Described {
    /// Prepares a resource.
    pub fn new(resource: &Value) -> Described {
        let element = |name: &'static str| (name, resource[name].as_str().unwrap_or_default().to_owned());
        let elements = ["id", "name", "status", "url"].map(element);
        let below = format!(
            "{}/{}",
            resource["resourceType"].as_str().unwrap_or_default(),
            elements[0].1
        );
        Described {
            document: PublicDocument::fhir(resource.to_string(), &below),
            small_name: elements[1].1.to_lowercase(),
            elements,
        }
    }

    /// The name in lower case.
    pub fn small_name(&self) -> &str {
        &self.small_name
    }

    /// The text of an element by which it can be searched; empty for any other name.
    pub fn element(&self, name: &str) -> &str {
        let found = self.elements.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, text)| text)
    }
}

/// The resources of one conformance type.
pub struct ConformanceFamily {
    rtype: &'static str,
    /// The resources.
    pub members: Vec<Described>,
    /// The Bundle that a search without parameters returns.
    pub all: PublicDocument,
}

impl ConformanceFamily {
    /// The resources of this type, at this base URL.
    pub fn new(rtype: &'static str, base_url: &str) -> ConformanceFamily {
        let members = described(rtype, base_url);
        let all = bundle(&members.iter().collect::<Vec<_>>(), members.len(), rtype, &[], base_url);
        ConformanceFamily {
            all: PublicDocument::fhir(all, rtype),
            rtype,
            members,
        }
    }

    /// The type of the resources.
    pub fn rtype(&self) -> &'static str {
        self.rtype
    }
}

/// The resources of a conformance type, prepared for reads and searches.
fn described(rtype: &str, base_url: &str) -> Vec<Described> {
    describing::resources(rtype, base_url)
        .iter()
        .map(Described::new)
        .collect()
}

/// The Bundle of the resources that a search found. `total` is how many match, and `own` the parameters for its self link.
pub fn bundle(found: &[&Described], total: usize, rtype: &str, own: &[String], base_url: &str) -> Vec<u8> {
    let sign = if own.is_empty() { "" } else { "?" };
    let bundle = json!({
        "resourceType": "Bundle", "type": "searchset", "total": total,
        "link": [{"relation": "self", "url": format!("{base_url}/{rtype}{sign}{}", own.join("&"))}],
    });
    let mut bytes = bundle.to_string().into_bytes();
    if !found.is_empty() {
        // The resources are copied as bytes.
        bytes.pop();
        bytes.extend_from_slice(b",\"entry\":[");
        for (at, one) in found.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let url = Value::from(one.element("url"));
            bytes.extend_from_slice(format!("{comma}{{\"fullUrl\":{url},\"resource\":").as_bytes());
            bytes.extend_from_slice(one.document.bytes());
            bytes.extend_from_slice(b",\"search\":{\"mode\":\"match\"}}");
        }
        bytes.extend_from_slice(b"]}");
    }
    bytes
}
