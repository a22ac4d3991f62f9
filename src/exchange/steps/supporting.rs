//! Follows a record that came by searches to the directory resources and medications that it names and no search by member brings. It asks by id,
//! many at once or, where the partner refuses that, one after another; only for what the record names and the partner can be asked for, and
//! never for a resource of a person. Safe to repeat: what is asked for is on record before it is.

use super::blocking::blocking;
use super::fetching::Fetching;
use super::plan::{EVERYTHING, group_of_read, is_supporting, read_part, supporting_part};
use crate::error::{Failure, Fault};
use crate::partner::peer::{CallFailure, PeerOffer};
use crate::records::ingest::{self, PartState, RecordPart};

/// How often what came by id is followed further: a role names its practitioner and its organization, which names another one.
const DEPTH: u32 = 3;
/// Most resources that are asked for at one depth.
const MOST: usize = 2_000;
/// How many ids one request names.
const TOGETHER: usize = 50;
/// After so many reads of one group that gave nothing, the others of it are left.
const IN_VAIN: usize = 10;

/// Fetches what the record names. What the partner does not give is not missing: it is no part of the member's record.
pub(super) async fn follow(fetching: &mut Fetching<'_>, offer: &PeerOffer) -> Result<(), CallFailure> {
    let parts = parts(fetching).await?;
    let has_all = parts
        .iter()
        .any(|part| part.name == EVERYTHING && part.state == PartState::Whole);
    if has_all {
        return Ok(());
    }
    let mut searches = GroupSearches::default();
    for part in parts.iter().filter(|part| is_group(part)) {
        searches.note(part.state, is_refused(part));
    }
    let round = fetching.facts.round;
    let place = |depth| supporting_part(round, depth);
    for depth in 1..=DEPTH {
        let mut begun = parts_of(fetching, &place(depth)).await?;
        if begun.is_empty() {
            let from = (depth > 1).then(|| place(depth - 1));
            let groups = groups(fetching, offer, from, &place(depth)).await?;
            if groups.is_empty() {
                return Ok(());
            }
            ingest::open_links(fetching.scope, fetching.writer, groups).await?;
            begun = parts_of(fetching, &place(depth)).await?;
        }
        for part in begun.into_iter().filter(is_group) {
            group(fetching, part, &mut searches).await?;
        }
    }
    Ok(())
}

/// What is known of this partner's searches for several ids, from this exchange.
#[derive(Default)]
struct GroupSearches {
    was_given: bool,
    was_refused: bool,
}

impl GroupSearches {
    fn note(&mut self, state: PartState, is_refused: bool) {
        self.was_given |= matches!(state, PartState::Whole | PartState::Short);
        self.was_refused |= is_refused;
    }

    /// Whether they need not be tried any more.
    fn are_refused(&self) -> bool {
        self.was_refused && !self.was_given
    }
}

/// Whether a part is a search for several ids.
fn is_group(part: &RecordPart) -> bool {
    is_supporting(&part.name) && group_of_read(&part.name).is_none()
}

/// Whether the partner refused a search in a way that may mean the search and not what it asks for.
fn is_refused(part: &RecordPart) -> bool {
    let reasons = [Fault::PartnerMisunderstands, Fault::PartnerRefuses].map(Fault::code);
    part.state == PartState::Refused && part.reason.as_deref().is_some_and(|reason| reasons.contains(&reason))
}

/// Fetches what one search asks for, by this search or by a read for each id.
async fn group(
    fetching: &mut Fetching<'_>,
    mut part: RecordPart,
    searches: &mut GroupSearches,
) -> Result<(), CallFailure> {
    if part.state == PartState::Open {
        if searches.are_refused() {
            give_up(fetching, &mut part, Fault::PartnerMisunderstands).await?;
        } else if let Some(fault) = beside(fetching, part.clone()).await? {
            (part.state, part.reason) = (PartState::Refused, Some(fault.code().to_owned()));
        } else {
            part.state = PartState::Whole;
        }
        searches.note(part.state, is_refused(&part));
    }
    match is_refused(&part) {
        true => one_by_one(fetching, &part).await,
        false => Ok(()),
    }
}

