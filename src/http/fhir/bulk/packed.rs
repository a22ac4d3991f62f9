//! Files of runs packed while they are sent, with gzip or zstd as the request accepts it. What is counted and checked are the bytes of the file.

use actix_web::http::header::{self, HeaderMap};
use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::io::{self, Write as _};

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// One stream for the whole file.
    Gzip,
    /// A frame for each piece (RFC 8878, section 3).
    Zstd,
}

impl Packing {
    /// How a request for a whole file is answered; `None` for the file as it is.
    pub(super) fn of(headers: &HeaderMap) -> Option<Packing> {
        let values = headers.get_all(header::ACCEPT_ENCODING);
        match headers.contains_key(header::RANGE) {
            true => None,
            false => preferred(values.filter_map(|value| value.to_str().ok())),
        }
    }

    /// The name of the coding.
    pub(super) const fn coding(self) -> &'static str {
        match self {
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
        }
    }
}

/// Packs a file piece by piece.
pub(super) enum Packer {
    Gzip(Box<GzEncoder<Vec<u8>>>),
    /// Whether there is a frame yet.
    Zstd(bool),
}

impl Packer {
    pub(super) fn new(packing: Packing) -> Packer {
        match packing {
            Packing::Gzip => Packer::Gzip(Box::new(GzEncoder::new(Vec::new(), Compression::fast()))),
            Packing::Zstd => Packer::Zstd(false),
        }
    }

    /// What can be sent after these bytes; it may be empty.
    ///
    /// # Errors
    /// Those of the library.
    pub(super) fn pack(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Packer::Gzip(stream) => {
                stream.write_all(bytes)?;
                Ok(std::mem::take(stream.get_mut()))
            }
            Packer::Zstd(has_frame) => {
                *has_frame = true;
                Ok(compress_to_vec(bytes, CompressionLevel::Fastest))
            }
        }
    }

    /// The rest.
    ///
    /// # Errors
    /// Those of the library.
    pub(super) fn end(self) -> io::Result<Vec<u8>> {
        match self {
            Packer::Gzip(stream) => stream.finish(),
            Packer::Zstd(true) => Ok(Vec::new()),
            // Also an empty file has a frame: without one, clients take it for a broken stream.
            Packer::Zstd(false) => Ok(compress_to_vec(b"".as_slice(), CompressionLevel::Fastest)),
        }
    }
}

/// What `Accept-Encoding` asks for (RFC 9110, section 12.5.3): of the codings that are named and weigh no less than the file as it is, the one
/// that weighs most, and gzip when both do; otherwise one that is left when the file as it is is refused.
fn preferred<'v>(values: impl Iterator<Item = &'v str>) -> Option<Packing> {
    let (mut gzip, mut zstd, mut identity, mut any) = (None, None, None, None);
    for (name, weight) in values.flat_map(|value| value.split(',')).map(weighed) {
        let place = match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => &mut gzip,
            "zstd" => &mut zstd,
            "identity" => &mut identity,
            "*" => &mut any,
            _ => continue,
        };
        *place = Some(place.map_or(weight, |before: u16| before.max(weight)));
    }
    let refuses_identity = identity.or(any) == Some(0);
    let named = |own: Option<u16>| own.filter(|own| *own > 0 && *own >= identity.unwrap_or(0));
    match (named(gzip), named(zstd)) {
        (Some(gzip), Some(zstd)) if zstd > gzip => Some(Packing::Zstd),
        (Some(_), _) => Some(Packing::Gzip),
        (None, Some(_)) => Some(Packing::Zstd),
        (None, None) if !refuses_identity || any.unwrap_or(0) == 0 => None,
        (None, None) if gzip.is_none() => Some(Packing::Gzip),
        (None, None) => zstd.is_none().then_some(Packing::Zstd),
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

    const GZIP: Option<Packing> = Some(Packing::Gzip);
    const ZSTD: Option<Packing> = Some(Packing::Zstd);

    #[test]
    fn a_coding_is_used_when_it_is_named_and_weighs_no_less_than_the_file_as_it_is() {
        for (text, wanted) in [
            ("gzip", GZIP),
            ("GZIP;q=0.5", GZIP),
            ("x-gzip", GZIP),
            ("br;q=1, gzip; q=0.001", GZIP),
            ("gzip;q=0.5, identity;q=0.5", GZIP),
            ("gzip;q=0.5, identity", None),
            ("gzip;q=0.5, identity;q=0.501", None),
            ("identity;q=0, gzip;q=0.1", GZIP),
            ("gzip;q=0", None),
            ("gzip;q=0, *", None),
            ("gzip; q=0.000", None),
            ("gzip;q=much", None),
            ("gzip;q=2", None),
            ("gzip;q=0.5555", None),
            ("br", None),
            ("zstd", ZSTD),
            ("Zstd;q=0.1", ZSTD),
            ("gzip, deflate, br, zstd", GZIP),
            ("gzip;q=0.8, zstd", ZSTD),
            ("zstd;q=0.8, gzip", GZIP),
            ("gzip;q=0, zstd", ZSTD),
            ("zstd;q=0.5, identity", None),
            ("zstd;q=0", None),
            ("*", None),
            ("identity;q=0, *", GZIP),
            ("identity;q=0, gzip;q=0, *", ZSTD),
            ("identity;q=0, gzip;q=0, zstd;q=0, *", None),
            ("identity;q=0", None),
            ("*;q=0", None),
            ("", None),
        ] {
            assert_eq!(preferred([text].into_iter()), wanted, "{text}");
        }
        assert_eq!(
            preferred(["br", "gzip"].into_iter()),
            GZIP,
            "several lines are one list"
        );
    }

    #[test]
    fn what_is_packed_in_pieces_is_unpacked_as_one() {
        let piece: Vec<u8> = (0..30_000_u32).flat_map(|at| (at / 7).to_le_bytes()).collect();
        for packing in [Packing::Gzip, Packing::Zstd] {
            let (mut packer, mut packed) = (Packer::new(packing), Vec::new());
            for _ in 0..3 {
                packed.extend(packer.pack(&piece).expect("packed"));
            }
            packed.extend(packer.pack(&piece[..1]).expect("packed"));
            packed.extend(packer.end().expect("the rest"));
            let all = [piece.repeat(3), piece[..1].to_vec()].concat();
            assert!(
                unpacked(packing, &packed) == all && packed.len() < all.len() / 2,
                "{packing:?}"
            );
        }
    }

    #[test]
    fn an_empty_file_is_a_stream_too() {
        for packing in [Packing::Gzip, Packing::Zstd] {
            let packed = Packer::new(packing).end().expect("the rest");
            assert!(
                !packed.is_empty() && unpacked(packing, &packed).is_empty(),
                "{packing:?}"
            );
        }
    }

    fn unpacked(packing: Packing, packed: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        match packing {
            Packing::Gzip => {
                let mut stream = flate2::read::GzDecoder::new(packed);
                stream.read_to_end(&mut all).expect("unpacked");
            }
            Packing::Zstd => {
                let mut rest = packed;
                while !rest.is_empty() {
                    let mut frame = ruzstd::decoding::StreamingDecoder::new(&mut rest).expect("a frame");
                    frame.read_to_end(&mut all).expect("unpacked");
                }
            }
        }
        all
    }
}
