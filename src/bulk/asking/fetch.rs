//! Fetches the files of an export, some at once, and keeps them sealed. A file that breaks off goes on where it stopped, as long as it is the
//! same version; it counts when it came to its end and is what the manifest says of it. Safe to repeat: what is kept as a whole is not
//! fetched again.

use super::kind::RunStep;
use super::run::{AskingRun, RunNext, refused};
use super::wire::TokenFor;
use crate::bulk::files::{BulkFiles, FileWriter};
use crate::error::{Failure, Fault};
use crate::partner::peer::{CallEnd, CallFailure, ManifestFile, Peer, PeerAsk};
use crate::records::ingest::LINE_BYTES;
use crate::secret::{Secret, sha256};
use crate::store::bulk::{BulkFileRow, OUTPUT};
use crate::store::bulk_runs::{self as rows, RunFileRow};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Files that are fetched at once.
const AT_ONCE: usize = 4;
/// How often a file goes on after it broke off, within one attempt.
const RESUMED_MOST: u32 = 5;
/// Time before a file goes on that broke off.
const RESUME_AFTER: Duration = Duration::from_millis(500);
/// Pieces of a body that wait to be written.
const WAITING: usize = 8;

/// A small file as a whole, which is what the manifest says of it.
pub(super) async fn small(
    run: &mut AskingRun,
    peer: &Peer,
    file: &ManifestFile,
    most: u64,
) -> Result<Vec<u8>, CallFailure> {
    let token = run.wire.token(&run.ctx().clone(), TokenFor::Match).await?;
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

/// How much may still come in all.
#[derive(Clone)]
struct Left {
    bytes: Arc<AtomicU64>,
    lines: Arc<AtomicU64>,
}

impl Left {
    fn take(of: &AtomicU64, count: u64) -> Result<(), Failure> {
        let taken = of.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(count));
        taken.map(drop).map_err(|_| Fault::PartnerTooMuch.into())
    }
}

/// One file that is to be fetched.
struct Fetching {
    peer: Peer,
    token: Secret,
    correlation: String,
    files: BulkFiles,
    row: RunFileRow,
    left: Left,
}

pub(super) async fn fetch(run: &mut AskingRun) -> Result<RunNext, CallFailure> {
    let ctx = run.ctx().clone();
    let peer = run.wire.peer(&ctx).await?;
    let (id, files) = (run.row.id.clone(), run.files.clone());
    let own = id.clone();
    let all = ctx.store.read(move |db| rows::files(db, &own)).await?;
    let own = id.clone();
    blocking(move || files.make(&own)).await?;
    let kept = |of: fn(&RunFileRow) -> i64| -> u64 {
        let kept = all.iter().filter(|file| file.name.is_some()).map(of);
        kept.filter_map(|count| u64::try_from(count).ok()).sum()
    };
    let left = Left {
        bytes: Arc::new(AtomicU64::new(
            peer.limits().exchange_bytes.saturating_sub(kept(|file| file.bytes)),
        )),
        lines: Arc::new(AtomicU64::new(
            peer.limits()
                .exchange_entries
                .saturating_sub(kept(|file| file.resources)),
        )),
    };
    let mut wanted = all.into_iter().filter(|file| file.name.is_none());
    let mut under_way: JoinSet<Result<RunFileRow, CallFailure>> = JoinSet::new();
    loop {
        while under_way.len() < AT_ONCE
            && let Some(row) = wanted.next()
        {
            let one = Fetching {
                peer: peer.clone(),
                token: run.wire.token(&ctx, TokenFor::Export).await?,
                correlation: run.wire.correlation.clone(),
                files: run.files.clone(),
                row,
                left: left.clone(),
            };
            under_way.spawn(one.fetch());
        }
        let Some(ended) = under_way.join_next().await else {
            break;
        };
        let ended = ended.map_err(|error| Failure::new(Fault::Internal).because(error))?;
        let row = ended?;
        run.held.write(move |db| rows::kept(db, &row)).await?;
    }
    let files = run.files.clone();
    blocking(move || files.sync(&id)).await?;
    Ok(RunNext::Step(RunStep::HandOut))
}

