//! The files of a witness: its key, its public key with its name, and the last checkpoint that it confirmed of each log.
//!
//! The folder has mode 0700 and the files have mode 0600. One process at a time has the folder. A checkpoint is on the disk before its
//! cosignature leaves.

use crate::audit::cosignature::WitnessKey;
use crate::audit::whole_file;
use crate::error::{Failure, Fault};
use crate::secret::ed25519::Ed25519Key;
use crate::secret::{hex, sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

const KEY: &str = "witness.key";
const PUBLIC: &str = "witness.pub";
/// The public key of the key that was lost.
const PUBLIC_LOST: &str = "witness.pub.lost";
const LOCK: &str = "witness.lock";

/// The folder of a witness. While this value lives, no other process can use the folder.
#[derive(Debug)]
pub struct WitnessFiles {
    folder: PathBuf,
    _lock: File,
}

fn unusable(path: &Path, error: std::io::Error) -> Failure {
    whole_file::unusable(path, error, Fault::WitnessFiles)
}

/// Reads a file of the folder; none when it is not there.
fn read(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(path, error)),
    }
}

/// Writes a file; it is on the disk when this returns, and is never seen half.
fn write(folder: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let path = folder.join(name);
    whole_file::replace(&path, text, &|_| ()).map_err(|error| unusable(&path, error))
}

fn name_of(origin: &str) -> String {
    format!("{}.checkpoint", hex(&sha256(origin.as_bytes())))
}

/// How a witness starts.
#[derive(Clone, Copy, Debug, Default)]
pub struct WitnessStart<'n> {
    /// Its name, at the first start.
    pub name: Option<&'n str>,
    /// Whether it gets a new key when the one that it had is lost.
    pub new_key: bool,
}

/// The public key of the witness in this folder; needs no lock.
///
/// # Errors
/// [`Fault::WitnessFiles`] when there is none, or it does not read.
pub fn public_key(folder: &Path) -> Result<WitnessKey, Failure> {
    let path = folder.join(PUBLIC);
    let text = read(&path)?;
    text.and_then(|text| WitnessKey::parse(&text)).ok_or_else(|| {
        Failure::new(Fault::WitnessFiles)
            .at(path.display().to_string())
            .remedy("Name the folder of a witness that was started once.")
    })
}

/// The last checkpoint of a log that the witness in this folder confirmed, with its line; needs no lock.
///
/// # Errors
/// [`Fault::WitnessFiles`] when it cannot be read.
pub fn confirmed(folder: &Path, origin: &str) -> Result<Option<String>, Failure> {
    read(&folder.join(name_of(origin)))
}

impl WitnessFiles {
    /// Takes the folder, and makes it if there is none.
    ///
    /// # Errors
    /// [`Fault::StoreBusy`] while another witness has it; [`Fault::WitnessFiles`], [`Fault::NoRoom`].
    pub fn take(folder: &Path) -> Result<WitnessFiles, Failure> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| unusable(folder, error))?;
        let path = folder.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| unusable(&path, error))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            Failure::new(Fault::StoreBusy)
                .at(path.display().to_string())
                .remedy("Another witness runs with this folder: stop it, or name another folder.")
                .because(error)
        })?;
        Ok(WitnessFiles {
            folder: folder.to_path_buf(),
            _lock: lock,
        })
    }

    /// Reads the key, or makes one at the first start, under this name. In a folder of a witness that has lost its key it makes one only when
    /// `start` says so: who trusted the lost key does not trust the new one.
    ///
    /// # Errors
    /// [`Fault::WitnessFiles`] when the files do not belong together, are readable by others, or have another name, and when the key is lost;
    /// [`Fault::ParameterInvalid`] for a new key where none is lost; [`Fault::NoRoom`].
    pub fn key(&self, start: WitnessStart<'_>) -> Result<(Ed25519Key, WitnessKey), Failure> {
        let (path, name) = (self.folder.join(KEY), start.name);
        let Some(pem) = read(&path)? else {
            if self.has_signed()? && !start.new_key {
                return Err(Failure::new(Fault::WitnessFiles).at(path.display().to_string()).remedy(
                    "The key of this witness is gone: put it back. If it is lost, begin with --new-key and --name, and give auditors and payers the new public key.",
                ));
            }
            return self.make(name);
        };
        if start.new_key {
            return Err(Failure::new(Fault::ParameterInvalid)
                .at("--new-key")
                .remedy("The key of this witness is there: leave --new-key out."));
        }
        let wrong = |remedy: &str| {
            Failure::new(Fault::WitnessFiles)
                .at(path.display().to_string())
                .remedy(remedy.to_owned())
        };
        let about = fs::metadata(&path).map_err(|error| unusable(&path, error))?;
        if about.mode() & 0o077 != 0 {
            return Err(wrong(
                "Set its mode to 0600: only the user of the witness may read its key.",
            ));
        }
        let public = public_key(&self.folder)?;
        let signing = Ed25519Key::from_pem(&pem).filter(|signing| signing.public() == public.public);
        let signing = signing.ok_or_else(|| wrong("Put the key of this witness back; its public key is beside it."))?;
        match name {
            Some(name) if name != public.name => Err(wrong(
                "The witness in this folder has another name: leave --name out, or name another folder.",
            )),
            _ => Ok((signing, public)),
        }
    }

    /// Whether a witness had this folder: its public key is there, or a checkpoint that it confirmed.
    fn has_signed(&self) -> Result<bool, Failure> {
        let names = fs::read_dir(&self.folder).map_err(|error| unusable(&self.folder, error))?;
        for entry in names {
            let name = entry.map_err(|error| unusable(&self.folder, error))?.file_name();
            let name = name.to_string_lossy();
            if name == PUBLIC || name.ends_with(".checkpoint") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn make(&self, name: Option<&str>) -> Result<(Ed25519Key, WitnessKey), Failure> {
        let name = name.unwrap_or_default();
        let is_name = !name.is_empty() && !name.contains(|letter: char| letter.is_whitespace() || letter == '+');
        if !is_name || name.chars().any(char::is_control) {
            return Err(Failure::new(Fault::ParameterInvalid)
                .at("--name")
                .remedy("Give the new witness a name without spaces and without +, such as witness.example/w1."));
        }
        let (signing, pem) =
            Ed25519Key::make().ok_or_else(|| Failure::new(Fault::Internal).because("no key was made"))?;
        let public = WitnessKey {
            name: name.to_owned(),
            public: signing.public(),
        };
        let path = self.folder.join(PUBLIC);
        if let Some(lost) = read(&path)? {
            // What the lost key has signed can still be verified.
            write(&self.folder, PUBLIC_LOST, &lost)?;
        }
        // The public key first: a key without it could not be used.
        write(&self.folder, PUBLIC, &format!("{}\n", public.text()))?;
        write(&self.folder, KEY, &pem)?;
        Ok((signing, public))
    }

    /// The last checkpoint of a log that was confirmed.
    ///
    /// # Errors
    /// [`Fault::WitnessFiles`].
    pub fn confirmed(&self, origin: &str) -> Result<Option<String>, Failure> {
        confirmed(&self.folder, origin)
    }

    /// Writes the last checkpoint of a log that is confirmed; it is on the disk when this returns.
    ///
    /// # Errors
    /// [`Fault::WitnessFiles`], [`Fault::NoRoom`].
    pub fn keep(&self, origin: &str, note: &str) -> Result<(), Failure> {
        write(&self.folder, &name_of(origin), note)
    }
}
