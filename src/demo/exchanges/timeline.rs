//! The timeline of an exchange in a few lines, from what `causeway exchange show` tells.

use crate::clock::parse_rfc3339_ms;
use crate::terminal::Out;
use serde_json::Value;

/// Tells the attempts of an exchange, and how it stands.
pub(super) fn tell(shown: &Value, out: &mut Out) {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let begun_ms = ms(&shown["created_at"]);
    out.tell(&format!("     exchange {}", text(&shown["id"])));
    for step in shown["steps"].as_array().into_iter().flatten() {
        let after_s = (ms(&step["started_at"]) - begun_ms) as f64 / 1_000.0;
        let class = step["class"]
            .as_str()
            .unwrap_or("was interrupted; its end is not recorded");
        let status = step["http_status"]
            .as_i64()
            .map_or_else(String::new, |status| format!("  HTTP {status}"));
        let fault = step["fault"]
            .as_str()
            .map_or_else(String::new, |fault| format!("  {fault}"));
        out.tell(&format!(
            "       +{after_s:>5.2} s  {:<13} {class}{status}{fault}",
            text(&step["step"])
        ));
    }
    let counts = &shown["counts"];
    let parked = if shown["parked_at"].is_null() { "" } else { ", parked" };
    let reason = shown["reason"]
        .as_str()
        .map_or_else(String::new, |reason| format!(" ({reason})"));
    out.tell(&format!(
        "       {}{parked}{reason}; identity {}, consent {}, delivery {}; received {}, stored {}; next move by {}",
        text(&shown["phase"]),
        text(&shown["identity_state"]),
        text(&shown["consent_state"]),
        text(&shown["delivery_state"]),
        counts["received"],
        counts["stored"],
        text(&shown["owner"]),
    ));
}

fn ms(value: &Value) -> i64 {
    value.as_str().and_then(parse_rfc3339_ms).unwrap_or(0)
}
