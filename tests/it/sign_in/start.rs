//! What stops the start: a provider that may not be called, roles that are none, and a secret that others can read.

use super::{bare, configure};
use crate::support::payer::TestPayer;
use std::os::unix::fs::PermissionsExt as _;

const ROLES: &str = "roles = [\"ops=operator\"]\n";

/// The server does not start with this section, and says why.
#[track_caller]
fn refused(payer: &TestPayer, lines: &str, place: &str, remedy: &str) {
    configure(payer, lines);
    let said = payer.command(&["serve", "--quiet"]);
    let told = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(2), "{lines}: {told}");
    assert!(told.contains(place) && told.contains(remedy), "{lines}: {told}");
}

#[test]
fn a_provider_that_may_not_be_called_stops_the_start() {
    let payer = bare();
    for (issuer, remedy) in [
        ("http://login.example.org", "not https"),
        ("https://10.0.0.1", "not public"),
        ("https://login.internal", "internal network"),
        ("https://user@login.example.org", "user name"),
        ("https://login.example.org/#x", "fragment"),
        ("https://login.example.org/?x=y", "query"),
        ("login.example.org", "not a URL"),
    ] {
        let lines = format!("issuer = \"{issuer}\"\nclient_id = \"c\"\n{ROLES}");
        refused(&payer, &lines, "oidc.issuer", remedy);
    }
}

#[test]
fn roles_and_files_that_cannot_be_used_stop_the_start() {
    let payer = bare();
    let provider = "issuer = \"https://login.example.org\"\nclient_id = \"c\"\n";
    for roles in ["ops=king", "ops", "=admin"] {
        let lines = format!("{provider}roles = [\"{roles}\"]\n");
        refused(&payer, &lines, "oidc.roles", "VALUE=ROLE");
    }
    let file = payer.home().join("oidc-secret");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).expect("a mode");
    for (line, place, remedy) in [
        ("client_secret_file = \"none\"", "oidc.client_secret_file", "not there"),
        (
            "client_secret_file = \"oidc-secret\"",
            "oidc.client_secret_file",
            "0600",
        ),
        ("provider_ca = [\"oidc-secret\"]", "oidc.provider_ca", "PEM"),
        ("provider_ca = [\"none.pem\"]", "oidc.provider_ca", "not there"),
    ] {
        refused(&payer, &format!("{provider}{ROLES}{line}\n"), place, remedy);
    }
    refused(&payer, provider, "oidc.issuer", "together");
}