/// Reads each resource that a search asks for which was refused.
async fn one_by_one(fetching: &mut Fetching<'_>, group: &RecordPart) -> Result<(), CallFailure> {
    let place = read_part(&group.name);
    let reads = ids_of(group.next.as_deref().unwrap_or_default())
        .enumerate()
        .map(|(number, read)| (format!("{place}{number}"), read))
        .collect();
    ingest::open_links(fetching.scope, fetching.writer, reads).await?;
    let mut vain = 0;
    for mut part in parts_of(fetching, &place).await? {
        match part.state {
            PartState::Open if vain >= IN_VAIN => give_up(fetching, &mut part, Fault::PartnerRefuses).await?,
            PartState::Open => match beside(fetching, part).await? {
                Some(_) => vain += 1,
                None => vain = 0,
            },
            _ => {}
        }
    }
    Ok(())
}

/// Fetches a part; returns why it is not given. What the exchange tells of its last call is about the record itself, which was given.
async fn beside(fetching: &mut Fetching<'_>, part: RecordPart) -> Result<Option<Fault>, CallFailure> {
    if part.next.is_none() {
        // Its link was lost. A new round asks for what it did not bring.
        return Ok(None);
    }
    let call = fetching.call.clone();
    let refused = fetching.part(part, "").await?;
    if refused.is_some() {
        fetching.call = call;
    }
    Ok(refused)
}

async fn give_up(fetching: &Fetching<'_>, part: &mut RecordPart, fault: Fault) -> Result<(), Failure> {
    (part.state, part.reason) = (PartState::Refused, Some(fault.code().to_owned()));
    ingest::mark_part(
        fetching.scope,
        fetching.writer,
        &part.name,
        part.state,
        Some(fault),
        false,
    )
    .await
}

/// The search for these ids of a type.
fn group_link(rtype: &str, ids: &[String], more: &str) -> String {
    format!("{rtype}?_id={}&_count={TOGETHER}{more}", ids.join(","))
}

/// What [`group_link`] asks for, each as `Type/id`.
fn ids_of(link: &str) -> impl Iterator<Item = String> {
    let (rtype, query) = link.split_once("?_id=").unwrap_or_default();
    let ids = query.split('&').next().unwrap_or_default().split(',');
    ids.filter(|id| !id.is_empty()).map(move |id| format!("{rtype}/{id}"))
}

/// The requests for what is named by what came from the parts `from` (`None`: by the record itself), each with its part.
async fn groups(
    fetching: &Fetching<'_>,
    offer: &PeerOffer,
    from: Option<String>,
    place: &str,
) -> Result<Vec<(String, String)>, Failure> {
    let own = fetching.scope.clone();
    // Not every server lists `_id`, which every server must know.
    let offered: Vec<String> = offer.searches.keys().cloned().collect();
    let with_provenance = |rtype: &str| match offer.with_provenance.contains(rtype) {
        true => "&_revinclude=Provenance:target",
        false => "",
    };
    let named = blocking(move || {
        let is_source = |part: &str| match &from {
            Some(from) => part.starts_with(from.as_str()),
            None => !is_supporting(part),
        };
        ingest::named_beside(&own, &is_source, &offered, MOST)
    })
    .await?;
    let mut groups = Vec::new();
    for (rtype, ids) in named {
        for ids in ids.chunks(TOGETHER) {
            let part = format!("{place}{rtype}.{}", groups.len());
            groups.push((part, group_link(&rtype, ids, with_provenance(&rtype))));
        }
    }
    Ok(groups)
}

async fn parts(fetching: &Fetching<'_>) -> Result<Vec<RecordPart>, Failure> {
    let own = fetching.scope.clone();
    blocking(move || ingest::parts(&own)).await
}

async fn parts_of(fetching: &Fetching<'_>, place: &str) -> Result<Vec<RecordPart>, Failure> {
    let mut found = parts(fetching).await?;
    found.retain(|part| part.name.starts_with(place));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_for_several_ids_can_be_asked_one_by_one() {
        let link = group_link(
            "Location",
            &["l1".to_owned(), "l-2".to_owned()],
            "&_revinclude=Provenance:target",
        );
        assert_eq!(link, "Location?_id=l1,l-2&_count=50&_revinclude=Provenance:target");
        assert_eq!(ids_of(&link).collect::<Vec<_>>(), ["Location/l1", "Location/l-2"]);
        assert_eq!(ids_of("").count(), 0);
    }

    #[test]
    fn one_search_that_is_refused_says_nothing_of_the_others_when_one_was_given() {
        let mut searches = GroupSearches::default();
        assert!(!searches.are_refused());
        searches.note(PartState::Refused, true);
        assert!(searches.are_refused());
        searches.note(PartState::Whole, false);
        assert!(!searches.are_refused());
    }
}
