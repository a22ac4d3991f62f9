//! A record of any size costs the same memory. It is measured in a process of its own: by how much resident memory is higher at its highest than
//! after a small record, with the other payer in the same process, which makes its record while it sends it.
//! `docs/performance.md` has the command.

use super::bed::World;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Resources of the large record.
const RESOURCES: u64 = 131_000;
/// Most megabytes by which a large record may raise resident memory.
const MOST_MB: u64 = 64;

/// A value of this process, in megabytes.
fn memory_mb(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
    line.split_whitespace()
        .nth(1)
        .and_then(|kb| kb.parse::<u64>().ok())
        .expect("a number")
        / 1024
}

/// A world whose only member has so many resources, all in one body or in pages.
fn world(resources: u64, page: Option<u64>) -> World {
    let page = page
        .map(|size| format!("everything_page_size = {size}\n"))
        .unwrap_or_default();
    let mut world = World::new(&format!("{page}members = {{ count = 1, resources = {resources} }}"));
    world.lease = Duration::from_secs(7_200);
    world
}

/// Runs `work` while the clock of the store moves as the sandbox's clock does, which goes on by itself: a record that takes minutes would end with
/// assertions from the past.
fn with_real_time<T>(world: &World, work: impl FnOnce() -> T) -> T {
    let clock = &world.bed.ctx.clock;
    let (working, done) = mpsc::channel::<()>();
    std::thread::scope(|threads| {
        threads.spawn(move || {
            let mut seen = Instant::now();
            while done.recv_timeout(Duration::from_millis(200)) == Err(RecvTimeoutError::Timeout) {
                clock.advance_ms(i64::try_from(seen.elapsed().as_millis()).expect("short"));
                seen = Instant::now();
            }
        });
        let result = work();
        drop(working);
        result
    })
}

/// Only for [`a_record_of_131_000_resources_costs_less_than_64_mb`], which runs it in a process of its own.
#[test]
#[ignore = "run by the test of memory"]
fn child() {
    let Ok(text) = std::env::var("CAUSEWAY_LARGE") else {
        return;
    };
    let page = std::env::var("CAUSEWAY_LARGE_PAGE")
        .ok()
        .map(|size| size.parse().expect("a number"));
    let resources = text.parse().expect("a number");
    // The process gets warm.
    let small = world(2_000, page);
    assert_eq!(small.exchange().phase, "completed");
    drop(small);
    let large = world(resources, page);
    std::fs::write("/proc/self/clear_refs", "5").expect("the high-water mark begins anew");
    let before = memory_mb("VmRSS:");
    let began = Instant::now();
    let row = with_real_time(&large, || large.exchange());
    if row.phase != "completed" {
        println!("{row:?}\n{:?}\n{:#?}", large.bed.states(), large.bed.attempts(&row.id));
    }
    println!(
        "phase={} stored={} grown_mb={} before_mb={before} seconds={:.1} attempts={}",
        row.phase,
        large.counts(&row.id).stored,
        memory_mb("VmHWM:").saturating_sub(before),
        began.elapsed().as_secs_f64(),
        large.bed.number("SELECT COUNT(*) FROM exchange_step"),
    );
}

/// Returns how many resources were stored, and by how many megabytes memory grew.
fn run(page: Option<u64>) -> (u64, u64) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["ingest::large::child", "--exact", "--ignored", "--nocapture"])
        .env("CAUSEWAY_LARGE", RESOURCES.to_string());
    if let Some(page) = page {
        command.env("CAUSEWAY_LARGE_PAGE", page.to_string());
    }
    let output = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("phase=completed"), "{text}\n{errors}");
    println!(
        "page size {page:?}: {}",
        text.lines().find(|line| line.contains("grown_mb=")).unwrap_or_default()
    );
    let number = |name: &str| {
        let (_, rest) = text.split_once(name).expect("a value");
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().expect("a number")
    };
    (number("stored="), number("grown_mb="))
}

#[test]
#[ignore = "takes minutes: run it by its name, in a release build (docs/performance.md)"]
fn a_record_of_131_000_resources_costs_less_than_64_mb() {
    for page in [None, Some(500)] {
        let (stored, grown) = run(page);
        assert!(stored >= RESOURCES - 10, "{page:?}: {stored}");
        assert!(grown < MOST_MB, "{page:?}: memory grew by {grown} MB");
    }
}
