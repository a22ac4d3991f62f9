//! The policy of error texts: the check of a text. What a text does is in [`crate::error::text_for`]. Without side effects.

use super::keyed::keyed;
use super::kind::TextError;
use crate::error::{ERROR_TEXTS_HEAD, Fault};

/// Bytes that a text may have.
const BYTES_MOST: usize = 300;

/// The texts that ship: none.
pub fn no_error_texts() -> String {
    format!("{ERROR_TEXTS_HEAD}\n")
}

/// Checks texts and returns their canonical form: by the order of the table of faults.
///
/// # Errors
/// The first line whose code is none that partners are answered with, or whose text is long or no sentence on one line.
pub fn check_error_texts(text: &str) -> Result<String, TextError> {
    let rows = keyed(text, ERROR_TEXTS_HEAD)?;
    for row in &rows {
        let known = Fault::ALL.iter().find(|fault| fault.code() == row.key);
        if !known.is_some_and(|fault| fault.is_for_partners()) {
            return Err(TextError::at(
                row.line,
                "partners are answered with no fault of this code",
            ));
        }
        if row.value.len() > BYTES_MOST || row.value.chars().any(char::is_control) {
            return Err(TextError::at(
                row.line,
                "a text has at most 300 bytes and no control characters",
            ));
        }
        if !row.value.ends_with('.') {
            return Err(TextError::at(
                row.line,
                "a text is a sentence and ends with a full stop",
            ));
        }
    }
    let mut canonical = no_error_texts();
    for fault in Fault::ALL {
        if let Some(row) = rows.iter().find(|row| row.key == fault.code()) {
            canonical.push_str(&format!("{} = {}\n", row.key, row.value));
        }
    }
    Ok(canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_for_faults_of_partners_and_are_sentences() {
        let given = "error-texts 1\nMM-006 = Ask our desk.\nMM-005   =   Call our desk.\n";
        let canonical = "error-texts 1\nMM-005 = Call our desk.\nMM-006 = Ask our desk.\n";
        assert_eq!(check_error_texts(given).as_deref(), Ok(canonical));
        for (wrong, line) in [
            ("error-texts 1\nMM-999 = Call us.", 2),
            ("error-texts 1\nPO-001 = Call us.", 2),
            ("error-texts 1\nMM-005 = Call us", 2),
            ("error-texts 1\nMM-005 = Call us.\nMM-005 = Or not.", 3),
            ("MM-005 = Call us.", 1),
        ] {
            assert_eq!(
                check_error_texts(wrong).map_err(|error| error.line),
                Err(line),
                "{wrong}"
            );
        }
        let long = format!("error-texts 1\nMM-005 = {}.\n", "x".repeat(300));
        assert!(check_error_texts(&long).is_err());
    }
}
