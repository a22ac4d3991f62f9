//! The queue of matches that a reviewer decides: reviews, their candidates, and what was done to them.
//!
//! There is one review for one question of one partner. When the question is asked again, a count grows and no row is added.

mod listed;

pub use listed::{ReviewFilter, page};

use super::schema::{review, review_act, review_candidate};
use super::statement::{Bind, Statement, run};
use super::steps::{self, LinkStep};
use super::{Db, is_duplicate};
use crate::error::{Failure, Fault};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

/// How many candidates a review keeps at most.
pub const CANDIDATES_MAX: usize = 10;

/// The states in which a review waits for a reviewer; `review::State` defines them.
pub const WAITING: [&str; 3] = ["open", "proposed", "deferred"];

/// A row of `review`.
#[derive(Clone, Debug, Queryable, PartialEq)]
#[allow(missing_docs)]
pub struct ReviewRow {
    pub id: String,
    pub partner_id: String,
    pub asked: Vec<u8>,
    pub state: String,
    pub reason: String,
    pub decision_id: String,
    pub correlation_id: String,
    pub policy_version: String,
    pub request: Option<String>,
    pub owner: Option<String>,
    pub due_ms: i64,
    pub opened_ms: i64,
    pub asked_count: i64,
    pub asked_ms: i64,
    pub proposed: Option<String>,
    pub proposed_patient: Option<String>,
    pub proposed_by: Option<String>,
    pub proposed_token: Option<Vec<u8>>,
    pub patient_id: Option<String>,
    pub decided_ms: Option<i64>,
    pub version: i64,
    pub proposed_hand: Option<String>,
}

/// A row of `review_candidate`.
#[derive(Clone, Debug, Queryable, PartialEq)]
pub struct CandidateRow {
    /// From 1, the best first.
    pub place: i64,
    /// Id of its Patient.
    pub patient_id: String,
    /// Evidence for this candidate beyond the prior, in tenths of a bit.
    pub total_tenths: i64,
    /// The compared fields with their levels and weights, JSON.
    pub fields: String,
}

/// A row of `review_act`.
#[derive(Clone, Debug, Queryable, PartialEq)]
#[allow(missing_docs)]
pub struct ActRow {
    pub id: String,
    pub review_id: String,
    pub at_ms: i64,
    pub act: String,
    pub verdict: Option<String>,
    pub patient_id: Option<String>,
    pub operator: String,
    pub reason: String,
}

/// The state of a question's review, as a match needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewStanding {
    /// Id of its review.
    pub id: String,
    /// State.
    pub state: String,
    /// The Patient id of the confirmed member.
    pub patient_id: Option<String>,
    /// Version of the review; each act adds one.
    pub version: i64,
}

struct Stands;
struct Touch;

/// Returns the state of this question's review; `None` when the question was never reviewed.
///
/// # Errors
/// Those of the database.
pub fn standing(db: &mut Db, partner_id: &str, asked: &[u8]) -> Result<Option<ReviewStanding>, Failure> {
    type Types = (Text, Text, Nullable<Text>, BigInt);
    let statement = || {
        Statement::<Stands, Types>::new(
            "SELECT id, state, patient_id, version FROM review WHERE partner_id = ? AND asked = ?",
            vec![Bind::Text(partner_id), Bind::Blob(asked)],
        )
    };
    let rows: Vec<(String, String, Option<String>, i64)> = match db {
        Db::Pg(pg) => statement().load(pg)?,
        Db::Sqlite(sqlite) => statement().load(sqlite)?,
    };
    Ok(rows
        .into_iter()
        .next()
        .map(|(id, state, patient_id, version)| ReviewStanding {
            id,
            state,
            patient_id,
            version,
        }))
}

/// Counts that a reviewed question was asked again. Returns false when the review changed since `version` was read.
///
/// # Errors
/// Those of the database.
fn asked_again(db: &mut Db, id: &str, version: i64, now_ms: i64) -> Result<bool, Failure> {
    let statement = Statement::<Touch>::new(
        "UPDATE review SET asked_count = asked_count + 1, asked_ms = ? WHERE id = ? AND version = ?",
        vec![Bind::Big(now_ms), Bind::Text(id), Bind::Big(version)],
    );
    Ok(run(db, statement)? == 1)
}

