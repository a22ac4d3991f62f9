//! Registrations that are refused, and the ledger entry of every change.

use super::peer::PeerEndpoint;
use super::{PartnerContacts, Registration, check, registry};
use crate::audit::OperatorNote;
use crate::clock::Clock;
use crate::context::{Context, Payer};
use crate::error::{ContactKind, Fault};
use crate::ids::Ids;
use crate::security::address::{HOSTILE, INNER};
use crate::security::keyring::Keyring;
use crate::security::tests::made;
use crate::store::{Store, StoreOptions, StoreUrl};
use causeway_jose::Algorithm;
use causeway_jose::SigningKey;
use serde_json::json;

const GOOD: &str = r#"
id = "new-payer"
name = "New Payer"
npi = "1992000020"
client_id = "new-payer"
jwks_file = "jwks.json"
certificate_uri = "https://new-payer.example/fhir"
mtls = "required"
scopes = ["system/*.rs", "http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match"]
dialect = { hrex = "1.1", pdex = "2.2", us_core = "6.1.0" }
[endpoint]
fhir = "https://new-payer.example/fhir"
trust = "ca.pem"
"#;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let key = SigningKey::generate(Algorithm::Es384, "k").expect("key");
    let put = |name: &str, text: String| std::fs::write(folder.path().join(name), text).expect("write");
    put("jwks.json", json!({ "keys": [key.public_jwk()] }).to_string());
    put("private.json", json!({ "keys": [key.private_jwk()] }).to_string());
    put(
        "other.json",
        json!({ "keys": [made::key(Algorithm::Rs384, "k2").public_jwk()] }).to_string(),
    );
    put(
        "ca.pem",
        crate::security::dev_pki::issue_ca("CA", Clock::System.now_ms())
            .expect("CA")
            .certificate_pem()
            .to_owned(),
    );
    put("empty.pem", String::new());
    folder
}

fn context(folder: &tempfile::TempDir) -> Context {
    let url = StoreUrl::Sqlite(folder.path().join("test.db"));
    let payer = Payer {
        name: "Old Payer".into(),
        npi: "1992000012".into(),
        member_system: "http://payer.example/member".into(),
        umb_system: "http://payer.example/umb".into(),
        base_url: "https://payer.example/fhir".into(),
        time_zone: chrono_tz::America::New_York,
    };
    let store = Store::open(
        &url,
        &StoreOptions {
            connections: 2,
            ..StoreOptions::default()
        },
    )
    .expect("store");
    Context::with_defaults(store, Clock::fixed(1_798_761_600_000), Ids::random(), payer).expect("a context")
}

fn ledger(ctx: &Context) -> Vec<String> {
    use crate::store::schema::ledger_entry::dsl;
    use diesel::prelude::*;
    ctx.store
        .read_blocking(|db| {
            Ok(dsl::ledger_entry
                .order(dsl::id)
                .select(dsl::action)
                .load::<String>(db)?)
        })
        .expect("ledger")
}

