//! Decides between match, review and no match. This is the only place that combines scores, rules and guards.
//!
//! A guard forbids an automatic match whatever the score is. Nothing is matched on an identifier alone, or on name and birth date when
//! nothing else agrees. Two records of one person do not compete with each other.

use crate::candidate::{Scored, same_person};
use crate::card::{self, Meant};
use crate::company::{another_name, company};
use crate::compare::{compare, explain_by_relatives};
use crate::comparison::Comparison;
use crate::evidence::{Evidence, evidence};
use crate::facts::Facts;
use crate::field::{Field, Level};
use crate::guard::{self, Guard, GuardCase};
use crate::ids;
use crate::person::Profile;
use crate::policy::{Bounds, MatchingPolicy, Point};
use crate::rules;
use crate::score::score;
use serde::Serialize;
use std::collections::HashMap;

/// The result of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchOutcome {
    /// Exactly one person matches; holds the index of the candidate.
    Match(usize),
    /// A reviewer must decide; holds the index of the best candidate.
    Review(usize),
    /// No candidate matches.
    None,
}

/// The result of a decision and everything that led to it, without any value of the request or of a record.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What was decided.
    pub outcome: MatchOutcome,
    /// The guard that applied, if any.
    pub guard: Option<Guard>,
    /// Bits by which the best person leads the next one; infinite when there is no other.
    pub margin: f64,
    /// The thresholds of the operating point.
    pub bounds: Bounds,
    /// The bits that the best candidate needed, given the evidence about it; `None` without a candidate.
    pub needed: Option<f64>,
    /// The candidates, best first.
    pub ranked: Vec<Scored>,
}

/// Decides which of the candidates `held` is the person `asked`.
pub fn decide(asked: &Profile, held: &[&Profile], facts: &Facts, policy: &MatchingPolicy, point: Point) -> Decision {
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
    match meant {
        Meant::Rank(rank) => asked.by_card(ranked, rank),
        Meant::Best => asked.concluded(ranked, false),
        Meant::Several => asked.concluded(ranked, true),
    }
}

/// What a decision depends on, besides the ranking.
struct Asked<'a> {
    asked: &'a Profile,
    held: &'a [&'a Profile],
    facts: &'a Facts,
    policy: &'a MatchingPolicy,
    point: Point,
}

impl Asked<'_> {
    /// Decides first about the candidate at `rank`, which has the number in the request, although the best candidate is another record of
    /// the same person. If that is not a match, decides about the best candidate, which can be granted only if it has no number at all, so
    /// that no number contradicts the request.
    fn by_card(&self, ranked: Vec<Scored>, rank: usize) -> Decision {
        let mut by_card = ranked.clone();
        if let Some(first) = by_card.get_mut(..=rank) {
            first.rotate_right(1);
        }
        let preferred = self.concluded(by_card, false);
        if matches!(preferred.outcome, MatchOutcome::Match(_)) {
            return preferred;
        }
        let best = ranked.first().and_then(|top| self.held.get(top.candidate));
        let carded = best.is_some_and(|record| card::has_card(record));
        self.concluded(ranked, carded)
    }

    /// Decides about the first of `ranked`. `other_card`: another record of the same person has a number from the request that this one
    /// lacks.
    fn concluded(&self, ranked: Vec<Scored>, other_card: bool) -> Decision {
        let Asked {
            asked,
            held,
            facts,
            policy,
            point,
        } = *self;
        let bounds = policy.bounds(point);
        let mut decision = Decision {
            outcome: MatchOutcome::None,
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
        let case = GuardCase {
            evidence: evidence(&top.levels),
            levels: top.levels,
            company,
            suffixed,
            point,
            asked,
            record,
            best,
            held,
            facts,
            margin: decision.margin,
            margin_needed: bounds.margin,
            total,
            needed: needed(&top, bounds),
            has_rule: top.rule.is_some(),
            other_card,
        };
        decision.guard = guard::first(&case);
        decision.outcome = match decision.guard {
            None => MatchOutcome::Match(best),
            Some(guard) if guard.row().always_review || worth_a_look(&top, bounds) => MatchOutcome::Review(best),
            Some(_) => MatchOutcome::None,
        };
        decision
    }
}

/// The candidates by their subscriber numbers.
type Households<'a> = HashMap<&'a str, Vec<usize>>;

fn scored(
    asked: &Profile,
    (index, record): (usize, &Profile),
    held: &[&Profile],
    households: &Households<'_>,
    facts: &Facts,
    policy: &MatchingPolicy,
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
    /// The number of candidates, in the order of the ranking, that a reviewer has to choose from: those that reach the review threshold,
    /// and those whose score is too close to the best.
    pub fn contenders(&self) -> usize {
        let Some(top) = self.ranked.first() else { return 0 };
        let near = |one: &&Scored| {
            worth_a_look(one, self.bounds) || top.score.total - one.score.total < self.bounds.margin.max(1.0)
        };
        self.ranked.iter().take_while(near).count()
    }
}

/// Whether a candidate that is not matched should be reviewed.
fn worth_a_look(top: &Scored, bounds: Bounds) -> bool {
    top.score.total >= bounds.review
}
