//! The results, for people and as one JSON document.

use super::plan::BenchPlan;
use crate::terminal::Out;
use serde_json::{Map, Value, json};

/// The limit for a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// The figure must not be lower.
    AtLeast(f64),
    /// The figure must not be higher.
    AtMost(f64),
}

impl Limit {
    fn kept_by(self, figure: f64) -> bool {
        match self {
            Limit::AtLeast(limit) => figure >= limit,
            Limit::AtMost(limit) => figure <= limit,
        }
    }

    fn value(self) -> f64 {
        match self {
            Limit::AtLeast(limit) | Limit::AtMost(limit) => limit,
        }
    }

    fn text(self) -> String {
        match self {
            Limit::AtLeast(limit) => format!(">= {limit}"),
            Limit::AtMost(limit) => format!("<= {limit}"),
        }
    }
}

/// A measured figure.
#[derive(Clone, Debug)]
pub struct BenchFigure {
    /// Its name, by which runs are compared.
    pub name: &'static str,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// Median, minimum and maximum of the ratio to the static answer.
    pub static_ratio: Option<(f64, f64, f64)>,
    /// The number of resources that it was measured with.
    pub rows: u64,
    /// Bytes of one body, or of all input.
    pub bytes: u64,
    /// `sqlite` or `postgres`.
    pub store: &'static str,
    limit: Option<Limit>,
    details: Vec<(&'static str, f64)>,
}

impl BenchFigure {
    /// A figure without limit, ratio or size.
    pub fn new(name: &'static str, unit: &'static str, store: &'static str, value: f64) -> Self {
        BenchFigure {
            name,
            value,
            unit,
            static_ratio: None,
            rows: 0,
            bytes: 0,
            store,
            limit: None,
            details: Vec::new(),
        }
    }

    /// Sets a limit for the figure.
    #[must_use]
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Sets a minimum for the ratio to the static answer.
    #[must_use]
    pub fn ratio_limit(self, least: f64) -> Self {
        self.limit(Limit::AtLeast(least))
    }

    /// Sets the ratios of all rounds.
    pub fn ratio(&mut self, ratios: &[f64]) {
        let (least, greatest) = ends(ratios);
        self.static_ratio = Some((median(ratios), least, greatest));
    }

    /// Adds the minimum and maximum of several values as details.
    pub fn spread(&mut self, values: &[f64]) {
        let (least, greatest) = ends(values);
        self.detail("least", least);
        self.detail("greatest", greatest);
    }

    /// Adds a detail that explains the figure.
    pub fn detail(&mut self, name: &'static str, value: f64) {
        self.details.push((name, value));
    }

    /// The same measure with one of its details as its figure, and the old figure as the detail `times`.
    #[must_use]
    pub fn of_detail(mut self, name: &str, unit: &'static str) -> Self {
        if let Some((_, value)) = self.details.iter().find(|(own, _)| *own == name) {
            let times = std::mem::replace(&mut self.value, *value);
            self.unit = unit;
            self.detail("times", times);
        }
        self
    }

    /// Whether the limit is met; `None` without a limit.
    pub fn ok(&self) -> Option<bool> {
        self.limit
            .map(|limit| limit.kept_by(self.static_ratio.map_or(self.value, |(median, ..)| median)))
    }

    /// The measure as an item of the JSON document.
    pub fn json(&self) -> Value {
        let details: Map<String, Value> = self
            .details
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(rounded(*value))))
            .collect();
        json!({
            "name": self.name, "value": rounded(self.value), "unit": self.unit,
            "static_ratio": self.static_ratio.map(|(median, ..)| rounded(median)),
            "static_ratio_min": self.static_ratio.map(|(_, least, _)| rounded(least)),
            "static_ratio_max": self.static_ratio.map(|(.., greatest)| rounded(greatest)),
            "limit": self.limit.map(Limit::value), "limit_on": self.limit.map(|_| if self.static_ratio.is_some() { "static_ratio" } else { "value" }),
            "ok": self.ok(), "rows": self.rows, "bytes": self.bytes, "store": self.store, "details": details,
        })
    }

    fn cells(&self) -> Vec<String> {
        let ratio = self.static_ratio.map_or(String::new(), |(median, least, greatest)| {
            format!("{median:.3} ({least:.3}-{greatest:.3})")
        });
        let ok = self.ok().map_or("", |ok| if ok { "yes" } else { "NO" });
        let details: Vec<String> = self
            .details
            .iter()
            .map(|(name, value)| format!("{name} {}", short(*value)))
            .collect();
        vec![
            self.name.into(),
            short(self.value),
            self.unit.into(),
            ratio,
            self.limit.map_or(String::new(), Limit::text),
            ok.into(),
            self.rows.to_string(),
            self.bytes.to_string(),
            self.store.into(),
            details.join(", "),
        ]
    }
}

