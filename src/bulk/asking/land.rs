//! Gives each member what is theirs of the fetched files, as bodies that the member's exchange received: sealed, and kept only while its opt-in
//! permits it. The exchange then goes on alone: it checks, stores and acknowledges as if it had fetched them itself. Safe to repeat: the
//! files do not change any more, so that the same bodies come about, and a body that is kept is not kept twice.

use super::fetch::blocking;
use super::kind::RunStep;
use super::members::{ALONE, FETCHING, LEFT, RECEIVED};
use super::question::put;
use super::run::{AskingRun, RunNext, step_of};
use super::sort::Sorter;
use crate::bulk::files::{BulkFiles, FileReader};
use crate::error::{Failure, Fault};
use crate::exchange::carried::{CarriedEnd, end_carried, hand_over, is_waiting};
use crate::exchange::loaded::LoadedExchange;
use crate::exchange::permit::{CallTerms, PermitTerms, permit};
use crate::exchange::steps::{CallNotes, EXPORT, MissingPart, StepEnd, StepGain, StepName};
use crate::jobs::{Chance, HeldJob};
use crate::partner::peer::CallFailure;
use crate::records::ingest::{self, BothSides, IngestPermit, IngestScope, IngestWriter, PageWriter};
use crate::security::vault::Vault;
use crate::store::Db;
use crate::store::bulk::{BulkFileRow, OUTPUT};
use crate::store::bulk_runs::{self as rows, RunFileRow, RunMemberRow};
use crate::store::ingest::set_aside;
use crate::store::run_receipts::put_came;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Bytes of lines that are held before they become bodies.
const HELD_BYTES: usize = 16 << 20;
const BEFORE: &[u8] = b"{\"resourceType\":\"Bundle\",\"type\":\"collection\",\"entry\":[";
const BEFORE_LINE: &[u8] = b"{\"resource\":";

/// A member to whom something is given.
struct Landing {
    member: RunMemberRow,
    sides: BothSides,
    call: CallTerms,
}

/// What the work needs, on a thread of its own.
struct Work {
    held: HeldJob,
    vault: Vault,
    files: BulkFiles,
    chance: Chance,
    run_id: String,
    transaction_ms: Option<i64>,
    /// Whether only what changed was asked for.
    is_since: bool,
    kept: Vec<RunFileRow>,
    members: Vec<Option<Landing>>,
    /// Why a member is given nothing more.
    stopped: HashMap<u16, Fault>,
}

pub(super) async fn hand_out(run: &mut AskingRun) -> Result<RunNext, CallFailure> {
    let ctx = run.ctx().clone();
    let base = run.wire.peer(&ctx).await?.base().to_owned();
    let (row, partner, own_base) = (run.row.clone(), run.wire.partner.clone(), base.clone());
    let address = run.wire.address();
    let read = move |db: &mut Db| {
        let (mut patients, mut members) = (HashMap::new(), Vec::new());
        for member in rows::members(db, &row.id)? {
            let Some(exchange) = LoadedExchange::read(db, &member.exchange_id)? else {
                continue;
            };
            let (Some(their_patient), Some(our_patient)) = (exchange.result.patient_id, exchange.row.member_id) else {
                continue;
            };
            let number = u16::try_from(members.len()).map_err(|_| Fault::Internal)?;
            patients.insert(their_patient.clone(), number);
            let is_carried = member.carried == 1 && member.state == FETCHING;
            members.push(is_carried.then(|| Landing {
                sides: BothSides {
                    exchange_id: member.exchange_id.clone(),
                    partner_id: partner.id.clone(),
                    partner_name: partner.name.clone(),
                    partner_base: own_base.clone(),
                    their_patient,
                    our_patient: our_patient.clone(),
                },
                call: CallTerms {
                    terms: PermitTerms {
                        opt_in_id: exchange.ask.opt_in_id,
                        member_id: our_patient,
                        partner_id: partner.id.clone(),
                    },
                    asked_at: address.clone(),
                },
                member,
            }));
        }
        Ok((patients, members, rows::files(db, &row.id)?))
    };
    let (patients, members, kept) = ctx.store.read(read).await?;
    let mut work = Work {
        held: run.held.clone(),
        vault: run.wire.access.vault().clone(),
        files: run.files.clone(),
        chance: run.chance.clone(),
        run_id: run.row.id.clone(),
        transaction_ms: run.row.transaction_ms,
        is_since: run.row.since_ms.is_some(),
        kept,
        members,
        stopped: HashMap::new(),
    };
    let sorter = Sorter::new(&base, patients);
    blocking(move || work.run(sorter))
        .await
        .map_err(|failure| match failure.fault() {
            fault @ (Fault::StrangersResource | Fault::FilesUntrue | Fault::PartnerTooMuch) => {
                super::run::refused(fault).because(failure)
            }
            _ => failure.into(),
        })?;
    Ok(RunNext::Step(RunStep::CheckReceipt))
}

