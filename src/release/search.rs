//! FHIR search within the caller's grants: matches, included resources, and the position of the next page.
//!
//! Every SQL statement of a search contains the authorization (`store::search`). An included resource is authorized like a read, and
//! belongs to the same compartment as the match, or is shared. A ledger entry for each member on a page is committed before the page is
//! sent.

use super::transmitter::{PageTransmitter, with_provenance};
use super::{Disclosure, SentPart, Tally, begin, entry, is_shared, refuse};
use crate::audit::{Action, LedgerEvent};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{ScreenLimits, screen};
use crate::fhir::search::extract::at;
use crate::fhir::search::{Include, Search, SearchFilter, Sort, Summary};
use crate::records::compartment;
use crate::security::Caller;
use crate::store::Db;
use crate::store::disclosure::{self, LiveGrant};
use crate::store::resources::NOBODY;
use crate::store::search::{self as store, Hit, IncludeRoom, SearchAsked, SearchScope};
use std::collections::{HashMap, HashSet};

/// Approximate limit of the matches on a page in bytes; a single larger resource is still sent.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Most included resources on a page.
const INCLUDES_MAX: usize = 1_000;
/// Approximate limit of the included resources in bytes on a page that is full of matches; otherwise they have what the matches leave of
/// the page. A single larger resource is still sent.
const INCLUDES_BYTES: usize = PAGE_BYTES / 4;

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageStart {
    /// Key of the last match before the page.
    pub after_key: i64,
    /// Number of matches before the page, in an order that was asked for.
    pub offset: i64,
}

/// The first page.
pub const START: PageStart = PageStart {
    after_key: -1,
    offset: 0,
};

/// A page of a search.
#[derive(Default)]
pub struct FoundPage {
    /// The matches.
    pub matches: Vec<Hit>,
    /// The included resources.
    pub included: Vec<Hit>,
    /// The record of who transmits the page, when Provenance was asked for.
    pub transmitter: Option<PageTransmitter>,
    /// Whether there were more included resources than a page may have.
    pub includes_cut: bool,
    /// Number of all matches, when it is known or was asked for.
    pub total: Option<i64>,
    /// Where the next page begins, if there is one.
    pub next: Option<PageStart>,
    /// The disclosure that the page makes, which ends when its bytes have been sent.
    pub disclosure: Option<Disclosure>,
}

/// Runs a search. `readable` says whether the caller's scopes allow reading a type, for included resources; `sent` says what of the page is
/// sent.
///
/// # Errors
/// Those of the store and of the ledger; a search without matches returns an empty page.
pub async fn search(
    ctx: &Context,
    caller: &Caller,
    search: Search,
    place: PageStart,
    readable: impl Fn(&str) -> bool + Send + 'static,
    sent: SentPart,
) -> Result<FoundPage, Failure> {
    let now_ms = ctx.clock.now_ms();
    let Some(scope) = scope(ctx, caller, &search, now_ms).await? else {
        return nothing(ctx, caller).await;
    };
    let umb_system = ctx.payer.umb_system.clone();
    let payer = ctx.payer.clone();
    let partner = caller.partner.id.clone();
    let counted = search.summary == Summary::Count;
    let own = match &scope {
        SearchScope::One { grant, .. } => Some(grant.clone()),
        SearchScope::Granted { .. } | SearchScope::Shared | SearchScope::Referred => None,
    };
    let is_shared = matches!(scope, SearchScope::Shared);
    let work = move |db: &mut Db| {
        let asked = SearchAsked {
            scope: &scope,
            search: &search,
            umb_system: &umb_system,
            now_ms,
        };
        let mut found = matches(db, &asked, place)?;
        come_along(db, &asked, &payer.base_url, &readable, &mut found)?;
        let is_wanted = with_provenance(&search) && readable("Provenance");
        found.transmitter = is_wanted
            .then(|| PageTransmitter::of(&payer, &partner, found.matches.iter().chain(&found.included), now_ms))
            .flatten();
        let grants = match &scope {
            SearchScope::One { grant, .. } => vec![grant.clone()],
            SearchScope::Granted { .. } => disclosure::live_grants(db, &partner, &compartments(&found), now_ms)?,
            SearchScope::Shared | SearchScope::Referred => Vec::new(),
        };
        Ok((found, grants))
    };
    // In turn, so that a partner that searches much waits only for its own searches.
    let (mut found, grants) = ctx.store.read_in_turn(&caller.partner.id, work).await?;
    if grants.is_empty() && own.is_none() && !is_shared && !counted {
        return nothing(ctx, caller).await.map(|none| FoundPage {
            total: found.total,
            ..none
        });
    }
    let counted = counted && own.is_none() && !is_shared;
    let disclosure = match record(ctx, (caller, now_ms), &found, &grants, counted).await? {
        // There is no entry to end, but who may not read any more gets no further piece.
        None if is_shared => Some(Disclosure::new(ctx, caller, now_ms)),
        recorded => recorded,
    };
    match (disclosure, sent) {
        (Some(disclosure), SentPart::Head(_)) => disclosure.ends(sent),
        (disclosure, _) => found.disclosure = disclosure,
    }
    Ok(found)
}

