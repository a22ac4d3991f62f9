//! FHIR search inside the caller's grants: matches, what comes along, and the place of the next page.
//!
//! Every statement behind it carries the authorisation (`store::search`); what is included is authorised like a read and
//! never leaves the compartment that it was reached from. Each member whose data is on a page is in the ledger first.

use super::{Sent, Tally, begin, complete, entry, is_shared, refuse};
use crate::audit::{Action, Entry, Outcome};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{Limits, screen};
use crate::fhir::search::extract::at;
use crate::fhir::search::{Filter, Include, Search, Sort, Summary};
use crate::records::compartment;
use crate::security::Caller;
use crate::store::Db;
use crate::store::disclosure::{self, LiveGrant};
use crate::store::resources::NOBODY;
use crate::store::search::{self as store, Asked, Hit, Scope};
use std::collections::{HashMap, HashSet};

/// Bytes of the matches on a page, about; one larger resource still goes out alone.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Resources that come along on a page.
const INCLUDES_MAX: i64 = 1_000;

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Key of the last match before it.
    pub after_key: i64,
    /// Matches before it, in an order that was asked for.
    pub offset: i64,
}

/// The first page.
pub const START: Place = Place {
    after_key: -1,
    offset: 0,
};

/// A page of a search.
#[derive(Debug, Default)]
pub struct Found {
    /// What matches.
    pub matches: Vec<Hit>,
    /// What comes along.
    pub included: Vec<Hit>,
    /// Whether more would have come along than a page takes.
    pub includes_cut: bool,
    /// Number of matches, when it is known or was asked for.
    pub total: Option<i64>,
    /// Where the next page begins, if there is one.
    pub next: Option<Place>,
}

/// Searches. `readable` says whether the caller's scopes let it read a type, for what comes along; `sent` what of it goes out.
///
/// # Errors
/// Those of the store and of the ledger; finding nothing is an empty page.
pub async fn search(
    ctx: &Context,
    caller: &Caller,
    search: Search,
    place: Place,
    readable: impl Fn(&str) -> bool + Send + 'static,
    sent: Sent,
) -> Result<Found, Failure> {
    let now_ms = ctx.clock.now_ms();
    let Some(scope) = scope(ctx, caller, &search, now_ms).await? else {
        return nothing(ctx, caller).await;
    };
    let umb_system = ctx.payer.umb_system.clone();
    let base_url = ctx.payer.base_url.clone();
    let partner = caller.partner.id.clone();
    // What reads neighbours of one member's index is short; what orders or goes over many members is not.
    let long = matches!(scope, Scope::Granted { .. }) || !search.sort.is_empty() || search.summary == Summary::Count;
    let counted = search.summary == Summary::Count;
    let own = match &scope {
        Scope::One { grant, .. } => Some(grant.clone()),
        Scope::Granted { .. } | Scope::Shared => None,
    };
    let is_shared = matches!(scope, Scope::Shared);
    let work = move |db: &mut Db| {
        let asked = Asked {
            scope: &scope,
            search: &search,
            umb_system: &umb_system,
            now_ms,
        };
        let mut found = matches(db, &asked, place)?;
        come_along(db, &asked, &base_url, &readable, &mut found)?;
        let grants = match &scope {
            Scope::One { grant, .. } => vec![grant.clone()],
            Scope::Granted { .. } => disclosure::live_grants(db, &partner, &compartments(&found), now_ms)?,
            Scope::Shared => Vec::new(),
        };
        Ok((found, grants))
    };
    let (found, grants) = if long {
        ctx.store.read_apart(work).await?
    } else {
        ctx.store.read(work).await?
    };
    if grants.is_empty() && own.is_none() && !is_shared && !counted {
        return nothing(ctx, caller).await.map(|none| Found {
            total: found.total,
            ..none
        });
    }
    let counted = counted && own.is_none() && !is_shared;
    record(ctx, caller, &found, &grants, counted, sent).await?;
    Ok(found)
}

/// Whose resources the search is about; `None` when that is nobody's.
async fn scope(ctx: &Context, caller: &Caller, search: &Search, now_ms: i64) -> Result<Option<Scope>, Failure> {
    if is_shared(&search.rtype) {
        return Ok(Some(Scope::Shared));
    }
    let partner = caller.partner.id.clone();
    let Some(only) = caller.patient_id.as_deref().or_else(|| one_member(search)) else {
        return Ok(Some(Scope::Granted { partner }));
    };
    let (asking, only) = (partner.clone(), only.to_owned());
    let grant = ctx
        .store
        .read(move |db| disclosure::live_grant(db, &asking, &only, now_ms))
        .await?;
    Ok(grant.map(|grant| Scope::One { partner, grant }))
}

/// The one member that a search can only be about.
fn one_member(search: &Search) -> Option<&str> {
    search.filters.iter().find_map(|filter| match filter {
        Filter::Owner { any, .. } => match any.as_slice() {
            [only] => Some(only.as_str()),
            _ => None,
        },
        Filter::Ids { any, not: false } if search.rtype == "Patient" => match any.as_slice() {
            [only] => Some(only.as_str()),
            _ => None,
        },
        _ => None,
    })
}

async fn nothing(ctx: &Context, caller: &Caller) -> Result<Found, Failure> {
    let failure = refuse(ctx, caller, Fault::NotFound).await;
    if failure.fault() == Fault::NotFound {
        Ok(Found {
            total: Some(0),
            ..Found::default()
        })
    } else {
        Err(failure)
    }
}

