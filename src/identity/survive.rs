//! Survivorship: which source's value is shown for each attribute of a person, and where it came from.
//!
//! Nothing is merged: this is a view, computed each time from the records and a policy of trust and recency. Without side effects. Like
//! every policy, this one is named by the digest of its content.

use crate::error::{Failure, Fault};
use crate::secret::{hex, sha256};
use serde::Serialize;

/// The shipped policy: facts of identity from the most trusted source, contact data from the source that is most recent.
const DEFAULT: &str = "survivorship 1\n\
    trust ours 100\n\
    trust linked 80\n\
    trust partner 50\n\
    family trust\n\
    given trust\n\
    birth_date trust\n\
    gender trust\n\
    address recency\n\
    phone recency\n\
    email recency\n\
    member_id trust\n";

/// An attribute of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Attribute {
    Family,
    Given,
    BirthDate,
    Gender,
    Address,
    Phone,
    Email,
    MemberId,
}

impl Attribute {
    /// All attributes.
    pub const ALL: [Attribute; 8] = {
        use Attribute::*;
        [Family, Given, BirthDate, Gender, Address, Phone, Email, MemberId]
    };

    /// Returns its name in a policy.
    pub const fn code(self) -> &'static str {
        match self {
            Attribute::Family => "family",
            Attribute::Given => "given",
            Attribute::BirthDate => "birth_date",
            Attribute::Gender => "gender",
            Attribute::Address => "address",
            Attribute::Phone => "phone",
            Attribute::Email => "email",
            Attribute::MemberId => "member_id",
        }
    }
}

/// The kind of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// The member's own record.
    Ours,
    /// Another record of this payer that is linked to it.
    Linked,
    /// A partner's request that a reviewer confirmed.
    Partner,
}

impl SourceKind {
    const ALL: [SourceKind; 3] = [SourceKind::Ours, SourceKind::Linked, SourceKind::Partner];

    const fn code(self) -> &'static str {
        match self {
            SourceKind::Ours => "ours",
            SourceKind::Linked => "linked",
            SourceKind::Partner => "partner",
        }
    }
}

/// A source and what it says.
#[derive(Clone, Debug)]
pub struct SourceSays {
    /// What kind of source it is.
    pub kind: SourceKind,
    /// The source: `Patient/<id>`, or a partner's id.
    pub origin: String,
    /// The time of its data, UTC milliseconds.
    pub as_of_ms: i64,
    /// Its values; an empty value counts as missing.
    pub says: Vec<(Attribute, String)>,
}

/// The value that is shown for one attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Survivor {
    /// The attribute.
    pub attribute: Attribute,
    /// The value.
    pub value: String,
    /// The source of the value.
    pub origin: String,
    /// The time of the source's data, UTC milliseconds.
    pub as_of_ms: i64,
    /// How many other sources have the same value.
    pub agree: usize,
    /// How many other sources have another value.
    pub differ: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Trust,
    Recency,
}

/// A survivorship policy: which source is preferred for each attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivorship {
    trust: [u8; 3],
    rules: [Rule; 8],
}

impl Default for Survivorship {
    fn default() -> Self {
        // This cannot fail: the text is a constant, and a test parses it.
        Survivorship::parse(DEFAULT).unwrap_or(Survivorship {
            trust: [100, 80, 50],
            rules: [Rule::Trust; 8],
        })
    }
}

impl Survivorship {
    /// Parses a policy: after its first line, `trust <source> <0-100>` for each source and
    /// `<attribute> trust|recency` for each attribute, each exactly once.
    ///
    /// # Errors
    /// [`Fault::ConfigInvalid`] with the number of the wrong line.
    pub fn parse(text: &str) -> Result<Survivorship, Failure> {
        let invalid = |line: usize| Failure::new(Fault::ConfigInvalid).at(format!("survivorship line {line}"));
        let (mut trust, mut rules) = ([None; 3], [None; 8]);
        for (at, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let taken = match words.as_slice() {
                ["survivorship", "1"] if at == 0 => true,
                ["trust", source, number] if at > 0 => {
                    let slot = SourceKind::ALL.iter().position(|kind| kind.code() == *source);
                    let number = number.parse::<u8>().ok().filter(|number| *number <= 100);
                    slot.zip(number)
                        .is_some_and(|(slot, number)| trust[slot].replace(number).is_none())
                }
                [attribute, rule] if at > 0 => {
                    let slot = Attribute::ALL.iter().position(|one| one.code() == *attribute);
                    let rule = match *rule {
                        "trust" => Some(Rule::Trust),
                        "recency" => Some(Rule::Recency),
                        _ => None,
                    };
                    slot.zip(rule)
                        .is_some_and(|(slot, rule)| rules[slot].replace(rule).is_none())
                }
                _ => false,
            };
            if !taken {
                return Err(invalid(at + 1));
            }
        }
        let missing = || invalid(text.lines().count() + 1);
        let (mut policy, mut whole) = (
            Survivorship {
                trust: [0; 3],
                rules: [Rule::Trust; 8],
            },
            !text.is_empty(),
        );
        for (slot, number) in policy.trust.iter_mut().zip(trust) {
            whole &= number.is_some();
            *slot = number.unwrap_or(0);
        }
        for (slot, rule) in policy.rules.iter_mut().zip(rules) {
            whole &= rule.is_some();
            *slot = rule.unwrap_or(Rule::Trust);
        }
        if whole { Ok(policy) } else { Err(missing()) }
    }

