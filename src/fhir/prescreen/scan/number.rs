//! JSON numbers, limited so that no reader of them overflows.

use super::{Scan, Scanner};
use crate::error::Fault;

/// Longest number that is accepted. FHIR decimals have at most 18 digits, but other systems send more.
const NUMBER_BYTES_MAX: usize = 64;
/// Largest exponent of a number, so that no reader overflows.
const EXPONENT_MAX: u32 = 300;

impl Scanner<'_> {
    /// Reads a number.
    pub(super) fn number(&mut self) -> Scan<()> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(Fault::NotJson),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            let from = self.at;
            self.digits()?;
            let power = self.bytes[from..self.at]
                .iter()
                .fold(0u32, |sum, b| (sum * 10 + u32::from(b - b'0')).min(10_000));
            if power > EXPONENT_MAX {
                return Err(Fault::ResourceInvalid);
            }
        }
        if self.at - start > NUMBER_BYTES_MAX {
            Err(Fault::ResourceInvalid)
        } else {
            Ok(())
        }
    }

    fn digits(&mut self) -> Scan<()> {
        let count = self.bytes[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(Fault::NotJson) } else { Ok(()) }
    }
}
