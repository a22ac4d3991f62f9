//! TLS handshakes in memory: which clients are accepted and refused, and that changed files take effect.

use super::{ServerTls, TlsFiles, provider};
use crate::clock::Clock;
use crate::secret::sha256;
use crate::security::PeerCertificate;
use crate::security::dev_pki::{DevCa, Issued, Leaf, issue_ca, self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
use std::path::Path;
use std::sync::Arc;

const URI: &str = "https://new-payer.example/fhir";
const DAY_MS: i64 = 86_400_000;

struct Bed {
    ca: DevCa,
    tls: ServerTls,
    folder: tempfile::TempDir,
    now_ms: i64,
}

impl Bed {
    fn new() -> Bed {
        let now_ms = Clock::System.now_ms();
        let ca = ca("Test CA", now_ms);
        let server = server(&ca, now_ms);
        let folder = tempfile::tempdir().expect("folder");
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("write");
        put("server.pem", &server.certificate_pem);
        put("server.key", pem(&server));
        put("ca.pem", ca.certificate_pem());
        put(
            "ca.crl",
            &ca.revoke(&[], now_ms - DAY_MS, now_ms + DAY_MS).expect("list"),
        );
        let tls = ServerTls::open(files(folder.path())).expect("TLS");
        Bed {
            ca,
            tls,
            folder,
            now_ms,
        }
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("write");
    }

    fn enters(&self, client: Option<&Issued>) -> Result<Option<PeerCertificate>, String> {
        handshake(&self.tls, self.ca.certificate_der(), client, &[&rustls::version::TLS13])
    }
}

fn files(folder: &Path) -> TlsFiles {
    TlsFiles {
        certificate: folder.join("server.pem"),
        key: folder.join("server.key"),
        client_ca: vec![folder.join("ca.pem")],
        client_crl: vec![folder.join("ca.crl")],
        crl_grace_seconds: 3600,
    }
}

/// Performs a whole handshake and exchanges one message in each direction; returns the client certificate that the server saw.
fn handshake(
    tls: &ServerTls,
    trusted: &[u8],
    client: Option<&Issued>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Result<Option<PeerCertificate>, String> {
    handshake_with(tls, trusted, client, 0, versions)
}

/// The same, where the client sends the authority's certificate so many times besides its own.
fn handshake_with(
    tls: &ServerTls,
    trusted: &[u8],
    client: Option<&Issued>,
    intermediates: usize,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Result<Option<PeerCertificate>, String> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(trusted.to_vec()))
        .map_err(|error| error.to_string())?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?;
    let builder = builder.with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(issued) => {
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(issued.key_der.clone()));
            let mut chain = vec![CertificateDer::from(issued.certificate_der.clone())];
            chain.resize(1 + intermediates, CertificateDer::from(trusted.to_vec()));
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| error.to_string())?
        }
    };
    let name = ServerName::try_from("localhost").expect("name");
    let mut left = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
    let mut right = ServerConnection::new(server_config(tls)).map_err(|error| error.to_string())?;
    for _ in 0..10 {
        let mut wire = Vec::new();
        while left.wants_write() {
            left.write_tls(&mut wire).map_err(|error| error.to_string())?;
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            right.read_tls(&mut rest).map_err(|error| error.to_string())?;
            right.process_new_packets().map_err(|error| error.to_string())?;
        }
        let mut wire = Vec::new();
        while right.wants_write() {
            right.write_tls(&mut wire).map_err(|error| error.to_string())?;
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            left.read_tls(&mut rest).map_err(|error| error.to_string())?;
            left.process_new_packets().map_err(|error| error.to_string())?;
        }
    }
    if left.is_handshaking() || right.is_handshaking() {
        return Err("the handshake did not end".into());
    }
    Ok(right
        .peer_certificates()
        .and_then(<[_]>::first)
        .map(|leaf| PeerCertificate::of(leaf)))
}

#[test]
fn a_registered_certificate_and_none_get_in() {
    let bed = Bed::new();
    assert_eq!(bed.enters(None), Ok(None));
    let client = bed.ca.client(URI, bed.now_ms).expect("client");
    let seen = bed.enters(Some(&client)).expect("handshake").expect("certificate");
    assert_eq!(
        (seen.uris.as_slice(), seen.sha256),
        ([URI.to_owned()].as_slice(), sha256(&client.certificate_der))
    );
    assert!(seen.is_current(bed.now_ms / 1000) && !seen.is_current(0));
}

