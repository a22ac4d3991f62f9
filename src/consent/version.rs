//! The content hash of the decision table over consents, which ledger entries cite.
//!
//! It covers the text of every row in its order. What a row reads is a function; a change of one needs a new [`TABLE_VERSION`], which the
//! hash covers.

use super::policy::{RULES, RuleClass, TABLE_VERSION};
use crate::secret::sha256;
use std::sync::LazyLock;

/// SHA-256 of the table.
pub fn table_digest() -> [u8; 32] {
    static DIGEST: LazyLock<[u8; 32]> = LazyLock::new(|| sha256(table_text().as_bytes()));
    *DIGEST
}

/// The text that is hashed: the version, then a line for each row.
pub fn table_text() -> String {
    let mut text = format!("{TABLE_VERSION}\n");
    for rule in RULES {
        let class = match rule.class {
            RuleClass::Profile => "profile",
            RuleClass::Request => "request",
            RuleClass::Honour => "honour",
        };
        let row = [rule.name, class, rule.fault.code(), rule.element, rule.remedy];
        text.push_str(&row.join("\t"));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::hex;

    #[test]
    fn the_table_is_the_one_that_the_page_of_policies_names() {
        let text = table_text();
        assert_eq!(text.lines().count(), RULES.len() + 1);
        let row = format!("| `{TABLE_VERSION}` | `{}` |", hex(&table_digest()));
        let page = include_str!("../../docs/policies.md");
        assert!(
            page.contains(&row),
            "docs/policies.md lacks {row}\nfor a changed table, which needs a new version"
        );
    }
}