fn matches(db: &mut Db, asked: &Asked<'_>, place: Place) -> Result<Found, Failure> {
    let search = asked.search;
    let mut found = Found::default();
    if search.total == Some(true) || search.summary == Summary::Count {
        found.total = Some(store::count(db, asked)?);
    }
    if search.summary == Summary::Count {
        return Ok(found);
    }
    let more = if search.sort.is_empty() {
        let (hits, more) = store::page(db, asked, place.after_key, search.count, PAGE_BYTES)?;
        found.next = hits.last().filter(|_| more).map(|last| Place {
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

/// A page in the order that was asked for. All matches are ordered anew for each page, by their keys alone.
fn sorted(db: &mut Db, asked: &Asked<'_>, place: Place, found: &mut Found) -> Result<bool, Failure> {
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
            // What has no value comes last, whichever way.
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
        // One after the other, so that what does not fit is cut where the order says.
        let (one, _) = store::by_keys(db, asked.scope, &[*key], asked.now_ms, PAGE_BYTES)?;
        hits.extend(one.into_iter().map(|hit| (hit.key, hit)));
        if hits.values().map(|hit| hit.bytes.len()).sum::<usize>() > PAGE_BYTES {
            break;
        }
    }
    let taken = wanted.iter().take_while(|key| hits.contains_key(key)).count();
    found.matches = wanted[..taken].iter().filter_map(|key| hits.remove(key)).collect();
    let more = from + taken < ranks.len() && taken > 0;
    found.next = found.matches.last().filter(|_| more).map(|last| Place {
        after_key: last.key,
        offset: i64::try_from(from + taken).unwrap_or(0),
    });
    Ok(more)
}

/// Adds what `_include` and `_revinclude` ask for.
fn come_along(
    db: &mut Db,
    asked: &Asked<'_>,
    base_url: &str,
    readable: &dyn Fn(&str) -> bool,
    found: &mut Found,
) -> Result<(), Failure> {
    let search = asked.search;
    let mut seen: HashSet<i64> = found.matches.iter().map(|hit| hit.key).collect();
    let mut included: Vec<Hit> = Vec::new();
    let room = |included: &Vec<Hit>| INCLUDES_MAX + 1 - i64::try_from(included.len()).unwrap_or(INCLUDES_MAX);
    if !search.includes.is_empty() {
        let (members, shared) = references(&found.matches, &search.includes, base_url, readable);
        let from: HashSet<(i64, &str, &str)> = members
            .iter()
            .map(|(no, t, id)| (*no, t.as_str(), id.as_str()))
            .collect();
        let targets: Vec<(String, String)> = members.iter().map(|(_, t, id)| (t.clone(), id.clone())).collect();
        let reached = store::by_reference(db, asked.scope, &targets, room(&included), asked.now_ms)?;
        let own = reached
            .into_iter()
            .filter(|hit| from.contains(&(hit.compartment(), &hit.rtype, &hit.id)));
        included.extend(own);
        let others = store::by_reference(db, &Scope::Shared, &shared, room(&included), asked.now_ms)?;
        included.extend(others);
    }
    for include in search
        .revincludes
        .iter()
        .filter(|include| include.param.leads_to(&search.rtype) && readable(include.param.rtype))
    {
        let hits: Vec<&Hit> = found.matches.iter().collect();
        if hits.is_empty() {
            break;
        }
        let reached = store::referring(db, asked.scope, include.param, &hits, room(&included), asked.now_ms)?;
        included.extend(reached);
    }
    included.retain(|hit| seen.insert(hit.key));
    found.includes_cut = included.len() > usize::try_from(INCLUDES_MAX).unwrap_or(usize::MAX);
    included.truncate(usize::try_from(INCLUDES_MAX).unwrap_or(usize::MAX));
    found.included = included;
    Ok(())
}

type Members = Vec<(i64, String, String)>;

/// What the matches refer to by the parameters that are followed: resources of their own member, and shared ones.
fn references(
    matches: &[Hit],
    includes: &[Include],
    base_url: &str,
    readable: &dyn Fn(&str) -> bool,
) -> (Members, Vec<(String, String)>) {
    let (mut members, mut shared) = (HashSet::new(), HashSet::new());
    for hit in matches {
        let Ok(resource) = screen(&hit.bytes, &Limits::record()) else {
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

fn compartments(found: &Found) -> Vec<i64> {
    let hits = found.matches.iter().chain(&found.included);
    let mut numbers: Vec<i64> = hits.map(Hit::compartment).filter(|no| *no != NOBODY).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// One entry for each member on the page; a number over all members is one entry that names none. What belongs to nobody counts
/// for the member when there is only one.
async fn record(
    ctx: &Context,
    caller: &Caller,
    found: &Found,
    grants: &[LiveGrant],
    counted: bool,
    sent: Sent,
) -> Result<(), Failure> {
    let (mut entries, mut left): (Vec<Entry>, Vec<(u64, Tally)>) = (Vec::new(), Vec::new());
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
        entries.push(entry(Action::DisclosureBegun, caller, grant));
        left.push((bytes, tally));
    }
    if counted {
        let mut number = Entry::new(Action::DisclosureBegun, caller.actor(), caller.correlation.clone());
        number.policy_version = Some(super::POLICY.to_owned());
        entries.push(number);
        left.push((0, Tally::default()));
    }
    if entries.is_empty() {
        return Ok(());
    }
    let begun = begin(ctx, entries).await?;
    for (begun, (bytes, tally)) in begun.into_iter().zip(left) {
        let outcome = Outcome {
            class: "ok",
            http: Some(sent.http()),
            reason: None,
        };
        let tally = if sent == Sent::Whole { tally } else { Tally::default() };
        complete(ctx, begun, outcome, sent.bytes(bytes), tally);
    }
    Ok(())
}