#[test]
fn t_a03_certificates_that_are_refused_in_the_handshake() {
    let bed = Bed::new();
    let now_ms = bed.now_ms;
    let other = ca("Other CA", now_ms);
    let twin = ca("Test CA", now_ms); // the same name, another key
    let leaf = |change: fn(&mut Leaf, i64)| {
        let mut leaf = Leaf::client(URI, now_ms);
        change(&mut leaf, now_ms);
        sign(&bed.ca, &leaf)
    };
    let rows: Vec<(&str, Issued)> = vec![
        ("expired", leaf(|leaf, now| leaf.to_ms = now - 60_000)),
        ("not yet valid", leaf(|leaf, now| leaf.from_ms = now + DAY_MS)),
        ("for servers", leaf(|leaf, _| leaf.server = true)),
        ("of another authority", other.client(URI, now_ms).expect("client")),
        (
            "of an authority of the same name",
            twin.client(URI, now_ms).expect("client"),
        ),
        ("self-signed", self_signed(&Leaf::client(URI, now_ms)).expect("client")),
    ];
    for (what, issued) in rows {
        assert!(bed.enters(Some(&issued)).is_err(), "{what}");
    }
}

#[test]
fn t_b07_a_long_chain_of_certificates_is_refused_before_a_signature_is_judged() {
    let bed = Bed::new();
    let client = bed.ca.client(URI, bed.now_ms).expect("client");
    let with = |intermediates| {
        let trusted = bed.ca.certificate_der();
        handshake_with(
            &bed.tls,
            trusted,
            Some(&client),
            intermediates,
            &[&rustls::version::TLS13],
        )
    };
    assert!(with(4).expect("handshake").is_some());
    assert!(with(5).is_err());
}

#[test]
fn t_a03_revocation_bites_on_new_connections_and_on_old_ones() {
    let bed = Bed::new();
    let client = bed.ca.client(URI, bed.now_ms).expect("client");
    let seen = bed.enters(Some(&client)).expect("handshake").expect("certificate");
    assert!(!bed.tls.revocations().is_revoked(&seen));
    assert!(!bed.tls.reload_if_changed());
    bed.put(
        "ca.crl",
        &bed.ca
            .revoke(&[&client.serial], bed.now_ms - DAY_MS, bed.now_ms + DAY_MS)
            .expect("list"),
    );
    assert!(bed.tls.reload_if_changed());
    assert!(bed.enters(Some(&client)).is_err());
    assert!(
        bed.tls.revocations().is_revoked(&seen),
        "a connection that was open before is cut at its next request"
    );
    let spared = bed.ca.client(URI, bed.now_ms).expect("client");
    assert!(bed.enters(Some(&spared)).is_ok());
}

#[test]
fn t_a03_an_outdated_list_is_used_for_its_grace_only() {
    let bed = Bed::new();
    let client = bed.ca.client(URI, bed.now_ms).expect("client");
    bed.put(
        "ca.crl",
        &bed.ca
            .revoke(&[], bed.now_ms - DAY_MS, bed.now_ms - 1_800_000)
            .expect("list"),
    );
    bed.tls.reload_if_changed();
    assert!(bed.enters(Some(&client)).is_ok(), "half an hour old, grace one hour");
    bed.put(
        "ca.crl",
        &bed.ca
            .revoke(&[b"\x01"], bed.now_ms - DAY_MS, bed.now_ms - 7_200_000)
            .expect("list"),
    );
    bed.tls.reload_if_changed();
    assert!(bed.enters(Some(&client)).is_err(), "two hours old");
    assert!(bed.enters(None).is_ok());
}

#[test]
fn changed_authorities_bite_and_broken_files_change_nothing() {
    let bed = Bed::new();
    let client = bed.ca.client(URI, bed.now_ms).expect("client");
    assert!(bed.tls.takes_over());
    bed.put("ca.pem", "no certificate here, and of another length");
    assert!(bed.tls.reload_if_changed());
    assert!(!bed.tls.takes_over(), "the ends on disk are not those in force");
    assert!(
        bed.enters(Some(&client)).is_ok(),
        "what cannot be used leaves the former in force"
    );
    let other = ca("Other CA", bed.now_ms);
    bed.put("ca.pem", other.certificate_pem());
    bed.put(
        "ca.crl",
        &other
            .revoke(&[], bed.now_ms - DAY_MS, bed.now_ms + DAY_MS)
            .expect("list"),
    );
    bed.tls.reload_if_changed();
    assert!(bed.tls.takes_over());
    bed.put("server.pem", "no certificate");
    assert!(!bed.tls.takes_over());
    assert!(bed.enters(Some(&client)).is_err());
    assert!(
        bed.enters(Some(&other.client(URI, bed.now_ms).expect("client")))
            .is_ok()
    );
}

