//! `Task` read and search: the exchanges that the caller itself began with `$member-match`, and how each stands. It starts nothing.
//!
//! A caller sees only its own, and of each only what it was told before: why a match was refused, never whether a person looks at it; the
//! member only while its grant holds.

use super::authorised::Authorised;
use super::own;
use crate::clock::rfc3339_ms;
use crate::context::{Context, Payer};
use crate::error::{Failure, Fault};
use crate::exchange::phase::{DeliveryState, Phase};
use crate::fhir::bundle::{Bundle, SEARCHSET};
use crate::fhir::outcome::fault_system;
use crate::fhir::search::query::{PARAMETERS_MAX, VALUES_MAX};
use crate::http::negotiate;
use crate::http::reply::HttpFailure;
use crate::http::state::App;
use crate::ids::is_fhir_id;
use crate::ops::inbound::{InboundBatch, InboundExchange};
use crate::ops::sent_under::SentDepth;
use crate::percent::encode;
use crate::secret::member_keys::MemberKeys;
use crate::security::Caller;
use crate::store::inbound::InboundFilter;
use crate::store::{Db, correlations};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value as Json, json};

/// The search parameters with their types, as the CapabilityStatement lists them.
pub const SEARCHED_BY: &[(&str, &str)] = &[
    ("_id", "token"),
    ("identifier", "token"),
    ("patient", "reference"),
    ("status", "token"),
];

const UNKNOWN: &str = "Task is searched by _id, identifier, patient and status.";

/// Tasks on a page, when the request does not say.
const COUNT: usize = 20;
/// Most tasks on a page.
const COUNT_MAX: usize = 100;
/// Most ids in a search.
const IDS_MAX: usize = 100;
/// Exchanges that are read at once, and how often for one page.
const BATCH: i64 = 100;
const BATCHES: usize = 3;
/// Entries of the ledger that are looked at for one page; then the page ends, and the next one goes on.
const ENTRIES: usize = 2_000;
/// What a task says when its exchange has more disclosures than were looked at.
const LEAST: &str = "The server looked at the latest disclosures only. Older ones may have been sent whole.";
const NPI: &str = "http://hl7.org/fhir/sid/us-npi";

/// The task with this id.
pub async fn read(
    request: HttpRequest,
    authorised: Authorised,
    id: web::Path<String>,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    negotiate::form(&request)?;
    let task = one(&app.ctx, &authorised.caller, &id).await?;
    Ok(own::head().body(task.to_string()))
}

/// The search with its parameters in the URL.
pub async fn search(
    request: HttpRequest,
    authorised: Authorised,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let asked = own::got(&request, &authorised, &app).await?;
    let found = bundle(&app.ctx, &authorised.caller, &asked.pairs, asked.is_strict).await?;
    Ok(own::head().body(found))
}

/// The search with its parameters in a form, in the URL, or in both.
pub async fn search_post(
    request: HttpRequest,
    authorised: Authorised,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let asked = own::sent(&request, &authorised, payload, &app).await?;
    let found = bundle(&app.ctx, &authorised.caller, &asked.pairs, asked.is_strict).await?;
    Ok(own::head().body(found))
}

/// The task with this id, if the caller began it.
///
/// # Errors
/// [`Fault::NotFound`], for a task of others as for none; those of the store.
pub async fn one(ctx: &Context, caller: &Caller, id: &str) -> Result<Json, Failure> {
    if !is_fhir_id(id) {
        return Err(Fault::NotFound.into());
    }
    let asked = TaskSearch {
        ids: Some(vec![id.to_owned()]),
        count: 1,
        ..TaskSearch::default()
    };
    let (mut tasks, _) = found(ctx, caller, asked).await?;
    tasks.pop().ok_or_else(|| Fault::NotFound.into())
}

/// Runs a search and writes its Bundle, the newest first.
///
/// # Errors
/// [`Fault::ParameterInvalid`]; [`Fault::ParameterUnknown`] when `strict`; those of the store.
pub async fn bundle(
    ctx: &Context,
    caller: &Caller,
    pairs: &[(String, String)],
    strict: bool,
) -> Result<Vec<u8>, Failure> {
    let asked = TaskSearch::read(pairs, strict)?;
    let (own, has_unknown) = (asked.own.clone(), asked.has_unknown);
    let (tasks, next) = found(ctx, caller, asked).await?;
    let base_url = &ctx.payer.base_url;
    let url = |more: Option<String>| {
        let all: Vec<String> = own.iter().cloned().chain(more).collect();
        format!(
            "{base_url}/Task{}{}",
            if all.is_empty() { "" } else { "?" },
            all.join("&")
        )
    };
    let mut links = vec![("self", url(None))];
    links.extend(next.map(|place| ("next", url(Some(format!("_page={place}"))))));
    let mut out = Vec::new();
    let mut bundle = Bundle::begin(&mut out, SEARCHSET);
    bundle.links(&mut out, &links);
    for task in tasks {
        let id = task["id"].as_str().unwrap_or_default();
        bundle.found(
            &mut out,
            &[base_url.as_str(), "/Task/", id],
            task.to_string().as_bytes(),
            "match",
        );
    }
    if has_unknown {
        own::note_ignored(ctx, &mut bundle, &mut out, ("Task", UNKNOWN));
    }
    bundle.end(&mut out);
    Ok(out)
}

