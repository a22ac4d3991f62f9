//! The bounded queue between logging and the thread that writes: adding a line never waits for the file, pipe or terminal.
//!
//! A line that can wait is written together with those of the next [`GATHER`], so that a busy server does not wake the thread for each line.
//!
//! When the queue is full, the line is dropped and counted. On a full disk, the thread keeps the lines and tries again; when the reader of
//! a pipe has gone, the queued lines are lost. When lines can be written again, `on_lost` is called with the number of lost lines.

use super::{metrics as families, signs};
use crate::clock::Clock;
use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most lines that may wait.
pub(super) const LINES: usize = 8_192;
/// Most bytes that may wait.
pub(super) const BYTES: usize = 8 * 1024 * 1024;
/// Time before a failed write is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// An empty buffer with a capacity above this many bytes is freed.
const KEPT_BYTES: usize = 64 * 1024;

/// How long a line that can wait is kept, for others to be written with it.
const GATHER: Duration = Duration::from_millis(10);

/// When a line must be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// At once.
    Now,
    /// Within [`GATHER`].
    Soon,
}

/// Called by the writing thread with the number of lines that were lost before the ones that were just written.
pub(super) type OnLost = fn(u64);

/// A queue and its writing thread. Clones share it.
#[derive(Clone)]
pub(super) struct LogQueue(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Notified when the thread has something to do that it does not know of yet, and when it has written all lines.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The waiting lines, one after the other.
    waiting: Vec<u8>,
    lines: usize,
    /// Lines that were dropped since the last successful write.
    lost: u64,
    /// The file to use from now on.
    next: Option<File>,
    /// Whether the thread has taken lines and is still writing them.
    writing: bool,
    /// Whether the thread sleeps until it is notified.
    idle: bool,
    /// Whether the waiting lines must be written at once.
    urgent: bool,
}

impl LogQueue {
    /// Starts a thread that writes to `file`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(file: File, on_lost: OnLost) -> io::Result<LogQueue> {
        let queue = LogQueue(Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
        }));
        let mine = queue.clone();
        std::thread::Builder::new()
            .name("log".into())
            .spawn(move || mine.write_loop(file, on_lost))?;
        Ok(queue)
    }

    /// Adds a line, or drops and counts it. Never waits for the output.
    pub(super) fn put(&self, line: &[u8], urgency: Urgency) {
        let mut state = self.state();
        if state.lines >= LINES || state.waiting.len() + line.len() > BYTES {
            state.lost += 1;
            drop(state);
            dropped(1);
            return;
        }
        state.waiting.extend_from_slice(line);
        state.lines += 1;
        let is_urgent = urgency == Urgency::Now || state.lines >= LINES / 2 || state.waiting.len() >= BYTES / 2;
        let wakes = std::mem::take(&mut state.idle) || (is_urgent && !state.urgent);
        state.urgent |= is_urgent;
        drop(state);
        if wakes {
            self.0.changed.notify_all();
        }
    }

    /// Makes the thread write its next lines to `file`.
    pub(super) fn replace(&self, file: File) {
        self.state().next = Some(file);
        self.0.changed.notify_all();
    }

    /// Waits until all lines are written, at most for `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let mut state = self.state();
        state.urgent = true;
        self.0.changed.notify_all();
        while state.lines > 0 || state.writing {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.wait(state, left);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>, limit: Duration) -> MutexGuard<'s, State> {
        let waited = self.0.changed.wait_timeout(state, limit);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for lines that can be written together with those that wait.
    fn gather<'s>(&self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        let until = Instant::now() + GATHER;
        while !state.urgent && state.next.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wait(state, left);
        }
        state.urgent = false;
        state
    }

    fn write_loop(&self, mut file: File, on_lost: OnLost) {
        let mut batch = Batch::default();
        loop {
            let lost = {
                let mut state = self.state();
                while state.lines == 0 && state.next.is_none() && batch.is_empty() {
                    state.writing = false;
                    state.urgent = false;
                    state.idle = true;
                    self.0.changed.notify_all();
                    state = self.wait(state, Duration::from_secs(3600));
                }
                state.idle = false;
                if batch.is_empty() {
                    state = self.gather(state);
                }
                if let Some(next) = state.next.take() {
                    file = next;
                    batch.is_mid_line = false;
                }
                if batch.is_empty() {
                    batch.take(&mut state);
                }
                state.writing = true;
                state.lost
            };
            match batch.write(&mut file) {
                Ok(()) if lost > 0 => {
                    self.state().lost -= lost;
                    on_lost(lost);
                }
                Ok(()) => {}
                Err(error) if comes_back(&error) => {
                    // The batch is kept, and further lines queue up behind it. A replaced file is used at once.
                    let state = self.state();
                    if state.next.is_none() {
                        drop(self.wait(state, AGAIN));
                    }
                }
                Err(_) => {
                    let lines = batch.give_up();
                    self.state().lost += lines;
                    dropped(lines);
                }
            }
        }
    }
}

/// Whether the same write may succeed later: on a full disk, or on a descriptor that is not ready.
fn comes_back(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::WouldBlock
    )
}

fn dropped(lines: u64) {
    metrics::counter!(families::LOG_DROPPED).increment(lines);
    signs::LOG_LOST.add(Clock::System.now_ms(), lines);
}

