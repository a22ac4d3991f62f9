//! One spelling for what people write in many: names without case, accents, punctuation or spaces.
//!
//! The stored column `member.family` and every comparison use these functions, so that a change here needs a re-import.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The key under which a family name is stored and looked up: NFKD, marks stripped, lower case, letters only.
pub fn family_key(family: &str) -> String {
    family
        .nfkd()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .filter(|c| c.is_alphabetic())
        .collect()
}

/// A name as it is compared: its [`family_key`], with the letters that decomposition leaves alone written in ASCII.
pub fn fold_name(name: &str) -> String {
    let key = family_key(name);
    if key.is_ascii() {
        return key;
    }
    let mut folded = String::with_capacity(key.len());
    for letter in key.chars() {
        match letter {
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'ø' => folded.push('o'),
            'đ' | 'ð' => folded.push('d'),
            'ł' => folded.push('l'),
            'þ' => folded.push_str("th"),
            'ı' => folded.push('i'),
            other => folded.push(other),
        }
    }
    folded
}

/// The folded parts of a compound name (`Smith-Jones`, `de la Cruz`), of two letters or more.
pub fn name_parts(name: &str) -> Vec<String> {
    name.split(|c: char| c.is_whitespace() || matches!(c, '-' | '‐' | '‑' | '–' | '/'))
        .map(fold_name)
        .filter(|part| part.chars().count() >= 2)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn family_keys_ignore_case_marks_and_punctuation() {
        for (written, key) in [
            ("O'Neil", "oneil"),
            ("O’NEIL", "oneil"),
            ("Núñez ", "nunez"),
            ("Nu\u{301}n\u{303}ez", "nunez"),
            ("Smith-Jones", "smithjones"),
            ("de la Cruz", "delacruz"),
            ("Ｗｉｄｅ", "wide"),
            ("İnci", "inci"),
            ("Smith3", "smith"),
            ("", ""),
            ("王", "王"),
        ] {
            assert_eq!(family_key(written), key, "{written}");
        }
    }

    #[test]
    fn folding_writes_in_ascii_what_decomposition_leaves() {
        for (written, folded) in [
            ("Groß", "gross"),
            ("GROSS", "gross"),
            ("Sørensen", "sorensen"),
            ("Łukasz", "lukasz"),
        ] {
            assert_eq!(fold_name(written), folded, "{written}");
        }
    }

    #[test]
    fn parts_of_compound_names_drop_initials() {
        assert_eq!(name_parts("Smith-Jones"), ["smith", "jones"]);
        assert_eq!(name_parts("de la Cruz"), ["de", "la", "cruz"]);
        assert_eq!(name_parts("A Bell"), ["bell"]);
    }
}
