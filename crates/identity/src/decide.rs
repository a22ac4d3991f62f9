//! Decides: match, review or none. The one place where scores, rules and guards meet.
//!
//! A guard forbids an automatic match whatever the score says. Nothing is matched on an identifier alone, nor on name and
//! birth date with nothing else agreeing. Two records of one person are not rivals.

use crate::card::{self, Meant};
use crate::compare::{self, Comparison, compare, explain_by_relatives};
use crate::facts::Facts;
use crate::field::{Field, Level, Levels};
use crate::guard::{Evidence, Guard, another_name, company, evidence, guard};
use crate::ids;
use crate::person::{NameForm, Profile};
use crate::policy::{Bounds, Point, Policy};
use crate::rules;
use crate::score::{Score, score};
use serde::Serialize;
use std::collections::HashMap;

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Exactly one person; index of the candidate.
    Match(usize),
    /// A person must look; index of the best candidate.
    Review(usize),
    /// Nobody.
    None,
}

/// One candidate and why it scored what it did.
#[derive(Clone, Debug)]
pub struct Scored {
    /// Index into the candidates.
    pub candidate: usize,
    /// The level of each field.
    pub levels: Levels,
    /// Weights and their sum.
    pub score: Score,
    /// The deterministic rule that holds.
    pub rule: Option<&'static str>,
}

/// An outcome and everything that led to it, without any value of either side.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What was decided.
    pub outcome: Outcome,
    /// The guard that spoke, if one did.
    pub guard: Option<Guard>,
    /// Bits between the first and the next person; infinite when there is no other.
    pub margin: f64,
    /// What the operating point asked for.
    pub bounds: Bounds,
    /// The bits that the best candidate needed, by the evidence it has; none without a candidate.
    pub needed: Option<f64>,
    /// The candidates, best first.
    pub ranked: Vec<Scored>,
}

/// Decides which of the candidates `held` is the person `asked` for.
pub fn decide(asked: &Profile, held: &[&Profile], facts: &Facts, policy: &Policy, point: Point) -> Decision {
    let mut households = Households::new();
    for (index, record) in held.iter().enumerate() {
        for id in ids::subscribers(record) {
            households.entry(id).or_default().push(index);
        }
    }
    let mut ranked: Vec<Scored> = held
        .iter()
        .enumerate()
        .map(|(index, record)| scored(asked, (index, record), held, &households, facts, policy))
        .collect();
    ranked.sort_by(|a, b| {
        b.score
            .total
            .total_cmp(&a.score.total)
            .then(a.candidate.cmp(&b.candidate))
    });
    let meant = card::meant(asked, &ranked, held, facts);
    let asked = Asked {
        asked,
        held,
        facts,
        policy,
        point,
    };
    let mut decision = match meant {
        Meant::Rank(rank) => asked.by_card(ranked, rank),
        Meant::Best | Meant::Several => asked.concluded(ranked),
    };
    if meant == Meant::Several && matches!(decision.outcome, Outcome::Match(_)) {
        decision.leave_to_a_person();
    }
    decision
}

/// What a decision is taken by, besides the ranking.
struct Asked<'a> {
    asked: &'a Profile,
    held: &'a [&'a Profile],
    facts: &'a Facts,
    policy: &'a Policy,
    point: Point,
}

impl Asked<'_> {
    /// Decides about the candidate at `rank`, which bears the number that was sent, before the best, which is a record of the same
    /// person. The best is granted only when it bears no number at all, so that nothing contradicts.
    fn by_card(&self, ranked: Vec<Scored>, rank: usize) -> Decision {
        let mut by_card = ranked.clone();
        if let Some(first) = by_card.get_mut(..=rank) {
            first.rotate_right(1);
        }
        let preferred = self.concluded(by_card);
        if matches!(preferred.outcome, Outcome::Match(_)) {
            return preferred;
        }
        let mut best = self.concluded(ranked);
        let carded = |at: usize| self.held.get(at).is_some_and(|record| card::has_card(record));
        match best.outcome {
            Outcome::Match(at) if carded(at) => {
                best.leave_to_a_person();
                best
            }
            _ => best,
        }
    }

    /// Decides about the first of `ranked`.
    fn concluded(&self, ranked: Vec<Scored>) -> Decision {
        let Asked {
            asked,
            held,
            facts,
            policy,
            point,
        } = *self;
        let bounds = policy.bounds(point);
        let mut decision = Decision {
            outcome: Outcome::None,
            guard: None,
            margin: f64::INFINITY,
            bounds,
            needed: None,
            ranked,
        };
        let Some(top) = decision.ranked.first_mut() else {
            return decision;
        };
        let (best, total) = (top.candidate, top.score.total);
        top.rule = rules::first(&top.levels, facts, policy);
        let top = top.clone();
        decision.needed = Some(needed(&top, bounds));
        let Some(record) = held.get(best) else {
            return decision;
        };
        let rival = decision.ranked.iter().skip(1).find(|other| {
            let near = total - other.score.total < 2.0 * bounds.margin.max(1.0);
            !(near
                && held
                    .get(other.candidate)
                    .is_some_and(|second| same_person(record, second, facts)))
        });
        if let Some(rival) = rival {
            decision.margin = total - rival.score.total;
        }
        let mut company = company(asked, record, best, &decision.ranked, held, facts);
        if top.levels.of(Field::Given) == Level::Alike {
            company.another_name = another_name(asked, record, facts) || another_name(record, asked, facts);
        }
        let suffixed = [asked, *record]
            .into_iter()
            .any(|one| one.names.iter().any(|name| name.generation.is_some()));
        let shared = |&(other, one): &(usize, &&Profile)| {
            other != best && ids::shares_number(record, one) && same_person(record, one, facts)
        };
        let shared = held.iter().enumerate().find(shared).map(|_| Guard::SharedNumber);
        decision.guard = guard(&top.levels, company, suffixed, point)
            .or_else(|| are_several(asked, record, facts).then_some(Guard::SeveralPeople))
            .or(shared)
            .or_else(|| (decision.margin < bounds.margin).then_some(Guard::Rival))
            .or_else(|| weak(&top, bounds));
        decision.outcome = match decision.guard {
            None => Outcome::Match(best),
            Some(_) if worth_a_look(&top, bounds) => Outcome::Review(best),
            Some(_) => Outcome::None,
        };
        decision
    }
}

