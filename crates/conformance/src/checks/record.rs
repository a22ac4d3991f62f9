//! The record of a member: the contents of `$everything`, their agreement with searches, and that they are about no other patient.

use super::super::bundle::{self, ANY};
use super::super::found::name;
use super::super::session::Session;
use super::super::shape::{self, texts};
use super::super::stop::{Checked, demand, fail, skip};
use super::super::test::{FixedTest, RecordTest};
use super::super::wire::{Call, query};
use super::super::{guides, when};
use crate::surroundings::rfc3339_ms;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The profile of prior authorizations (PDex).
const PRIOR_AUTHORIZATION: &str = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-priorauthorization";

#[rustfmt::skip]
pub(in super::super) const TESTS: &[FixedTest<RecordTest>] = &[
    ("record", "everything", "pdex-212", "$everything answers a Bundle searchset with the record", RecordTest::Everything),
    ("record", "post", "pdex-212", "$everything by POST gives the same resources", RecordTest::EverythingPost),
    ("record", "patient", "pdex-212", "The record holds its Patient, once", RecordTest::Patient),
    ("record", "compartment", "pdex-213", "Nothing in the record is about another patient", RecordTest::Compartment),
    ("record", "references", "pdex-212", "What the record refers to is in it or can be read", RecordTest::References),
    ("record", "claims", "pdex-214", "Every claim that a search finds is in the record", RecordTest::Claims),
    ("record", "prior-authorizations", "pdex-131", "Prior authorizations are in the record, in their profile", RecordTest::PriorAuthorizations),
    ("record", "no-money", "cfr-422.121-money", "Claims in the record carry no remittances and no cost sharing", RecordTest::NoMoney),
    ("record", "provenance", "pdex-12", "The record holds Provenance, whose targets are in it", RecordTest::Provenance),
    ("record", "transmitter", "pdex-127", "The record names who transmits it: a Provenance about something in it", RecordTest::Transmitter),
    ("record", "shape", "fhir-shape", "Every resource of the record is in FHIR's JSON form", RecordTest::Shape),
    ("record", "type", "everything-type", "_type narrows the record to these types", RecordTest::Type),
    ("record", "since", "everything-since", "_since leaves out what was not updated since", RecordTest::Since),
    ("record", "start", "everything-start", "start leaves out care that was over before", RecordTest::Start),
    ("record", "count", "fhir-paging", "Pages of $everything are together the whole", RecordTest::Count),
];

pub(super) async fn run(which: RecordTest, session: &mut Session) -> Checked {
    match which {
        RecordTest::Everything => everything(session).await,
        RecordTest::EverythingPost => by_post(session).await,
        RecordTest::Patient => own_patient(session).await,
        RecordTest::Compartment => compartment(session).await,
        RecordTest::References => references(session).await,
        RecordTest::Claims => claims(session).await,
        RecordTest::PriorAuthorizations => prior_authorizations(session).await,
        RecordTest::NoMoney => no_money(session).await,
        RecordTest::Provenance => provenance(session).await,
        RecordTest::Transmitter => transmitter(session).await,
        RecordTest::Shape => {
            let record = session.everything().await?;
            match record
                .iter()
                .find_map(|one| shape::flaw(one).map(|flaw| (name(one), flaw)))
            {
                Some((name, flaw)) => fail(format!("{name}: {flaw}")),
                None => Ok(()),
            }
        }
        RecordTest::Type => of_type(session).await,
        RecordTest::Since => since(session).await,
        RecordTest::Start => start(session).await,
        RecordTest::Count => count(session).await,
    }
}

