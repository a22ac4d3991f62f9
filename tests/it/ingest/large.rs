//! A record of any size costs the same memory: a run of its own process, whose high-water mark is read.

use super::bed::World;
use std::process::Command;

/// Resources of the large record.
const RESOURCES: u64 = 131_000;
/// Most megabytes that the large record may cost beyond a small one.
const MOST_MB: u64 = 64;

fn high_water_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a line");
    line.split_whitespace()
        .nth(1)
        .and_then(|kb| kb.parse::<u64>().ok())
        .expect("a number")
        / 1024
}

/// Only for [`a_record_of_131_000_resources_costs_less_than_64_mb`], which runs it in a process of its own.
#[test]
#[ignore = "run by the test of memory"]
fn child() {
    let Ok(resources) = std::env::var("CAUSEWAY_LARGE") else {
        return;
    };
    let world = World::new(&format!("members = {{ count = 1, resources = {resources} }}"));
    let began = std::time::Instant::now();
    let row = world.exchange();
    println!(
        "phase={} stored={} mb={} seconds={:.1}",
        row.phase,
        world.counts(&row.id).stored,
        high_water_mb(),
        began.elapsed().as_secs_f64()
    );
}

fn run(resources: u64) -> (u64, u64, String) {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["ingest::large::child", "--exact", "--ignored", "--nocapture"])
        .env("CAUSEWAY_LARGE", resources.to_string())
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = |name: &str| {
        let at = text
            .find(name)
            .unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)));
        let digits: String = text[at + name.len()..]
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse::<u64>().expect("a number")
    };
    assert!(text.contains("phase=completed"), "{text}");
    (number("stored="), number(" mb="), text)
}

#[test]
#[ignore = "takes minutes in a debug build: run it by its name"]
fn a_record_of_131_000_resources_costs_less_than_64_mb() {
    let (_, small, _) = run(100);
    let (stored, large, text) = run(RESOURCES);
    println!("small {small} MB, large {large} MB: {text}");
    assert!(stored >= RESOURCES - 10, "{stored}");
    assert!(
        large - small < MOST_MB,
        "{small} MB for a small record, {large} MB for a large one"
    );
}
