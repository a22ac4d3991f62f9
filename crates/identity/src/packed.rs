//! The stored form of a [`Profile`] and of [`Facts`] in bytes, so that a decision reads one short row for each candidate and normalizes
//! nothing again. Defines the format and its number. A row with another number is rebuilt from the record and never read.

use crate::address::AddressForm;
use crate::date::Birth;
use crate::facts::Facts;
use crate::person::{EmailForm, Gender, NameForm, Profile};
use crate::text::phonetic;

/// The number of this format and of the normalization behind it. It must be increased when either of them changes.
pub const FORMAT: u8 = 2;

const NO_GENERATION: u8 = u8::MAX;

impl Profile {
    /// The profile as bytes, without `own_numbers`, which only a request has.
    pub fn pack(&self) -> Vec<u8> {
        let mut out = Writer(vec![FORMAT]);
        out.list(&self.names, |out, name| {
            out.texts(&name.given);
            out.texts(&name.family);
            out.0.push(name.generation.unwrap_or(NO_GENERATION));
        });
        let birth = self.birth.map_or([0; 4], |birth| {
            let [high, low] = birth.year.to_be_bytes();
            [high, low, birth.month, birth.day]
        });
        out.0.extend(birth);
        out.0.push(match self.gender {
            None => 0,
            Some(Gender::Female) => 1,
            Some(Gender::Male) => 2,
        });
        out.text(&self.ssn);
        out.text(&self.ssn_last4);
        out.list(&self.addresses, |out, one| {
            for part in [
                &one.number,
                &one.street,
                &one.core,
                &one.unit,
                &one.city,
                &one.state,
                &one.zip,
            ] {
                out.text(part);
            }
        });
        out.texts(&self.phones);
        out.list(&self.emails, |out, email| {
            out.text(&email.local);
            out.text(&email.domain);
        });
        out.texts(&self.member_ids);
        out.texts(&self.subscriber_ids);
        out.text(&self.umb);
        out.0
    }

    /// Reads a profile that [`pack`](Profile::pack) wrote; `None` for another format and for malformed bytes.
    pub fn unpack(bytes: &[u8]) -> Option<Profile> {
        let mut from = Reader(bytes);
        if from.byte()? != FORMAT {
            return None;
        }
        let names = from.list(|from| {
            let (given, family) = (from.texts()?, from.texts()?);
            let generation = Some(from.byte()?).filter(|said| *said != NO_GENERATION);
            let family_joined = family.concat();
            Some(NameForm {
                family_sound: phonetic(&family_joined),
                given,
                family,
                family_joined,
                generation,
            })
        })?;
        let [high, low, month, day] = from.array::<4>()?;
        let year = u16::from_be_bytes([high, low]);
        let gender = match from.byte()? {
            0 => None,
            1 => Some(Gender::Female),
            2 => Some(Gender::Male),
            _ => return None,
        };
        let profile = Profile {
            names,
            birth: (year > 0).then_some(Birth { year, month, day }),
            gender,
            ssn: from.text()?,
            ssn_last4: from.text()?,
            addresses: from.list(|from| {
                Some(AddressForm {
                    number: from.text()?,
                    street: from.text()?,
                    core: from.text()?,
                    unit: from.text()?,
                    city: from.text()?,
                    state: from.text()?,
                    zip: from.text()?,
                })
            })?,
            phones: from.texts()?,
            emails: from.list(|from| {
                Some(EmailForm {
                    local: from.text()?,
                    domain: from.text()?,
                })
            })?,
            member_ids: from.texts()?,
            subscriber_ids: from.texts()?,
            umb: from.text()?,
            own_numbers: Vec::new(),
        };
        from.0.is_empty().then_some(profile)
    }
}

impl Facts {
    /// The counts as bytes. Equal counts give equal bytes, so that their digest identifies them.
    pub fn pack(&self) -> Vec<u8> {
        let mut out = Writer(vec![FORMAT]);
        out.number(self.records());
        for counts in self.counts() {
            let mut sorted: Vec<(&String, &u32)> = counts.iter().collect();
            sorted.sort_unstable();
            out.list(&sorted, |out, (text, count)| {
                out.text(text);
                out.number(u64::from(**count));
            });
        }
        out.0
    }

    /// Reads counts that [`pack`](Facts::pack) wrote; `None` for another format and for malformed bytes.
    pub fn unpack(bytes: &[u8]) -> Option<Facts> {
        let mut from = Reader(bytes);
        if from.byte()? != FORMAT {
            return None;
        }
        let records = from.number()?;
        let mut counts = || {
            Some(
                from.list(|from| Some((from.text()?, u32::try_from(from.number()?).ok()?)))?
                    .into_iter()
                    .collect(),
            )
        };
        let facts = Facts::from_counts(records, [counts()?, counts()?, counts()?, counts()?]);
        from.0.is_empty().then_some(facts)
    }
}

struct Writer(Vec<u8>);

impl Writer {
    /// Writes a number with seven bits in each byte, the lowest bits first.
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], mut one: impl FnMut(&mut Writer, &T)) {
        self.number(items.len() as u64);
        for item in items {
            one(self, item);
        }
    }

    fn texts(&mut self, texts: &[String]) {
        self.list(texts, |out, text| out.text(text));
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok().map(str::to_owned)
    }

    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()?;
        // Every item takes at least one byte, so malformed bytes cannot cause a large allocation.
        let mut items = Vec::with_capacity(usize::try_from(count).ok()?.min(self.0.len()));
        for _ in 0..count {
            items.push(one(self)?);
        }
        Some(items)
    }

    fn texts(&mut self) -> Option<Vec<String>> {
        self.list(Reader::text)
    }
}
