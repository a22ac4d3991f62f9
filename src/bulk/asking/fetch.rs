//! Fetches the files of an export, some at once, and keeps them sealed. A file that breaks off goes on where it stopped, as long as it is the
//! same version, also in a later attempt or after a crash; it counts when it came to its end and is what the manifest says of it. Safe to
//! repeat: what is kept as a whole is not fetched again.

use super::kind::RunStep;
use super::lines::{CountedLines, LeftOfRun};
use super::run::{AskingRun, RunNext, refused};
use super::wire::TokenFor;
use crate::bulk::files::{BulkFiles, FileWriter};
use crate::error::{Failure, Fault};
use crate::jobs::HeldJob;
use crate::partner::peer::{CallEnd, CallFailure, ManifestFile, Peer, PeerAsk};
use crate::secret::{Secret, sha256};
use crate::store::bulk::{BulkFileRow, OUTPUT};
use crate::store::bulk_runs::{self as rows, RunFileRow};
use bytes::Bytes;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Files that are fetched at once.
const AT_ONCE: usize = 4;
/// How often a file goes on after it broke off, within one attempt.
const RESUMED_MOST: u32 = 5;
/// Time before a file goes on that broke off.
const RESUME_AFTER: Duration = Duration::from_millis(500);
/// Pieces of a body that wait to be written.
const WAITING: usize = 8;
/// When so much of a file has come, it is noted where its beginning is, so that a later attempt goes on with it.
const NOTED_AFTER: u64 = 64 << 10;

/// A small file as a whole, which is what the manifest says of it.
pub(super) async fn small(
    run: &mut AskingRun,
    peer: &Peer,
    (file, of): (&ManifestFile, TokenFor),
    most: u64,
) -> Result<Vec<u8>, CallFailure> {
    let token = run.wire.token(&run.ctx().clone(), of).await?;
    let ask = PeerAsk::get(file.url.clone(), Some(&token), &run.wire.correlation);
    let (bytes, facts) = peer.bulk_file(ask, (0, None), most).await?.body.whole().await?;
    let lines = bytes.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.trim_ascii().is_empty()).count() as u64;
    let is_told = file.resources.is_none_or(|told| told == lines)
        && file.bytes.is_none_or(|told| told == bytes.len() as u64)
        && file.sha256.is_none_or(|told| told == sha256(&bytes));
    match is_told {
        true => Ok(bytes),
        false => Err(CallFailure::with(CallEnd::Refused(Fault::FilesUntrue), facts)),
    }
}

/// One file that is to be fetched.
struct Fetching {
    held: HeldJob,
    peer: Peer,
    token: Secret,
    correlation: String,
    files: BulkFiles,
    row: RunFileRow,
    left: LeftOfRun,
    /// Whether what came stays for a later attempt.
    stays: Arc<AtomicBool>,
}

/// A file that is being written: its name, and how much of it is there.
type Opened = (String, u64);

pub(super) async fn fetch(run: &mut AskingRun) -> Result<RunNext, CallFailure> {
    let ctx = run.ctx().clone();
    let peer = run.wire.peer(&ctx).await?;
    let (id, files) = (run.row.id.clone(), run.files.clone());
    let own = id.clone();
    let all = ctx.store.read(move |db| rows::files(db, &own)).await?;
    let (own, there, held) = (id.clone(), all.clone(), run.held.clone());
    blocking(move || {
        files.make(&own)?;
        let named = |file: &RunFileRow| [file.name.clone(), file.part.clone()];
        let names: Vec<String> = there.iter().flat_map(named).flatten().collect();
        // What other attempts left.
        files.keep_only(&held, &own, &names.iter().map(String::as_str).collect::<HashSet<_>>())
    })
    .await?;
    let left = left_of(&peer, &all);
    let mut wanted = all.into_iter().filter(|file| file.name.is_none());
    let mut under_way: JoinSet<Result<RunFileRow, CallFailure>> = JoinSet::new();
    loop {
        while under_way.len() < AT_ONCE
            && let Some(row) = wanted.next()
        {
            let one = Fetching {
                held: run.held.clone(),
                peer: peer.clone(),
                token: run.wire.token(&ctx, TokenFor::Export).await?,
                correlation: run.wire.correlation.clone(),
                files: run.files.clone(),
                left: left.clone(),
                stays: Arc::new(AtomicBool::new(row.part.is_some())),
                row,
            };
            under_way.spawn(one.fetch());
        }
        let Some(ended) = under_way.join_next().await else {
            break;
        };
        let ended = ended.map_err(|error| Failure::new(Fault::Internal).because(error))?;
        let row = ended?;
        run.held.advance(move |db| rows::kept(db, &row)).await?;
    }
    let files = run.files.clone();
    blocking(move || files.sync(&id)).await?;
    Ok(RunNext::Step(RunStep::HandOut))
}

