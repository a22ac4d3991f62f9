//! Goes on with a file whose beginning an earlier attempt left. Only pieces that open as they were sealed are the beginning; what follows them
//! is cut off. Who calls this knows from which version of what the file is.

use super::form::{HEAD, PIECE_BYTES, SEALED_MORE, unusable};
use super::read::key_id_of;
use super::{BulkFiles, FileWriter};
use crate::error::{Failure, Fault};
use crate::secret::Sha256;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;

impl BulkFiles {
    /// Opens the beginning of the file `name` of a run, hands each of its pieces to `take`, and goes on after the last one. `None` when there is
    /// none. Blocks this thread.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`]; those of `take`.
    pub fn go_on(
        &self,
        (job, name): (&str, &str),
        (side, rtype): (&'static str, &str),
        take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<Option<FileWriter>, Failure> {
        let path = self.folder_of(job).join(name);
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(error)),
        };
        let Some(key_id) = key_id_of(&file)? else {
            return Ok(None);
        };
        let seal = self.seal(&key_id, job)?;
        let (begins, sealed) = ((HEAD.len() + key_id.len() + 1) as u64, PIECE_BYTES + SEALED_MORE);
        let (mut pieces, mut digest, mut bytes) = (0_u64, Sha256::default(), vec![0; sealed]);
        loop {
            match file.read_exact_at(&mut bytes, begins + pieces * sealed as u64) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                other => other.map_err(unusable)?,
            }
            let Ok(piece) = seal.open(&format!("{name}/{pieces}"), &bytes) else {
                break;
            };
            digest.update(&piece);
            take(&piece)?;
            pieces += 1;
        }
        let end = begins + pieces * sealed as u64;
        file.set_len(end).map_err(unusable)?;
        file.seek(SeekFrom::Start(end)).map_err(unusable)?;
        let mut row = super::row(job, name.to_owned(), 0, (side, rtype));
        row.bytes = i64::try_from(pieces * PIECE_BYTES as u64).map_err(|_| Fault::BulkFolder)?;
        let begun = FileWriter::begun(row, (file, path, self.0.objects.clone()), seal);
        Ok(Some(begun.after(pieces, digest)))
    }
}
