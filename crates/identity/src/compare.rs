//! Compares two people field by field. Knows levels, no weight and no decision. Names are compared in `names`, member numbers in
//! [`crate::ids`].

use crate::address::{AddressForm, Nearness};
use crate::comparison::Comparison;
use crate::date::{self, DateClass};
use crate::facts::Facts;
use crate::field::{Field, Level};
use crate::names::names;
use crate::person::Profile;
use crate::text::edits;

/// Compares what was asked with a record.
pub fn compare(asked: &Profile, held: &Profile, facts: &Facts) -> Comparison {
    let mut found = names(asked, held, facts);
    let levels = &mut found.levels;
    levels.set(Field::Birth, birth(asked, held));
    let gender = match (asked.gender, held.gender) {
        (Some(a), Some(b)) if a == b => Level::Exact,
        (Some(_), Some(_)) => Level::Differ,
        _ => Level::Missing,
    };
    levels.set(Field::Gender, gender);
    levels.set(Field::Ssn, ssn(asked, held));
    levels.set(Field::Email, email(asked, held));
    if levels.is(Field::Family, &[Level::Differ, Level::Alike]) && (once_named(asked, held) || once_named(held, asked))
    {
        levels.set(Field::Family, Level::Part);
    }
    let unsure = levels.is(Field::Given, &[Level::Differ, Level::Alike, Level::SlipKnown]);
    if unsure && (known_as(asked, held) || known_as(held, asked)) {
        levels.set(Field::Given, Level::Part);
    }
    levels.set(Field::Phone, phone(asked, held));
    levels.set(Field::Address, address(asked, held));
    found
}

/// Raises what differs to what a relative explains: children have their parents' telephone, and move to one of them.
pub fn explain_by_relatives<'a>(
    compared: &mut Comparison,
    asked: &Profile,
    relatives: impl Iterator<Item = &'a Profile>,
) {
    let levels = &mut compared.levels;
    for relative in relatives {
        if levels.is(Field::Phone, &[Level::Missing, Level::Differ]) && phone(asked, relative) == Level::Exact {
            levels.set(Field::Phone, Level::Relative);
        }
        if levels.is(Field::Address, &[Level::Near, Level::Far, Level::Remote, Level::Differ]) {
            match address(asked, relative) {
                Level::Exact | Level::Slip => levels.set(Field::Address, Level::Relative),
                Level::Near | Level::Far if levels.is(Field::Address, &[Level::Remote, Level::Differ]) => {
                    levels.set(Field::Address, Level::Far);
                }
                _ => {}
            }
        }
    }
}

fn birth(asked: &Profile, held: &Profile) -> Level {
    let (Some(a), Some(b)) = (asked.birth, held.birth) else {
        return Level::Missing;
    };
    match date::compare(a, b) {
        DateClass::Same => Level::Exact,
        DateClass::Precision => Level::Partial,
        DateClass::DayMonth => Level::Swapped,
        DateClass::Digit => Level::Slip,
        DateClass::Year => Level::Near,
        DateClass::Generation => Level::Far,
        DateClass::Part => Level::Part,
        DateClass::Other => Level::Differ,
    }
}

fn ssn(asked: &Profile, held: &Profile) -> Level {
    let (a, b) = (&asked.ssn, &held.ssn);
    if !a.is_empty() && !b.is_empty() {
        return match edits(a, b, 1) {
            0 => Level::Exact,
            1 => Level::Slip,
            _ => Level::Differ,
        };
    }
    let (a, b) = (&asked.ssn_last4, &held.ssn_last4);
    if a.is_empty() || b.is_empty() {
        Level::Missing
    } else if a == b {
        Level::Partial
    } else {
        Level::Differ
    }
}

fn email(asked: &Profile, held: &Profile) -> Level {
    if asked.emails.is_empty() || held.emails.is_empty() {
        return Level::Missing;
    }
    let mut level = Level::Differ;
    for a in &asked.emails {
        for b in &held.emails {
            if a == b {
                return Level::Exact;
            }
            if a.local == b.local && a.local.len() >= 5 {
                level = Level::Part;
            }
        }
    }
    level
}

/// Whether one side's e-mail address still bears the other side's family name.
fn once_named(named: &Profile, addressed: &Profile) -> bool {
    let mut names = named
        .names
        .iter()
        .map(|name| name.family_joined.as_str())
        .filter(|name| name.len() >= 4);
    names.any(|name| addressed.emails.iter().any(|email| email.local.contains(name)))
}

/// Whether one side's e-mail address calls its owner by the other side's first name: a name the person goes by.
fn known_as(named: &Profile, addressed: &Profile) -> bool {
    let firsts = named
        .names
        .iter()
        .filter_map(|name| name.given.first())
        .filter(|first| first.len() >= 4);
    let own = |local: &str| {
        let mut own = addressed.names.iter().filter_map(|name| name.given.first());
        own.any(|first| local.contains(first.as_str()))
    };
    firsts.into_iter().any(|first| {
        addressed
            .emails
            .iter()
            .any(|email| email.local.contains(first.as_str()) && !own(&email.local))
    })
}

fn phone(asked: &Profile, held: &Profile) -> Level {
    if asked.phones.is_empty() || held.phones.is_empty() {
        return Level::Missing;
    }
    let pairs = || {
        asked
            .phones
            .iter()
            .flat_map(|a| held.phones.iter().map(move |b| (a, b)))
    };
    if pairs().any(|(a, b)| a == b) {
        Level::Exact
    } else if pairs().any(|(a, b)| edits(a, b, 1) <= 1) {
        Level::Slip
    } else {
        Level::Differ
    }
}

/// Where several addresses are sent, a town or a state counts only when each of them is there: one of eight is a guess.
fn address(asked: &Profile, held: &Profile) -> Level {
    let nearest = |a: &AddressForm| held.addresses.iter().filter_map(|b| a.nearness(b)).min();
    let mut found = asked.addresses.iter().filter_map(nearest);
    let Some(first) = found.next() else {
        return Level::Missing;
    };
    let (best, worst) = found.fold((first, first), |(best, worst), one| (best.min(one), worst.max(one)));
    match if best <= Nearness::Close { best } else { worst } {
        Nearness::Same => Level::Exact,
        Nearness::Close => Level::Slip,
        Nearness::Zip => Level::Near,
        Nearness::City => Level::Far,
        Nearness::State => Level::Remote,
        Nearness::Elsewhere => Level::Differ,
    }
}
