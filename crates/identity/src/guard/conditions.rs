//! The condition of each guard: whether it forbids an automatic match. There is one function for each row of the table, in the same order.
//! Each depends only on the case, not on the other guards.

use super::case::GuardCase;
use crate::candidate::same_person;
use crate::company::Company;
use crate::evidence::{
    Evidence, contradictions, evidence_of_home, homes, thin_allowance, thin_contradictions, thin_things,
};
use crate::facts::Facts;
use crate::field::{Field, Level, Levels};
use crate::ids;
use crate::names;
use crate::person::{NameForm, Profile};
use crate::policy::Point;
use Level::{Alike, Differ, Exact, Far, Missing, Near, Nickname, Part, Partial, Slip, SlipKnown, Swapped};

/// Whether the social security number agrees, wholly or in part.
fn number(levels: &Levels) -> bool {
    levels.is(Field::Ssn, &[Exact, Slip, Partial])
}

fn same_given(levels: &Levels) -> bool {
    levels.is(Field::Given, &[Exact, Nickname, Swapped])
}

fn near_given(levels: &Levels) -> bool {
    same_given(levels) || levels.is(Field::Given, &[Part, Slip, Partial])
}

fn same_family(levels: &Levels) -> bool {
    levels.is(Field::Family, &[Exact, Part, Slip, Swapped])
}

fn same_day(levels: &Levels) -> bool {
    levels.is(Field::Birth, &[Exact])
}

/// Whether the member number is exactly the same.
fn same_id(levels: &Levels) -> bool {
    levels.is(Field::MemberId, &[Exact])
}

/// Whether the middle name or its initial agrees.
fn middle(levels: &Levels) -> bool {
    levels.is(Field::Middle, &[Exact, Partial])
}

impl GuardCase<'_> {
    /// Whether something agrees that belongs to the person alone.
    fn own(&self) -> bool {
        self.evidence == Evidence::Own
    }
}

pub(super) fn id_contradicts(case: &GuardCase<'_>) -> bool {
    case.levels.is(Field::MemberId, &[Differ])
}

pub(super) fn ssn_contradicts(case: &GuardCase<'_>) -> bool {
    let levels = &case.levels;
    // Names, birth date, address and member number agree, so the number was probably mistyped.
    let all_but_ssn = same_id(levels)
        && same_given(levels)
        && same_family(levels)
        && same_day(levels)
        && levels.is(Field::Address, &[Exact, Slip]);
    levels.is(Field::Ssn, &[Differ]) && !(all_but_ssn && case.point == Point::Balanced)
}

pub(super) fn generation(case: &GuardCase<'_>) -> bool {
    let levels = &case.levels;
    levels.is(Field::Suffix, &[Differ]) && !(levels.is(Field::Ssn, &[Exact]) && same_day(levels))
}

pub(super) fn birth_generation(case: &GuardCase<'_>) -> bool {
    let levels = &case.levels;
    levels.is(Field::Birth, &[Far]) && !(number(levels) && same_given(levels))
}

pub(super) fn birth_missing(case: &GuardCase<'_>) -> bool {
    let levels = &case.levels;
    if !levels.is(Field::Birth, &[Missing, Partial]) {
        return false;
    }
    // A suffix on either side means that somebody has the same name; without a birth date nothing distinguishes the two.
    let enough = 2 - usize::from(middle(levels));
    let settled =
        homes(levels) >= enough && !case.suffixed && !case.company.namesake && levels.of(Field::Middle) != Differ;
    let named = ((settled || same_id(levels)) && same_given(levels)) || (case.own() && near_given(levels));
    !(named && same_family(levels))
}

pub(super) fn birth_differs(case: &GuardCase<'_>) -> bool {
    let levels = &case.levels;
    let vouched = number(levels) && same_given(levels) && same_family(levels) && evidence_of_home(levels);
    levels.is(Field::Birth, &[Differ]) && !vouched
}

pub(super) fn birth_slip(case: &GuardCase<'_>) -> bool {
    let levels = &case.levels;
    if !levels.is(Field::Birth, &[Slip, Swapped, Near, Part]) {
        return false;
    }
    let close = levels.is(Field::Birth, &[Slip, Swapped]);
    // Another day is more than a typing error. A member number alone does not outweigh it, or somebody with a card could try dates.
    let more = middle(levels) || levels.is(Field::Phone, &[Exact]) || levels.is(Field::Address, &[Exact, Slip]);
    let held = evidence_of_home(levels) && (close || (same_given(levels) && more));
    let vouched = case.own() || (held && levels.of(Field::Middle) != Differ);
    let full = [Field::Given, Field::Family]
        .into_iter()
        .all(|field| levels.of(field) == Exact)
        && levels.of(Field::Gender) != Differ;
    let thin = close && full && middle(levels);
    !((vouched || thin) && near_given(levels))
}

pub(super) fn given_differs(case: &GuardCase<'_>) -> bool {
    let levels = &case.levels;
    levels.is(Field::Given, &[Differ, SlipKnown, Alike, Missing])
        && !(same_day(levels) && given_vouched(levels, case.company))
}