impl Work {
    fn run(&mut self, mut sorter: Sorter) -> Result<(), Failure> {
        if self.members.iter().all(Option::is_none) {
            return Ok(());
        }
        sorter.judge(&|wanted, take| {
            for file in self.kept.iter().filter(|file| wanted(&file.resource_type)) {
                each_line(&self.files, &self.held, file, &mut |line| {
                    take(&file.resource_type, line)
                })?;
            }
            Ok(())
        })?;
        self.land(&mut sorter)?;
        if sorter.repeated > 0 {
            tracing::warn!(
                bulk.run = self.run_id,
                lines = sorter.repeated,
                "an export has resources twice"
            );
        }
        for number in 0..self.members.len() {
            self.end(number)?;
        }
        Ok(())
    }

    /// Gives the lines to their members.
    fn land(&mut self, sorter: &mut Sorter) -> Result<(), Failure> {
        let (mut waiting, mut bytes, mut flushed) = (BTreeMap::<u16, Vec<Vec<u8>>>::new(), 0, 0);
        for file in self.kept.clone() {
            let (files, held) = (self.files.clone(), self.held.clone());
            each_line(&files, &held, &file, &mut |line| {
                for member in sorter.whose(&file.resource_type, line)? {
                    bytes += line.len();
                    waiting.entry(member).or_default().push(line.to_vec());
                }
                if bytes >= HELD_BYTES {
                    self.flush(std::mem::take(&mut waiting), flushed)?;
                    (bytes, flushed) = (0, flushed + 1);
                }
                Ok(())
            })?;
        }
        self.flush(waiting, flushed)
    }

