//! The keys that seal what another payer sent, in a file of this host outside the database, and the sealing itself.
//!
//! The file has one line for each key: its id and 32 bytes in base64url. The last line is the key for new work; the others open what was
//! sealed under them. It is made with mode 0600 when there is none, and refused when others may read it. A store whose file of keys is
//! lost keeps the records; what came with them as received cannot be read any more.
//!
//! Each exchange has a key of its own, derived from that of the file, so that no key seals more than the random nonces allow.

use crate::error::{Failure, Fault};
use crate::secret::{hex, hmac_sha256, key_lines, open, random, seal};
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

/// The name of the file in the folder of this server's own files.
pub const KEYS_FILE: &str = "received.keys";

/// The keys of the file. Clones share them.
#[derive(Clone)]
pub struct Vault(Arc<Vec<(String, [u8; 32])>>);

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.0.iter().map(|(id, _)| id.as_str()).collect();
        write!(f, "Vault({})", ids.join(", "))
    }
}

fn unusable(remedy: &'static str) -> Failure {
    Failure::new(Fault::SealKeys).remedy(remedy)
}

fn out_of_reach(path: &Path, error: std::io::Error) -> Failure {
    let remedy = format!(
        "Let the server's user create {}, or put the right file there, with mode 0600.",
        path.display()
    );
    Failure::new(Fault::SealKeys).remedy(remedy).because(error)
}

impl Vault {
    /// Reads the keys from `path`; makes the file, with one key, and its folder when there is none.
    ///
    /// # Errors
    /// [`Fault::SealKeys`] when it cannot be read or made, is readable by others, or does not hold keys.
    pub fn open(path: &Path) -> Result<Vault, Failure> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => make(path)?,
            _ => {}
        }
        Vault::read(path)
    }

    /// Reads the keys from `path`, and makes none.
    ///
    /// # Errors
    /// [`Fault::SealKeys`] when it cannot be read, is readable by others, or does not hold keys.
    pub fn read(path: &Path) -> Result<Vault, Failure> {
        match fs::symlink_metadata(path) {
            Ok(about) if about.mode() & 0o077 != 0 => {
                return Err(unusable(
                    "Set the mode of received.keys to 0600: only the server's user may read it.",
                ));
            }
            Ok(_) => {}
            Err(error) => return Err(out_of_reach(path, error)),
        }
        let text = fs::read_to_string(path).map_err(|error| out_of_reach(path, error))?;
        Vault::parse(&text)
    }

    fn parse(text: &str) -> Result<Vault, Failure> {
        const WRONG: &str = "Restore received.keys from its backup: each line must have the id of a key, and the key.";
        let keys = key_lines::parse(text).filter(|keys| !keys.is_empty());
        let keys = keys.ok_or_else(|| unusable(WRONG))?;
        Ok(Vault(Arc::new(keys)))
    }

    /// The id of the key for new work.
    pub fn current(&self) -> &str {
        self.0.last().map_or("", |(id, _)| id)
    }

    /// Whether the file has the key with this id.
    pub fn has(&self, key_id: &str) -> bool {
        self.0.iter().any(|(id, _)| id == key_id)
    }

    /// For each key its id and a secret derived from it for `purpose`; the last one is for new work.
    pub fn secrets<'v>(&'v self, purpose: &'v str) -> impl Iterator<Item = (&'v str, [u8; 32])> {
        let keys = self.0.iter();
        keys.map(move |(id, key)| (id.as_str(), hmac_sha256(key, purpose.as_bytes())))
    }

    /// Makes the seal of an exchange under the key with this id.
    ///
    /// # Errors
    /// [`Fault::SealKeys`] when the file has no such key.
    pub fn seal_of(&self, key_id: &str, exchange_id: &str) -> Result<Seal, Failure> {
        let (_, key) = self.0.iter().find(|(id, _)| id == key_id).ok_or_else(|| {
            unusable("Restore the line of received.keys with the key that ingest.key_id names: without it nobody can open what was sealed under it.")
        })?;
        let context = ["received/1/", exchange_id].concat();
        Ok(Seal(hmac_sha256(key, context.as_bytes())))
    }
}

/// Makes the file with one key. When another process makes it at the same time, its file stays.
fn make(path: &Path) -> Result<(), Failure> {
    let failed = |error| out_of_reach(path, error);
    let line = key_lines::line(&hex(&random::<4>()), &random());
    // A whole file appears under the name or none, also when the process ends in the middle.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        // A server over PostgreSQL has no file of its own yet.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
    }
    let beside = path.with_extension(format!("{}.new", hex(&random::<8>())));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .map_err(failed)?;
    let made = file
        .write_all(line.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| match fs::hard_link(&beside, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
    let removed = fs::remove_file(&beside);
    made.and(removed).map_err(failed)?;
    match folder {
        Some(folder) => File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed),
        None => Ok(()),
    }
}

/// Seals and opens what belongs to one exchange.
#[derive(Clone)]
pub struct Seal([u8; 32]);

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

impl Seal {
    /// Seals `bytes`; they can only be opened with the same `place`.
    ///
    /// # Errors
    /// [`Fault::Internal`] when the library refuses, which does not happen in practice.
    pub fn seal(&self, place: &str, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        seal(&self.0, place.as_bytes(), bytes)
            .ok_or_else(|| Failure::new(Fault::Internal).because("the library seals nothing"))
    }

    /// Opens what was sealed for `place`.
    ///
    /// # Errors
    /// [`Fault::SealBroken`] when it was changed, moved, or sealed under another key.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, Failure> {
        open(&self.0, place.as_bytes(), sealed).ok_or_else(|| Fault::SealBroken.into())
    }
}

