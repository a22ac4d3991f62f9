//! The work of a bulk match: judges the members piece by piece, and hands the last piece to [`super::result`].
//!
//! Rows of other requests may change while a piece is judged. Then nothing of the piece is written, and its members are judged one by one, each
//! in a transaction of its own; who has an entry already is not judged again.

use super::body;
use super::contained::ContainedMember;
use super::group::GroupCode;
use super::named::{MemberRequest, NamedMember};
use super::result;
use super::run::{MatchJob, MatchRun, SPOOL, blocking};
use crate::bulk::files::{BulkFiles, PIECE_BYTES};
use crate::bulk::hands::{self, Next};
use crate::bulk::job;
use crate::bulk::kinds::MATCH;
use crate::error::{Failure, Fault};
use crate::failpoint;
use crate::fhir::outcome;
use crate::jobs::{AttemptEnding, Doing, HeldJob, JobStep, WorkKind};
use crate::member_match::{BulkAsking, JudgedMember, MemberBucket};
use crate::store::Db;
use crate::store::activations;
use crate::store::bulk::{self as rows, BulkPieceRow};
use crate::store::guesses::Alarm;
use crate::store::matching::is_raced;
use crate::store::member_groups::{self, GroupEntryRow};
use crate::store::partners::{self, PartnerRow};
use std::collections::HashSet;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long one attempt does pieces, before others get their turn.
const TURN: Duration = Duration::from_secs(60);
/// How often one member is judged while other requests keep changing what was read.
const ATTEMPTS: usize = 8;

/// Does the work of a bulk match.
pub struct MatchStep {
    /// Where the members are read, and the result is written.
    pub files: BulkFiles,
    /// How long the result is kept, milliseconds.
    pub keep_ms: i64,
}

impl JobStep for MatchStep {
    fn kind(&self) -> &'static WorkKind {
        &MATCH
    }

    fn run(&self, held: HeldJob) -> Doing<'_> {
        Box::pin(async move {
            let (ctx, id) = (held.ctx(), hands::hand_of(&held.job().key).0.to_owned());
            let now_ms = ctx.clock.now_ms();
            let read = move |db: &mut Db| {
                let row = rows::find(db, &id)?.filter(|row| row.state == rows::RUNNING);
                let partner = match &row {
                    Some(row) => partners::by_id(db, &row.partner_id)?,
                    None => None,
                };
                let partner = match partner {
                    Some(partner) => Some(match activations::spoken(db, &partner.id, now_ms)? {
                        Some(dialect) => PartnerRow { dialect, ..partner },
                        None => partner,
                    }),
                    None => None,
                };
                Ok(row.zip(partner))
            };
            let Some((row, partner)) = ctx.store.read(read).await? else {
                return Ok(AttemptEnding::done());
            };
            if !partner.is_active() {
                return job::failing(&held, Fault::PartnerSuspended).await;
            }
            let job = MatchJob::of(&row)?;
            let caller = job.caller.caller(&partner)?;
            let run = MatchRun {
                asking: BulkAsking::begin(ctx, &caller, job.members).await?,
                files: self.files.clone(),
                keep_ms: self.keep_ms,
                wants_envelope: caller.partner.dialect.pdex.starts_with("2.1"),
                partner_npi: caller.partner.npi,
                marks: job.marks,
                marked: OnceLock::new(),
                row,
                held: held.clone(),
                turn: Mutex::default(),
            };
            blocking(move || run.pieces()).await
        })
    }
}