/// Calls `$everything` with these parameters, follows and checks all pages, and returns the resources.
async fn ask(session: &mut Session, pairs: &[(&str, &str)]) -> Checked<Vec<Value>> {
    let patient = session.patient().await?;
    let sign = if pairs.is_empty() { "" } else { "?" };
    let mut url = session.url(&format!("Patient/{patient}/$everything{sign}{}", query(pairs)));
    let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
    for _ in 0..500 {
        let page = session.send(Call::get(url)).await?.status(200)?.resource("Bundle")?;
        bundle::check(&page, ANY)?;
        for entry in page["entry"].as_array().into_iter().flatten() {
            let shared = is_shared(&entry["resource"]);
            let fresh = seen.insert(name(&entry["resource"]));
            demand(fresh || shared, || {
                format!("{} is there twice", name(&entry["resource"]))
            })?;
            if fresh {
                all.push(entry["resource"].clone());
            }
        }
        match bundle::link(&page, "next") {
            None => return Ok(all),
            Some(next) => url = next.to_owned(),
        }
    }
    fail("the pages of $everything do not end")
}

fn is_shared(one: &Value) -> bool {
    guides::is_shared(one["resourceType"].as_str().unwrap_or(""))
}

fn ids(resources: &[Value]) -> BTreeSet<String> {
    resources.iter().map(name).collect()
}

async fn everything(session: &mut Session) -> Checked {
    let record = ask(session, &[]).await?;
    demand(record.len() > 1, || format!("{} resources in the record", record.len()))
}

async fn by_post(session: &mut Session) -> Checked {
    let patient = session.patient().await?;
    let whole = session.everything().await?;
    let call = Call::new("POST", session.url(&format!("Patient/{patient}/$everything")));
    let answer = session.send(call.fhir(&json!({"resourceType": "Parameters"}))).await?;
    let page = answer.status(200)?.resource("Bundle")?;
    bundle::check(&page, ANY)?;
    let entries = page["entry"].as_array().into_iter().flatten();
    let found: BTreeSet<String> = entries.map(|entry| name(&entry["resource"])).collect();
    let more = bundle::link(&page, "next").is_some();
    let same = if more {
        found.is_subset(&ids(&whole))
    } else {
        found == ids(&whole)
    };
    demand(same, || {
        format!("GET gives {} resources, POST gives {}", whole.len(), found.len())
    })
}

async fn own_patient(session: &mut Session) -> Checked {
    let (record, patient) = (session.everything().await?, session.patient().await?);
    let patients: Vec<&Value> = record.iter().filter(|one| one["resourceType"] == "Patient").collect();
    demand(patients.len() == 1 && patients[0]["id"] == patient.as_str(), || {
        format!("{} Patient in the record, or another", patients.len())
    })
}

async fn compartment(session: &mut Session) -> Checked {
    let (record, own) = (session.everything().await?, session.patient().await?);
    for one in &record {
        demand(!is_of_another(one, &own), || {
            format!("{} is about another patient", name(one))
        })?;
    }
    Ok(())
}

/// Whether a resource is about a patient other than this one. A subscriber or an author may be another person.
fn is_of_another(one: &Value, patient: &str) -> bool {
    let about = ["patient", "subject", "beneficiary"];
    let named = about.iter().find_map(|name| one[*name]["reference"].as_str());
    named
        .and_then(|reference| reference.rsplit_once("Patient/"))
        .is_some_and(|(_, id)| id != patient)
}

async fn references(session: &mut Session) -> Checked {
    let record = session.everything().await?;
    let held = ids(&record);
    // A Provenance may also refer to resources that are withheld from this client.
    let all = record.iter().filter(|one| one["resourceType"] != "Provenance");
    let wanted: BTreeSet<String> = all.flat_map(shape::references).collect();
    // A subscriber who is another person is not accessible to this client.
    let local = |one: &String| one.contains('/') && !one.contains([':', '#']) && !one.starts_with("Patient/");
    let mut read = 0;
    for reference in wanted.into_iter().filter(local) {
        let reference = reference.split("/_history").next().unwrap_or(&reference).to_owned();
        // A type that the server does not serve cannot be read, such as Claim, which is entirely about money.
        let rtype = reference.split('/').next().unwrap_or("");
        if held.contains(&reference) || read == 20 || session.declared(rtype).await?.is_none() {
            continue;
        }
        read += 1;
        let answer = session.get(&reference).await?;
        demand(answer.status == 200, || {
            format!("{reference} is not in the record, and its read is {}", answer.status)
        })?;
    }
    Ok(())
}

