//! Reads the values of one parameter as tests: prefixes, systems, references, modifiers.

use super::fold::{cut, exact, fold, fold_code};
use super::params::{Param, ParamKind};
use super::reading::{QueryReading, split};
use super::test::{DateTest, Prefix, SearchFilter, ValueTest};
use crate::fhir::when::range_ms;
use crate::ids::is_fhir_id;

/// Why a parameter is refused.
#[derive(Debug)]
pub enum ValueRefusal {
    /// Its modifier is not supported.
    Modifier,
    /// A value cannot be used; holds the remedy.
    Value(&'static str),
}

/// Reads a parameter; `param` is `None` for `_id` and `_lastUpdated`.
///
/// # Errors
/// [`ValueRefusal`] with the reason why the parameter is refused.
pub fn filter(
    name: &str,
    param: Option<&'static Param>,
    modifier: Option<&str>,
    values: &[String],
    reading: &QueryReading<'_>,
) -> Result<SearchFilter, ValueRefusal> {
    let Some(param) = param else {
        return match (name, modifier) {
            ("_id", None | Some("not")) => Ok(SearchFilter::Ids {
                any: values.iter().map(|value| plain(value)).collect(),
                not: modifier.is_some(),
            }),
            ("_lastUpdated", None) => Ok(SearchFilter::Updated(dates(values, reading)?)),
            _ => Err(ValueRefusal::Modifier),
        };
    };
    if modifier == Some("missing") {
        let missing = match values {
            [only] if only == "true" => true,
            [only] if only == "false" => false,
            _ => return Err(ValueRefusal::Value("Use true or false.")),
        };
        return Ok(match param.kind {
            ParamKind::Owner => SearchFilter::OwnerMissing {
                name: param.name,
                missing,
            },
            _ => SearchFilter::Missing { param, missing },
        });
    }
    let with = |any: Vec<ValueTest>| SearchFilter::Values {
        param,
        any,
        not: modifier == Some("not"),
    };
    match (param.kind, modifier) {
        (ParamKind::Date, None) => Ok(SearchFilter::Dates {
            param,
            any: dates(values, reading)?,
        }),
        (ParamKind::Token | ParamKind::Code(_), None | Some("not")) => Ok(with(collect(values, token)?)),
        (ParamKind::Uri | ParamKind::Canonical, None) => Ok(with(
            values.iter().map(|value| ValueTest::Url(cut(plain(value)))).collect(),
        )),
        (ParamKind::Text, None | Some("exact" | "contains")) => {
            Ok(with(collect(values, |value| text(value, modifier))?))
        }
        (ParamKind::Reference(targets), modifier) => {
            let wanted = target_type(modifier, |rtype| targets.is_empty() || targets.contains(&rtype))?;
            Ok(SearchFilter::Values {
                param,
                any: collect(values, |value| reference(value, wanted, reading.base_url))?,
                not: false,
            })
        }
        (ParamKind::Owner, modifier) => {
            let wanted = target_type(modifier, causeway_fhir_types::is_type)?;
            let tests = collect(values, |value| reference(value, wanted, reading.base_url))?;
            let any = tests.into_iter().filter_map(|test| match test {
                ValueTest::Reference { rtype, id } if rtype.as_deref().is_none_or(|t| t == "Patient") => Some(id),
                _ => None,
            });
            Ok(SearchFilter::Owner {
                any: any.collect(),
                name: param.name,
            })
        }
        _ => Err(ValueRefusal::Modifier),
    }
}

fn collect<T>(values: &[String], read: impl Fn(&str) -> Result<T, ValueRefusal>) -> Result<Vec<T>, ValueRefusal> {
    values.iter().map(|value| read(value)).collect()
}

/// The modifier of a reference is the type of its target.
fn target_type(modifier: Option<&str>, fits: impl Fn(&str) -> bool) -> Result<Option<&str>, ValueRefusal> {
    match modifier {
        None => Ok(None),
        Some(rtype) if rtype.starts_with(|letter: char| letter.is_ascii_uppercase()) && fits(rtype) => Ok(Some(rtype)),
        Some(_) => Err(ValueRefusal::Modifier),
    }
}

fn token(value: &str) -> Result<ValueTest, ValueRefusal> {
    let parts: Vec<String> = split(value, '|').iter().map(|part| plain(part)).collect();
    let (system, code) = match parts.as_slice() {
        [code] => (None, code.as_str()),
        [system, code] => (Some(cut(system.clone())), code.as_str()),
        _ => return Err(ValueRefusal::Value("Use code, system|code, |code or system|.")),
    };
    let code = (!code.is_empty()).then(|| fold_code(code));
    if code.is_none() && system.as_deref().is_none_or(str::is_empty) {
        return Err(ValueRefusal::Value("Use code, system|code, |code or system|."));
    }
    Ok(ValueTest::Token { code, system })
}

fn text(value: &str, modifier: Option<&str>) -> Result<ValueTest, ValueRefusal> {
    let value = plain(value);
    let folded = fold(&value);
    if folded.is_empty() {
        return Err(ValueRefusal::Value("Give some text to search for."));
    }
    Ok(match modifier {
        Some("exact") => ValueTest::Exact {
            folded,
            text: exact(value),
        },
        Some(_) => ValueTest::Contains(folded),
        None => ValueTest::Starts(folded),
    })
}

fn reference(value: &str, wanted: Option<&str>, base_url: &str) -> Result<ValueTest, ValueRefusal> {
    let value = plain(value);
    let local = value.strip_prefix(base_url).and_then(|rest| rest.strip_prefix('/'));
    let relative = unversioned(local.unwrap_or(&value));
    let of = |rtype: Option<&str>, id: &str| ValueTest::Reference {
        rtype: rtype.map(str::to_owned),
        id: id.to_owned(),
    };
    if is_fhir_id(relative) {
        return Ok(of(wanted, relative));
    }
    match relative.split_once('/') {
        Some((rtype, id)) if causeway_fhir_types::is_type(rtype) && is_fhir_id(id) => match wanted {
            Some(wanted) if wanted != rtype => Err(ValueRefusal::Value(
                "The value is of another type than the parameter says.",
            )),
            _ => Ok(of(Some(rtype), id)),
        },
        _ if value.contains(':') && wanted.is_none() => Ok(ValueTest::Url(cut(value))),
        _ => Err(ValueRefusal::Value("Use an id, Type/id, or an address.")),
    }
}

/// Removes the version from a reference to this server. The index holds only type and id, so a version would match nothing.
fn unversioned(relative: &str) -> &str {
    match relative.split_once("/_history/") {
        Some((resource, version)) if is_fhir_id(version) && resource.contains('/') && !resource.contains(':') => {
            resource
        }
        _ => relative,
    }
}

fn dates(values: &[String], reading: &QueryReading<'_>) -> Result<Vec<DateTest>, ValueRefusal> {
    collect(values, |value| {
        let (prefix, rest) = match Prefix::ALL
            .iter()
            .find_map(|(letters, prefix)| Some((*prefix, value.strip_prefix(letters)?)))
        {
            Some(found) => found,
            None => (Prefix::Eq, value),
        };
        let (from_ms, to_ms) = moment(rest).ok_or(ValueRefusal::Value(
            "Use a date as YYYY, YYYY-MM, YYYY-MM-DD or with a time and its zone, after a prefix if need be.",
        ))?;
        let widened = if prefix == Prefix::Ap {
            // Within a tenth of the difference between now and the date (FHIR R4 search, "ap").
            (reading.now_ms - from_ms.midpoint(to_ms)).abs() / 10
        } else {
            0
        };
        Ok(DateTest {
            prefix,
            from_ms: from_ms - widened,
            to_ms: to_ms + widened,
        })
    })
}

/// Reads a date of a search. In addition to the forms in resources, it may lack seconds or the zone, which is then UTC.
fn moment(text: &str) -> Option<(i64, i64)> {
    // A plus sign that was not percent-encoded was decoded as a space.
    let text = text.replace(' ', "+");
    if let Some(range) = range_ms(&text) {
        return Some(range);
    }
    let (day, time) = text.split_once('T')?;
    let clock = time.split(['Z', '+', '-']).next()?;
    let zone = &time[clock.len()..];
    let zone = if zone.is_empty() { "Z" } else { zone };
    match clock.len() {
        5 => {
            let (from, _) = range_ms(&format!("{day}T{clock}:00{zone}"))?;
            Some((from, from + 59_999))
        }
        _ => range_ms(&format!("{day}T{clock}{zone}")),
    }
}

/// Removes the escapes from a text.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => out.extend(letters.next()),
            _ => out.push(letter),
        }
    }
    out
}
