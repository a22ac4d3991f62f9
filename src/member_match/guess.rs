//! A request as the guessing guard sees it (HRex mm-7), and what is written when the guard speaks.
//!
//! The guard hears of keyed hashes only. What it counts depends on the request and on what this partner was answered before,
//! except for the record that a guess came near: that count never shows in an answer other than "no unique member".

use super::record::Arrival;
use crate::audit::{Action, Entry, Object, Outcome, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::identity::Profile;
use crate::secret::hmac_sha256;
use crate::store::guesses::{self, Alarm, End, Gate, Guess, Kind, TARGETS, Target};
use crate::store::matching::{self, Record};

/// Identifiers of a request that are counted, and names.
const IDS: usize = 8;
const NAMES: usize = 3;

/// The hashes of a request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    whole: Target,
    targets: Vec<(Kind, Target)>,
}

impl Asked {
    /// Hashes what identity reads of a request, in the form in which it is compared, under the key of the store and for this partner
    /// alone. However a name is written, it is the same guess.
    pub(super) fn of(ctx: &Context, partner: &str, profile: &Profile) -> Asked {
        let hash = |kind: &str, values: &[&str]| target(&ctx.guard.key, partner, kind, values);
        let whole = hash("whole", &[&format!("{profile:?}")]);
        let (birth, gender) = (format!("{:?}", profile.birth), format!("{:?}", profile.gender));
        let (mut people, mut names) = (Vec::new(), Vec::new());
        for name in &profile.names {
            let given = name.given.first().map_or("", String::as_str);
            people.push(hash("person", &[&name.family_joined, given, &birth]));
            names.push(hash("name", &[&name.family_joined, given, &gender]));
        }
        let said = |number: &&String| !number.is_empty();
        let own = [&profile.ssn, &profile.umb].into_iter().filter(said);
        let cards = profile.member_ids.iter().chain(own);
        let cards = cards.map(|number| hash("card", &[number])).collect();
        let shared = profile.subscriber_ids.iter();
        let subscribers = shared.map(|number| hash("subscriber", &[number])).collect();
        let mut targets: Vec<(Kind, Target)> = Vec::with_capacity(TARGETS - 1);
        for (kind, hashes, most) in [
            (Kind::Own, cards, IDS),
            (Kind::Own, people, NAMES),
            (Kind::Shared, names, NAMES),
            (Kind::Shared, subscribers, 1),
        ] {
            targets.extend(few(hashes, most).map(|hash| (kind, hash)));
        }
        // Writers that count the same targets must come to them in the same order.
        targets.sort_unstable_by_key(|(_, target)| *target);
        Asked { whole, targets }
    }

    /// The guess of this request, which came near the record `near` and ended so.
    pub(super) fn guess(&self, ctx: &Context, arrival: &Arrival<'_>, near: Option<&str>, end: End) -> Guess {
        let partner = arrival.partner_id();
        let record = match near {
            Some(patient_id) => target(&ctx.guard.key, partner, "record", &[patient_id]),
            None => target(
                &ctx.guard.key,
                partner,
                "no record",
                &[&crate::secret::hex(&self.whole)],
            ),
        };
        Guess {
            partner_id: partner.to_owned(),
            whole: self.whole,
            targets: self.targets.clone(),
            record,
            end,
            now_ms: arrival.now_ms(),
        }
    }
}

/// At most `most` different ones. Those that are left out, a caller cannot foresee.
fn few(mut hashes: Vec<Target>, most: usize) -> impl Iterator<Item = Target> {
    hashes.sort_unstable();
    hashes.dedup();
    hashes.into_iter().take(most)
}

/// The hash of one thing; every part is prefixed by its length, so that no two lists of values read alike.
fn target(key: &[u8; 32], partner: &str, kind: &str, values: &[&str]) -> Target {
    let mut bytes = Vec::with_capacity(64);
    for part in [partner, kind].iter().chain(values) {
        bytes.extend_from_slice(&part.len().to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    let mut short = Target::default();
    short.copy_from_slice(&hmac_sha256(key, &bytes)[..16]);
    short
}

/// What is written for each word of the guard.
pub(super) struct Rows {
    /// The match as it was decided.
    pub decided: Record,
    /// The refusal that stands in for a grant that must not be shown.
    pub silent: Option<Record>,
}

/// Weighs the guess and writes the match, or what stands in for it, in one transaction.
///
/// # Errors
/// As [`matching::record`].
pub(super) async fn write(ctx: &Context, arrival: &Arrival<'_>, guess: Guess, rows: Rows) -> Result<Gate, Failure> {
    let (partner, correlation_id) = (guess.partner_id.clone(), arrival.correlation_id().to_owned());
    let refused = arrival.bare(Action::MatchRefused);
    let (limits, ids) = (ctx.guard.limits, ctx.ids.clone());
    let now_ms = guess.now_ms;
    let verdict = ctx
        .store
        .write(move |db| {
            let verdict = guesses::weigh(db, &guess, &limits)?;
            match (verdict.gate, &rows.silent) {
                (Gate::Open, _) => matching::record(db, &rows.decided)?,
                (Gate::Silent, Some(silent)) => matching::record(db, silent)?,
                (Gate::Silent, None) => {
                    return Err(Failure::new(Fault::Internal).because("a grant without its stand-in"));
                }
                (Gate::Shut(_), _) => ledger::append(db, &turned_away(&refused), &ids.new_id(now_ms), now_ms * 1000)?,
            }
            for alarm in &verdict.alarms {
                ledger::append(db, &raised(&refused, *alarm), &ids.new_id(now_ms), now_ms * 1000)?;
            }
            Ok(verdict)
        })
        .await?;
    for alarm in verdict.alarms {
        metrics::counter!("causeway_guess_alarms_total", "kind" => alarm.code()).increment(1);
        tracing::warn!(
            alarm = alarm.code(),
            partner.id = partner,
            correlation.id = correlation_id,
            "a partner's member matches look like guessing"
        );
    }
    if matches!(verdict.gate, Gate::Shut(_)) {
        metrics::counter!("causeway_guesses_turned_away_total").increment(1);
    }
    Ok(verdict.gate)
}

/// What a partner is told that must wait until `until_ms`. It says nothing of members.
pub(super) fn must_wait(until_ms: i64, now_ms: i64) -> Failure {
    let seconds = (until_ms - now_ms).max(0) / 1000 + 1;
    Failure::new(Fault::MatchLocked)
        .retry_after_s(u32::try_from(seconds).unwrap_or(u32::MAX))
        .noted()
}

fn turned_away(entry: &Entry) -> Entry {
    let row = Fault::MatchLocked.row();
    Entry {
        outcome: Outcome {
            class: "refused",
            http: Some(row.http),
            reason: Some(row.code),
        },
        ..entry.clone()
    }
}

fn raised(entry: &Entry, alarm: Alarm) -> Entry {
    let action = if alarm == Alarm::Locked {
        Action::PartnerLocked
    } else {
        Action::GuessAlarmed
    };
    Entry {
        action,
        object: Some(Object {
            kind: "alarm",
            id: alarm.code().to_owned(),
        }),
        outcome: Outcome {
            class: "refused",
            http: None,
            reason: Some(Fault::MatchLocked.code()),
        },
        ..entry.clone()
    }
}

#[cfg(test)]
#[path = "guess_tests.rs"]
mod tests;