async fn claims(session: &mut Session) -> Checked {
    let record = ids(&session.everything().await?);
    let patient = session.patient().await?;
    for one in session.some("ExplanationOfBenefit").await? {
        if one["patient"]["reference"] == format!("Patient/{patient}") {
            demand(record.contains(&name(&one)), || {
                format!("{} is found and not in the record", name(&one))
            })?;
        }
    }
    Ok(())
}

async fn prior_authorizations(session: &mut Session) -> Checked {
    let record = session.everything().await?;
    let mut seen = 0;
    for one in record
        .iter()
        .filter(|one| one["resourceType"] == "ExplanationOfBenefit" && one["use"] == "preauthorization")
    {
        let claims = texts(&one["meta"]["profile"])
            .iter()
            .any(|profile| profile.split('|').next() == Some(PRIOR_AUTHORIZATION));
        demand(claims, || {
            format!("{} does not claim the profile of prior authorizations", name(one))
        })?;
        for path in [
            "status",
            "type",
            "patient",
            "insurer",
            "provider",
            "outcome",
            "insurance",
        ] {
            demand(shape::has(one, path), || format!("{} has no {path}", name(one)))?;
        }
        seen += 1;
    }
    if seen == 0 {
        return skip("the record holds no prior authorization");
    }
    Ok(())
}

async fn no_money(session: &mut Session) -> Checked {
    let record = session.everything().await?;
    let mut seen = 0;
    for one in record
        .iter()
        .filter(|one| one["resourceType"] == "ExplanationOfBenefit" && one["use"] != "preauthorization")
    {
        seen += 1;
        for path in [
            "payment.amount",
            "total.amount",
            "adjudication.amount",
            "item.adjudication.amount",
            "item.net",
        ] {
            demand(!shape::has(one, path), || format!("{} carries {path}", name(one)))?;
        }
    }
    if seen == 0 {
        return skip("the record holds no claim");
    }
    Ok(())
}

async fn provenance(session: &mut Session) -> Checked {
    let record = session.everything().await?;
    let held = ids(&record);
    let mut seen = 0;
    for one in record.iter().filter(|one| one["resourceType"] == "Provenance") {
        seen += 1;
        let mut targets = one["target"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|target| target["reference"].as_str());
        demand(targets.any(|target| held.contains(target)), || {
            format!("{} is about nothing in the record", name(one))
        })?;
    }
    if seen == 0 {
        return skip("the record holds no Provenance");
    }
    Ok(())
}

/// Checks that a Provenance with an agent of type transmitter, who is named, is about something in the record.
async fn transmitter(session: &mut Session) -> Checked {
    let record = session.everything().await?;
    let held = ids(&record);
    let transmits = |agent: &Value| {
        let codings = agent["type"]["coding"].as_array().into_iter().flatten();
        let mut codes = codings.filter_map(|coding| coding["code"].as_str());
        codes.any(|code| code == "transmitter") && agent["who"].as_object().is_some_and(|who| !who.is_empty())
    };
    let is_about = |one: &Value| {
        let mut targets = one["target"].as_array().into_iter().flatten();
        targets.any(|target| target["reference"].as_str().is_some_and(|name| held.contains(name)))
    };
    let mut provenances = record.iter().filter(|one| one["resourceType"] == "Provenance");
    let found =
        provenances.any(|one| one["agent"].as_array().is_some_and(|all| all.iter().any(transmits)) && is_about(one));
    demand(found, || {
        "no Provenance in the record has an agent of type transmitter and is about it".to_owned()
    })
}

async fn of_type(session: &mut Session) -> Checked {
    let whole = session.everything().await?;
    let narrow = ask(session, &[("_type", "Patient,Coverage")]).await?;
    let strange = narrow
        .iter()
        .find(|one| !matches!(one["resourceType"].as_str(), Some("Patient" | "Coverage")));
    demand(strange.is_none(), || {
        format!(
            "a {} was not asked for",
            strange.map_or("", |one| one["resourceType"].as_str().unwrap_or(""))
        )
    })?;
    let wanted = whole
        .iter()
        .filter(|one| matches!(one["resourceType"].as_str(), Some("Patient" | "Coverage")));
    demand(wanted.count() == narrow.len(), || {
        format!("{} resources where the record holds others", narrow.len())
    })
}

