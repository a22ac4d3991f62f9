//! What a record that came names beside itself: resources that belong to nobody, such as practitioners and places, and that did not come. It
//! reads what is kept and asks nobody; what the partner does not let us store names nothing.

use super::super::compartment::{self, OwnerRule};
use super::entry;
use super::normal::normal;
use super::pages::each_page;
use super::scope::IngestScope;
use super::spool::each_entry;
use crate::error::Failure;
use crate::fhir::bundle_reader::BundlePiece;
use crate::fhir::prescreen::{ScreenLimits, screen};
use crate::store::ingest::PageRow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Most resources of nobody that are remembered as having come; with more, nothing is asked for.
const CAME_MOST: usize = 200_000;

/// Returns ids of the partner's server by type, of types in `offered`: what is named by the parts for which `is_source` is true, and did not
/// come with any part; at most `most`. Blocks this thread.
///
/// # Errors
/// [`Fault::SealBroken`](crate::error::Fault::SealBroken) when a body is gone or was changed; those of the store.
pub fn named_beside(
    scope: &IngestScope,
    is_source: &dyn Fn(&str) -> bool,
    offered: &[String],
    most: usize,
) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let mut found = Beside::default();
    each_page(scope, 0, &mut |page| {
        let reads = is_source(&page.part);
        if reads || has_shared(page) {
            each_entry(scope, page, &mut |_, piece| {
                if let BundlePiece::Entry { bytes, .. } = piece {
                    found.look(scope, &bytes, reads);
                }
                Ok(())
            })?;
        }
        Ok(true)
    })?;
    let mut left = if found.came.len() > CAME_MOST { 0 } else { most };
    let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (rtype, id) in found.named.iter().filter(|name| !found.came.contains(*name)) {
        if left > 0 && offered.iter().any(|one| one == rtype) {
            named.entry(rtype.clone()).or_default().push(id.clone());
            left -= 1;
        }
    }
    Ok(named)
}

/// Type and id at the partner.
type Name = (String, String);

#[derive(Default)]
struct Beside {
    named: BTreeSet<Name>,
    came: HashSet<Name>,
}

impl Beside {
    /// Looks at one entry. What cannot be read names nothing.
    fn look(&mut self, scope: &IngestScope, bytes: &[u8], reads: bool) {
        let Ok(Some(found)) = entry::look(bytes) else { return };
        let Some(rtype) = found.rtype else { return };
        let resource = &bytes[found.span];
        let Ok(screened) = screen(resource, &ScreenLimits::record()) else {
            return;
        };
        if is_shared(rtype) && self.came.len() <= CAME_MOST {
            let id = screened.root().get("id").and_then(|id| id.text());
            self.came.extend(id.map(|id| (rtype.to_owned(), id.into_owned())));
        }
        if !reads || self.named.len() > CAME_MOST || normal(scope, resource).is_err() {
            return;
        }
        for reference in screened.references() {
            let text = reference.text();
            let relative = scope.base.strip(&text).unwrap_or(&text);
            if let Some((rtype, id)) = compartment::local(relative, "")
                && is_shared(rtype)
            {
                self.named.insert((rtype.to_owned(), id.to_owned()));
            }
        }
    }
}

/// Whether resources of a type belong to nobody.
fn is_shared(rtype: &str) -> bool {
    compartment::kind(rtype) == Some(OwnerRule::Shared)
}

fn has_shared(page: &PageRow) -> bool {
    let mut types = page.types.split(' ').filter_map(|one| one.split_once('='));
    types.any(|(rtype, _)| is_shared(rtype))
}
