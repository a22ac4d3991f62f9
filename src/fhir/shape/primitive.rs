//! The grammar of each primitive type, checked by hand-written code in one pass over the bytes, without regular expressions.
//!
//! Source: FHIR R4 (4.0.1), Data Types, "Primitive Types". White space is ASCII white space, as in the expressions there.

/// A primitive type of R4. `Currency` is not a type of R4: it is a `code` of ISO 4217, whose codes the core package does not list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(super) enum Primitive {
    Base64Binary,
    Boolean,
    Canonical,
    Code,
    Currency,
    Date,
    DateTime,
    Decimal,
    Id,
    Instant,
    Integer,
    Markdown,
    Oid,
    PositiveInt,
    String,
    Time,
    UnsignedInt,
    Uri,
    Url,
    Uuid,
    Xhtml,
}

/// The JSON type of a primitive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Json {
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// A string.
    String,
}

/// Most characters in a string (R4: "Note that FHIR strings SHALL NOT exceed 1MB in size").
const STRING_MAX: usize = 1 << 20;

impl Primitive {
    /// The type with this name in the definitions.
    pub fn named(name: &str) -> Option<Primitive> {
        use Primitive::*;
        Some(match name {
            "base64Binary" => Base64Binary,
            "boolean" => Boolean,
            "canonical" => Canonical,
            "code" => Code,
            "currency" => Currency,
            "date" => Date,
            "dateTime" => DateTime,
            "decimal" => Decimal,
            "id" => Id,
            "instant" => Instant,
            "integer" => Integer,
            "markdown" => Markdown,
            "oid" => Oid,
            "positiveInt" => PositiveInt,
            "string" => String,
            "time" => Time,
            "unsignedInt" => UnsignedInt,
            "uri" => Uri,
            "url" => Url,
            "uuid" => Uuid,
            "xhtml" => Xhtml,
            _ => return None,
        })
    }

    /// The JSON type in which it is written.
    pub fn json(self) -> Json {
        match self {
            Primitive::Boolean => Json::Boolean,
            Primitive::Decimal | Primitive::Integer | Primitive::PositiveInt | Primitive::UnsignedInt => Json::Number,
            _ => Json::String,
        }
    }

    /// Whether `text` is a valid value: a string without its quotes and with escapes resolved, or a number as written.
    pub fn accepts(self, text: &[u8]) -> bool {
        match self {
            Primitive::Boolean | Primitive::Decimal => true,
            Primitive::String | Primitive::Markdown => {
                text.len() <= STRING_MAX
                    || std::str::from_utf8(text).is_ok_and(|text| text.chars().count() <= STRING_MAX)
            }
            Primitive::Code => code(text),
            Primitive::Currency => text.len() == 3 && text.iter().all(u8::is_ascii_uppercase),
            Primitive::Uri | Primitive::Url | Primitive::Canonical => !text.iter().any(|byte| is_space(*byte)),
            Primitive::Id => {
                (1..=64).contains(&text.len())
                    && text
                        .iter()
                        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
            }
            Primitive::Date => date(text),
            Primitive::DateTime => date(text) || instant(text),
            Primitive::Instant => instant(text),
            Primitive::Time => clock(text).is_some_and(<[u8]>::is_empty),
            Primitive::Integer => number(text, i64::from(i32::MIN)),
            Primitive::UnsignedInt => number(text, 0),
            Primitive::PositiveInt => number(text, 1),
            Primitive::Oid => oid(text),
            Primitive::Uuid => uuid(text),
            Primitive::Base64Binary => base64(text),
            Primitive::Xhtml => xhtml(text),
        }
    }

