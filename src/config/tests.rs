//! The refusals, one row each, and what is taken.

use super::{Config, effective};
use crate::error::Fault;
use std::io::Write;

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, crate::error::Failure> {
    let mut file = tempfile::NamedTempFile::new().expect("file");
    file.write_all(text.as_bytes()).expect("write");
    Config::load(
        Some(file.path()),
        environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())),
    )
}

#[test]
fn what_cannot_be_used_is_refused_with_its_key_and_a_remedy() {
    let none: &[(&str, &str)] = &[];
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a str);
    let rows: &[Row<'_>] = &[
        (
            "[server]\nbase_ulr = 'https://x/fhir'",
            none,
            "server.base_ulr",
            "server.base_url",
        ),
        ("[sever]\nbase_url = 'https://x/fhir'", none, "sever", "server"),
        ("base_url = 1", none, "base_url", "key"),
        ("server = 1", none, "server", "section"),
        ("[server]\nbase_url = 'http://x/fhir'", none, "server.base_url", "https"),
        (
            "[server]\nbase_url = 'https://x/fhir/'",
            none,
            "server.base_url",
            "slash",
        ),
        (
            "[server]\nbase_url = 'https://u@x/fhir'",
            none,
            "server.base_url",
            "user",
        ),
        (
            "[server]\nbase_url = 'https://x/fhir?a=1'",
            none,
            "server.base_url",
            "query",
        ),
        ("[server]\nbase_url = 'https:///fhir'", none, "server.base_url", "HOST"),
        (
            "[server]\nfhir_listen = 'localhost'",
            none,
            "server.fhir_listen",
            "PORT",
        ),
        ("[server]\nfhir_listen = 8443", none, "server.fhir_listen", "text"),
        (
            "[server]\nops_key = 'k.pem'",
            none,
            "server.ops_key",
            "server.ops_certificate",
        ),
        (
            "[server]\nops_base_url = 'https://ops.example/console'",
            none,
            "server.ops_base_url",
            "path",
        ),
        (
            "[server]\nops_base_url = 'https://'",
            none,
            "server.ops_base_url",
            "HOST",
        ),
        (
            "[server]\nops_base_url = 'https://ops.example:99999'",
            none,
            "server.ops_base_url",
            "PORT",
        ),
        (
            "[server]\nops_base_url = 'https://ops.example:9443:1'",
            none,
            "server.ops_base_url",
            "PORT",
        ),
        (
            "[server]\nops_base_url = 'https://[::1'",
            none,
            "server.ops_base_url",
            "HOST",
        ),
        (
            "[server]\nops_base_url = 'ops.example'",
            none,
            "server.ops_base_url",
            "https",
        ),
        (
            "[server]\nops_base_url = 'http://ops.example'",
            none,
            "server.ops_base_url",
            "https",
        ),
        (
            "[server]\nops_base_url = 'http://localhost.evil.example'",
            none,
            "server.ops_base_url",
            "https",
        ),
        (
            "[server]\nops_base_url = 'http://localhost:9443'\nops_certificate = 'o.pem'\nops_key = 'k.pem'",
            none,
            "server.ops_base_url",
            "plain",
        ),
        (
            "[server]\nops_listen = '127.0.0.1:8443'",
            none,
            "server.ops_listen",
            "another",
        ),
        (
            "[oauth]\naccess_token_seconds = 3601",
            none,
            "oauth.access_token_seconds",
            "3600",
        ),
        (
            "[oauth]\naccess_token_seconds = 0",
            none,
            "oauth.access_token_seconds",
            "1",
        ),
        (
            "[oauth]\naccess_token_seconds = '300'",
            none,
            "oauth.access_token_seconds",
            "number",
        ),
        (
            "[oauth]\nallow_loopback_jwks = true\n[server]\nfhir_listen = '0.0.0.0:8443'",
            none,
            "oauth.allow_loopback_jwks",
            "tests",
        ),
        (
            "[oidc]\nissuer = 'https://login.example'",
            none,
            "oidc.issuer",
            "oidc.roles together",
        ),
        (
            "[oidc]\nissuer = 'https://login.example'\nclient_id = 'c'",
            none,
            "oidc.issuer",
            "oidc.roles together",
        ),
        ("[oidc]\nroles = ['a=admin']", none, "oidc.issuer", "together"),
        ("[oidc]\nroles = 'a=admin'", none, "oidc.roles", "list"),
        ("[policy]\nmatching = 'loose'", none, "policy.matching", "safe"),
        (
            "[policy]\nrelease = 'cms-0057'",
            none,
            "policy.release",
            "does not have",
        ),
        ("[policy]\nretry = 'default'", none, "policy.retry", "does not have"),
        (
            "[policy]\nretention = 'default'",
            none,
            "policy.retention",
            "does not have",
        ),
        ("[log]\nlevel = 'loud'", none, "log.level", "info"),
        ("[log]\nformat = 'xml'", none, "log.format", "json"),
        (
            "[log]\notlp_endpoint = 'http://x'",
            none,
            "log.otlp_endpoint",
            "https://HOST",
        ),
        (
            "[log]\notlp_endpoint = 'https://x/?key=1'",
            none,
            "log.otlp_endpoint",
            "https://HOST",
        ),
        (
            "[log]\notlp_sample_percent = 101",
            none,
            "log.otlp_sample_percent",
            "100",
        ),
        (
            "",
            &[("CAUSEWAY_EXPORTS__URL", "ftp://x/y")],
            "exports.url",
            "file:PATH",
        ),
        ("[store]\nurl = 'mysql://x'", none, "store.url", "postgres"),
        ("[store]\nurl = 'sqlite::memory:'", none, "store.url", "sqlite"),
        ("[store]\nurl = 'sqlite:'", none, "store.url", "sqlite"),
        ("[store]\nconnections = 0", none, "store.connections", "2"),
        (
            "[exports]\nurl = 'ftp://x/y'",
            none,
            "exports.url",
            "s3://BUCKET/PREFIX",
        ),
        ("[exports]\nurl = 'file:'", none, "exports.url", "file:PATH"),
        ("[exports]\nurl = 's3:x'", none, "exports.url", "file:PATH"),
        ("[exports]\nurls = ['file:x']", none, "exports.urls", "exports.url"),
        ("[payer]\nnpi = '123'", none, "payer.npi", "ten"),
        ("[payer]\nname = ''", none, "payer.name", "empty"),
        ("[payer]\ntime_zone = 'Mars/Olympus'", none, "payer.time_zone", "IANA"),
        (
            "[payer]\numb_system = 'a'\nmember_system = 'a'",
            none,
            "payer.umb_system",
            "another",
        ),
        ("[tls]\ncertificate = 'x.pem'", none, "tls.key", "together"),
        ("[tls]\nclient_crl = ['x.crl']", none, "tls.client_ca", "authorities"),
        ("[tls]\nclient_ca = 'x.pem'", none, "tls.client_ca", "list"),
        ("[server]\nhttp2 = true", none, "server.http2", "streams"),
        (
            "[server]\nproxy_from = ['lb.example']",
            none,
            "server.proxy_from",
            "192.0.2.7",
        ),
        ("[server]\nproxy_from = '192.0.2.7'", none, "server.proxy_from", "list"),
        ("[server]\nproxy_from = [1]", none, "server.proxy_from", "list"),
        (
            "",
            &[("CAUSEWAY_SERVER__PROXY_FROM", "192.0.2.7, 192.0.2.0/99")],
            "server.proxy_from",
            "networks",
        ),
        ("[limits]\nbody_bytes = 10", none, "limits.body_bytes", "1024"),
        (
            "[limits]\nbody_byte = 10",
            none,
            "limits.body_byte",
            "limits.body_bytes",
        ),
        ("not toml", none, "line 1", "TOML"),
        (
            "",
            &[("CAUSEWAY_SERVER__BASE_URI", "https://x")],
            "CAUSEWAY_SERVER__BASE_URI",
            "CAUSEWAY_SERVER__BASE_URL",
        ),
        (
            "",
            &[("CAUSEWAY_SERVER_BASE_URL", "https://x")],
            "CAUSEWAY_SERVER_BASE_URL",
            "CAUSEWAY_SERVER__BASE_URL",
        ),
        (
            "",
            &[("CAUSEWAY_OAUTH__ACCESS_TOKEN_SECONDS", "long")],
            "oauth.access_token_seconds",
            "number",
        ),
        (
            "",
            &[("CAUSEWAY_OAUTH__ALLOW_LOOPBACK_JWKS", "yes")],
            "oauth.allow_loopback_jwks",
            "true",
        ),
        ("", &[("DATABASE_URL", "oracle://x")], "store.url", "postgres"),
    ];
    for (text, environment, key, remedy) in rows {
        let failure = load(text, environment).expect_err(text);
        assert_eq!(failure.fault(), Fault::ConfigInvalid, "{text}");
        assert_eq!(failure.expressions(), [(*key).to_owned()], "{text}");
        assert!(
            failure.remedy_text().contains(remedy),
            "{text}: {}",
            failure.remedy_text()
        );
    }
}

