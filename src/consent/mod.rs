//! May this leave? The decision table over an HRex consent, its period in the payer's time zone, its digest, and its withdrawal.
//!
//! Pure but for the withdrawal: values in, values out. Any doubt is a refusal. A consent is recorded by the match that brings it.
//!
//! What a release must find at the moment it discloses, in columns (`grants g` joined to `consent c` on `consent_id`):
//! `g.revoked_ms IS NULL AND c.revoked_ms IS NULL AND g.valid_from_ms <= now AND now < g.valid_until_ms`, and the same of the
//! consent's period (`store::disclosure`). The end is exclusive: a period that ends on a date runs to the midnight after it. `g.sensitive` is 1 when
//! the policy is `#sensitive`; when it is 0, rows with any sensitivity bit stay here.

mod digest;
mod period;
mod policy;
mod withdraw;

pub use digest::{digest, kept};
pub use period::{bounds, span};
pub use policy::{Class, Question, REGULAR, RULES, Rule, SENSITIVE, Scope, TABLE_VERSION, Terms, judge};
pub use withdraw::{By, REASON_MAX, end_grant, withdraw};
