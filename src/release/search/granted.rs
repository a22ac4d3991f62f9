//! What of a page may leave: only what belongs to a member whose grant goes into the ledger with it.
//!
//! The statements of a search see the store at different moments. A grant that ends between two of them must take its rows with it.

use super::found::FoundPage;
use crate::store::disclosure::LiveGrant;
use crate::store::resources::NOBODY;
use crate::store::search::Hit;

/// The compartments of the members on the page.
pub fn compartments(found: &FoundPage) -> Vec<i64> {
    let hits = found.matches.iter().chain(&found.included);
    let mut numbers: Vec<i64> = hits.map(Hit::compartment).filter(|no| *no != NOBODY).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Takes out what belongs to members without one of these grants, and the number of matches when it counted some of that.
pub fn keep(found: &mut FoundPage, grants: &[LiveGrant]) {
    let is_granted = |hit: &Hit| {
        let compartment = hit.compartment();
        compartment == NOBODY || grants.iter().any(|grant| grant.compartment == compartment)
    };
    let (matches, included) = (found.matches.len(), found.included.len());
    found.matches.retain(is_granted);
    found.included.retain(is_granted);
    if (found.matches.len(), found.included.len()) != (matches, included) {
        found.total = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::resources::SEQUENCE_BITS;

    fn hit(compartment: i64, id: &str) -> Hit {
        Hit {
            key: compartment << SEQUENCE_BITS,
            rtype: "Goal".to_owned(),
            id: id.to_owned(),
            bytes: b"{}".to_vec(),
            is_cut: false,
        }
    }

    fn grant(compartment: i64) -> LiveGrant {
        LiveGrant {
            compartment,
            ..LiveGrant::default()
        }
    }

    fn page() -> FoundPage {
        FoundPage {
            matches: vec![hit(7, "a"), hit(8, "b"), hit(NOBODY, "c")],
            included: vec![hit(8, "d"), hit(7, "e")],
            total: Some(3),
            ..FoundPage::default()
        }
    }

    fn ids(hits: &[Hit]) -> Vec<&str> {
        hits.iter().map(|hit| hit.id.as_str()).collect()
    }

    #[test]
    fn t_f13_what_belongs_to_a_member_whose_grant_ended_meanwhile_does_not_leave() {
        let mut found = page();
        assert_eq!(compartments(&found), [7, 8]);
        keep(&mut found, &[grant(7)]);
        assert_eq!((ids(&found.matches), ids(&found.included)), (vec!["a", "c"], vec!["e"]));
        assert_eq!(found.total, None, "the number would tell of it");
        let mut whole = page();
        keep(&mut whole, &[grant(7), grant(8)]);
        assert_eq!(
            (whole.matches.len(), whole.included.len(), whole.total),
            (3, 2, Some(3))
        );
    }
}