/// All figures of a run.
pub struct BenchReport {
    measures: Vec<BenchFigure>,
    about: Value,
}

impl BenchReport {
    /// An empty report with the plan and the load of the machine.
    pub fn begin(plan: &BenchPlan) -> BenchReport {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load_1m = load.split_whitespace().next().and_then(|text| text.parse::<f64>().ok());
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let about = json!({
            "version": env!("CARGO_PKG_VERSION"), "debug": cfg!(debug_assertions), "cores": cores, "load_before": load_1m,
            "clients": plan.clients, "members": plan.members, "seconds": plan.seconds,
        });
        BenchReport {
            measures: Vec::new(),
            about,
        }
    }

    /// Adds figures, and reports them to people.
    pub fn add(&mut self, measures: impl IntoIterator<Item = BenchFigure>, out: &mut Out) {
        for measure in measures {
            let ratio = measure
                .static_ratio
                .map_or(String::new(), |(median, ..)| format!(", {median:.3} of static"));
            out.note(&format!(
                "{}: {} {}{ratio}",
                measure.name,
                short(measure.value),
                measure.unit
            ));
            self.measures.push(measure);
        }
    }

    /// Prints the JSON document, or a table for people.
    pub fn print(&self, out: &mut Out) {
        if out.json {
            let mut document = self.about.clone();
            document["measures"] = self.measures.iter().map(BenchFigure::json).collect();
            out.value(&document);
            return;
        }
        if cfg!(debug_assertions) {
            out.note("warning: this is a debug build; its figures are meaningless");
        }
        let rows: Vec<Vec<String>> = self.measures.iter().map(BenchFigure::cells).collect();
        out.table(
            &[
                "MEASURE",
                "VALUE",
                "UNIT",
                "OF STATIC",
                "LIMIT",
                "OK",
                "ROWS",
                "BYTES",
                "STORE",
                "DETAILS",
            ],
            &rows,
        );
    }
}

/// The median of `values`; 0 when there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => (sorted[even / 2 - 1] + sorted[even / 2]) / 2.0,
    }
}

fn ends(values: &[f64]) -> (f64, f64) {
    values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, greatest), value| {
            (least.min(*value), greatest.max(*value))
        })
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

fn short(value: f64) -> String {
    if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_on_the_ratio_where_there_is_one() {
        let mut measure = BenchFigure::new("read", "requests/s", "sqlite", 5_000.0).ratio_limit(0.15);
        measure.ratio(&[0.10, 0.20, 0.16]);
        assert_eq!(measure.ok(), Some(true));
        let item = measure.json();
        assert_eq!(
            (&item["static_ratio"], &item["static_ratio_min"], &item["limit_on"]),
            (&json!(0.16), &json!(0.1), &json!("static_ratio"))
        );
        assert_eq!(
            BenchFigure::new("start", "s", "sqlite", 2.0)
                .limit(Limit::AtMost(1.0))
                .ok(),
            Some(false)
        );
        assert_eq!(BenchFigure::new("x", "s", "sqlite", 2.0).json()["ok"], Value::Null);
        let mut times = BenchFigure::new("x", "times", "sqlite", 3.0);
        times.detail("cpu_us", 7.0);
        let item = times.of_detail("cpu_us", "us").json();
        assert_eq!(
            (&item["value"], &item["unit"], &item["details"]["times"]),
            (&json!(7.0), &json!("us"), &json!(3.0))
        );
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }
}