/// Which resources the search may return; `None` when there are none.
async fn scope(ctx: &Context, caller: &Caller, search: &Search, now_ms: i64) -> Result<Option<SearchScope>, Failure> {
    if is_shared(&search.rtype) {
        return Ok(Some(SearchScope::Shared));
    }
    let partner = caller.partner.id.clone();
    let Some(only) = caller.patient_id.as_deref().or_else(|| one_member(search)) else {
        return Ok(Some(SearchScope::Granted { partner }));
    };
    let (asking, only) = (partner.clone(), only.to_owned());
    let grant = ctx
        .store
        .read(move |db| disclosure::live_grant(db, &asking, &only, now_ms))
        .await?;
    Ok(grant.map(|grant| SearchScope::One { partner, grant }))
}

/// The only member that a search can be about, if its parameters limit it to one.
fn one_member(search: &Search) -> Option<&str> {
    search.filters.iter().find_map(|filter| match filter {
        SearchFilter::Owner { any, .. } => match any.as_slice() {
            [only] => Some(only.as_str()),
            _ => None,
        },
        SearchFilter::Ids { any, not: false } if search.rtype == "Patient" => match any.as_slice() {
            [only] => Some(only.as_str()),
            _ => None,
        },
        _ => None,
    })
}

async fn nothing(ctx: &Context, caller: &Caller) -> Result<FoundPage, Failure> {
    let failure = refuse(ctx, caller, Fault::NotFound).await;
    if failure.fault() == Fault::NotFound {
        Ok(FoundPage {
            total: Some(0),
            ..FoundPage::default()
        })
    } else {
        Err(failure)
    }
}

fn matches(db: &mut Db, asked: &SearchAsked<'_>, place: PageStart) -> Result<FoundPage, Failure> {
    let search = asked.search;
    let mut found = FoundPage::default();
    if search.total == Some(true) || search.summary == Summary::Count {
        found.total = Some(store::count(db, asked)?);
    }
    if search.summary == Summary::Count {
        return Ok(found);
    }
    let more = if search.sort.is_empty() {
        let (hits, more) = store::page(db, asked, place.after_key, search.count, PAGE_BYTES)?;
        found.next = hits.last().filter(|_| more).map(|last| PageStart {
            after_key: last.key,
            offset: 0,
        });
        found.matches = hits;
        more
    } else {
        sorted(db, asked, place, &mut found)?
    };
    if !more && place == START && search.total.is_none() {
        found.total = i64::try_from(found.matches.len()).ok();
    }
    Ok(found)
}

