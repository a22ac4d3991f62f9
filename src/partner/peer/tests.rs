//! What a URL of the partner may be.

use super::*;
use crate::security::dev_pki::{Leaf, self_signed};
use causeway_jose::{Algorithm, SigningKey};

/// The means of tests, with a fresh identity.
pub(crate) fn means() -> PeerMeans {
    // The process has one, or gets it now.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let issued = self_signed(&Leaf::client("https://we.example/fhir", 1_798_761_600_000)).expect("a certificate");
    PeerMeans {
        identity: Arc::new(Identity {
            client_id: "we".into(),
            signing_key: SigningKey::generate(Algorithm::Es384, "k1").expect("a key"),
            certificate_pem: issued.certificate_pem,
            certificate_key_pem: Secret::new(&issued.key_pem),
        }),
        limits: PeerLimits::default(),
        loopback: false,
        clock: Clock::System,
        ids: Ids::random(),
    }
}

fn endpoint(fhir: &str) -> PeerEndpoint {
    PeerEndpoint {
        fhir: fhir.into(),
        trust: None,
        client_id: None,
    }
}

/// A peer at `https://payer.example/fhir`.
pub(crate) fn peer() -> Peer {
    Peer::new(&endpoint("https://payer.example/fhir"), &means()).expect("a peer")
}

#[test]
fn t_e03_only_the_registered_origin_is_called() {
    let peer = Peer::new(&endpoint("https://payer.example/fhir"), &means()).expect("a peer");
    for (text, wanted) in [
        (
            "https://payer.example/fhir/Goal?page=2",
            Some("https://payer.example/fhir/Goal?page=2"),
        ),
        ("https://Payer.example:443/x", Some("https://payer.example/x")),
        ("Goal?page=2", Some("https://payer.example/fhir/Goal?page=2")),
        ("/fhir/Goal?page=2", Some("https://payer.example/fhir/Goal?page=2")),
        ("?page=2", Some("https://payer.example/fhir/?page=2")),
        ("https://payer.example.elsewhere.example/fhir/Goal", None),
        ("https://payer.example:444/fhir/Goal", None),
        ("http://payer.example/fhir/Goal", None),
        ("//elsewhere.example/fhir/Goal", None),
        ("https:\\\\elsewhere.example\\fhir", None),
        ("https://payer.example@elsewhere.example/", None),
        ("https://user@payer.example/fhir", None),
        ("file:///etc/passwd", None),
        ("data:application/json,{}", None),
    ] {
        let named = peer.named(text);
        assert_eq!(named.as_ref().ok().map(Url::as_str), wanted, "{text}");
        if let Err(failure) = named {
            assert_eq!(failure.fault(), Fault::PartnerElsewhere);
        }
    }
}

#[test]
fn t_e01_an_address_of_a_private_network_is_no_partner() {
    for url in [
        "http://payer.example/fhir",
        "https://127.0.0.1/fhir",
        "https://10.0.0.1/fhir",
        "https://localhost/fhir",
    ] {
        let refused = Peer::new(&endpoint(url), &means()).err().map(|failure| failure.fault());
        assert_eq!(refused, Some(Fault::PartnerHasNoEndpoint), "{url}");
    }
    assert!(PeerEndpoint::read(None).is_err() && PeerEndpoint::read(Some("{}")).is_err());
}

#[test]
fn a_body_is_json_in_utf8_and_not_encoded() {
    let of = |rows: &[(reqwest::header::HeaderName, &str)]| {
        let mut map = HeaderMap::new();
        for (name, value) in rows {
            map.insert(name.clone(), value.parse().expect("a value"));
        }
        unreadable(&map).is_none()
    };
    assert!(of(&[(CONTENT_TYPE, "application/fhir+json")]));
    assert!(of(&[(CONTENT_TYPE, "Application/JSON; charset=UTF-8")]));
    assert!(of(&[
        (CONTENT_TYPE, "application/fhir+json;fhirVersion=4.0"),
        (CONTENT_ENCODING, "identity")
    ]));
    assert!(!of(&[]));
    assert!(!of(&[(CONTENT_TYPE, "text/html")]));
    assert!(!of(&[(CONTENT_TYPE, "application/fhir+xml")]));
    assert!(!of(&[(CONTENT_TYPE, "application/fhir+json; charset=iso-8859-1")]));
    assert!(!of(&[
        (CONTENT_TYPE, "application/fhir+json"),
        (CONTENT_ENCODING, "gzip")
    ]));
}
