//! The version of the release rules and their content hash, which each ledger entry of a disclosure cites.
//!
//! The hash covers the rule as SQL, what is shared, how each type is related to money, and the reasons to withhold. What the gate reads of a
//! resource is code; a change of it needs a new [`POLICY`], which the hash covers.

use super::kinds::SHARED;
use crate::audit::LedgerEvent;
use crate::records::{compartment, released};
use crate::secret::sha256;
use crate::store::{release_rule, withheld};
use std::sync::LazyLock;

/// Name and version of the release rules.
pub const POLICY: &str = "cms-0057/3";

/// SHA-256 of the rules.
pub fn digest() -> [u8; 32] {
    static DIGEST: LazyLock<[u8; 32]> = LazyLock::new(|| sha256(text().as_bytes()));
    *DIGEST
}

/// Notes in an entry by which rules it was decided.
pub(super) fn cite(entry: &mut LedgerEvent) {
    entry.policy_version = Some(POLICY.to_owned());
    entry.tables = vec![("release", digest())];
}

/// The text that is hashed.
pub fn text() -> String {
    let mut text = format!("{POLICY}\n{}\nshared {}\n", release_rule::text(), SHARED.join(" "));
    for (rtype, _) in compartment::TYPES {
        let money = match released::money(rtype) {
            released::Money::None => "none",
            released::Money::Parts => "parts",
            released::Money::Whole => "whole",
        };
        text.push_str(&format!("money {rtype} {money}\n"));
    }
    for (reason, _) in withheld::REASONS {
        text.push_str(&format!("withheld {reason}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::hex;

    #[test]
    fn the_rules_are_those_that_the_page_of_policies_names() {
        let text = text();
        for part in [
            "revoked_ms IS NULL",
            "pa_state",
            "money Claim whole",
            "withheld money",
            "kept 31536000000",
        ] {
            assert!(text.contains(part), "{part}");
        }
        let row = format!("| `{POLICY}` | `{}` |", hex(&digest()));
        let page = include_str!("../../docs/policies.md");
        assert!(
            page.contains(&row),
            "docs/policies.md lacks {row}\nfor changed rules, which need a new version"
        );
    }
}
