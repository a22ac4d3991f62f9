//! Checks a registration without calling the partner's FHIR server.

use super::npi::has_valid_check_digit;
use crate::security::keyring::Keyring;
use crate::store::partners::PartnerRow;
use causeway_jose::{KeySet, PublicKey};
use serde::Serialize;

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked.
    pub check: &'static str,
    /// `ok`, `warning` or `failed`.
    pub result: &'static str,
    /// The finding, as text.
    pub detail: String,
}

fn finding(check: &'static str, result: &'static str, detail: impl Into<String>) -> Finding {
    Finding {
        check,
        result,
        detail: detail.into(),
    }
}

/// Checks the registration of `partner`; fetches its key set when that is at a URL.
pub async fn check(partner: &PartnerRow, keyring: &Keyring) -> Vec<Finding> {
    let mut findings = vec![match partner.is_active() {
        true => finding("status", "ok", "active"),
        false => finding("status", "warning", "suspended"),
    }];
    findings.push(match has_valid_check_digit(&partner.npi) {
        true => finding("npi", "ok", "the check digit is right"),
        false => finding("npi", "warning", "the check digit is wrong"),
    });
    findings.push(match (partner.mtls.as_str(), &partner.certificate_uri) {
        ("off", _) => finding(
            "certificate",
            "warning",
            "mTLS is off: tokens are bound to no certificate",
        ),
        (_, Some(uri)) => finding("certificate", "ok", uri.as_str()),
        (_, None) => finding(
            "certificate",
            "warning",
            "no certificate name is registered, so any certificate is refused",
        ),
    });
    findings.push(match (&partner.jwks, &partner.jwks_url) {
        (Some(text), _) => match KeySet::parse(text.as_bytes()) {
            Ok(keys) => finding("keys", "ok", listed(&keys)),
            Err(refused) => finding("keys", "failed", refused.to_string()),
        },
        (None, Some(url)) => match keyring.fetch(url).await {
            Ok((keys, keep_ms)) => finding(
                "keys",
                "ok",
                format!("{}; may be kept for {} s", listed(&keys), keep_ms / 1000),
            ),
            Err(failed) => finding("keys", "failed", failed.to_string()),
        },
        (None, None) => finding("keys", "failed", "no keys are registered"),
    });
    findings
}

fn listed(keys: &KeySet) -> String {
    let name = |key: &PublicKey| format!("{} ({})", key.kid, key.algorithms().collect::<Vec<_>>().join(", "));
    keys.keys().iter().map(name).collect::<Vec<_>>().join("; ")
}