pub(super) fn gender_differs(case: &GuardCase<'_>) -> bool {
    let levels = &case.levels;
    let pet_name = levels.of(Field::Given) == Nickname && (case.own() || same_id(levels) || middle(levels));
    levels.of(Field::Gender) == Differ && !(number(levels) || pet_name || levels.is(Field::Given, &[Exact, Swapped]))
}

pub(super) fn family_differs(case: &GuardCase<'_>) -> bool {
    let levels = &case.levels;
    if !levels.is(Field::Family, &[Differ, Alike, Missing]) {
        return false;
    }
    let dated = same_day(levels)
        || (levels.is(Field::Birth, &[Slip, Swapped])
            && levels.is(Field::Given, &[Exact])
            && (case.own() || same_id(levels) || (evidence_of_home(levels) && levels.is(Field::Middle, &[Exact]))));
    // An initial is not enough when the family name does not agree.
    let named = (near_given(levels) && levels.of(Field::Given) != Partial) || (number(levels) && same_day(levels));
    // A woman who married and moved: everything that is hers alone agrees.
    let married = same_day(levels)
        && levels.is(Field::Given, &[Exact])
        && levels.is(Field::Gender, &[Exact])
        && thin_things(levels) >= 2;
    !(dated && named && case.evidence >= Evidence::Home || married)
}

pub(super) fn nothing_else(case: &GuardCase<'_>) -> bool {
    case.evidence == Evidence::Nothing
}

pub(super) fn thin_contradicted(case: &GuardCase<'_>) -> bool {
    if !matches!(case.evidence, Evidence::Faint | Evidence::Thin) {
        return false;
    }
    let levels = &case.levels;
    // When neither name is exactly the same, two points of thin evidence are needed, or the risk that `balanced` accepts.
    let exact = [Field::Given, Field::Family]
        .into_iter()
        .any(|field| levels.of(field) == Exact);
    let two = thin_things(levels) >= 2;
    let contradicted = levels.is(Field::Middle, &[Differ])
        || (levels.is(Field::Gender, &[Differ]) && !two)
        || (case.point == Point::Safe && thin_contradictions(levels) > thin_allowance(levels));
    let names = near_given(levels) && same_family(levels) && (exact || case.point == Point::Balanced);
    contradicted || !(two || names)
}

pub(super) fn several_people(case: &GuardCase<'_>) -> bool {
    are_several(case.asked, case.record, case.facts)
}

pub(super) fn shared_number(case: &GuardCase<'_>) -> bool {
    case.held.iter().enumerate().any(|(other, one)| {
        other != case.best && ids::shares_number(case.record, one) && same_person(case.record, one, case.facts)
    })
}

pub(super) fn rival(case: &GuardCase<'_>) -> bool {
    case.margin < case.margin_needed
}

pub(super) fn weak(case: &GuardCase<'_>) -> bool {
    case.total < case.needed && !case.has_rule
}

pub(super) fn other_card(case: &GuardCase<'_>) -> bool {
    case.other_card
}

/// Whether another field makes up for a first name that is not the record's. A twin shares the birth date and everything that a household
/// shares, so only fields that belong to the person alone can do so.
fn given_vouched(levels: &Levels, company: Company) -> bool {
    let number = number(levels);
    let email = levels.is(Field::Email, &[Exact]);
    let id = same_id(levels);
    let same_family = same_family(levels);
    let at_home = evidence_of_home(levels);
    let gender = levels.of(Field::Gender) != Differ;
    // A form about a child is often filled in with the card, birth date and gender of the insured parent. Values on a card therefore cannot
    // make up for another first name; values that nobody copies from a card can.
    let beyond_the_card = number || email || middle(levels) || levels.is(Field::Suffix, &[Exact]);
    let written_by_mistake = company.namesake
        && !company.twin
        && same_family
        && gender
        && at_home
        && beyond_the_card
        && (id || (company.namesake_of_other_gender && levels.is(Field::Gender, &[Exact])));
    let town = levels.is(Field::Address, &[Near, Far]) && contradictions(levels) == 0;
    let whole_middle =
        levels.is(Field::Middle, &[Exact]) && same_family && gender && (at_home || town) && !company.twin;
    match levels.of(Field::Given) {
        Alike => number || email || ((id || at_home) && same_family && !company.another_name),
        SlipKnown => number || email || id || whole_middle,
        _ => (number && (id || at_home)) || written_by_mistake || whole_middle,
    }
}

/// Most given names in one name of a person.
const GIVEN_MOST: usize = 6;

/// Whether the names in the request belong to several people. A request is about one person, and the best of many names proves little.
/// Names that the record has too belong to one person, however they differ.
fn are_several(asked: &Profile, record: &Profile, facts: &Facts) -> bool {
    let of_record = |name: &NameForm| record.names.iter().any(|own| names::may_be_one(name, own, facts));
    let differ = |one: &NameForm, other: &NameForm| {
        let may_be_one = names::may_be_one(one, other, facts) || (of_record(one) && of_record(other));
        !may_be_one
    };
    asked.names.iter().enumerate().any(|(at, one)| {
        one.given.len() > GIVEN_MOST || asked.names.iter().skip(at + 1).any(|other| differ(one, other))
    })
}
