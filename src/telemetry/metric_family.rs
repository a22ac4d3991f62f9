//! What a row of the table of metrics is: a name, a kind, the values that labels can have, and a sentence. The rows stand in `metrics`.

/// What a family measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A number that only grows.
    Counter,
    /// A number that may fall.
    Gauge,
    /// A distribution over buckets.
    Histogram,
}

impl MetricKind {
    /// The name in the Prometheus text format.
    pub const fn word(self) -> &'static str {
        match self {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        }
    }
}

/// The values that a label can have, known from the start.
#[derive(Clone, Copy, Debug)]
pub enum LabelValues {
    /// These words.
    Words(&'static [&'static str]),
    /// The code of every fault.
    Faults,
    /// The path of every route.
    Routes,
}

/// One family of metrics.
#[derive(Clone, Copy, Debug)]
pub struct MetricFamily {
    /// Its name.
    pub name: &'static str,
    /// What it measures.
    pub kind: MetricKind,
    /// Its labels. From the start, there is a series for each value of the first label.
    pub labels: &'static [(&'static str, LabelValues)],
    /// What it means, with its unit.
    pub help: &'static str,
}

/// A row of the table.
pub(super) const fn family(
    name: &'static str,
    kind: MetricKind,
    labels: &'static [(&'static str, LabelValues)],
    help: &'static str,
) -> MetricFamily {
    MetricFamily {
        name,
        kind,
        labels,
        help,
    }
}