    /// The expected form, to follow "Expected …".
    pub fn form(self) -> &'static str {
        match self {
            Primitive::Base64Binary => "base64 in groups of four characters",
            Primitive::Boolean => "true or false, without quotes",
            Primitive::Canonical => "a canonical URL, without white space",
            Primitive::Code => "a code: no white space but single spaces inside it",
            Primitive::Currency => "a currency code of ISO 4217: three capital letters",
            Primitive::Date => "a date: YYYY, YYYY-MM or YYYY-MM-DD",
            Primitive::DateTime => {
                "a dateTime: YYYY, YYYY-MM, YYYY-MM-DD, or YYYY-MM-DDThh:mm:ss with a zone (Z or +hh:mm)"
            }
            Primitive::Decimal => "a number (decimal), without quotes",
            Primitive::Id => "an id: 1 to 64 letters, digits, '-' and '.'",
            Primitive::Instant => "an instant: YYYY-MM-DDThh:mm:ss with a zone (Z or +hh:mm)",
            Primitive::Integer => "a whole number (integer), without quotes",
            Primitive::Markdown => "markdown of at most 1 MiB",
            Primitive::Oid => "an OID: urn:oid: and numbers with dots",
            Primitive::PositiveInt => "a whole number from 1 (positiveInt), without quotes",
            Primitive::String => "a string of at most 1 MiB",
            Primitive::Time => "a time: hh:mm:ss",
            Primitive::UnsignedInt => "a whole number from 0 (unsignedInt), without quotes",
            Primitive::Uri => "a URI, without white space",
            Primitive::Url => "a URL, without white space",
            Primitive::Uuid => "a UUID: urn:uuid: and its small hexadecimal digits",
            Primitive::Xhtml => "one XHTML div element",
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// `[^\s]+(\s[^\s]+)*`
fn code(text: &[u8]) -> bool {
    let mut gap = true;
    for byte in text {
        let space = is_space(*byte);
        if space && gap {
            return false;
        }
        gap = space;
    }
    !gap
}

/// Whether `text` is a JSON integer of at least `least` that fits into 32 bits.
fn number(text: &[u8], least: i64) -> bool {
    let plain = !text.starts_with(b"-0") && text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-');
    let value = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
    plain && value.is_some_and(|value| (least..=i64::from(i32::MAX)).contains(&value))
}

/// The two digits at `at`; `None` when they are not digits.
fn two(text: &[u8], at: usize) -> Option<u8> {
    match text.get(at..at + 2)? {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some((tens - b'0') * 10 + ones - b'0'),
        _ => None,
    }
}

/// Whether `text` is a day that exists in the calendar, a month, or a year.
fn date(text: &[u8]) -> bool {
    let (Some(high), Some(low)) = (two(text, 0), two(text, 2)) else {
        return false;
    };
    let year = u16::from(high) * 100 + u16::from(low);
    let month = two(text, 5).filter(|month| (1..=12).contains(month) && text[4] == b'-');
    match text.len() {
        _ if year == 0 => false,
        4 => true,
        7 => month.is_some(),
        10 => month.is_some_and(|month| {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days = match month {
                2 => 28 + u8::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            text[7] == b'-' && two(text, 8).is_some_and(|day| (1..=days).contains(&day))
        }),
        _ => false,
    }
}

/// Whether `text` is a day, a time with seconds, and a zone.
fn instant(text: &[u8]) -> bool {
    let Some((day, rest)) = text.split_at_checked(10) else {
        return false;
    };
    date(day) && rest.first() == Some(&b'T') && clock(&rest[1..]).is_some_and(zone)
}

/// The text after `hh:mm:ss` and an optional fraction; `None` when these are malformed.
fn clock(text: &[u8]) -> Option<&[u8]> {
    let within = |at: usize, most: u8| two(text, at).is_some_and(|value| value <= most);
    if !(within(0, 23) && within(3, 59) && within(6, 60) && text[2] == b':' && text[5] == b':') {
        return None;
    }
    let rest = &text[8..];
    match rest.split_first() {
        Some((b'.', fraction)) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 { None } else { Some(&fraction[digits..]) }
        }
        _ => Some(rest),
    }
}

fn zone(text: &[u8]) -> bool {
    match text {
        b"Z" => true,
        [b'+' | b'-', _, _, b':', _, _] => match (two(text, 1), two(text, 4)) {
            (Some(hours), Some(minutes)) => (hours <= 13 && minutes <= 59) || (hours, minutes) == (14, 0),
            _ => false,
        },
        _ => false,
    }
}

/// `urn:oid:[0-2](\.(0|[1-9][0-9]*))+`
fn oid(text: &[u8]) -> bool {
    let Some(mut arcs) = text
        .strip_prefix(b"urn:oid:")
        .map(|rest| rest.split(|byte| *byte == b'.'))
    else {
        return false;
    };
    let root = matches!(arcs.next(), Some([b'0'..=b'2']));
    let mut count = 0;
    root && arcs.all(|arc| {
        count += 1;
        !arc.is_empty() && arc.iter().all(u8::is_ascii_digit) && (arc[0] != b'0' || arc.len() == 1)
    }) && count > 0
}

/// `urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`
fn uuid(text: &[u8]) -> bool {
    text.strip_prefix(b"urn:uuid:").is_some_and(|digits| {
        digits.len() == 36
            && digits.iter().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => *byte == b'-',
                _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            })
    })
}

/// `(\s*([0-9a-zA-Z\+\/=]){4}\s*)+`
fn base64(text: &[u8]) -> bool {
    let mut rest = text;
    let mut groups = 0usize;
    loop {
        while let Some((group, after)) = rest.split_first_chunk::<4>() {
            let alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
            if !group.iter().all(alphabet) {
                break;
            }
            groups += 1;
            rest = after;
        }
        match rest.split_first() {
            None => return groups > 0,
            Some((byte, after)) if is_space(*byte) => rest = after,
            Some(_) => return false,
        }
    }
}