    /// Keeps what waits: one body for each member. `flushed` is its number.
    fn flush(&mut self, waiting: BTreeMap<u16, Vec<Vec<u8>>>, flushed: u64) -> Result<(), Failure> {
        for (number, lines) in waiting {
            let landing = self.members.get(usize::from(number)).and_then(Option::as_ref);
            let Some(landing) = landing.filter(|_| !self.stopped.contains_key(&number)) else {
                continue;
            };
            match self.page(landing, &lines, flushed) {
                Err(failure)
                    if matches!(
                        failure.fault(),
                        Fault::OptInRevoked
                            | Fault::OptInOver
                            | Fault::PartnerStopped
                            | Fault::PartnerMoved
                            | Fault::ExchangeMoveRefused
                    ) =>
                {
                    self.stopped.insert(number, failure.fault());
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// Whether a body may be kept for a member: the opt-in and the registration permit it, and its exchange still waits for it. One that
    /// was cancelled gets nothing more, since nobody would take that out again.
    fn may_land(&self, landing: &Landing) -> IngestPermit {
        let permitted = permit(landing.call.clone(), self.held.ctx().clock.clone());
        let member = landing.member.clone();
        Arc::new(move |db| match is_waiting(db, step_of(&member, StepName::Retrieve))? {
            true => permitted(db),
            false => Err(Fault::ExchangeMoveRefused.into()),
        })
    }

    fn page(&self, landing: &Landing, lines: &[Vec<u8>], flushed: u64) -> Result<(), Failure> {
        let ctx = self.held.ctx();
        let scope = IngestScope::open(ctx, &self.vault, landing.sides.clone())?;
        let may = self.may_land(landing);
        let (writer, _give_up) = IngestWriter::leased(&self.held, Some(may));
        let link = format!("bulk/{}/{flushed}", self.run_id);
        tokio::runtime::Handle::current().block_on(async {
            let parts = ingest::open(&scope, &writer, "export", &[EXPORT.to_owned()]).await?;
            let part = parts.into_iter().find(|part| part.name == EXPORT);
            let part = part.ok_or(Fault::Internal)?;
            let mut page = match PageWriter::begin(&scope, &writer, part, &link).await {
                // It is kept already.
                Err(failure) if failure.fault() == Fault::PartnerPagesLoop => return Ok(()),
                other => other?,
            };
            page.dated(self.transaction_ms);
            page.write(BEFORE).await?;
            for (at, line) in lines.iter().enumerate() {
                if at > 0 {
                    page.write(b",").await?;
                }
                page.write(BEFORE_LINE).await?;
                page.write(line).await?;
                page.write(b"}").await?;
            }
            page.write(b"]}").await?;
            page.finish(scope.now_ms()).await.map(drop)
        })
    }

    /// Tells a member's exchange what came.
    fn end(&self, number: usize) -> Result<(), Failure> {
        let Some(landing) = self.members.get(number).and_then(Option::as_ref) else {
            return Ok(());
        };
        let stopped = u16::try_from(number).ok().and_then(|number| self.stopped.get(&number));
        let said = match stopped.copied() {
            // It finds out alone what that means for it.
            Some(fault @ Fault::PartnerMoved) => Some(StepEnd::OwnTrouble { fault }),
            Some(fault) => Some(StepEnd::NotPermitted { fault }),
            None => self.came(landing)?,
        };
        let came = match &said {
            Some(
                StepEnd::Done(StepGain::Retrieved { counts, .. })
                | StepEnd::Partial {
                    gain: StepGain::Retrieved { counts, .. },
                    ..
                },
            ) => serde_json::to_string(counts).ok(),
            _ => None,
        };
        let (ctx, member, unit) = (self.held.ctx().clone(), landing.member.clone(), self.chance.unit());
        self.held.advance_blocking(move |db| {
            let Some(said) = &said else {
                // The partner left the member out, or has nothing new: it is asked for the record alone, and says why.
                set_aside(db, &member.exchange_id, EXPORT)?;
                hand_over(db, &ctx, &member.exchange_id)?;
                return put(db, &member, (0, member.attempt, ALONE));
            };
            let step = step_of(&member, StepName::Retrieve);
            match end_carried(db, &ctx, step, (said, &CallNotes::default()), unit)? {
                CarriedEnd::GoesOn => {
                    hand_over(db, &ctx, &member.exchange_id)?;
                    if let Some(came) = &came {
                        put_came(db, (&member.run_id, member.position), came)?;
                    }
                    put(db, &member, (0, member.attempt, RECEIVED))
                }
                CarriedEnd::Left => {
                    // If it goes on alone one day, what came comes again, and counts once.
                    set_aside(db, &member.exchange_id, EXPORT)?;
                    put(db, &member, (0, member.attempt, LEFT))
                }
            }
        })
    }

    /// What came for a member; `None` when nothing did, or when nothing says whose the changes are.
    fn came(&self, landing: &Landing) -> Result<Option<StepEnd>, Failure> {
        let scope = IngestScope::open(self.held.ctx(), &self.vault, landing.sides.clone())?;
        let arrived = ingest::arrivals(&scope)?;
        if arrived.types.is_empty() {
            return Ok(None);
        }
        let has_patient = arrived.types.contains_key("Patient");
        // With only what changed, the Patient comes only when it changed too.
        let is_known = self.is_since && ingest::knows_person(&scope)?;
        if self.is_since && !has_patient && !is_known {
            return Ok(None);
        }
        let gain = StepGain::Retrieved {
            counts: arrived.types,
            bytes: arrived.bytes,
            method: "export",
            as_of_ms: arrived.as_of_ms,
        };
        Ok(Some(match has_patient || is_known {
            true => StepEnd::Done(gain),
            false => StepEnd::Partial {
                gain,
                missing: vec![MissingPart {
                    resource_type: "Patient".into(),
                    count: Some(1),
                    page: None,
                    resume: None,
                    reason: None,
                }],
            },
        }))
    }
}

/// The file as the folder of runs has it.
fn kept_file(file: &RunFileRow) -> BulkFileRow {
    BulkFileRow {
        name: file.name.clone().unwrap_or_default(),
        job_id: file.run_id.clone(),
        piece: 0,
        side: OUTPUT.to_owned(),
        resource_type: file.resource_type.clone(),
        resources: file.resources,
        bytes: file.bytes,
        sha256: Vec::new(),
        created_ms: 0,
    }
}

/// Hands the lines of a file to `take`. Blocks this thread.
fn each_line(
    files: &BulkFiles,
    held: &HeldJob,
    file: &RunFileRow,
    take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let reader: FileReader = files.open(&kept_file(file))?;
    let (mut open, mut at) = (Vec::new(), 0);
    let mut line = |line: &[u8]| match line.trim_ascii() {
        [] => Ok(()),
        line => take(line),
    };
    while let Some(piece) = reader.piece(at)? {
        if held.is_lost() {
            return Err(Fault::LeaseLost.into());
        }
        at += 1;
        let mut parts = piece.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            open.extend_from_slice(part);
            if parts.peek().is_some() {
                line(&open)?;
                open.clear();
            }
        }
    }
    line(&open)
}
