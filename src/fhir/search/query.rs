//! Reads a query: turns names and values into filters, includes, order and shape, or into a refusal that names its place.
//!
//! What would narrow or widen the answer and is not understood is always refused (FHIR R4 search, "Modifiers"; `docs/threats.md` D03). An
//! unknown parameter is ignored and reported, or refused when the caller asks for strict handling.

pub use super::names::PassedOver;
use super::names::{REFUSED, nearest, some_name};
use super::params::{self, Param, ParamKind};
pub use super::reading::QueryReading;
use super::reading::split;
use super::test::SearchFilter;
use super::value;
use crate::error::{Failure, Fault};

/// Most parameters in one query (threat B09).
pub const PARAMETERS_MAX: usize = 50;
/// Most values of one parameter, and most includes of one query (threat B09).
pub const VALUES_MAX: usize = 50;
/// Entries on a page without `_count`.
pub const COUNT_DEFAULT: i64 = 50;
/// Most entries on a page.
pub const COUNT_MAX: i64 = 200;
/// Most sort keys in one query.
const SORTS_MAX: usize = 3;

/// Parameters for the form of the answer, which never select; `http` reads them.
const FORM: &[&str] = &["_format", "_pretty"];

/// Which parts of each resource are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Summary {
    /// Everything.
    #[default]
    Whole,
    /// No resources, only the number of matches.
    Count,
    /// Everything but the narrative.
    Data,
    /// The narrative, id, meta and mandatory elements.
    Text,
    /// These elements and the mandatory ones.
    Elements(Vec<String>),
}

/// A sort key.
#[derive(Clone, Copy, Debug)]
pub enum Sort {
    /// `_id`.
    Id,
    /// `_lastUpdated`.
    Updated,
    /// An indexed parameter.
    By(&'static Param),
}

/// An `_include` or `_revinclude`.
#[derive(Clone, Debug)]
pub struct Include {
    /// The parameter whose reference is followed, forwards or backwards.
    pub param: &'static Param,
    /// Limits it to resources of this type.
    pub target: Option<String>,
}

/// A search of one type.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// The type.
    pub rtype: String,
    /// The filters, all of which must hold.
    pub filters: Vec<SearchFilter>,
    /// `_include`.
    pub includes: Vec<Include>,
    /// `_revinclude`.
    pub revincludes: Vec<Include>,
    /// The sort keys, most important first, each with `true` for descending. When empty, the order of storage is used.
    pub sort: Vec<(Sort, bool)>,
    /// Entries on a page.
    pub count: i64,
    /// `Some(true)` when the exact number of matches was asked for, `Some(false)` when none is wanted.
    pub total: Option<bool>,
    /// Which parts of the resources are sent.
    pub summary: Summary,
    /// The parameters that were understood, for the self link: name, and value unless it identifies a person.
    pub understood: Vec<(String, Option<String>)>,
    /// The parameters that were ignored.
    pub passed_over: Vec<PassedOver>,
}

/// Reads the pairs of a query for resources of `rtype`.
///
/// # Errors
/// [`Fault::ParameterUnknown`] and [`Fault::ParameterInvalid`], with the place of the parameter.
pub fn read(rtype: &str, pairs: &[(String, String)], reading: &QueryReading<'_>) -> Result<Search, Failure> {
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
            value::ValueRefusal::Modifier => unknown(&place, modifiers(param)),
            value::ValueRefusal::Value(remedy) => wrong().remedy(remedy),
        })?;
        search.filters.push(filter);
        let personal = param.is_some_and(Param::is_personal);
        search
            .understood
            .push((name.clone(), (!personal).then(|| text.clone())));
    }
    Ok(search)
}

/// The result of reading a parameter as one that shapes the answer.
enum Shape {
    Taken,
    /// It asks for something that is not supported, and may be ignored.
    Unknown,
    /// It does not shape the answer, but selects.
    Other,
}

/// Reads a parameter that shapes the answer.
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
        "_sort" => sort(search, text, wrong)?,
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

/// Reads the keys of `_sort`.
fn sort(search: &mut Search, text: &str, wrong: &dyn Fn() -> Failure) -> Result<(), Failure> {
    for key in text.split(',') {
        let (name, descending) = key.strip_prefix('-').map_or((key, false), |name| (name, true));
        let by = match name {
            "_id" => Sort::Id,
            "_lastUpdated" => Sort::Updated,
            _ => match params::find(&search.rtype, name).filter(|param| param.kind != ParamKind::Owner) {
                Some(param) => Sort::By(param),
                None => {
                    let hint = nearest(&search.rtype, name)
                        .filter(|near| *near != name)
                        .map_or(String::new(), |near| format!(" Did you mean {near}?"));
                    return Err(wrong().remedy(format!("Sort by parameters of this type that are indexed.{hint}")));
                }
            },
        };
        search.sort.push((by, descending));
    }
    if search.sort.len() > SORTS_MAX {
        return Err(wrong().remedy(format!("Sort by at most {SORTS_MAX} parameters.")));
    }
    Ok(())
}

/// The result of reading an include.
enum Following {
    These(Vec<Include>),
    Unknown,
    Malformed,
}

/// Whether references of this parameter may be included.
fn leads(param: &Param) -> bool {
    matches!(param.kind, ParamKind::Reference(_) | ParamKind::Owner)
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

const UNKNOWN_INCLUDE: &str =
    "There is no such include: searchInclude and searchRevInclude of the CapabilityStatement name those that are.";
const NOT_SERVED: &str = "Chains, _has, _filter and other searches beyond the type's own parameters are not served.";

fn unknown(place: &str, remedy: impl Into<String>) -> Failure {
    Failure::new(Fault::ParameterUnknown).at(place).remedy(remedy)
}

/// Which modifiers a parameter accepts. `None` is for `_id` and `_lastUpdated`.
fn modifiers(param: Option<&Param>) -> &'static str {
    match param.map(|param| param.kind) {
        Some(ParamKind::Token | ParamKind::Code(_)) => "Of modifiers, this parameter takes :not and :missing.",
        Some(ParamKind::Text) => "Of modifiers, this parameter takes :exact, :contains and :missing.",
        Some(ParamKind::Reference(_) | ParamKind::Owner) => {
            "Of modifiers, this parameter takes the type of the target and :missing."
        }
        Some(ParamKind::Date | ParamKind::Uri | ParamKind::Canonical) => "Of modifiers, this parameter takes :missing.",
        None => "Of modifiers, _id takes :not; _lastUpdated takes none.",
    }
}

/// The place of a parameter, which repeats the caller's text only when it is a known name.
fn place(rtype: &str, name: &str) -> String {
    let bare = name.split([':', '.']).next().unwrap_or_default();
    match some_name(bare) {
        Some(bare) => format!("{rtype}?{bare}"),
        None => rtype.to_owned(),
    }
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
