//! A query read: names and values become filters, includes, order and shape, or a refusal that names its place.
//!
//! What would narrow or widen an answer and is not understood is refused, never passed over (FHIR R4 search, "Modifiers";
//! `docs/threats.md` D03). A parameter that is not known at all is passed over and told, or refused when the caller is strict.

use super::params::{self, COMMON, Kind, PARAMS, Param};
use super::test::Filter;
use super::value;
use crate::error::{Failure, Fault};

/// Parameters of one query (threat B09).
pub const PARAMETERS_MAX: usize = 50;
/// Values of one parameter, and includes of one query (threat B09).
pub const VALUES_MAX: usize = 50;
/// Entries on a page when nothing is said.
pub const COUNT_DEFAULT: i64 = 50;
/// Entries on a page at most.
pub const COUNT_MAX: i64 = 200;
/// Sort keys of one query.
const SORTS_MAX: usize = 3;

/// Parameters that shape the answer's form and never select; `http` reads them.
const FORM: &[&str] = &["_format", "_pretty"];
/// Parameters of R4 that select and are not served.
const REFUSED: &[&str] = &[
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

/// What of each resource is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Summary {
    /// Everything.
    #[default]
    Whole,
    /// No resources, only their number.
    Count,
    /// Everything but the narrative.
    Data,
    /// Narrative, id, meta and mandatory elements.
    Text,
    /// These elements and the mandatory ones.
    Elements(Vec<String>),
}

/// By what matches are ordered.
#[derive(Clone, Copy, Debug)]
pub enum Sort {
    /// `_id`.
    Id,
    /// `_lastUpdated`.
    Updated,
    /// A parameter that is indexed.
    By(&'static Param),
}

/// Resources that come along.
#[derive(Clone, Debug)]
pub struct Include {
    /// The parameter whose reference is followed, forwards or backwards.
    pub param: &'static Param,
    /// Only resources of this type.
    pub target: Option<String>,
}

/// A search of one type.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// The type.
    pub rtype: String,
    /// All must hold.
    pub filters: Vec<Filter>,
    /// `_include`.
    pub includes: Vec<Include>,
    /// `_revinclude`.
    pub revincludes: Vec<Include>,
    /// First key first; descending where true. In the order of storage when empty.
    pub sort: Vec<(Sort, bool)>,
    /// Entries on a page.
    pub count: i64,
    /// Whether the exact number of matches was asked for; `Some(false)` when none is wanted.
    pub total: Option<bool>,
    /// Shape of the resources.
    pub summary: Summary,
    /// What was understood, for the self link: name, and value unless it identifies a person.
    pub understood: Vec<(String, Option<String>)>,
    /// What was passed over.
    pub passed_over: Vec<PassedOver>,
}

/// A parameter that is not known and was passed over. Its own name is the caller's word, so it is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Its place in the query, counted from one.
    pub at: usize,
    /// Its name, when it is that of a parameter of some type.
    pub name: Option<&'static str>,
    /// The parameter of this type whose name is nearest, when one is near.
    pub nearest: Option<&'static str>,
}

impl PassedOver {
    fn new(at: usize, rtype: &str, name: &str) -> PassedOver {
        PassedOver {
            at,
            name: some_name(name),
            nearest: nearest(rtype, name),
        }
    }

    /// What a caller is told of it.
    pub fn told(&self, rtype: &str) -> String {
        let hint = self
            .nearest
            .map_or(String::new(), |name| format!(" Did you mean {name}?"));
        format!(
            "Parameter {} of the query is not one that {rtype} is searched by here.{hint}",
            self.at
        )
    }
}

/// What reading a query takes besides the query.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Base URL of this server.
    pub base_url: &'a str,
    /// The clock, for `ap`.
    pub now_ms: i64,
    /// Refuse what is not known.
    pub strict: bool,
}

