//! The tests that a search applies to each resource. All filters of a search must hold; of the values of one filter, one is enough.

use super::params::Param;

/// How a date of a search is compared with a date of a resource (FHIR R4 search, "Prefixes").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Prefix {
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    Sa,
    Eb,
    /// Overlaps; the range has already been widened.
    Ap,
}

impl Prefix {
    /// All prefixes, with their letters in a query.
    pub const ALL: &'static [(&'static str, Prefix)] = &[
        ("eq", Prefix::Eq),
        ("ne", Prefix::Ne),
        ("gt", Prefix::Gt),
        ("lt", Prefix::Lt),
        ("ge", Prefix::Ge),
        ("le", Prefix::Le),
        ("sa", Prefix::Sa),
        ("eb", Prefix::Eb),
        ("ap", Prefix::Ap),
    ];
}

/// A date of a search: the time span that it names, UTC milliseconds, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct DateTest {
    pub prefix: Prefix,
    pub from_ms: i64,
    pub to_ms: i64,
}

/// A value of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueTest {
    /// A token. Without `code` any code matches, without `system` any system; an empty system matches values without a system.
    Token {
        /// The folded code.
        code: Option<String>,
        /// The exact system.
        system: Option<String>,
    },
    /// A resource of this server with this id, and of this type if there is one.
    Reference {
        /// Its type.
        rtype: Option<String>,
        /// Its id.
        id: String,
    },
    /// A URL of another server, or a canonical.
    Url(String),
    /// The folded beginning of a string.
    Starts(String),
    /// An exact string, however its accents are encoded.
    Exact {
        /// The folded text, as it is indexed.
        folded: String,
        /// The text as written, in normalization form C.
        text: String,
    },
    /// A folded part of a string.
    Contains(String),
}

/// One condition of a search.
#[derive(Clone, Debug)]
pub enum SearchFilter {
    /// The id is one of these, or with `not` none of them.
    Ids {
        /// The ids.
        any: Vec<String>,
        /// Whether the condition is negated.
        not: bool,
    },
    /// `meta.lastUpdated`.
    Updated(Vec<DateTest>),
    /// The member is one of these, and the element of the parameter `name` refers to the member.
    Owner {
        /// Ids of Patients.
        any: Vec<String>,
        /// The parameter.
        name: &'static str,
    },
    /// Whether the element of the parameter `name` does not refer to the member.
    OwnerMissing {
        /// The parameter.
        name: &'static str,
        /// The wanted result.
        missing: bool,
    },
    /// The resource has one of these values, or with `not` none of them.
    Values {
        /// The parameter.
        param: &'static Param,
        /// The values.
        any: Vec<ValueTest>,
        /// Whether the condition is negated.
        not: bool,
    },
    /// The resource has a date that compares with one of these as its prefix says.
    Dates {
        /// The parameter.
        param: &'static Param,
        /// The dates.
        any: Vec<DateTest>,
    },
    /// Whether the resource has no value for the parameter.
    Missing {
        /// The parameter.
        param: &'static Param,
        /// The wanted result.
        missing: bool,
    },
}