/// How much may still come, beside what is kept as a whole.
fn left_of(peer: &Peer, all: &[RunFileRow]) -> LeftOfRun {
    let kept = |of: fn(&RunFileRow) -> i64| -> u64 {
        let kept = all.iter().filter(|file| file.name.is_some()).map(of);
        kept.filter_map(|count| u64::try_from(count).ok()).sum()
    };
    let limits = peer.limits();
    let left = |most: u64, kept: u64| Arc::new(AtomicU64::new(most.saturating_sub(kept)));
    LeftOfRun {
        bytes: left(limits.exchange_bytes, kept(|file| file.bytes)),
        lines: left(limits.exchange_entries, kept(|file| file.resources)),
    }
}

impl Fetching {
    /// Fetches the file. Returns its row when it is kept as a whole.
    async fn fetch(mut self) -> Result<RunFileRow, CallFailure> {
        let (send, receive) = mpsc::channel::<Bytes>(WAITING);
        let (tell, opened) = oneshot::channel::<Opened>();
        let (files, row) = (self.files.clone(), self.row.clone());
        let (left, stays) = (self.left.clone(), self.stays.clone());
        let writing = tokio::task::spawn_blocking(move || write(&files, &row, (receive, tell), &left, &stays));
        let came = match opened.await {
            Ok(opened) => self.bodies(opened, &send).await,
            // The writer says why.
            Err(_) => Err(CallFailure::new(CallEnd::Unknown)),
        };
        if came.is_ok() {
            // An empty piece says that the file came to its end.
            let _ = send.send(Bytes::new()).await;
        }
        // The writer ends when nothing more can come.
        drop(send);
        let written = writing
            .await
            .map_err(|error| Failure::new(Fault::Internal).because(error))?;
        let (kept, lines) = match (came, written) {
            // Why the writer takes no more is the cause of what failed here.
            (_, Err(failure)) => return Err(of_writer(failure)),
            (Err(failure), Ok(_)) => return Err(failure),
            (Ok(()), Ok(None)) => return Err(CallFailure::new(CallEnd::Unknown)),
            (Ok(()), Ok(Some(kept))) => kept,
        };
        let told = &self.row;
        let is_told = told.told_resources.is_none_or(|told| told == lines)
            && told.told_bytes.is_none_or(|told| told == kept.bytes)
            && told.told_sha256.as_ref().is_none_or(|told| *told == kept.sha256);
        if !is_told {
            return Err(refused(Fault::FilesUntrue));
        }
        Ok(RunFileRow {
            name: Some(kept.name),
            resources: lines,
            bytes: kept.bytes,
            sha256: Some(kept.sha256),
            part: None,
            etag: None,
            ..self.row
        })
    }

    /// Hands the bytes of the file to the writer, which has some of them already, and lets it go on where it broke off.
    async fn bodies(&mut self, opened: Opened, send: &mpsc::Sender<Bytes>) -> Result<(), CallFailure> {
        let url = self
            .peer
            .named(&self.row.url)
            .map_err(|failure| CallFailure::new(CallEnd::Trust(failure.fault())))?;
        let (name, mut from) = opened;
        let told = self.row.told_bytes.and_then(|told| u64::try_from(told).ok());
        if from > 0 && told == Some(from) {
            return Ok(());
        }
        let mut etag = self.row.etag.clone().filter(|_| from > 0);
        let mut resumed = 0;
        loop {
            let begun = from;
            match self.body(&url, (&mut from, &mut etag), &name, send).await {
                Ok(()) => return Ok(()),
                Err(failure) => {
                    let breaks = matches!(failure.end, CallEnd::Unknown | CallEnd::NotSent | CallEnd::ToldToWait);
                    if !breaks || from == 0 || etag.is_none() || resumed == RESUMED_MOST {
                        return Err(failure);
                    }
                    resumed = if from > begun { 0 } else { resumed + 1 };
                    tokio::time::sleep(RESUME_AFTER).await;
                }
            }
        }
    }

