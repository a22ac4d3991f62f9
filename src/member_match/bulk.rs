//! The members of a bulk match: each is judged by the steps of the single match, and the rows of many are written in one transaction.
//!
//! A member who cannot be read fails alone. The guessing guard counts what was asked about one target, hides an answer where the single match
//! would turn the partner away, and never locks the partner. Whatever owns the job calls [`BulkAsking::judge`] and then, in its own
//! transaction, [`JudgedMember::write`] for each member.

use super::arrival::{Arrival, EntryPlace};
use super::asked::{self, MatchAsked};
use super::decide::{self, KnownOfPair, MatchDecision};
use super::guess::{self, WeighedMatch};
use super::identify::{self, Identified};
use super::record::Matter;
use super::resolve::{self, Resolution};
use crate::audit::{Action, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::outcome;
use crate::policy;
use crate::policy::shadow::ShadowCase;
use crate::review;
use crate::security::Caller;
use crate::store::Db;
use crate::store::guesses::{self, Alarm, Gate};
use crate::store::matching::{self, BULK_MEMBER_MATCH, MatchRecord};
use std::sync::Arc;

/// Who asks in a bulk match, and about how many members. Clones are cheap.
#[derive(Clone)]
pub struct BulkAsking {
    ctx: Context,
    caller: Caller,
    members: i64,
    review_key: [u8; 32],
}

/// What becomes of a member, and the rows that say so. It may be written more than once, by attempts that were rolled back.
pub struct JudgedMember {
    rows: MemberRows,
    bucket: MemberBucket,
    patient_id: Option<String>,
    decision_id: Option<String>,
    failure: Option<Failure>,
    members: i64,
    shadow: Option<ShadowCase>,
}

enum MemberRows {
    /// A decision, which the guessing guard still has to weigh.
    Judged(Box<WeighedMatch>),
    /// The refusal of a member who cannot be read.
    Unread(Box<MatchRecord>),
}

/// Where a member belongs in the result (PDex pdex-154b).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberBucket {
    /// Matched, and the consent is honored.
    Matched,
    /// Nobody was matched, or several were, or the request cannot be read.
    NonMatched,
    /// Matched, but the consent cannot be honored.
    ConsentConstrained,
}

/// What was written about a member.
#[derive(Debug)]
pub struct MemberWritten {
    /// Where the member belongs.
    pub bucket: MemberBucket,
    /// The Patient, for a matched member.
    pub patient_id: Option<String>,
    /// The decision; `None` for a member who cannot be read.
    pub decision_id: Option<String>,
    /// The alarms that the guessing guard raised.
    pub alarms: Vec<Alarm>,
}

