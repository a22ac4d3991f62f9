//! Follows a record that came by searches to the directory resources and medications that it names and no search by member brings. It asks by id,
//! only for what the record names and the partner can be asked for, and never for a resource of a person. Safe to repeat: what is asked for is
//! on record before it is.

use super::blocking::blocking;
use super::fetching::Fetching;
use super::plan::{EVERYTHING, is_supporting, supporting_part};
use crate::error::Failure;
use crate::partner::peer::{CallFailure, PeerOffer};
use crate::records::ingest::{self, PartState, RecordPart};

/// How often what came by id is followed further: a role names its practitioner and its organization, which names another one.
const DEPTH: u32 = 3;
/// Most resources that are asked for at one depth.
const MOST: usize = 2_000;
/// How many ids one request names.
const TOGETHER: usize = 50;

/// Fetches what the record names. What the partner does not give is not missing: it is no part of the member's record.
pub(super) async fn follow(fetching: &mut Fetching<'_>, offer: &PeerOffer) -> Result<(), CallFailure> {
    let parts = parts(fetching).await?;
    let has_all = parts
        .iter()
        .any(|part| part.name == EVERYTHING && part.state == PartState::Whole);
    if has_all {
        return Ok(());
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
        for part in begun {
            if part.state == PartState::Open {
                let call = fetching.call.clone();
                if fetching.part(part, "").await?.is_some() {
                    // The record itself was given.
                    fetching.call = call;
                }
            }
        }
    }
    Ok(())
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
            let link = format!(
                "{rtype}?_id={}&_count={TOGETHER}{}",
                ids.join(","),
                with_provenance(&rtype)
            );
            groups.push((part, link));
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