/// Candidates by the subscriber numbers they are insured under.
type Households<'a> = HashMap<&'a str, Vec<usize>>;

fn scored(
    asked: &Profile,
    (index, record): (usize, &Profile),
    held: &[&Profile],
    households: &Households<'_>,
    facts: &Facts,
    policy: &Policy,
) -> Scored {
    let mut compared: Comparison = compare(asked, record, facts);
    let same = |a: usize, b: usize| match (held.get(a), held.get(b)) {
        (Some(a), Some(b)) => same_person(a, b, facts),
        _ => false,
    };
    let own = ids::subscribers(record);
    let relatives = own
        .iter()
        .filter_map(|id| households.get(id))
        .flatten()
        .filter(|i| **i != index);
    explain_by_relatives(&mut compared, asked, relatives.filter_map(|i| held.get(*i).copied()));
    let id = ids::level(asked, index, held, facts, &same);
    compared.levels.set(Field::MemberId, id);
    Scored {
        candidate: index,
        levels: compared.levels,
        score: score(&compared, facts, policy),
        rule: None,
    }
}

/// Whether two records are of one person: what is the person's own agrees, nothing of it contradicts, and one thing more.
pub fn same_person(a: &Profile, b: &Profile, facts: &Facts) -> bool {
    use Level::{Differ, Exact, Missing, Nickname, Part, Partial, Slip};
    let levels = compare(a, b, facts).levels;
    let number = levels.is(Field::Ssn, &[Exact]);
    // Twins are often a letter apart, and share the rest: Jaylen and Kaylen.
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

/// Given names that one person may have in one name.
const GIVEN_MOST: usize = 6;

/// Whether the names that were sent are those of several people: a request is about one, and the best of many names proves little.
/// Names that the record has too are one person's, however they differ.
fn are_several(asked: &Profile, record: &Profile, facts: &Facts) -> bool {
    let of_record = |name: &NameForm| record.names.iter().any(|own| compare::may_be_one(name, own, facts));
    let differ = |one: &NameForm, other: &NameForm| {
        let may_be_one = compare::may_be_one(one, other, facts) || (of_record(one) && of_record(other));
        !may_be_one
    };
    asked.names.iter().enumerate().any(|(at, one)| {
        one.given.len() > GIVEN_MOST || asked.names.iter().skip(at + 1).any(|other| differ(one, other))
    })
}

fn weak(top: &Scored, bounds: Bounds) -> Option<Guard> {
    (top.score.total < needed(top, bounds) && top.rule.is_none()).then_some(Guard::Weak)
}

fn needed(top: &Scored, bounds: Bounds) -> f64 {
    let renamed = top.levels.is(Field::Family, &[Level::Differ, Level::Alike]);
    match evidence(&top.levels) {
        Evidence::Thin if renamed => bounds.renamed,
        Evidence::Faint => bounds.faint,
        Evidence::Thin => bounds.thin,
        _ => bounds.accept,
    }
}

impl Decision {
    /// Takes a match back, because another record of the same person bears a number that was sent.
    fn leave_to_a_person(&mut self) {
        if let Outcome::Match(best) = self.outcome {
            (self.outcome, self.guard) = (Outcome::Review(best), Some(Guard::OtherCard));
        }
    }

    /// The candidates that a person has to choose from: those worth a look, and whoever comes as near to the best as a rival. How
    /// many, as they are ranked.
    pub fn contenders(&self) -> usize {
        let Some(top) = self.ranked.first() else { return 0 };
        let near = |one: &&Scored| {
            worth_a_look(one, self.bounds) || top.score.total - one.score.total < self.bounds.margin.max(1.0)
        };
        self.ranked.iter().take_while(near).count()
    }
}

/// Whether a person should look at what was not matched.
fn worth_a_look(top: &Scored, bounds: Bounds) -> bool {
    top.score.total >= bounds.review
}
