//! Fetches the record, body by body, and keeps it sealed as it came. Safe to repeat: a body that came to its end is not asked for again, and
//! what a broken one left is removed; a read changes nothing at the partner.

use super::super::permit::permit;
use super::blocking::blocking;
use super::facts::{ExchangeFacts, MissingPart};
use super::fetching::Fetching;
use super::member_match::dialect;
use super::open::{OpenSession, Went};
use super::plan::{self, EVERYTHING, EXPORT, PERSON};
use super::result::{StepEnd, StepGain};
use super::supporting;
use super::token::is_good;
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::fhir::bundle_reader::{BundlePiece, BundleReader};
use crate::jobs::HeldJob;
use crate::partner::peer::{CallEnd, CallFacts, CallFailure, Peer, PeerAsk};
use crate::records::ingest::{self, BothSides, IngestScope, IngestWriter, PartState, RecordPart, Shortfall};
use crate::secret::Secret;
use crate::telemetry::spans::{self, SpanNote};
use serde::Deserialize;

pub(super) async fn run(session: &mut OpenSession, facts: &ExchangeFacts, held: &HeldJob) -> Went {
    let now_ms = held.ctx().clock.now_ms();
    let token = session
        .member_token
        .clone()
        .filter(|token| is_good(Some(token), now_ms));
    let token = token.ok_or_else(|| CallFailure::new(CallEnd::Unauthorized))?;
    let went = fetch(session, facts, held, &token.secret).await;
    if let Err(failure) = &went
        && failure.end == CallEnd::Unauthorized
    {
        session.member_token = None;
    }
    went
}

async fn fetch(session: &mut OpenSession, facts: &ExchangeFacts, held: &HeldJob, token: &Secret) -> Went {
    let may = permit(facts.terms(), held.ctx().clock.clone());
    let (writer, _give_up) = IngestWriter::leased(held, Some(may));
    let scope = scope(session, facts, held, token, &writer).await?;
    let went = fetch_into(&scope, &writer, session, facts, held).await;
    if let Err(failure) = &went
        && failure.end == CallEnd::Own(Fault::SealBroken)
    {
        // The damage is told now; the next run fetches again what it has taken.
        blocking(move || ingest::open_lost(&scope, &writer)).await?;
    }
    went
}

async fn fetch_into(
    scope: &IngestScope,
    writer: &IngestWriter,
    session: &mut OpenSession,
    facts: &ExchangeFacts,
    held: &HeldJob,
) -> Went {
    let offer = session.partner()?.offer.clone();
    let nothing = || CallFailure::new(CallEnd::Refused(Fault::PartnerOffersNothing));
    let mut plan = plan::best(&offer, &dialect(&facts.partner, "pdex")).ok_or_else(nothing)?;
    let own = scope.clone();
    let knows_person = blocking(move || ingest::knows_person(&own)).await?;
    if facts.since_ms.is_some() && !knows_person {
        plan = plan::with_person(plan);
    }
    let mut parts = ingest::open(scope, writer, plan.method, &plan.parts).await?;
    if reopen(scope, writer, &parts, facts).await? {
        parts = ingest::open(scope, writer, plan.method, &plan.parts).await?;
    }
    let since = facts.since_ms.map(rfc3339_ms);
    let mut fetching = Fetching::new(session, (facts, held), (scope, writer)).await?;
    let mut at = 0;
    while let Some(part) = parts.get(at).cloned() {
        at += 1;
        if part.state != PartState::Open || !plan::is_asked_for(&part.name) {
            continue;
        }
        let first = plan::first_request(&part.name, their_patient(scope), since.as_deref(), &offer);
        let refused = fetching.part(part.clone(), &first).await?;
        let by_type = plan::by_type(&offer).filter(|_| part.name == EVERYTHING && refused.is_some());
        if let Some(other) = by_type {
            // What it offers and then does not give may still be had type by type. What searches bring again counts once.
            if plan::is_by_type(other.parts.iter().map(String::as_str)) {
                let state = match leaves_out(scope, facts, &other.parts).await? {
                    true => PartState::Broken,
                    false => PartState::Refused,
                };
                ingest::mark_part(scope, writer, EVERYTHING, state, refused, true).await?;
            }
            spans::note(SpanNote::Fallback, Vec::new());
            parts = ingest::open(scope, writer, other.method, &other.parts).await?;
            at = 0;
        }
    }
    supporting::follow(&mut fetching, &offer).await?;
    let (own, call) = (scope.clone(), fetching.call);
    let came = Came {
        may_lack_patient: facts.since_ms.is_some() && knows_person,
        ..blocking(move || {
            Ok(Came {
                parts: ingest::parts(&own)?,
                arrived: ingest::arrivals(&own)?,
                is_nothing: ingest::size(&own)?.bytes == 0,
                may_lack_patient: false,
            })
        })
        .await?
    };
    conclude(came, call)
}

