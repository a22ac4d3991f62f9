//! How long data is kept: the one table of kinds of data ([`table`]), and the periods that are in force ([`Periods`]).
//!
//! Pure: values in, values out. Whoever deletes something takes its period from here. Deleting itself is the work of the jobs that the table
//! names, and what a legal hold keeps is known to `retention`.

mod periods;
pub mod table;

pub use periods::{AS_CONFIGURED, CitedPeriods, PeriodFault, Periods, check_policy};
pub use table::{DataKind, KindKept, KindRow, PeriodRule, PeriodUnit};
