//! A record of any size is sent from a bounded memory. A program of its own, so that no other test's memory is counted.

#![allow(clippy::panic)] // a test that cannot go on says so by panicking

#[allow(dead_code, reason = "the other test program uses the rest")]
#[path = "../it/support.rs"]
mod support;

use serde_json::Value;
use std::time::{Duration, Instant};
use support::{client, played};

/// Resident memory of this process now, and its peak, in KiB.
fn memory_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with(name)).expect(name);
    line.split_whitespace()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .expect("a number")
}

#[tokio::test]
async fn a_record_of_131_000_resources_is_streamed_in_bounded_memory() {
    let pair = played("members = { count = 1, resources = 131000 }");
    let token = pair.matched().await;
    let before = memory_kib("VmRSS");
    let patient = client(&pair.sandbox, None, Duration::from_secs(1_200));
    let url = pair.url(&format!("Patient/{}/$everything", pair.member().patient_id));
    let mut reply = patient.get(url).bearer_auth(&token).send().await.expect("a head");
    let (mut bytes, mut entries, mut most) = (0_usize, 0_usize, 0);
    let (mark, began) = ("\"fullUrl\"", Instant::now());
    let mut tail: Vec<u8> = Vec::new();
    while let Some(chunk) = reply.chunk().await.expect("a chunk") {
        bytes += chunk.len();
        tail.extend_from_slice(&chunk);
        entries += String::from_utf8_lossy(&tail).matches(mark).count();
        tail.drain(..tail.len().saturating_sub(mark.len() - 1));
        if entries % 16 == 0 {
            most = most.max(memory_kib("VmRSS").saturating_sub(before));
        }
    }
    println!(
        "{entries} entries, {bytes} bytes in {:?}, {most} KiB more than before",
        began.elapsed()
    );
    assert_eq!(entries, 131_000);
    assert!(most < 48 * 1024, "{most} KiB");

    let last = format!("Provenance/{}-130999", pair.member().patient_id);
    let read: Value = pair
        .data(&token, &last)
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(read["agent"][0]["type"]["coding"][0]["code"], "transmitter");
}
