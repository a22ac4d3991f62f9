//! US addresses: number, street, unit and place. The usual abbreviations are treated as equal.

use crate::text::{digits, edits, fold, jaro_winkler};
use std::collections::HashMap;
use std::sync::LazyLock;

/// One address, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WrittenAddress {
    /// House number, street and unit.
    pub line: String,
    /// City.
    pub city: String,
    /// State.
    pub state: String,
    /// Postal code.
    pub zip: String,
}

/// An address in normalized form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressForm {
    /// House number, or empty.
    pub number: String,
    /// The street as one word, with abbreviations and without spaces.
    pub street: String,
    /// The street as one word, without its type and direction.
    pub core: String,
    /// Unit, or empty.
    pub unit: String,
    /// City, letters only.
    pub city: String,
    /// State, two letters where known.
    pub state: String,
    /// First five digits of the postal code.
    pub zip: String,
}

/// How near two addresses are, ordered from near to far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nearness {
    /// The same house, and no differing unit.
    Same,
    /// The same house except for a typing error, or another unit in it.
    Close,
    /// The same postal code.
    Zip,
    /// The same city.
    City,
    /// The same state.
    State,
    /// Elsewhere.
    Elsewhere,
}

/// USPS street types and directions. The words of each line are treated like its first word.
const WORDS: &str = "
st street str stre strt streeet
ave avenue av avn aven avenu aveune avnue
rd road roa
dr drive driv drv
ln lane lan
ct court crt cour
cir circle circ circl crcl
blvd boulevard boul boulv
pl place plac
ter terrace terr terra
trl trail trails tr
way wy
pkwy parkway parkwy pky pkway
hwy highway highwy hiway
rte route rt
cr county_road
loop loops
run
sq square sqr
pt point
cv cove
xing crossing
aly alley
plz plaza
pass ps
path
row
walk
brk brook
expy expressway
mnr manor
hl hill
hls hills
vw view
vly valley
mt mount
n north no nth
s south so sth
e east
w west
ne northeast
nw northwest
se southeast
sw southwest
1st first
2nd second
3rd third
4th fourth
5th fifth
6th sixth
7th seventh
8th eighth
9th ninth
10th tenth
";
/// The first words of the lines of [`WORDS`] that are a type of street or a direction, and not a part of its name.
const GENERIC: &[&str] = &[
    "st", "ave", "rd", "dr", "ln", "ct", "cir", "blvd", "pl", "ter", "trl", "way", "pkwy", "hwy", "rte", "loop", "sq",
    "cv", "xing", "aly", "plz", "n", "s", "e", "w", "ne", "nw", "se", "sw",
];
const UNITS: &[&str] = &[
    "apt",
    "apartment",
    "unit",
    "suite",
    "ste",
    "lot",
    "room",
    "rm",
    "trlr",
    "bldg",
    "building",
    "floor",
    "fl",
    "number",
    "#",
];
const STATES: &str = "al alabama ak alaska az arizona ar arkansas ca california co colorado ct connecticut de delaware \
    fl florida ga georgia hi hawaii id idaho il illinois in indiana ia iowa ks kansas ky kentucky la louisiana me maine \
    md maryland ma massachusetts mi michigan mn minnesota ms mississippi mo missouri mt montana ne nebraska nv nevada \
    nh newhampshire nj newjersey nm newmexico ny newyork nc northcarolina nd northdakota oh ohio ok oklahoma or oregon \
    pa pennsylvania ri rhodeisland sc southcarolina sd southdakota tn tennessee tx texas ut utah vt vermont va virginia \
    wa washington wv westvirginia wi wisconsin wy wyoming";

/// Each word of [`WORDS`] with the first word of its line. An address may have thousands of words, so each one is looked up at once.
static STANDARDS: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let mut standards = HashMap::new();
    for line in WORDS.lines() {
        let first = line.split(' ').next().unwrap_or(line);
        for word in line.split(' ') {
            standards.entry(word).or_insert(first);
        }
    }
    standards
});

fn standard(word: &str) -> &str {
    STANDARDS.get(word).copied().unwrap_or(word)
}

fn letters(text: &str) -> String {
    fold(text).chars().filter(|c| c.is_alphanumeric()).collect()
}

