//! The rules that decide matches: the policy's numbers, the operating point, and the version name that decisions cite for both.

use crate::secret::{hex, sha256};
use causeway_identity::rules::RuleRow;
use causeway_identity::{Facts, METHOD, MatchingPolicy, Point, PolicyError};

/// What decides matches.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// The numbers of the policy.
    pub policy: MatchingPolicy,
    /// The operating point.
    pub point: Point,
    /// Method, operating point and digest of the numbers, such as `fs-3:safe:0a1b2c3d4e5f`. So changed rules cannot keep the old name.
    pub version: String,
}

impl Rules {
    /// Makes the rules of this policy at this operating point.
    pub fn new(policy: MatchingPolicy, point: Point) -> Rules {
        let digest = hex(&sha256(policy.canonical().as_bytes()));
        let version = format!("{METHOD}:{}:{}", point.code(), digest.get(..12).unwrap_or(&digest));
        Rules { policy, point, version }
    }

    /// Parses the text of a version: a line `point = safe` or `point = balanced`, and the numbers.
    ///
    /// # Errors
    /// The first line that is wrong; line 0 when something is missing.
    pub fn parse(text: &str) -> Result<Rules, PolicyError> {
        let (point, numbers) = split(text)?;
        let what = "missing point = safe or point = balanced".to_owned();
        let point = point.ok_or(PolicyError { line: 0, what })?;
        Ok(Rules::new(MatchingPolicy::parse(&numbers)?, point))
    }

    /// The same for a text that need not name its operating point.
    ///
    /// # Errors
    /// As [`Rules::parse`]; line 0 when the text names another operating point.
    pub fn parse_at(text: &str, point: Point) -> Result<Rules, PolicyError> {
        let (named, numbers) = split(text)?;
        if named.is_some_and(|named| named != point) {
            let what = "the text names another operating point".to_owned();
            return Err(PolicyError { line: 0, what });
        }
        Ok(Rules::new(MatchingPolicy::parse(&numbers)?, point))
    }

    /// Returns the canonical text of these rules, which [`Rules::parse`] reads back.
    pub fn text(&self) -> String {
        format!("point = {}\n{}", self.point.code(), self.policy.canonical())
    }

    /// Returns the bounds of the operating point, as lines such as `needs.accept = 10`. Two points of one policy differ only in these.
    pub fn needs(&self) -> String {
        let bounds = self.policy.bounds(self.point);
        [
            ("accept", bounds.accept),
            ("thin", bounds.thin),
            ("faint", bounds.faint),
            ("renamed", bounds.renamed),
            ("review", bounds.review),
            ("margin", bounds.margin),
        ]
        .map(|(name, bits)| format!("needs.{name} = {bits}\n"))
        .concat()
    }

    /// Returns the table of deterministic rules for a roster.
    pub fn rules(&self, facts: &Facts) -> Vec<RuleRow> {
        causeway_identity::rules::table(facts, &self.policy)
    }

    /// Returns the content address: SHA-256 of [`Rules::text`], hexadecimal.
    pub fn id(&self) -> String {
        hex(&sha256(self.text().as_bytes()))
    }

    /// Returns the shipped policy at the operating point with this name: `balanced`, or `safe` for any other name.
    pub fn shipped(point: &str) -> Rules {
        let point = if point == Point::Balanced.code() {
            Point::Balanced
        } else {
            Point::Safe
        };
        Rules::new(MatchingPolicy::default(), point)
    }
}

/// Splits a text into the operating point that it names and its numbers. The line of the
/// point is left empty, so that line numbers stay the same.
fn split(text: &str) -> Result<(Option<Point>, String), PolicyError> {
    let (mut point, mut numbers) = (None, String::with_capacity(text.len()));
    for (line, content) in (1..).zip(text.lines()) {
        let plain = content.split('#').next().unwrap_or_default();
        match plain.split_once('=').filter(|(key, _)| key.trim() == "point") {
            None => numbers.push_str(content),
            Some((_, name)) => {
                let named = [Point::Safe, Point::Balanced]
                    .into_iter()
                    .find(|point| point.code() == name.trim());
                let wrong = |what: &str| PolicyError {
                    line,
                    what: what.to_owned(),
                };
                if point.is_some() {
                    return Err(wrong("repeated"));
                }
                point = Some(named.ok_or_else(|| wrong("a point is safe or balanced"))?);
            }
        }
        numbers.push('\n');
    }
    Ok((point, numbers))
}

impl Default for Rules {
    fn default() -> Self {
        Rules::shipped(Point::Safe.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_names_method_point_and_numbers() {
        let (safe, balanced) = (Rules::default(), Rules::shipped("balanced"));
        assert!(safe.version.starts_with("fs-3:safe:") && balanced.version.starts_with("fs-3:balanced:"));
        let other = safe
            .policy
            .canonical()
            .replace("population = 10000", "population = 20000");
        let other = Rules::new(MatchingPolicy::parse(&other).expect("a policy"), Point::Safe);
        assert_ne!(other.version, safe.version);
    }

    #[test]
    fn a_text_gives_the_same_rules_and_address_again() {
        for rules in [Rules::default(), Rules::shipped("balanced")] {
            let again = Rules::parse(&rules.text()).expect("a text");
            assert_eq!((&again, again.id()), (&rules, rules.id()));
        }
        assert_ne!(Rules::default().id(), Rules::shipped("balanced").id());
        let numbers = MatchingPolicy::default().canonical();
        assert_eq!(Rules::parse_at(&numbers, Point::Safe), Ok(Rules::default()));
        assert_eq!(Rules::parse(&numbers).map_err(|error| error.line), Err(0));
        for (wrong, line) in [
            (format!("# x\npoint = bold\n{numbers}"), 2),
            (format!("point = safe\npoint = safe\n{numbers}"), 2),
            (format!("point = safe\nnothing = 1\n{numbers}"), 2),
        ] {
            assert_eq!(Rules::parse(&wrong).map_err(|error| error.line), Err(line), "{wrong}");
        }
        assert!(Rules::parse_at(&Rules::default().text(), Point::Balanced).is_err());
    }
}
