//! A candidate with its levels and score, and the test of whether two records are about one person.

use crate::compare::compare;
use crate::facts::Facts;
use crate::field::{Field, Level, Levels};
use crate::ids;
use crate::person::Profile;
use crate::score::Score;

/// A candidate, with the reasons for its score.
#[derive(Clone, Debug)]
pub struct Scored {
    /// Index into the candidates.
    pub candidate: usize,
    /// The level of each field.
    pub levels: Levels,
    /// Weights and their sum.
    pub score: Score,
    /// The first deterministic rule that holds, if any.
    pub rule: Option<&'static str>,
}

/// Whether two records are about one person: birth date and given name agree, no other field of the person alone contradicts, and at least
/// one more field agrees.
pub fn same_person(a: &Profile, b: &Profile, facts: &Facts) -> bool {
    use Level::{Differ, Exact, Missing, Nickname, Part, Partial, Slip};
    let levels = compare(a, b, facts).levels;
    let number = levels.is(Field::Ssn, &[Exact]);
    // The names of twins often differ in one letter, such as Jaylen and Kaylen, and all else is equal.
    let given = levels.is(Field::Given, &[Exact, Nickname]) || (number && levels.is(Field::Given, &[Slip, Partial]));
    let own = levels.is(Field::Birth, &[Exact]) && given;
    let against = [Field::Ssn, Field::Gender, Field::Suffix, Field::Middle]
        .into_iter()
        .any(|field| levels.of(field) == Differ);
    let more = number || levels.is(Field::Email, &[Exact]) || ids::lives_with(a, b);
    let family =
        levels.is(Field::Family, &[Exact, Part, Slip]) || (levels.is(Field::Family, &[Differ, Missing]) && number);
    own && !against && more && family
}
