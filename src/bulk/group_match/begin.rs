//! The kick-off of a bulk match: its body is read while it comes, and its members are on the disk before the answer.

use super::body::{self, MemberReader, MemberSpool};
use super::coming::ComingBody;
use super::run::{MatchJob, SPOOL, blocking};
use crate::bulk::files::{BulkFiles, FileWriter};
use crate::bulk::hands;
use crate::bulk::job::{self, NewRun};
use crate::bulk::kinds::{MATCH, MATCH_KIND};
use crate::config::BulkConfig;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::failpoint;
use crate::security::{Caller, JobCaller};
use crate::store::Db;
use crate::store::bulk::{self as rows, BulkFileRow, BulkJobRow, BulkPieceRow};
use crate::store::guesses;
use bytes::BytesMut;

/// The piece that the spool belongs to: none.
const NO_PIECE: i64 = -1;
/// Bytes of lines that stay in memory until the body is over. A longer one has a file.
const LINES_BYTES: usize = 1 << 20;

/// The body of a bulk match while it comes. What it leaves on the disk when it is dropped goes with the end that was announced.
pub struct MatchIntake<'c> {
    ctx: &'c Context,
    limits: &'c BulkConfig,
    files: &'c BulkFiles,
    caller: &'c Caller,
    /// The id of the run, once there is a file.
    id: Option<String>,
    /// `None` while a thread has it, and after a failure.
    spooling: Option<Spooling>,
    until_ms: i64,
    _place: ComingBody,
}

/// Members on their way into the file.
struct Spooling {
    reader: MemberReader,
    lines: Vec<Vec<u8>>,
    bytes: usize,
    writer: Option<FileWriter>,
}

impl Spooling {
    fn add(&mut self, lines: Vec<Vec<u8>>) {
        self.bytes += lines.iter().map(Vec::len).sum::<usize>();
        self.lines.extend(lines);
    }

    /// Writes the lines into a file of the run.
    fn write(&mut self, files: &BulkFiles, id: &str) -> Result<(), Failure> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                files.make(id)?;
                self.writer.insert(files.begin(id, NO_PIECE, SPOOL, "Parameters")?)
            }
        };
        self.bytes = 0;
        self.lines.drain(..).try_for_each(|line| writer.line("", &line))
    }

    /// Ends the file, which is on the disk when this returns.
    fn finish(mut self, files: &BulkFiles, id: &str, spool: &MemberSpool) -> Result<BulkFileRow, Failure> {
        self.write(files, id)?;
        let mut writer = self.writer.ok_or(Fault::Internal)?;
        writer.put(body::marks(&spool.repeated).as_bytes())?;
        let row = writer.finish(0)?;
        files.sync(id)?;
        Ok(row)
    }
}

