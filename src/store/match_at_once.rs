//! The usual grant in one PostgreSQL statement, because there a round trip costs more than the rows. The statement reads the guard's counts
//! and writes consent, grant, link, decision, ledger entries and the remembered answer, or writes nothing.
//!
//! It handles only the plain case. In every other case (a guess is suspected, a limit is reached, a row has changed, a review exists) it
//! writes nothing, and the match is decided step by step in a transaction.

use super::Db;
use super::guesses::{self, End, Guess, GuessLimits};
use super::idempotency;
use super::insert::kept;
use super::match_write::{
    CONSENT, DECISION, DecisionRow, ENTRY, GRANT, GrantRow, LinkWrite, MatchRecord, consent_binds, decision_binds,
    entry_binds, grant_binds, or_raced, renewal, renewal_binds,
};
use super::reviews::ReviewWrite;
use super::statement::{Bind, Statement};
use super::steps::{self, GiveBack, LinkStep};
use crate::error::{Failure, Fault};
use crate::identity::graph::{Kind, LinkChange, PersonLink};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use std::sync::LazyLock;

/// The parts of a record that the statement writes.
struct Plain<'a> {
    decision: &'a DecisionRow,
    grant: &'a GrantRow,
    /// The version of the compartment's row, for a first grant.
    row_version: &'a str,
    tie: Tie<'a>,
}

/// How the partner's member number is linked to the member.
enum Tie<'a> {
    None,
    /// By this link, which must still be confirmed when the grant is written.
    Held(&'a str),
    /// By a new link, made together with the first grant.
    Fresh(&'a LinkStep, &'a LinkChange, &'a PersonLink),
}

impl Tie<'_> {
    /// The index of its statement texts.
    fn place(&self) -> usize {
        match self {
            Tie::None => 0,
            Tie::Held(_) => HELD,
            Tie::Fresh(..) => FRESH,
        }
    }
}

const HELD: usize = 1;
const FRESH: usize = 2;

fn plain<'a>(guess: &Guess, record: &'a MatchRecord) -> Option<Plain<'a>> {
    let (decision, grant) = (record.decision.as_ref()?, record.grant.as_ref()?);
    let is_automatic = matches!(guess.end, End::Granted { by_person: false, .. });
    let is_alone = record.doubt.is_none() && record.opened.is_none() && matches!(record.aside, ReviewWrite::Nothing);
    let is_first_use = record.reply.as_ref().is_none_or(|reply| !reply.replaces);
    let is_known_or_new = grant.renews == grant.consent_known && grant.renews == record.recorded.is_none();
    if !(is_automatic && is_alone && is_first_use && is_known_or_new && record.ledger.len() == 2) {
        return None;
    }
    let row_version = match (&grant.row_version, grant.renews) {
        (Some(version), _) => version.as_str(),
        (None, true) => "",
        (None, false) => return None,
    };
    let tie = match &record.bond {
        LinkWrite::None => Tie::None,
        LinkWrite::Held(link_id) => Tie::Held(link_id),
        LinkWrite::Made(step) if !grant.renews => fresh(step)?,
        _ => return None,
    };
    Some(Plain {
        decision,
        grant,
        row_version,
        tie,
    })
}

fn fresh(step: &LinkStep) -> Option<Tie<'_>> {
    let [change] = step.changes.as_slice() else {
        return None;
    };
    let (None, Some(link)) = (&change.before, &change.after) else {
        return None;
    };
    let is_only = step.revokes.is_empty() && step.gives_back == GiveBack::Nothing && step.operator.is_none();
    is_only.then_some(Tie::Fresh(step, change, link))
}

/// Whether [`grant_at_once`] can write this record.
pub fn is_plain(guess: &Guess, record: &MatchRecord) -> bool {
    plain(guess, record).is_some()
}

/// Judges the guess and writes the grant, in one statement that is a transaction by itself. Returns false when nothing was written; the
/// caller then decides step by step, which finds the reason.
///
/// # Errors
/// A failure for which [`is_raced`](super::match_write::is_raced) is true when another
/// request was first; others of the database. Nothing is written then.
pub fn grant_at_once(db: &mut Db, guess: &Guess, limits: &GuessLimits, record: &MatchRecord) -> Result<bool, Failure> {
    let (Db::Pg(pg), Some(plain)) = (db, plain(guess, record)) else {
        return Err(Failure::new(Fault::Internal).because("no grant that one statement takes"));
    };
    let shape = plain.tie.place() * 4 + usize::from(!plain.grant.renews) * 2 + usize::from(record.reply.is_some());
    match shape {
        0 => send::<0>(pg, guess, limits, record, &plain),
        1 => send::<1>(pg, guess, limits, record, &plain),
        2 => send::<2>(pg, guess, limits, record, &plain),
        3 => send::<3>(pg, guess, limits, record, &plain),
        4 => send::<4>(pg, guess, limits, record, &plain),
        5 => send::<5>(pg, guess, limits, record, &plain),
        6 => send::<6>(pg, guess, limits, record, &plain),
        7 => send::<7>(pg, guess, limits, record, &plain),
        10 => send::<10>(pg, guess, limits, record, &plain),
        11 => send::<11>(pg, guess, limits, record, &plain),
        // A new link is only made together with a first grant.
        _ => Ok(false),
    }
}

