//! What the pages know about the server: its addresses, its CapabilityStatement, and the targets of links.
//!
//! Links always use the configured base URL, never an address from a request or a resource.

use super::json::{items, text};
use crate::fhir::operations;
use crate::ids::is_fhir_id;
use serde_json::Value;
use std::sync::Arc;

/// Who reads a page, and so which forms it has.
#[derive(Clone, Debug, Default)]
pub enum PageReader {
    /// Somebody who is not known; the page is the same for all.
    #[default]
    Anybody,
    /// Somebody without a session, who may begin one.
    Newcomer {
        /// The form token that is bound to the browser.
        form_token: String,
        /// The partner that the reader may act as, on a development server.
        may_act_as: Option<String>,
    },
    /// Somebody with a session.
    Visitor {
        /// The partner whose token it is.
        partner: String,
        /// When the token ends.
        ends: String,
        /// The form token of the session.
        form_token: String,
    },
}

/// A server, as its pages describe it to a reader.
#[derive(Clone, Debug)]
pub struct PageSite {
    base_url: String,
    path: String,
    statement: Arc<Value>,
    operations: Arc<Vec<Value>>,
    reader: PageReader,
}

impl PageSite {
    /// The server at `base_url` (without a slash at its end) that this CapabilityStatement describes.
    pub fn new(base_url: &str, statement: impl Into<Arc<Value>>) -> PageSite {
        let after_scheme = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
        let path = after_scheme.find('/').map_or("", |at| &after_scheme[at..]);
        PageSite {
            base_url: base_url.to_owned(),
            path: path.to_owned(),
            statement: statement.into(),
            operations: Arc::new(operations::definitions(base_url)),
            reader: PageReader::Anybody,
        }
    }

    /// The same server for this reader.
    pub fn read_by(&self, reader: PageReader) -> PageSite {
        PageSite { reader, ..self.clone() }
    }

    /// Who reads.
    pub fn reader(&self) -> &PageReader {
        &self.reader
    }

    /// The FHIR base URL.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The base URL without its path.
    pub fn origin(&self) -> &str {
        self.base_url.strip_suffix(self.path.as_str()).unwrap_or(&self.base_url)
    }

    /// A path below the base, for a link: `/fhir/Patient` for `Patient`.
    pub fn at(&self, below: &str) -> String {
        format!("{}/{below}", self.path)
    }

    /// The CapabilityStatement.
    pub fn statement(&self) -> &Value {
        &self.statement
    }

    /// The types that the statement lists.
    pub fn types(&self) -> &[Value] {
        items(&self.statement["rest"][0]["resource"])
    }

    /// The row of a type in the statement.
    pub fn of_type(&self, rtype: &str) -> Option<&Value> {
        self.types().iter().find(|row| text(row, "type") == rtype)
    }

    /// Whether an interaction with a type is declared.
    pub fn can(&self, rtype: &str, interaction: &str) -> bool {
        self.of_type(rtype).is_some_and(|row| {
            items(&row["interaction"])
                .iter()
                .any(|one| text(one, "code") == interaction)
        })
    }

    /// This server's definition of the operation with this code.
    pub fn operation(&self, code: &str) -> Option<&Value> {
        self.operations.iter().find(|one| text(one, "code") == code)
    }

    /// The path of a request if it is safe in a link and in a shell command; otherwise the path of `metadata`. The path may have been
    /// chosen by somebody else, whose link the user followed, so it must not lead to another server or end the quotes of the command.
    pub fn plain_path(&self, path: &str) -> String {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/$".contains(&b);
        if path.starts_with('/') && !path.starts_with("//") && path.bytes().all(plain) {
            path.to_owned()
        } else {
            self.at("metadata")
        }
    }

    /// The type that a request's path is about: `Patient` for `/fhir/Patient/1`.
    pub fn type_of_path<'a>(&self, path: &'a str) -> Option<&'a str> {
        let below = path.strip_prefix(self.path.as_str())?.strip_prefix('/')?;
        let rtype = below.split('/').next()?;
        self.of_type(rtype).map(|_| rtype)
    }

    /// The target of a text on this server; `None` for a text that is not a link.
    pub fn link(&self, key: &str, value: &str) -> Option<String> {
        if let Some(below) = value
            .strip_prefix(&self.base_url)
            .and_then(|rest| rest.strip_prefix('/'))
        {
            return self.ours(below);
        }
        if key == "reference" {
            self.reference(value)
        } else {
            None
        }
    }

    /// The page of a relative reference `Type/id`, when resources of that type can be read.
    fn reference(&self, value: &str) -> Option<String> {
        let mut parts = value.split('/');
        let (rtype, id) = (parts.next()?, parts.next()?);
        let rest: Vec<&str> = parts.collect();
        let fits = rest.is_empty() || (rest.len() == 2 && rest[0] == "_history");
        (fits && is_fhir_id(id) && self.can(rtype, "read")).then(|| self.at(&format!("{rtype}/{id}")))
    }

    /// The target of an absolute URL below the base URL: a resource, or another address as it is.
    fn ours(&self, below: &str) -> Option<String> {
        let below = below.split('|').next().unwrap_or(below);
        if let Some(page) = self.reference(below) {
            return Some(page);
        }
        let safe = |b: u8| b.is_ascii_alphanumeric() || b"-._~/?&=%$+,:".contains(&b);
        (!below.is_empty() && below.bytes().all(safe)).then(|| self.at(below))
    }
}
