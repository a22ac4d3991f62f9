//! The queue of matches that a person decides: reviews, their candidates, and what was done to them.
//!
//! One review for one question of one partner; how often it was asked is a count, never a second row.

use super::schema::{compartment, member, resource, resource_identifier, review, review_act, review_candidate};
use super::statement::{Bind, Statement, run};
use super::steps::{self, Step};
use super::{Db, is_duplicate};
use crate::error::{Failure, Fault};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

/// Candidates that are kept with a review.
pub const CANDIDATES_MAX: usize = 10;

/// The states in which a review waits for a person; `review::State` says what they mean.
pub const WAITING: [&str; 3] = ["open", "proposed", "deferred"];

/// Which reviews.
#[derive(Clone, Debug, Default)]
pub struct ReviewFilter {
    /// Id of a partner.
    pub partner: Option<String>,
    /// State; without it those that wait for a person.
    pub state: Option<String>,
    /// Every state.
    pub all: bool,
    /// Id of the last one seen.
    pub cursor: Option<String>,
    /// Rows of a page.
    pub limit: i64,
}

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
}

/// A row of `review_candidate`.
#[derive(Clone, Debug, Queryable, PartialEq)]
pub struct CandidateRow {
    /// From 1, the best first.
    pub place: i64,
    /// Id of its Patient.
    pub patient_id: String,
    /// Evidence over the prior, tenths of a bit.
    pub total_tenths: i64,
    /// Fields with levels and weights, JSON.
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

/// How a question stands, for the path of a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Id of its review.
    pub id: String,
    /// State.
    pub state: String,
    /// The member that was confirmed.
    pub patient_id: Option<String>,
    /// Counts what was done to it.
    pub version: i64,
}

struct Stands;
struct Touch;

/// How this question of this partner stands, if it was ever reviewed.
///
/// # Errors
/// Those of the database.
pub fn standing(db: &mut Db, partner_id: &str, asked: &[u8]) -> Result<Option<Standing>, Failure> {
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
        .map(|(id, state, patient_id, version)| Standing {
            id,
            state,
            patient_id,
            version,
        }))
}

/// Notes that a reviewed question was asked again; `false` when the review moved since `version` was read.
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

/// Opens a review; `false` when this question has one already.
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
);

/// What an act may change.
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
    )
}

/// Writes a review as an act leaves it, with the act. `row.version` is the one it was read with.
///
/// # Errors
/// [`Fault::ReviewMoved`] when another act was first; those of the database.
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

/// What a match leaves for a person, or notes of what one said.
#[derive(Clone, Debug, Default)]
pub enum Aside {
    /// Nothing.
    #[default]
    Nothing,
    /// A new review, with the links it proposes.
    Opens(Box<(ReviewRow, Vec<CandidateRow>, Option<Step>)>),
    /// The question has a review: it was asked again. Id, version that was read, and what was asked when it waits for a person.
    Again(String, i64, Option<String>),
    /// A review that nobody had asked is about this question. The row as it was read, with the question in it.
    Adopts(Box<(ReviewRow, Vec<CandidateRow>)>),
}

/// Writes what a match leaves, in its transaction; `false` when somebody was first and the match has to be decided again.
///
/// # Errors
/// Those of the database.
pub fn put_aside(db: &mut Db, aside: &Aside, now_ms: i64) -> Result<bool, Failure> {
    match aside {
        Aside::Nothing => Ok(true),
        Aside::Opens(opened) => {
            let (row, candidates, step) = opened.as_ref();
            if !insert(db, row, candidates)? {
                return Ok(false);
            }
            match step {
                Some(step) => steps::write(db, step).map(|_| true),
                None => Ok(true),
            }
        }
        Aside::Again(id, version, request) => {
            let again = asked_again(db, id, *version, now_ms)?;
            if let Some(request) = request {
                let unkept = review::table.find(id).filter(review::request.is_null());
                diesel::update(unkept)
                    .set(review::request.eq(Some(request)))
                    .execute(db)?;
            }
            Ok(again)
        }
        Aside::Adopts(adopted) => {
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

/// A review of this partner and member that no question has come for yet: one that a dispute opened.
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

/// One review.
///
/// # Errors
/// [`Fault::ReviewUnknown`]; those of the database.
pub fn find(db: &mut Db, id: &str) -> Result<ReviewRow, Failure> {
    let row = review::table.find(id).first(db).optional()?;
    row.ok_or_else(|| Fault::ReviewUnknown.into())
}

/// The candidates of a review, best first.
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

/// What was done to a review, oldest first.
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

/// A page of reviews and one row more when there is another page.
///
/// # Errors
/// Those of the database.
pub fn page(db: &mut Db, filter: &ReviewFilter) -> Result<Vec<ReviewRow>, Failure> {
    let mut query = review::table
        .order(review::id)
        .limit(super::ops_queries::fetched(filter.limit))
        .into_boxed();
    match &filter.state {
        Some(state) => query = query.filter(review::state.eq(state)),
        None if filter.all => {}
        None => query = query.filter(review::state.eq_any(WAITING)),
    }
    if let Some(partner) = &filter.partner {
        query = query.filter(review::partner_id.eq(partner));
    }
    if let Some(cursor) = &filter.cursor {
        query = query.filter(review::id.gt(cursor));
    }
    Ok(query.load(db)?)
}

/// The confirmed reviews of a member, for what partners said of it.
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

/// What we hold of a member: demographics (JSON), and its member and subscriber numbers.
#[derive(Clone, Debug)]
pub struct Subject {
    /// As identity reads them.
    pub demographics: String,
    /// Kind and value.
    pub numbers: Vec<(String, String)>,
    /// Of its Patient, UTC milliseconds.
    pub last_updated_ms: i64,
}

/// What we hold of a member, if it is one.
///
/// # Errors
/// Those of the database.
pub fn subject(db: &mut Db, patient_id: &str) -> Result<Option<Subject>, Failure> {
    let found: Option<(i64, String)> = compartment::table
        .inner_join(member::table.on(member::compartment.eq(compartment::no)))
        .filter(compartment::patient_id.eq(patient_id))
        .select((member::compartment, member::demographics))
        .first(db)
        .optional()?;
    let Some((compartment, demographics)) = found else {
        return Ok(None);
    };
    let within = resource_identifier::key
        .ge(compartment << 24)
        .and(resource_identifier::key.lt((compartment + 1) << 24));
    let numbers = resource_identifier::table
        .filter(within)
        .filter(resource_identifier::kind.eq_any(["MB", "subscriber"]))
        .select((resource_identifier::kind, resource_identifier::value))
        .distinct()
        .order((resource_identifier::kind, resource_identifier::value))
        .limit(20)
        .load(db)?;
    let last_updated_ms: Option<i64> = resource::table
        .filter(resource::rtype.eq("Patient").and(resource::id.eq(patient_id)))
        .select(resource::last_updated_ms)
        .first(db)
        .optional()?;
    Ok(Some(Subject {
        demographics,
        numbers,
        last_updated_ms: last_updated_ms.unwrap_or(0),
    }))
}

/// The Patient whose member has this UMB.
///
/// # Errors
/// Those of the database.
pub fn patient_of_umb(db: &mut Db, umb: &str) -> Result<Option<String>, Failure> {
    Ok(compartment::table
        .filter(compartment::umb.eq(umb))
        .select(compartment::patient_id)
        .first(db)
        .optional()?)
}
