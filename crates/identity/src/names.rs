//! Compares the names of two people: the best pair of those that they are recorded under.

use crate::comparison::Comparison;
use crate::facts::Facts;
use crate::field::{Field, Level};
use crate::nickname;
use crate::person::{NameForm, Profile, is_particle};
use crate::text::{edits, jaro_winkler, phonetic};

/// The best pair of names; a person may be recorded under several.
pub(crate) fn names(asked: &Profile, held: &Profile, facts: &Facts) -> Comparison {
    let mut best: Option<(u8, Comparison)> = None;
    for a in &asked.names {
        for b in &held.names {
            let one = name(a, b, facts);
            let rank = rank(one.levels.of(Field::Given)) * 2
                + rank(one.levels.of(Field::Family)) * 2
                + u8::from(one.levels.is(Field::Middle, &[Level::Exact, Level::Partial]));
            if best.as_ref().is_none_or(|(top, _)| rank > *top) {
                best = Some((rank, one));
            }
        }
    }
    best.map(|(_, one)| one).unwrap_or_default()
}

fn rank(level: Level) -> u8 {
    use Level::*;
    match level {
        Exact => 9,
        Nickname | Part => 8,
        Slip => 7,
        Swapped => 6,
        Partial => 5,
        SlipKnown => 4,
        Alike => 3,
        Differ => 1,
        _ => 0,
    }
}

fn name(a: &NameForm, b: &NameForm, facts: &Facts) -> Comparison {
    let mut found = Comparison::default();
    let (mut given, mut middle) = given(&a.given, &b.given, facts);
    let mut family = family(a, b);
    if given_is_weak(given) && family_is_weak(family) && swapped(a, b) {
        (given, middle, family) = (Level::Swapped, Level::Missing, Level::Swapped);
    }
    if let (Some(first), Level::Exact) = (a.given.first(), given) {
        found.given_share = facts.given_share(first);
    }
    if family == Level::Exact {
        found.family_share = facts.family_share(&a.family_joined);
    }
    found.levels.set(Field::Given, given);
    found.levels.set(Field::Middle, middle);
    found.levels.set(Field::Family, family);
    let suffix = match (a.generation, b.generation) {
        (Some(x), Some(y)) if x == y => Level::Exact,
        (Some(_), Some(_)) => Level::Differ,
        _ => Level::Missing,
    };
    found.levels.set(Field::Suffix, suffix);
    found
}

fn given_is_weak(level: Level) -> bool {
    matches!(level, Level::Differ | Level::Alike | Level::SlipKnown | Level::Missing)
}

fn family_is_weak(level: Level) -> bool {
    matches!(level, Level::Differ | Level::Alike | Level::Missing)
}

/// Whether each one's first name is (nearly) the other's family name.
fn swapped(a: &NameForm, b: &NameForm) -> bool {
    let cross = |x: &NameForm, y: &NameForm| {
        x.given.first().is_some_and(|first| {
            first.chars().count() >= 2
                && (near(first, &y.family_joined)
                    || y.family.iter().any(|part| part == first)
                    || x.given.concat() == y.family_joined)
        })
    };
    let nick = |x: &NameForm, y: &NameForm| {
        y.given
            .first()
            .is_some_and(|first| nickname::variants(&x.family_joined, first))
    };
    (cross(a, b) || nick(b, a)) && (cross(b, a) || nick(a, b))
}

/// A slip of the pen: one edit, or two in a long word, or one that keeps the shape of the word.
fn near(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let shorter = a.chars().count().min(b.chars().count());
    match shorter {
        0..=2 => false,
        3..=5 => edits(a, b, 1) <= 1,
        6.. => edits(a, b, 2) <= 2 || jaro_winkler(a, b) >= 0.95,
    }
}

/// Whether two names may be of one person: no first name is another's. Family names change.
pub(crate) fn may_be_one(a: &NameForm, b: &NameForm, facts: &Facts) -> bool {
    let level = given(&a.given, &b.given, facts).0;
    !matches!(level, Level::Differ | Level::SlipKnown) || swapped(a, b)
}