impl Fetching {
    /// Fetches the file. Returns its row when it is kept as a whole.
    async fn fetch(self) -> Result<RunFileRow, CallFailure> {
        let (send, receive) = mpsc::channel::<Bytes>(WAITING);
        let (files, run_id, rtype) = (
            self.files.clone(),
            self.row.run_id.clone(),
            self.row.resource_type.clone(),
        );
        let left = self.left.clone();
        let writing = tokio::task::spawn_blocking(move || write(&files, (&run_id, &rtype), receive, &left));
        let came = self.bodies(&send).await;
        // The writer ends when nothing more can come.
        let whole = came.is_ok();
        if whole {
            // An empty piece says that the file came to its end.
            let _ = send.send(Bytes::new()).await;
        }
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
            ..self.row
        })
    }

    /// Hands the bytes of the file to the writer, and lets it go on where it broke off.
    async fn bodies(&self, send: &mpsc::Sender<Bytes>) -> Result<(), CallFailure> {
        let url = self
            .peer
            .named(&self.row.url)
            .map_err(|failure| CallFailure::new(CallEnd::Trust(failure.fault())))?;
        let (mut from, mut etag, mut resumed) = (0, None::<String>, 0);
        loop {
            let begun = from;
            match self.body(&url, &mut from, &mut etag, send).await {
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
        &self,
        url: &reqwest::Url,
        from: &mut u64,
        etag: &mut Option<String>,
        send: &mpsc::Sender<Bytes>,
    ) -> Result<(), CallFailure> {
        let most = self.left.bytes.load(Ordering::Acquire);
        let ask = PeerAsk::get(url.clone(), Some(&self.token), &self.correlation);
        let mut file = self.peer.bulk_file(ask, (*from, etag.as_deref()), most).await?;
        if file.from != *from {
            // It is another version now: what came of the old one is dropped with this attempt.
            return Err(CallFailure::new(CallEnd::ServerFault).because("the file changed while it was fetched"));
        }
        *etag = file.etag.take();
        while let Some(bytes) = file.body.next().await? {
            *from += bytes.len() as u64;
            if send.send(bytes).await.is_err() {
                return Err(CallFailure::new(CallEnd::Unknown).because("the writer takes no more"));
            }
        }
        Ok(())
    }
}

/// What a failure of the writer means: what comes is too much, or something of ours failed.
fn of_writer(failure: Failure) -> CallFailure {
    match failure.fault() {
        fault @ Fault::PartnerTooMuch => refused(fault).because(failure),
        _ => failure.into(),
    }
}

/// Writes what comes, and counts its lines. Returns the file and its lines; `None` when it did not come to its end. Blocks this thread.
fn write(
    files: &BulkFiles,
    (run_id, rtype): (&str, &str),
    mut receive: mpsc::Receiver<Bytes>,
    left: &Left,
) -> Result<Option<(BulkFileRow, i64)>, Failure> {
    let mut writer: FileWriter = files.begin(run_id, 0, OUTPUT, rtype)?;
    let mut lines = Lines::default();
    while let Some(bytes) = receive.blocking_recv() {
        if bytes.is_empty() {
            let more = lines.end();
            Left::take(&left.lines, more)?;
            let kept = writer.finish(0)?;
            return Ok(Some((kept, i64::try_from(lines.count).unwrap_or(i64::MAX))));
        }
        let more = lines.add(&bytes)?;
        Left::take(&left.bytes, bytes.len() as u64)?;
        Left::take(&left.lines, more)?;
        writer.put(&bytes)?;
    }
    Ok(None)
}

/// Counts lines as they come.
#[derive(Default)]
struct Lines {
    count: u64,
    /// Bytes of the line that has not ended.
    open: usize,
    /// Whether that line has anything but blanks.
    has_text: bool,
}

impl Lines {
    /// Adds bytes. Returns how many lines ended.
    fn add(&mut self, bytes: &[u8]) -> Result<u64, Failure> {
        let before = self.count;
        for (at, part) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if at > 0 {
                self.end();
            }
            self.open += part.len();
            self.has_text |= part.iter().any(|byte| !byte.is_ascii_whitespace());
            if self.open > LINE_BYTES {
                return Err(Fault::PartnerTooMuch.into());
            }
        }
        Ok(self.count - before)
    }

    /// Ends the last line. Returns whether it was one, as a number.
    fn end(&mut self) -> u64 {
        let is_line = u64::from(self.has_text);
        self.count += is_line;
        (self.open, self.has_text) = (0, false);
        is_line
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Failure::new(Fault::Internal).because(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_they_come_and_an_endless_one_is_refused() {
        let mut lines = Lines::default();
        for piece in ["{}\n{", "}\n", "\n \n", "{}"] {
            lines.add(piece.as_bytes()).expect("short");
        }
        assert_eq!(lines.end(), 1);
        assert_eq!(lines.count, 3);
        let piece = vec![b'x'; 1 << 20];
        let mut lines = Lines::default();
        let refused = (0..64).find_map(|_| lines.add(&piece).err()).expect("too long");
        assert_eq!(refused.fault(), Fault::PartnerTooMuch);
        let left = AtomicU64::new(3);
        Left::take(&left, 3).expect("fits");
        assert_eq!(
            Left::take(&left, 1).expect_err("too many").fault(),
            Fault::PartnerTooMuch
        );
    }
}