/// What is searched for.
#[derive(Clone, Debug, Default)]
struct TaskSearch {
    ids: Option<Vec<String>>,
    statuses: Option<Vec<String>>,
    identifier: Option<String>,
    patient: Option<String>,
    count: usize,
    /// The id of the last exchange that was looked at for the page before.
    after: String,
    /// The parameters that were understood, as a query; without the page.
    own: Vec<String>,
    /// Whether there are others. Their names are not repeated.
    has_unknown: bool,
}

impl TaskSearch {
    fn read(pairs: &[(String, String)], strict: bool) -> Result<TaskSearch, Failure> {
        let mut asked = TaskSearch {
            count: COUNT,
            ..TaskSearch::default()
        };
        if pairs.len() > PARAMETERS_MAX {
            return Err(Failure::new(Fault::ParameterInvalid)
                .at("Task")
                .remedy(format!("Send at most {PARAMETERS_MAX} parameters.")));
        }
        for (name, value) in pairs {
            let wrong = |remedy: &'static str| {
                let place = format!("Task?{name}");
                Failure::new(Fault::ParameterInvalid).at(place).remedy(remedy)
            };
            match name.as_str() {
                "_id" => {
                    let ids: Vec<String> = value.split(',').map(str::to_owned).collect();
                    if ids.len() > IDS_MAX || !ids.iter().all(|id| is_fhir_id(id)) {
                        return Err(wrong("Give at most 100 ids, with commas between them."));
                    }
                    asked.ids = Some(ids);
                }
                "status" => {
                    let codes = value.split(',').map(|code| code.rsplit('|').next().unwrap_or(code));
                    let codes: Vec<String> = codes.map(str::to_owned).collect();
                    if codes.len() > VALUES_MAX {
                        return Err(wrong("Give at most 50 codes, with commas between them."));
                    }
                    asked.statuses = Some(codes);
                }
                "identifier" => {
                    let value = value.rsplit('|').next().unwrap_or(value);
                    asked.identifier = Some(value.to_owned());
                }
                "patient" => {
                    let id = value.strip_prefix("Patient/").unwrap_or(value);
                    if !is_fhir_id(id) {
                        return Err(wrong("Give Patient/<id> or the id."));
                    }
                    asked.patient = Some(id.to_owned());
                }
                "_count" => {
                    let count = value.parse::<usize>().ok().filter(|count| *count > 0);
                    asked.count = count
                        .ok_or_else(|| wrong("Give a whole number above 0."))?
                        .min(COUNT_MAX);
                }
                "_page" => {
                    if !is_fhir_id(value) {
                        return Err(wrong("Follow the links of the answer as they are."));
                    }
                    asked.after.clone_from(value);
                    continue;
                }
                "_format" | "_pretty" => continue,
                _ if strict => {
                    return Err(Failure::new(Fault::ParameterUnknown).at("Task").remedy(UNKNOWN));
                }
                _ => {
                    asked.has_unknown = true;
                    continue;
                }
            }
            asked.own.push(format!("{name}={}", encode(value)));
        }
        Ok(asked)
    }
}

/// A failure without what only an operator may know, such as where our files lie.
fn for_partner(failure: Failure) -> Failure {
    match failure.fault() {
        Fault::SealKeys => Failure::new(Fault::SealKeys)
            .at("Task.identifier")
            .remedy("Search without identifier, or search again later.")
            .because(failure),
        _ => failure,
    }
}

/// The tasks of a page, the newest first, and where the next page begins.
async fn found(ctx: &Context, caller: &Caller, asked: TaskSearch) -> Result<(Vec<Json>, Option<String>), Failure> {
    let (payer, caller, now_ms) = (ctx.payer.clone(), caller.clone(), ctx.clock.now_ms());
    let (partner, keys) = (caller.partner.id.clone(), ctx.member_keys.clone());
    let work = move |db: &mut Db| page(db, (&payer, &keys), &caller, &asked, now_ms);
    ctx.store.read_in_turn(&partner, work).await
}

