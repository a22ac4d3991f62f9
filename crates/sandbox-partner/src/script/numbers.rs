//! Which requests of a kind a rule is for: `"3"`, `"1-2"`, `"4+"`, `"every 5"`, or several of these with commas.

use serde::de::{Deserialize, Deserializer, Error, Unexpected};

/// A set of request numbers; the first request has number 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestNumbers(Vec<Span>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Span {
    FromTo(u64, u64),
    Every(u64),
}

impl RequestNumbers {
    /// Parses the text of a script. Returns None for anything else, and for the number 0.
    pub fn parse(text: &str) -> Option<RequestNumbers> {
        let number = |text: &str| text.trim().parse::<u64>().ok().filter(|&number| number > 0);
        let span = |part: &str| {
            let part = part.trim();
            if let Some(step) = part.strip_prefix("every ") {
                return number(step).map(Span::Every);
            }
            if let Some(from) = part.strip_suffix('+') {
                return number(from).map(|from| Span::FromTo(from, u64::MAX));
            }
            match part.split_once('-') {
                None => number(part).map(|only| Span::FromTo(only, only)),
                Some((from, to)) => {
                    let (from, to) = (number(from)?, number(to)?);
                    (from <= to).then_some(Span::FromTo(from, to))
                }
            }
        };
        text.split(',')
            .map(span)
            .collect::<Option<Vec<_>>>()
            .map(RequestNumbers)
    }

    /// Whether `number` is one of them.
    pub fn contains(&self, number: u64) -> bool {
        self.0.iter().any(|span| match *span {
            Span::FromTo(from, to) => (from..=to).contains(&number),
            Span::Every(step) => number.is_multiple_of(step),
        })
    }
}

impl<'de> Deserialize<'de> for RequestNumbers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        RequestNumbers::parse(&text).ok_or_else(|| {
            D::Error::invalid_value(
                Unexpected::Str(&text),
                &"request numbers such as \"3\", \"1-2\", \"4+\", \"every 5\" or \"1, 3\"",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_numbers_are_single_ranges_open_or_every() {
        let of = |text: &str| {
            let set = RequestNumbers::parse(text).expect(text);
            (1..=10).filter(|&number| set.contains(number)).collect::<Vec<u64>>()
        };
        assert_eq!(of("3"), [3]);
        assert_eq!(of("1-2"), [1, 2]);
        assert_eq!(of("9+"), [9, 10]);
        assert_eq!(of("every 5"), [5, 10]);
        assert_eq!(of("1, 3, every 4"), [1, 3, 4, 8]);
        for wrong in ["", "0", "2-1", "x", "every", "every 0", "1,,2", "-3"] {
            assert_eq!(RequestNumbers::parse(wrong), None, "{wrong}");
        }
    }
}
