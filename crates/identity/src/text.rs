//! Normalizes and compares texts: folding, similarity, phonetic codes. It knows no fields, and never fails, whatever the Unicode text.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// NFKD without combining marks, in lower case; letters that do not decompose are transliterated to ASCII.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut folded = String::with_capacity(text.len());
    for letter in text
        .nfkd()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
    {
        match letter {
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'ø' => folded.push('o'),
            'đ' | 'ð' => folded.push('d'),
            'ł' => folded.push('l'),
            'þ' => folded.push_str("th"),
            'ı' => folded.push('i'),
            '‐' | '‑' | '–' | '—' => folded.push('-'),
            '’' | '‘' | 'ʼ' => folded.push('\''),
            other => folded.push(other),
        }
    }
    folded
}

/// Only upper-case letters and digits, the form in which identifiers are compared.
pub fn code(text: &str) -> String {
    fold(text)
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_uppercase)
        .collect()
}

/// Only the ASCII digits.
pub fn digits(text: &str) -> String {
    text.nfkc().filter(char::is_ascii_digit).collect()
}

/// Compares bytes when both texts are ASCII (the usual case), and characters otherwise.
fn with_units<T>(a: &str, b: &str, bytes: impl Fn(&[u8], &[u8]) -> T, scalars: impl Fn(&[char], &[char]) -> T) -> T {
    if a.is_ascii() && b.is_ascii() {
        bytes(a.as_bytes(), b.as_bytes())
    } else {
        let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
        scalars(&a, &b)
    }
}

/// Longest text that is compared letter by letter; longer texts are cut, so that the cost is bounded.
const LONGEST: usize = 64;

/// The number of edits (insert, delete, replace, swap of neighbors) between two strings; `limit + 1` when there are more.
pub fn edits(a: &str, b: &str, limit: usize) -> usize {
    if a == b {
        return 0;
    }
    with_units(a, b, |a, b| edits_of(a, b, limit), |a, b| edits_of(a, b, limit))
}

fn edits_of<T: PartialEq>(a: &[T], b: &[T], limit: usize) -> usize {
    let (a, b) = (&a[..a.len().min(LONGEST)], &b[..b.len().min(LONGEST)]);
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut rows = [[0usize; LONGEST + 1]; 3];
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        let (now, last, before) = (i % 3, (i + 2) % 3, (i + 1) % 3);
        rows[now][0] = i;
        let mut best = i;
        for j in 1..=b.len() {
            let same = a[i - 1] == b[j - 1];
            let mut cost = (rows[last][j] + 1)
                .min(rows[now][j - 1] + 1)
                .min(rows[last][j - 1] + usize::from(!same));
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cost = cost.min(rows[before][j - 2] + 1);
            }
            rows[now][j] = cost;
            best = best.min(cost);
        }
        if best > limit {
            return limit + 1;
        }
    }
    rows[a.len() % 3][b.len()].min(limit + 1)
}

/// All lower-case words that are one edit away from an ASCII word of at most sixteen letters; none for any other word.
pub fn one_edit_away(word: &str) -> Vec<String> {
    let letters = word.as_bytes();
    if !word.is_ascii() || letters.len() > 16 {
        return Vec::new();
    }
    let text = |parts: &[&[u8]]| String::from_utf8(parts.concat()).unwrap_or_default();
    let mut words = Vec::with_capacity(54 * letters.len() + 26);
    for i in 0..=letters.len() {
        let (head, tail) = letters.split_at(i);
        for letter in b'a'..=b'z' {
            words.push(text(&[head, &[letter], tail]));
            if let Some((_, rest)) = tail.split_first() {
                words.push(text(&[head, &[letter], rest]));
            }
        }
        if let [x, rest @ ..] = tail {
            words.push(text(&[head, rest]));
            if let [y, rest @ ..] = rest {
                words.push(text(&[head, &[*y, *x], rest]));
            }
        }
    }
    words
}

/// Jaro-Winkler similarity, 0 to 1; symmetric.
pub fn jaro_winkler(a: &str, b: &str) -> f64 {
    if a == b {
        return 1.0;
    }
    // Greedy pairing depends on the order of the arguments, so they are ordered to make it symmetric.
    let (a, b) = if (a.len(), a) <= (b.len(), b) { (a, b) } else { (b, a) };
    with_units(a, b, jaro_winkler_of, jaro_winkler_of)
}

