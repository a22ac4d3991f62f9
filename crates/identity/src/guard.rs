//! Guards: what forbids an automatic match whatever the score says, and what stands besides name and birth date.

use crate::decide::{Scored, same_person};
use crate::facts::Facts;
use crate::field::{Field, Level, Levels};
use crate::ids;
use crate::person::Profile;
use crate::policy::Point;
use serde::Serialize;

/// Why a match was not automatic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// A number of this payer's form that is not the record's, not a slip from it and not a relative's.
    IdContradicts,
    /// Another social security number.
    SsnContradicts,
    /// Jr against Sr.
    Generation,
    /// The same name, and a birth year a generation away.
    BirthGeneration,
    /// No birth date, and nothing else of the person's own.
    BirthMissing,
    /// Another birth date.
    BirthDiffers,
    /// A slip in the birth date, and no more of the person's own than the name.
    BirthSlip,
    /// Another first name: a twin, or a relative.
    GivenDiffers,
    /// Another family name.
    FamilyDiffers,
    /// Another gender, where the first name is not the same.
    GenderDiffers,
    /// The names that were sent are those of several people.
    SeveralPeople,
    /// Name and birth date with nothing else agreeing.
    NothingElse,
    /// Name and birth date, thin evidence, and contradictions.
    ThinContradicted,
    /// Another record of the same person bears the same member number: the roster contradicts itself.
    SharedNumber,
    /// Another record of the same person bears the number that was sent, and this one does not.
    OtherCard,
    /// Another person is nearly as likely.
    Rival,
    /// Not enough evidence.
    Weak,
}

impl Guard {
    /// Every guard.
    pub const ALL: [Guard; 17] = {
        use Guard::*;
        [
            IdContradicts,
            SsnContradicts,
            Generation,
            BirthGeneration,
            BirthMissing,
            BirthDiffers,
            BirthSlip,
            GivenDiffers,
            FamilyDiffers,
            GenderDiffers,
            SeveralPeople,
            NothingElse,
            ThinContradicted,
            SharedNumber,
            OtherCard,
            Rival,
            Weak,
        ]
    };

    /// The name in a decision record.
    pub const fn code(self) -> &'static str {
        match self {
            Guard::IdContradicts => "id_contradicts",
            Guard::SsnContradicts => "ssn_contradicts",
            Guard::Generation => "generation",
            Guard::BirthGeneration => "birth_generation",
            Guard::BirthMissing => "birth_missing",
            Guard::BirthDiffers => "birth_differs",
            Guard::BirthSlip => "birth_slip",
            Guard::GivenDiffers => "given_differs",
            Guard::FamilyDiffers => "family_differs",
            Guard::GenderDiffers => "gender_differs",
            Guard::SeveralPeople => "several_people",
            Guard::NothingElse => "nothing_else",
            Guard::ThinContradicted => "thin_contradicted",
            Guard::SharedNumber => "shared_number",
            Guard::OtherCard => "other_card",
            Guard::Rival => "rival",
            Guard::Weak => "weak",
        }
    }
}

/// What stands besides name and birth date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Evidence {
    Nothing,
    /// The state.
    Faint,
    /// A middle name, the city, a near miss.
    Thin,
    Home,
    Own,
}

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

/// What the other candidates say about the first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Company {
    /// Someone who lives with the record bears the name that was asked for: it may have been written by mistake.
    namesake: bool,
    /// That one is known to be of another gender than was asked for.
    namesake_of_other_gender: bool,
    /// Someone else who lives with the record was born on the same day.
    twin: bool,
    /// The first name that was asked for is a slip from some name, and that name is not the record's.
    pub(crate) another_name: bool,
}

pub(crate) fn company(
    asked: &Profile,
    record: &Profile,
    best: usize,
    ranked: &[Scored],
    held: &[&Profile],
    facts: &Facts,
) -> Company {
    let mut company = Company::default();
    for other in ranked.iter().filter(|other| other.candidate != best) {
        let Some(relative) = held
            .get(other.candidate)
            .filter(|relative| ids::lives_with(record, relative))
        else {
            continue;
        };
        if same_person(record, relative, facts) {
            continue;
        }
        company.twin |= relative.birth.is_some() && relative.birth == record.birth;
        if other.levels.is(Field::Given, &[Level::Exact, Level::Nickname])
            && other.levels.of(Field::Birth) == Level::Differ
        {
            company.namesake = true;
            company.namesake_of_other_gender |=
                relative.gender.is_some() && asked.gender.is_some() && relative.gender != asked.gender;
        }
    }
    company
}

/// Whether the first name of `written` is nobody's name, a slip away from a name, and from none that `meant` may bear.
pub(crate) fn another_name(written: &Profile, meant: &Profile, facts: &Facts) -> bool {
    let first = |profile: &Profile| {
        profile
            .names
            .first()
            .and_then(|name| name.given.first())
            .cloned()
            .unwrap_or_default()
    };
    let (written, meant) = (first(written), first(meant));
    if written.len() < 4 || facts.is_given_name(&written) {
        return false;
    }
    let mut near = crate::text::one_edit_away(&written)
        .into_iter()
        .filter(|name| facts.is_given_name(name))
        .peekable();
    near.peek().is_some() && near.all(|name| name != meant && !crate::nickname::variants(&name, &meant))
}