/// Reads the pairs of a query for resources of `rtype`.
///
/// # Errors
/// [`Fault::ParameterUnknown`] and [`Fault::ParameterInvalid`] with the parameter's place.
pub fn read(rtype: &str, pairs: &[(String, String)], reading: &Reading<'_>) -> Result<Search, Failure> {
    if pairs.len() > PARAMETERS_MAX {
        return Err(Failure::new(Fault::ParameterInvalid)
            .at(rtype)
            .remedy(format!("Send at most {PARAMETERS_MAX} parameters.")));
    }
    let mut search = Search {
        rtype: rtype.to_owned(),
        count: COUNT_DEFAULT,
        ..Search::default()
    };
    for (index, (name, text)) in pairs.iter().enumerate() {
        if FORM.contains(&name.as_str()) {
            continue;
        }
        let place = place(rtype, name);
        let wrong = || Failure::new(Fault::ParameterInvalid).at(place.clone());
        if text.is_empty() {
            return Err(wrong().remedy("Give the parameter a value, or leave it out."));
        }
        match shape(&mut search, name, text, &wrong)? {
            Shape::Other => {}
            Shape::Unknown if reading.strict => return Err(unknown(&place, UNKNOWN_INCLUDE)),
            Shape::Unknown => {
                search.passed_over.push(PassedOver {
                    at: index + 1,
                    name: some_name(name),
                    nearest: None,
                });
                continue;
            }
            Shape::Taken => {
                search.understood.push((name.clone(), Some(text.clone())));
                continue;
            }
        }
        let (bare, modifier) = match name.split_once(':') {
            Some((bare, modifier)) => (bare, Some(modifier)),
            None => (name.as_str(), None),
        };
        if REFUSED.contains(&bare) || name.contains('.') {
            return Err(unknown(&place, NOT_SERVED));
        }
        let known = match bare {
            "_id" | "_lastUpdated" => true,
            _ => params::find(rtype, bare).is_some(),
        };
        match (known, modifier, reading.strict) {
            (true, ..) => {}
            (false, None, false) => {
                search.passed_over.push(PassedOver::new(index + 1, rtype, bare));
                continue;
            }
            _ => return Err(unknown(&place, PassedOver::new(index + 1, rtype, bare).told(rtype))),
        }
        let values = split(text, ',');
        if values.len() > VALUES_MAX || values.iter().any(String::is_empty) {
            return Err(wrong().remedy(format!("Give 1 to {VALUES_MAX} values, none of them empty.")));
        }
        let param = params::find(rtype, bare);
        let filter = value::filter(bare, param, modifier, &values, reading).map_err(|refusal| match refusal {
            value::Refusal::Modifier => unknown(&place, modifiers(param)),
            value::Refusal::Value(remedy) => wrong().remedy(remedy),
        })?;
        search.filters.push(filter);
        let personal = param.is_some_and(Param::is_personal);
        search
            .understood
            .push((name.clone(), (!personal).then(|| text.clone())));
    }
    Ok(search)
}

/// What became of a parameter that may shape the answer.
enum Shape {
    Taken,
    /// It asks for something that is not served, and nothing is lost without it.
    Unknown,
    /// It does not shape but select.
    Other,
}

/// Takes a parameter that shapes the answer.
fn shape(search: &mut Search, name: &str, text: &str, wrong: &dyn Fn() -> Failure) -> Result<Shape, Failure> {
    match name {
        "_count" => {
            let count: u32 = text.parse().map_err(|_| wrong().remedy("Give a whole number."))?;
            search.count = i64::from(count).min(COUNT_MAX);
            if count == 0 {
                search.summary = Summary::Count;
            }
        }
        "_summary" => {
            search.summary = match text {
                "false" | "true" => Summary::Whole,
                "count" => Summary::Count,
                "data" => Summary::Data,
                "text" => Summary::Text,
                _ => return Err(wrong().remedy("Use count, data, text, true or false.")),
            }
        }
        "_elements" => {
            let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
            let fit = |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic());
            if names.len() > VALUES_MAX || !names.iter().all(fit) {
                return Err(wrong().remedy("Name elements of the root, with commas between them."));
            }
            search.summary = Summary::Elements(names);
        }
        "_total" => {
            search.total = match text {
                "none" => Some(false),
                "estimate" | "accurate" => Some(true),
                _ => return Err(wrong().remedy("Use none, estimate or accurate.")),
            }
        }
        "_sort" => {
            for key in text.split(',') {
                let (name, descending) = key.strip_prefix('-').map_or((key, false), |name| (name, true));
                let by = match name {
                    "_id" => Sort::Id,
                    "_lastUpdated" => Sort::Updated,
                    _ => match params::find(&search.rtype, name).filter(|param| param.kind != Kind::Owner) {
                        Some(param) => Sort::By(param),
                        None => {
                            let hint = nearest(&search.rtype, name)
                                .filter(|near| *near != name)
                                .map_or(String::new(), |near| format!(" Did you mean {near}?"));
                            return Err(
                                wrong().remedy(format!("Sort by parameters of this type that are indexed.{hint}"))
                            );
                        }
                    },
                };
                search.sort.push((by, descending));
            }
            if search.sort.len() > SORTS_MAX {
                return Err(wrong().remedy(format!("Sort by at most {SORTS_MAX} parameters.")));
            }
        }
        "_include" | "_revinclude" => {
            let found = match include(&search.rtype, text, name == "_revinclude") {
                Following::These(found) => found,
                Following::Unknown => return Ok(Shape::Unknown),
                Following::Malformed => {
                    return Err(
                        wrong().remedy("Use Type:parameter or Type:parameter:Target; see the CapabilityStatement.")
                    );
                }
            };
            let list = if name == "_include" {
                &mut search.includes
            } else {
                &mut search.revincludes
            };
            list.extend(found);
            if list.len() > VALUES_MAX {
                return Err(wrong().remedy(format!("Include by at most {VALUES_MAX} parameters.")));
            }
        }
        _ => return Ok(Shape::Other),
    }
    Ok(Shape::Taken)
}

