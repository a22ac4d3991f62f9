//! How much agrees in addition to name and birth date, and how much contradicts. Depends only on levels.

use crate::field::{Field, Level, Levels};

/// The strongest kind of agreement in addition to name and birth date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Evidence {
    Nothing,
    /// Only the state.
    Faint,
    /// A middle name, the city, or a near match.
    Thin,
    Home,
    Own,
}

/// The strongest kind of agreement.
pub(crate) fn evidence(levels: &Levels) -> Evidence {
    use Level::{Exact, Far, Near, Part, Partial, Relative, Remote, Slip};
    let own = levels.is(Field::Ssn, &[Exact, Slip, Partial]) || levels.is(Field::Email, &[Exact]);
    let home = levels.is(Field::Phone, &[Exact, Relative])
        || levels.is(Field::Address, &[Exact, Slip, Relative])
        || levels.is(Field::MemberId, &[Exact, Partial, Slip, Remote, Relative]);
    let thin = levels.is(Field::Middle, &[Exact, Partial])
        || levels.is(Field::Address, &[Near, Far])
        || levels.is(Field::Phone, &[Slip])
        || levels.is(Field::Suffix, &[Exact])
        || levels.is(Field::Email, &[Part]);
    match (own, home, thin) {
        (true, ..) => Evidence::Own,
        (_, true, _) => Evidence::Home,
        (.., true) => Evidence::Thin,
        _ if levels.of(Field::Address) == Remote => Evidence::Faint,
        _ => Evidence::Nothing,
    }
}

/// Counts the fields with thin agreement; a full middle name and a postal code count twice.
pub(crate) fn thin_things(levels: &Levels) -> usize {
    use Level::{Exact, Far, Near, Part, Partial, Slip};
    2 * usize::from(levels.is(Field::Middle, &[Exact]))
        + usize::from(levels.is(Field::Middle, &[Partial]))
        + 2 * usize::from(levels.is(Field::Address, &[Near]))
        + usize::from(levels.is(Field::Address, &[Far]))
        + usize::from(levels.is(Field::Phone, &[Slip]))
        + usize::from(levels.is(Field::Email, &[Part]))
}

/// Counts the contradicting fields among those that a person usually keeps.
pub(crate) fn contradictions(levels: &Levels) -> usize {
    [
        (Field::Phone, Level::Differ),
        (Field::Email, Level::Differ),
        (Field::MemberId, Level::Foreign),
    ]
    .into_iter()
    .filter(|(field, level)| levels.of(*field) == *level)
    .count()
}

/// Like [`contradictions`], and counts one more when the middle initial is all that agrees while both telephone and state differ.
pub(crate) fn thin_contradictions(levels: &Levels) -> usize {
    let elsewhere = levels.is(Field::Middle, &[Level::Partial])
        && levels.is(Field::Phone, &[Level::Differ])
        && levels.is(Field::Address, &[Level::Differ]);
    contradictions(levels) + usize::from(elsewhere)
}

/// The number of contradictions that thin evidence may have: one for a middle name, and one for the postal code, or for the city together
/// with a middle name.
pub(crate) fn thin_allowance(levels: &Levels) -> usize {
    let middle = levels.is(Field::Middle, &[Level::Exact, Level::Partial]);
    let near = levels.is(Field::Address, &[Level::Near]);
    let far = levels.is(Field::Address, &[Level::Far]);
    usize::from(middle) + usize::from(near || (far && middle))
}

/// How many of address, telephone and member number agree.
pub(crate) fn homes(levels: &Levels) -> usize {
    use Level::{Exact, Partial, Slip};
    usize::from(levels.is(Field::Phone, &[Exact]))
        + usize::from(levels.is(Field::Address, &[Exact, Slip]))
        + usize::from(levels.is(Field::MemberId, &[Exact, Partial, Slip]))
}

/// Whether address, telephone or member number agrees.
pub(crate) fn evidence_of_home(levels: &Levels) -> bool {
    let mut home = *levels;
    home.set(Field::Ssn, Level::Missing);
    home.set(Field::Email, Level::Missing);
    evidence(&home) == Evidence::Home
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_middle_name_and_a_postal_code_are_two_thin_things_and_the_rest_is_one_each() {
        let fields: [(Field, &[(Level, usize)]); 4] = [
            (
                Field::Middle,
                &[(Level::Missing, 0), (Level::Exact, 2), (Level::Partial, 1)],
            ),
            (Field::Address, &[(Level::Exact, 0), (Level::Near, 2), (Level::Far, 1)]),
            (Field::Phone, &[(Level::Differ, 0), (Level::Slip, 1)]),
            (Field::Email, &[(Level::Exact, 0), (Level::Part, 1)]),
        ];
        let mut sums = vec![(Levels::default(), 0)];
        for (field, values) in fields {
            let with = |(levels, sum): &(Levels, usize), (level, things): &(Level, usize)| {
                let mut levels = *levels;
                levels.set(field, *level);
                (levels, sum + things)
            };
            sums = sums
                .iter()
                .flat_map(|one| values.iter().map(move |value| with(one, value)))
                .collect();
        }
        assert_eq!(sums.len(), 36);
        for (levels, sum) in sums {
            assert_eq!(thin_things(&levels), sum, "{levels:?}");
        }
    }
}
