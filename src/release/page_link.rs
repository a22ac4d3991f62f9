//! The opaque `_page` of a next link: bound to partner, member, query and expiry by a MAC (`threats.md` D07).
//!
//! It carries a place, not a right: authorisation is evaluated anew on every page.

use crate::error::{Failure, Fault};
use crate::secret;

/// How long a page link works, in milliseconds.
const LIFE_MS: i64 = 3_600_000;

/// Makes and reads page links with a key that all processes of a store share.
#[derive(Clone)]
pub struct PageLinks {
    key: [u8; 32],
}

impl PageLinks {
    /// Links under this key.
    pub fn new(key: [u8; 32]) -> Self {
        PageLinks { key }
    }

    /// A link to the rows after `place`, good for this `binding` (partner, member and query, as one text).
    pub fn make(&self, binding: &str, place: i64, now_ms: i64) -> String {
        let expires_ms = now_ms + LIFE_MS;
        let mut bytes = [place.to_be_bytes(), expires_ms.to_be_bytes()].concat();
        let mac = self.mac(&bytes, binding);
        bytes.extend_from_slice(&mac[..16]);
        secret::base64url(&bytes)
    }

    /// The place a link points to.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] when it is not ours, was made for another binding, or has expired.
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

    fn mac(&self, content: &[u8], binding: &str) -> [u8; 32] {
        secret::hmac_sha256(&self.key, &[content, binding.as_bytes()].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
