//! FHIR search within the caller's grants: matches, included resources, and the position of the next page.
//!
//! Every SQL statement of a search contains the authorization (`store::search`). An included resource is authorized like a read, and
//! belongs to the same compartment as the match, or is shared. A ledger entry for each member on a page is committed before the page is
//! sent.

mod along;
mod found;
mod granted;

pub use found::{FoundPage, PageStart, START};

use super::transmitter::{PageTransmitter, with_provenance};
use super::{Disclosure, SentPart, Tally, begin, entry, is_shared, refuse};
use crate::audit::{Action, LedgerEvent, RestCall};
use crate::context::{Context, Payer};
use crate::error::{Failure, Fault};
use crate::fhir::search::subset::subset;
use crate::fhir::search::{Search, SearchFilter, Sort, Summary, bounds};
use crate::security::Caller;
use crate::store::Db;
use crate::store::disclosure::{self, LiveGrant};
use crate::store::resources::NOBODY;
use crate::store::search::{self as store, PageBytes, PageRead, SearchAsked, SearchScope};
use std::sync::Arc;

/// Approximate limit of the matches on a page in bytes; a single larger resource is still sent.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of a page that are read without asking for room: its caller has as much.
const HELD_BYTES: usize = 2 * 1024 * 1024;

/// Most matches of a search that is sorted: their keys and values are in memory at once, for each page again. All of them are bound to one
/// statement when they are of one member, and SQLite binds 32,766 values.
pub const SORTED_MAX: usize = 20_000;

/// A page that was searched for.
enum Searched {
    Page(Box<FoundPage>),
    /// It has so many bytes, for which there is no room yet.
    Larger(usize),
}

