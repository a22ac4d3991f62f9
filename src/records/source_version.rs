//! Which of two versions of a resource is newer, by what their sources say. Without side effects.

use super::rules;
use crate::error::Failure;
use crate::fhir::prescreen::Screened;
use std::cmp::Ordering;

/// What a source says about a version: `meta.lastUpdated` in UTC milliseconds, and `meta.versionId` when it is a whole number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceVersion {
    /// `meta.lastUpdated`.
    pub updated_ms: Option<i64>,
    /// `meta.versionId`.
    pub number: Option<i64>,
}

/// What decided which of two versions is newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// `meta.lastUpdated`.
    LastUpdated,
    /// `meta.versionId`.
    VersionId,
    /// The order in which they came, because the sources do not say.
    Order,
}

impl Decided {
    /// Returns its name in the list of superseded versions.
    pub fn name(self) -> &'static str {
        match self {
            Decided::LastUpdated => "meta.lastUpdated",
            Decided::VersionId => "meta.versionId",
            Decided::Order => "order",
        }
    }
}

impl SourceVersion {
    /// Reads both values from a resource.
    ///
    /// # Errors
    /// [`Fault::ValueInvalid`](crate::error::Fault::ValueInvalid) for a `meta.lastUpdated` that is not an instant.
    pub fn of(resource: &Screened<'_>) -> Result<SourceVersion, Failure> {
        let number = resource
            .root()
            .get("meta")
            .and_then(|meta| meta.get("versionId"))
            .and_then(|value| value.text())
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse().ok());
        Ok(SourceVersion {
            updated_ms: rules::last_updated_ms(resource)?,
            number,
        })
    }

    /// Returns whether this version is kept instead of `other`, and what decided; `on_tie` when the sources do not say which is newer.
    pub fn beats(self, other: SourceVersion, on_tie: bool) -> (bool, Decided) {
        let by = |mine: Option<i64>, its: Option<i64>| match (mine, its) {
            (Some(mine), Some(its)) => mine.cmp(&its),
            _ => Ordering::Equal,
        };
        match (by(self.updated_ms, other.updated_ms), by(self.number, other.number)) {
            (Ordering::Equal, Ordering::Equal) => (on_tie, Decided::Order),
            (Ordering::Equal, order) => (order == Ordering::Greater, Decided::VersionId),
            (order, _) => (order == Ordering::Greater, Decided::LastUpdated),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_decides_then_the_number_then_the_order() {
        let version = |updated_ms: Option<i64>, number: Option<i64>| SourceVersion { updated_ms, number };
        use Decided::{LastUpdated, Order, VersionId};
        for (mine, its, wanted) in [
            (
                version(Some(2), Some(1)),
                version(Some(1), Some(9)),
                (true, LastUpdated),
            ),
            (
                version(Some(1), Some(9)),
                version(Some(2), Some(1)),
                (false, LastUpdated),
            ),
            (version(Some(1), Some(10)), version(Some(1), Some(9)), (true, VersionId)),
            (
                version(Some(1), Some(9)),
                version(Some(1), Some(10)),
                (false, VersionId),
            ),
            (version(None, Some(2)), version(None, Some(1)), (true, VersionId)),
            (version(Some(5), Some(2)), version(None, Some(1)), (true, VersionId)),
            (version(Some(1), None), version(Some(1), Some(1)), (true, Order)),
            (version(None, None), version(Some(7), None), (true, Order)),
            (version(None, None), version(None, None), (true, Order)),
        ] {
            assert_eq!(mine.beats(its, true), wanted, "{mine:?} {its:?}");
            let tie = wanted.1 == Order;
            assert_eq!(mine.beats(its, false).0, wanted.0 && !tie, "{mine:?} {its:?}");
        }
    }

    #[test]
    fn only_whole_numbers_are_numbers() {
        use crate::fhir::prescreen::{ScreenLimits, screen};
        for (version, wanted) in [
            ("12", Some(12)),
            ("012", Some(12)),
            ("1a", None),
            ("-1", None),
            ("W/1", None),
        ] {
            let text = format!(
                r#"{{"resourceType":"Goal","meta":{{"versionId":"{version}","lastUpdated":"1970-01-01T00:00:01Z"}}}}"#
            );
            let screened = screen(text.as_bytes(), &ScreenLimits::record()).expect("passes");
            let read = SourceVersion::of(&screened).expect("read");
            assert_eq!((read.updated_ms, read.number), (Some(1000), wanted), "{version}");
        }
    }
}
