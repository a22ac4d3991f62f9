//! The states and priorities of a job.

use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::sql_types::Bool;

/// The job waits until it is due, or is leased.
pub const WAITING: &str = "waiting";
/// The job waits for an operator.
pub const PARKED: &str = "parked";
/// The priorities, most urgent first. Within one priority, the job that is due first comes first.
pub const PRIORITIES: [i64; 3] = [0, 1, 2];

/// The condition that a job waits, as literal text: with a bound value the database would not use the partial index.
pub(super) fn waits() -> SqlLiteral<Bool> {
    sql::<Bool>("state = 'waiting'")
}