/// Whether `$everything`, in this round or before, brought types until it broke off that no search asks for: nobody knows whether that was all
/// of them.
async fn leaves_out(scope: &IngestScope, facts: &ExchangeFacts, searches: &[String]) -> Result<bool, Failure> {
    let own = scope.clone();
    let came = blocking(move || ingest::arrivals(&own)).await?.types;
    let is_left_out = came
        .keys()
        .any(|rtype| plan::is_type(rtype) && !searches.contains(rtype));
    Ok(is_left_out || facts.missing.iter().any(|one| one.resource_type == "*"))
}

fn their_patient(scope: &IngestScope) -> &str {
    &scope.sides().their_patient
}

/// What came.
struct Came {
    parts: Vec<RecordPart>,
    arrived: ingest::Arrivals,
    /// Whether no body was kept, in this round or before.
    is_nothing: bool,
    /// Whether only what changed was asked for, and the Patient came before.
    may_lack_patient: bool,
}

/// What came, and what is missing.
fn conclude(came: Came, call: CallFacts) -> Went {
    let Came {
        parts,
        arrived,
        is_nothing,
        may_lack_patient,
    } = came;
    let by_type = plan::is_by_type(parts.iter().map(|part| part.name.as_str()));
    // A part that searches have taken the place of is not missing, nor is what the record only names, or what a bulk run did not end.
    let has_others = |part: &RecordPart| match part.name.as_str() {
        EVERYTHING => by_type && part.state != PartState::Broken,
        PERSON => by_type,
        _ => false,
    };
    let counts = |part: &&RecordPart| plan::is_asked_for(&part.name) && !has_others(part);
    let mut missing: Vec<MissingPart> = parts
        .iter()
        .filter(counts)
        .filter_map(Shortfall::of)
        .map(|short| MissingPart {
            resource_type: match short.part.as_str() {
                EVERYTHING => "*".into(),
                PERSON => "Patient".into(),
                _ => short.part,
            },
            count: short.count,
            page: short.page,
            resume: None,
            reason: short.reason,
        })
        .collect();
    if is_nothing && let Some(end) = nothing_given(&parts) {
        return Ok((end, call));
    }
    let no_patient = !arrived.types.contains_key("Patient");
    if no_patient
        && !may_lack_patient
        && !missing
            .iter()
            .any(|part| matches!(part.resource_type.as_str(), "Patient" | "*"))
    {
        missing.push(MissingPart {
            resource_type: "Patient".into(),
            count: Some(1),
            page: None,
            resume: None,
            reason: None,
        });
    }
    let gain = StepGain::Retrieved {
        counts: arrived.types,
        bytes: arrived.bytes,
        method: if by_type { "search" } else { "everything" },
        as_of_ms: arrived.as_of_ms,
    };
    let end = match missing.is_empty() {
        true => StepEnd::Done(gain),
        false => StepEnd::Partial { gain, missing },
    };
    Ok((end, call))
}

/// What it means that the partner gave nothing of what was asked for: when one of its answers can be mended, the exchange is not over.
fn nothing_given(parts: &[RecordPart]) -> Option<StepEnd> {
    let told = parts.iter().filter_map(|part| part.reason.as_deref());
    let faults = told.filter_map(|code| Fault::ALL.iter().copied().find(|fault| fault.code() == code));
    let mut ends: Vec<StepEnd> = faults.map(StepEnd::refused).collect();
    let at = ends
        .iter()
        .position(|end| matches!(end, StepEnd::OurFault { .. }))
        .unwrap_or(0);
    (!ends.is_empty()).then(|| ends.swap_remove(at))
}

