//! The resources that this process uses, read from `/proc`: memory, processor time, descriptors, threads, start time.
//!
//! A value that cannot be read is left out; nothing here fails.

use std::fs;

/// The unit of processor and start times in `/proc`, unless the kernel's auxiliary vector gives another.
const TICKS_PER_SECOND: f64 = 100.0;
/// `AT_CLKTCK` of the auxiliary vector.
const AT_CLKTCK: u64 = 17;

/// The values with the names of their families (`telemetry::metrics`).
pub fn figures() -> Vec<(&'static str, f64)> {
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let (stat, status, limits) = (read("stat"), read("status"), read("limits"));
    let machine = fs::read_to_string("/proc/stat").unwrap_or_default();
    let descriptors = fs::read_dir("/proc/self/fd").map(Iterator::count).ok();
    let ticks = fs::read("/proc/self/auxv").ok().and_then(|vector| ticks_of(&vector));
    let ticks = ticks.unwrap_or(TICKS_PER_SECOND);
    let found = [
        ("process_cpu_seconds_total", cpu_ticks(&stat).map(|n| n / ticks)),
        ("process_resident_memory_bytes", kibibytes(&status, "VmRSS:")),
        ("process_virtual_memory_bytes", kibibytes(&status, "VmSize:")),
        ("process_threads", number(&status, "Threads:")),
        // One of them is the descriptor of the directory that is being read.
        ("process_open_fds", descriptors.map(|n| n.saturating_sub(1) as f64)),
        ("process_max_fds", number(&limits, "Max open files")),
        ("process_start_time_seconds", started(&stat, &machine, ticks)),
    ];
    found
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// Field `number` of `/proc/self/stat`, counted as in proc(5). The program's name may contain spaces; the first field after it is field 3.
fn field(stat: &str, number: usize) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields
        .split_ascii_whitespace()
        .nth(number.checked_sub(3)?)?
        .parse()
        .ok()
}

fn cpu_ticks(stat: &str) -> Option<f64> {
    Some(field(stat, 14)? + field(stat, 15)?)
}

fn started(stat: &str, machine: &str, ticks: f64) -> Option<f64> {
    Some(number(machine, "btime")? + field(stat, 22)? / ticks)
}

/// The first number after `name` in the line that begins with it.
fn number(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn kibibytes(status: &str, name: &str) -> Option<f64> {
    number(status, name).map(|n| n * 1024.0)
}

/// Finds the clock ticks in the auxiliary vector, which is a list of pairs of 64-bit words (key and value) in native byte order.
fn ticks_of(vector: &[u8]) -> Option<f64> {
    let word = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_ne_bytes);
    vector.chunks_exact(16).find_map(|pair| {
        let (what, value) = (word(&pair[..8])?, word(&pair[8..])?);
        (what == AT_CLKTCK && value > 0).then_some(value as f64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_of_this_process_is_read_and_can_be_true() {
        let figures = figures();
        let of = |name: &str| {
            let found = figures.iter().find(|(known, _)| *known == name);
            found.unwrap_or_else(|| panic!("{name} is missing")).1
        };
        let now_s = crate::clock::Clock::System.now_ms() as f64 / 1000.0;
        let started_s = of("process_start_time_seconds");
        assert!(
            (now_s - 86_400.0..=now_s + 2.0).contains(&started_s),
            "{started_s} of {now_s}"
        );
        assert!((0.0..=86_400.0 * 64.0).contains(&of("process_cpu_seconds_total")));
        assert!((1e6..=1e12).contains(&of("process_resident_memory_bytes")));
        assert!(of("process_virtual_memory_bytes") >= of("process_resident_memory_bytes"));
        assert!((1.0..=10_000.0).contains(&of("process_threads")));
        assert!((3.0..=of("process_max_fds")).contains(&of("process_open_fds")));
    }

    #[test]
    fn a_program_with_brackets_and_blanks_in_its_name_is_read_right() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 9 0 1000 1 1";
        assert_eq!(cpu_ticks(stat), Some(300.0));
        assert_eq!(started(stat, "cpu 1\nbtime 1700000000\n", 100.0), Some(1_700_000_010.0));
        assert_eq!(
            (cpu_ticks(""), kibibytes("VmRSS:\t  12 kB\n", "VmRSS:")),
            (None, Some(12_288.0))
        );
    }
}
