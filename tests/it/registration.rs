//! Partners whose registration names an address that nobody may have us call.

use crate::support::payer::TestPayer;
use serde_json::Value;

const GOOD: &str = "https://third-payer.example/fhir";

/// Registers `third-payer` with this line for its keys and this endpoint; exit code and what was said.
fn registered(payer: &TestPayer, command: &[&str], keys: &str, endpoint: &str) -> (Option<i32>, String) {
    let text = format!(
        "id = \"third-payer\"\nname = \"Third\"\nnpi = \"1992000038\"\nclient_id = \"third-payer\"\n{keys}\n\
         certificate_uri = \"{GOOD}\"\nscopes = [\"system/*.rs\"]\n[endpoint]\nfhir = \"{endpoint}\"\n"
    );
    std::fs::write(payer.home().join("third.toml"), text).expect("a file");
    let output = payer.command(&[&["partner"], command, &["--file", "third.toml", "--json"]].concat());
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn t_e01_a_server_that_others_reach_takes_no_address_of_this_machine() {
    let (mut payer, _) = TestPayer::prepare(1);
    let file = payer.home().join("causeway.toml");
    let private = std::fs::read_to_string(&file).expect("a file");
    let public = private.replace("fhir_listen = \"127.0.0.1:", "fhir_listen = \"0.0.0.0:");
    assert_ne!(public, private);
    let inline = "jwks_file = \"new-payer-jwks.json\"";
    let cases = [
        ("jwks_url = \"https://127.0.0.1:9999/jwks\"", GOOD, "jwks_url"),
        ("jwks_url = \"https://localhost/jwks\"", GOOD, "jwks_url"),
        ("jwks_url = \"https://third-payer.example:22/jwks\"", GOOD, "jwks_url"),
        ("jwks_url = \"https://intranet/jwks\"", GOOD, "jwks_url"),
        ("jwks_url = \"https://ip6-localhost:8443/jwks\"", GOOD, "jwks_url"),
        ("jwks_url = \"https://metadata.google.internal/jwks\"", GOOD, "jwks_url"),
        (inline, "https://printer.local/fhir", "endpoint.fhir"),
        (inline, "https://[::1]:9999/fhir", "endpoint.fhir"),
        (inline, "https://2130706433/fhir", "endpoint.fhir"),
        (inline, "https://169.254.169.254/fhir", "endpoint.fhir"),
    ];
    let refuses = |payer: &TestPayer, command: &[&str]| {
        for (keys, endpoint, field) in cases {
            let (code, said) = registered(payer, command, keys, endpoint);
            assert_eq!(code, Some(2), "{keys} {endpoint}: {said}");
            assert!(
                said.contains(field) || said.contains("Give a public https URL"),
                "{said}"
            );
        }
    };
    // By itself, and through the server's socket; a rotation as an addition.
    std::fs::write(&file, &public).expect("a file");
    refuses(&payer, &["add"]);
    payer.serve();
    refuses(&payer, &["add"]);
    let (code, said) = registered(&payer, &["add"], inline, GOOD);
    assert_eq!(code, Some(0), "{said}");
    refuses(&payer, &["rotate", "third-payer"]);
    let shown = payer.json_command(&["partner", "show", "third-payer"]);
    assert_eq!(
        (&shown["endpoint"], shown["version"].as_i64()),
        (&Value::from(GOOD), Some(1))
    );
    payer.kill();

    // Where nobody else can reach us, partners of a test may be on this machine.
    std::fs::write(&file, &private).expect("a file");
    let (code, said) = registered(
        &payer,
        &["rotate", "third-payer"],
        cases[0].0,
        "https://127.0.0.1:9444/fhir",
    );
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn contacts_are_shown_and_a_wrong_one_is_refused_by_its_field() {
    let (payer, _) = TestPayer::prepare(1);
    let inline = "jwks_file = \"new-payer-jwks.json\"";
    // The mark of the endpoint's end becomes a comment.
    let with = |email: &str| {
        format!(
            "{GOOD}\"\n[contacts]\nsecurity = {{ name = \"Desk\", email = \"{email}\", phone = \"+1 555 0101\" }}\n# \""
        )
    };
    let (code, said) = registered(&payer, &["add"], inline, &with("no address"));
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("OP-004") && said.contains("contacts.security.email"),
        "{said}"
    );
    let (code, said) = registered(&payer, &["add"], inline, &with("desk@third-payer.example"));
    assert_eq!(code, Some(0), "{said}");
    let contacts = payer.json_command(&["partner", "show", "third-payer"])["contacts"].clone();
    assert_eq!(
        (&contacts["security"]["email"], &contacts["privacy"]),
        (&Value::from("desk@third-payer.example"), &Value::Null)
    );
    let other = payer.json_command(&["partner", "show", "new-payer"]);
    assert_eq!(other["contacts"], Value::Null);
}
