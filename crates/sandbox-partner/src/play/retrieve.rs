//! Getting a record: `$everything`, a search for each type, and reads. Whatever is large is made while it is sent.

use super::token::{TokenBearer, authenticate};
use super::visit::PlayedVisit;
use crate::record::{Alterations, BundlePieces, SandboxBundleHead, SandboxRecord};
use crate::script::{SandboxAct, SandboxOffer};
use crate::wire::{PlayedReply, encoded, outcome};
use serde_json::json;

/// Resources of a page of `$everything` that never ends, where the script sets no size.
const ENDLESS_PAGE: u64 = 50;
/// Resources of a record up to which every page tells the total; of a larger one only the first does.
const COUNTED_MAX: u64 = 20_000;

/// Which resources of a record are asked for.
#[derive(Clone, Debug, Default)]
struct Wanted {
    types: Vec<String>,
    /// Their numbers, where ids are asked for.
    indexes: Option<Vec<u64>>,
    since: Option<String>,
    whole: bool,
}

impl Wanted {
    fn fits(&self, record: &SandboxRecord, index: u64) -> bool {
        (self.types.is_empty() || self.types.iter().any(|kind| kind == record.type_of(index)))
            && self.indexes.as_ref().is_none_or(|indexes| indexes.contains(&index))
            && self
                .since
                .as_ref()
                .is_none_or(|since| record.last_updated(index).as_str() >= since.as_str())
            && (!self.whole || record.in_everything(index))
    }
}

fn absent() -> PlayedReply {
    PlayedReply::outcome(404, "not-found", "this payer has no such resource")
}

/// The record that is asked for, if the token allows it.
fn record(by: &PlayedVisit<'_>, kind: &str, right: char) -> Result<(TokenBearer, SandboxRecord), PlayedReply> {
    let bearer = authenticate(by)?;
    let member = match by.asked.member {
        Some(member) => member,
        // Without a member in the request, it is the one to whom the token is narrowed, or the only one who was matched.
        None => only_member(by, &bearer).ok_or_else(|| match by.asked.id {
            Some(_) => absent(),
            None => PlayedReply::outcome(400, "required", "name the patient"),
        })?,
    };
    bearer.may_read(by, member, kind, right)?;
    let member = &by.play.roster.all()[member];
    Ok((bearer, by.play.record(member)))
}

