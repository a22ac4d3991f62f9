//! The opaque `_page` parameter of a next link: bound to partner, member, query and expiry by a MAC, and encrypted where it holds a query,
//! which may name a person (`docs/threats.md` D07).
//!
//! It holds a position, not a right: every page is authorized again.

use super::PageStart;
use crate::error::{Failure, Fault};
use crate::secret;
use serde::{Deserialize, Serialize};

/// How long a page link is valid, in milliseconds.
const LIFE_MS: i64 = 3_600_000;

/// A page of a search: the query as it was sent, and where the page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPage {
    /// Query string, percent-encoded, without `_page`.
    pub query: String,
    /// Where the page begins.
    pub place: PageStart,
}

#[derive(Serialize, Deserialize)]
struct State {
    query: String,
    after_key: i64,
    offset: i64,
    expires_ms: i64,
}

/// Makes and reads page links with a key that all processes of a store share.
#[derive(Clone)]
pub struct PageLinks {
    key: [u8; 32],
}

impl PageLinks {
    /// Page links with this key.
    pub fn new(key: [u8; 32]) -> Self {
        PageLinks { key }
    }

    /// A link to the rows after `place`, valid only for this `binding` (partner, member and query, as one text).
    pub fn make(&self, binding: &str, place: i64, now_ms: i64) -> String {
        let expires_ms = now_ms + LIFE_MS;
        let mut bytes = [place.to_be_bytes(), expires_ms.to_be_bytes()].concat();
        let mac = self.mac(&bytes, binding);
        bytes.extend_from_slice(&mac[..16]);
        secret::base64url(&bytes)
    }

    /// The position that a link holds.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] when this server did not make it, when it was made for another binding, or when it has expired.
    pub fn read(&self, link: &str, binding: &str, now_ms: i64) -> Result<i64, Failure> {
        let refused = || {
            Failure::new(Fault::ParameterInvalid)
                .at("_page")
                .remedy("Start again without _page.")
        };
        let bytes = secret::from_base64url(link)
            .filter(|bytes| bytes.len() == 32)
            .ok_or_else(refused)?;
        let (content, mac) = bytes.split_at(16);
        if !secret::same(mac, &self.mac(content, binding)[..16]) {
            return Err(refused());
        }
        let number = |bytes: &[u8]| bytes.try_into().map(i64::from_be_bytes).map_err(|_| refused());
        let (place, expires_ms) = (number(&content[..8])?, number(&content[8..])?);
        if now_ms < expires_ms { Ok(place) } else { Err(refused()) }
    }

    /// Makes the `_page` of a search; `None` when the page cannot be encrypted.
    pub fn seal(&self, binding: &str, page: &SearchPage, now_ms: i64) -> Option<String> {
        let state = State {
            query: page.query.clone(),
            after_key: page.place.after_key,
            offset: page.place.offset,
            expires_ms: now_ms + LIFE_MS,
        };
        let sealed = secret::seal(
            &self.sealing_key(),
            binding.as_bytes(),
            &serde_json::to_vec(&state).ok()?,
        )?;
        Some(secret::base64url(&sealed))
    }

    /// Reads the `_page` of a search.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] when this server did not make it, when it was made for another binding, or when it has expired.
    pub fn open(&self, link: &str, binding: &str, now_ms: i64) -> Result<SearchPage, Failure> {
        let state: Option<State> = secret::from_base64url(link)
            .and_then(|sealed| secret::open(&self.sealing_key(), binding.as_bytes(), &sealed))
            .and_then(|plain| serde_json::from_slice(&plain).ok());
        match state {
            Some(state) if now_ms < state.expires_ms => Ok(SearchPage {
                query: state.query,
                place: PageStart {
                    after_key: state.after_key,
                    offset: state.offset,
                },
            }),
            _ => Err(Failure::new(Fault::ParameterInvalid)
                .at("_page")
                .remedy("Start the search again without _page.")),
        }
    }

    fn sealing_key(&self) -> [u8; 32] {
        secret::hmac_sha256(&self.key, b"search pages")
    }

    fn mac(&self, content: &[u8], binding: &str) -> [u8; 32] {
        secret::hmac_sha256(&self.key, &[content, binding.as_bytes()].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_d07_a_search_page_works_for_its_own_binding_only_and_hides_the_query() {
        let links = PageLinks::new([3; 32]);
        let page = SearchPage {
            query: "family=Lima&_count=2".into(),
            place: PageStart {
                after_key: 9,
                offset: 2,
            },
        };
        let link = links.seal("acme||Patient", &page, 1_000).expect("sealed");
        assert_eq!(links.open(&link, "acme||Patient", 2_000).expect("own"), page);
        assert!(links.open(&link, "other||Patient", 2_000).is_err());
        assert!(links.open(&link, "acme||Patient", 1_000 + LIFE_MS).is_err());
        assert!(links.open("", "acme||Patient", 2_000).is_err());
        let plain = secret::from_base64url(&link).expect("base64url");
        assert!(!plain.windows(4).any(|four| four == b"Lima"));
        assert_ne!(
            links.seal("acme||Patient", &page, 1_000).expect("sealed"),
            link,
            "a fresh nonce each time"
        );
    }

    #[test]
    fn t_d07_a_link_works_for_its_own_query_only() {
        let links = PageLinks::new([3; 32]);
        let link = links.make("acme|p1|_count=10", 77, 1_000);
        assert_eq!(links.read(&link, "acme|p1|_count=10", 2_000).expect("own"), 77);
        for binding in ["other|p1|_count=10", "acme|p2|_count=10", "acme|p1|_count=11"] {
            assert!(links.read(&link, binding, 2_000).is_err(), "{binding}");
        }
        assert!(links.read(&link, "acme|p1|_count=10", 1_000 + LIFE_MS).is_err());
        for at in 0..link.len() {
            let mut edited = link.clone().into_bytes();
            edited[at] = if edited[at] == b'A' { b'B' } else { b'A' };
            let edited = String::from_utf8(edited).expect("ascii");
            assert!(
                edited == link || links.read(&edited, "acme|p1|_count=10", 2_000).is_err(),
                "{at}"
            );
        }
    }
}
