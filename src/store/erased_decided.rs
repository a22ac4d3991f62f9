//! Deletes what was decided about a member. What was decided about others stays, without what stands of the member in it. Who is erased is
//! decided by `erasure`.

use super::Db;
use super::correlation_rows;
use super::erased_entries::reviews_of;
use super::schema::{
    access_token, consent, decision, decision_candidate, grants, idempotency, identity_change, identity_link,
    identity_revocation, identity_step, member_group_entry, opt_in, review, review_act, review_candidate,
};
use crate::error::Failure;
use diesel::prelude::*;
use std::collections::BTreeSet;

/// Names that one statement takes.
const NAMES: usize = 500;

/// What was decided about a member.
#[derive(Clone, Debug, Default)]
pub struct DecidedAbout {
    /// Ids of decisions.
    pub decisions: Vec<String>,
    /// Ids of reviews.
    pub reviews: Vec<String>,
}

/// Returns what was decided about a member, or about a question in which the member is a candidate and that did not lead to another member.
///
/// # Errors
/// Those of the database.
pub fn decided(db: &mut Db, patient_id: &str) -> Result<DecidedAbout, Failure> {
    let reviews = reviews_of(db, patient_id)?;
    let mut ids: BTreeSet<String> = BTreeSet::new();
    let own: Vec<String> = decision::table
        .filter(decision::patient_id.eq(patient_id))
        .select(decision::id)
        .load(db)?;
    let of_candidates: Vec<String> = decision_candidate::table
        .filter(decision_candidate::patient_id.eq(patient_id))
        .select(decision_candidate::decision_id)
        .load(db)?;
    let granted: Vec<String> = grants::table
        .filter(grants::patient_id.eq(patient_id))
        .select(grants::decision_id)
        .load(db)?;
    let grouped: Vec<Option<String>> = member_group_entry::table
        .filter(member_group_entry::patient_id.eq(patient_id))
        .select(member_group_entry::decision_id)
        .load(db)?;
    ids.extend(of_candidates);
    ids.extend(grouped.into_iter().flatten());
    for some in reviews.chunks(NAMES) {
        let reviewed: Vec<String> = review::table
            .filter(review::id.eq_any(some))
            .select(review::decision_id)
            .load(db)?;
        ids.extend(reviewed);
    }
    let found: Vec<String> = ids.iter().cloned().collect();
    for some in found.chunks(NAMES) {
        for other in of_others(db, some, patient_id)? {
            ids.remove(&other);
        }
    }
    ids.extend(own.into_iter().chain(granted));
    Ok(DecidedAbout {
        decisions: ids.into_iter().collect(),
        reviews,
    })
}

/// Which of these decisions are another member's, by themselves or by what their review found.
fn of_others(db: &mut Db, ids: &[String], patient_id: &str) -> Result<Vec<String>, Failure> {
    let mut others: Vec<String> = decision::table
        .filter(decision::id.eq_any(ids))
        .filter(decision::patient_id.ne(patient_id))
        .select(decision::id)
        .load(db)?;
    let reviewed: Vec<String> = review::table
        .filter(review::decision_id.eq_any(ids))
        .filter(review::patient_id.ne(patient_id))
        .select(review::decision_id)
        .load(db)?;
    others.extend(reviewed);
    Ok(others)
}

/// Deletes what stands of a member in decisions and reviews of others: the member's place among the candidates, the proposal of the member, and
/// the words of acts that named the member.
fn leave_others(db: &mut Db, patient_id: &str) -> Result<(), Failure> {
    diesel::delete(decision_candidate::table.filter(decision_candidate::patient_id.eq(patient_id))).execute(db)?;
    diesel::delete(review_candidate::table.filter(review_candidate::patient_id.eq(patient_id))).execute(db)?;
    diesel::update(review::table.filter(review::proposed_patient.eq(patient_id)))
        .set(review::proposed_patient.eq(None::<String>))
        .execute(db)?;
    diesel::update(review_act::table.filter(review_act::patient_id.eq(patient_id)))
        .set((review_act::patient_id.eq(None::<String>), review_act::reason.eq("")))
        .execute(db)?;
    Ok(())
}

/// Deletes what was decided about the member, the answers that were kept to be repeated, consents, grants, links and opt-ins, and the member's
/// place in groups.
///
/// # Errors
/// Those of the database.
pub fn drop_decided(db: &mut Db, patient_id: &str) -> Result<(), Failure> {
    let about = decided(db, patient_id)?;
    for some in about.reviews.chunks(NAMES) {
        diesel::delete(review_act::table.filter(review_act::review_id.eq_any(some))).execute(db)?;
        diesel::delete(review_candidate::table.filter(review_candidate::review_id.eq_any(some))).execute(db)?;
        diesel::delete(review::table.filter(review::id.eq_any(some))).execute(db)?;
    }
    let granted: Vec<String> = grants::table
        .filter(grants::patient_id.eq(patient_id))
        .select(grants::id)
        .load(db)?;
    for some in granted.chunks(NAMES) {
        diesel::delete(identity_revocation::table.filter(identity_revocation::grant_id.eq_any(some))).execute(db)?;
    }
    diesel::delete(access_token::table.filter(access_token::patient_id.eq(patient_id))).execute(db)?;
    diesel::delete(grants::table.filter(grants::patient_id.eq(patient_id))).execute(db)?;
    diesel::delete(consent::table.filter(consent::patient_id.eq(patient_id))).execute(db)?;
    diesel::delete(member_group_entry::table.filter(member_group_entry::patient_id.eq(patient_id))).execute(db)?;
    for some in about.decisions.chunks(NAMES) {
        diesel::delete(idempotency::table.filter(idempotency::decision_id.eq_any(some))).execute(db)?;
        diesel::delete(decision_candidate::table.filter(decision_candidate::decision_id.eq_any(some))).execute(db)?;
        let placed: Vec<String> = decision::table
            .filter(decision::id.eq_any(some))
            .select(decision::correlation_id)
            .load(db)?;
        correlation_rows::loosen(db, &placed)?;
        diesel::delete(decision::table.filter(decision::id.eq_any(some))).execute(db)?;
    }
    leave_others(db, patient_id)?;
    diesel::delete(opt_in::table.filter(opt_in::member_id.eq(patient_id))).execute(db)?;
    drop_links(db, patient_id)
}

fn drop_links(db: &mut Db, patient_id: &str) -> Result<(), Failure> {
    let steps: Vec<String> = identity_change::table
        .filter(identity_change::patient_id.eq(patient_id))
        .select(identity_change::step_id)
        .distinct()
        .load(db)?;
    diesel::delete(identity_change::table.filter(identity_change::patient_id.eq(patient_id))).execute(db)?;
    diesel::delete(identity_link::table.filter(identity_link::patient_id.eq(patient_id))).execute(db)?;
    for step in &steps {
        let left: i64 = identity_change::table
            .filter(identity_change::step_id.eq(step))
            .count()
            .get_result(db)?;
        if left == 0 {
            diesel::delete(identity_step::table.find(step)).execute(db)?;
        } else {
            // It moved links of another member too; an operator's words may name either.
            diesel::update(identity_step::table.find(step))
                .set(identity_step::reason.eq(None::<String>))
                .execute(db)?;
        }
    }
    Ok(())
}
