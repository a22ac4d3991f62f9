//! Fetches the record, body by body, and keeps it sealed as it came. Safe to repeat: a body that came to its end is not asked for again, and
//! what a broken one left is removed; a read changes nothing at the partner.

use super::super::permit::permit;
use super::blocking::blocking;
use super::facts::{ExchangeFacts, MissingPart};
use super::member_match::dialect;
use super::open::{OpenSession, Went};
use super::plan::{self, EVERYTHING, PERSON};
use super::result::{StepEnd, StepGain};
use super::token::is_good;
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::fhir::bundle_reader::{BundlePiece, BundleReader};
use crate::jobs::HeldJob;
use crate::partner::peer::{CallEnd, CallFacts, CallFailure, Peer, PeerAsk};
use crate::records::ingest::{
    self, BothSides, IngestScope, IngestWriter, PageWriter, PartState, RecordPart, Shortfall,
};
use crate::secret::Secret;
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

async fn fetch(session: &OpenSession, facts: &ExchangeFacts, held: &HeldJob, token: &Secret) -> Went {
    let known = session.partner()?;
    let nothing = || CallFailure::new(CallEnd::Refused(Fault::PartnerOffersNothing));
    let scope = scope(session, facts, held, token).await?;
    let may = permit(facts.terms(), held.ctx().clock.clone());
    let (writer, _give_up) = IngestWriter::leased(held, Some(may));
    let mut plan = plan::best(&known.offer, &dialect(&facts.partner, "pdex")).ok_or_else(nothing)?;
    let own = scope.clone();
    let knows_person = blocking(move || ingest::knows_person(&own)).await?;
    if facts.since_ms.is_some() && !knows_person {
        plan = plan::with_person(plan);
    }
    let mut parts = ingest::open(&scope, &writer, plan.method, &plan.parts).await?;
    reopen(&scope, &writer, &parts, &facts.missing).await?;
    if !facts.missing.is_empty() {
        parts = ingest::open(&scope, &writer, plan.method, &plan.parts).await?;
    }
    let since = facts.since_ms.map(rfc3339_ms);
    let fetching = Fetching {
        peer: &known.peer,
        token,
        facts,
        scope: &scope,
        writer: &writer,
    };
    let mut call = CallFacts::default();
    let mut at = 0;
    while let Some(part) = parts.get(at).cloned() {
        at += 1;
        if part.state != PartState::Open {
            continue;
        }
        let first = plan::first_request(&part.name, their_patient(&scope), since.as_deref(), &known.offer);
        let refused = fetching.part(part.clone(), &first, &mut call).await?;
        let by_type = plan::by_type(&known.offer).filter(|_| part.name == EVERYTHING && refused.is_some());
        if let Some(other) = by_type {
            // What it offers and then does not give may still be had type by type.
            parts = ingest::open(&scope, &writer, other.method, &other.parts).await?;
            at = 0;
        }
    }
    let own = scope.clone();
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
    // A part that searches have taken the place of is not missing.
    let counts = |part: &&RecordPart| !(by_type && matches!(part.name.as_str(), EVERYTHING | PERSON));
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
        })
        .collect();
    if is_nothing {
        let told = parts.iter().filter_map(|part| part.reason.as_deref()).next();
        let fault = told.and_then(|code| Fault::ALL.iter().copied().find(|fault| fault.code() == code));
        if let Some(fault) = fault {
            return Ok((StepEnd::Refused { fault }, call));
        }
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

/// Opens the parts again that a new round asks for.
async fn reopen(
    scope: &IngestScope,
    writer: &IngestWriter,
    parts: &[RecordPart],
    missing: &[MissingPart],
) -> Result<(), Failure> {
    let has_patient = parts
        .iter()
        .any(|part| matches!(part.name.as_str(), "Patient" | PERSON));
    for part in parts {
        let asked = missing.iter().any(|one| match one.resource_type.as_str() {
            "*" => part.name == EVERYTHING && part.state != PartState::Whole,
            // Only everything can bring the Patient that everything did not bring.
            "Patient" if !has_patient => part.name == EVERYTHING,
            "Patient" if part.name == PERSON => part.state != PartState::Whole,
            other => part.name == other && part.state != PartState::Whole,
        });
        if asked && part.state != PartState::Open {
            ingest::mark_part(scope, writer, &part.name, PartState::Open, None, true).await?;
        }
    }
    Ok(())
}

/// The scope of this exchange: as it was begun, else made now.
async fn scope(
    session: &OpenSession,
    facts: &ExchangeFacts,
    held: &HeldJob,
    token: &Secret,
) -> Result<IngestScope, CallFailure> {
    let (ctx, vault, id) = (
        held.ctx().clone(),
        session.access.vault().clone(),
        facts.exchange_id.clone(),
    );
    let there = blocking(move || match IngestScope::reopen(&ctx, &vault, &id) {
        Err(failure) if failure.fault() == Fault::NothingReceived => Ok(None),
        other => other.map(Some),
    })
    .await?;
    if let Some(scope) = there {
        return Ok(scope);
    }
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
    only_patient(&bytes).map_err(|failure| CallFailure::with(CallEnd::Refused(failure.fault()), call))
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
    match (reader.end()?.next, ids.as_slice()) {
        (None, [only]) if crate::ids::is_fhir_id(only) => Ok(only.clone()),
        _ => Err(unfit()),
    }
}

struct Fetching<'f> {
    peer: &'f Peer,
    token: &'f Secret,
    facts: &'f ExchangeFacts,
    scope: &'f IngestScope,
    writer: &'f IngestWriter,
}