/// The first guard that forbids an automatic match; the order is from the strongest contradiction to the least evidence.
pub(crate) fn guard(levels: &Levels, company: Company, suffixed: bool, point: Point) -> Option<Guard> {
    use Level::{Alike, Differ, Exact, Far, Missing, Near, Nickname, Part, Partial, Slip, SlipKnown, Swapped};
    let number = levels.is(Field::Ssn, &[Exact, Slip, Partial]);
    let evidence = evidence(levels);
    let at_home = evidence_of_home(levels);
    let id = levels.is(Field::MemberId, &[Exact]);
    let same_given = levels.is(Field::Given, &[Exact, Nickname, Swapped]);
    let near_given = same_given || levels.is(Field::Given, &[Part, Slip, Partial]);
    let same_family = levels.is(Field::Family, &[Exact, Part, Slip, Swapped]);
    let same_day = levels.is(Field::Birth, &[Exact]);
    let own = evidence == Evidence::Own;
    // Names, day, house and the card: an SSN typed wrong, not a stranger.
    let all_but_ssn = id && same_given && same_family && same_day && levels.is(Field::Address, &[Exact, Slip]);

    if levels.is(Field::MemberId, &[Differ]) {
        return Some(Guard::IdContradicts);
    }
    if levels.is(Field::Ssn, &[Differ]) && !(all_but_ssn && point == Point::Balanced) {
        return Some(Guard::SsnContradicts);
    }
    if levels.is(Field::Suffix, &[Differ]) && !(levels.is(Field::Ssn, &[Exact]) && same_day) {
        return Some(Guard::Generation);
    }
    if levels.is(Field::Birth, &[Far]) && !(number && same_given) {
        return Some(Guard::BirthGeneration);
    }
    if levels.is(Field::Birth, &[Missing, Partial]) {
        // A suffix on either side says that there is a namesake; without a date nothing tells them apart.
        let enough = 2 - usize::from(levels.is(Field::Middle, &[Exact, Partial]));
        let settled = homes(levels) >= enough && !suffixed && !company.namesake && levels.of(Field::Middle) != Differ;
        let named = ((settled || id) && same_given) || (own && near_given);
        if !(named && same_family) {
            return Some(Guard::BirthMissing);
        }
    }
    if levels.is(Field::Birth, &[Differ]) && !(number && same_given && same_family && at_home) {
        return Some(Guard::BirthDiffers);
    }
    if levels.is(Field::Birth, &[Slip, Swapped, Near, Part]) {
        let close = levels.is(Field::Birth, &[Slip, Swapped]);
        // Another day is further than a slip; a card alone does not bridge it, or dates could be tried with a card in hand.
        let middle = levels.is(Field::Middle, &[Exact, Partial]);
        let more = middle || levels.is(Field::Phone, &[Exact]) || levels.is(Field::Address, &[Exact, Slip]);
        let held = at_home && (close || (same_given && more));
        let vouched = own || (held && levels.of(Field::Middle) != Differ);
        let full = [Field::Given, Field::Family]
            .into_iter()
            .all(|field| levels.of(field) == Exact)
            && levels.of(Field::Gender) != Differ;
        let thin = close && full && middle;
        if !((vouched || thin) && near_given) {
            return Some(Guard::BirthSlip);
        }
    }
    if levels.is(Field::Given, &[Differ, SlipKnown, Alike, Missing]) && !(same_day && given_vouched(levels, company)) {
        return Some(Guard::GivenDiffers);
    }
    if levels.of(Field::Gender) == Differ {
        let pet_name =
            levels.of(Field::Given) == Nickname && (own || id || levels.is(Field::Middle, &[Exact, Partial]));
        if !(number || pet_name || levels.is(Field::Given, &[Exact, Swapped])) {
            return Some(Guard::GenderDiffers);
        }
    }
    if levels.is(Field::Family, &[Differ, Alike, Missing]) {
        let dated = same_day
            || (levels.is(Field::Birth, &[Slip, Swapped])
                && levels.is(Field::Given, &[Exact])
                && (own || id || (at_home && levels.is(Field::Middle, &[Exact]))));
        // An initial is too little when the family name is no help.
        let named = (near_given && levels.of(Field::Given) != Partial) || (number && same_day);
        // A woman who married and moved: all that is hers agrees.
        let married = same_day
            && levels.is(Field::Given, &[Exact])
            && levels.is(Field::Gender, &[Exact])
            && thin_things(levels) >= 2;
        if !(dated && named && evidence >= Evidence::Home || married) {
            return Some(Guard::FamilyDiffers);
        }
    }
    match evidence {
        Evidence::Nothing => Some(Guard::NothingElse),
        Evidence::Faint | Evidence::Thin => {
            // Names that are both not the very same need two thin things, or the risk that `balanced` takes.
            let exact = [Field::Given, Field::Family]
                .into_iter()
                .any(|field| levels.of(field) == Exact);
            let two = thin_things(levels) >= 2;
            let contradicted = levels.is(Field::Middle, &[Differ])
                || (levels.is(Field::Gender, &[Differ]) && !two)
                || (point == Point::Safe && thin_contradictions(levels) > thin_allowance(levels));
            let enough = two || (near_given && same_family && (exact || point == Point::Balanced));
            (contradicted || !enough).then_some(Guard::ThinContradicted)
        }
        _ => None,
    }
}