impl MatchRun {
    /// Does the pieces of this hand until there are none, or the turn is over.
    fn pieces(&self) -> Result<AttemptEnding, Failure> {
        let (ctx, until) = (self.held.ctx(), Instant::now() + TURN);
        let (_, number) = hands::hand_of(&self.held.job().key);
        let mut after = -1;
        loop {
            match hands::next(ctx, &self.row, number, after)? {
                Next::Nothing => return Ok(AttemptEnding::done()),
                Next::Wait(until_ms) => return Ok(AttemptEnding::again(until_ms)),
                Next::Last(piece) => {
                    result::write(self, piece)?;
                    failpoint::pass("bulk", "piece-done");
                }
                Next::Pieces(pieces) => {
                    after = pieces.last().map_or(after, |last| last.position);
                    let judge = |piece: BulkPieceRow| {
                        self.judge(&piece)?;
                        failpoint::pass("bulk", "piece-done");
                        Ok(())
                    };
                    if !hands::side_by_side(pieces, until, &judge)? {
                        return Ok(AttemptEnding::again(ctx.clock.now_ms()));
                    }
                }
            }
        }
    }

    /// Judges the members of a piece.
    fn judge(&self, piece: &BulkPieceRow) -> Result<(), Failure> {
        let members = self.members_left(piece)?;
        match self.judge_together(&members, Some(piece)) {
            Err(failure) if is_raced(&failure) => {}
            done => return done,
        }
        for member in &members {
            self.judge_alone(member)?;
        }
        self.judge_together(&[], Some(piece))
    }

    fn judge_alone(&self, member: &NamedMember) -> Result<(), Failure> {
        for _ in 0..ATTEMPTS {
            match self.judge_together(std::slice::from_ref(member), None) {
                Err(failure) if is_raced(&failure) => {}
                done => return done,
            }
        }
        Err(Failure::new(Fault::Overloaded).because("a match kept being overtaken"))
    }

    /// Judges members and writes all their rows in one transaction, with the end of `piece` if it is given.
    fn judge_together(&self, members: &[NamedMember], piece: Option<&BulkPieceRow>) -> Result<(), Failure> {
        let requests: Vec<_> = members.iter().map(NamedMember::request).collect();
        let bodies: Vec<&[u8]> = requests.iter().map(|one| one.body.as_slice()).collect();
        let mut judged = self.asking.judge(&bodies)?;
        let cases: Vec<_> = judged.iter_mut().filter_map(JudgedMember::take_shadow).collect();
        let lines: Vec<MemberLine> = members
            .iter()
            .zip(&requests)
            .zip(judged)
            .map(|((member, request), judged)| self.line(member, request, judged))
            .collect();
        let (id, piece, ends) = (
            self.row.id.clone(),
            piece.cloned(),
            (self.now_ms(), self.now_ms() + self.keep_ms),
        );
        // Transactions that count the same guesses would wait for each other, and might do so in a circle.
        let _turn = match self.held.ctx().store.is_remote() {
            true => Some(self.turn.lock().unwrap_or_else(PoisonError::into_inner)),
            false => None,
        };
        let alarms = self.held.write_alone_blocking(self.held.advancing(move |db: &mut Db| {
            let (mut entries, mut alarms) = (Vec::with_capacity(lines.len()), Vec::new());
            for line in &lines {
                line.write(db, &id, &mut entries, &mut alarms)?;
            }
            member_groups::add(db, &entries)?;
            if let Some(piece) = &piece {
                rows::finish_piece(db, piece, &[], ends.0, ends.1)?;
            }
            Ok(alarms)
        }))?;
        self.asking.tell(&alarms);
        self.asking.compare(cases);
        Ok(())
    }

    fn line(&self, member: &NamedMember, request: &MemberRequest, judged: JudgedMember) -> MemberLine {
        let base_url = &self.held.ctx().payer.base_url;
        let told = judged
            .failure()
            .map(|failure| outcome::bytes(&request.placed(failure), base_url));
        MemberLine {
            position: i64::try_from(member.index).unwrap_or(i64::MAX),
            kept: ContainedMember::of(member, judged.failure().is_none()).map(|kept| kept.bytes()),
            told,
            judged,
        }
    }

