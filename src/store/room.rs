//! Free space on the disk of a SQLite store: how much is left, what may still be written, and the reserve for ledger entries.
//!
//! The writing thread looks once a second. It never waits for space and never ends the process: when there is too little, writes fail with
//! [`Fault::NoRoom`] until space is freed. The disk of a PostgreSQL server is not visible here.

use super::connection::Db;
use super::work::StoreCounts;
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
/// The reserve takes at most the disk's size divided by this, so that it does not fill a small disk.
const RESERVE_PART: u64 = 20;
/// Free bytes that SQLite needs to open a store: for its shared memory file and pages of the write-ahead log.
const OPEN_BYTES: u64 = 4 * 1024 * 1024;

/// With this many free bytes, ledger entries are expected to fit again; less on a small disk.
const WRITE_BYTES: u64 = 1024 * 1024;

/// A limit of free space: the smaller of a share of the disk and a number of bytes. Zero means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Least {
    /// Percent of the disk.
    pub percent: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Least {
    fn of(self, total: u64) -> u64 {
        (total / 100 * self.percent).min(self.bytes)
    }
}

/// How much space must stay free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomLimits {
    /// Below this, no export is begun.
    pub exports: Least,
    /// Below this, only ledger entries and revocations are written.
    pub writes: Least,
    /// Size of the reserve for those, in bytes; 0 means none.
    pub reserve_bytes: u64,
}

impl RoomLimits {
    /// No limit and no reserve: writes fail only when the disk itself is full.
    pub const NONE: RoomLimits = RoomLimits {
        exports: Least { percent: 0, bytes: 0 },
        writes: Least { percent: 0, bytes: 0 },
        reserve_bytes: 0,
    };
}

/// What the free space allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskRoom {
    /// Everything.
    Ample,
    /// Everything but exports.
    NoExports,
    /// Only ledger entries of disclosures, refusals and views, tokens, and revocations.
    NoWrites,
}

impl DiskRoom {
    const ALL: [DiskRoom; 3] = [DiskRoom::Ample, DiskRoom::NoExports, DiskRoom::NoWrites];

    fn word(self) -> &'static str {
        match self {
            DiskRoom::Ample => "ample",
            DiskRoom::NoExports => "no-exports",
            DiskRoom::NoWrites => "no-writes",
        }
    }

    /// Returns what `spare` free bytes of a disk of `total` bytes allow. Once writes are refused, a little more than the limit must be free
    /// before they are allowed again, so that the state does not flip with every page.
    fn of(spare: u64, total: u64, limits: &RoomLimits, before: DiskRoom) -> DiskRoom {
        let writes = limits.writes.of(total);
        let margin = if before == DiskRoom::NoWrites { writes / 16 } else { 0 };
        if spare < writes + margin {
            DiskRoom::NoWrites
        } else if spare < limits.exports.of(total) {
            DiskRoom::NoExports
        } else {
            DiskRoom::Ample
        }
    }
}

/// The disk of one store. Shared by the writer and by those who ask for its state.
pub(super) struct Disk {
    folder: PathBuf,
    reserve: PathBuf,
    limits: RoomLimits,
    room: AtomicU8,
    free: AtomicU64,
    /// Bytes that the reserve takes at present.
    held: AtomicU64,
    /// A ledger entry found no room, and no space was freed since.
    full: AtomicBool,
}

impl Disk {
    /// Watches the disk of the store at `path`. When there is not even space to open the store, the reserve is released for that.
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

    /// Returns what the free space allowed at the last look.
    pub(super) fn room(&self) -> DiskRoom {
        DiskRoom::ALL[usize::from(self.room.load(Ordering::Acquire)) % DiskRoom::ALL.len()]
    }

    /// Returns the free bytes at the last look.
    pub(super) fn free(&self) -> Option<u64> {
        Some(self.free.load(Ordering::Acquire)).filter(|free| *free != u64::MAX)
    }

    /// Whether the last ledger entry found no room.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Records that a ledger entry found no room.
    pub(super) fn set_full(&self) {
        if !self.full.swap(true, Ordering::AcqRel) {
            tracing::error!(folder = %self.folder.display(), "the disk is full: not even ledger entries can be written");
        }
    }

    /// Returns the free and the total bytes of the disk; `None` when the system does not say.
    fn space(&self) -> Option<(u64, u64)> {
        let said = rustix::fs::statvfs(&self.folder).ok()?;
        let total = said.f_blocks.saturating_mul(said.f_frsize);
        (total > 0).then(|| (said.f_bavail.saturating_mul(said.f_frsize), total))
    }

