//! Members: whether there are any, and what is stored about one.

use super::Db;
use super::keys::keys_of;
use super::schema::{compartment, member, resource, resource_identifier};
use crate::error::Failure;
use diesel::prelude::*;

/// Whether there is any member.
///
/// # Errors
/// Those of the database.
pub fn any(db: &mut Db) -> Result<bool, Failure> {
    Ok(compartment::table
        .select(compartment::no)
        .first::<i64>(db)
        .optional()?
        .is_some())
}

/// Returns the compartment of the member with this Patient id.
///
/// # Errors
/// Those of the database.
pub fn compartment_of(db: &mut Db, patient_id: &str) -> Result<Option<i64>, Failure> {
    Ok(compartment::table
        .filter(compartment::patient_id.eq(patient_id))
        .select(compartment::no)
        .first(db)
        .optional()?)
}

/// What is stored about a member: demographics (JSON), and member and subscriber numbers.
#[derive(Clone, Debug)]
pub struct MemberFacts {
    /// The demographics as the matcher reads them.
    pub demographics: String,
    /// Kind and value.
    pub numbers: Vec<(String, String)>,
    /// When its Patient was last changed, UTC milliseconds.
    pub last_updated_ms: i64,
}

/// Returns what is stored about a member; `None` when there is no such member.
///
/// # Errors
/// Those of the database.
pub fn subject(db: &mut Db, patient_id: &str) -> Result<Option<MemberFacts>, Failure> {
    let found: Option<(i64, String)> = compartment::table
        .inner_join(member::table.on(member::compartment.eq(compartment::no)))
        .filter(compartment::patient_id.eq(patient_id))
        .select((member::compartment, member::demographics))
        .first(db)
        .optional()?;
    let Some((compartment, demographics)) = found else {
        return Ok(None);
    };
    let keys = keys_of(compartment);
    let within = resource_identifier::key
        .ge(keys.start)
        .and(resource_identifier::key.lt(keys.end));
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
    Ok(Some(MemberFacts {
        demographics,
        numbers,
        last_updated_ms: last_updated_ms.unwrap_or(0),
    }))
}

/// Returns the Patient id of the member with this UMB.
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

/// Returns the stored bytes of a resource of this member; `None` when the member has no such resource.
///
/// # Errors
/// Those of the database.
pub fn own_resource(db: &mut Db, patient_id: &str, rtype: &str, id: &str) -> Result<Option<Vec<u8>>, Failure> {
    Ok(resource::table
        .inner_join(compartment::table.on(compartment::no.eq(resource::compartment)))
        .filter(compartment::patient_id.eq(patient_id))
        .filter(resource::rtype.eq(rtype).and(resource::id.eq(id)))
        .select(resource::body)
        .first(db)
        .optional()?)
}

/// Returns the stored bytes of the newest Coverage of this member that no partner sent; `None` when there is none.
///
/// # Errors
/// Those of the database.
pub fn own_coverage(db: &mut Db, patient_id: &str) -> Result<Option<Vec<u8>>, Failure> {
    Ok(resource::table
        .inner_join(compartment::table.on(compartment::no.eq(resource::compartment)))
        .filter(compartment::patient_id.eq(patient_id))
        .filter(resource::rtype.eq("Coverage").and(resource::id.not_like("px.%")))
        .order(resource::key.desc())
        .select(resource::body)
        .first(db)
        .optional()?)
}