fn only_member(by: &PlayedVisit<'_>, bearer: &TokenBearer) -> Option<usize> {
    if by.asked.id.is_some() || by.request.param("patient").is_some() {
        return None;
    }
    if let Some(patient) = &bearer.patient {
        return by.play.roster.by_patient(patient).map(|member| member.index);
    }
    let moving = by.play.moving();
    let mut mine = moving
        .grants
        .keys()
        .filter(|(client, _)| *client == bearer.client)
        .map(|(_, member)| *member);
    match (mine.next(), mine.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// The lower end of `_lastUpdated` or `_since`, in the form that can be compared as text.
fn since(by: &PlayedVisit<'_>) -> Option<String> {
    let given = by
        .request
        .param("_since")
        .or_else(|| by.request.param("_lastUpdated"))?;
    let text = given.trim_start_matches("ge").trim_start_matches("gt");
    let time = chrono::DateTime::parse_from_rfc3339(text).ok();
    Some(match time {
        Some(time) => time.to_utc().format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        None => text.to_owned(),
    })
}

fn list(text: Option<&str>) -> Vec<String> {
    text.into_iter()
        .flat_map(|text| text.split(','))
        .filter(|one| !one.is_empty())
        .map(str::to_owned)
        .collect()
}

/// `Patient/{id}/$everything`.
pub(super) fn everything(by: &PlayedVisit<'_>) -> PlayedReply {
    if !by.play.script.offers.contains(&SandboxOffer::Everything) {
        return PlayedReply::outcome(404, "not-supported", "this payer has no $everything");
    }
    let (_, record) = match record(by, "Patient", 'r') {
        Ok(found) => found,
        Err(reply) => return reply,
    };
    if by.asked.id.as_deref() != Some(record.member.patient_id.as_str()) {
        return absent();
    }
    let wanted = Wanted {
        types: list(by.request.param("_type")),
        since: since(by),
        whole: true,
        ..Wanted::default()
    };
    bundle(by, record, wanted, by.play.script.everything_page_size)
}

/// A search of one type.
pub(super) fn search(by: &PlayedVisit<'_>) -> PlayedReply {
    let kind = by.asked.resource.clone().unwrap_or_default();
    if !by.play.script.offers.contains(&SandboxOffer::Search) {
        return PlayedReply::outcome(404, "not-supported", "this payer has no searches");
    }
    let (_, record) = match record(by, &kind, 's') {
        Ok(found) => found,
        Err(reply) => return reply,
    };
    let ids = by.request.param("_id").map(|ids| list(Some(ids)));
    let number = |id: &String| record.index_of(id.rsplit('/').next().unwrap_or(id));
    let indexes = ids.map(|ids| ids.iter().filter_map(number).collect());
    let wanted = Wanted {
        types: vec![kind],
        indexes,
        since: since(by),
        whole: false,
    };
    bundle(by, record, wanted, Some(by.play.script.page_size))
}

/// A read of one resource.
pub(super) fn read(by: &PlayedVisit<'_>) -> PlayedReply {
    let kind = by.asked.resource.clone().unwrap_or_default();
    let (_, record) = match record(by, &kind, 'r') {
        Ok(found) => found,
        Err(reply) => return reply,
    };
    let index = by.asked.id.as_deref().and_then(|id| record.index_of(id));
    let Some(index) = index.filter(|&index| record.type_of(index) == kind) else {
        return absent();
    };
    let resource = alterations(by, &record).apply(&record, index).into_iter().next();
    by.play.effect(by.number, by.request, by.asked, None);
    match resource {
        None => absent(),
        Some(resource) => {
            let version = resource["meta"]["versionId"].as_str().unwrap_or("1").to_owned();
            PlayedReply::resource(200, &resource).with("ETag", format!("W/\"{version}\""))
        }
    }
}

fn alterations(by: &PlayedVisit<'_>, record: &SandboxRecord) -> Alterations {
    let stranger = by.play.roster.other_than(&record.member, by.play.script.seed);
    let elsewhere = format!("{}/fhir", by.play.elsewhere);
    Alterations::of(&by.treatment.content, by.play.record(&stranger), &elsewhere)
}

/// One page of what is wanted.
fn bundle(by: &PlayedVisit<'_>, record: SandboxRecord, wanted: Wanted, page_size: Option<u64>) -> PlayedReply {
    let play = by.play;
    let asked_size = by
        .request
        .param("_count")
        .and_then(|count| count.parse::<u64>().ok())
        .filter(|&count| count > 0);
    let content = &by.treatment.content;
    let endless = content.contains(&SandboxAct::EndlessPages);
    let size = match (page_size.or(endless.then_some(ENDLESS_PAGE)), asked_size) {
        (Some(size), Some(asked)) => Some(size.min(asked)),
        (size, _) => size,
    };
    let from: u64 = by
        .request
        .param("_from")
        .and_then(|from| from.parse().ok())
        .unwrap_or(0);
    let page = by.asked.page.unwrap_or(1);
    // An endless page looks no further than a page reaches when every visit has one that fits.
    let end = match size {
        Some(size) if endless => from.saturating_add(size.saturating_add(2).saturating_mul(14)),
        _ => record.len(),
    };
    // Counting a large record for each of its pages would take longer than sending them.
    let counted = page == 1 || record.len() <= COUNTED_MAX;
    let total = counted.then(|| (0..record.len()).filter(|&index| wanted.fits(&record, index)).count() as i64);
    let fitting = {
        let (record, wanted) = (record.clone(), wanted.clone());
        move |index: &u64| wanted.fits(&record, *index)
    };
    let after = size.and_then(|size| {
        let skipped = usize::try_from(size).unwrap_or(usize::MAX);
        (from..end).filter(&fitting).nth(skipped).or(endless.then_some(end))
    });
    let wrong: i64 = content
        .iter()
        .map(|act| {
            if let SandboxAct::WrongTotal { by } = act {
                *by
            } else {
                0
            }
        })
        .sum();
    let mut head = SandboxBundleHead {
        total: total.map(|total| total.saturating_add(wrong)),
        links: vec![("self", format!("{}{}", play.origin, by.request.target))],
        base: play.base.clone(),
    };
    if let Some(next) = next(by, after, page, size) {
        head.links.push(("next", next));
    }
    let altered = alterations(by, &record);
    let (after, provenance) = (after.unwrap_or(end), revinclude(by, &record, page));
    let mut pieces = BundlePieces::of(head, record, (from..after).filter(fitting), altered);
    if let Some(provenance) = provenance {
        pieces = pieces.ending_with("include", provenance);
    }
    if content
        .iter()
        .any(|act| matches!(act, SandboxAct::LeaveOut { told: true, .. }))
    {
        let mut missing = outcome("incomplete", "some resources could not be fetched");
        missing["issue"][0]["severity"] = json!("warning");
        pieces = pieces.ending_with("outcome", missing);
    }
    play.effect(by.number, by.request, by.asked, None);
    PlayedReply::stream(pieces)
}

/// The Provenance of the transmission, on the first page of a search that asks for it.
fn revinclude(by: &PlayedVisit<'_>, record: &SandboxRecord, page: u64) -> Option<serde_json::Value> {
    let asked = by
        .request
        .query
        .iter()
        .any(|(name, value)| name == "_revinclude" && value == "Provenance:target");
    let is_search = by.asked.resource.as_deref() != Some("Provenance") && by.asked.id.is_none();
    (asked && is_search && page == 1).then(|| record.resource(record.len() - 1))
}

/// The `next` link: the right one, or what a rule makes of it.
fn next(by: &PlayedVisit<'_>, after: Option<u64>, page: u64, size: Option<u64>) -> Option<String> {
    let play = by.play;
    for act in &by.treatment.content {
        match act {
            SandboxAct::PageLoop { to_page: None } => return Some(format!("{}{}", play.origin, by.request.target)),
            SandboxAct::PageLoop { to_page: Some(to) } => {
                // Every page begins somewhere; for a loop the start of the record will do.
                return Some(link(by, &play.origin, 0, *to, size));
            }
            SandboxAct::NextElsewhere => return Some(link(by, &play.elsewhere, after.unwrap_or(0), page + 1, size)),
            _ => {}
        }
    }
    after.map(|after| link(by, &play.origin, after, page + 1, size))
}

fn link(by: &PlayedVisit<'_>, origin: &str, from: u64, page: u64, size: Option<u64>) -> String {
    let path = by.request.path.trim_end_matches("/_search");
    let mut url = format!("{origin}{path}?_from={from}&_page={page}");
    if let Some(size) = size {
        url.push_str(&format!("&_count={size}"));
    }
    for (name, value) in &by.request.query {
        if !["_from", "_page", "_count"].contains(&name.as_str()) {
            url.push_str(&format!("&{}={}", encoded(name), encoded(value)));
        }
    }
    url
}
