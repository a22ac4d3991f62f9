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

/// Whether a request for a whole file may be answered with gzip.
pub(super) fn may_pack(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING);
    let named = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    !headers.contains_key(header::RANGE) && named.into_iter().any(accepts_gzip)
}

fn accepts_gzip(text: &str) -> bool {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let is_wanted = weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0));
    is_wanted && (name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn gzip_is_used_when_it_is_named_and_not_refused() {
        for (text, wanted) in [
            ("gzip", true),
            ("GZIP;q=0.5", true),
            ("x-gzip", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("gzip;q=much", false),
            ("br", false),
            ("*", false),
            ("", false),
        ] {
            assert_eq!(accepts_gzip(text), wanted, "{text}");
        }
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