impl Fetching<'_> {
    /// Fetches a part to its end. Returns the fault for which it goes no further, when the others may. When a page is gone it begins anew,
    /// once: partners keep the pages of an answer for a while only.
    async fn part(
        &self,
        mut part: RecordPart,
        first: &str,
        call: &mut CallFacts,
    ) -> Result<Option<Fault>, CallFailure> {
        let mut is_anew = false;
        while part.state == PartState::Open {
            let (name, is_later_page) = (part.name.clone(), part.next.is_some());
            match self.page(part, first, call).await {
                Ok(next) => part = next,
                Err(failure) if is_later_page && !is_anew && is_gone(&failure) => {
                    is_anew = true;
                    part = self.begin_anew(&name).await?;
                }
                Err(failure) => {
                    let (state, fault) = match failure.end {
                        CallEnd::Refused(fault @ (Fault::PartnerTooMuch | Fault::PartnerPagesLoop)) => {
                            (PartState::Broken, fault)
                        }
                        CallEnd::Refused(fault) => (PartState::Refused, fault),
                        _ => return Err(failure),
                    };
                    *call = (*failure.facts).clone();
                    tracing::warn!(fault = fault.code(), status = failure.facts.status, issues = %failure.issues,
                        "a partner does not give a part of a record");
                    ingest::mark_part(self.scope, self.writer, &name, state, Some(fault), false).await?;
                    return Ok(Some(fault));
                }
            }
        }
        Ok(None)
    }

    async fn begin_anew(&self, name: &str) -> Result<RecordPart, CallFailure> {
        ingest::mark_part(self.scope, self.writer, name, PartState::Open, None, true).await?;
        let own = self.scope.clone();
        let parts = blocking(move || ingest::parts(&own)).await?;
        let found = parts.into_iter().find(|part| part.name == name);
        found.ok_or_else(|| Failure::new(Fault::Internal).into())
    }

    /// Fetches the next body of a part.
    async fn page(&self, part: RecordPart, first: &str, call: &mut CallFacts) -> Result<RecordPart, CallFailure> {
        let trust = |failure: Failure| CallFailure::new(CallEnd::Trust(failure.fault()));
        let url = match &part.next {
            Some(link) => self.peer.named(link).map_err(trust)?,
            None => self.peer.below(first)?,
        };
        let limits = self.peer.limits();
        let own = self.scope.clone();
        let came = blocking(move || ingest::size(&own)).await?;
        if came.pages >= limits.exchange_pages {
            return Err(CallFailure::new(CallEnd::Refused(Fault::PartnerTooMuch)));
        }
        let most = limits.body_bytes.min(limits.exchange_bytes.saturating_sub(came.bytes));
        let mut page = match PageWriter::begin(self.scope, self.writer, part, url.as_str()).await {
            Err(failure) if failure.fault() == Fault::PartnerPagesLoop => {
                return Err(CallFailure::new(CallEnd::Refused(Fault::PartnerPagesLoop)));
            }
            other => other?,
        };
        page.at_most(limits.exchange_entries.saturating_sub(came.entries));
        let ask = PeerAsk::get(url, Some(self.token), &self.facts.correlation_id);
        let mut body = self.peer.send(ask, most).await?;
        page.dated(body.facts().date_ms);
        while let Some(bytes) = body.next().await? {
            if let Err(failure) = page.write(&bytes).await {
                return Err(unreadable(failure, body.facts().clone(), CallEnd::ServerFault));
            }
        }
        let facts = body.finish();
        match page.finish(self.scope.now_ms()).await {
            Ok(landed) => {
                *call = facts;
                Ok(landed.part)
            }
            // It came to an end of the connection before it came to its own.
            Err(failure) => Err(unreadable(failure, facts, CallEnd::Unknown)),
        }
    }
}

/// Whether what was asked for is not there, or not any more.
fn is_gone(failure: &CallFailure) -> bool {
    matches!(failure.end, CallEnd::Refused(_)) && matches!(failure.facts.status, Some(404 | 410))
}

/// What a failure while a body is kept means: whether the body cannot be read, or something of ours failed.
fn unreadable(failure: Failure, facts: CallFacts, cut: CallEnd) -> CallFailure {
    let end = match failure.fault() {
        Fault::NotJson => cut,
        Fault::PartnerNotFhir | Fault::TooDeep | Fault::TooLarge | Fault::DuplicateKey | Fault::ResourceInvalid => {
            CallEnd::ServerFault
        }
        fault @ (Fault::PartnerTooMuch | Fault::PartnerPagesLoop) => CallEnd::Refused(fault),
        fault => CallEnd::Own(fault),
    };
    CallFailure::with(end, facts).because(failure)
}
