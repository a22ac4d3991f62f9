//! Signing keys of every algorithm. The program generates no RSA keys; here they are taken from a PKCS#8 document of the library.

use crate::secret::base64url;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::RsaKeyPair;
use causeway_jose::{Algorithm, SigningKey};
use serde_json::{Map, Value};
use x509_parser::der_parser::der::{parse_der_integer, parse_der_sequence_defined_g};
use x509_parser::der_parser::error::BerError;
use x509_parser::nom::Parser as _;

/// A new key: RSA with 2048 bits, or on the algorithm's curve.
pub(crate) fn key(algorithm: Algorithm, kid: &str) -> SigningKey {
    if matches!(algorithm, Algorithm::Es384 | Algorithm::Es256) {
        return SigningKey::generate(algorithm, kid).expect("key");
    }
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a pair");
    let document: Pkcs8V1Der<'_> = pair.as_der().expect("a document");
    let mut jwk: Map<String, Value> = ["n", "e", "d", "p", "q", "dp", "dq", "qi"]
        .into_iter()
        .zip(integers(document.as_ref()).expect("PKCS#8"))
        .map(|(name, integer)| (name.to_owned(), base64url(&integer).into()))
        .collect();
    for (name, value) in [("kty", "RSA"), ("kid", kid), ("alg", algorithm.name()), ("use", "sig")] {
        jwk.insert(name.to_owned(), value.into());
    }
    SigningKey::from_jwk(&Value::Object(jwk)).expect("key")
}

/// `n, e, d, p, q, dP, dQ, qInv` of a PKCS#8 RSA key, without leading zeros.
fn integers(pkcs8: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut inner = None;
    let (_, ()) = parse_der_sequence_defined_g(|content: &[u8], _| {
        let (rest, _version) = parse_der_integer(content)?;
        let (rest, _algorithm) = x509_parser::der_parser::der::parse_der_sequence(rest)?;
        let (rest, key) = x509_parser::der_parser::der::parse_der_octetstring(rest)?;
        inner = key.as_slice().ok().map(<[u8]>::to_vec);
        Ok::<_, x509_parser::nom::Err<BerError>>((&rest[rest.len()..], ()))
    })
    .parse(pkcs8)
    .ok()?;
    let key = inner?;
    let (_, sequence) = x509_parser::der_parser::der::parse_der_sequence(&key).ok()?;
    let integers = sequence.as_sequence().ok()?;
    let stripped = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
    let numbers: Vec<_> = integers
        .iter()
        .skip(1)
        .take(8)
        .map(|object| object.as_slice().map(stripped))
        .collect::<Result<_, _>>()
        .ok()?;
    (numbers.len() == 8).then_some(numbers)
}
