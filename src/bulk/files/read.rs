//! Reads a file of a run: its pieces by their number, from a folder or from an object store, and the list at its end.

#[cfg(not(feature = "object-store"))]
use super::no_objects::NoObject as StoredObject;
#[cfg(feature = "object-store")]
use super::objects::StoredObject;

use super::form::{HEAD, HEAD_BYTES, PIECE_BYTES, SEALED_MORE, key_id, pieces, unsealed, unusable};
use crate::bulk::shares::MemberShare;
use crate::error::{Failure, Fault};
use crate::security::vault::Seal;
use crate::store::bulk::BulkFileRow;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// Longest list of members. A store may say any length of an object, and memory is asked for by it.
const LIST_BYTES: u64 = 256 << 20;

/// Where the sealed bytes of a file are.
#[derive(Clone)]
pub(super) enum SealedBytes {
    Local(Arc<File>),
    Stored(Arc<StoredObject>),
}

impl SealedBytes {
    pub(super) fn local(file: File) -> SealedBytes {
        SealedBytes::Local(Arc::new(file))
    }

    fn length(&self) -> Result<u64, Failure> {
        match self {
            SealedBytes::Local(file) => Ok(file.metadata().map_err(unusable)?.len()),
            SealedBytes::Stored(object) => Ok(object.length()),
        }
    }

    fn read_exact(&self, bytes: &mut [u8], at: u64) -> Result<(), Failure> {
        match self {
            SealedBytes::Local(file) => file.read_exact_at(bytes, at).map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => Fault::BulkFolder.into(),
                _ => unusable(error),
            }),
            SealedBytes::Stored(object) => object.read_exact(bytes, at),
        }
    }

    /// The key under which the file was begun.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`] when it cannot be read.
    pub(super) fn key_id(&self) -> Result<Option<String>, Failure> {
        match self {
            SealedBytes::Local(file) => key_id_of(file),
            SealedBytes::Stored(object) => {
                let there = HEAD_BYTES.min(usize::try_from(object.length()).unwrap_or(HEAD_BYTES));
                let mut head = vec![0; there];
                object.read_exact(&mut head, 0)?;
                Ok(key_id(&head))
            }
        }
    }
}

/// The key under which a local file was begun.
///
/// # Errors
/// [`Fault::BulkFolder`] when it cannot be read.
pub(super) fn key_id_of(file: &File) -> Result<Option<String>, Failure> {
    let mut head = [0; HEAD_BYTES];
    let read = file.read_at(&mut head, 0).map_err(unusable)?;
    Ok(key_id(&head[..read]))
}

/// A file that can be read. Clones share it.
#[derive(Clone)]
pub struct FileReader {
    sealed: SealedBytes,
    seal: Seal,
    name: String,
    begins: u64,
    bytes: u64,
}

impl FileReader {
    /// The file of this row, which was begun under this key.
    pub(super) fn new(sealed: SealedBytes, (key_id, seal): (&str, Seal), row: &BulkFileRow) -> FileReader {
        FileReader {
            seal,
            begins: (HEAD.len() + key_id.len() + 1) as u64,
            bytes: u64::try_from(row.bytes).unwrap_or(0),
            name: row.name.clone(),
            sealed,
        }
    }

    /// Where the sealed list of members begins.
    fn list_begins(&self) -> u64 {
        self.begins + self.bytes + pieces(self.bytes) * SEALED_MORE as u64
    }

    /// Whether the file is long enough for what its row says.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`].
    pub(super) fn demand_length(&self) -> Result<(), Failure> {
        match self.sealed.length()? < self.list_begins() + SEALED_MORE as u64 {
            true => Err(Failure::new(Fault::BulkFolder).because("a file of a bulk job is shorter than its row says")),
            false => Ok(()),
        }
    }

    /// The piece with this number, from 0; `None` after the last one. Blocks this thread.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`] when it is missing or changed.
    pub fn piece(&self, at: u64) -> Result<Option<Vec<u8>>, Failure> {
        if at >= pieces(self.bytes) {
            return Ok(None);
        }
        let whole = PIECE_BYTES as u64;
        let length = whole.min(self.bytes - at * whole);
        let mut sealed = vec![0; usize::try_from(length).unwrap_or(PIECE_BYTES) + SEALED_MORE];
        let place = self.begins + at * (whole + SEALED_MORE as u64);
        self.sealed.read_exact(&mut sealed, place)?;
        let opened = self.seal.open(&format!("{}/{at}", self.name), &sealed);
        opened.map(Some).map_err(unsealed)
    }

    /// The bytes from `first` on that stand in one piece, and before `end`; `None` at the end. Blocks this thread.
    ///
    /// # Errors
    /// As [`FileReader::piece`].
    pub fn bytes(&self, first: u64, end: u64) -> Result<Option<Vec<u8>>, Failure> {
        let (at, end) = (first / PIECE_BYTES as u64, end.min(self.bytes));
        if first >= end {
            return Ok(None);
        }
        let Some(mut piece) = self.piece(at)? else {
            return Ok(None);
        };
        let begins = at * PIECE_BYTES as u64;
        let place = |byte: u64| usize::try_from(byte.saturating_sub(begins)).unwrap_or(PIECE_BYTES);
        piece.truncate(place(end));
        piece.drain(..place(first).min(piece.len()));
        Ok(Some(piece))
    }

    /// Whose resources the file has. Blocks this thread.
    ///
    /// # Errors
    /// As [`FileReader::piece`].
    pub fn shares(&self) -> Result<Vec<MemberShare>, Failure> {
        let place = self.list_begins();
        let left = self
            .sealed
            .length()?
            .checked_sub(place)
            .filter(|left| *left <= LIST_BYTES);
        let left =
            left.ok_or_else(|| Failure::new(Fault::BulkFolder).because("a file of a bulk job has a wrong length"))?;
        let mut sealed = vec![0; usize::try_from(left).map_err(|_| Fault::BulkFolder)?];
        self.sealed.read_exact(&mut sealed, place)?;
        let opened = self.seal.open(&format!("{}/members", self.name), &sealed);
        let list = opened.map_err(unsealed)?;
        let text = String::from_utf8(list).map_err(|_| Fault::BulkFolder)?;
        text.lines()
            .map(|line| MemberShare::read(line).ok_or_else(|| Fault::BulkFolder.into()))
            .collect()
    }

    /// The whole text of a small file. Blocks this thread.
    ///
    /// # Errors
    /// As [`FileReader::piece`].
    pub fn text(&self) -> Result<String, Failure> {
        let mut all = Vec::new();
        for at in 0..pieces(self.bytes) {
            all.extend(self.piece(at)?.unwrap_or_default());
        }
        String::from_utf8(all).map_err(|_| Fault::BulkFolder.into())
    }
}