/// A page in the order that was asked for. For each page all matches are sorted again, by their keys only.
fn sorted(db: &mut Db, asked: &SearchAsked<'_>, place: PageStart, found: &mut FoundPage) -> Result<bool, Failure> {
    let keys = store::keys(db, asked)?;
    let mut ranks: Vec<(Vec<Option<String>>, i64)> = keys.iter().map(|one| (Vec::new(), one.key)).collect();
    for (sort, descending) in &asked.search.sort {
        let values = match sort {
            Sort::By(param) => store::sort_values(db, asked.scope, param, *descending)?,
            Sort::Id => keys.iter().map(|one| (one.key, one.id.clone())).collect(),
            Sort::Updated => keys
                .iter()
                .map(|one| (one.key, format!("{:020}", one.last_updated_ms)))
                .collect(),
        };
        for (rank, key) in &mut ranks {
            rank.push(values.get(key).cloned());
        }
    }
    ranks.sort_by(|a, b| {
        let pairs = asked.search.sort.iter().zip(a.0.iter().zip(&b.0));
        let order = pairs.map(|((_, descending), pair)| match pair {
            (Some(a), Some(b)) if *descending => b.cmp(a),
            (Some(a), Some(b)) => a.cmp(b),
            // Resources without a value come last in both directions.
            (a, b) => b.is_some().cmp(&a.is_some()),
        });
        order
            .fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
            .then(a.1.cmp(&b.1))
    });
    let offset = usize::try_from(place.offset).unwrap_or(0);
    let from = ranks
        .iter()
        .position(|(_, key)| *key == place.after_key)
        .map_or(offset, |at| at + 1);
    let to = ranks
        .len()
        .min(from.saturating_add(usize::try_from(asked.search.count).unwrap_or(0)));
    let wanted: Vec<i64> = ranks
        .get(from..to)
        .unwrap_or_default()
        .iter()
        .map(|(_, key)| *key)
        .collect();
    let mut hits: HashMap<i64, Hit> = HashMap::new();
    for key in &wanted {
        // One after the other, so that the page is cut in the wanted order.
        let (one, _) = store::by_keys(db, asked.scope, &[*key], asked.now_ms, PAGE_BYTES)?;
        hits.extend(one.into_iter().map(|hit| (hit.key, hit)));
        if hits.values().map(|hit| hit.bytes.len()).sum::<usize>() > PAGE_BYTES {
            break;
        }
    }
    let taken = wanted.iter().take_while(|key| hits.contains_key(key)).count();
    found.matches = wanted[..taken].iter().filter_map(|key| hits.remove(key)).collect();
    let more = from + taken < ranks.len() && taken > 0;
    found.next = found.matches.last().filter(|_| more).map(|last| PageStart {
        after_key: last.key,
        offset: i64::try_from(from + taken).unwrap_or(0),
    });
    Ok(more)
}

/// Adds the resources that `_include` and `_revinclude` ask for.
fn come_along(
    db: &mut Db,
    asked: &SearchAsked<'_>,
    base_url: &str,
    readable: &dyn Fn(&str) -> bool,
    found: &mut FoundPage,
) -> Result<(), Failure> {
    let search = asked.search;
    let bytes: usize = found.matches.iter().map(|hit| hit.bytes.len()).sum();
    let bytes = PAGE_BYTES.saturating_sub(bytes).max(INCLUDES_BYTES);
    let mut room = IncludeRoom::new(INCLUDES_MAX, bytes, &found.matches);
    let mut included: Vec<Hit> = Vec::new();
    if !search.includes.is_empty() {
        let (members, shared) = references(&found.matches, &search.includes, base_url, readable);
        let from: HashSet<(i64, &str, &str)> = members
            .iter()
            .map(|(no, t, id)| (*no, t.as_str(), id.as_str()))
            .collect();
        let is_meant = |no: i64, rtype: &str, id: &str| from.contains(&(no, rtype, id));
        let targets: Vec<(String, String)> = members.iter().map(|(_, t, id)| (t.clone(), id.clone())).collect();
        let own = (asked.scope, asked.now_ms);
        included.extend(store::by_reference(db, own, &targets, &mut room, is_meant)?);
        let others = (&SearchScope::Referred, asked.now_ms);
        included.extend(store::by_reference(db, others, &shared, &mut room, |_, _, _| true)?);
    }
    let revincludes = search.revincludes.iter();
    for include in revincludes.filter(|include| include.param.leads_to(&search.rtype) && readable(include.param.rtype))
    {
        let scope = (asked.scope, asked.now_ms);
        included.extend(store::referring(db, scope, include.param, &found.matches, &mut room)?);
    }
    found.includes_cut = room.is_cut();
    found.included = included;
    Ok(())
}