impl<'c> MatchIntake<'c> {
    /// Nothing has come yet.
    ///
    /// # Errors
    /// [`Fault::ScopeMissing`] for a token that is about one member; [`Fault::BulkBusy`] while the partner sends as many bodies as it may have runs;
    /// [`Fault::MatchLocked`] while its matches are locked; those of the store.
    pub async fn open(
        ctx: &'c Context,
        (limits, files): (&'c BulkConfig, &'c BulkFiles),
        caller: &'c Caller,
    ) -> Result<MatchIntake<'c>, Failure> {
        if caller.patient_id.is_some() {
            // A token for one member is not for work over many.
            return Err(Fault::ScopeMissing.into());
        }
        demand_unlocked(ctx, caller).await?;
        let place = ComingBody::of(&caller.partner.id, limits.jobs_per_partner)?;
        Ok(MatchIntake {
            ctx,
            limits,
            files,
            caller,
            id: None,
            spooling: Some(Spooling {
                reader: MemberReader::new(limits.members_max),
                lines: Vec::new(),
                bytes: 0,
                writer: None,
            }),
            // Long enough before the end that is announced to write the rest, and the rows.
            until_ms: ctx.clock.now_ms() + limits.deadline_ms / 8 * 7,
            _place: place,
        })
    }

    /// Takes the next bytes of the body.
    ///
    /// # Errors
    /// Those of the body, as far as it came: 400, 413 and 422; those of [`job::announce`] and of the files; [`Fault::RequestTimeout`] when the body takes longer than a run
    /// may take.
    pub async fn take(&mut self, bytes: BytesMut) -> Result<(), Failure> {
        self.demand_time()?;
        let mut spooling = self.spooling.take().ok_or(Fault::Internal)?;
        let mut fed = blocking(move || {
            let lines = spooling.reader.feed(&bytes)?;
            spooling.add(lines);
            Ok(spooling)
        })
        .await?;
        if fed.bytes > LINES_BYTES {
            job::demand_room(self.ctx)?;
            let (id, files) = (self.announced().await?, self.files.clone());
            fed = blocking(move || {
                fed.write(&files, &id)?;
                Ok(fed)
            })
            .await?;
        }
        self.spooling = Some(fed);
        Ok(())
    }

    /// Whoever has begun to write is late before what is written is removed.
    fn demand_time(&self) -> Result<(), Failure> {
        match self.ctx.clock.now_ms() < self.until_ms {
            true => Ok(()),
            false => Err(Fault::RequestTimeout.into()),
        }
    }

    async fn announced(&mut self) -> Result<String, Failure> {
        let id = match self.id.take() {
            Some(id) => id,
            None => job::announce(self.ctx, self.limits, self.caller).await?,
        };
        self.id = Some(id.clone());
        Ok(id)
    }

    /// Takes back what came of a body that is refused.
    pub async fn forget(self) {
        // The beginning of a file goes with its writer.
        drop(self.spooling);
        if let Some(id) = self.id
            && let Err(failure) = job::unannounce(self.ctx, id).await
        {
            tracing::warn!(cause = ?failure.cause(), "what came of a refused bulk match stays until its deadline");
        }
    }

    /// Begins the run: the whole body has come. Returns its id; the members are on the disk then.
    ///
    /// # Errors
    /// Those of the body as a whole: 400 and 422; those of [`job::begin`] and of the files.
    pub async fn begin(mut self, request_url: String) -> Result<String, Failure> {
        match self.spooled().await {
            Ok((id, file, spool)) => self.begun((id, request_url), file, &spool).await,
            Err(failure) => {
                self.forget().await;
                Err(failure)
            }
        }
    }

    async fn spooled(&mut self) -> Result<(String, BulkFileRow, MemberSpool), Failure> {
        self.demand_time()?;
        let mut spooling = self.spooling.take().ok_or(Fault::Internal)?;
        let (fed, spool) = blocking(move || {
            let reader = std::mem::replace(&mut spooling.reader, MemberReader::new(0));
            let (lines, spool) = reader.end()?;
            spooling.add(lines);
            Ok((spooling, spool))
        })
        .await?;
        let id = self.announced().await?;
        let (own, files) = (id.clone(), self.files.clone());
        let (file, spool) = blocking(move || Ok((fed.finish(&files, &own, &spool)?, spool))).await?;
        failpoint::pass("bulk", "spooled");
        Ok((id, file, spool))
    }

    async fn begun(
        &self,
        (id, request_url): (String, String),
        file: BulkFileRow,
        spool: &MemberSpool,
    ) -> Result<String, Failure> {
        let ctx = self.ctx;
        let marks = spool.pieces.last().map(|last| last.end as u64);
        let job = MatchJob {
            members: spool.members,
            caller: JobCaller::from(self.caller),
            marks: marks.filter(|_| !spool.repeated.is_empty()),
        };
        let new = NewRun {
            kind: MATCH_KIND,
            work: &MATCH,
            request_url,
            request_json: serde_json::to_string(&job).map_err(|error| Failure::new(Fault::Internal).because(error))?,
            group_id: None,
        };
        let (pieces, own, remover) = (pieces(&id, spool), id.clone(), self.files.clone());
        let more = hands::ids(ctx);
        let put = move |db: &mut Db, row: &BulkJobRow| {
            rows::put_files(db, std::slice::from_ref(&file))?;
            rows::plan(db, &row.id, &pieces, row.created_ms)?;
            rows::count_from(db, &row.id, row.created_ms)?;
            let count = i64::try_from(pieces.len()).unwrap_or(i64::MAX);
            hands::call(db, &MATCH, (row, count), &more, row.created_ms)
        };
        let begun = job::begin_as(ctx, self.limits, self.caller, (id, new), put).await;
        if let Err(failure) = &begun
            && failure.fault() == Fault::BulkBusy
        {
            // After any other failure nobody knows whether the run has begun; the end that was announced removes what has no row.
            let _ = blocking(move || remover.remove(&own)).await;
        }
        begun
    }
}

/// Refuses a partner whose single matches the guessing guard has locked. A match that has begun is not stopped by a lock.
async fn demand_unlocked(ctx: &Context, caller: &Caller) -> Result<(), Failure> {
    let (partner, now_ms) = (caller.partner.id.clone(), ctx.clock.now_ms());
    let tallied = ctx.store.read(move |db| guesses::tallied(db, &partner, now_ms)).await?;
    match tallied.locked_until_ms {
        None => Ok(()),
        Some(until_ms) => {
            let seconds = (until_ms - now_ms).max(0) / 1000 + 1;
            Err(Failure::new(Fault::MatchLocked).retry_after_s(u32::try_from(seconds).unwrap_or(u32::MAX)))
        }
    }
}

/// The pieces of a run: those of members, whose keys are their places in the spool, and the last one, which writes the result.
fn pieces(id: &str, spool: &MemberSpool) -> Vec<BulkPieceRow> {
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let piece = |position: usize, first_key: String, last_key: String, members: usize| BulkPieceRow {
        job_id: id.to_owned(),
        position: number(position),
        state: rows::WAITING.to_owned(),
        first_key,
        last_key,
        members: number(members),
    };
    let judged = spool.pieces.iter().enumerate();
    let mut pieces: Vec<BulkPieceRow> = judged
        .map(|(at, one)| piece(at, one.start.to_string(), one.end.to_string(), one.members))
        .collect();
    pieces.push(piece(pieces.len(), String::new(), String::new(), 0));
    pieces
}
