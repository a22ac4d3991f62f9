//! Given names that are variants of each other. The table was written for this crate and has common English and Spanish variants.
//!
//! Each line is a group; a name may be in several groups (`alex`, `chris`, `pat`). Two names are variants when they share a group. This is
//! symmetric but deliberately not transitive: `alex` is a variant of `alexandra`, but `alexandra` is not a variant of `alexander`.

use std::collections::HashMap;
use std::sync::LazyLock;

const GROUPS: &str = include_str!("nicknames.txt");

static INDEX: LazyLock<HashMap<&'static str, Vec<u16>>> = LazyLock::new(|| {
    let mut index: HashMap<&'static str, Vec<u16>> = HashMap::new();
    for (group, line) in (0u16..).zip(GROUPS.lines()) {
        for name in line.split_whitespace() {
            index.entry(name).or_default().push(group);
        }
    }
    index
});

static ROOTS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    GROUPS
        .lines()
        .map(|line| line.split_whitespace().next().unwrap_or(""))
        .collect()
});

/// Whether two folded given names are variants of each other. The endings `-y`, `-ie`, `-ey` and `-i` of nicknames are treated as equal.
pub fn variants(a: &str, b: &str) -> bool {
    if groups_meet(a, b) {
        return true;
    }
    let shared = |x: &str, y: &str| other_endings(x).any(|x| groups_meet(&x, y));
    shared(a, b) || shared(b, a)
}

fn groups_meet(a: &str, b: &str) -> bool {
    match (INDEX.get(a), INDEX.get(b)) {
        (Some(x), Some(y)) => x.iter().any(|group| y.contains(group)),
        _ => false,
    }
}

fn other_endings(name: &str) -> impl Iterator<Item = String> {
    const ENDINGS: &[&str] = &["ie", "ey", "y", "i"];
    let cut = ENDINGS
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .filter(|stem| stem.len() >= 2);
    cut.into_iter()
        .flat_map(|stem| ENDINGS.iter().map(move |ending| format!("{stem}{ending}")))
        .filter(move |other| other != name)
}

/// Whether the shorter of two folded names is formed from the longer one like a nickname: from its beginning (`Cam` and `Cammy` from
/// Camden), or from four or more letters in it (`Naldo` from Ronaldo). Two letters are not enough: Al could be short for many names.
pub fn diminutive(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    // Daniel is not short for Danielle: a full name of its own belongs to somebody else.
    if roots(short).any(|root| root == short) {
        return false;
    }
    let stem = stem(short);
    if long.len() < stem.len() + 2 {
        return false;
    }
    (stem.len() >= 3 && long.starts_with(stem)) || (short.len() >= 4 && stem.len() >= 3 && long.contains(short))
}

/// A name without the ending of a nickname and without the doubled letter before it.
fn stem(name: &str) -> &str {
    const ENDINGS: &[&str] = &["ito", "ita", "ie", "ey", "ee", "y", "i"];
    let cut = ENDINGS
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(name);
    let bytes = cut.as_bytes();
    match bytes {
        [.., x, y] if x == y && bytes.len() > 2 && x.is_ascii() => cut.get(..cut.len() - 1).unwrap_or(cut),
        _ => cut,
    }
}

/// Whether the table has this folded name.
pub fn known(name: &str) -> bool {
    INDEX.contains_key(name)
}

/// The full names of which this folded name may be a form; none when it is not in the table.
pub fn roots(name: &str) -> impl Iterator<Item = &'static str> {
    INDEX
        .get(name)
        .into_iter()
        .flatten()
        .filter_map(|group| ROOTS.get(usize::from(*group)).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_symmetrical_and_not_transitive() {
        for (a, b) in [
            ("bob", "robert"),
            ("alex", "alexandra"),
            ("bill", "liam"),
            ("paco", "francisco"),
        ] {
            assert!(variants(a, b) && variants(b, a), "{a} {b}");
        }
        assert!(!variants("alexandra", "alexander"));
        assert!(!variants("zzz", "zzz"));
    }

    #[test]
    fn pet_names_are_formed_from_the_beginning_or_a_long_part() {
        for (a, b) in [
            ("cammy", "camden"),
            ("dann", "daniel"),
            ("naldo", "ronaldo"),
            ("marg", "margarita"),
            ("emilie", "em"),
        ] {
            assert_eq!(diminutive(a, b), diminutive(b, a), "{a} {b}");
        }
        assert!(diminutive("cammy", "camden") && diminutive("dann", "daniel") && diminutive("ronaldo", "naldo"));
        assert!(!diminutive("al", "albert") && !diminutive("ana", "ann") && !diminutive("mark", "marc"));
    }

    #[test]
    fn an_ending_may_be_written_another_way_after_two_letters_or_more() {
        for (a, b) in [("tommi", "thomas"), ("ami", "amelia"), ("tommey", "tom")] {
            assert!(!known(a), "{a}");
            assert!(variants(a, b) && variants(b, a), "{a} {b}");
        }
        assert!(!variants("tommi", "robert") && !variants("zedy", "zedie"));
    }

    #[test]
    fn a_pet_name_keeps_three_letters_and_the_full_name_has_two_more() {
        for (short, long, formed) in [
            ("zel", "zelda", true),
            ("zel", "zeld", false),
            ("ze", "zelda", false),
            ("zelly", "zeldana", true),
            ("zelito", "zeldana", true),
            ("zeld", "gizelda", true),
            // Out of the middle only four letters or more, and never when the stem is short.
            ("zel", "gizelda", false),
            ("zzy", "gizzyda", false),
            ("zelly", "gizellyda", true),
            ("zally", "gizelda", false),
            ("qoey", "aqoeyson", false),
        ] {
            assert_eq!(diminutive(short, long), formed, "{short} {long}");
            assert_eq!(diminutive(long, short), formed, "{long} {short}");
        }
    }

    #[test]
    fn the_table_is_written_in_folded_form() {
        for name in GROUPS.split_whitespace() {
            assert!(name.chars().all(|c| c.is_ascii_lowercase()), "{name}");
        }
    }
}
