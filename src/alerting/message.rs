//! A message to a receiver: its body, and the signature by which the receiver knows who sent it and when. Pure.
//!
//! The form is a promise to receivers (docs/operators/alerts.md): members may be added, and none goes.

use crate::clock::rfc3339_ms;
use crate::error::{ActWithin, Failure, Fault, FaultOwner};
use crate::ids::is_fhir_id;
use crate::ops::alerts::table::{AlertSeverity, alert};
use crate::secret::{hex, hmac_sha256};
use crate::store::alert_episodes::EpisodeRow;
use serde::Serialize;

/// The header of the signature.
pub const SIGNATURE: &str = "x-causeway-signature";
/// The header of the id.
pub const DELIVERY: &str = "x-causeway-delivery";
/// Partners that a message names.
const PARTNERS: usize = 20;

/// The body of a message, in the order of its members.
#[derive(Debug, Serialize)]
struct Body<'a> {
    /// The id of the message, the same however often it is sent.
    id: &'a str,
    /// `begin` or `clear`.
    event: &'a str,
    /// The code of the alert.
    alert: &'a str,
    /// The id of what began and cleared, the same in both messages.
    episode: &'a str,
    severity: &'a str,
    owner: &'a str,
    within: &'a str,
    /// How much raised it when it began.
    count: i64,
    /// The ids of the partners that it was about, at most 20.
    partners: Vec<&'a str>,
    /// When it began, RFC 3339.
    began_at: String,
    /// When it ended, RFC 3339; null in the message of its beginning.
    cleared_at: Option<String>,
    /// What the alert means, as the table has it.
    meaning: &'a str,
    /// The FHIR base URL of the server that tells it.
    source: &'a str,
}

/// Whom an alert is for and what it means. One that the table has no more, which only a message about its end can be about, is the operator's.
struct AlertWords {
    severity: AlertSeverity,
    owner: FaultOwner,
    within: ActWithin,
    meaning: &'static str,
}

fn words(code: &str) -> AlertWords {
    match alert(code) {
        Some(alert) => AlertWords {
            severity: alert.severity,
            owner: alert.owner,
            within: alert.within,
            meaning: alert.meaning,
        },
        None => AlertWords {
            severity: AlertSeverity::Ticket,
            owner: FaultOwner::Operator,
            within: ActWithin::Day,
            meaning: "An alert of another version of this program.",
        },
    }
}

/// Returns the body of the message with this id: JSON on one line, in which no character stands that markup is made of.
///
/// `source` is the base URL of this server.
///
/// # Errors
/// [`Fault::Internal`] when it cannot be written.
pub fn body(id: &str, event: &str, episode: &EpisodeRow, source: &str) -> Result<String, Failure> {
    let words = words(&episode.code);
    let partners = episode.partners.split(' ').filter(|partner| is_fhir_id(partner));
    let body = Body {
        id,
        event,
        alert: &episode.code,
        episode: &episode.id,
        severity: words.severity.code(),
        owner: words.owner.code(),
        within: words.within.code(),
        count: episode.found,
        partners: partners.take(PARTNERS).collect(),
        began_at: rfc3339_ms(episode.began_ms),
        cleared_at: episode.ended_ms.map(rfc3339_ms),
        meaning: words.meaning,
        source,
    };
    let text = serde_json::to_string(&body).map_err(|error| Failure::new(Fault::Internal).because(error))?;
    Ok(without_markup(&text))
}

/// JSON has these characters only in texts, where they may be written as escapes.
fn without_markup(json: &str) -> String {
    json.replace('&', "\\u0026")
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
}

/// Returns the value of [`SIGNATURE`] at `now_s` (seconds since 1970): the HMAC-SHA-256 of time, full stop and body.
pub fn signature(secret: &[u8], now_s: i64, body: &str) -> String {
    let signed = hmac_sha256(secret, format!("{now_s}.{body}").as_bytes());
    format!("t={now_s},v1={}", hex(&signed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn episode(partners: &str) -> EpisodeRow {
        EpisodeRow {
            id: "e".to_owned(),
            code: "partner-failing".to_owned(),
            open_code: None,
            found: 2,
            partners: partners.to_owned(),
            began_ms: 1_800_000_000_000,
            seen_ms: 1_800_000_060_000,
            ended_ms: None,
        }
    }

    #[test]
    fn a_message_has_ids_and_counts_in_their_order() {
        let text = body("d", "begin", &episode("a z"), "https://payer.example/fhir").expect("a body");
        let read: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            read,
            json!({"id": "d", "event": "begin", "alert": "partner-failing", "episode": "e", "severity": "page", "owner": "operator",
                "within": "hour", "count": 2, "partners": ["a", "z"], "began_at": "2027-01-15T08:00:00.000Z", "cleared_at": null,
                "meaning": alert("partner-failing").expect("an alert").meaning, "source": "https://payer.example/fhir"})
        );
        assert!(
            text.starts_with("{\"id\":\"d\",\"event\":\"begin\",\"alert\":"),
            "{text}"
        );
        let ended = EpisodeRow {
            ended_ms: Some(1_800_000_300_000),
            ..episode("")
        };
        let text = body("d", "clear", &ended, "https://payer.example/fhir").expect("a body");
        assert!(
            text.contains("\"partners\":[],") && text.contains("\"cleared_at\":\"2027-01-15T08:05:00.000Z\""),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_id_of_a_partner_is_not_told_and_no_text_is_markup() {
        let text = body("d", "begin", &episode("a <b>x</b> @here"), "https://x/<&>").expect("a body");
        let read: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read["partners"], json!(["a"]));
        assert_eq!(read["source"], "https://x/<&>", "the escapes say the same");
        assert!(!text.contains(['<', '>', '&']), "{text}");
    }

    #[test]
    fn a_thousand_partners_are_counted_and_few_are_named() {
        let many: Vec<String> = (0..1_000).map(|number| format!("p{number}")).collect();
        let text = body("d", "begin", &episode(&many.join(" ")), "https://x").expect("a body");
        let read: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read["partners"].as_array().map(Vec::len), Some(PARTNERS));
        assert!(text.len() < 4_096, "{}", text.len());
    }

    #[test]
    fn an_alert_that_the_table_has_no_more_is_told_too() {
        let gone = EpisodeRow {
            code: "of-another-version".to_owned(),
            ..episode("")
        };
        let text = body("d", "clear", &gone, "https://x").expect("a body");
        assert!(
            text.contains("\"alert\":\"of-another-version\"") && text.contains("\"owner\":\"operator\""),
            "{text}"
        );
    }

    #[test]
    fn the_signature_is_over_time_and_body() {
        let one = signature(b"a secret", 1_800_000_000, "{}");
        // printf '1800000000.{}' | openssl dgst -sha256 -hmac 'a secret'
        assert_eq!(
            one,
            "t=1800000000,v1=7be0b59ca5343d83f21bb063f489ddbdc0045914b37b2497618ea72e024f5ac4"
        );
        for other in [
            signature(b"a secret", 1_800_000_001, "{}"),
            signature(b"a secret", 1_800_000_000, "{ }"),
            signature(b"another secret", 1_800_000_000, "{}"),
        ] {
            assert_ne!(
                one.split_once(",v1=").map(|(_, v1)| v1),
                other.split_once(",v1=").map(|(_, v1)| v1)
            );
        }
    }
}
