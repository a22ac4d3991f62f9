//! How the families of [`super::metrics`] are shown: to the recorder of this process, as Prometheus text, and in the docs.

use super::metrics::{FAMILIES, LabelValues, MetricFamily, MetricKind};
use crate::error::Fault;

/// Describes all families to the recorder of this process, and sets counters and histograms to zero.
pub fn begin(routes: &[&'static str]) {
    for family in FAMILIES {
        match family.kind {
            MetricKind::Counter => metrics::describe_counter!(family.name, family.help),
            MetricKind::Gauge => metrics::describe_gauge!(family.name, family.help),
            MetricKind::Histogram => metrics::describe_histogram!(family.name, family.help),
        }
        if family.name.starts_with("causeway_") && family.kind != MetricKind::Gauge {
            zero(family, routes);
        }
    }
}

fn zero(family: &'static MetricFamily, routes: &[&'static str]) {
    let firsts: Vec<&'static str> = match family.labels.first() {
        None => vec![""],
        Some((_, LabelValues::Words(words))) => words.to_vec(),
        Some((_, LabelValues::Faults)) => Fault::ALL.iter().map(|fault| fault.code()).collect(),
        Some((_, LabelValues::Routes)) => routes.to_vec(),
    };
    for first in firsts {
        let labels: Vec<(&'static str, &'static str)> = family
            .labels
            .iter()
            .enumerate()
            .map(|(at, (label, values))| match values {
                LabelValues::Words(words) if at > 0 => (*label, words.first().copied().unwrap_or_default()),
                _ => (*label, first),
            })
            .collect();
        match family.kind {
            MetricKind::Counter => metrics::counter!(family.name, &labels).increment(0),
            // A registered histogram shows counts of zero.
            MetricKind::Histogram => drop(metrics::histogram!(family.name, &labels)),
            MetricKind::Gauge => {}
        }
    }
}

/// Writes a family whose values are read now: `HELP`, `TYPE` and a line for each value.
pub fn measured(name: &str, values: &[(&str, f64)], text: &mut String) {
    use std::fmt::Write as _;
    let Some(family) = FAMILIES.iter().find(|family| family.name == name) else {
        return;
    };
    // Writing into a String cannot fail.
    let _ = writeln!(
        text,
        "# HELP {name} {}\n# TYPE {name} {}",
        family.help,
        family.kind.word()
    );
    for (value, number) in values {
        let _ = match family.labels.first() {
            None => writeln!(text, "{name} {number}"),
            Some((label, _)) => writeln!(text, "{name}{{{label}=\"{value}\"}} {number}"),
        };
    }
    text.push('\n');
}

/// The table for docs/operators/metrics.md.
pub fn documentation() -> String {
    let mut text = String::from("| family | kind | labels | meaning |\n|---|---|---|---|\n");
    for family in FAMILIES {
        let labels: Vec<String> = family.labels.iter().map(|(label, _)| format!("`{label}`")).collect();
        let row = [
            format!("`{}`", family.name),
            family.kind.word().to_owned(),
            labels.join(", "),
            family.help.to_owned(),
        ];
        text.push_str(&format!("| {} |\n", row.join(" | ")).replace("|  |", "| |"));
    }
    text
}
