//! Member numbers: whose number is in the request, from the view of each candidate. This needs all candidates, because the number may be a
//! relative's.

use crate::address::Nearness;
use crate::facts::{DEPENDENT_DIGITS, Facts};
use crate::field::Level;
use crate::person::Profile;
use crate::text::edits;

/// The level of the numbers in the request for the candidate `index` of `held`.
///
/// All numbers are considered: one that contradicts overrules one that agrees. `same` says whether two candidates are records of one
/// person; the numbers of such records count for each other.
pub fn level(
    asked: &Profile,
    index: usize,
    held: &[&Profile],
    facts: &Facts,
    same: &dyn Fn(usize, usize) -> bool,
) -> Level {
    let mut best = Level::Missing;
    if let Some(record) = held
        .get(index)
        .filter(|record| !asked.umb.is_empty() && !record.umb.is_empty())
    {
        if record.umb != asked.umb {
            return Level::Differ;
        }
        best = Level::Exact;
    }
    let sent = asked.member_ids.iter().chain(&asked.subscriber_ids);
    for id in sent {
        let one = one(id, asked, index, held, facts, same);
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
    subscriber_numbers(held).any(|own| own == id)
}

/// The subscriber numbers of a record. If it has none, its member numbers without their last digits are used. This is done only then,
/// because otherwise neighbors would become households at a payer whose member numbers are consecutive.
fn subscriber_numbers(held: &Profile) -> impl Iterator<Item = &str> {
    let parts: &[String] = if held.subscriber_ids.is_empty() {
        &held.member_ids
    } else {
        &[]
    };
    let named = held.subscriber_ids.iter().map(String::as_str);
    named.chain(parts.iter().map(|id| subscriber_part(id)))
}

fn has_member(held: &Profile, id: &str) -> bool {
    held.member_ids.iter().any(|own| own == id)
}

fn is_slip(held: &Profile, id: &str) -> bool {
    let slip = |own: &str| id.len() >= 6 && edits(own, id, 1) <= 1;
    held.member_ids.iter().any(|own| slip(own)) || subscriber_numbers(held).any(slip)
}

fn one(
    id: &str,
    asked: &Profile,
    index: usize,
    held: &[&Profile],
    facts: &Facts,
    same: &dyn Fn(usize, usize) -> bool,
) -> Level {
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
    // This payer's number is often sent with somebody else's identifier system, so its form counts for more than its system.
    let ours =
        asked.own_numbers.iter().any(|one| one == id) || facts.is_member_form(id) || facts.is_subscriber_form(id);
    if owned || ours { Level::Differ } else { Level::Foreign }
}

/// The subscriber numbers of a record, without duplicates.
pub fn subscribers(record: &Profile) -> Vec<&str> {
    let mut ids: Vec<&str> = subscriber_numbers(record).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Whether two records have a subscriber number in common.
pub fn insured_with(a: &Profile, b: &Profile) -> bool {
    subscriber_numbers(a).any(|id| has_subscriber(b, id))
}

/// Whether two records share a home: an address, a telephone number or a subscriber number.
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

/// Whether a record has this number as member number or as subscriber number.
pub fn bears(record: &Profile, id: &str) -> bool {
    has_member(record, id) || has_subscriber(record, id)
}

/// Whether two records have a member number in common.
pub fn shares_number(a: &Profile, b: &Profile) -> bool {
    a.member_ids.iter().any(|id| has_member(b, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(member: &str, subscriber: &str) -> Profile {
        Profile {
            member_ids: vec![member.into()],
            subscriber_ids: if subscriber.is_empty() {
                vec![]
            } else {
                vec![subscriber.into()]
            },
            ..Profile::default()
        }
    }

    fn sent(id: &str, asked: Profile, held: &[Profile]) -> Level {
        let facts: Facts = held.iter().collect();
        let held: Vec<&Profile> = held.iter().collect();
        let asked = Profile {
            member_ids: vec![id.into()],
            ..asked
        };
        level(&asked, 0, &held, &facts, &|_, _| false)
    }

    #[test]
    fn numbers_that_count_up_make_no_household() {
        let neighbours = [record("M1905393", "S1"), record("M1905377", "S2")];
        assert!(!insured_with(&neighbours[0], &neighbours[1]));
        assert_eq!(sent("M1905377", Profile::default(), &neighbours), Level::Differ);
        let family = [record("W1234567801", ""), record("W1234567802", "")];
        assert!(insured_with(&family[0], &family[1]));
        assert_eq!(sent("W1234567802", Profile::default(), &family), Level::Remote);
    }

    #[test]
    fn whose_number_it_is_said_to_be_counts_before_its_form() {
        let held = [record("M1905393", "S1")];
        let own = Profile {
            own_numbers: vec!["M4".into()],
            ..Profile::default()
        };
        assert_eq!(sent("M4", Profile::default(), &held), Level::Foreign);
        assert_eq!(sent("M4", own, &held), Level::Differ);
        let form = |id| sent(id, Profile::default(), &held);
        assert_eq!((form("M7777777"), form("H12")), (Level::Differ, Level::Foreign));
    }

    #[test]
    fn another_umb_contradicts_whatever_the_card_says() {
        let held = [Profile {
            umb: "U1".into(),
            ..record("M1905393", "S1")
        }];
        let asked = |umb: &str| Profile {
            umb: umb.into(),
            ..Profile::default()
        };
        assert_eq!(sent("M1905393", asked("U2"), &held), Level::Differ);
        assert_eq!(sent("M1905393", asked("U1"), &held), Level::Exact);
    }
}
