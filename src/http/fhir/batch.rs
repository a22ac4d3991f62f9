//! `POST [base]` with a `batch` Bundle: reads and searches, each of which is checked, recorded and answered like a single request.
//!
//! The caller is authenticated once; scope, grant, consent and ledger are handled for each entry. Nothing is written to the records.

mod answer;

use super::authorised::{Authorised, JUDGED_EVERY, not_served, record_refusal};
use super::search::{self, How};
use super::task;
use super::{conformance, describing, metadata};
use crate::audit::Action;
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::fhir::batch::{self, Ask};
use crate::fhir::bundle::{BATCH_RESPONSE, Bundle};
use crate::http::conditional::{Conditions, Precondition};
use crate::http::documents::{Documents, Made};
use crate::http::edge::{self, PieceRoom, Seat};
use crate::http::limits::{MAKING_BYTES, ROOM_WAIT};
use crate::http::outgoing::{self, KeptOpen};
use crate::http::reply::{FHIR_JSON, HttpFailure};
use crate::http::state::App;
use crate::http::{body, negotiate};
use crate::release::{self, Outgoing, PIECE_BYTES, SentPart};
use crate::security::{CallerState, Permission};
use crate::store::disclosure::Released;
use actix_web::http::{StatusCode, header};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use answer::EntryAnswer;
use futures_util::stream;
use std::iter::Enumerate;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use std::vec::IntoIter;

/// Largest batch in bytes.
const BODY_BYTES: usize = 256 * 1024;
/// Bytes of an answer after which no further entry is run.
const ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// Runs a batch. Each entry runs when the client has taken the answers before it, so that at most one answer waits in memory; a short batch
/// is complete before its answer begins.
pub async fn post(
    request: HttpRequest,
    authorised: Authorised,
    payload: web::Payload,
    app: web::Data<App>,
    documents: web::Data<Documents>,
) -> Result<HttpResponse, HttpFailure> {
    let kept = KeptOpen::of(negotiate::form(&request)?);
    let bytes = body::fhir_json(&request, payload, BODY_BYTES).await?;
    let asks = batch::asks(&bytes, &app.ctx.payer.base_url)?;
    let mut out = Vec::new();
    let bundle = Bundle::begin(&mut out, BATCH_RESPONSE);
    let mut running = Running {
        documents: documents.clone(),
        made: documents.now(),
        asks: asks.into_iter().enumerate(),
        how: How {
            strict: negotiate::is_strict(&request),
            head_only: false,
            terms: outgoing::terms(&app, &request),
            stays_open: kept.is_some(),
        },
        kept: kept.clone(),
        app,
        judged: authorised.at,
        authorised,
        out,
        bundle,
        sent: 0,
        begun: Instant::now(),
        entry: None,
        pieces: PieceRoom::of(&request, kept.is_some()),
        seat: edge::seat_of(&request),
        is_done: false,
    };
    // An answer begins with the opening of its Bundle; one without a byte would be a 200 that says nothing.
    let Some(first) = running.next().await? else {
        return Err(Failure::new(Fault::Internal).into());
    };
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CONTENT_TYPE, FHIR_JSON))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    let mut answer = match running.is_done {
        true => response.body(first),
        false => {
            let rest = stream::unfold(Some(running), |state| async move {
                let mut running = state?;
                match running.next().await {
                    Ok(Some(piece)) => Some((Ok(piece), Some(running))),
                    Ok(None) => None,
                    Err(failure) => Some((Err(failure), None)),
                }
            });
            let first = stream::iter([Ok::<_, Failure>(first)]);
            response.streaming(futures_util::StreamExt::chain(first, rest))
        }
    };
    if let Some(kept) = kept {
        answer.extensions_mut().insert(kept);
    }
    Ok(answer)
}

/// A batch whose entries run while its answer is sent.
struct Running {
    app: web::Data<App>,
    documents: web::Data<Documents>,
    made: Arc<Made>,
    authorised: Authorised,
    how: How,
    kept: Option<KeptOpen>,
    asks: Enumerate<IntoIter<Result<Ask, Failure>>>,
    bundle: Bundle,
    /// The bytes to send next.
    out: Vec<u8>,
    /// The number of bytes that were sent.
    sent: usize,
    begun: Instant,
    /// When the caller was last authenticated.
    judged: Instant,
    /// The resource of an entry that is sent in pieces of its own, and the entry's response.
    entry: Option<(Outgoing, Vec<u8>)>,
    /// The part of the partner's room for answers that the entry takes which is answered.
    pieces: PieceRoom,
    /// The request's place, which knows the partner's rate.
    seat: Option<Rc<Seat>>,
    is_done: bool,
}

