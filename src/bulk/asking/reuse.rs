//! Goes on with the group of an earlier run, without a new bulk match, when a run asks for what changed since: the same question was answered
//! about each of its members, and the partner still shows them in that group. In every other case the partner is asked again. Safe to repeat:
//! the group is only read, and an exchange that was told is not told again.

use super::answer::{ANSWER_BYTES, MemberAnswer, matched_in, tell_one};
use super::kind::{RunStep, TOGETHER};
use super::members::{ASKED, LEFT, MATCHED, WAITING};
use super::question::put;
use super::run::{AskingRun, RunNext, step_of};
use super::wire::TokenFor;
use crate::error::{Failure, Fault};
use crate::exchange::carried::{CarriedBegin, begin_carried};
use crate::exchange::steps::StepName;
use crate::partner::peer::{CallEnd, CallFailure, PeerAsk};
use crate::records::ingest::is_withdrawn;
use crate::store::Db;
use crate::store::bulk_runs::{self as rows, RunMemberRow};
use crate::store::exchanges::{self, AskRow};
use crate::store::opt_ins::{self, OptInRow};
use std::collections::{HashMap, HashSet};

/// Earlier runs that are looked at.
const RUNS: i64 = 20;

/// The members, each with the id of the Patient at the partner.
type KnownMembers = Vec<(RunMemberRow, String)>;

/// The next step when the group of an earlier run is used; `None` when the partner has to be asked.
pub(super) async fn reuse(run: &mut AskingRun) -> Result<Option<RunNext>, CallFailure> {
    if run.row.since_ms.is_none() || run.row.question.is_some() {
        return Ok(None);
    }
    let told = run.carried(&[ASKED, MATCHED]).await?;
    if told.iter().any(|member| member.state == ASKED) {
        return Ok(None);
    }
    let waiting = run.carried(&[WAITING]).await?;
    let next = Some(RunNext::Step(RunStep::AskExport));
    if waiting.is_empty() {
        // An attempt that broke off told all of them.
        return Ok(next.filter(|_| !told.is_empty() && run.row.group_id.is_some()));
    }
    let (partner, address) = (run.row.partner_id.clone(), run.wire.address());
    let read = move |db: &mut Db| earlier(db, &partner, address.as_deref(), &waiting);
    let Some((group, known)) = run.ctx().store.read(read).await? else {
        return Ok(None);
    };
    let is_another = !told.is_empty() && run.row.group_id.as_ref() != Some(&group);
    if is_another || !is_shown(run, &group, &known).await? {
        return Ok(None);
    }
    run.row.group_id = Some(group);
    run.note().await?;
    tell(run, known).await?;
    Ok(next)
}

/// What was asked about a member, but for what differs between two exchanges that ask the same.
#[derive(PartialEq, Eq)]
struct SameQuestion {
    ask: AskRow,
    opt_in: OptInRow,
}

impl SameQuestion {
    fn read(db: &mut Db, exchange_id: &str) -> Result<Option<SameQuestion>, Failure> {
        let Some(ask) = exchanges::ask_of(db, exchange_id)? else {
            return Ok(None);
        };
        let opt_in = opt_ins::find(db, &ask.opt_in_id)?.filter(|row| row.revoked_ms.is_none());
        Ok(opt_in.map(|row| SameQuestion {
            ask: AskRow {
                exchange_id: String::new(),
                // A further exchange of a series asks what the one before it asked.
                asked_for: String::new(),
                opt_in_id: String::new(),
                since_ms: None,
                request_key: None,
                request_digest: None,
                started_by: String::new(),
                ..ask
            },
            opt_in: OptInRow {
                id: String::new(),
                recorded_ms: 0,
                ..row
            },
        }))
    }
}

