//! Files of runs packed with gzip while they are sent, when the request accepts it. What is counted and checked are the bytes of the file.

use actix_web::http::header::{self, HeaderMap};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{self, Write as _};

/// Packs a file piece by piece.
pub(super) struct Packer(GzEncoder<Vec<u8>>);

impl Packer {
    pub(super) fn new() -> Packer {
        Packer(GzEncoder::new(Vec::new(), Compression::fast()))
    }

    /// What can be sent after these bytes; it may be empty.
    ///
    /// # Errors
    /// Those of the library.
    pub(super) fn pack(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(bytes)?;
        Ok(std::mem::take(self.0.get_mut()))
    }

    /// The rest.
    ///
    /// # Errors
    /// Those of the library.
    pub(super) fn end(self) -> io::Result<Vec<u8>> {
        self.0.finish()
    }
}

/// Whether a request for a whole file is answered with gzip.
pub(super) fn may_pack(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING);
    !headers.contains_key(header::RANGE) && prefers_gzip(values.filter_map(|value| value.to_str().ok()))
}

/// Whether `Accept-Encoding` asks for gzip (RFC 9110, section 12.5.3): it is named and weighs no less than the file as it is, or it is what
/// is left when the file as it is is refused.
fn prefers_gzip<'v>(values: impl Iterator<Item = &'v str>) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for (name, weight) in values.flat_map(|value| value.split(',')).map(weighed) {
        let place = match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => &mut gzip,
            "identity" => &mut identity,
            "*" => &mut any,
            _ => continue,
        };
        *place = Some(place.map_or(weight, |before: u16| before.max(weight)));
    }
    let refuses_identity = identity.or(any) == Some(0);
    match (gzip, any) {
        (Some(gzip), _) => gzip > 0 && gzip >= identity.unwrap_or(0),
        (None, Some(any)) => any > 0 && refuses_identity,
        (None, None) => false,
    }
}

/// The name of a coding and its weight in thousandths; 0 for a weight that is none.
fn weighed(text: &str) -> (&str, u16) {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (name, weight.map_or(1_000, |weight| thousandths(weight).unwrap_or(0)))
}

/// A weight: 0 to 1 with at most three digits after the point.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    if rest.len() > 3 || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part: u16 = format!("{rest:0<3}").parse().ok()?;
    match whole {
        "0" => Some(part),
        "1" if part == 0 => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn gzip_is_used_when_it_is_named_and_weighs_no_less_than_the_file_as_it_is() {
        for (text, wanted) in [
            ("gzip", true),
            ("GZIP;q=0.5", true),
            ("x-gzip", true),
            ("br;q=1, gzip; q=0.001", true),
            ("gzip;q=0.5, identity;q=0.5", true),
            ("gzip;q=0.5, identity", false),
            ("gzip;q=0.5, identity;q=0.501", false),
            ("identity;q=0, gzip;q=0.1", true),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("gzip; q=0.000", false),
            ("gzip;q=much", false),
            ("gzip;q=2", false),
            ("gzip;q=0.5555", false),
            ("br", false),
            ("zstd", false),
            ("*", false),
            ("identity;q=0, *", true),
            ("identity;q=0", false),
            ("*;q=0", false),
            ("", false),
        ] {
            assert_eq!(prefers_gzip([text].into_iter()), wanted, "{text}");
        }
        assert!(prefers_gzip(["br", "gzip"].into_iter()), "several lines are one list");
    }

    #[test]
    fn what_is_packed_in_pieces_is_unpacked_as_one() {
        let (mut packer, mut packed, piece) = (Packer::new(), Vec::new(), vec![7; 100_000]);
        for _ in 0..3 {
            packed.extend(packer.pack(&piece).expect("packed"));
        }
        packed.extend(packer.end().expect("the rest"));
        let mut all = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice())
            .read_to_end(&mut all)
            .expect("unpacked");
        assert!(all == piece.repeat(3) && packed.len() < 10_000);
    }
}