struct AtOnce<const SHAPE: usize>;

static TEXTS: LazyLock<[&'static str; 12]> =
    LazyLock::new(|| std::array::from_fn(|shape| kept(text(shape / 4, shape & 2 != 0, shape & 1 != 0))));

/// Builds the statement: `tie` is the kind of link, `is_first` says that the grant is the first under its
/// consent, `is_keyed` that the request had an idempotency key.
///
/// The locked rows (`h`, `j`) are checked in their newest version, whatever the statement's snapshot is. So a dispute that was committed
/// since the first look is noticed, and a later one waits and then sees this grant. `o` has one row if all conditions hold, else none;
/// everything is written once for each row of `o`.
fn text(tie: usize, is_first: bool, is_keyed: bool) -> String {
    let mut parts = Vec::new();
    let mut open = guesses::open_text();
    if is_first {
        parts.push(
            "h AS (SELECT 1 AS one FROM compartment WHERE no = ? AND CAST(xmin AS TEXT) = ? FOR SHARE)".to_owned(),
        );
        open.push_str(" AND EXISTS (SELECT 1 FROM h)");
    }
    if tie == HELD {
        parts.push(
            "j AS (SELECT 1 AS one FROM identity_link WHERE id = ? AND state = 'confirmed' FOR SHARE)".to_owned(),
        );
        open.push_str(" AND EXISTS (SELECT 1 FROM j)");
    }
    if tie == FRESH {
        open.push_str(" AND NOT EXISTS (SELECT 1 FROM identity_link WHERE ");
        open.push_str(steps::CONFIRMED_OF_NUMBER);
        open.push(')');
    }
    parts.push(format!("o AS (SELECT 1 AS one WHERE {open})"));
    if is_first {
        parts.push(format!("k AS ({})", CONSENT.text_for(1, "o")));
        parts.push(format!("g AS ({} RETURNING id)", GRANT.text_for(1, "o")));
        parts.push(format!("t AS ({})", guesses::granted_text("FROM o")));
        if tie == FRESH {
            parts.push(format!("n AS ({})", steps::LINK.text_for(1, "o")));
            parts.push(format!("s AS ({})", steps::STEP.text_for(1, "o")));
            parts.push(format!("c AS ({})", steps::CHANGE.text_for(1, "o")));
        }
    } else {
        parts.push(format!("g AS ({} RETURNING id)", renewal("FROM o")));
    }
    // A new consent has a ledger entry of its own.
    let entries = if is_first { 3 } else { 2 };
    parts.push(format!("d AS ({})", DECISION.text_for(1, "g")));
    parts.push(format!("e AS ({})", ENTRY.text_for(entries, "g")));
    if is_keyed {
        parts.push(format!("i AS ({})", idempotency::REMEMBER.text_for(1, "g")));
    }
    format!("WITH {} SELECT CAST(COUNT(*) AS BIGINT) FROM g", parts.join(", "))
}

fn send<const SHAPE: usize>(
    pg: &mut PgConnection,
    guess: &Guess,
    limits: &GuessLimits,
    record: &MatchRecord,
    plain: &Plain<'_>,
) -> Result<bool, Failure> {
    let Plain {
        decision, grant, tie, ..
    } = plain;
    let mut binds: Vec<Bind<'_>> = Vec::with_capacity(160);
    if !grant.renews {
        binds.extend([Bind::Big(grant.compartment), Bind::Text(plain.row_version)]);
    }
    if let Tie::Held(link_id) = tie {
        binds.push(Bind::Text(link_id));
    }
    guesses::open_binds(guess, limits, &mut binds);
    let (changed, fresh) = match tie {
        Tie::Fresh(step, change, link) => (Some(steps::image(change)?), Some((*step, *change, *link))),
        _ => (None, None),
    };
    if let Some((.., link)) = fresh {
        binds.extend(steps::number_binds(link, link.from.kind == Kind::Member));
    }
    if grant.renews {
        binds.extend(renewal_binds(decision, grant));
    } else {
        binds.extend(consent_binds(decision, grant));
        binds.extend(grant_binds(decision, grant));
        binds.extend(guesses::granted_binds(
            guess,
            guesses::shard_of(guess),
            &grant.patient_id,
            limits,
        ));
        if let (Some((step, change, link)), Some(image)) = (fresh, &changed) {
            binds.extend(steps::link_binds(link));
            binds.extend(steps::step_binds(step));
            binds.extend(steps::change_binds(step, 0, change, image));
        }
    }
    binds.extend(decision_binds(decision));
    entry_binds(record.entries(), &mut binds);
    if let Some(reply) = &record.reply {
        binds.extend(idempotency::reply_binds(reply));
    }
    let statement = Statement::<AtOnce<SHAPE>, BigInt>::new(TEXTS[SHAPE], binds);
    let written: i64 = statement.get_result(pg).map_err(or_raced)?;
    Ok(written == 1)
}