    /// Returns the canonical text of the policy.
    pub fn text(&self) -> String {
        let mut text = "survivorship 1\n".to_owned();
        for (kind, number) in SourceKind::ALL.iter().zip(self.trust) {
            text.push_str(&format!("trust {} {number}\n", kind.code()));
        }
        for (attribute, rule) in Attribute::ALL.iter().zip(self.rules) {
            let rule = if rule == Rule::Trust { "trust" } else { "recency" };
            text.push_str(&format!("{} {rule}\n", attribute.code()));
        }
        text
    }

    /// Returns the SHA-256 of its text, hexadecimal.
    pub fn id(&self) -> String {
        hex(&sha256(self.text().as_bytes()))
    }

    /// Returns its version name, such as `survivorship-1:0a1b2c3d4e5f`.
    pub fn version(&self) -> String {
        format!("survivorship-1:{}", &self.id()[..12])
    }

    /// Returns the value to show for each attribute that any source has. The order of `sources` does not matter.
    pub fn view(&self, sources: &[SourceSays]) -> Vec<Survivor> {
        Attribute::ALL
            .into_iter()
            .zip(self.rules)
            .filter_map(|(attribute, rule)| self.survivor(attribute, rule, sources))
            .collect()
    }

    fn survivor(&self, attribute: Attribute, rule: Rule, sources: &[SourceSays]) -> Option<Survivor> {
        let said: Vec<(&SourceSays, &str)> = sources
            .iter()
            .flat_map(|source| {
                source
                    .says
                    .iter()
                    .map(move |(one, value)| (source, *one, value.as_str()))
            })
            .filter(|(_, one, value)| *one == attribute && !value.trim().is_empty())
            .map(|(source, _, value)| (source, value))
            .collect();
        let rank = |(source, value): &(&SourceSays, &str)| {
            let trust = i64::from(self.trust[source.kind as usize]);
            let first = match rule {
                Rule::Trust => (trust, source.as_of_ms),
                Rule::Recency => (source.as_of_ms, trust),
            };
            // The second part only makes the choice independent of the order.
            (first, std::cmp::Reverse((source.origin.clone(), (*value).to_owned())))
        };
        let (source, value) = said.iter().copied().max_by_key(rank)?;
        let others = said.iter().filter(|(other, _)| other.origin != source.origin);
        let same = |other: &str| other.trim().to_lowercase() == value.trim().to_lowercase();
        let agree = others.clone().filter(|(_, other)| same(other)).count();
        Some(Survivor {
            attribute,
            value: value.to_owned(),
            origin: source.origin.clone(),
            as_of_ms: source.as_of_ms,
            agree,
            differ: others.count() - agree,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(kind: SourceKind, origin: &str, as_of_ms: i64, says: &[(Attribute, &str)]) -> SourceSays {
        SourceSays {
            kind,
            origin: origin.into(),
            as_of_ms,
            says: says.iter().map(|(a, v)| (*a, (*v).to_owned())).collect(),
        }
    }

    #[test]
    fn identity_facts_go_by_trust_and_contact_facts_by_recency() {
        let sources = [
            source(
                SourceKind::Ours,
                "Patient/a",
                10,
                &[(Attribute::Family, "Lima"), (Attribute::Address, "1 Old Road")],
            ),
            source(
                SourceKind::Partner,
                "new-payer",
                20,
                &[(Attribute::Family, "Lima-Reyes"), (Attribute::Address, "2 New Road")],
            ),
            source(SourceKind::Linked, "Patient/b", 15, &[(Attribute::Family, "LIMA")]),
        ];
        let view = Survivorship::default().view(&sources);
        let shown: Vec<(Attribute, &str, &str, usize, usize)> = view
            .iter()
            .map(|one| {
                (
                    one.attribute,
                    one.value.as_str(),
                    one.origin.as_str(),
                    one.agree,
                    one.differ,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                (Attribute::Family, "Lima", "Patient/a", 1, 1),
                (Attribute::Address, "2 New Road", "new-payer", 0, 1),
            ]
        );
        let mut turned = sources.to_vec();
        turned.reverse();
        assert_eq!(Survivorship::default().view(&turned), view, "whatever the order");
    }

    #[test]
    fn a_policy_decides_and_its_address_follows_its_text() {
        let ours = Survivorship::default();
        assert_eq!(Survivorship::parse(DEFAULT).expect("the policy that ships"), ours);
        assert_eq!(ours.text(), DEFAULT);
        let other = Survivorship::parse(&DEFAULT.replace("family trust", "family recency")).expect("parses");
        assert_ne!(ours.version(), other.version());
        let sources = [
            source(SourceKind::Ours, "Patient/a", 10, &[(Attribute::Family, "Lima")]),
            source(SourceKind::Partner, "p", 20, &[(Attribute::Family, "Reyes")]),
        ];
        assert_eq!(ours.view(&sources)[0].value, "Lima");
        assert_eq!(other.view(&sources)[0].value, "Reyes");
    }

    #[test]
    fn half_a_policy_is_none() {
        for bad in [
            "",
            "survivorship 2\n",
            &DEFAULT.replace("email recency\n", ""),
            &DEFAULT.replace("email recency", "email luck"),
            &DEFAULT.replace("trust ours 100", "trust ours 101"),
            &format!("{DEFAULT}email trust\n"),
        ] {
            let refused = Survivorship::parse(bad).expect_err("refused");
            assert_eq!(refused.fault(), Fault::ConfigInvalid, "{bad}");
        }
    }
}