impl Running {
    /// The next piece of the answer; `None` after the last one.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        while self.out.len() < PIECE_BYTES {
            if let Some((outgoing, _)) = &mut self.entry {
                if !self.out.is_empty() {
                    break;
                }
                if let Some(piece) = outgoing.next_piece() {
                    let piece = piece?;
                    self.sent += piece.len();
                    return Ok(Some(piece));
                }
            }
            if let Some((outgoing, response)) = self.entry.take() {
                self.pieces.leave();
                self.bundle.end_answered(&mut self.out, &response);
                if let Some(kept) = &self.kept {
                    kept.keep(outgoing.into_open());
                }
                continue;
            }
            if self.is_done {
                break;
            }
            self.run_next().await?;
        }
        let piece = std::mem::take(&mut self.out);
        self.sent += piece.len();
        Ok((!piece.is_empty()).then(|| Bytes::from(piece)))
    }

    async fn run_next(&mut self) -> Result<(), Failure> {
        let Some((at, ask)) = self.asks.next() else {
            self.bundle.end(&mut self.out);
            self.is_done = true;
            return Ok(());
        };
        self.judge().await?;
        let mut turn = None;
        let answer = match ask {
            Ok(_) if self.sent + self.out.len() > ANSWER_BYTES => Err(Failure::new(Fault::TooLarge)
                .at(format!("Bundle.entry[{at}]"))
                .remedy("The answer is full: ask for this entry in another batch.")),
            Ok(ask) => match self.room().await {
                Ok(()) => {
                    self.judge().await?;
                    // Room comes first, so that who waits for it holds no turn for which others wait.
                    if is_public(&ask) {
                        let partner = &self.authorised.caller.partner.id;
                        turn = self.documents.entries.take(partner, 1).await;
                    }
                    let pieces = &mut self.pieces;
                    run(&self.app, &self.made, &self.authorised, &ask, &self.how, pieces).await
                }
                Err(failure) => Err(failure),
            },
            Err(failure) => Err(failure),
        };
        let (resource, response) = answer::entry(answer, &self.app.ctx.payer.base_url);
        match resource.map(|outgoing| small(outgoing, PIECE_BYTES)) {
            None => self.bundle.answered(&mut self.out, None, &response),
            Some(Ok(bytes)) => self.bundle.answered(&mut self.out, Some(&bytes), &response),
            Some(Err(outgoing)) => {
                self.pieces.resize(outgoing.size());
                self.bundle.begin_answered(&mut self.out);
                self.entry = Some((outgoing, response));
            }
        }
        if self.entry.is_none() {
            self.pieces.leave();
        }
        drop(turn);
        // Other tasks on this thread get their turn after each entry.
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Takes an entry from the partner's rate, and room for its answer.
    async fn room(&mut self) -> Result<(), Failure> {
        if let Some(seat) = &self.seat {
            seat.asks_for_entry()?;
        }
        self.pieces.exchange(MAKING_BYTES, ROOM_WAIT).await
    }

    /// Authenticates the caller again before an entry, unless that was done a moment ago. The answers of earlier entries have been sent by
    /// now, or are checked while they are sent.
    async fn judge(&mut self) -> Result<(), Failure> {
        let terms = &self.how.terms;
        if self.begun.elapsed() >= terms.longest {
            return Err(Fault::AnswerTooLong.into());
        }
        if self.judged.elapsed() < JUDGED_EVERY {
            return Ok(());
        }
        let (caller, certificate) = (&self.authorised.caller, terms.certificate.as_ref());
        match terms.authority.judge_again(&self.app.ctx, caller, certificate).await? {
            CallerState::TakenAway(fault) => Err(fault.into()),
            CallerState::Holds(_) => {
                self.judged = Instant::now();
                Ok(())
            }
        }
    }
}

/// The bytes of an answer of at most `most` bytes; a larger one is returned as the error, to be sent in pieces.
fn small(outgoing: Outgoing, most: usize) -> Result<Bytes, Outgoing> {
    match outgoing.size() <= most {
        true => outgoing.into_bytes(),
        false => Err(outgoing),
    }
}

/// Whether an entry asks for public documents, which takes nothing but the processor.
fn is_public(ask: &Ask) -> bool {
    match ask.segments().as_slice() {
        ["metadata"] => true,
        [rtype] | [rtype, _] => describing::is_one(rtype),
        _ => false,
    }
}