#[test]
fn registrations_that_are_refused_name_their_field() {
    let folder = folder();
    for (from, to, field) in [
        ("id = \"new-payer\"\nname", "id = \"a/b\"\nname", "id"),
        ("id = \"new-payer\"\nname", "id = \"\"\nname", "id"),
        ("name = \"New Payer\"", "name = \" \"", "name"),
        ("name = \"New Payer\"", "name = \"New\\u0007\"", "name"),
        ("npi = \"1992000020\"", "npi = \"\"", "npi"),
        ("npi = \"1992000020\"", "npi = 1992000020", "line 4"),
        ("client_id = \"new-payer\"", "client_id = \"a b\"", "client_id"),
        ("jwks_file = \"jwks.json\"", "", "jwks_file"),
        (
            "jwks_file = \"jwks.json\"",
            "jwks_file = \"jwks.json\"\njwks_url = \"https://x.example/\"",
            "jwks_url",
        ),
        (
            "jwks_file = \"jwks.json\"",
            "jwks_url = \"http://x.example/\"",
            "jwks_url",
        ),
        (
            "jwks_file = \"jwks.json\"",
            "jwks_url = \"https://10.0.0.1/\"",
            "jwks_url",
        ),
        ("jwks_file = \"jwks.json\"", "jwks_file = \"private.json\"", "jwks_file"),
        ("jwks_file = \"jwks.json\"", "jwks_file = \"ca.pem\"", "jwks_file"),
        (
            "certificate_uri = \"https://new-payer.example/fhir\"",
            "",
            "certificate_uri",
        ),
        (
            "certificate_uri = \"https://new-payer.example/fhir\"",
            "certificate_uri = \"new-payer\"",
            "certificate_uri",
        ),
        ("mtls = \"required\"", "mtls = \"maybe\"", "mtls"),
        ("\"system/*.rs\"", "\"system/*.sr\"", "scopes[0]"),
        ("\"system/*.rs\"", "\"system/*.rs system/*.cud\"", "scopes[0]"),
        ("\"system/*.rs\"", "\"patient/*.rs\"", "scopes[0]"),
        ("hrex = \"1.1\"", "hrex = \"3.0\"", "dialect.hrex"),
        ("hrex = \"1.1\"", "hrx = \"1.1\"", "line 10"),
        (
            "fhir = \"https://new-payer.example/fhir\"",
            "fhir = \"http://new-payer.example/fhir\"",
            "endpoint.fhir",
        ),
        (
            "fhir = \"https://new-payer.example/fhir\"",
            "fhir = \"https://new-payer.example/fhir/\"",
            "endpoint.fhir",
        ),
        ("trust = \"ca.pem\"", "trust = \"empty.pem\"", "endpoint.trust"),
        (
            "trust = \"ca.pem\"",
            "trust = \"ca.pem\"\nclient_id = \"a b\"",
            "endpoint.client_id",
        ),
        (
            "trust = \"ca.pem\"",
            "trust = \"ca.pem\"\n[contacts]\nsecurity = { name = \"Desk\", email = \"desk\" }",
            "contacts.security.email",
        ),
        (
            "mtls = \"required\"",
            "mtls = \"required\"\ncolour = \"blue\"",
            "line 9",
        ),
        ("id = \"new-payer\"\nname", "id = \nname", "line 2"),
    ] {
        let text = GOOD.replace(from, to);
        assert_ne!(text, GOOD, "{from}");
        let failure = Registration::parse(&text, folder.path(), true).expect_err(to);
        assert_eq!(
            (failure.fault(), failure.expressions()),
            (Fault::PartnerInvalid, [field.to_owned()].as_slice()),
            "{to}: {}",
            failure.remedy_text()
        );
    }
    let missing = GOOD.replace("jwks.json", "nowhere.json");
    assert_eq!(
        Registration::parse(&missing, folder.path(), true)
            .expect_err("no file")
            .fault(),
        Fault::InputUnreadable
    );
}

#[test]
fn contacts_are_kept_with_the_registration_until_one_without_them_replaces_it() {
    let folder = folder();
    let ctx = context(&folder);
    let named = "\n[contacts]\ntechnical = { name = \"Desk\", email = \"desk@new-payer.example\", phone = \"+1 555 0100\" }\n\
                 escalation = { name = \"Head of desk\", email = \"head@new-payer.example\" }\n";
    let with = Registration::parse(&format!("{GOOD}{named}"), folder.path(), true).expect("a registration");
    registry::add(&ctx, &with, by("")).expect("added");
    let row = registry::find(&ctx, "new-payer").expect("the partner");
    let text = row.contacts.as_deref().expect("contacts");
    let kept: PartnerContacts = serde_json::from_str(text).expect("contacts");
    let technical = kept.of(ContactKind::Technical).expect("a contact");
    assert_eq!(technical.phone.as_deref(), Some("+1 555 0100"));
    let escalation = kept.of(ContactKind::Escalation).expect("a contact");
    assert_eq!(escalation.email, "head@new-payer.example");
    assert_eq!(kept.of(ContactKind::Privacy), None);
    for without in [GOOD.to_owned(), format!("{GOOD}\n[contacts]\n")] {
        let registration = Registration::parse(&without, folder.path(), true).expect("a registration");
        assert_eq!(registration.row.contacts, None);
        registry::rotate(&ctx, &registration, by("")).expect("rotated");
        assert_eq!(registry::find(&ctx, "new-payer").expect("the partner").contacts, None);
    }
}

#[test]
fn t_e01_hostile_urls_are_refused_at_registration() {
    assert!(HOSTILE.len() >= 60, "{}", HOSTILE.len());
    let folder = folder();
    let good_url = "https://new-payer.example/fhir";
    for url in HOSTILE.iter().chain(INNER) {
        let quoted = toml::Value::from(*url).to_string();
        let keys = GOOD.replace("jwks_file = \"jwks.json\"", &format!("jwks_url = {quoted}"));
        let endpoint = GOOD.replace(&format!("fhir = \"{good_url}\""), &format!("fhir = {quoted}"));
        for (text, field) in [(&keys, "jwks_url"), (&endpoint, "endpoint.fhir")] {
            assert_ne!(text, GOOD);
            let refused = Registration::parse(text, folder.path(), false).expect_err(url);
            assert_eq!(
                (refused.fault(), refused.expressions()),
                (Fault::PartnerInvalid, [field.to_owned()].as_slice()),
                "{url}"
            );
            let remedy = refused.remedy_text();
            assert!(remedy.starts_with("Give a public https URL: "), "{url}: {remedy}");
        }
    }
    // Names are not looked up here. A server that listens only on this machine may have partners on it.
    let of = |url: &str| GOOD.replace(good_url, url);
    for (url, on_loopback) in [
        ("https://does-not-exist.invalid/fhir", false),
        ("https://127.0.0.1:9444/fhir", true),
        ("https://localhost:9444/fhir", true),
    ] {
        Registration::parse(&of(url), folder.path(), on_loopback).expect(url);
    }
    Registration::parse(&of("https://10.0.0.1/fhir"), folder.path(), true).expect_err("another machine of ours");
}

