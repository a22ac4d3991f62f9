//! The rules in force: the policy's numbers, the operating point, and the name under which a decision cites both.

use crate::secret::{hex, sha256};
use causeway_identity::{METHOD, Point, Policy};

/// What a decision is taken by.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// The numbers.
    pub policy: Policy,
    /// The operating point.
    pub point: Point,
    /// Method, point and content address of the numbers, such as `fs-1:safe:0a1b2c3d4e5f`: a change of the rules cannot keep the
    /// old name.
    pub version: String,
}

impl Rules {
    /// Rules of this policy at this point.
    pub fn new(policy: Policy, point: Point) -> Rules {
        let digest = hex(&sha256(policy.canonical().as_bytes()));
        let version = format!("{METHOD}:{}:{}", point.code(), digest.get(..12).unwrap_or(&digest));
        Rules { policy, point, version }
    }

    /// The policy that ships, at the point of this name: `balanced`, or else `safe`.
    pub fn shipped(point: &str) -> Rules {
        let point = if point == Point::Balanced.code() {
            Point::Balanced
        } else {
            Point::Safe
        };
        Rules::new(Policy::default(), point)
    }
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
        assert!(safe.version.starts_with("fs-1:safe:") && balanced.version.starts_with("fs-1:balanced:"));
        let other = safe
            .policy
            .canonical()
            .replace("population = 10000", "population = 20000");
        let other = Rules::new(Policy::parse(&other).expect("a policy"), Point::Safe);
        assert_ne!(other.version, safe.version);
    }
}
