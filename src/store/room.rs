//! Room on the disk of a SQLite store: how much is free, what is still taken, and the reserve kept for ledger entries.
//!
//! The writing thread looks once a second. It never waits for room and never ends the process: when there is too little, writes are
//! answered with [`Fault::NoRoom`], and they come back by themselves. PostgreSQL's disk is not ours to look at.

use super::db::Db;
use crate::error::{Failure, Fault};
use diesel::connection::{Connection, InstrumentationEvent};
use diesel::result::Error;
use rustix::fs::FallocateFlags;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time between two looks at the disk.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// The reserve is at most this part of the disk, so that a small one is not filled by it.
const RESERVE_PART: u64 = 20;
/// Free bytes that SQLite needs to open a store: its shared memory, and pages of the write-ahead log.
const OPEN_BYTES: u64 = 4 * 1024 * 1024;

/// Free bytes with which ledger entries are expected to find room again, unless the disk is small.
const WRITE_BYTES: u64 = 1024 * 1024;

/// A limit of free space: the smaller of a part of the disk and a number of bytes. With 0 there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Least {
    /// Hundredths of the disk.
    pub percent: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Least {
    fn of(self, total: u64) -> u64 {
        (total / 100 * self.percent).min(self.bytes)
    }
}

/// How much room is left free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomLimits {
    /// Below it no export is begun.
    pub exports: Least,
    /// Below it nothing is written but ledger entries and the end of rights.
    pub writes: Least,
    /// Bytes of the reserve for those; 0: none is kept.
    pub reserve_bytes: u64,
}

impl RoomLimits {
    /// No limit and no reserve: writes are refused when the disk refuses them.
    pub const NONE: RoomLimits = RoomLimits {
        exports: Least { percent: 0, bytes: 0 },
        writes: Least { percent: 0, bytes: 0 },
        reserve_bytes: 0,
    };
}

/// What there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// All.
    Ample,
    /// All but exports.
    NoExports,
    /// Ledger entries of disclosures, refusals and views, and the end of rights.
    NoWrites,
}

impl Room {
    const ALL: [Room; 3] = [Room::Ample, Room::NoExports, Room::NoWrites];

    fn word(self) -> &'static str {
        match self {
            Room::Ample => "ample",
            Room::NoExports => "no-exports",
            Room::NoWrites => "no-writes",
        }
    }

    /// What `spare` free bytes of a disk of `total` are enough for. Once writes are refused, a little more must be free before they
    /// come back, so that they do not come and go with every page.
    fn of(spare: u64, total: u64, limits: &RoomLimits, before: Room) -> Room {
        let writes = limits.writes.of(total);
        let margin = if before == Room::NoWrites { writes / 16 } else { 0 };
        if spare < writes + margin {
            Room::NoWrites
        } else if spare < limits.exports.of(total) {
            Room::NoExports
        } else {
            Room::Ample
        }
    }
}

/// The disk of one store. Shared by whoever writes and whoever asks.
pub(super) struct Disk {
    folder: PathBuf,
    reserve: PathBuf,
    limits: RoomLimits,
    room: AtomicU8,
    free: AtomicU64,
    /// Bytes that the reserve takes now.
    held: AtomicU64,
    /// A ledger entry found no room, and none was freed since.
    full: AtomicBool,
}

impl Disk {
    /// The disk of the store at `path`. When there is not even room to open the store, the reserve is given up for it.
    pub(super) fn of(path: &Path, limits: RoomLimits) -> Disk {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let reserve = path.with_extension("reserve");
        let held = std::fs::metadata(&reserve).map_or(0, |meta| meta.len());
        let disk = Disk {
            folder: folder.unwrap_or(Path::new(".")).to_path_buf(),
            reserve,
            limits,
            room: AtomicU8::new(0),
            free: AtomicU64::new(u64::MAX),
            held: AtomicU64::new(held),
            full: AtomicBool::new(false),
        };
        if disk.space().is_some_and(|(free, _)| free < OPEN_BYTES) {
            disk.release();
        }
        disk
    }

    /// What there is room for, as of the last look.
    pub(super) fn room(&self) -> Room {
        Room::ALL[usize::from(self.room.load(Ordering::Acquire)) % Room::ALL.len()]
    }