/// Runs a search. `readable` says whether the caller's scopes allow reading a type, for included resources; `sent` says what of the page is
/// sent. `room` is asked for the memory that a large page takes, before it is read, and may wait; the caller has room for a small one.
///
/// # Errors
/// [`Fault::SearchTooCostly`]; those of the store, of the ledger and of `room`; a search without matches returns an empty page.
pub async fn search(
    ctx: &Context,
    caller: &Caller,
    search: Search,
    place: PageStart,
    readable: impl Fn(&str) -> bool + Send + Sync + 'static,
    sent: SentPart,
    mut room: impl AsyncFnMut(usize) -> Result<(), Failure>,
) -> Result<FoundPage, Failure> {
    let now_ms = ctx.clock.now_ms();
    let Some(scope) = scope(ctx, caller, &search, now_ms).await? else {
        return nothing(ctx, caller).await;
    };
    bounds::check(&search, matches!(scope, SearchScope::Granted { .. }))?;
    let counted = search.summary == Summary::Count;
    let own = match &scope {
        SearchScope::One { grant, .. } => Some(grant.clone()),
        SearchScope::Granted { .. } | SearchScope::Shared | SearchScope::Referred => None,
    };
    let is_shared = matches!(scope, SearchScope::Shared);
    let page = Arc::new(PageSearch {
        scope,
        search,
        umb_system: ctx.payer.umb_system.clone(),
        payer: ctx.payer.clone(),
        partner: caller.partner.id.clone(),
        place,
        now_ms,
        readable,
    });
    // In turn, so that a partner that searches much waits only for its own searches. What one record answers may be quicker than a turn.
    let comes_alone = page.search.includes.is_empty() && page.search.revincludes.is_empty();
    let is_short = own.is_some() && page.search.sort.is_empty() && comes_alone;
    let run = async |held: usize| {
        let page = Arc::clone(&page);
        let work = move |db: &mut Db| page.run(db, held);
        match is_short {
            true => ctx.store.read_while_quick(&caller.partner.id, work).await,
            false => ctx.store.read_in_turn(&caller.partner.id, work).await,
        }
    };
    // The matches may be larger than what is held, and then what comes along with them.
    let mut held = HELD_BYTES;
    let (mut found, grants) = loop {
        match run(held).await? {
            (Searched::Page(found), grants) => break (*found, grants),
            (Searched::Larger(bytes), _) => {
                room(bytes).await?;
                held = bytes.max(held + 1);
            }
        }
    };
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

/// A page that is searched for, with what its statements need.
struct PageSearch<R> {
    scope: SearchScope,
    search: Search,
    umb_system: String,
    payer: Arc<Payer>,
    partner: String,
    place: PageStart,
    now_ms: i64,
    readable: R,
}

impl<R: Fn(&str) -> bool> PageSearch<R> {
    /// Reads the page, if it has no more than `held` bytes, and the grants on its members.
    fn run(&self, db: &mut Db, held: usize) -> Result<(Searched, Vec<LiveGrant>), Failure> {
        let asked = SearchAsked {
            scope: &self.scope,
            part: &[],
            search: &self.search,
            umb_system: &self.umb_system,
            now_ms: self.now_ms,
        };
        let mut found = match matches(db, &asked, self.place, held)? {
            Searched::Page(found) => found,
            larger @ Searched::Larger(_) => return Ok((larger, Vec::new())),
        };
        let how = (self.payer.base_url.as_str(), &self.readable as &dyn Fn(&str) -> bool);
        let came = along::come_along(db, &asked, how, (PAGE_BYTES, held), &found.matches)?;
        if let Some(bytes) = came.larger {
            return Ok((Searched::Larger(bytes), Vec::new()));
        }
        found.included = came.included;
        found.includes_cut = came.is_cut;
        let grants = match &self.scope {
            SearchScope::One { grant, .. } => vec![grant.clone()],
            SearchScope::Granted { .. } => {
                let grants = disclosure::live_grants(db, &self.partner, &granted::compartments(&found), self.now_ms)?;
                granted::keep(&mut found, &grants);
                grants
            }
            SearchScope::Shared | SearchScope::Referred => Vec::new(),
        };
        // Here and not where it is sent: reading a page of large resources keeps a thread busy, and the ledger counts what is sent.
        for hit in &mut found.matches {
            hit.bytes = subset(std::mem::take(&mut hit.bytes), &self.search.summary);
        }
        let is_wanted = with_provenance(&self.search) && (self.readable)("Provenance");
        found.transmitter = is_wanted
            .then(|| {
                let sent = found.matches.iter().chain(&found.included);
                PageTransmitter::of(&self.payer, &self.partner, sent, self.now_ms)
            })
            .flatten();
        Ok((Searched::Page(found), grants))
    }
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
    let failure = refuse(ctx, caller, RestCall::Search, Fault::NotFound).await;
    if failure.fault() == Fault::NotFound {
        Ok(FoundPage {
            total: Some(0),
            ..FoundPage::default()
        })
    } else {
        Err(failure)
    }
}

fn matches(db: &mut Db, asked: &SearchAsked<'_>, place: PageStart, held: usize) -> Result<Searched, Failure> {
    let search = asked.search;
    let mut found = FoundPage::default();
    if search.total == Some(true) || search.summary == Summary::Count {
        found.total = Some(store::count(db, asked)?);
    }
    if search.summary == Summary::Count {
        return Ok(Searched::Page(Box::new(found)));
    }
    let bytes = PageBytes { most: PAGE_BYTES, held };
    let more = if search.sort.is_empty() {
        let (hits, more) = match store::page(db, asked, place.after_key, search.count, bytes)? {
            PageRead::Read(hits, more) => (hits, more),
            PageRead::Larger(bytes) => return Ok(Searched::Larger(bytes)),
        };
        found.next = hits.last().filter(|_| more).map(|last| PageStart {
            after_key: last.key,
            offset: 0,
        });
        found.matches = hits;
        more
    } else {
        match sorted(db, asked, place, bytes, &mut found)? {
            Ok(more) => more,
            Err(bytes) => return Ok(Searched::Larger(bytes)),
        }
    };
    if !more && place == START && search.total.is_none() {
        found.total = i64::try_from(found.matches.len()).ok();
    }
    Ok(Searched::Page(Box::new(found)))
}

/// A page in the order that was asked for, and whether there are more; or how many bytes it has, for which there is no room yet. For each
/// page all matches are sorted again, by their keys only.
///
/// # Errors
/// [`Fault::SortTooCostly`]; those of the store.
fn sorted(
    db: &mut Db,
    asked: &SearchAsked<'_>,
    place: PageStart,
    bytes: PageBytes,
    found: &mut FoundPage,
) -> Result<Result<bool, usize>, Failure> {
    let Some(keys) = store::keys(db, asked, SORTED_MAX)? else {
        return Err(Failure::new(Fault::SortTooCostly).at(format!("{}?_sort", asked.search.rtype)));
    };
    let mut ranks: Vec<(Vec<Option<String>>, i64)> = keys.iter().map(|one| (Vec::new(), one.key)).collect();
    for (sort, descending) in &asked.search.sort {
        let values = match sort {
            Sort::By(param) => store::sort_values(db, &keys, param, *descending)?,
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
    let hits = match store::by_keys(db, asked.scope, &wanted, asked.now_ms, bytes)? {
        PageRead::Read(hits, _) => hits,
        PageRead::Larger(bytes) => return Ok(Err(bytes)),
    };
    let last = hits.last().map(|hit| hit.key);
    let taken = wanted.iter().position(|key| Some(*key) == last).map_or(0, |at| at + 1);
    found.matches = hits;
    let more = from + taken < ranks.len() && taken > 0;
    found.next = found.matches.last().filter(|_| more).map(|last| PageStart {
        after_key: last.key,
        offset: i64::try_from(from + taken).unwrap_or(0),
    });
    Ok(Ok(more))
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
                tally.add_one(&hit.rtype, hit.is_cut);
            }
        }
        if let Some(transmitter) = found.transmitter.as_ref().filter(|_| only) {
            bytes += transmitter.bytes.len() as u64;
            tally.add("Provenance");
        }
        parts.push((entry(RestCall::Search, caller, grant), (Some(grant), bytes, tally)));
    }
    if counted {
        let mut number = LedgerEvent::new(Action::DisclosureBegun, caller.actor(), caller.correlation.clone());
        number.interaction = Some(RestCall::Search);
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