/// Opens a review. Returns false when this question has one already.
///
/// # Errors
/// Those of the database.
pub fn insert(db: &mut Db, row: &ReviewRow, candidates: &[CandidateRow]) -> Result<bool, Failure> {
    let inserted = diesel::insert_into(review::table)
        .values((
            review::id.eq(&row.id),
            review::partner_id.eq(&row.partner_id),
            review::asked.eq(&row.asked),
            review::decision_id.eq(&row.decision_id),
            review::correlation_id.eq(&row.correlation_id),
            review::policy_version.eq(&row.policy_version),
            review::opened_ms.eq(row.opened_ms),
            review::asked_count.eq(row.asked_count),
            review::asked_ms.eq(row.asked_ms),
            moving(row),
        ))
        .execute(db);
    match inserted {
        Ok(_) => {}
        Err(error) if is_duplicate(&error) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    for candidate in candidates.iter().take(CANDIDATES_MAX) {
        diesel::insert_into(review_candidate::table)
            .values((
                review_candidate::review_id.eq(&row.id),
                review_candidate::place.eq(candidate.place),
                review_candidate::patient_id.eq(&candidate.patient_id),
                review_candidate::total_tenths.eq(candidate.total_tenths),
                review_candidate::fields.eq(&candidate.fields),
            ))
            .execute(db)?;
    }
    Ok(true)
}

type Moving<'a> = (
    diesel::dsl::Eq<review::state, &'a str>,
    diesel::dsl::Eq<review::reason, &'a str>,
    diesel::dsl::Eq<review::request, Option<&'a str>>,
    diesel::dsl::Eq<review::owner, Option<&'a str>>,
    diesel::dsl::Eq<review::due_ms, i64>,
    diesel::dsl::Eq<review::proposed, Option<&'a str>>,
    diesel::dsl::Eq<review::proposed_patient, Option<&'a str>>,
    diesel::dsl::Eq<review::proposed_by, Option<&'a str>>,
    diesel::dsl::Eq<review::proposed_token, Option<&'a [u8]>>,
    diesel::dsl::Eq<review::patient_id, Option<&'a str>>,
    diesel::dsl::Eq<review::decided_ms, Option<i64>>,
    diesel::dsl::Eq<review::version, i64>,
    diesel::dsl::Eq<review::proposed_hand, Option<&'a str>>,
);

/// The columns that an act may change.
fn moving(row: &ReviewRow) -> Moving<'_> {
    (
        review::state.eq(row.state.as_str()),
        review::reason.eq(row.reason.as_str()),
        review::request.eq(row.request.as_deref()),
        review::owner.eq(row.owner.as_deref()),
        review::due_ms.eq(row.due_ms),
        review::proposed.eq(row.proposed.as_deref()),
        review::proposed_patient.eq(row.proposed_patient.as_deref()),
        review::proposed_by.eq(row.proposed_by.as_deref()),
        review::proposed_token.eq(row.proposed_token.as_deref()),
        review::patient_id.eq(row.patient_id.as_deref()),
        review::decided_ms.eq(row.decided_ms),
        review::version.eq(row.version),
        review::proposed_hand.eq(row.proposed_hand.as_deref()),
    )
}

/// Writes a review as it is after an act, together with the act. `row.version` must be the version that was read.
///
/// # Errors
/// [`Fault::ReviewMoved`] when another act changed the review first; those of the database.
pub fn act(db: &mut Db, row: &ReviewRow, act: &ActRow) -> Result<(), Failure> {
    let read = review::table.find(&row.id).filter(review::version.eq(row.version));
    let after = ReviewRow {
        version: row.version + 1,
        ..row.clone()
    };
    if diesel::update(read).set(moving(&after)).execute(db)? != 1 {
        return Err(Fault::ReviewMoved.into());
    }
    diesel::insert_into(review_act::table)
        .values((
            review_act::id.eq(&act.id),
            review_act::review_id.eq(&act.review_id),
            review_act::at_ms.eq(act.at_ms),
            review_act::act.eq(&act.act),
            review_act::verdict.eq(act.verdict.as_deref()),
            review_act::patient_id.eq(act.patient_id.as_deref()),
            review_act::operator.eq(&act.operator),
            review_act::reason.eq(&act.reason),
        ))
        .execute(db)?;
    Ok(())
}

/// What a match writes to the review queue.
#[derive(Clone, Debug, Default)]
pub enum ReviewWrite {
    /// Nothing.
    #[default]
    Nothing,
    /// A new review with its candidates, and the step that proposes its links.
    Opens(Box<(ReviewRow, Vec<CandidateRow>, Option<LinkStep>)>),
    /// The question has a review and was asked again: the review's id, the version that was
    /// read, and the text of the request while the review still waits.
    Again(String, i64, Option<String>),
    /// A review that a dispute opened concerns this question, which is now written into it. The row as it was read, with the question.
    Adopts(Box<(ReviewRow, Vec<CandidateRow>)>),
}