    /// Looks at the disk: updates the state, releases the reserve when ledger entries need it, and makes it again when there is space.
    pub(super) fn look(&self) {
        let Some((mut free, total)) = self.space() else { return };
        let wanted = self.limits.reserve_bytes.min(total / RESERVE_PART);
        if self.held.load(Ordering::Acquire) > 0 && free < wanted / 4 {
            free += self.release();
        }
        let missing = wanted.saturating_sub(self.held.load(Ordering::Acquire));
        // Space that the reserve takes, or will take again, is not available to others.
        let spare = free.saturating_sub(missing);
        let before = self.room();
        let now = DiskRoom::of(spare, total, &self.limits, before);
        self.free.store(free, Ordering::Release);
        if now != before {
            self.room.store(now as u8, Ordering::Release);
            tracing::warn!(room = now.word(), free, total, folder = %self.folder.display(), "room on the disk of the store");
        }
        if missing > 0 && now < DiskRoom::NoWrites && free > missing {
            self.make(wanted);
        }
        if free >= WRITE_BYTES.min(total / 64) {
            self.full.store(false, Ordering::Release);
        }
    }

    /// Releases the reserve. Returns how many bytes that frees.
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
                // No file is better than one that only seems to reserve space.
                let _ = std::fs::remove_file(&self.reserve);
                self.held.store(0, Ordering::Release);
                tracing::debug!(cause = %error, "the reserve for ledger entries cannot be made");
            }
        }
    }

    /// Returns a failure that explains why a store cannot be opened, when lack of space is the reason.
    pub(super) fn blamed_for(&self, cause: &str) -> Option<Failure> {
        let short = self.space().is_some_and(|(free, _)| free < OPEN_BYTES);
        let is_room = says_no_room(cause) || (short && cause.contains("disk I/O error"));
        is_room.then(|| {
            Failure::new(Fault::NoRoom)
                .remedy(format!(
                    "Free at least {} MiB on the disk of {}, then start again.",
                    OPEN_BYTES / (1024 * 1024),
                    self.folder.display()
                ))
                .because(cause.to_owned())
        })
    }
}

/// Makes a file that really occupies `bytes` on the disk.
fn allocate(path: &Path, bytes: u64) -> std::io::Result<()> {
    let mut file: File = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => {}
        // On a file system without fallocate, write bytes instead.
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

/// Whether a database error says that there is no space: SQLite's errors, and those of PostgreSQL with SQLSTATE 53100, 53200 and 53400.
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

/// Sets `saw` whenever SQLite reports on this connection that it has no space. The error itself may not reach the caller: when SQLite has
/// rolled the transaction back, a nested one reports a missing savepoint instead.
///
/// While `saw` is set, only rollbacks run: SQLite may have ended the transaction, and a further statement
/// would commit by itself. Any other statement unwinds its thread.
pub(super) fn watch(db: &mut Db, saw: Arc<AtomicBool>, work: Arc<StoreCounts>) {
    db.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        work.note(&event);
        heed(&event, &saw);
    });
}

fn heed(event: &InstrumentationEvent<'_>, saw: &AtomicBool) {
    match event {
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
    }
}

/// When the disk is looked at again.
pub(super) struct NextLook(Option<Instant>);

impl NextLook {
    /// Due at once.
    pub(super) fn now() -> NextLook {
        NextLook(None)
    }

    /// Looks at the disk when it is time.
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
            (40 * GIB, 500 * GIB, DiskRoom::Ample),
            (4 * GIB - 1, 500 * GIB, DiskRoom::NoExports),
            (GIB - 1, 500 * GIB, DiskRoom::NoWrites),
            (2 * GIB, 16 * GIB, DiskRoom::Ample),
            (GIB, 16 * GIB, DiskRoom::NoExports),
            (700 * MIB, 16 * GIB, DiskRoom::NoWrites),
            (6 * MIB, 48 * MIB, DiskRoom::Ample),
            (MIB, 48 * MIB, DiskRoom::NoWrites),
        ] {
            assert_eq!(
                DiskRoom::of(free, total, &LIMITS, DiskRoom::Ample),
                room,
                "{free} of {total}"
            );
        }
        assert_eq!(
            DiskRoom::of(0, GIB, &RoomLimits::NONE, DiskRoom::NoWrites),
            DiskRoom::Ample
        );
        // Writes are allowed again only with a little more space than the limit at which they were refused.
        assert_eq!(
            DiskRoom::of(GIB + MIB, 500 * GIB, &LIMITS, DiskRoom::NoWrites),
            DiskRoom::NoWrites
        );
        assert_eq!(
            DiskRoom::of(GIB + 64 * MIB, 500 * GIB, &LIMITS, DiskRoom::NoWrites),
            DiskRoom::NoExports
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
        assert_eq!(
            (disk.room(), disk.release(), disk.release()),
            (DiskRoom::Ample, 3 * MIB, 0)
        );
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
