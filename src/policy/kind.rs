//! The kinds of policies: what each rules, for whom a version of it may be put in force, and where its texts come from. Data only.
//!
//! The texts and their checks belong to the modules that decide by them, which stand above this one; they come in as a table of
//! [`PolicyKindRow`]s.

use crate::secret::{hex, sha256};
use crate::store::activations::RETENTION;
use crate::store::policies::{MATCHING, SURVIVORSHIP};

pub use crate::store::policies::CITED_DIGITS;

/// What a policy rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyKind {
    /// Which member a request means.
    Matching,
    /// Which source's value is shown for each attribute of a person.
    Survivorship,
    /// What leaves under a grant.
    Release,
    /// Which consents permit a disclosure.
    Consent,
    /// When an exchange tries again.
    Retry,
    /// When an exchange is handed to an operator.
    Escalation,
    /// How long rows are kept.
    Retention,
    /// What partners are told to do about a refusal.
    ErrorTexts,
    /// Which versions of the guides a partner speaks.
    Dialects,
    /// What is promised: objectives with target and window.
    Slo,
}

/// For whom a version may be put in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KindScope {
    /// For every partner, or for named ones first.
    Partners,
    /// For named partners only: what holds for the others is in their registration.
    NamedPartners,
    /// For the store as a whole.
    Store,
}

impl PolicyKind {
    /// All kinds, in the order of lists.
    pub const ALL: [PolicyKind; 10] = [
        PolicyKind::Matching,
        PolicyKind::Survivorship,
        PolicyKind::Release,
        PolicyKind::Consent,
        PolicyKind::Retry,
        PolicyKind::Escalation,
        PolicyKind::Retention,
        PolicyKind::ErrorTexts,
        PolicyKind::Dialects,
        PolicyKind::Slo,
    ];

    /// Its name in commands, in the store and in `/ops/v1`.
    pub const fn code(self) -> &'static str {
        match self {
            PolicyKind::Matching => MATCHING,
            PolicyKind::Survivorship => SURVIVORSHIP,
            PolicyKind::Release => "release",
            PolicyKind::Consent => "consent",
            PolicyKind::Retry => "retry",
            PolicyKind::Escalation => "escalation",
            PolicyKind::Retention => RETENTION,
            PolicyKind::ErrorTexts => "error-texts",
            PolicyKind::Dialects => "dialects",
            PolicyKind::Slo => "slo",
        }
    }

    /// The kind of this name.
    pub fn parse(code: &str) -> Option<PolicyKind> {
        PolicyKind::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// For whom a version of it may be put in force.
    pub const fn scope(self) -> KindScope {
        match self {
            PolicyKind::Matching | PolicyKind::Retry | PolicyKind::Escalation | PolicyKind::ErrorTexts => {
                KindScope::Partners
            }
            PolicyKind::Dialects => KindScope::NamedPartners,
            PolicyKind::Survivorship
            | PolicyKind::Release
            | PolicyKind::Consent
            | PolicyKind::Retention
            | PolicyKind::Slo => KindScope::Store,
        }
    }

    /// As what decisions and entries cite a version that is no built-in one with a name of its own.
    pub(crate) fn cited(self, name: &str, id: &str) -> String {
        match self {
            PolicyKind::Matching | PolicyKind::Survivorship | PolicyKind::Release | PolicyKind::Consent => {
                name.to_owned()
            }
            _ => format!("{name}-{}", id.get(..CITED_DIGITS).unwrap_or(id)),
        }
    }
}

/// A version that is part of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// Its name.
    pub name: String,
    /// Its text; the version's id is the digest of it.
    pub body: String,
}

impl BuiltIn {
    /// SHA-256 of its text, hexadecimal.
    pub fn id(&self) -> String {
        hex(&sha256(self.body.as_bytes()))
    }
}

/// What is wrong with a text. `Display` says it without the text's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError {
    /// Number of the line, from 1; 0 for what is missing.
    pub line: usize,
    /// What is wrong, in words that complete "Correct the policy: ".
    pub what: String,
}

impl TextError {
    /// An error at this line.
    pub fn at(line: usize, what: impl Into<String>) -> TextError {
        TextError {
            line,
            what: what.into(),
        }
    }
}

/// Checks a text and returns its canonical form, whose digest is the version's id.
pub type CheckText = fn(&str) -> Result<String, TextError>;

/// How the lines of a text are told apart when two texts are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineForm {
    /// `key = value`.
    Equals,
    /// A key of one word, then its values; lines that begin with one of these words have a key of two.
    Words(&'static [&'static str]),
    /// A key, a tab, then its values.
    Tab,
    /// `"key": "value"`.
    Json,
}

/// Where the texts of a kind come from.
#[derive(Clone, Copy, Debug)]
pub struct PolicyKindRow {
    /// The kind.
    pub kind: PolicyKind,
    /// The versions that are part of the program; the first one decides until another is put in force.
    pub built_in: fn() -> Vec<BuiltIn>,
    /// The check of another text; `None` where the rules are code, so that another version is another program.
    pub check: Option<CheckText>,
    /// Whether something decides by this kind; a version of one by which nothing decides cannot be put in force.
    pub is_used: bool,
    /// How its lines are compared.
    pub lines: LineForm,
}

/// The table of all kinds but those whose texts this module reads itself.
pub type KindTable = &'static [PolicyKindRow];

/// The row of a kind; `None` for matching and survivorship.
pub fn row_of(table: KindTable, kind: PolicyKind) -> Option<&'static PolicyKindRow> {
    table.iter().find(|row| row.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_back_and_a_citation_names_the_text() {
        for kind in PolicyKind::ALL {
            assert_eq!(PolicyKind::parse(kind.code()), Some(kind));
        }
        assert_eq!(PolicyKind::parse("weather"), None);
        let id = "0123456789abcdef0123";
        assert_eq!(PolicyKind::Retry.cited("default", id), "default-0123456789abcdef");
        assert_eq!(PolicyKind::Release.cited("cms-0057/3", id), "cms-0057/3");
    }
}