#[test]
fn the_environment_wins_and_paths_stand_in_the_files_folder() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("c.toml");
    std::fs::write(
        &file,
        "[store]\nurl = 'sqlite:d/x.db'\n[tls]\ncertificate = 'a.pem'\nkey = '/k.pem'\n[log]\nlevel = 'warn'",
    )
    .expect("write");
    let environment = [
        ("CAUSEWAY_LOG__LEVEL", "debug"),
        ("CAUSEWAY_TLS__CLIENT_CA", "a.pem, b.pem"),
        ("CAUSEWAY_TEST_X", "1"),
        ("HOME", "/"),
    ];
    let config = Config::load(Some(&file), environment.map(|(n, v)| (n.to_owned(), v.to_owned()))).expect("config");
    assert_eq!(
        config.store.url.sqlite_path(),
        Some(folder.path().join("d/x.db").as_path())
    );
    assert_eq!(config.data_folder(), folder.path().join("d"));
    assert_eq!(config.tls.certificate, Some(folder.path().join("a.pem")));
    assert_eq!(config.tls.key.as_deref(), Some(std::path::Path::new("/k.pem")));
    assert_eq!(config.tls.client_ca.len(), 2);
    assert_eq!(config.log.level, "debug");
    let failure = config.tls.demand_files().expect_err("no such file");
    assert_eq!(failure.expressions(), ["tls.certificate"]);
}