/// Whether `text` is one `div` element from its first byte to its last. What it contains must be checked where it is shown.
fn xhtml(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let named = text
        .strip_prefix(b"<div")
        .and_then(<[u8]>::first)
        .is_some_and(|next| is_space(*next) || matches!(next, b'>' | b'/'));
    named
        && (text.ends_with(b"/>")
            || text
                .strip_suffix(b">")
                .is_some_and(|start| start.trim_ascii_end().ends_with(b"</div")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_takes_what_r4_gives_it_and_nothing_else() {
        let rows: &[(&str, &[&str], &[&str])] = &[
            (
                "code",
                &["a", "a b", "entered-in-error", "<=", "é"],
                &["", " a", "a ", "a  b", "a \tb", "\n"],
            ),
            ("currency", &["USD"], &["usd", "US", "dollars", "U D"]),
            ("uri", &["", "urn:x", "http://a/b?c#d", "é"], &["a b", " a", "a\n"]),
            (
                "id",
                &["a", "A-1.b", &"x".repeat(64)],
                &["", "a_b", "a b", "é", &"x".repeat(65)],
            ),
            (
                "date",
                &["2020", "0001", "2020-02", "2020-02-29", "2000-02-29", "2020-12-31"],
                &[
                    "",
                    "0000",
                    "20",
                    "2020-",
                    "2020-13",
                    "2020-00",
                    "2021-02-29",
                    "1900-02-29",
                    "2020-04-31",
                    "2020-1-1",
                    "19-01-1990",
                    "01/02/2020",
                    "2020-02-29T",
                    "2020-02-29T00:00:00Z",
                    "2020/02/29",
                    "202é",
                ],
            ),
            (
                "dateTime",
                &[
                    "2020",
                    "2020-02",
                    "2020-02-29",
                    "2020-02-29T23:59:60Z",
                    "2020-02-29T01:02:03.4567+14:00",
                    "2020-02-29T01:02:03-05:30",
                ],
                &[
                    "2020-02-29T01:02:03",
                    "2020-02-29T01:02Z",
                    "2020-02-29 01:02:03Z",
                    "2020-02-29T24:00:00Z",
                    "2020-02-29T01:02:03.Z",
                    "2020-02-29T01:02:03+14:01",
                    "2020-02-29T01:02:03z",
                    "2020-02-29T01:02:03+0100",
                    "2020-02-30T01:02:03Z",
                    "2020-02-29T",
                ],
            ),
            (
                "instant",
                &["2020-02-29T01:02:03Z"],
                &["2020", "2020-02-29", "2020-02-29T01:02:03"],
            ),
            (
                "time",
                &["00:00:00", "23:59:59.9"],
                &["24:00:00", "1:00:00", "01:00", "01:00:00Z", ""],
            ),
            (
                "integer",
                &["0", "-1", "2147483647", "-2147483648"],
                &["-0", "1.0", "1e3", "2147483648", "-2147483649"],
            ),
            ("unsignedInt", &["0", "1"], &["-1", "2147483648", "0.5"]),
            ("positiveInt", &["1"], &["0", "-1"]),
            ("decimal", &["0", "-1.50", "1e3"], &[]),
            (
                "oid",
                &["urn:oid:1.2.840", "urn:oid:2.0"],
                &["1.2.3", "urn:oid:3.1", "urn:oid:1", "urn:oid:1.02", "urn:oid:1."],
            ),
            (
                "uuid",
                &["urn:uuid:c757873d-ec9a-4326-a141-556f43239520"],
                &[
                    "c757873d-ec9a-4326-a141-556f43239520",
                    "urn:uuid:C757873D-ec9a-4326-a141-556f43239520",
                    "urn:uuid:c757",
                ],
            ),
            (
                "base64Binary",
                &["QUJD", "QQ==", "QUJD\r\nQUJD\n", " QUJD QUJD "],
                &["", " ", "QUJ", "QUJDQ", "QU JD", "QUJ-", "QUJ_"],
            ),
            (
                "xhtml",
                &[
                    "<div>a</div>",
                    "<div xmlns=\"x\">a</div>",
                    " <div/>\n",
                    "<div><p>b</p></div >",
                ],
                &["a", "<p>a</p>", "<divx>a</divx>", "<div>a", "<div", "a<div>b</div>"],
            ),
            ("string", &["a", " ", "é"], &[]),
            ("markdown", &["a\n"], &[]),
        ];
        for (name, good, bad) in rows {
            let kind = Primitive::named(name).expect("a type");
            for text in *good {
                assert!(kind.accepts(text.as_bytes()), "{name} {text:?}");
            }
            for text in *bad {
                assert!(!kind.accepts(text.as_bytes()), "{name} {text:?}");
            }
        }
    }

    #[test]
    fn a_string_has_at_most_a_mebi_of_characters() {
        assert!(Primitive::String.accepts("é".repeat(STRING_MAX).as_bytes()));
        assert!(!Primitive::String.accepts("é".repeat(STRING_MAX + 1).as_bytes()));
    }
}