/// How many thin things agree; a whole middle name and a postal code count twice.
fn thin_things(levels: &Levels) -> usize {
    use Level::{Exact, Far, Near, Part, Partial, Slip};
    2 * usize::from(levels.is(Field::Middle, &[Exact]))
        + usize::from(levels.is(Field::Middle, &[Partial]))
        + 2 * usize::from(levels.is(Field::Address, &[Near]))
        + usize::from(levels.is(Field::Address, &[Far]))
        + usize::from(levels.is(Field::Phone, &[Slip]))
        + usize::from(levels.is(Field::Email, &[Part]))
}

/// How many things that a person keeps, mostly, are others'.
fn contradictions(levels: &Levels) -> usize {
    [
        (Field::Phone, Level::Differ),
        (Field::Email, Level::Differ),
        (Field::MemberId, Level::Foreign),
    ]
    .into_iter()
    .filter(|(field, level)| levels.of(*field) == *level)
    .count()
}

/// The same where an initial is the best there is: a telephone and a state that are both others' say together that somebody is.
fn thin_contradictions(levels: &Levels) -> usize {
    let elsewhere = levels.is(Field::Middle, &[Level::Partial])
        && levels.is(Field::Phone, &[Level::Differ])
        && levels.is(Field::Address, &[Level::Differ]);
    contradictions(levels) + usize::from(elsewhere)
}

/// How many contradictions thin evidence bears: one for a middle name and one for the town, or for the postal code alone.
fn thin_allowance(levels: &Levels) -> usize {
    let middle = levels.is(Field::Middle, &[Level::Exact, Level::Partial]);
    let near = levels.is(Field::Address, &[Level::Near]);
    let far = levels.is(Field::Address, &[Level::Far]);
    usize::from(middle) + usize::from(near || (far && middle))
}

/// Whether something answers for a first name that is not the record's. A twin has all that a household shares and the day too,
/// so only what is the person's own does.
fn given_vouched(levels: &Levels, company: Company) -> bool {
    use Level::{Alike, Differ, Exact, Far, Near, Part, Partial, Slip, SlipKnown, Swapped};
    let number = levels.is(Field::Ssn, &[Exact, Slip, Partial]);
    let email = levels.is(Field::Email, &[Exact]);
    let id = levels.is(Field::MemberId, &[Exact]);
    let same_family = levels.is(Field::Family, &[Exact, Part, Slip, Swapped]);
    let at_home = evidence_of_home(levels);
    let gender = levels.of(Field::Gender) != Differ;
    // A form about a child is often filled in with the card, the birth date and the gender of the parent who is insured. So
    // what stands on a card does not answer for another's first name; what nobody copies from it does.
    let beyond_the_card =
        number || email || levels.is(Field::Middle, &[Exact, Partial]) || levels.is(Field::Suffix, &[Exact]);
    let written_by_mistake = company.namesake
        && !company.twin
        && same_family
        && gender
        && at_home
        && beyond_the_card
        && (id || (company.namesake_of_other_gender && levels.is(Field::Gender, &[Exact])));
    let town = levels.is(Field::Address, &[Near, Far]) && contradictions(levels) == 0;
    let middle = levels.is(Field::Middle, &[Exact]) && same_family && gender && (at_home || town) && !company.twin;
    match levels.of(Field::Given) {
        Alike => number || email || ((id || at_home) && same_family && !company.another_name),
        SlipKnown => number || email || id || middle,
        _ => (number && (id || at_home)) || written_by_mistake || middle,
    }
}

/// How many of house, telephone and member number agree.
fn homes(levels: &Levels) -> usize {
    use Level::{Exact, Partial, Slip};
    usize::from(levels.is(Field::Phone, &[Exact]))
        + usize::from(levels.is(Field::Address, &[Exact, Slip]))
        + usize::from(levels.is(Field::MemberId, &[Exact, Partial, Slip]))
}

/// A house, a telephone or a member number that agrees.
fn evidence_of_home(levels: &Levels) -> bool {
    let mut home = *levels;
    home.set(Field::Ssn, Level::Missing);
    home.set(Field::Email, Level::Missing);
    evidence(&home) == Evidence::Home
}