/// The group of the newest run that asked the same about all these members at this address, and who they are there.
fn earlier(
    db: &mut Db,
    partner: &str,
    address: Option<&str>,
    waiting: &[RunMemberRow],
) -> Result<Option<(String, KnownMembers)>, Failure> {
    let mut members = Vec::with_capacity(waiting.len());
    for one in waiting {
        match exchanges::find(db, &one.exchange_id)?.and_then(|row| row.member_id) {
            Some(member) => members.push((one, member)),
            None => return Ok(None),
        }
    }
    for (run, group) in rows::with_group(db, partner, RUNS)? {
        let before: HashMap<String, String> = rows::exchanges_by_member(db, &run)?.into_iter().collect();
        if !members.iter().all(|(_, member)| before.contains_key(member)) {
            continue;
        }
        let mut known = Vec::with_capacity(members.len());
        for (one, member) in &members {
            let exchange = before.get(member).map(String::as_str).unwrap_or_default();
            match patient_there(db, &one.exchange_id, exchange, address)? {
                Some(patient) => known.push(((*one).clone(), patient)),
                None => break,
            }
        }
        // One Patient for two of our members is for a person to look at.
        let patients = known.iter().map(|(_, patient)| patient).collect::<HashSet<_>>().len();
        if patients == members.len() {
            return Ok(Some((group, known)));
        }
    }
    Ok(None)
}

/// Whom the partner named when the earlier exchange asked what the new one asks. Nobody, if what that brought was taken out again, as after a
/// wrong match, or if the exchange that the new one follows knows the member as another Patient there, or not at all.
fn patient_there(db: &mut Db, new: &str, earlier: &str, address: Option<&str>) -> Result<Option<String>, Failure> {
    let asked_at = exchanges::find(db, earlier)?.and_then(|row| row.asked_at);
    if asked_at.is_none() || asked_at.as_deref() != address || is_withdrawn(db, earlier)? {
        return Ok(None);
    }
    let follows = exchanges::find(db, new)?.and_then(|row| row.run_of);
    let (before, now) = (SameQuestion::read(db, earlier)?, SameQuestion::read(db, new)?);
    if before.is_none() || before != now {
        return Ok(None);
    }
    let mut patient_of = |id: &str| {
        let result = exchanges::result_of(db, id)?;
        Ok::<_, Failure>(result.and_then(|result| result.patient_id))
    };
    let there = patient_of(earlier)?;
    match follows {
        Some(last) if patient_of(&last)? != there => Ok(None),
        _ => Ok(there),
    }
}

/// Whether the partner shows all of them in the group now.
async fn is_shown(run: &mut AskingRun, group: &str, known: &[(RunMemberRow, String)]) -> Result<bool, CallFailure> {
    let ctx = run.ctx().clone();
    let peer = run.wire.peer(&ctx).await?;
    let token = run.wire.token(&ctx, TokenFor::Export).await?;
    let ask = PeerAsk::get(
        peer.below(&format!("Group/{group}"))?,
        Some(&token),
        &run.wire.correlation,
    );
    let came = match peer.send(ask, ANSWER_BYTES).await {
        Ok(body) => body.whole().await,
        Err(failure) => Err(failure),
    };
    match came {
        Ok((bytes, _)) => Ok(matched_in(&peer, group, &bytes)
            .is_some_and(|there| known.iter().all(|(_, patient)| there.contains(patient)))),
        Err(failure) if matches!(failure.end, CallEnd::Own(_) | CallEnd::TurnOver) => Err(failure),
        Err(failure) => {
            tracing::info!(bulk.run = run.row.id, end = ?failure.end, status = failure.facts.status,
                "the group of an earlier bulk run cannot be used, and the partner is asked again");
            Ok(false)
        }
    }
}

/// Tells each exchange who its member is at the partner.
async fn tell(run: &AskingRun, known: KnownMembers) -> Result<(), Failure> {
    for some in known.chunks(TOGETHER) {
        let (ctx, some, chance) = (run.ctx().clone(), some.to_vec(), run.chance.clone());
        let asked_at = run.wire.address();
        let write = move |db: &mut Db| {
            for (member, patient) in &some {
                match begin_carried(db, &ctx, step_of(member, StepName::MemberMatch), chance.unit())? {
                    CarriedBegin::Begun(_, facts) if facts.asked_at != asked_at => {
                        return Err(Fault::PartnerMoved.into());
                    }
                    CarriedBegin::Begun(attempt, _) => {
                        let begun = RunMemberRow {
                            attempt,
                            ..member.clone()
                        };
                        let said = MemberAnswer::Matched(patient.clone());
                        tell_one(db, &ctx, &begun, Some(&said), chance.unit())?;
                    }
                    CarriedBegin::Left => put(db, member, (0, member.attempt, LEFT))?,
                }
            }
            Ok(())
        };
        run.held.advance(write).await?;
    }
    Ok(())
}
