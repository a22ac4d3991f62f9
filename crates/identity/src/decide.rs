//! Decides: match, review or none. The one place where scores, rules and guards meet.
//!
//! A guard forbids an automatic match whatever the score says. Nothing is matched on an identifier alone, nor on name and
//! birth date with nothing else agreeing. Two records of one person are not rivals.

use crate::compare::{Comparison, compare};
use crate::facts::Facts;
use crate::field::{Field, Level, Levels};
use crate::ids;
use crate::person::Profile;
use crate::policy::{Bounds, Point, Policy};
use crate::rules;
use crate::score::{Score, score};
use serde::Serialize;

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
    /// Name and birth date with nothing else agreeing.
    NothingElse,
    /// Name and birth date, thin evidence, and contradictions.
    ThinContradicted,
    /// Another person is nearly as likely.
    Rival,
    /// Not enough evidence.
    Weak,
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
    /// The candidates, best first.
    pub ranked: Vec<Scored>,
}

/// Decides which of the candidates `held` is the person `asked` for.
pub fn decide(asked: &Profile, held: &[&Profile], facts: &Facts, policy: &Policy, point: Point) -> Decision {
    let bounds = policy.bounds(point);
    let mut ranked: Vec<Scored> = held
        .iter()
        .enumerate()
        .map(|(index, record)| scored(asked, record, index, held, facts, policy))
        .collect();
    ranked.sort_by(|a, b| b.score.total.total_cmp(&a.score.total).then(a.candidate.cmp(&b.candidate)));
    let mut decision = Decision {
        outcome: Outcome::None,
        guard: None,
        margin: f64::INFINITY,
        bounds,
        ranked,
    };
    let Some(top) = decision.ranked.first_mut() else {
        return decision;
    };
    let (best, total) = (top.candidate, top.score.total);
    top.rule = rules::first(&top.levels, facts, policy);
    let top = top.clone();
    let Some(record) = held.get(best) else {
        return decision;
    };
    let rival = decision.ranked.iter().skip(1).find(|other| {
        let near = total - other.score.total < 2.0 * bounds.margin.max(1.0);
        !(near && held.get(other.candidate).is_some_and(|second| same_person(record, second, facts)))
    });
    if let Some(rival) = rival {
        decision.margin = total - rival.score.total;
    }
    decision.guard = guard(&top.levels, point)
        .or_else(|| (decision.margin < bounds.margin).then_some(Guard::Rival))
        .or_else(|| weak(&top, bounds));
    decision.outcome = match decision.guard {
        None => Outcome::Match(best),
        Some(_) if worth_a_look(&top, bounds) => Outcome::Review(best),
        Some(_) => Outcome::None,
    };
    decision
}

fn scored(asked: &Profile, record: &Profile, index: usize, held: &[&Profile], facts: &Facts, policy: &Policy) -> Scored {
    let mut compared: Comparison = compare(asked, record, facts);
    let same = |a: usize, b: usize| match (held.get(a), held.get(b)) {
        (Some(a), Some(b)) => same_person(a, b, facts),
        _ => false,
    };
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
    let own = levels.is(Field::Birth, &[Exact]) && levels.is(Field::Given, &[Exact, Nickname, Slip, Partial]);
    let against = [Field::Ssn, Field::Gender, Field::Suffix, Field::Middle]
        .into_iter()
        .any(|field| levels.of(field) == Differ);
    let number = levels.is(Field::Ssn, &[Exact]);
    let more = number || levels.is(Field::Email, &[Exact]) || ids::lives_with(a, b);
    let family = levels.is(Field::Family, &[Exact, Part, Slip]) || (levels.is(Field::Family, &[Differ, Missing]) && number);
    own && !against && more && family
}

/// What stands besides name and birth date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Evidence {
    Nothing,
    Thin,
    Home,
    Own,
}