#[test]
fn defaults_serve_on_loopback_and_without_tls_files_only_with_dev() {
    let config = load("", &[]).expect("defaults");
    assert!(config.server.fhir_listen.ip().is_loopback());
    assert_eq!(config.server.origin(), "https://localhost:8443");
    assert_eq!(config.oauth.access_token_seconds, 300);
    assert_eq!(config.limits.body_bytes, 1 << 20);
    assert!(
        config
            .tls
            .demand_files()
            .expect_err("none")
            .remedy_text()
            .contains("--dev")
    );
}

#[test]
fn the_operations_side_has_the_name_by_which_people_reach_it() {
    let of = |text: &str| load(text, &[]).expect("config").server.ops_origin();
    let tls = "[server]\nops_certificate = 'o.pem'\nops_key = 'k.pem'\n";
    assert_eq!(of(""), "http://127.0.0.1:9443");
    assert_eq!(of(tls), "https://localhost:9443");
    let named = format!("{tls}ops_listen = '0.0.0.0:9443'\nops_base_url = 'https://ops.example:9443'");
    assert_eq!(of(&named), "https://ops.example:9443");
    let behind_a_proxy = "[server]\nops_base_url = 'https://ops.example'";
    assert_eq!(of(behind_a_proxy), "https://ops.example");
    let plain = "[server]\nops_base_url = 'http://localhost:9443'";
    assert_eq!(of(plain), "http://localhost:9443");
    // As browsers write it: otherwise no request would have the host that the console answers under.
    for (written, shown) in [
        ("https://Ops.Example:443", "https://ops.example"),
        ("HTTPS://ops.example:0443", "https://ops.example"),
        ("http://localhost:80", "http://localhost"),
        ("https://[::1]:9443", "https://[::1]:9443"),
        ("https://[::1]", "https://[::1]"),
    ] {
        assert_eq!(of(&format!("[server]\nops_base_url = '{written}'")), shown);
    }
    assert_eq!(of(&format!("{tls}ops_listen = '127.0.0.1:443'")), "https://localhost");
}

#[test]
fn connections_are_as_many_as_the_database_has_use_for() {
    let of = |text: &str, url: &str| {
        let environment: &[(&str, &str)] = if url.is_empty() { &[] } else { &[("DATABASE_URL", url)] };
        let config = load(text, environment).expect("config");
        let shown = effective(&config)["sections"]["store"]["connections"]["value"].as_i64();
        assert_eq!(shown, Some(i64::from(config.store.connections)), "{url}");
        config.store.connections
    };
    assert_eq!((of("", ""), of("", "postgres://db/x")), (8, 16));
    let set = "[store]\nconnections = 5";
    assert_eq!((of(set, ""), of(set, "postgres://db/x")), (5, 5));
}

