//! Parameter names in queries: which names are known, and which known name a wrong one is nearest to.

use super::params::{self, COMMON, PARAMS};

/// Selecting parameters of R4 that this server does not support, and refuses.
pub(super) const REFUSED: &[&str] = &[
    "_filter",
    "_list",
    "_query",
    "_text",
    "_content",
    "_has",
    "_type",
    "_contained",
    "_containedType",
];

/// An unknown parameter that was ignored. Its name comes from the caller, so it is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Its position in the query, from 1.
    pub at: usize,
    /// Its name, if it is the name of a parameter of some type.
    pub name: Option<&'static str>,
    /// The parameter of this type with the most similar name, if one is similar.
    pub nearest: Option<&'static str>,
}

impl PassedOver {
    pub(super) fn new(at: usize, rtype: &str, name: &str) -> PassedOver {
        PassedOver {
            at,
            name: some_name(name),
            nearest: nearest(rtype, name),
        }
    }

    /// The text about it for the caller.
    pub fn told(&self, rtype: &str) -> String {
        let hint = self
            .nearest
            .map_or(String::new(), |name| format!(" Did you mean {name}?"));
        format!(
            "Searches of {rtype} do not support parameter {} of the query.{hint}",
            self.at
        )
    }
}

/// Most letters by which a wrong name may differ from a known one; also at most a third of it.
const SLIPS: usize = 3;
/// Longest name that is compared with known names.
const COMPARED: usize = 40;

/// The parameter of `rtype` whose name is nearest to a wrong one: letters may be missing, added, changed or swapped, and case is ignored.
pub(super) fn nearest(rtype: &str, wrong: &str) -> Option<&'static str> {
    if wrong.len() > COMPARED {
        return None;
    }
    let wrong = wrong.to_ascii_lowercase();
    let own = COMMON.iter().chain(params::of(rtype)).map(|param| param.name);
    let near = own.chain(SHAPES.iter().copied()).filter_map(|name| {
        let slips = strsim::damerau_levenshtein(&wrong, &name.to_ascii_lowercase());
        (slips <= SLIPS.min(name.len() / 3)).then_some((slips, name))
    });
    near.min().map(|(_, name)| name)
}

/// Parameters of every search that shape its answer or are columns of the table.
const SHAPES: &[&str] = &[
    "_id",
    "_lastUpdated",
    "_count",
    "_summary",
    "_elements",
    "_total",
    "_sort",
    "_include",
    "_revinclude",
];

/// The name, if it is the name of a parameter of some type.
pub(super) fn some_name(name: &str) -> Option<&'static str> {
    let tables = COMMON.iter().chain(PARAMS).map(|param| param.name);
    tables
        .chain(SHAPES.iter().copied())
        .chain(REFUSED.iter().copied())
        .find(|known| *known == name)
}