impl BulkAsking {
    /// A bulk match of `caller` over so many members.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn begin(ctx: &Context, caller: &Caller, members: usize) -> Result<BulkAsking, Failure> {
        Ok(BulkAsking {
            review_key: review::key(ctx).await?,
            ctx: ctx.clone(),
            caller: caller.clone(),
            members: i64::try_from(members).unwrap_or(i64::MAX),
        })
    }

    /// Judges members. Each body is the Parameters of a single match. Nothing is written yet. Blocks the thread.
    ///
    /// # Errors
    /// Those of the store. A member who cannot be read is not an error.
    pub fn judge(&self, bodies: &[&[u8]]) -> Result<Vec<JudgedMember>, Failure> {
        let arrivals: Vec<Arrival<'_>> = bodies
            .iter()
            .map(|body| Arrival::new(&self.ctx, &self.caller, body))
            .collect();
        let read: Vec<Result<Arc<MatchAsked>, Failure>> = arrivals
            .iter()
            .zip(bodies)
            .map(|(arrival, body)| asked::read_in_bulk(arrival, body, &self.review_key).map(Arc::new))
            .collect();
        let questions: Vec<Arc<MatchAsked>> = read.iter().filter_map(|one| one.as_ref().ok().cloned()).collect();
        let mut found = self.look_up(questions)?.into_iter();
        arrivals
            .iter()
            .zip(read)
            .map(|(arrival, one)| match one {
                Err(failure) => Ok(self.unread(arrival, failure)),
                Ok(asked) => {
                    let found = found
                        .next()
                        .ok_or_else(|| Failure::new(Fault::Internal).because("a member was not looked up"))?;
                    self.decided(arrival, &asked, found)
                }
            })
            .collect()
    }

    fn look_up(&self, questions: Vec<Arc<MatchAsked>>) -> Result<Vec<(Identified, Resolution, KnownOfPair)>, Failure> {
        let store = self.ctx.store.clone();
        let (hasher, configured) = (store.key_hasher()?, Arc::clone(&self.ctx.matching));
        let work = move |db: &mut Db| {
            let mut found = Vec::with_capacity(questions.len());
            for own in &questions {
                let question = (&own.question.asked, own.question.number.as_ref());
                let identified =
                    identify::identify_at_once(db, &store, hasher.clone(), &configured, (&own.wanted, question))?;
                let (resolution, known) = resolve::resolve(db, own, &identified)?;
                found.push((identified, resolution, known));
            }
            Ok(found)
        };
        self.ctx.store.read_blocking(work)
    }

    fn decided(
        &self,
        arrival: &Arrival<'_>,
        asked: &MatchAsked,
        (identified, resolution, known): (Identified, Resolution, KnownOfPair),
    ) -> Result<JudgedMember, Failure> {
        let decision = decide::decide(known, asked.consent);
        let matter = Matter {
            arrival,
            keyed: None,
            asked,
            identified: &identified.judgement,
            resolution: &resolution,
        };
        let mut rows = matter.rows(&decision)?;
        if let Some(row) = &mut rows.record.decision {
            row.kind = BULK_MEMBER_MATCH;
        }
        let row = rows.record.decision.as_ref();
        let bucket = match decision {
            MatchDecision::Granted { .. } => MemberBucket::Matched,
            MatchDecision::NotHonoured(_) => MemberBucket::ConsentConstrained,
            MatchDecision::Nobody | MatchDecision::Doubtful(_) => MemberBucket::NonMatched,
        };
        Ok(JudgedMember {
            bucket,
            patient_id: row
                .and_then(|row| row.patient_id.clone())
                .filter(|_| bucket == MemberBucket::Matched),
            decision_id: row.map(|row| row.id.clone()),
            failure: None,
            members: self.members,
            rows: MemberRows::Judged(Box::new(WeighedMatch::new(arrival, rows.guess, rows.record))),
            shadow: identified.shadow.map(|shadow| identified.judgement.case(shadow)),
        })
    }

    fn unread(&self, arrival: &Arrival<'_>, failure: Failure) -> JudgedMember {
        let body = outcome::bytes(&failure, &self.ctx.payer.base_url);
        let entry = arrival.refused(failure.fault(), &body);
        JudgedMember {
            bucket: MemberBucket::NonMatched,
            patient_id: None,
            decision_id: None,
            members: self.members,
            rows: MemberRows::Unread(Box::new(MatchRecord {
                ledger: vec![arrival.row(&entry, EntryPlace::Decided)],
                ..MatchRecord::default()
            })),
            failure: Some(failure),
            shadow: None,
        }
    }

    /// Raises the alarm about the share of members who were not matched, in the transaction that ends the match. `failed` of all members were
    /// not matched; `file` is the digest of the members. Returns whether it was raised; then [`BulkAsking::tell`] follows after the commit.
    ///
    /// # Errors
    /// Those of the database.
    pub fn weigh_share(&self, db: &mut Db, failed: i64, file: &[u8]) -> Result<bool, Failure> {
        let (arrival, limits) = (Arrival::new(&self.ctx, &self.caller, &[]), &self.ctx.guard.limits);
        let (partner, now_ms) = (self.caller.partner.id.as_str(), arrival.now_ms());
        if !guesses::alarm_of_bulk(db, partner, (failed, self.members, file), limits, now_ms)? {
            return Ok(false);
        }
        let entry = guess::raised(&arrival.entry(Action::MatchRefused), Alarm::Ratio);
        ledger::append(db, &entry, &self.ctx.ids.new_id(now_ms), now_ms * 1000)?;
        Ok(true)
    }

    /// Decides these cases by the candidate rules too, after their commit. Blocks the thread.
    pub fn compare(&self, cases: Vec<ShadowCase>) {
        cases
            .into_iter()
            .for_each(|case| policy::shadow::compare(&self.ctx, case));
    }

    /// Tells operators about alarms that were written.
    pub fn tell(&self, alarms: &[Alarm]) {
        guess::tell(&self.caller, alarms);
    }
}

impl JudgedMember {
    /// The match as a case for the candidate rules of a shadow run; once.
    pub fn take_shadow(&mut self) -> Option<ShadowCase> {
        self.shadow.take()
    }

    /// Why the member cannot be read, if so.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Writes the rows of this member, in the caller's transaction.
    ///
    /// # Errors
    /// A failure for which [`is_raced`](matching::is_raced) is true when another request wrote first: nothing of the transaction may be
    /// committed then, and the member is to be judged again; others of the database.
    pub fn write(&self, db: &mut Db) -> Result<MemberWritten, Failure> {
        let (mut bucket, mut alarms) = (self.bucket, Vec::new());
        match &self.rows {
            MemberRows::Unread(record) => matching::record(db, record)?,
            MemberRows::Judged(write) => {
                let verdict = write.run_in_bulk(db, self.members)?;
                if verdict.gate != Gate::Open {
                    bucket = MemberBucket::NonMatched;
                }
                alarms = verdict.alarms;
            }
        }
        Ok(MemberWritten {
            bucket,
            patient_id: self.patient_id.clone().filter(|_| bucket == MemberBucket::Matched),
            decision_id: self.decision_id.clone(),
            alarms,
        })
    }
}