async fn since(session: &mut Session) -> Checked {
    let whole = session.everything().await?;
    let updated = |one: &Value| {
        one["meta"]["lastUpdated"]
            .as_str()
            .and_then(when::TimeSpan::of)
            .map(|span| span.from)
    };
    let mut times: Vec<i64> = whole.iter().filter_map(updated).collect();
    times.sort_unstable();
    let (Some(middle), Some(newest)) = (times.get(times.len() / 2), times.last().copied()) else {
        return skip("nothing in the record has meta.lastUpdated");
    };
    let day = when::day(*middle, 0);
    let since = format!("{day}T00:00:00Z");
    let from = when::TimeSpan::of(&since).map_or(0, |span| span.from);
    let newer = ask(session, &[("_since", &since)]).await?;
    for one in newer.iter().filter(|one| !is_shared(one)) {
        demand(updated(one).is_none_or(|at| at >= from - 1_000), || {
            format!("{} is older than _since", name(one))
        })?;
    }
    // A shared resource is included with the resources that refer to it.
    let due = whole
        .iter()
        .filter(|one| !is_shared(one) && updated(one).is_some_and(|at| at > from + 1_000));
    let held = ids(&newer);
    for one in due {
        demand(held.contains(&name(one)), || {
            format!("{} is newer than _since and left out", name(one))
        })?;
    }
    // Records that were loaded together all have the same day, so only a later instant separates them from newer ones.
    let later = ask(session, &[("_since", &rfc3339_ms(newest + 2_000))]).await?;
    let old = later
        .iter()
        .find(|one| !is_shared(one) && updated(one).is_some_and(|at| at <= newest));
    demand(old.is_none(), || {
        format!("{} is older than _since", old.map(name).unwrap_or_default())
    })
}

/// The end of the care that a resource documents.
fn care_end(one: &Value) -> Option<i64> {
    let element = match one["resourceType"].as_str()? {
        "Encounter" => &one["period"],
        "Observation" | "DiagnosticReport" => one.get("effectiveDateTime").unwrap_or(&one["effectivePeriod"]),
        "Procedure" => one.get("performedDateTime").unwrap_or(&one["performedPeriod"]),
        "Immunization" => &one["occurrenceDateTime"],
        _ => return None,
    };
    when::TimeSpan::of_element(element)
        .filter(|span| span.is_bounded())
        .map(|span| span.to)
}

async fn start(session: &mut Session) -> Checked {
    let whole = session.everything().await?;
    let mut ends: Vec<i64> = whole.iter().filter_map(care_end).collect();
    ends.sort_unstable();
    let (Some(first), Some(last)) = (ends.first(), ends.last()) else {
        return skip("the record holds no dated care");
    };
    let start = when::day(first / 2 + last / 2, 0);
    let from = when::TimeSpan::of(&start).map_or(0, |span| span.from);
    let later = ask(session, &[("start", &start)]).await?;
    let slack = 14 * 3_600_000;
    for one in &later {
        demand(care_end(one).is_none_or(|end| end > from - slack), || {
            format!("the care of {} was over before start", name(one))
        })?;
    }
    let held = ids(&later);
    for one in whole
        .iter()
        .filter(|one| care_end(one).is_some_and(|end| end > from + slack))
    {
        demand(held.contains(&name(one)), || {
            format!("{} is care after start and left out", name(one))
        })?;
    }
    Ok(())
}

async fn count(session: &mut Session) -> Checked {
    let whole = session.everything().await?;
    let size = whole.len().div_ceil(4).max(1).to_string();
    let paged = ask(session, &[("_count", &size)]).await?;
    demand(ids(&paged) == ids(&whole), || {
        format!("one answer gives {}, the pages give {}", whole.len(), paged.len())
    })
}
