//! What a search tests of each resource. All filters of a search must hold; of the tests of one filter, one is enough.

use super::params::Param;

/// How a date of a search stands to a date of a resource (FHIR R4 search, "Prefixes").
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
    /// Overlaps; the range is widened already.
    Ap,
}

impl Prefix {
    /// All, by their letters in a query.
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

/// A date of a search: the span it names, UTC milliseconds, both ends inclusive.
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
    /// A token: any code when `code` is absent, any system when `system` is; an empty system means that there is none.
    Token {
        /// Folded code.
        code: Option<String>,
        /// Exact system.
        system: Option<String>,
    },
    /// A resource of ours by id, of any type or of this one.
    Reference {
        /// Its type.
        rtype: Option<String>,
        /// Its id.
        id: String,
    },
    /// An address that is not one of ours, or a canonical.
    Url(String),
    /// Folded beginning of a string.
    Starts(String),
    /// A string to the letter, however its marks are encoded.
    Exact {
        /// Folded, as it is indexed.
        folded: String,
        /// As it was written, in normalization form C.
        text: String,
    },
    /// Folded part of a string.
    Contains(String),
}

/// One condition of a search.
#[derive(Clone, Debug)]
pub enum Filter {
    /// One of these ids, or none of them.
    Ids {
        /// The ids.
        any: Vec<String>,
        /// Turns it round.
        not: bool,
    },
    /// `meta.lastUpdated`.
    Updated(Vec<DateTest>),
    /// The member is one of these, and the element that `name` stands for says so.
    Owner {
        /// Ids of Patients.
        any: Vec<String>,
        /// The parameter.
        name: &'static str,
    },
    /// Whether the element that `name` stands for does not name the member.
    OwnerMissing {
        /// The parameter.
        name: &'static str,
        /// What is wanted.
        missing: bool,
    },
    /// One of these values is there, or none of them is.
    Values {
        /// The parameter.
        param: &'static Param,
        /// The values.
        any: Vec<ValueTest>,
        /// Turns it round.
        not: bool,
    },
    /// A date stands to one of these as its prefix says.
    Dates {
        /// The parameter.
        param: &'static Param,
        /// The dates.
        any: Vec<DateTest>,
    },
    /// Whether there is no value at all.
    Missing {
        /// The parameter.
        param: &'static Param,
        /// What is wanted.
        missing: bool,
    },
}