fn page(
    db: &mut Db,
    (payer, keys): (&Payer, &MemberKeys),
    caller: &Caller,
    asked: &TaskSearch,
    now_ms: i64,
) -> Result<(Vec<Json>, Option<String>), Failure> {
    let mut filter = InboundFilter {
        partner: Some(caller.partner.id.clone()),
        // A token for one member shows the exchanges of this member alone, and whose one is, is told only while the grant holds.
        held_on: caller.patient_id.clone().or_else(|| asked.patient.clone()),
        correlation: correlations::forms_of(db, keys, asked.identifier.as_deref()).map_err(for_partner)?,
        ids: asked.ids.clone(),
        after: asked.after.clone(),
        newest_first: true,
        limit: BATCH,
        without_reviews: true,
        ..InboundFilter::default()
    };
    let mut tasks = Vec::new();
    if asked
        .patient
        .as_ref()
        .is_some_and(|wanted| filter.held_on.as_ref() != Some(wanted))
    {
        return Ok((tasks, None));
    }
    let mut left = ENTRIES;
    for _ in 0..BATCHES {
        let mut batch = InboundBatch::read(db, &filter, SentDepth::Delivery, now_ms)?;
        match correlations::open(db, keys, &mut batch.rows) {
            // A partner learns how its exchanges stand without that file too.
            Err(failure) if failure.fault() == Fault::SealKeys => {}
            opened => opened?,
        }
        for row in &batch.rows {
            if left == 0 {
                return Ok((tasks, Some(filter.after)));
            }
            let exchange = batch.exchange(db, row, &mut left)?;
            let is_hidden = filter.held_on.is_some() && member_of(&exchange) != filter.held_on.as_deref();
            let fits = |wanted: &Vec<String>| wanted.iter().any(|code| code == status(&exchange));
            if !is_hidden && asked.statuses.as_ref().is_none_or(fits) {
                if tasks.len() == asked.count {
                    return Ok((tasks, Some(filter.after)));
                }
                tasks.push(task(&exchange, payer, caller));
            }
            filter.after.clone_from(&row.decision.id);
        }
        if batch.is_last {
            return Ok((tasks, None));
        }
    }
    Ok((tasks, Some(filter.after)))
}

/// The member, while the caller may read the record.
fn member_of(exchange: &InboundExchange) -> Option<&str> {
    let is_live = exchange.states.phase == Phase::Matched;
    exchange.row.decision.patient_id.as_deref().filter(|_| is_live)
}

/// The FHIR status. Every refusal is `rejected`, whatever happens to it inside.
fn status(exchange: &InboundExchange) -> &'static str {
    let states = &exchange.states;
    if exchange.row.grant.is_none() {
        return "rejected";
    }
    match (states.phase, states.delivery) {
        (Phase::Matched, DeliveryState::None) => "accepted",
        (Phase::Matched, _) => "in-progress",
        (Phase::Completed, _) => "completed",
        (Phase::Failed, _) => "failed",
        _ => "cancelled",
    }
}

fn task(exchange: &InboundExchange, payer: &Payer, caller: &Caller) -> Json {
    let (decision, states) = (&exchange.row.decision, &exchange.states);
    let is_granted = exchange.row.grant.is_some();
    let asked = rfc3339_ms(decision.created_ms);
    let last_sent = exchange.sent.last_at.clone();
    let ended = states.ended_ms.map(rfc3339_ms);
    // A refusal was over at once, whatever became of it here.
    let modified = match is_granted {
        true => ended.clone().or(last_sent).unwrap_or_else(|| asked.clone()),
        false => asked.clone(),
    };
    let party = |npi: &str| json!({"type": "Organization", "identifier": {"system": NPI, "value": npi}});
    let mut task = json!({
        "resourceType": "Task",
        "id": decision.id,
        "meta": {"lastUpdated": modified},
        "identifier": [{"type": {"text": "Correlation id"}, "value": decision.correlation_id}],
        "status": status(exchange),
        "intent": "order",
        "code": {"text": "Payer-to-payer exchange"},
        "authoredOn": asked,
        "lastModified": modified,
        "requester": party(&caller.partner.npi),
        "owner": party(&payer.npi),
    });
    // Its file of keys cannot be had.
    if correlations::is_handle(&decision.correlation_id)
        && let Some(members) = task.as_object_mut()
    {
        members.remove("identifier");
    }
    if is_granted {
        task["businessStatus"] = json!({"text": states.phase.code()});
        task["executionPeriod"] = json!({"start": asked});
        if let Some(ended) = ended {
            task["executionPeriod"]["end"] = json!(ended);
        }
    }
    if let Some(code) = &decision.reason {
        let row = Fault::ALL
            .iter()
            .find(|fault| fault.code() == code)
            .map(|fault| fault.row());
        let text = row.map_or("", |row| row.text);
        task["statusReason"] = json!({
            "coding": [{"system": fault_system(&payer.base_url), "code": code, "display": text}],
        });
    }
    if exchange.sent.is_cut {
        task["note"] = json!([{"text": LEAST}]);
    }
    if let Some(member) = member_of(exchange) {
        task["for"] = json!({"reference": format!("Patient/{member}")});
    }
    task
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partner_is_not_told_where_our_files_lie() {
        let path = "Let the server's user read and write /srv/causeway-data/member.keys.";
        let told = for_partner(Failure::new(Fault::SealKeys).remedy(path));
        assert_eq!(told.fault(), Fault::SealKeys);
        assert!(!told.remedy_text().contains("member.keys"), "{}", told.remedy_text());
        assert!(told.cause().is_some(), "the log has it");
        let other = for_partner(Failure::new(Fault::ParameterInvalid).remedy("Give an id."));
        assert_eq!(other.remedy_text(), "Give an id.");
    }
}
