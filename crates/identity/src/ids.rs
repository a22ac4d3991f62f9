//! Member numbers: whose number was sent, seen from each candidate. Needs all candidates, because a number may be a relative's.

use crate::address::Nearness;
use crate::facts::{DEPENDENT_DIGITS, Facts};
use crate::field::Level;
use crate::person::Profile;
use crate::text::edits;

/// The level of the numbers that were sent, for the candidate `index` of `held`.
///
/// Every number must be reconcilable: one that contradicts wins over one that agrees. `same` tells whether two candidates are
/// records of one person, whose numbers stand for each other.
pub fn level(
    asked: &Profile,
    index: usize,
    held: &[&Profile],
    facts: &Facts,
    same: &dyn Fn(usize, usize) -> bool,
) -> Level {
    let mut best = Level::Missing;
    let sent = asked.member_ids.iter().chain(&asked.subscriber_ids);
    for id in sent {
        let one = one(id, index, held, facts, same);
        if one == Level::Differ {
            return Level::Differ;
        }
        if rank(one) > rank(best) {
            best = one;
        }
    }
    best
}

fn rank(level: Level) -> u8 {
    match level {
        Level::Exact => 6,
        Level::Partial => 5,
        Level::Slip => 4,
        Level::Remote => 3,
        Level::Relative => 2,
        Level::Foreign => 1,
        _ => 0,
    }
}

/// A member number without its dependent digits.
pub fn subscriber_part(member_id: &str) -> &str {
    member_id
        .len()
        .checked_sub(DEPENDENT_DIGITS)
        .filter(|cut| *cut >= 5)
        .and_then(|cut| member_id.get(..cut))
        .unwrap_or(member_id)
}

fn has_subscriber(held: &Profile, id: &str) -> bool {
    held.subscriber_ids.iter().any(|own| own == id) || held.member_ids.iter().any(|own| subscriber_part(own) == id)
}

fn has_member(held: &Profile, id: &str) -> bool {
    held.member_ids.iter().any(|own| own == id)
}

fn is_slip(held: &Profile, id: &str) -> bool {
    let slip = |own: &str| id.len() >= 6 && edits(own, id, 1) <= 1;
    held.subscriber_ids.iter().any(|own| slip(own))
        || held
            .member_ids
            .iter()
            .any(|own| slip(own) || slip(subscriber_part(own)))
}

fn one(id: &str, index: usize, held: &[&Profile], facts: &Facts, same: &dyn Fn(usize, usize) -> bool) -> Level {
    let Some(record) = held.get(index) else {
        return Level::Missing;
    };
    if has_member(record, id) {
        return Level::Exact;
    }
    if has_subscriber(record, id) {
        return Level::Partial;
    }
    let owners = || {
        held.iter()
            .enumerate()
            .filter(|(i, other)| *i != index && has_member(other, id))
    };
    if owners().any(|(i, _)| same(index, i)) {
        return Level::Exact;
    }
    let owned = owners().next().is_some();
    if has_subscriber(record, subscriber_part(id)) {
        return if !owned && is_slip(record, id) {
            Level::Slip
        } else {
            Level::Remote
        };
    }
    let household = || {
        held.iter().enumerate().filter(|(i, other)| {
            *i != index && (has_subscriber(other, id) || has_subscriber(other, subscriber_part(id)))
        })
    };
    if household().any(|(i, _)| same(index, i)) {
        return Level::Partial;
    }
    if household().any(|(_, other)| lives_with(record, other)) {
        return Level::Relative;
    }
    if !owned && is_slip(record, id) {
        return Level::Slip;
    }
    if facts.is_member_form(id) || facts.is_subscriber_form(id) {
        return Level::Differ;
    }
    Level::Foreign
}

/// The subscriber numbers of a record, each once.
pub fn subscribers(record: &Profile) -> Vec<&str> {
    let mut ids: Vec<&str> = record.subscriber_ids.iter().map(String::as_str).collect();
    ids.extend(record.member_ids.iter().map(|id| subscriber_part(id)));
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Whether two records are insured together.
pub fn insured_with(a: &Profile, b: &Profile) -> bool {
    a.member_ids.iter().any(|id| has_subscriber(b, subscriber_part(id)))
        || a.subscriber_ids.iter().any(|id| has_subscriber(b, id))
}

/// Whether two records share a home: the house, a telephone or a subscriber number.
pub fn lives_with(a: &Profile, b: &Profile) -> bool {
    let house = || {
        a.addresses.iter().any(|x| {
            b.addresses
                .iter()
                .any(|y| matches!(x.nearness(y), Some(Nearness::Same | Nearness::Close)))
        })
    };
    a.phones.iter().any(|phone| b.phones.contains(phone)) || insured_with(a, b) || house()
}