#[test]
fn passwords_are_never_shown() {
    let config = load("", &[("DATABASE_URL", "postgres://me:s3cret@db/x?password=s3cret")]).expect("config");
    let shown = effective(&config).to_string();
    assert!(
        !shown.contains("s3cret") && !format!("{config:?}").contains("s3cret"),
        "{shown}"
    );
    assert!(shown.contains("@db/x"));
}

#[test]
fn a_whole_file_is_taken() {
    let text = r#"
[server]
fhir_listen = "127.0.0.1:8443"
ops_listen = "127.0.0.1:9443"
base_url = "https://localhost:8443/fhir"
[tls]
certificate = "server.pem"
key = "server.key"
client_ca = ["partners-ca.pem"]
client_crl = ["partners.crl"]
[store]
url = "sqlite:causeway-data/causeway.db"
[payer]
name = "Old Payer"
npi = "1992000012"
member_system = "http://old-payer.example/identifiers/member"
umb_system = "http://old-payer.example/identifiers/umb"
time_zone = "America/New_York"
[oauth]
access_token_seconds = 300
[policy]
matching = "safe"
[log]
format = "json"
level = "info"
"#;
    assert_eq!(load(text, &[]).expect("config").payer().name, "Old Payer");
}

/// 0 means "no limit" for the guard against guessing: what is not there must not become 0.
#[test]
fn a_key_without_a_value_is_an_error_and_never_a_default() {
    let values = super::values::ConfigValues(std::collections::BTreeMap::new());
    let failure = values.get(&super::keys::POLICY_GUESS_PER_TARGET).expect_err("no value");
    assert_eq!(failure.expressions(), ["policy.guess_per_target"]);
    assert!(values.guess().is_err() && values.limits().is_err() && values.jobs().is_err());
    for key in super::keys::KEYS.iter().filter(|key| !key.default.is_empty()) {
        let mut values = super::values::ConfigValues::defaults().expect("defaults");
        values.0.remove(key.name);
        let failure = values.finish(None).expect_err(key.name);
        assert_eq!(failure.expressions(), [key.name.to_owned()]);
    }
}

#[test]
fn every_example_and_default_is_of_its_keys_kind_and_each_later_key_is_unknown_today() {
    for key in super::keys::KEYS {
        let (section, name) = key.parts();
        let table: toml::Table = format!("v = {}", key.example).parse().expect("an example");
        super::check::typed(key, table["v"].clone(), std::path::Path::new("")).expect(key.name);
        assert_eq!(
            key.variable(),
            format!("CAUSEWAY_{}__{}", section.to_uppercase(), name.to_uppercase())
        );
    }
    for later in super::keys::LATER {
        assert!(super::keys::find(later.name).is_none(), "{}", later.name);
    }
}

#[test]
fn an_object_store_needs_its_feature_and_has_no_credentials_in_its_address() {
    for (url, feature, is_built) in [
        ("s3://bucket/a/prefix", "s3", cfg!(feature = "s3")),
        ("gs://bucket", "gcs", cfg!(feature = "gcs")),
        ("az://container/prefix", "azure", cfg!(feature = "azure")),
        (
            "abfss://container@account.dfs.core.windows.net/x",
            "azure",
            cfg!(feature = "azure"),
        ),
    ] {
        let loaded = load(&format!("[exports]\nurl = '{url}'"), &[]);
        if is_built {
            let bulk = loaded.expect(url).bulk;
            assert_eq!(
                (bulk.objects.map(String::from).as_deref(), bulk.folder),
                (Some(url), None)
            );
            continue;
        }
        let refused = loaded.expect_err(url);
        let built = format!("`cargo build --release --features {feature}`");
        assert!(refused.remedy_text().contains(&built), "{}", refused.remedy_text());
    }
    for (scheme, is_built) in [("s3", cfg!(feature = "s3")), ("gs", cfg!(feature = "gcs"))] {
        for rest in ["key:secret@bucket/x", "key@bucket", "bucket?x=1", "bucket#x", "/x"] {
            let refused = load(&format!("[exports]\nurl = '{scheme}://{rest}'"), &[]).expect_err(rest);
            let remedy = refused.remedy_text();
            assert_eq!(remedy.contains("come from the environment"), is_built, "{remedy}");
            assert!(!remedy.contains("secret"), "{remedy}");
        }
    }
}