#[test]
fn a_renewed_server_certificate_is_served_without_a_restart() {
    let bed = Bed::new();
    let next = ca("Next CA", bed.now_ms);
    let renewed = server(&next, bed.now_ms);
    bed.put("server.pem", &renewed.certificate_pem);
    bed.put("server.key", pem(&renewed));
    bed.tls.reload_if_changed();
    assert!(handshake(&bed.tls, next.certificate_der(), None, &[&rustls::version::TLS13]).is_ok());
    assert!(bed.enters(None).is_err(), "the former authority did not issue it");
}

#[test]
fn t_a21_tls_1_2_is_taken_with_forward_secrecy_and_nothing_is_resumed() {
    let bed = Bed::new();
    assert!(handshake(&bed.tls, bed.ca.certificate_der(), None, &[&rustls::version::TLS12]).is_ok());
    let config = server_config(&bed.tls);
    assert_eq!(
        (
            config.send_tls13_tickets,
            config.max_early_data_size,
            config.session_storage.can_cache()
        ),
        (0, 0, false)
    );
    assert_eq!(config.alpn_protocols, [b"http/1.1".to_vec()]);
    for suite in provider().cipher_suites.iter() {
        let name = format!("{:?}", suite.suite());
        assert!(
            name.starts_with("TLS13_")
                || (name.contains("ECDHE") && (name.contains("GCM") || name.contains("CHACHA20"))),
            "{name}"
        );
    }
}

#[test]
fn files_that_cannot_be_used_are_refused_with_their_key() {
    let bed = Bed::new();
    let open = || {
        ServerTls::open(files(bed.folder.path()))
            .err()
            .map(|failure| failure.expressions().join(","))
    };
    let other = server(&ca("Other CA", bed.now_ms), bed.now_ms);
    let original = std::fs::read_to_string(bed.folder.path().join("server.key")).expect("read");
    bed.put("server.key", pem(&other));
    assert_eq!(open().as_deref(), Some("tls.key"), "the key of another certificate");
    bed.put("server.key", &original);
    bed.put("ca.crl", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    assert_eq!(open().as_deref(), Some("tls.client_crl"));
    bed.put(
        "ca.crl",
        &bed.ca.revoke(&[], bed.now_ms, bed.now_ms + DAY_MS).expect("list"),
    );
    assert_eq!(open(), None);
    bed.put("ca.pem", "");
    assert_eq!(open().as_deref(), Some("tls.client_ca"));
}

#[test]
fn t_a02_names_other_than_uris_are_no_identity() {
    let now_ms = Clock::System.now_ms();
    let ca = ca("Test CA", now_ms);
    let named = sign(
        &ca,
        &Leaf {
            uris: Vec::new(),
            hosts: vec!["new-payer.example".into()],
            name: URI.into(),
            ..Leaf::client(URI, now_ms)
        },
    );
    assert!(PeerCertificate::of(&named.certificate_der).uris.is_empty());
    assert!(PeerCertificate::of(ca.certificate_der()).uris.is_empty());
    assert!(
        PeerCertificate::of(&self_signed(&Leaf::client(URI, now_ms)).expect("leaf").certificate_der)
            .uris
            .is_empty()
    );
    assert!(PeerCertificate::of(b"not a certificate").uris.is_empty());
    let two = sign(
        &ca,
        &Leaf {
            uris: vec![URI.into(), "https://second.example".into()],
            ..Leaf::client(URI, now_ms)
        },
    );
    assert_eq!(PeerCertificate::of(&two.certificate_der).uris.len(), 2);
}

#[test]
fn an_authority_survives_its_pem() {
    let now_ms = Clock::System.now_ms();
    let bed = Bed::new();
    let again = DevCa::from_pem(bed.ca.certificate_pem(), bed.ca.key_pem()).expect("authority");
    assert!(bed.enters(Some(&again.client(URI, now_ms).expect("client"))).is_ok());
}

fn ca(name: &str, now_ms: i64) -> DevCa {
    issue_ca(name, now_ms).expect("authority")
}

fn server(ca: &DevCa, now_ms: i64) -> Issued {
    ca.server(now_ms).expect("server")
}

fn sign(ca: &DevCa, leaf: &Leaf) -> Issued {
    ca.issue(leaf).expect("leaf")
}

fn pem(issued: &Issued) -> &str {
    &issued.key_pem
}

fn server_config(tls: &ServerTls) -> Arc<rustls::ServerConfig> {
    Arc::new(tls.config().expect("configuration"))
}
