//! Searches of one type: their values are taken from resources that were found before, and every answer is checked against the query.

use super::super::found::{self, SearchResult, name, search, search_by_form};
use super::super::parameters::{self, ParameterKind};
use super::super::session::Session;
use super::super::shape::references;
use super::super::stop::{Checked, demand, fail, skip};
use super::super::wire::Call;
use super::super::{guides, when};
use serde_json::Value;
use std::collections::BTreeSet;

/// How many resources are used as sources of values.
const SOURCES: usize = 2;

/// A query: names and values.
type Pairs = Vec<(String, String)>;

fn borrowed(pairs: &Pairs) -> Vec<(&str, &str)> {
    pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

/// The values of `names` by which `source` must be found; `None` when it lacks one of them.
fn values(rtype: &str, names: &str, source: &Value) -> Option<Pairs> {
    names
        .split('+')
        .map(|name| {
            let value = parameters::find(rtype, name)?.value_of(source)?;
            let value = if name == "patient" {
                value.rsplit('/').next()?.to_owned()
            } else {
                value
            };
            Some((name.to_owned(), value))
        })
        .collect()
}

/// Resources that have a value for each name.
async fn sources(session: &mut Session, rtype: &str, names: &str) -> Checked<Vec<(Value, Pairs)>> {
    let pool = session.some(rtype).await?;
    let able: Vec<(Value, Pairs)> = pool
        .into_iter()
        .filter_map(|source| {
            let pairs = values(rtype, names, &source)?;
            Some((source, pairs))
        })
        .collect();
    if able.is_empty() {
        return skip(format!(
            "no {rtype} has a value for each of {}",
            names.replace('+', ", ")
        ));
    }
    Ok(able)
}

/// Fails when a match clearly does not fit the query.
fn judge(rtype: &str, pairs: &Pairs, found: &SearchResult) -> Checked {
    for (key, value) in pairs {
        let Some(parameter) = parameters::find(rtype, key) else {
            continue;
        };
        for one in &found.matches {
            demand(!parameter.contradicts(one, value), || {
                format!("{} does not fit {key}={value}", name(one))
            })?;
        }
    }
    Ok(())
}

fn holds(rtype: &str, pairs: &Pairs, found: &SearchResult, source: &Value) -> Checked {
    judge(rtype, pairs, found)?;
    let query: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    demand(found.holds(source), || {
        format!("{} is not among what {} gives", name(source), query.join("&"))
    })
}

/// Checks a search by these names: the source is found, every match fits, and the prefixes of dates work.
pub(super) async fn by(session: &mut Session, rtype: &str, names: &str) -> Checked {
    if names == "patient" {
        let patient = session.patient().await?;
        let found = search(session, rtype, &[("patient", &patient)]).await?;
        judge(rtype, &vec![("patient".to_owned(), patient)], &found)?;
    }
    if let Err(super::super::stop::Stop::Fail(why) | super::super::stop::Stop::Error(why)) = session.pool(rtype).await {
        return fail(format!("the first search of {rtype} does not work: {why}"));
    }
    for (source, pairs) in sources(session, rtype, names).await?.into_iter().take(SOURCES) {
        let found = search(session, rtype, &borrowed(&pairs)).await?;
        holds(rtype, &pairs, &found, &source)?;
        for (at, (key, _)) in pairs.iter().enumerate() {
            let Some(parameter) = parameters::find(rtype, key).filter(|one| one.kind == ParameterKind::Date) else {
                continue;
            };
            let Some(span) = parameter.span(&source) else { continue };
            let (first, last) = (span.from, if span.is_bounded() { span.to } else { span.from });
            for (value, there) in [
                (format!("gt{}", when::day(first, -2)), true),
                (format!("ge{}", when::day(first, -1)), true),
                (format!("lt{}", when::day(last, 2)), true),
                (format!("le{}", when::day(last, 1)), true),
                (format!("lt{}", when::day(first, -2)), false),
                (format!("gt{}", when::day(last, 2)), !span.is_bounded()),
            ] {
                let more = (key.clone(), format!("ge{}", when::day(first, -3)));
                let mut pairs = pairs.clone();
                pairs[at].1 = value;
                // When the parameter is repeated, both values must hold.
                pairs.push(more);
                let found = search(session, rtype, &borrowed(&pairs)).await?;
                if there {
                    holds(rtype, &pairs, &found, &source)?;
                } else {
                    judge(rtype, &pairs, &found)?;
                }
            }
        }
    }
    Ok(())
}

/// Checks every parameter that the CapabilityStatement declares, that the table knows and for which some resource has a value. The server
/// may require further parameters in addition (400).
pub(super) async fn declared(session: &mut Session, rtype: &str) -> Checked {
    let Some(resource) = session.declared(rtype).await? else {
        return fail(format!("the CapabilityStatement does not name {rtype}"));
    };
    let pool = session.some(rtype).await?;
    let names = resource["searchParam"].as_array().into_iter().flatten();
    let names: Vec<String> = names
        .filter_map(|one| one["name"].as_str())
        .map(str::to_owned)
        .collect();
    let mut tried = 0;
    for key in names.iter().filter(|key| !matches!(key.as_str(), "patient" | "_id")) {
        let Some(parameter) = parameters::find(rtype, key) else {
            continue;
        };
        let Some((source, value)) = pool.iter().find_map(|one| Some((one, parameter.value_of(one)?))) else {
            continue;
        };
        let mut pairs = vec![(key.clone(), value)];
        if !guides::is_shared(rtype) && rtype != "Patient" {
            pairs.push(("patient".to_owned(), session.patient().await?));
        }
        let call = Call::get(session.url(&format!("{rtype}?{}", super::super::wire::query(&borrowed(&pairs)))));
        let answer = session.send(call).await?;
        if answer.status == 400 {
            continue;
        }
        let found = found::follow(session, rtype, answer).await?;
        holds(rtype, &pairs, &found, source)?;
        tried += 1;
    }
    if tried == 0 {
        return skip(format!("no parameter of {rtype} is declared that can be judged"));
    }
    Ok(())
}

/// Checks that `POST _search` returns the same as `GET`.
pub(super) async fn post(session: &mut Session, rtype: &str, names: &str) -> Checked {
    let (_, pairs) = sources(session, rtype, names).await?.swap_remove(0);
    let by_url = search(session, rtype, &borrowed(&pairs)).await?;
    let by_form = search_by_form(session, rtype, &borrowed(&pairs)).await?;
    demand(by_url.ids() == by_form.ids(), || {
        format!(
            "GET gives {}, POST gives {}",
            by_url.matches.len(),
            by_form.matches.len()
        )
    })
}

/// Checks that `patient=id` and `patient=Patient/id` return the same.
pub(super) async fn reference_forms(session: &mut Session, rtype: &str, names: &str) -> Checked {
    let (source, pairs) = sources(session, rtype, names).await?.swap_remove(0);
    let short = search(session, rtype, &borrowed(&pairs)).await?;
    let mut longer = pairs.clone();
    for (key, value) in &mut longer {
        if key == "patient" {
            *value = format!("Patient/{value}");
        }
    }
    let long = search(session, rtype, &borrowed(&longer)).await?;
    holds(rtype, &longer, &long, &source)?;
    demand(short.ids() == long.ids(), || {
        format!(
            "an id gives {}, Patient/id gives {}",
            short.matches.len(),
            long.matches.len()
        )
    })
}

/// The first token parameter of a search whose value has a system, with the whole query.
async fn token(session: &mut Session, rtype: &str, names: &str) -> Checked<(Value, Pairs, usize, String, String)> {
    for (source, pairs) in sources(session, rtype, names).await? {
        for (at, (key, _)) in pairs.iter().enumerate() {
            let parameter = parameters::find(rtype, key).filter(|one| one.kind == ParameterKind::Token && key != "_id");
            if let Some((system, code)) = parameter.and_then(|one| one.system_and_code(&source)) {
                return Ok((source, pairs, at, system, code));
            }
        }
    }
    skip(format!("no {rtype} has a coded value with a system"))
}

/// Checks that `code` finds at least what `system|code` finds, and that another system finds none of it.
pub(super) async fn token_forms(session: &mut Session, rtype: &str, names: &str) -> Checked {
    let (source, mut pairs, at, system, code) = token(session, rtype, names).await?;
    pairs[at].1 = format!("{system}|{code}");
    let narrow = search(session, rtype, &borrowed(&pairs)).await?;
    holds(rtype, &pairs, &narrow, &source)?;
    pairs[at].1.clone_from(&code);
    let wide = search(session, rtype, &borrowed(&pairs)).await?;
    holds(rtype, &pairs, &wide, &source)?;
    demand(narrow.ids().is_subset(&wide.ids()), || {
        "system|code finds what code alone does not".to_owned()
    })?;
    pairs[at].1 = format!("http://example.org/no-such-system|{code}");
    let other = search(session, rtype, &borrowed(&pairs)).await?;
    demand(other.matches.is_empty(), || {
        format!("{} match a code of another system", other.matches.len())
    })
}

/// Checks that two values separated by a comma return the results of both.
pub(super) async fn alternatives(session: &mut Session, rtype: &str, names: &str) -> Checked {
    let all = sources(session, rtype, names).await?;
    let (_, mut pairs) = all[0].clone();
    let is_token =
        |key: &str| key != "_id" && parameters::find(rtype, key).is_some_and(|one| one.kind == ParameterKind::Token);
    let Some(at) = pairs.iter().position(|(key, _)| is_token(key)) else {
        return skip("no token in the search");
    };
    let one = pairs[at].1.clone();
    let mut others = all.iter().map(|(_, pairs)| pairs[at].1.clone());
    let other = others
        .find(|value| *value != one)
        .unwrap_or_else(|| "no-such-code".to_owned());
    let mut union = BTreeSet::new();
    for value in [&one, &other] {
        pairs[at].1.clone_from(value);
        union.extend(search(session, rtype, &borrowed(&pairs)).await?.ids());
    }
    pairs[at].1 = format!("{one},{other}");
    let call = Call::get(session.url(&format!("{rtype}?{}", super::super::wire::query(&borrowed(&pairs)))));
    let answer = session.send(call).await?;
    if answer.status == 400 {
        return skip("the server declines values with commas between");
    }
    let both = found::follow(session, rtype, answer).await?;
    judge(rtype, &pairs, &both)?;
    demand(both.ids() == union, || {
        format!("each alone gives {}, both together {}", union.len(), both.matches.len())
    })
}

/// The query that finds the resources of the first patient.
async fn all_of(session: &mut Session, rtype: &str) -> Checked<Pairs> {
    let patient = session.patient().await?;
    let key = if rtype == "Patient" { "_id" } else { "patient" };
    let mut pairs = vec![(key.to_owned(), patient)];
    let extra = guides::first_searches(rtype).into_iter().next().unwrap_or_default();
    pairs.extend(extra.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
    Ok(pairs)
}

/// Checks that small pages together return the same as one page, each resource once.
pub(super) async fn paging(session: &mut Session, rtype: &str) -> Checked {
    session.some(rtype).await?;
    let mut pairs = all_of(session, rtype).await?;
    let whole = search(session, rtype, &borrowed(&pairs)).await?;
    let count = whole.matches.len();
    if count < 2 {
        return skip(format!("fewer than two {rtype}: nothing to page through"));
    }
    let size = count.div_ceil(4).clamp(1, 50);
    pairs.push(("_count".to_owned(), size.to_string()));
    let paged = search(session, rtype, &borrowed(&pairs)).await?;
    if let Some(page) = paged.pages.iter().find(|page| **page > size) {
        return fail(format!("_count={size} and a page holds {page} matches"));
    }
    demand(paged.ids() == whole.ids(), || {
        format!("one answer gives {count}, the pages give {}", paged.matches.len())
    })
}

/// Checks that nothing is returned for a patient without a grant or for one that does not exist.
pub(super) async fn other_patient(session: &mut Session, rtype: &str) -> Checked {
    session.some(rtype).await?;
    let own = session.patients().await?;
    let mut others = session.settings.other_patients.clone();
    others.push(session.new_id());
    for other in others {
        let mut pairs = all_of(session, rtype).await?;
        pairs[0].1 = other;
        let call = Call::get(session.url(&format!("{rtype}?{}", super::super::wire::query(&borrowed(&pairs)))));
        let answer = session.send(call).await?;
        if answer.status != 200 {
            answer.one_of(&[401, 403, 404])?.outcome()?;
            continue;
        }
        let found = found::follow(session, rtype, answer).await?;
        demand(found.matches.is_empty() && found.included.is_empty(), || {
            format!("{} resources of a patient who was not granted", found.matches.len())
        })?;
    }
    // Resources that are found for a patient of this client must be about that patient.
    let pairs = all_of(session, rtype).await?;
    let found = search(session, rtype, &borrowed(&pairs)).await?;
    for one in &found.matches {
        let fits = |patient: &String| parameters::find(rtype, "patient").is_none_or(|by| !by.contradicts(one, patient));
        demand(own.iter().any(fits), || {
            format!("{} is about another patient", name(one))
        })?;
    }
    Ok(())
}

/// Checks that `_include` returns what the matches refer to by this parameter, and nothing else.
pub(super) async fn include(session: &mut Session, rtype: &str, what: &str) -> Checked {
    let pool = session.some(rtype).await?;
    let referred = |resource: &Value| -> Vec<String> {
        match parameters::find(rtype, what) {
            None => references(resource),
            Some(_) => all_values(rtype, what, resource),
        }
    };
    let local = |reference: &String| !reference.starts_with('#') && !reference.contains(':');
    let Some(source) = pool.iter().find(|one| referred(one).iter().any(local)) else {
        return skip(format!("no {rtype} refers to anything by {what}"));
    };
    let (id, value) = (source["id"].as_str().unwrap_or(""), format!("{rtype}:{what}"));
    let mut pairs = vec![("_id", id)];
    let patient = session.patient().await?;
    if !guides::is_shared(rtype) {
        pairs.push(("patient", &patient));
    }
    pairs.push(("_include", &value));
    let found = search(session, rtype, &pairs).await?;
    let wanted = referred(source);
    for one in &found.included {
        demand(wanted.contains(&name(one)), || {
            format!("{} is included and not referred to", name(one))
        })?;
    }
    demand(!found.included.is_empty(), || {
        format!("{} refers to {} and nothing is included", name(source), wanted.len())
    })
}

fn all_values(rtype: &str, what: &str, resource: &Value) -> Vec<String> {
    let fits = |reference: &String| {
        parameters::find(rtype, what).is_some_and(|parameter| !parameter.contradicts(resource, reference))
    };
    references(resource).into_iter().filter(fits).collect()
}

/// Checks that `_revinclude=Provenance:target` returns the Provenance of the matches.
pub(super) async fn provenance(session: &mut Session, rtype: &str) -> Checked {
    let pool = session.some(rtype).await?;
    let everything = session.everything().await.unwrap_or_default();
    let known: BTreeSet<String> = everything
        .iter()
        .filter(|one| one["resourceType"] == "Provenance")
        .flat_map(|one| one["target"].as_array().cloned().unwrap_or_default())
        .filter_map(|target| target["reference"].as_str().map(str::to_owned))
        .collect();
    let source = pool.iter().find(|one| known.contains(&name(one))).unwrap_or(&pool[0]);
    let mut pairs = all_of(session, rtype).await?;
    pairs.push(("_revinclude".to_owned(), "Provenance:target".to_owned()));
    let found = search(session, rtype, &borrowed(&pairs)).await?;
    let matched = found.ids();
    for one in &found.included {
        let of_match = references(one).iter().any(|reference| matched.contains(reference));
        demand(one["resourceType"] == "Provenance" && of_match, || {
            format!("{} is included and about none of the matches", name(one))
        })?;
    }
    if !found.included.is_empty() {
        return Ok(());
    }
    if known.contains(&name(source)) {
        return fail(format!("a Provenance is about {}, and none is included", name(source)));
    }
    skip(format!("no Provenance is about a {rtype} of the patients"))
}
