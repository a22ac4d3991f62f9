//! Random requests for exports: which parameters, with what faults, and what must become of them.

use super::super::chance::Chance;
use super::super::world::Caller;
use super::{Group, Site};
use causeway::error::Fault;
use chrono::{DateTime, Duration as Span, SecondsFormat, Utc};
use std::collections::BTreeSet;

const PAYER_TO_PAYER: &str = "hl7.fhir.us.davinci-pdex#payertopayer";

/// What an export is asked for, and what must become of it.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub group: Option<usize>,
    pub is_data_export: bool,
    pub is_posted: bool,
    pub is_lenient: bool,
    /// Types of the token; all when empty.
    pub scopes: Vec<String>,
    pub types: Vec<String>,
    pub since: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
    pub patients: Vec<String>,
    /// All parameters as they are sent.
    pub pairs: Vec<(String, String)>,
    /// The faults that it has, one of which must be the answer.
    pub refused: Vec<Fault>,
    /// Parameters that are told to be left out.
    pub left_out: Vec<&'static str>,
}

/// The next request, and its caller.
pub fn next(site: &Site, chance: &mut Chance) -> (usize, Asked) {
    let at = chance.below(site.world.callers.len());
    let caller = &site.world.callers[at];
    let mut asked = Asked {
        group: (!site.groups[at].is_empty() && chance.percent(50)).then(|| chance.below(site.groups[at].len())),
        is_lenient: chance.percent(25),
        ..Asked::default()
    };
    asked.is_data_export = asked.group.is_some() && chance.percent(40);
    asked.is_posted = asked.is_data_export || chance.percent(25);
    if caller.partner().is_none() {
        asked.refused.push(Fault::ScopeMissing);
        return (at, asked);
    }
    let known: Vec<String> = site.world.declared.keys().cloned().collect();
    if chance.percent(20) {
        asked.scopes = some_types(caller, &known, chance);
        if !asked.scopes.iter().any(|one| one == "Patient") {
            asked.scopes.push("Patient".to_owned());
        }
    }
    types(&mut asked, caller, &known, chance);
    times(&mut asked, site, chance);
    patients(&mut asked, caller, site.groups[at].as_slice(), chance);
    others(&mut asked, chance);
    (at, asked)
}

fn some_types(caller: &Caller, known: &[String], chance: &mut Chance) -> Vec<String> {
    let own: Vec<&String> = caller.sees.keys().collect();
    let mut all = BTreeSet::new();
    for _ in 0..=chance.below(5) {
        all.insert(match chance.percent(80) {
            true => (*chance.pick(&own)).clone(),
            false => chance.pick(known).clone(),
        });
    }
    all.into_iter().filter(|one| one != "Binary").collect()
}

fn types(asked: &mut Asked, caller: &Caller, known: &[String], chance: &mut Chance) {
    if chance.percent(35) {
        return;
    }
    asked.types = some_types(caller, known, chance);
    if asked.types.is_empty() {
        return;
    }
    if chance.percent(5) {
        asked.types.push("Nonsense".to_owned());
        asked.refused.push(Fault::ParameterInvalid);
    }
    // Together, one by one, or one of them twice.
    let mut values = match chance.below(3) {
        0 => asked.types.clone(),
        1 => vec![asked.types.join(",")],
        _ => vec![asked.types.join(", "), asked.types[0].clone()],
    };
    values.retain(|value| !value.is_empty());
    asked
        .pairs
        .extend(values.into_iter().map(|value| ("_type".to_owned(), value)));
}

/// Bounds at, just before and just after the times at which something became visible.
fn times(asked: &mut Asked, site: &Site, chance: &mut Chance) {
    let mut instant = || *chance.pick(&site.times) + Span::milliseconds(chance.below(3) as i64 - 1);
    let (since, until) = (instant(), instant());
    if chance.percent(45) {
        asked.since = Some(since);
    }
    if chance.percent(35) {
        asked.until = Some(until);
    }
    if chance.percent(4) {
        asked.since = Some(Utc::now() + Span::days(2));
    }
    let is_ahead = asked.since.is_some_and(|since| since > Utc::now() + Span::hours(1));
    let is_crossed = asked.since.zip(asked.until).is_some_and(|(since, until)| since > until);
    if is_ahead || is_crossed {
        asked.refused.push(Fault::ParameterInvalid);
    }
    let written = |time: DateTime<Utc>, zone: bool| match zone {
        true => time
            .with_timezone(&chrono::FixedOffset::west_opt(5 * 3600).expect("a zone"))
            .to_rfc3339_opts(SecondsFormat::Millis, false),
        false => time.to_rfc3339_opts(SecondsFormat::Millis, true),
    };
    for (name, time) in [("_since", asked.since), ("_until", asked.until)] {
        if let Some(time) = time {
            asked.pairs.push((name.to_owned(), written(time, chance.percent(30))));
        }
    }
}

fn patients(asked: &mut Asked, caller: &Caller, groups: &[Group], chance: &mut Chance) {
    if !chance.percent(30) {
        return;
    }
    let within = asked.group.map_or(&caller.members, |at| &groups[at].members);
    asked.patients = within.iter().filter(|_| chance.percent(50)).cloned().collect();
    // How the operation of PDex takes members that are not there is its own matter.
    if chance.percent(15) && !asked.is_data_export {
        asked.patients.push("not-granted".to_owned());
        asked.refused.push(Fault::ParameterInvalid);
    }
    for patient in &asked.patients {
        let value = match chance.percent(70) || asked.is_posted {
            true => format!("Patient/{patient}"),
            false => patient.clone(),
        };
        asked.pairs.push(("patient".to_owned(), value));
    }
}

fn others(asked: &mut Asked, chance: &mut Chance) {
    let mut add = |name: &str, value: &str| asked.pairs.push((name.to_owned(), value.to_owned()));
    if chance.percent(30) {
        add(
            "_outputFormat",
            chance.pick::<&str>(&["application/fhir+ndjson", "application/ndjson", "ndjson"]),
        );
    }
    if chance.percent(20) {
        add("exportType", PAYER_TO_PAYER);
    }
    if chance.percent(3) {
        add("exportType", "provider");
        asked.refused.push(Fault::ParameterInvalid);
    } else if chance.percent(3) {
        add("_outputFormat", "application/fhir+parquet");
        asked.refused.push(Fault::ParameterInvalid);
    }
    if chance.percent(10) {
        let name = *chance.pick(&["organizeOutputBy", "allowPartialManifests", "noSuchParameter"]);
        add(name, "true");
        if asked.is_lenient {
            asked.left_out.push(name);
        } else {
            asked.refused.push(Fault::ParameterUnknown);
        }
    }
}
