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
use crate::secret::sha256_of;
use crate::store::ingest::PageRow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Most resources of nobody that are remembered as having come, each by a digest; with more, nothing is asked for.
const CAME_MOST: usize = 200_000;

/// A digest of type and id.
type NameDigest = [u8; 16];

/// Returns ids of the partner's server by type, of types in `offered`: what is named by the parts for which `is_source` is true, and did not
/// come with any part; at most `most`. Blocks this thread. It goes through the bodies twice: what came is known before what is named is looked
/// at, so that memory holds no more names than it returns.
///
/// # Errors
/// [`Fault::SealBroken`](crate::error::Fault::SealBroken) when a body is gone or was changed; those of the store.
pub fn named_beside(
    scope: &IngestScope,
    is_source: &dyn Fn(&str) -> bool,
    offered: &[String],
    most: usize,
) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let mut came: HashSet<NameDigest> = HashSet::new();
    each_resource(scope, &has_shared, &mut |rtype, resource| {
        if is_shared(rtype)
            && came.len() <= CAME_MOST
            && let Ok(screened) = screen(resource, &ScreenLimits::record())
        {
            let id = screened.root().get("id").and_then(|id| id.text());
            came.extend(id.map(|id| digest(rtype, &id)));
        }
    })?;
    if came.len() > CAME_MOST {
        return Ok(BTreeMap::new());
    }
    // The first of them in their order.
    let mut named: BTreeSet<(String, String)> = BTreeSet::new();
    each_resource(scope, &|page| is_source(&page.part), &mut |_, resource| {
        let Ok(screened) = screen(resource, &ScreenLimits::record()) else {
            return;
        };
        let is_wanted = |rtype: &str, id: &str| {
            is_shared(rtype) && offered.iter().any(|one| one == rtype) && !came.contains(&digest(rtype, id))
        };
        let mut found = BTreeSet::new();
        for reference in screened.references() {
            let text = reference.text();
            let relative = scope.base.strip(&text).unwrap_or(&text);
            if let Some((rtype, id)) = compartment::local(relative, "")
                && is_wanted(rtype, id)
            {
                found.insert((rtype.to_owned(), id.to_owned()));
            }
        }
        // What the partner does not let us store names nothing.
        if !found.is_empty() && normal(scope, resource).is_ok() {
            named.append(&mut found);
        }
        while named.len() > most {
            named.pop_last();
        }
    })?;
    let mut by_type: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (rtype, id) in named {
        by_type.entry(rtype).or_default().push(id);
    }
    Ok(by_type)
}

fn digest(rtype: &str, id: &str) -> NameDigest {
    let whole = sha256_of(&[rtype.as_bytes(), b"/", id.as_bytes()]);
    let mut short = NameDigest::default();
    short.copy_from_slice(&whole[..size_of::<NameDigest>()]);
    short
}

/// Hands type and bytes of each resource of the pages that `reads` chooses to `take`. What cannot be read is left out.
fn each_resource(
    scope: &IngestScope,
    reads: &dyn Fn(&PageRow) -> bool,
    take: &mut dyn FnMut(&str, &[u8]),
) -> Result<(), Failure> {
    each_page(scope, 0, &mut |page| {
        if reads(page) {
            each_entry(scope, page, &mut |_, piece| {
                if let BundlePiece::Entry { bytes, .. } = piece
                    && let Ok(Some(found)) = entry::look(&bytes)
                    && let Some(rtype) = found.rtype
                {
                    take(rtype, &bytes[found.span.clone()]);
                }
                Ok(())
            })?;
        }
        Ok(true)
    })
    .map(drop)
}

/// Whether resources of a type belong to nobody.
fn is_shared(rtype: &str) -> bool {
    compartment::kind(rtype) == Some(OwnerRule::Shared)
}

fn has_shared(page: &PageRow) -> bool {
    let mut types = page.types.split(' ').filter_map(|one| one.split_once('='));
    types.any(|(rtype, _)| is_shared(rtype))
}