#[test]
fn a_wrong_check_digit_is_a_warning_only() {
    let folder = folder();
    let warnings = |text: &str| {
        Registration::parse(text, folder.path(), true)
            .expect("registration")
            .warnings
    };
    assert!(
        warnings(&GOOD.replace("1992000020", "1992000029"))
            .iter()
            .any(|warning| warning.contains("check digit"))
    );
}

fn by(reason: &str) -> OperatorNote {
    OperatorNote {
        operator: "uid-7".to_owned(),
        reason: reason.to_owned(),
    }
}

#[test]
fn every_change_is_in_the_ledger_and_none_is_made_twice() {
    let folder = folder();
    let ctx = context(&folder);
    let good = Registration::parse(GOOD, folder.path(), true).expect("registration");
    let row = registry::add(&ctx, &good, by("new")).expect("added");
    assert_eq!(registry::find(&ctx, "new-payer").expect("found"), row);
    assert!(
        row.endpoint
            .as_deref()
            .is_some_and(|endpoint| endpoint.contains("BEGIN CERTIFICATE"))
    );
    let named = GOOD.replace("trust = \"ca.pem\"", "trust = \"ca.pem\"\nclient_id = \"we-there\"");
    let named = Registration::parse(&named, folder.path(), true).expect("registration");
    let endpoint = PeerEndpoint::read(named.row.endpoint.as_deref()).expect("an endpoint");
    assert_eq!(endpoint.client_id.as_deref(), Some("we-there"));
    assert_eq!(
        PeerEndpoint::read(row.endpoint.as_deref())
            .expect("an endpoint")
            .client_id,
        None
    );
    assert_eq!(
        registry::add(&ctx, &good, by("new")).expect_err("twice").expressions(),
        ["id"]
    );
    let twin = Registration::parse(
        &GOOD.replace("id = \"new-payer\"\nname", "id = \"twin\"\nname"),
        folder.path(),
        true,
    )
    .expect("registration");
    assert_eq!(
        registry::add(&ctx, &twin, by("new"))
            .expect_err("client id taken")
            .expressions(),
        ["client_id"]
    );
    ctx.clock.advance_ms(1);
    registry::suspend(&ctx, "new-payer", by("key lost")).expect("suspended");
    ctx.clock.advance_ms(1);
    let row = registry::find(&ctx, "new-payer").expect("found");
    assert_eq!(
        (row.status.as_str(), row.status_reason.as_deref(), row.version),
        ("suspended", Some("key lost"), 2)
    );
    let other =
        Registration::parse(&GOOD.replace("jwks.json", "other.json"), folder.path(), true).expect("registration");
    registry::rotate(&ctx, &other, by("new keys")).expect("rotated");
    let row = registry::find(&ctx, "new-payer").expect("found");
    assert!(
        row.jwks.as_deref().is_some_and(|keys| keys.contains("k2")) && row.status == "suspended",
        "rotating lifts no suspension"
    );
    ctx.clock.advance_ms(1);
    registry::resume(&ctx, "new-payer", by("found")).expect("resumed");
    assert_eq!(
        registry::suspend(&ctx, "nobody", by("x")).expect_err("unknown").fault(),
        Fault::PartnerUnknown
    );
    assert_eq!(
        registry::rotate(&ctx, &twin, by("new keys"))
            .expect_err("unknown")
            .fault(),
        Fault::PartnerUnknown
    );
    assert_eq!(
        ledger(&ctx),
        [
            "partner.added",
            "partner.suspended",
            "partner.rotated",
            "partner.resumed"
        ]
    );
    assert_eq!(registry::list(&ctx).expect("list").len(), 1);
}

#[tokio::test]
async fn a_check_tells_what_it_found() {
    let folder = folder();
    let good = Registration::parse(GOOD, folder.path(), true)
        .expect("registration")
        .row;
    let keyring = Keyring::new(false);
    let found = check(&good, &keyring).await;
    assert!(found.iter().all(|finding| finding.result != "failed"), "{found:?}");
    let unreachable = crate::store::partners::PartnerRow {
        jwks: None,
        jwks_url: Some("https://127.0.0.1:1/".into()),
        ..good
    };
    let found = check(&unreachable, &keyring).await;
    assert!(
        found
            .iter()
            .any(|finding| finding.check == "keys" && finding.result == "failed"),
        "{found:?}"
    );
}
