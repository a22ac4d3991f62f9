//! Normalizes texts for string searches: case, accents and repeated white space do not matter (FHIR R4 search, "string").

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use unicode_normalization::is_nfc;

/// Bytes of a value that are indexed and compared; of a longer value, only its beginning.
pub const VALUE_BYTES: usize = 400;

/// The iota subscript, which full case folding turns into a letter of its own.
const IOTA_BELOW: char = '\u{345}';

/// The text in the form that string searches compare.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut gap = false;
    let mut put = |letter: char| {
        if letter.is_whitespace() {
            gap = !folded.is_empty();
            return;
        }
        if std::mem::take(&mut gap) {
            folded.push(' ');
        }
        folded.push(letter);
    };
    if text.is_ascii() {
        text.chars()
            .map(|letter| letter.to_ascii_lowercase())
            .for_each(&mut put);
        return cut(folded);
    }
    let letters = text
        .nfkd()
        .map(|letter| if letter == IOTA_BELOW { 'ι' } else { letter });
    for letter in letters.filter(|letter| !is_combining_mark(*letter)) {
        without_case(letter, &mut |letter| {
            if !is_combining_mark(letter) {
                put(letter);
            }
        });
    }
    cut(folded)
}

/// Full case folding of a letter (Unicode, CaseFolding.txt, statuses C and F; not T, which is only for Turkic languages, so that a dotless
/// i is not changed). The result is the lower case of the upper case: ß and ẞ become ss, a final sigma becomes σ.
fn without_case(letter: char, put: &mut impl FnMut(char)) {
    if letter == 'ı' {
        return put(letter);
    }
    let upper = letter.to_lowercase().flat_map(char::to_uppercase);
    upper.flat_map(char::to_lowercase).for_each(put);
}

/// The text in the form that `:exact` compares: unchanged, in normalization form C, so that composed and combining accents are equal.
pub fn exact(text: String) -> String {
    if text.is_ascii() || is_nfc(&text) {
        cut(text)
    } else {
        cut(text.nfc().collect())
    }
}

/// The text in the form that codes and identifiers are compared: in lower case (FHIR R4 search, "token": when in doubt, case-insensitive).
pub fn fold_code(text: &str) -> String {
    cut(text.to_lowercase())
}

/// The first [`VALUE_BYTES`] of a text, cut at a character boundary.
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
        assert_eq!(fold("  Ada\t LOVELACE "), "ada lovelace");
        assert_eq!(fold_code("HL7-Ä"), "hl7-ä");
    }

    #[test]
    fn case_is_folded_in_full() {
        for (written, folded) in [
            ("Weiß", "weiss"),
            ("WEISS", "weiss"),
            ("WEIẞ", "weiss"),
            ("ΠΑΠΑΔΟΠΟΥΛΟΣ", "παπαδοπουλοσ"),
            ("Παπαδόπουλος", "παπαδοπουλοσ"),
            ("ﬁnch", "finch"),
            ("ſmith", "smith"),
            ("ᾼ", "αι"),
            ("ᾳ", "αι"),
            ("ΑΙ", "αι"),
            ("İnan", "inan"),
            ("ISIK", "isik"),
            ("Işık", "isık"),
            ("ŉ", "ʼn"),
            ("ǰ", "j"),
            ("Եվ", "եվ"),
        ] {
            assert_eq!(fold(written), folded, "{written}");
        }
    }

    /// Checks for every letter of Unicode that its upper and lower case are folded to the same text.
    #[test]
    fn every_letter_is_one_with_its_capitals() {
        let mut letters = 0;
        for letter in ('\0'..=char::MAX).filter(|letter| letter.is_alphabetic() && *letter != 'ı') {
            let own = fold(&letter.to_string());
            let upper: String = letter.to_uppercase().collect();
            let lower: String = letter.to_lowercase().collect();
            assert_eq!((fold(&upper), fold(&lower)), (own.clone(), own.clone()), "{letter:?}");
            assert_eq!(fold(&own), own, "{letter:?} is folded once and for all");
            letters += 1;
        }
        assert!(letters > 100_000, "{letters}");
    }

    #[test]
    fn exact_texts_are_one_however_their_marks_are_encoded() {
        assert_eq!(exact("Zoe\u{308}".to_owned()), "Zoë");
        assert_eq!(exact("Zoë".to_owned()), "Zoë");
        assert_ne!(exact("zoë".to_owned()), "Zoë");
        assert_eq!(exact("e\u{301}".repeat(VALUE_BYTES)).len(), VALUE_BYTES);
    }

    #[test]
    fn long_texts_are_cut_between_letters() {
        let long = "é".repeat(VALUE_BYTES);
        assert_eq!(cut(long).len(), VALUE_BYTES);
        assert_eq!(cut("x".repeat(VALUE_BYTES - 1) + "é").len(), VALUE_BYTES - 1);
    }
}
