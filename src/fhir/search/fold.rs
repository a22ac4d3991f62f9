//! One spelling for string searches: without case, accents and repeated white space (FHIR R4 search, "string").

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Bytes of a value that are indexed and compared; what is longer is compared by its beginning.
pub const VALUE_BYTES: usize = 400;

/// The text as string searches compare it.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut gap = false;
    let letters = text.nfkd().filter(|letter| !is_combining_mark(*letter));
    for letter in letters.flat_map(char::to_lowercase) {
        if letter.is_whitespace() {
            gap = !folded.is_empty();
            continue;
        }
        if std::mem::take(&mut gap) {
            folded.push(' ');
        }
        folded.push(letter);
    }
    cut(folded)
}

/// The text as codes and identifiers are compared: without case (FHIR R4 search, "token": when in doubt, without case).
pub fn fold_code(text: &str) -> String {
    cut(text.to_lowercase())
}

/// At most [`VALUE_BYTES`] of a text.
pub fn cut(mut text: String) -> String {
    if text.len() > VALUE_BYTES {
        let end = (0..=VALUE_BYTES)
            .rev()
            .find(|&at| text.is_char_boundary(at))
            .unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_text_are_one() {
        for written in ["Zoë  Núñez", "ZOE\u{308} nu\u{301}n\u{303}ez ", " zoë\u{a0}NÚÑEZ"] {
            assert_eq!(fold(written), "zoe nunez", "{written}");
        }
        assert_eq!(fold_code("HL7-Ä"), "hl7-ä");
    }

    #[test]
    fn long_texts_are_cut_between_letters() {
        let long = "é".repeat(VALUE_BYTES);
        assert_eq!(cut(long).len(), VALUE_BYTES);
        assert_eq!(cut("x".repeat(VALUE_BYTES - 1) + "é").len(), VALUE_BYTES - 1);
    }
}