/// What an include leads to.
enum Following {
    These(Vec<Include>),
    Unknown,
    Malformed,
}

/// Whether references of this parameter may be followed.
fn leads(param: &Param) -> bool {
    matches!(param.kind, Kind::Reference(_) | Kind::Owner)
}

fn include(rtype: &str, text: &str, reverse: bool) -> Following {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, name, target) = match parts.as_slice() {
        ["*"] if !reverse => (rtype, "*", None),
        [source, name] => (*source, *name, None),
        [source, name, target] => (*source, *name, Some(*target)),
        _ => return Following::Malformed,
    };
    let is_type = causeway_fhir_types::is_type;
    if !is_type(source) || target.is_some_and(|target| !is_type(target)) || name.is_empty() {
        return Following::Malformed;
    }
    if (!reverse && source != rtype) || (reverse && target.is_some_and(|target| target != rtype)) {
        return Following::Unknown;
    }
    let follow = |param: &'static Param| Include {
        param,
        target: target.map(str::to_owned),
    };
    let all = params::of(source).iter().filter(|param| leads(param));
    let found: Vec<Include> = match name {
        "*" if reverse => Vec::new(),
        "*" => return Following::These(all.map(follow).collect()),
        _ => all.filter(|param| param.name == name).map(follow).collect(),
    };
    if found.is_empty() {
        Following::Unknown
    } else {
        Following::These(found)
    }
}

/// Splits at an unescaped sign (FHIR R4 search, "Escaping Search Parameters"); the escapes stay for the next split.
pub(super) fn split(text: &str, sign: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let last = parts.len() - 1;
        match letter {
            '\\' => {
                parts[last].push('\\');
                parts[last].extend(letters.next());
            }
            _ if letter == sign => parts.push(String::new()),
            _ => parts[last].push(letter),
        }
    }
    parts
}

const UNKNOWN_INCLUDE: &str =
    "There is no such include: searchInclude and searchRevInclude of the CapabilityStatement name those that are.";
const NOT_SERVED: &str = "Chains, _has, _filter and other searches beyond the type's own parameters are not served.";

fn unknown(place: &str, remedy: impl Into<String>) -> Failure {
    Failure::new(Fault::ParameterUnknown).at(place).remedy(remedy)
}

/// Which modifiers a parameter takes; without one for `_id` and `_lastUpdated`.
fn modifiers(param: Option<&Param>) -> &'static str {
    match param.map(|param| param.kind) {
        Some(Kind::Token | Kind::Code(_)) => "Of modifiers, this parameter takes :not and :missing.",
        Some(Kind::Text) => "Of modifiers, this parameter takes :exact, :contains and :missing.",
        Some(Kind::Reference(_) | Kind::Owner) => {
            "Of modifiers, this parameter takes the type of the target and :missing."
        }
        Some(Kind::Date | Kind::Uri | Kind::Canonical) => "Of modifiers, this parameter takes :missing.",
        None => "Of modifiers, _id takes :not; _lastUpdated takes none.",
    }
}

/// Letters by which a name may differ from that which was meant, at most a third of it.
const SLIPS: usize = 3;
/// Longest name that is compared with ours.
const COMPARED: usize = 40;

/// The parameter of `rtype` that a wrong name is nearest to: letters left out, added, changed or swapped, capitals aside.
fn nearest(rtype: &str, wrong: &str) -> Option<&'static str> {
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

/// Parameters of every search that shape its answer or are columns.
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

/// Where a parameter stands, without any text of the caller's that is not a name of ours.
fn place(rtype: &str, name: &str) -> String {
    let bare = name.split([':', '.']).next().unwrap_or_default();
    match some_name(bare) {
        Some(bare) => format!("{rtype}?{bare}"),
        None => rtype.to_owned(),
    }
}

/// The name, when it is that of a parameter of some type.
fn some_name(name: &str) -> Option<&'static str> {
    let tables = COMMON.iter().chain(PARAMS).map(|param| param.name);
    tables
        .chain(SHAPES.iter().copied())
        .chain(REFUSED.iter().copied())
        .find(|known| *known == name)
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