impl AddressForm {
    /// Normalizes an address; `None` when it is empty.
    pub fn parse(address: &WrittenAddress) -> Option<AddressForm> {
        let mut form = AddressForm {
            city: letters(&address.city),
            state: letters(&address.state),
            zip: digits(&address.zip).chars().take(5).collect(),
            ..AddressForm::default()
        };
        if let Some(i) = form.city.strip_prefix("saint") {
            form.city = format!("st{i}");
        }
        let names: Vec<&str> = STATES.split_whitespace().collect();
        if let Some(pair) = names.chunks(2).find(|pair| pair.get(1) == Some(&form.state.as_str())) {
            form.state = pair.first().copied().unwrap_or("").to_owned();
        }
        let line = fold(&address.line).replace('#', " # ").replace(['.', '\''], "");
        let mut words = line
            .split(|c: char| !(c.is_alphanumeric() || c == '#'))
            .filter(|word| !word.is_empty())
            .peekable();
        if let Some(first) = words.peek()
            && first.chars().next().is_some_and(|c| c.is_ascii_digit())
            && !first.ends_with("th")
        {
            form.number = words.next().unwrap_or("").trim_start_matches('0').to_owned();
        }
        let mut in_unit = false;
        for word in words {
            if UNITS.contains(&word) && (!form.street.is_empty() || word == "#") {
                in_unit = true;
            } else if in_unit {
                form.unit.push_str(word);
            } else {
                let word = standard(word);
                form.street.push_str(word);
                if !GENERIC.contains(&word) {
                    form.core.push_str(word);
                }
            }
        }
        if form.core.is_empty() {
            form.core.clone_from(&form.street);
        }
        let says = [&form.street, &form.city, &form.state, &form.zip]
            .iter()
            .any(|s| !s.is_empty());
        says.then_some(form)
    }

    /// How near two addresses are; symmetric. `None` when they have no part that both state.
    pub fn nearness(&self, other: &AddressForm) -> Option<Nearness> {
        let both = |a: &str, b: &str| !a.is_empty() && !b.is_empty();
        let same = |a: &str, b: &str| both(a, b) && a == b;
        let zip = same(&self.zip, &other.zip);
        let state_differs = both(&self.state, &other.state) && self.state != other.state;
        let city = same(&self.city, &other.city) && !state_differs;
        // A house is the same unless its postal code or its city contradicts it; both may be missing. A wrong state alone is taken for a
        // typing error.
        let placed =
            zip || same(&self.city, &other.city) || !(both(&self.zip, &other.zip) || both(&self.city, &other.city));
        if placed && both(&self.street, &other.street) && both(&self.number, &other.number) {
            let number = self.number == other.number;
            let street = self.street == other.street || self.core == other.core;
            let unit_differs = both(&self.unit, &other.unit) && self.unit != other.unit;
            if number && street && !unit_differs {
                return Some(Nearness::Same);
            }
            let alike = || {
                let cut = |a: &str, b: &str| a.len() >= 5 && b.starts_with(a);
                edits(&self.street, &other.street, 2) <= 2
                    || jaro_winkler(&self.street, &other.street) >= 0.92
                    || cut(&self.core, &other.core)
                    || cut(&other.core, &self.core)
            };
            let number_slip = self.number.len() >= 3 && edits(&self.number, &other.number, 1) <= 1;
            if (number && (street || alike())) || (number_slip && street && (zip || self.core.len() >= 8)) {
                return Some(Nearness::Close);
            }
        }
        if zip {
            return Some(Nearness::Zip);
        }
        if city {
            return Some(Nearness::City);
        }
        if same(&self.state, &other.state) {
            return Some(Nearness::State);
        }
        let comparable =
            both(&self.state, &other.state) || both(&self.city, &other.city) || both(&self.zip, &other.zip);
        comparable.then_some(Nearness::Elsewhere)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: &str, city: &str, zip: &str) -> AddressForm {
        AddressForm::parse(&WrittenAddress {
            line: line.into(),
            city: city.into(),
            state: "WA".into(),
            zip: zip.into(),
        })
        .expect("says something")
    }

    #[test]
    fn abbreviations_units_and_slips() {
        let here = at("2290 beacon avenue south apt 3", "Seattle", "98116");
        for (line, zip, near) in [
            ("2290 BEACON AV S", "98116", Nearness::Same),
            ("2290 Beacon Ave. South #3", "98116-1234", Nearness::Same),
            ("2290 Beacon Ave S unit 4", "98116", Nearness::Close),
            ("2290 baecon ave s", "98118", Nearness::Close),
            ("2209 beacon ave s", "98116", Nearness::Close),
            ("17 elm st", "98116", Nearness::Zip),
            ("17 elm st", "98101", Nearness::City),
        ] {
            let there = at(line, "SEATTLE", zip);
            assert_eq!(here.nearness(&there), Some(near), "{line}");
            assert_eq!(there.nearness(&here), Some(near), "{line}");
        }
        assert_eq!(
            here.nearness(&at("17 elm st", "Tacoma", "98401")),
            Some(Nearness::State)
        );
        assert_eq!(AddressForm::parse(&WrittenAddress::default()), None);
    }

    #[test]
    fn states_are_read_whole_and_short() {
        let long = WrittenAddress {
            state: "North Carolina".into(),
            ..WrittenAddress::default()
        };
        assert_eq!(AddressForm::parse(&long).map(|a| a.state), Some("nc".into()));
    }
}