    async fn body(
        &mut self,
        url: &reqwest::Url,
        (from, etag): (&mut u64, &mut Option<String>),
        name: &str,
        send: &mpsc::Sender<Bytes>,
    ) -> Result<(), CallFailure> {
        let most = self.left.bytes.load(Ordering::Acquire);
        let ask = PeerAsk::get(url.clone(), Some(&self.token), &self.correlation);
        let changed = || CallFailure::new(CallEnd::ServerFault).because("the file changed while it was fetched");
        let mut file = match self.peer.bulk_file(ask, (*from, etag.as_deref()), most).await {
            // It is shorter now.
            Err(failure) if *from > 0 && failure.facts.status == Some(416) => {
                self.note(None, None).await?;
                return Err(changed());
            }
            answer => answer?,
        };
        if file.from != *from {
            // It is another version now: what came of the old one is dropped with this attempt.
            self.note(None, None).await?;
            return Err(changed());
        }
        *etag = file.etag.take();
        while let Some(bytes) = file.body.next().await? {
            *from += bytes.len() as u64;
            if send.send(bytes).await.is_err() {
                return Err(CallFailure::new(CallEnd::Unknown).because("the writer takes no more"));
            }
            if *from >= NOTED_AFTER && self.row.part.is_none() && etag.is_some() {
                self.note(Some(name.to_owned()), etag.clone()).await?;
            }
        }
        Ok(())
    }

    /// Notes where the beginning of the file is, and of which version; nowhere when a later attempt is to begin anew.
    async fn note(&mut self, part: Option<String>, etag: Option<String>) -> Result<(), Failure> {
        self.stays.store(part.is_some(), Ordering::Release);
        (self.row.part, self.row.etag) = (part, etag);
        let row = self.row.clone();
        self.held.write(move |db| rows::begun_file(db, &row)).await
    }
}

/// What a failure of the writer means: what comes is too much, or something of ours failed.
fn of_writer(failure: Failure) -> CallFailure {
    match failure.fault() {
        fault @ Fault::PartnerTooMuch => refused(fault).because(failure),
        _ => failure.into(),
    }
}

/// Writes what comes after what an earlier attempt left, and counts its lines. Returns the file and its lines; `None` when it did not come to
/// its end. Blocks this thread.
fn write(
    files: &BulkFiles,
    row: &RunFileRow,
    (mut receive, tell): (mpsc::Receiver<Bytes>, oneshot::Sender<Opened>),
    left: &LeftOfRun,
    stays: &Arc<AtomicBool>,
) -> Result<Option<(BulkFileRow, i64)>, Failure> {
    let mut lines = CountedLines::default();
    let mut writer = open(files, row, &mut |piece| counted(&mut lines, piece, left))?;
    let there = u64::try_from(writer.bytes()).unwrap_or(0);
    if tell.send((writer.name().to_owned(), there)).is_err() {
        return Ok(None);
    }
    while let Some(bytes) = receive.blocking_recv() {
        if bytes.is_empty() {
            let more = lines.end();
            LeftOfRun::take(&left.lines, more)?;
            let kept = writer.finish(0)?;
            if files.are_objects() && Arc::strong_count(stays) == 1 {
                // Nobody waits for it any more: the objects of the run may have been removed before it was one. A folder goes with its run.
                files.drop_files(&[kept]);
                return Ok(None);
            }
            return Ok(Some((kept, i64::try_from(lines.count).unwrap_or(i64::MAX))));
        }
        counted(&mut lines, &bytes, left)?;
        writer.put(&bytes)?;
    }
    if stays.load(Ordering::Acquire) {
        writer.leave();
    }
    Ok(None)
}

fn counted(lines: &mut CountedLines, bytes: &[u8], left: &LeftOfRun) -> Result<(), Failure> {
    let more = lines.add(bytes)?;
    LeftOfRun::take(&left.bytes, bytes.len() as u64)?;
    LeftOfRun::take(&left.lines, more)
}

/// Goes on with the beginning that an earlier attempt left, or begins.
fn open(
    files: &BulkFiles,
    row: &RunFileRow,
    take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<FileWriter, Failure> {
    if let Some(part) = row.part.as_deref().filter(|_| row.etag.is_some())
        && let Some(there) = files.go_on((&row.run_id, part), (OUTPUT, &row.resource_type), take)?
    {
        return Ok(there);
    }
    files.begin(&row.run_id, 0, OUTPUT, &row.resource_type)
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Failure::new(Fault::Internal).because(error)),
    }
}
