//! Consents: the decision table over an HRex consent, its period in the payer's time zone, its digest, and its withdrawal.
//!
//! All but the withdrawal is without side effects. Any doubt is a refusal. A consent is stored by the match that brings it.
//!
//! What must hold at the moment of a release is in `store::release_rule`. The end of a grant and of a period is exclusive: a period that
//! ends on a date lasts until the following midnight. `grants.sensitive` is 1 when the policy is `#sensitive`.

mod digest;
mod period;
mod policy;
mod version;
mod withdraw;

pub use digest::{digest, kept};
pub use period::bounds;
pub use policy::{
    ConsentQuestion, ConsentRule, ConsentScope, ConsentTerms, REGULAR, RULES, RuleClass, SENSITIVE, TABLE_VERSION,
    judge,
};
pub use version::{table_digest, table_text};
pub use withdraw::{REASON_MAX, WithdrawnBy, end_grant, withdraw};