fn jaro_winkler_of<T: PartialEq>(a: &[T], b: &[T]) -> f64 {
    let (a, b) = (&a[..a.len().min(LONGEST)], &b[..b.len().min(LONGEST)]);
    let window = (a.len().max(b.len()) / 2).saturating_sub(1);
    let (mut a_hit, mut b_hit) = ([false; LONGEST], [false; LONGEST]);
    let mut hits = 0usize;
    for i in 0..a.len() {
        for j in i.saturating_sub(window)..b.len().min(i + window + 1) {
            if !b_hit[j] && a[i] == b[j] {
                a_hit[i] = true;
                b_hit[j] = true;
                hits += 1;
                break;
            }
        }
    }
    if hits == 0 {
        return 0.0;
    }
    let a_common = (0..a.len()).filter(|i| a_hit[*i]);
    let b_common = (0..b.len()).filter(|j| b_hit[*j]);
    let moved = a_common.zip(b_common).filter(|(i, j)| a[*i] != b[*j]).count();
    let m = hits as f64;
    let jaro = (m / a.len() as f64 + m / b.len() as f64 + (m - moved as f64 / 2.0) / m) / 3.0;
    let prefix = a.iter().zip(b).take(4).take_while(|(x, y)| x == y).count();
    jaro + prefix as f64 * 0.1 * (1.0 - jaro)
}

/// A phonetic code: groups of letters that sound alike become one, and vowels after the first letter and repetitions are dropped.
///
/// It is made for names as spelled in the United States, English and Spanish, and is simple and fast.
pub fn phonetic(name: &str) -> String {
    let letters: Vec<char> = name.chars().filter(|c| c.is_alphabetic()).take(LONGEST).collect();
    let at = |i: usize| letters.get(i).copied().unwrap_or(' ');
    let mut code = String::with_capacity(8);
    let mut i = 0;
    while i < letters.len() {
        let (sound, used) = match (at(i), at(i + 1), at(i + 2)) {
            ('s', 'c', 'h') | ('t', 'c', 'h') => ('x', 3),
            ('c', 'h', _) if i == 0 && at(2) == 'r' => ('k', 2),
            ('c' | 's', 'h', _) => ('x', 2),
            ('p', 'h', _) => ('f', 2),
            ('k' | 'g' | 'p', 'n', _) if i == 0 => ('n', 2),
            ('w', 'r', _) if i == 0 => ('r', 2),
            ('g', 'h', _) if i == 0 => ('k', 2),
            ('g', 'h', _) => (' ', 2),
            ('c', 'k', _) | ('q', 'u', _) => ('k', 2),
            ('d', 'g', 'e') => ('j', 3),
            ('c', 'e' | 'i' | 'y', _) => ('s', 1),
            ('c' | 'q', ..) => ('k', 1),
            ('g', 'e' | 'i' | 'y', _) => ('j', 1),
            ('g', ..) => ('k', 1),
            ('z', ..) => ('s', 1),
            ('x', ..) if i > 0 => ('s', 1),
            ('v', ..) => ('f', 1),
            ('d', ..) => ('t', 1),
            ('b', ..) => ('p', 1),
            ('m', ..) => ('n', 1),
            ('a' | 'e' | 'i' | 'o' | 'u' | 'y', ..) => (if i == 0 { 'a' } else { ' ' }, 1),
            ('h' | 'w', ..) => (if i == 0 { at(i) } else { ' ' }, 1),
            (other, ..) => (other, 1),
        };
        if sound != ' ' && !code.ends_with(sound) {
            code.push(sound);
        }
        i += used;
    }
    code.chars().take(6).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_count_a_swap_of_neighbours_once_and_stop_at_the_limit() {
        for (a, b, limit, n) in [
            ("smith", "smith", 2, 0),
            ("smith", "smiht", 2, 1),
            ("smith", "smyth", 2, 1),
            ("smith", "smiths", 2, 1),
            ("kitten", "sitting", 3, 3),
            ("kitten", "sitting", 1, 2),
            ("", "ab", 3, 2),
            ("é", "e", 1, 1),
        ] {
            assert_eq!(edits(a, b, limit), n, "{a} {b}");
            assert_eq!(edits(b, a, limit), n, "{b} {a}");
        }
    }

    #[test]
    fn jaro_winkler_gives_the_textbook_values() {
        for (a, b, value) in [
            ("martha", "marhta", 0.961),
            ("dwayne", "duane", 0.84),
            ("dixon", "dicksonx", 0.813),
        ] {
            assert!(
                (jaro_winkler(a, b) - value).abs() < 0.001,
                "{a} {b} {}",
                jaro_winkler(a, b)
            );
        }
    }

    #[test]
    fn names_that_sound_alike_share_a_code() {
        for (a, b) in [
            ("catherine", "katherine"),
            ("stephen", "steven"),
            ("philip", "filip"),
            ("smith", "smyth"),
            ("gonzalez", "gonzales"),
            ("schmidt", "shmit"),
            ("geoffrey", "jeffrey"),
            ("knight", "nite"),
        ] {
            assert_eq!(phonetic(a), phonetic(b), "{a} {b}");
        }
        assert_ne!(phonetic("mary"), phonetic("john"));
    }

    #[test]
    fn folding_is_one_spelling_for_many() {
        assert_eq!(fold("Groß"), "gross");
        assert_eq!(fold("Nu\u{301}n\u{303}EZ"), "nunez");
        assert_eq!(fold("Ｗｉｄｅ"), "wide");
        assert_eq!(code("w414-725 05302"), "W41472505302");
        assert_eq!(digits("+1 (555) 444-0336"), "15554440336");
    }
}