/// Opens the parts again that a new round asks for, at its first attempt; after a replay also those that were refused when nothing came.
/// Returns whether it opened any.
async fn reopen(
    scope: &IngestScope,
    writer: &IngestWriter,
    parts: &[RecordPart],
    facts: &ExchangeFacts,
) -> Result<bool, Failure> {
    let own = scope.clone();
    let is_open = |part: &RecordPart| part.state == PartState::Open && plan::is_asked_for(&part.name);
    let has_nothing = !parts.iter().any(is_open) && blocking(move || ingest::size(&own)).await?.bytes == 0;
    let has_patient = parts
        .iter()
        .any(|part| matches!(part.name.as_str(), "Patient" | PERSON));
    let is_asked = |part: &RecordPart| {
        facts.missing.iter().any(|one| match one.resource_type.as_str() {
            "*" => part.name == EVERYTHING && part.state != PartState::Whole,
            // Only everything can bring the Patient that everything did not bring.
            "Patient" if !has_patient => part.name == EVERYTHING,
            "Patient" if part.name == PERSON => part.state != PartState::Whole,
            other => part.name == other && part.state != PartState::Whole,
        })
    };
    let closed = parts
        .iter()
        .filter(|part| part.state != PartState::Open && part.name != EXPORT);
    if has_nothing {
        for part in closed {
            ingest::mark_part(scope, writer, &part.name, PartState::Open, None, true).await?;
        }
        return Ok(!parts.is_empty());
    }
    let names = closed.filter(|part| is_asked(part)).map(|part| part.name.clone());
    ingest::anew_once(scope, writer, ("rest", facts.round), names.collect()).await
}

/// The scope of this exchange: as it was begun, else made now. One that was damaged is told as that, and made anew for the next run: it
/// says what is known here too.
async fn scope(
    session: &OpenSession,
    facts: &ExchangeFacts,
    held: &HeldJob,
    token: &Secret,
    writer: &IngestWriter,
) -> Result<IngestScope, CallFailure> {
    let (ctx, vault, id) = (
        held.ctx().clone(),
        session.access.vault().clone(),
        facts.exchange_id.clone(),
    );
    match blocking(move || IngestScope::reopen(&ctx, &vault, &id)).await {
        Err(failure) if failure.fault() == Fault::NothingReceived => new_scope(session, facts, held, token).await,
        Err(failure) if failure.fault() == Fault::SealBroken => {
            let scope = new_scope(session, facts, held, token).await?;
            ingest::seal_again(&scope, writer).await?;
            Err(failure.into())
        }
        other => Ok(other?),
    }
}

async fn new_scope(
    session: &OpenSession,
    facts: &ExchangeFacts,
    held: &HeldJob,
    token: &Secret,
) -> Result<IngestScope, CallFailure> {
    let known = session.partner()?;
    let sides = BothSides {
        exchange_id: facts.exchange_id.clone(),
        partner_id: facts.partner.id.clone(),
        partner_name: facts.partner.name.clone(),
        partner_base: known.peer.base().to_owned(),
        their_patient: patient_id(&known.peer, facts, token).await?,
        our_patient: facts.member_id.clone(),
    };
    let (ctx, vault) = (held.ctx().clone(), session.access.vault().clone());
    Ok(blocking(move || IngestScope::open(&ctx, &vault, sides)).await?)
}

/// The id of the member's Patient there; a partner that told an identifier alone is asked for it. The identifier goes into the body.
async fn patient_id(peer: &Peer, facts: &ExchangeFacts, token: &Secret) -> Result<String, CallFailure> {
    let matched = facts.matched.as_ref().ok_or_else(|| Failure::new(Fault::Internal))?;
    if let Some(id) = &matched.patient_id {
        return Ok(id.clone());
    }
    let value = matched.identifier.as_deref().unwrap_or_default();
    let query = match &matched.identifier_system {
        Some(system) => format!("{system}|{value}"),
        None => value.to_owned(),
    };
    let mut form = peer.below("Patient/_search")?;
    form.query_pairs_mut().append_pair("identifier", &query);
    let body = form.query().unwrap_or_default().as_bytes().to_vec();
    let ask = PeerAsk {
        url: peer.below("Patient/_search")?,
        body: Some(("application/x-www-form-urlencoded", body)),
        token: Some(token),
        correlation_id: &facts.correlation_id,
        idempotency_key: None,
    };
    let (bytes, call) = peer.read(ask).await?;
    only_patient(&bytes).map_err(|failure| not_found(failure, call))
}

/// What it means that an answer does not name one Patient: what cannot be read as a Bundle says nothing of the member.
fn not_found(failure: Failure, call: CallFacts) -> CallFailure {
    let end = match failure.fault() {
        fault @ Fault::MatchAnswerUnfit => CallEnd::Refused(fault),
        _ => CallEnd::ServerFault,
    };
    CallFailure::with(end, call).because(failure)
}