    /// Free bytes as of the last look.
    pub(super) fn free(&self) -> Option<u64> {
        Some(self.free.load(Ordering::Acquire)).filter(|free| *free != u64::MAX)
    }

    /// Whether the last ledger entry that was to be written found no room.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Notes that a ledger entry found no room.
    pub(super) fn set_full(&self) {
        if !self.full.swap(true, Ordering::AcqRel) {
            tracing::error!(folder = %self.folder.display(), "the disk is full: not even ledger entries can be written");
        }
    }

    /// Free and all bytes of the disk; `None` when it does not say.
    fn space(&self) -> Option<(u64, u64)> {
        let said = rustix::fs::statvfs(&self.folder).ok()?;
        let total = said.f_blocks.saturating_mul(said.f_frsize);
        (total > 0).then(|| (said.f_bavail.saturating_mul(said.f_frsize), total))
    }

    /// Looks at the disk: judges the room, releases the reserve when ledger entries need it, makes it again when there is room.
    pub(super) fn look(&self) {
        let Some((mut free, total)) = self.space() else { return };
        let wanted = self.limits.reserve_bytes.min(total / RESERVE_PART);
        if self.held.load(Ordering::Acquire) > 0 && free < wanted / 4 {
            free += self.release();
        }
        let missing = wanted.saturating_sub(self.held.load(Ordering::Acquire));
        // What the reserve takes, or will take again, is nobody else's.
        let spare = free.saturating_sub(missing);
        let before = self.room();
        let now = Room::of(spare, total, &self.limits, before);
        self.free.store(free, Ordering::Release);
        if now != before {
            self.room.store(now as u8, Ordering::Release);
            tracing::warn!(room = now.word(), free, total, folder = %self.folder.display(), "room on the disk of the store");
        }
        if missing > 0 && now < Room::NoWrites && free > missing {
            self.make(wanted);
        }
        if free >= WRITE_BYTES.min(total / 64) {
            self.full.store(false, Ordering::Release);
        }
    }

    /// Gives the reserve up; how many bytes that frees.
    pub(super) fn release(&self) -> u64 {
        let held = self.held.swap(0, Ordering::AcqRel);
        if held > 0 && std::fs::remove_file(&self.reserve).is_ok() {
            tracing::warn!(bytes = held, "the reserve for ledger entries is given up for them");
            return held;
        }
        0
    }

    fn make(&self, bytes: u64) {
        match allocate(&self.reserve, bytes) {
            Ok(()) => self.held.store(bytes, Ordering::Release),
            Err(error) => {
                // None is better than one that only looks like it.
                let _ = std::fs::remove_file(&self.reserve);
                self.held.store(0, Ordering::Release);
                tracing::debug!(cause = %error, "the reserve for ledger entries cannot be made");
            }
        }
    }

    /// Why a store cannot be opened, when it is for want of room.
    pub(super) fn blamed_for(&self, cause: &str) -> Option<Failure> {
        let short = self.space().is_some_and(|(free, _)| free < OPEN_BYTES);
        let is_room = says_no_room(cause) || (short && cause.contains("disk I/O error"));
        is_room.then(|| {
            Failure::new(Fault::NoRoom)
                .remedy(format!(
                    "Free {} MiB at least on the disk of {}, then start again.",
                    OPEN_BYTES / (1024 * 1024),
                    self.folder.display()
                ))
                .because(cause.to_owned())
        })
    }
}

/// Makes a file that really takes `bytes`.
fn allocate(path: &Path, bytes: u64) -> std::io::Result<()> {
    let mut file: File = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => {}
        // A file system that cannot promise room is given bytes.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            let piece = vec![0; 1024 * 1024];
            let mut left = bytes;
            while left > 0 {
                let count = left.min(piece.len() as u64);
                file.write_all(&piece[..usize::try_from(count).unwrap_or(piece.len())])?;
                left -= count;
            }
        }
        Err(error) => return Err(error.into()),
    }
    file.sync_all()
}

/// Whether a database says that it has no room: SQLite, and what PostgreSQL says under 53100, 53200 and 53400.
pub(super) fn says_no_room(text: &str) -> bool {
    [
        "database or disk is full",
        "No space left on device",
        "Disk quota exceeded",
        "out of shared memory",
        "temporary file size exceeds",
    ]
    .iter()
    .any(|words| text.contains(words))
}