    /// The members of a piece who have no entry yet.
    fn members_left(&self, piece: &BulkPieceRow) -> Result<Vec<NamedMember>, Failure> {
        let broken = || Failure::new(Fault::StoreDamaged).because("a broken piece");
        let place = |key: &str| key.parse::<u64>().map_err(|_| broken());
        let (start, end) = (place(&piece.first_key)?, place(&piece.last_key)?);
        let mut members = body::members(&self.spool(start, end)?)?;
        let (Some(first), Some(last)) = (members.first(), members.last()) else {
            return Err(broken());
        };
        let number = |index: usize| i64::try_from(index).unwrap_or(i64::MAX);
        let (groups, first, last) = (
            member_groups::ids_of(&self.row.id),
            number(first.index),
            number(last.index),
        );
        let there = self
            .held
            .ctx()
            .store
            .read_blocking(|db| member_groups::positions(db, &groups, first, last))?;
        members.retain(|member| !there.contains(&number(member.index)));
        let marked = self.marked()?;
        for member in &mut members {
            member.is_repeated |= marked.contains(&member.index);
        }
        Ok(members)
    }

    /// The indexes of members whose line was written before a later one named the same Patient.
    fn marked(&self) -> Result<&HashSet<usize>, Failure> {
        if let Some(marked) = self.marked.get() {
            return Ok(marked);
        }
        let read = match self.marks {
            None => HashSet::new(),
            Some(start) => body::marked(&self.spool(start, u64::MAX)?)?,
        };
        Ok(self.marked.get_or_init(|| read))
    }

    /// The bytes of the spool from `start` to `end`, or to its end.
    fn spool(&self, start: u64, end: u64) -> Result<Vec<u8>, Failure> {
        let files = self
            .held
            .ctx()
            .store
            .read_blocking(|db| rows::files(db, &self.row.id))?;
        let missing = || Failure::new(Fault::StoreDamaged).because("the spool of a bulk match is missing");
        let row = files.iter().find(|file| file.side == SPOOL).ok_or_else(missing)?;
        let (reader, whole) = (self.files.open(row)?, PIECE_BYTES as u64);
        let end = end.min(u64::try_from(row.bytes).unwrap_or(0));
        let mut bytes = Vec::new();
        for at in start / whole..end.div_ceil(whole) {
            bytes.extend(reader.piece(at)?.ok_or_else(missing)?);
        }
        let skipped = usize::try_from(start % whole).unwrap_or(0);
        let length = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
        bytes
            .get(skipped..skipped + length)
            .map(<[u8]>::to_vec)
            .ok_or_else(missing)
    }
}

/// A member with all that its entries need.
struct MemberLine {
    position: i64,
    judged: JudgedMember,
    /// What a group keeps of the member.
    kept: Option<Vec<u8>>,
    /// Why the member cannot be read, as an OperationOutcome.
    told: Option<Vec<u8>>,
}

impl MemberLine {
    /// Writes the rows of the decision, and adds the entries to those that are inserted together.
    fn write(
        &self,
        db: &mut Db,
        job_id: &str,
        entries: &mut Vec<GroupEntryRow>,
        alarms: &mut Vec<Alarm>,
    ) -> Result<(), Failure> {
        let written = self.judged.write(db)?;
        alarms.extend(written.alarms);
        let code = match written.bucket {
            MemberBucket::Matched => GroupCode::Match,
            MemberBucket::NonMatched => GroupCode::NoMatch,
            MemberBucket::ConsentConstrained => GroupCode::ConsentConstraint,
        };
        if let Some(told) = &self.told {
            entries.push(GroupEntryRow {
                group_id: member_groups::id_of(job_id, member_groups::UNREAD),
                position: self.position,
                patient_id: None,
                decision_id: None,
                sealed: Some(told.clone()),
            });
        }
        // A member whose Patient cannot be read is told in the errors alone.
        if self.kept.is_some() || self.told.is_none() {
            entries.push(GroupEntryRow {
                group_id: code.id_of(job_id),
                position: self.position,
                patient_id: written.patient_id,
                decision_id: written.decision_id,
                sealed: self.kept.clone(),
            });
        }
        Ok(())
    }
}