fn evidence(levels: &Levels) -> Evidence {
    use Level::{Exact, Far, Near, Part, Partial, Relative, Remote, Slip};
    let own = levels.is(Field::Ssn, &[Exact, Slip, Partial]) || levels.is(Field::Email, &[Exact]);
    let home = levels.is(Field::Phone, &[Exact])
        || levels.is(Field::Address, &[Exact, Slip])
        || levels.is(Field::MemberId, &[Exact, Partial, Slip, Remote, Relative]);
    let thin = levels.is(Field::Middle, &[Exact, Partial])
        || levels.is(Field::Address, &[Near, Far])
        || levels.is(Field::Phone, &[Slip])
        || levels.is(Field::Email, &[Part]);
    match (own, home, thin) {
        (true, ..) => Evidence::Own,
        (_, true, _) => Evidence::Home,
        (.., true) => Evidence::Thin,
        _ => Evidence::Nothing,
    }
}

fn guard(levels: &Levels, point: Point) -> Option<Guard> {
    use Level::{Alike, Differ, Exact, Far, Missing, Near, Nickname, Part, Partial, Slip, SlipKnown, Swapped};
    let number = levels.is(Field::Ssn, &[Exact, Slip, Partial]);
    let evidence = evidence(levels);
    let id = levels.is(Field::MemberId, &[Exact]);
    let same_given = levels.is(Field::Given, &[Exact, Nickname, Swapped]);
    let near_given = same_given || levels.is(Field::Given, &[Part, Slip, Partial]);
    let same_family = levels.is(Field::Family, &[Exact, Part, Slip, Swapped]);
    let same_day = levels.is(Field::Birth, &[Exact]);
    let own = evidence == Evidence::Own;
    // Names, day, house or phone, and the card: an SSN typed wrong, not a stranger.
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
    if levels.is(Field::Birth, &[Missing, Partial]) && !((own || id) && same_given && same_family) {
        return Some(Guard::BirthMissing);
    }
    if levels.is(Field::Birth, &[Differ]) && !(number && same_given && same_family && evidence_of_home(levels)) {
        return Some(Guard::BirthDiffers);
    }
    if levels.is(Field::Birth, &[Part, Near]) && !((own || id) && near_given && same_family) {
        let careful = point == Point::Safe || !evidence_of_home(levels) || !same_given;
        if careful {
            return Some(Guard::BirthSlip);
        }
    }
    if levels.is(Field::Birth, &[Slip, Swapped]) && !(evidence >= Evidence::Home && near_given) {
        return Some(Guard::BirthSlip);
    }
    if levels.is(Field::Given, &[Differ, SlipKnown, Alike, Missing]) {
        let vouched = match levels.of(Field::Given) {
            Alike => own || id || (evidence >= Evidence::Home && same_family),
            SlipKnown => number || id || levels.is(Field::Email, &[Exact]),
            _ => number && (id || evidence_of_home(levels)),
        };
        if !(vouched && same_day) {
            return Some(Guard::GivenDiffers);
        }
    }
    if levels.is(Field::Gender, &[Differ]) && !same_given && !number {
        return Some(Guard::GenderDiffers);
    }
    if levels.is(Field::Family, &[Differ, Alike, Missing]) && !(same_day && near_given && evidence >= Evidence::Home) {
        return Some(Guard::FamilyDiffers);
    }
    match evidence {
        Evidence::Nothing => Some(Guard::NothingElse),
        Evidence::Thin => {
            let contradicted = levels.is(Field::Middle, &[Differ]) || levels.is(Field::Gender, &[Differ]);
            let exact = levels.is(Field::Given, &[Exact]) && levels.is(Field::Family, &[Exact]) && same_day;
            (contradicted || (point == Point::Safe && !exact)).then_some(Guard::ThinContradicted)
        }
        _ => None,
    }
}

/// A house, a telephone or a member number that agrees.
fn evidence_of_home(levels: &Levels) -> bool {
    let mut home = *levels;
    home.set(Field::Ssn, Level::Missing);
    home.set(Field::Email, Level::Missing);
    evidence(&home) == Evidence::Home
}

fn weak(top: &Scored, bounds: Bounds) -> Option<Guard> {
    let needed = if evidence(&top.levels) == Evidence::Thin { bounds.thin } else { bounds.accept };
    (top.score.total < needed && top.rule.is_none()).then_some(Guard::Weak)
}

/// Whether a person should look at what was not matched.
fn worth_a_look(top: &Scored, bounds: Bounds) -> bool {
    top.score.total >= bounds.review
}