/// A text on its way into sealed pieces of one length, each for a place of its own: the name of the text, and the number of the piece.
pub struct SealedPieces {
    seal: Seal,
    name: String,
    length: usize,
    buffer: Vec<u8>,
    next: u64,
}

/// A piece that is sealed.
#[derive(Debug, PartialEq, Eq)]
pub struct SealedPiece {
    /// Its number, from 0.
    pub number: u64,
    /// Its bytes.
    pub sealed: Vec<u8>,
}

impl SealedPieces {
    /// The text with this name, in pieces of this length, after so many that are sealed already.
    pub fn new(seal: Seal, name: &str, length: usize, sealed: u64) -> SealedPieces {
        SealedPieces {
            seal,
            name: name.to_owned(),
            length,
            buffer: Vec::with_capacity(length),
            next: sealed,
        }
    }

    /// Seals with the key of the pieces what is none of them.
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// Takes bytes until a piece is full. Returns those that are left, and the piece if it became full.
    ///
    /// # Errors
    /// As [`Seal::seal`].
    pub fn take<'b>(&mut self, bytes: &'b [u8]) -> Result<(&'b [u8], Option<SealedPiece>), Failure> {
        let (now, later) = bytes.split_at(bytes.len().min(self.length - self.buffer.len()));
        self.buffer.extend_from_slice(now);
        match self.buffer.len() == self.length {
            true => Ok((later, self.rest()?)),
            false => Ok((later, None)),
        }
    }

    /// The last piece, if there is one that is not full.
    ///
    /// # Errors
    /// As [`Seal::seal`].
    pub fn rest(&mut self) -> Result<Option<SealedPiece>, Failure> {
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let number = self.next;
        let sealed = self.seal.seal(&format!("{}/{number}", self.name), &self.buffer)?;
        self.buffer.clear();
        self.next += 1;
        Ok(Some(SealedPiece { number, sealed }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::base64url;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_that_cannot_be_made_is_named_with_its_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let (taken, dangling) = (folder.path().join("taken"), folder.path().join("dangling"));
        fs::write(&taken, "").expect("a file where a folder should be");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &dangling).expect("a link that leads nowhere");
        for path in [taken.join(KEYS_FILE), dangling.join(KEYS_FILE)] {
            let failure = Vault::open(&path).expect_err("refused");
            assert_eq!(failure.fault(), Fault::SealKeys);
            assert!(
                failure.remedy_text().contains(&path.display().to_string()),
                "{failure:?}"
            );
        }
    }

    #[test]
    fn the_file_of_keys_is_made_once_and_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().join("made");
        let path = home.join(KEYS_FILE);
        let vault = Vault::open(&path).expect("made");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        let again = Vault::open(&path).expect("read");
        assert_eq!(vault.current(), again.current());
        assert_eq!(
            fs::read_dir(&home).expect("a folder").count(),
            1,
            "nothing else is left"
        );
        let sealed = vault
            .seal_of(vault.current(), "e1")
            .expect("a seal")
            .seal("1/2", b"text")
            .expect("sealed");
        let seal = again.seal_of(vault.current(), "e1").expect("a seal");
        assert_eq!(seal.open("1/2", &sealed).expect("opens"), b"text");
        for (key, exchange, place) in [("1/3", "e1", "1/3"), ("", "e2", "1/2")] {
            let other = again.seal_of(vault.current(), exchange).expect("a seal");
            assert_eq!(other.open(place, &sealed).expect_err(key).fault(), Fault::SealBroken);
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
        assert_eq!(Vault::open(&path).expect_err("refused").fault(), Fault::SealKeys);
    }

    #[test]
    fn an_older_key_opens_what_it_sealed_and_the_last_one_seals() {
        let line = |id: &str, byte: u8| format!("{id} {}\n", base64url(&[byte; 32]));
        let old = Vault::parse(&line("a", 1)).expect("keys");
        let sealed = old.seal_of("a", "e").expect("a seal").seal("p", b"x").expect("sealed");
        let both = Vault::parse(&(line("a", 1) + &line("b", 2))).expect("keys");
        assert_eq!(both.current(), "b");
        assert_eq!(
            both.seal_of("a", "e")
                .expect("a seal")
                .open("p", &sealed)
                .expect("opens"),
            b"x"
        );
        assert_eq!(old.seal_of("b", "e").expect_err("no key").fault(), Fault::SealKeys);
        for wrong in ["", "a", "a b", &(line("a", 1) + &line("a", 2))] {
            assert!(Vault::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn pieces_are_sealed_for_their_places_however_the_bytes_come() {
        let seal = Seal([7; 32]);
        let text: Vec<u8> = (0..23).collect();
        for step in [1, 3, 10, 23] {
            let mut pieces = SealedPieces::new(seal.clone(), "body", 10, 5);
            let mut all = Vec::new();
            for some in text.chunks(step) {
                let mut left = some;
                while !left.is_empty() {
                    let (later, piece) = pieces.take(left).expect("sealed");
                    all.extend(piece);
                    left = later;
                }
            }
            all.extend(pieces.rest().expect("sealed"));
            assert_eq!(pieces.rest().expect("sealed"), None);
            let numbers: Vec<u64> = all.iter().map(|piece| piece.number).collect();
            assert_eq!(numbers, [5, 6, 7], "{step}");
            let opened = all
                .iter()
                .map(|piece| seal.open(&format!("body/{}", piece.number), &piece.sealed));
            let opened: Vec<u8> = opened.flat_map(|piece| piece.expect("opened")).collect();
            assert_eq!(opened, text, "{step}");
        }
    }
}