/// First name and the names after it.
fn given(a: &[String], b: &[String], facts: &Facts) -> (Level, Level) {
    let (Some(x), Some(y)) = (a.first(), b.first()) else {
        return (Level::Missing, Level::Missing);
    };
    let is_initial = |name: &String| name.chars().count() == 1;
    if x == y {
        let level = if is_initial(x) { Level::Partial } else { Level::Exact };
        return (level, middle(&a[1..], &b[1..]));
    }
    // Mary Ann and Maryann: the first two of one are the first of the other.
    let joined =
        |p: &[String], q: &[String]| p.len() > 1 && p[1].len() > 1 && q[0].strip_prefix(&p[0]) == Some(p[1].as_str());
    if joined(a, b) {
        return (Level::Exact, middle(&a[2..], &b[1..]));
    }
    if joined(b, a) {
        return (Level::Exact, middle(&a[1..], &b[2..]));
    }
    if nickname::variants(x, y) {
        return (Level::Nickname, middle(&a[1..], &b[1..]));
    }
    let rest = || middle(&a[1..], &b[1..]);
    if is_placeholder(a) || is_placeholder(b) {
        let named = |given: &[String]| {
            given
                .iter()
                .filter(|name| !PLACEHOLDERS.contains(&name.as_str()))
                .cloned()
                .collect::<Vec<_>>()
        };
        let (p, q) = (named(a), named(b));
        let skip = |given: &[String], all: &[String]| {
            if is_placeholder(all) {
                0
            } else {
                usize::from(!given.is_empty())
            }
        };
        return (Level::Missing, middle(&p[skip(&p, a)..], &q[skip(&q, b)..]));
    }
    if is_initial(x) || is_initial(y) {
        // `J Robert` may be called Robert.
        let second = |p: &[String], q: &[String]| {
            is_initial(&p[0]) && p.get(1).is_some_and(|name| *name == q[0] && name.len() > 1)
        };
        if second(a, b) || second(b, a) {
            return (Level::Part, Level::Missing);
        }
        let same = x.chars().next() == y.chars().next();
        return if same {
            (Level::Partial, rest())
        } else {
            (Level::Differ, rest())
        };
    }
    let elsewhere = |name: &String, others: &[String]| {
        let listed = &others[1..];
        listed.len() <= MIDDLES && listed.iter().any(|o| o == name || nickname::variants(o, name))
    };
    if elsewhere(x, b) || elsewhere(y, a) {
        return (Level::Part, Level::Missing);
    }
    if nickname::diminutive(x, y) {
        return (Level::Nickname, rest());
    }
    (likeness(x, y, facts), rest())
}

/// How alike two different first names are, neither an initial nor a form of the other.
fn likeness(x: &str, y: &str, facts: &Facts) -> Level {
    let both_known = || facts.is_given_name(x) && facts.is_given_name(y);
    let cut = |p: &str, q: &str| p.chars().count() >= 3 && q.starts_with(p);
    if near(x, y) {
        return if both_known() { Level::SlipKnown } else { Level::Slip };
    }
    // Likeness alone is not enough: Valery and Valentina are twins. It must be a likeness that slips or sound explain.
    let shorter = x.chars().count().min(y.chars().count());
    let slips = shorter >= 5 && edits(x, y, 2) <= 2;
    let sounds = shorter >= 3 && phonetic(x) == phonetic(y);
    if slips || sounds || jaro_winkler(x, y) >= 0.92 || cut(x, y) || cut(y, x) {
        return if both_known() { Level::Differ } else { Level::Alike };
    }
    // A slip in a nickname: `Willaim` for Bill.
    if !facts.is_given_name(x) && nickname::roots(y).any(|root| near(root, x))
        || !facts.is_given_name(y) && nickname::roots(x).any(|root| near(root, y))
    {
        return Level::Alike;
    }
    Level::Differ
}

const PLACEHOLDERS: &[&str] = &[
    "baby", "boy", "girl", "babyboy", "babygirl", "newborn", "infant", "twin", "unknown", "unk", "na", "none", "test",
];

/// Whether a hospital or a form gave the name: a newborn before it has one.
fn is_placeholder(given: &[String]) -> bool {
    let first = given.first().map_or("", String::as_str);
    matches!(
        first,
        "babyboy" | "babygirl" | "newborn" | "infant" | "unknown" | "unk" | "na" | "none" | "test"
    ) || (matches!(first, "baby" | "girl" | "boy" | "twin") && given.len() > 1)
}

/// Middle names that are compared; a longer list is a guess, not a name.
const MIDDLES: usize = 3;

fn middle(a: &[String], b: &[String]) -> Level {
    if a.is_empty() || b.is_empty() || (a != b && a.len().max(b.len()) > MIDDLES) {
        return Level::Missing;
    }
    // One initial is said of a person; the right one of several is luck.
    let initials = |names: &[String]| names.iter().filter(|name| name.chars().count() == 1).count();
    let few = a == b || initials(a).max(initials(b)) <= 2;
    let pair = |x: &String, y: &String| -> u8 {
        let (long_x, long_y) = (x.chars().count() > 1, y.chars().count() > 1);
        if x == y && long_x {
            3
        } else if few && (!long_x || !long_y) && x.chars().next() == y.chars().next() {
            2
        } else if long_x && long_y && (near(x, y) || nickname::variants(x, y)) {
            1
        } else {
            0
        }
    };
    let best = a.iter().flat_map(|x| b.iter().map(move |y| pair(x, y))).max();
    match best {
        Some(3) => Level::Exact,
        Some(2) => Level::Partial,
        Some(1) => Level::Slip,
        _ => Level::Differ,
    }
}

fn family(a: &NameForm, b: &NameForm) -> Level {
    let (x, y) = (&a.family_joined, &b.family_joined);
    if x.is_empty() || y.is_empty() {
        return Level::Missing;
    }
    if x == y {
        return Level::Exact;
    }
    let shared = |p: &NameForm, q: &NameForm| {
        p.family
            .iter()
            .any(|part| part.len() > 2 && q.family.contains(part) && !is_particle(part))
    };
    if shared(a, b) {
        return Level::Part;
    }
    if near(x, y) {
        return Level::Slip;
    }
    let parts_near = || {
        (a.family.len() > 1 || b.family.len() > 1)
            && a.family
                .iter()
                .any(|p| p.len() > 3 && b.family.iter().any(|q| q.len() > 3 && near(p, q)))
    };
    if parts_near() || jaro_winkler(x, y) >= 0.86 || (x.len().min(y.len()) >= 3 && a.family_sound == b.family_sound) {
        return Level::Alike;
    }
    Level::Differ
}