/// Has `saw` set whenever SQLite says on this connection that it has no room, whatever becomes of that error: rolled back by SQLite
/// itself, a nested transaction reports that its savepoint is gone instead.
///
/// While it is set, nothing runs but rollbacks: SQLite may have ended the transaction, and a statement that followed would commit by
/// itself. Whoever tries one is unwound.
pub(super) fn watch(db: &mut Db, saw: Arc<AtomicBool>) {
    db.set_instrumentation(move |event: InstrumentationEvent<'_>| match event {
        InstrumentationEvent::StartQuery { query, .. }
            if saw.load(Ordering::Acquire) && !query.to_string().starts_with("ROLLBACK") =>
        {
            std::panic::resume_unwind(Box::new("a statement after one that found no room"));
        }
        InstrumentationEvent::FinishQuery {
            error: Some(Error::DatabaseError(_, said)),
            ..
        } if says_no_room(said.message()) => saw.store(true, Ordering::Release),
        _ => {}
    });
}

/// When the disk is to be looked at again.
pub(super) struct Due(Option<Instant>);

impl Due {
    /// At once.
    pub(super) fn now() -> Due {
        Due(None)
    }

    /// Looks when it is time.
    pub(super) fn look(&mut self, disk: &Disk) {
        if self.0.is_none_or(|last| last.elapsed() >= LOOK) {
            self.0 = Some(Instant::now());
            disk.look();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;
    const GIB: u64 = 1024 * MIB;
    const LIMITS: RoomLimits = RoomLimits {
        exports: Least {
            percent: 10,
            bytes: 4 * GIB,
        },
        writes: Least { percent: 5, bytes: GIB },
        reserve_bytes: 64 * MIB,
    };

    #[test]
    fn the_smaller_of_a_part_and_a_number_of_bytes_is_kept_free() {
        for (free, total, room) in [
            (40 * GIB, 500 * GIB, Room::Ample),
            (4 * GIB - 1, 500 * GIB, Room::NoExports),
            (GIB - 1, 500 * GIB, Room::NoWrites),
            (2 * GIB, 16 * GIB, Room::Ample),
            (GIB, 16 * GIB, Room::NoExports),
            (700 * MIB, 16 * GIB, Room::NoWrites),
            (6 * MIB, 48 * MIB, Room::Ample),
            (MIB, 48 * MIB, Room::NoWrites),
        ] {
            assert_eq!(Room::of(free, total, &LIMITS, Room::Ample), room, "{free} of {total}");
        }
        assert_eq!(Room::of(0, GIB, &RoomLimits::NONE, Room::NoWrites), Room::Ample);
        // Back only with a little more than what it went away at.
        assert_eq!(Room::of(GIB + MIB, 500 * GIB, &LIMITS, Room::NoWrites), Room::NoWrites);
        assert_eq!(
            Room::of(GIB + 64 * MIB, 500 * GIB, &LIMITS, Room::NoWrites),
            Room::NoExports
        );
    }

    #[test]
    fn the_reserve_takes_its_room_for_real_and_gives_it_back() {
        use std::os::unix::fs::MetadataExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let disk = Disk::of(
            &path,
            RoomLimits {
                reserve_bytes: 3 * MIB,
                ..RoomLimits::NONE
            },
        );
        disk.look();
        let made = std::fs::metadata(folder.path().join("a.reserve")).expect("a reserve");
        assert_eq!(
            (made.len(), made.blocks() * 512 >= 3 * MIB, made.mode() & 0o777),
            (3 * MIB, true, 0o600)
        );
        assert_eq!((disk.room(), disk.release(), disk.release()), (Room::Ample, 3 * MIB, 0));
        disk.look();
        assert_eq!(Disk::of(&path, RoomLimits::NONE).held.into_inner(), 3 * MIB);
    }

    #[test]
    fn what_databases_say_of_a_full_disk_is_known() {
        for said in [
            "database or disk is full",
            "could not extend file \"base/5/16384\": No space left on device",
            "temporary file size exceeds \"temp_file_limit\" (1kB)",
        ] {
            assert!(says_no_room(said), "{said}");
        }
        assert!(!says_no_room("disk I/O error"));
    }
}
