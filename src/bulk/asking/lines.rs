//! Counts what comes of the files of an export, against what may come in all. Pure.

use crate::error::{Failure, Fault};
use crate::records::ingest::LINE_BYTES;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much may still come in all.
#[derive(Clone)]
pub(super) struct LeftOfRun {
    pub bytes: Arc<AtomicU64>,
    pub lines: Arc<AtomicU64>,
}

impl LeftOfRun {
    pub fn take(of: &AtomicU64, count: u64) -> Result<(), Failure> {
        let taken = of.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(count));
        taken.map(drop).map_err(|_| Fault::PartnerTooMuch.into())
    }
}

/// Counts lines as they come.
#[derive(Default)]
pub(super) struct CountedLines {
    pub count: u64,
    /// Bytes of the line that has not ended.
    open: usize,
    /// Whether that line has anything but blanks.
    has_text: bool,
}

impl CountedLines {
    /// Adds bytes. Returns how many lines ended.
    pub fn add(&mut self, bytes: &[u8]) -> Result<u64, Failure> {
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
    pub fn end(&mut self) -> u64 {
        let is_line = u64::from(self.has_text);
        self.count += is_line;
        (self.open, self.has_text) = (0, false);
        is_line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_they_come_and_an_endless_one_is_refused() {
        let mut lines = CountedLines::default();
        for piece in ["{}\n{", "}\n", "\n \n", "{}"] {
            lines.add(piece.as_bytes()).expect("short");
        }
        assert_eq!(lines.end(), 1);
        assert_eq!(lines.count, 3);
        let piece = vec![b'x'; 1 << 20];
        let mut lines = CountedLines::default();
        let refused = (0..64).find_map(|_| lines.add(&piece).err()).expect("too long");
        assert_eq!(refused.fault(), Fault::PartnerTooMuch);
        let left = AtomicU64::new(3);
        LeftOfRun::take(&left, 3).expect("fits");
        assert_eq!(
            LeftOfRun::take(&left, 1).expect_err("too many").fault(),
            Fault::PartnerTooMuch
        );
    }
}
