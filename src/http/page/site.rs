//! What the pages know of the server: its addresses, its CapabilityStatement, and which texts lead where.
//!
//! Links go to paths of the configured base URL, never to an address that a request or a resource names.

use super::{items, text};
use crate::fhir::operations;
use crate::ids::is_fhir_id;
use serde_json::Value;
use std::sync::Arc;

/// One server, as its pages describe it.
pub struct Site {
    base_url: String,
    path: String,
    statement: Arc<Value>,
    operations: Vec<Value>,
}

impl Site {
    /// The server at `base_url` (no slash at its end) that this CapabilityStatement describes.
    pub fn new(base_url: &str, statement: impl Into<Arc<Value>>) -> Site {
        let after_scheme = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
        let path = after_scheme.find('/').map_or("", |at| &after_scheme[at..]);
        Site {
            base_url: base_url.to_owned(),
            path: path.to_owned(),
            statement: statement.into(),
            operations: operations::definitions(base_url),
        }
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

    /// The types the statement lists.
    pub fn types(&self) -> &[Value] {
        items(&self.statement["rest"][0]["resource"])
    }

    /// The statement's row of a type.
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

    /// Our definition of the operation with this code.
    pub fn operation(&self, code: &str) -> Option<&Value> {
        self.operations.iter().find(|one| text(one, "code") == code)
    }

    /// A request's path when it may stand in a link and in a command to copy; else that of `metadata`. Whoever made the link
    /// that a person followed chose the path, and it must neither lead away nor end the quotes of a command.
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

    /// Where a text of a resource leads on this server; `None` for what is only text.
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

    /// The page of a relative reference `Type/id`, when that type can be read here.
    fn reference(&self, value: &str) -> Option<String> {
        let mut parts = value.split('/');
        let (rtype, id) = (parts.next()?, parts.next()?);
        let rest: Vec<&str> = parts.collect();
        let fits = rest.is_empty() || (rest.len() == 2 && rest[0] == "_history");
        (fits && is_fhir_id(id) && self.can(rtype, "read")).then(|| self.at(&format!("{rtype}/{id}")))
    }

    /// What stands below our base in an absolute URL: a resource, or another address of ours as it is.
    fn ours(&self, below: &str) -> Option<String> {
        let below = below.split('|').next().unwrap_or(below);
        if let Some(page) = self.reference(below) {
            return Some(page);
        }
        let safe = |b: u8| b.is_ascii_alphanumeric() || b"-._~/?&=%$+,:".contains(&b);
        (!below.is_empty() && below.bytes().all(safe)).then(|| self.at(below))
    }
}