/// Writes what a match leaves to the review queue, in its transaction. Returns false when
/// another request wrote first; the match must then be decided again.
///
/// # Errors
/// Those of the database.
pub fn put_aside(db: &mut Db, aside: &ReviewWrite, now_ms: i64) -> Result<bool, Failure> {
    match aside {
        ReviewWrite::Nothing => Ok(true),
        ReviewWrite::Opens(opened) => {
            let (row, candidates, step) = opened.as_ref();
            if !insert(db, row, candidates)? {
                return Ok(false);
            }
            match step {
                Some(step) => steps::write(db, step).map(|_| true),
                None => Ok(true),
            }
        }
        ReviewWrite::Again(id, version, request) => {
            let again = asked_again(db, id, *version, now_ms)?;
            if let Some(request) = request {
                let unkept = review::table.find(id).filter(review::request.is_null());
                diesel::update(unkept)
                    .set(review::request.eq(Some(request)))
                    .execute(db)?;
            }
            Ok(again)
        }
        ReviewWrite::Adopts(adopted) => {
            let (row, candidates) = adopted.as_ref();
            let unasked = review::table
                .find(&row.id)
                .filter(review::version.eq(row.version).and(review::asked_count.eq(0)));
            let question = (
                review::asked.eq(&row.asked),
                review::request.eq(row.request.as_deref()),
                review::decision_id.eq(&row.decision_id),
                review::correlation_id.eq(&row.correlation_id),
                review::policy_version.eq(&row.policy_version),
                review::asked_count.eq(1),
                review::asked_ms.eq(now_ms),
                review::version.eq(row.version + 1),
            );
            if diesel::update(unasked).set(question).execute(db)? != 1 {
                return Ok(false);
            }
            for one in candidates {
                let same = review_candidate::review_id
                    .eq(&row.id)
                    .and(review_candidate::patient_id.eq(&one.patient_id));
                diesel::update(review_candidate::table.filter(same))
                    .set((
                        review_candidate::total_tenths.eq(one.total_tenths),
                        review_candidate::fields.eq(&one.fields),
                    ))
                    .execute(db)?;
            }
            Ok(true)
        }
    }
}

/// Returns a waiting review of this partner and member for which no request has been received yet: one that a dispute opened.
///
/// # Errors
/// Those of the database.
pub fn unasked(db: &mut Db, partner_id: &str, patient_id: &str) -> Result<Option<ReviewRow>, Failure> {
    let of_member = review_candidate::table
        .filter(review_candidate::patient_id.eq(patient_id))
        .select(review_candidate::review_id);
    Ok(review::table
        .filter(review::partner_id.eq(partner_id).and(review::asked_count.eq(0)))
        .filter(review::state.eq_any(WAITING))
        .filter(review::id.eq_any(of_member))
        .order(review::id)
        .first(db)
        .optional()?)
}

/// Returns the review with this id.
///
/// # Errors
/// [`Fault::ReviewUnknown`]; those of the database.
pub fn find(db: &mut Db, id: &str) -> Result<ReviewRow, Failure> {
    let row = review::table.find(id).first(db).optional()?;
    row.ok_or_else(|| Fault::ReviewUnknown.into())
}

/// Returns the candidates of a review, best first.
///
/// # Errors
/// Those of the database.
pub fn candidates(db: &mut Db, id: &str) -> Result<Vec<CandidateRow>, Failure> {
    Ok(review_candidate::table
        .filter(review_candidate::review_id.eq(id))
        .order(review_candidate::place)
        .select((
            review_candidate::place,
            review_candidate::patient_id,
            review_candidate::total_tenths,
            review_candidate::fields,
        ))
        .load(db)?)
}

/// Returns the acts on a review, oldest first.
///
/// # Errors
/// Those of the database.
pub fn acts(db: &mut Db, id: &str) -> Result<Vec<ActRow>, Failure> {
    Ok(review_act::table
        .filter(review_act::review_id.eq(id))
        .order(review_act::id)
        .limit(1000)
        .load(db)?)
}

/// Returns the confirmed reviews of a member; their requests show what partners sent about the member.
///
/// # Errors
/// Those of the database.
pub fn confirmed_of(db: &mut Db, patient_id: &str) -> Result<Vec<ReviewRow>, Failure> {
    Ok(review::table
        .filter(review::state.eq("confirmed"))
        .filter(review::patient_id.eq(patient_id))
        .order(review::id)
        .limit(100)
        .load(db)?)
}