type Members = Vec<(i64, String, String)>;

/// The resources that the matches refer to by the included parameters: resources of the match's own member, and shared ones.
fn references(
    matches: &[Hit],
    includes: &[Include],
    base_url: &str,
    readable: &dyn Fn(&str) -> bool,
) -> (Members, Vec<(String, String)>) {
    let (mut members, mut shared) = (HashSet::new(), HashSet::new());
    for hit in matches {
        let Ok(resource) = screen(&hit.bytes, &ScreenLimits::record()) else {
            continue;
        };
        for include in includes {
            let values = include.param.paths.iter().flat_map(|path| at(resource.root(), path));
            for text in values.filter_map(|value| value.get("reference")?.text()) {
                let Some((rtype, id)) = compartment::local(&text, base_url) else {
                    continue;
                };
                if !include.param.leads_to(rtype)
                    || !readable(rtype)
                    || include.target.as_deref().is_some_and(|only| only != rtype)
                {
                    continue;
                }
                if is_shared(rtype) {
                    shared.insert((rtype.to_owned(), id.to_owned()));
                } else {
                    members.insert((hit.compartment(), rtype.to_owned(), id.to_owned()));
                }
            }
        }
    }
    let mut members: Vec<_> = members.into_iter().collect();
    members.sort_unstable();
    let mut shared: Vec<_> = shared.into_iter().collect();
    shared.sort_unstable();
    (members, shared)
}

fn compartments(found: &FoundPage) -> Vec<i64> {
    let hits = found.matches.iter().chain(&found.included);
    let mut numbers: Vec<i64> = hits.map(Hit::compartment).filter(|no| *no != NOBODY).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Commits one *begun* entry for each member on the page. A count over all members gets one entry that names no member. Shared resources
/// and the record of who transmits are counted for the member when the page has only one. Returns `None` when nothing about a member is on the page.
async fn record(
    ctx: &Context,
    (caller, now_ms): (&Caller, i64),
    found: &FoundPage,
    grants: &[LiveGrant],
    counted: bool,
) -> Result<Option<Disclosure>, Failure> {
    let mut parts = Vec::new();
    let only = grants.len() == 1;
    for grant in grants {
        let (mut bytes, mut tally) = (0, Tally::default());
        for hit in found.matches.iter().chain(&found.included) {
            let compartment = hit.compartment();
            if compartment == grant.compartment || (only && compartment == NOBODY) {
                bytes += hit.bytes.len() as u64;
                tally.add(&hit.rtype);
            }
        }
        if let Some(transmitter) = found.transmitter.as_ref().filter(|_| only) {
            bytes += transmitter.bytes.len() as u64;
            tally.add("Provenance");
        }
        parts.push((
            entry(Action::DisclosureBegun, caller, grant),
            (Some(grant), bytes, tally),
        ));
    }
    if counted {
        let mut number = LedgerEvent::new(Action::DisclosureBegun, caller.actor(), caller.correlation.clone());
        super::version::cite(&mut number);
        parts.push((number, (None, 0, Tally::default())));
    }
    if parts.is_empty() {
        return Ok(None);
    }
    let (entries, left): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let begun = begin(ctx, entries).await?;
    let mut disclosure = Disclosure::new(ctx, caller, now_ms);
    for (begun, (grant, bytes, tally)) in begun.into_iter().zip(left) {
        disclosure.add(grant, begun, bytes, tally);
    }
    Ok(Some(disclosure))
}
