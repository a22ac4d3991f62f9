//! Rules for all searches: no results, alternatives, counts, order, elements.

use super::super::found::{follow, search};
use super::super::session::Session;
use super::super::stop::{Checked, Stop, demand, fail, skip};
use super::super::test::{FixedTest, Searching};
use super::super::when;
use super::super::wire::{Call, query};

#[rustfmt::skip]
pub(in super::super) const TESTS: &[FixedTest<Searching>] = &[
    ("search", "none", "fhir-search-none", "A search that matches nothing is 200 with a Bundle without entries", Searching::Nobody),
    ("search", "id-or", "search-or", "_id with a comma finds each once", Searching::IdOr),
    ("search", "count", "fhir-count", "_count bounds a page, and links lead to the rest", Searching::Count),
    ("search", "count-zero", "fhir-count", "_count=0 answers the total and no entries", Searching::CountZero),
    ("search", "summary-count", "fhir-summary", "_summary=count answers the true total and no entries", Searching::Total),
    ("search", "sort", "fhir-sort", "_sort=_lastUpdated sorts, where it is taken", Searching::Sort),
    ("search", "elements", "fhir-elements", "What _elements cuts is marked SUBSETTED", Searching::Elements),
];

pub(super) async fn run(which: Searching, session: &mut Session) -> Checked {
    match which {
        Searching::Nobody => nobody(session).await,
        Searching::IdOr => id_or(session).await,
        Searching::Count => count(session).await,
        Searching::CountZero => counted(session, ("_count", "0")).await,
        Searching::Total => counted(session, ("_summary", "count")).await,
        Searching::Sort => sort(session).await,
        Searching::Elements => elements(session).await,
    }
}

async fn nobody(session: &mut Session) -> Checked {
    let id = session.new_id();
    let found = search(session, "Patient", &[("_id", &id)]).await?;
    demand(found.matches.is_empty(), || {
        "an id that is not there matches".to_owned()
    })
}

async fn id_or(session: &mut Session) -> Checked {
    let (patient, nobody) = (session.patient().await?, session.new_id());
    let found = search(session, "Patient", &[("_id", &format!("{nobody},{patient}"))]).await?;
    let ids: Vec<String> = found.ids().into_iter().collect();
    demand(ids == [format!("Patient/{patient}")], || {
        format!("{} match, one was due", ids.len())
    })
}

/// The type with the most resources, among the types that can be searched by patient alone, and the number of resources.
async fn largest(session: &mut Session) -> Checked<(&'static str, usize)> {
    let mut best = ("", 0);
    for rtype in [
        "Condition",
        "Encounter",
        "ExplanationOfBenefit",
        "Procedure",
        "Immunization",
    ] {
        let count = session.pool(rtype).await.map_or(0, |pool| pool.len());
        if count > best.1 {
            best = (rtype, count);
        }
    }
    if best.1 < 2 {
        return skip("no type has two resources");
    }
    Ok(best)
}

async fn count(session: &mut Session) -> Checked {
    let (rtype, _) = largest(session).await?;
    let patient = session.patient().await?;
    let whole = search(session, rtype, &[("patient", &patient)]).await?;
    let paged = search(session, rtype, &[("patient", &patient), ("_count", "1")]).await?;
    demand(paged.pages.iter().all(|page| *page <= 1), || {
        "_count=1 and a page with more matches".to_owned()
    })?;
    demand(paged.ids() == whole.ids(), || {
        format!(
            "one answer gives {}, the pages give {}",
            whole.matches.len(),
            paged.matches.len()
        )
    })
}

/// Checks that the query returns only the total, and that it is correct.
async fn counted(session: &mut Session, how: (&str, &str)) -> Checked {
    let (rtype, _) = largest(session).await?;
    let patient = session.patient().await?;
    let whole = search(session, rtype, &[("patient", &patient)]).await?;
    let url = session.url(&format!("{rtype}?{}", query(&[("patient", &patient), how])));
    let page = session.send(Call::get(url)).await?.status(200)?.resource("Bundle")?;
    let matches = page["entry"].as_array().into_iter().flatten();
    let shown = matches.filter(|entry| entry["search"]["mode"] == "match").count();
    demand(shown == 0, || format!("{shown} entries where only the total is due"))?;
    let total = page["total"].as_u64();
    demand(total == Some(whole.matches.len() as u64), || {
        format!("total is {}, {} match", page["total"], whole.matches.len())
    })
}

async fn sort(session: &mut Session) -> Checked {
    let (rtype, _) = largest(session).await?;
    let patient = session.patient().await?;
    let mut orders = Vec::new();
    for sort in ["_lastUpdated", "-_lastUpdated"] {
        let url = session.url(&format!("{rtype}?{}", query(&[("patient", &patient), ("_sort", sort)])));
        let answer = session.send(Call::get(url)).await?;
        if answer.status == 400 {
            return Err(Stop::Omit("the server does not sort".to_owned()));
        }
        let found = follow(session, rtype, answer).await?;
        let times = found
            .matches
            .iter()
            .filter_map(|one| when::TimeSpan::of(one["meta"]["lastUpdated"].as_str()?));
        orders.push(times.map(|span| span.from).collect::<Vec<i64>>());
    }
    let rising = orders[0].windows(2).all(|pair| pair[0] <= pair[1]);
    let falling = orders[1].windows(2).all(|pair| pair[0] >= pair[1]);
    demand(rising, || "_sort=_lastUpdated does not rise".to_owned())?;
    demand(falling, || "_sort=-_lastUpdated does not fall".to_owned())
}

async fn elements(session: &mut Session) -> Checked {
    let patient = session.patient().await?;
    let whole = search(session, "Patient", &[("_id", &patient)]).await?;
    let cut = search(session, "Patient", &[("_id", &patient), ("_elements", "birthDate")]).await?;
    let (Some(whole), Some(cut)) = (whole.matches.first(), cut.matches.first()) else {
        return fail("the patient is not found");
    };
    if cut.as_object().map_or(0, |one| one.len()) >= whole.as_object().map_or(0, |one| one.len()) {
        return Err(Stop::Omit("_elements is not taken".to_owned()));
    }
    demand(cut.get("birthDate") == whole.get("birthDate"), || {
        "the element that was asked for is not there".to_owned()
    })?;
    let mut tags = cut["meta"]["tag"].as_array().into_iter().flatten();
    demand(tags.any(|tag| tag["code"] == "SUBSETTED"), || {
        "a cut resource is not marked SUBSETTED".to_owned()
    })
}