#[derive(Deserialize)]
struct FoundEntry {
    resource: FoundResource,
}

#[derive(Deserialize)]
struct FoundResource {
    #[serde(rename = "resourceType")]
    resource_type: String,
    id: Option<String>,
}

/// The id of the only Patient of a searchset.
fn only_patient(bytes: &[u8]) -> Result<String, Failure> {
    let unfit = || Failure::new(Fault::MatchAnswerUnfit);
    let (mut reader, mut ids) = (BundleReader::new(1 << 20), Vec::new());
    reader.feed(bytes, &mut |piece| {
        let BundlePiece::Entry { bytes, .. } = piece else {
            return Err(unfit());
        };
        // The reader's own message would quote the answer.
        let entry: FoundEntry = serde_json::from_slice(&bytes).map_err(|_| unfit())?;
        ids.extend(entry.resource.id.filter(|_| entry.resource.resource_type == "Patient"));
        Ok(())
    })?;
    let head = reader.end()?;
    if head.resource_type != "Bundle" {
        return Err(Failure::new(Fault::PartnerNotFhir).at("Bundle"));
    }
    match (head.next, ids.as_slice()) {
        (None, [only]) if crate::ids::is_fhir_id(only) => Ok(only.clone()),
        _ => Err(unfit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, state: PartState) -> RecordPart {
        RecordPart {
            name: name.into(),
            state,
            reason: None,
            pages: 0,
            entries: 0,
            expected: None,
            next: None,
        }
    }

    #[test]
    fn everything_that_broke_off_is_missing_where_no_searches_ask_for_all_that_it_had_begun_to_bring() {
        for (state, is_whole) in [(PartState::Refused, true), (PartState::Broken, false)] {
            let came = Came {
                parts: vec![
                    part(EVERYTHING, state),
                    part("Patient", PartState::Whole),
                    part("Condition", PartState::Whole),
                ],
                arrived: ingest::Arrivals {
                    types: [("Patient".to_owned(), 1)].into(),
                    ..ingest::Arrivals::default()
                },
                is_nothing: false,
                may_lack_patient: false,
            };
            let went = conclude(came, CallFacts::default());
            let missing = match went.expect("an end").0 {
                StepEnd::Done(_) => Vec::new(),
                StepEnd::Partial { missing, .. } => missing,
                other => panic!("{other:?}"),
            };
            let types: Vec<&str> = missing.iter().map(|one| one.resource_type.as_str()).collect();
            assert_eq!(types.is_empty(), is_whole, "{types:?}");
            assert!(is_whole || types == ["*"], "{types:?}");
        }
    }

    #[test]
    fn what_a_bulk_run_began_and_did_not_end_is_not_missing_in_what_the_exchange_fetched_alone() {
        let came = Came {
            parts: vec![part(EVERYTHING, PartState::Whole), part(EXPORT, PartState::Open)],
            arrived: ingest::Arrivals {
                types: [("Patient".to_owned(), 1)].into(),
                ..ingest::Arrivals::default()
            },
            is_nothing: false,
            may_lack_patient: false,
        };
        let went = conclude(came, CallFacts::default());
        assert!(matches!(went, Ok((StepEnd::Done(_), _))));
        assert!(!plan::is_asked_for(EXPORT) && plan::is_asked_for(EVERYTHING));
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_no_word_about_the_member() {
        let bundle = |entries: &str| format!(r#"{{"resourceType":"Bundle","type":"searchset","entry":[{entries}]}}"#);
        let patient = r#"{"resource":{"resourceType":"Patient","id":"p1"}}"#;
        let unfit = CallEnd::Refused(Fault::MatchAnswerUnfit);
        for (text, wanted) in [
            (bundle(patient), None),
            (bundle(""), Some(unfit)),
            (bundle(&format!("{patient},{patient}")), Some(unfit)),
            (bundle(r#"{"fullUrl":"x"}"#), Some(unfit)),
            (bundle(patient)[..40].to_owned(), Some(CallEnd::ServerFault)),
            ("<html>".to_owned(), Some(CallEnd::ServerFault)),
            (String::new(), Some(CallEnd::ServerFault)),
            (
                r#"{"resourceType":"OperationOutcome","issue":[]}"#.to_owned(),
                Some(CallEnd::ServerFault),
            ),
        ] {
            let found = only_patient(text.as_bytes());
            let end = found.err().map(|failure| not_found(failure, CallFacts::default()).end);
            assert_eq!(end, wanted, "{text}");
        }
    }
}