async fn run(
    app: &App,
    made: &Made,
    authorised: &Authorised,
    ask: &Ask,
    how: &How,
    pieces: &mut PieceRoom,
) -> Result<EntryAnswer, Failure> {
    match ask.segments().as_slice() {
        ["metadata"] => metadata::in_mode(made, ask.query()).map(EntryAnswer::document),
        [rtype] if describing::is_one(rtype) => {
            let family = made.family(rtype).ok_or(Fault::RouteUnknown)?;
            let pairs = negotiate::pairs(ask.query())?;
            let found = conformance::search_of(family, rtype, &pairs, &app.ctx.payer.base_url, how.strict)?;
            Ok(found.map_or_else(|| EntryAnswer::document(&family.all), EntryAnswer::of))
        }
        [rtype, id] if describing::is_one(rtype) => made
            .one(rtype, id)
            .map(EntryAnswer::document)
            .ok_or_else(|| Fault::NotFound.into()),
        ["Task"] => {
            allowed(app, authorised, "Task", Permission::Search).await?;
            let pairs = negotiate::pairs(ask.query())?;
            let bytes = task::bundle(&app.ctx, &authorised.caller, &pairs, how.strict).await?;
            Ok(EntryAnswer::of(bytes))
        }
        ["Task", id] => {
            allowed(app, authorised, "Task", Permission::Read).await?;
            match task::one(&app.ctx, &authorised.caller, id).await {
                Ok(one) => Ok(EntryAnswer::of(one.to_string())),
                Err(failure) => {
                    refused(app, authorised, failure).await?;
                    Err(Fault::NotFound.into())
                }
            }
        }
        [rtype] => {
            scoped(app, authorised, rtype, Permission::Search).await?;
            let pairs = negotiate::pairs(ask.query())?;
            let how = How {
                head_only: ask.head_only,
                terms: how.terms.clone(),
                ..*how
            };
            let room = async |bytes: usize| pieces.exchange(bytes, ROOM_WAIT).await;
            search::bundle(app, authorised, rtype, pairs, &how, room)
                .await
                .map(EntryAnswer::found)
        }
        [rtype, id] => read(app, authorised, ask, (rtype, id, None), how, pieces).await,
        [rtype, id, "_history", version] => read(app, authorised, ask, (rtype, id, Some(version)), how, pieces).await,
        _ => Err(Fault::RouteUnknown.into()),
    }
    .map(|answer| {
        if ask.head_only {
            answer.without_resource()
        } else {
            answer
        }
    })
}

/// The checks that come before the handlers of single requests. A refusal is written to the ledger as theirs is.
async fn scoped(app: &App, authorised: &Authorised, rtype: &str, permission: Permission) -> Result<(), Failure> {
    let is_there = match permission {
        Permission::Search => release::is_searchable(rtype),
        _ => release::is_served(rtype),
    };
    if is_there {
        return allowed(app, authorised, rtype, permission).await;
    }
    refused(app, authorised, not_served(rtype)).await
}

/// Whether the scopes allow it. A refusal is written to the ledger.
async fn allowed(app: &App, authorised: &Authorised, rtype: &str, permission: Permission) -> Result<(), Failure> {
    match authorised.scopes.allows(rtype, permission) {
        true => Ok(()),
        false => refused(app, authorised, Failure::new(Fault::ScopeMissing)).await,
    }
}

async fn refused(app: &App, authorised: &Authorised, failure: Failure) -> Result<(), Failure> {
    let caller = &authorised.caller;
    record_refusal(
        app,
        Action::RequestRefused,
        caller.actor(),
        &failure,
        &caller.correlation,
    )
    .await;
    Err(failure)
}

async fn read(
    app: &App,
    authorised: &Authorised,
    ask: &Ask,
    (rtype, id, version): (&str, &str, Option<&str>),
    how: &How,
    pieces: &mut PieceRoom,
) -> Result<EntryAnswer, Failure> {
    scoped(app, authorised, rtype, Permission::Read).await?;
    let conditions = Conditions {
        if_none_match: ask.if_none_match.clone(),
        ..Conditions::default()
    };
    let since_ms = ask.if_modified_since.as_deref().and_then(crate::fhir::when::instant_ms);
    let judge = |row: &Released| {
        let known = ask.if_none_match.is_none() && since_ms.is_some_and(|since_ms| row.last_updated_ms <= since_ms);
        match conditions.judge(&row.version.to_string(), row.last_updated_ms) {
            _ if known => Precondition::NotModified,
            verdict => verdict,
        }
    };
    let sent = |row: &Released| match judge(row) {
        Precondition::NotModified => SentPart::Head(304),
        _ if ask.head_only => SentPart::Head(200),
        _ => SentPart::Whole,
    };
    let room = async |bytes: usize| pieces.exchange(bytes, ROOM_WAIT).await;
    let (row, disclosure) = release::read(&app.ctx, &authorised.caller, rtype, id, version, room, sent).await?;
    let is_known = judge(&row) == Precondition::NotModified;
    let (etag, last_modified) = (format!("W/\"{}\"", row.version), rfc3339_ms(row.last_updated_ms));
    let resource = (!is_known && !ask.head_only)
        .then(|| Outgoing::new(disclosure, row.into_bytes(), || how.terms.clone(), how.stays_open));
    Ok(EntryAnswer {
        status: if is_known {
            StatusCode::NOT_MODIFIED
        } else {
            StatusCode::OK
        },
        etag: Some(etag),
        last_modified: Some(last_modified),
        resource,
    })
}