/// The lines that the thread is writing.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    written: usize,
    /// Whether only a part of a line was written.
    is_mid_line: bool,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.written >= self.bytes.len()
    }

    fn take(&mut self, state: &mut State) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.written = 0;
        std::mem::swap(&mut self.bytes, &mut state.waiting);
        state.lines = 0;
    }

    /// Writes the rest of the batch.
    fn write(&mut self, file: &mut File) -> io::Result<()> {
        if self.is_mid_line && self.written == 0 {
            file.write_all(b"\n")?;
            self.is_mid_line = false;
        }
        while !self.is_empty() {
            match file.write(&self.bytes[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::StorageFull.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Drops the rest of the batch and returns how many lines that is.
    fn give_up(&mut self) -> u64 {
        let left = &self.bytes[self.written..];
        let lines = left.iter().filter(|byte| **byte == b'\n').count();
        self.is_mid_line |= self.written > 0 && self.bytes[self.written - 1] != b'\n';
        self.written = self.bytes.len();
        lines as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn full() -> File {
        File::options().write(true).open("/dev/full").expect("a device")
    }

    #[test]
    fn lines_of_a_full_disk_wait_and_get_through_when_there_is_room() {
        static LOST: AtomicU64 = AtomicU64::new(0);
        let queue = LogQueue::start(full(), |lines| {
            LOST.fetch_add(lines, Ordering::SeqCst);
        })
        .expect("a thread");
        let begun = Instant::now();
        let count = LINES as u64 + 100_000;
        for number in 0..count {
            queue.put(format!("line {number}\n").as_bytes(), Urgency::Soon);
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "putting lines in waited");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        queue.replace(File::options().create(true).append(true).open(&path).expect("a file"));
        queue.flush(Duration::from_secs(120));
        let text = std::fs::read_to_string(&path).expect("text");
        let got = text.lines().count() as u64;
        assert!(text.starts_with("line 0\n") && got >= LINES as u64, "{got} lines");
        // The count is reported after the write for which the flush waited.
        for _ in 0..6_000 {
            if LOST.load(Ordering::SeqCst) + got == count {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!(
            "{got} lines got through, {} were told lost, of {count}",
            LOST.load(Ordering::SeqCst)
        );
    }

    #[test]
    fn a_pipe_that_nobody_reads_keeps_nobody_waiting_and_holds_bounded_memory() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let queue = LogQueue::start(File::from(std::os::fd::OwnedFd::from(writer)), |_| ()).expect("a thread");
        let line = [vec![b'x'; 1023], b"\n".to_vec()].concat();
        let begun = Instant::now();
        for _ in 0..40_000 {
            queue.put(&line, Urgency::Soon);
        }
        queue.flush(Duration::from_millis(50));
        assert!(begun.elapsed() < Duration::from_secs(120));
        {
            let state = queue.state();
            assert!(state.lines <= LINES && state.waiting.len() <= BYTES && state.lost >= 20_000);
        }
        // When the reader continues, it gets whole lines.
        let mut some = vec![0; 64 * 1024];
        reader.read_exact(&mut some).expect("bytes");
        assert!(some.chunks(1024).all(|chunk| chunk == line));
    }

    #[test]
    fn lines_for_a_reader_that_has_gone_are_dropped_and_counted() {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let queue = LogQueue::start(File::from(std::os::fd::OwnedFd::from(writer)), |_| ()).expect("a thread");
        queue.put(b"one\n", Urgency::Now);
        queue.flush(Duration::from_secs(120));
        queue.put(b"two\nthree\n", Urgency::Soon);
        queue.flush(Duration::from_secs(120));
        assert_eq!(queue.state().lost, 3);
    }

    #[test]
    fn lines_that_can_wait_are_written_together_and_one_that_cannot_takes_them_along() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let queue = LogQueue::start(File::from(std::os::fd::OwnedFd::from(writer)), |_| ()).expect("a thread");
        // The first line wakes the thread; the next ones find it waiting for more.
        queue.put(b"one\n", Urgency::Soon);
        for _ in 0..20 {
            queue.put(b"two\n", Urgency::Soon);
        }
        queue.put(b"end\n", Urgency::Now);
        let begun = Instant::now();
        let mut got = vec![0; 88];
        reader.read_exact(&mut got).expect("bytes");
        assert!(got.starts_with(b"one\ntwo\n") && got.ends_with(b"two\nend\n"));
        assert!(begun.elapsed() < Duration::from_secs(60));
        // Without another line it is written, too.
        queue.put(b"last\n", Urgency::Soon);
        let mut got = vec![0; 5];
        reader.read_exact(&mut got).expect("bytes");
        assert_eq!(got, b"last\n");
    }

    #[test]
    fn what_is_left_of_a_broken_line_is_not_glued_to_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let mut batch = Batch {
            bytes: b"whole\nbroken\nlost\n".to_vec(),
            written: 9,
            is_mid_line: false,
        };
        assert_eq!(batch.give_up(), 2);
        let mut state = State {
            waiting: b"next\n".to_vec(),
            lines: 1,
            ..State::default()
        };
        batch.take(&mut state);
        let mut file = File::options().create(true).append(true).open(&path).expect("a file");
        batch.write(&mut file).expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "\nnext\n");
    }
}
