//! Writes a file of a run: seals its pieces into a local file, and at its end keeps that, or moves it into the object store. A row can be
//! written only when the file is there to stay.

#[cfg(not(feature = "object-store"))]
use super::no_objects::NoObjects as Objects;
#[cfg(feature = "object-store")]
use super::objects::Objects;

use super::form::{HEAD, PIECE_BYTES, unusable};
use crate::bulk::shares::{MemberShare, Unfinished};
use crate::error::{Failure, Fault};
use crate::failpoint::{self, SYNC};
use crate::secret::Sha256;
use crate::security::vault::{Seal, SealedPiece, SealedPieces};
use crate::store::bulk::BulkFileRow;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

/// A file that is being written. If it is dropped before its end, it is removed.
pub struct FileWriter {
    row: BulkFileRow,
    file: File,
    path: PathBuf,
    unfinished: Unfinished,
    /// Where the file is moved when it is whole.
    objects: Option<Arc<Objects>>,
    pieces: SealedPieces,
    digest: Sha256,
    shares: Vec<MemberShare>,
}

/// The file of a writer: open, at its path, and where it is moved when it is whole.
pub(super) type LocalFile = (File, PathBuf, Option<Arc<Objects>>);

impl FileWriter {
    /// A file in which nothing is yet.
    pub(super) fn begun(row: BulkFileRow, (file, path, objects): LocalFile, seal: Seal) -> FileWriter {
        FileWriter {
            pieces: SealedPieces::new(seal, &row.name, PIECE_BYTES, 0),
            row,
            file,
            unfinished: Unfinished::at(path.clone()),
            path,
            objects,
            digest: Sha256::default(),
            shares: Vec::new(),
        }
    }

    /// Writes the head.
    ///
    /// # Errors
    /// As [`FileWriter::line`].
    pub(super) fn head(&mut self, key_id: &str) -> Result<(), Failure> {
        self.file
            .write_all(format!("{HEAD}{key_id}\n").as_bytes())
            .map_err(unusable)
    }

    /// A file of which so many pieces are written; `digest` is that of their text.
    pub(super) fn after(self, pieces: u64, digest: Sha256) -> FileWriter {
        let seal = self.pieces.seal().clone();
        let pieces = SealedPieces::new(seal, &self.row.name, PIECE_BYTES, pieces);
        FileWriter { pieces, digest, ..self }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.row.name
    }

    /// How much of the text it has.
    pub fn bytes(&self) -> i64 {
        self.row.bytes
    }

    /// Leaves the beginning for a later attempt when this one does not come to the end.
    pub fn leave(mut self) {
        self.unfinished.is_whole();
    }

    /// Adds a resource as a line. `grant_id` is empty for what belongs to no member.
    ///
    /// # Errors
    /// [`Fault::NoRoom`], [`Fault::BulkFolder`].
    pub fn line(&mut self, grant_id: &str, json: &[u8]) -> Result<(), Failure> {
        // A line end in JSON stands between its parts only, where a blank means the same.
        let mut rest = json;
        while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
            self.put(&rest[..at])?;
            self.put(b" ")?;
            rest = &rest[at + 1..];
        }
        self.put(rest)?;
        self.put(b"\n")?;
        self.row.resources += 1;
        if !grant_id.is_empty() {
            if self.shares.last().is_none_or(|share| share.grant_id != grant_id) {
                self.shares.push(MemberShare {
                    grant_id: grant_id.to_owned(),
                    bytes: 0,
                    resources: 0,
                    cut: Some(0),
                });
            }
            if let Some(share) = self.shares.last_mut() {
                share.bytes += json.len() as u64 + 1;
                share.resources += 1;
            }
        }
        Ok(())
    }

    /// Notes that a part was cut from the resource of the last line.
    pub fn was_cut(&mut self) {
        if let Some(cut) = self.shares.last_mut().and_then(|share| share.cut.as_mut()) {
            *cut += 1;
        }
    }

    /// Counts the resources of a text that was written by [`FileWriter::put`].
    pub fn count(&mut self, resources: i64) {
        self.row.resources += resources;
    }

    /// Adds a part of the text that belongs to no member, and counts no resource.
    ///
    /// # Errors
    /// As [`FileWriter::line`].
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.row.bytes += i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        self.digest.update(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            let (later, piece) = self.pieces.take(rest)?;
            rest = later;
            self.keep(piece)?;
        }
        Ok(())
    }

    fn keep(&mut self, piece: Option<SealedPiece>) -> Result<(), Failure> {
        match piece {
            Some(piece) => self.file.write_all(&piece.sealed).map_err(unusable),
            None => Ok(()),
        }
    }

    /// Ends the file; it is on the disk, or in the object store, when this returns. Returns its row.
    ///
    /// # Errors
    /// [`Fault::NoRoom`], [`Fault::BulkFolder`].
    pub fn finish(self, now_ms: i64) -> Result<BulkFileRow, Failure> {
        let mut rows = finish(vec![self], now_ms)?;
        rows.pop().ok_or_else(|| Fault::Internal.into())
    }

    fn write_end(&mut self) -> Result<(), Failure> {
        let last = self.pieces.rest()?;
        self.keep(last)?;
        let list: String = self.shares.iter().map(MemberShare::line).collect();
        let sealed = self
            .pieces
            .seal()
            .seal(&format!("{}/members", self.row.name), list.as_bytes())?;
        self.file.write_all(&sealed).map_err(unusable)
    }

    /// Makes sure that the file stays. In an object store it is already, and what is here goes.
    fn kept(mut self, now_ms: i64) -> Result<BulkFileRow, Failure> {
        if self.objects.is_none() {
            failpoint::around(SYNC, || self.file.sync_all()).map_err(unusable)?;
            self.unfinished.is_whole();
        }
        self.row.sha256 = self.digest.finish().to_vec();
        self.row.created_ms = now_ms;
        Ok(self.row)
    }
}

/// Ends files of one run. All are written before the first one is synced, so that one commit of the file system's journal serves all of them;
/// and they are put into an object store some at once.
///
/// # Errors
/// As [`FileWriter::finish`].
pub fn finish(mut files: Vec<FileWriter>, now_ms: i64) -> Result<Vec<BulkFileRow>, Failure> {
    files.iter_mut().try_for_each(FileWriter::write_end)?;
    if let Some(first) = files.first()
        && let Some(objects) = &first.objects
    {
        let all: Vec<_> = files.iter().map(|file| (file.path.as_path(), file.name())).collect();
        objects.put(&first.row.job_id, &all)?;
    }
    files.into_iter().map(|file| file.kept(now_ms)).collect()
}
