//! Key sets that are refused, and which keys of a set are used.

use super::made;
use crate::secret::base64url;
use causeway_jose::SigningKey;
use causeway_jose::{Algorithm, KeySet};
use serde_json::{Value, json};

fn set(keys: &[Value]) -> Result<KeySet, String> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).map_err(|refused| refused.to_string())
}

fn with(mut value: Value, name: &str, new: Value) -> Value {
    value[name] = new;
    value
}

fn bytes(jwk: &Value, name: &str) -> Vec<u8> {
    crate::secret::from_base64url(jwk[name].as_str().expect("text")).expect("base64url")
}

#[test]
fn t_a10_a11_weak_secret_and_odd_keys_refuse_the_whole_set() {
    let ec = SigningKey::generate(Algorithm::Es384, "ec").expect("key");
    let rsa = made::key(Algorithm::Rs384, "rsa");
    let (good, ec, rsa) = (
        SigningKey::generate(Algorithm::Es256, "good")
            .expect("key")
            .public_jwk(),
        ec,
        rsa,
    );
    let (ec_jwk, rsa_jwk) = (ec.public_jwk(), rsa.public_jwk());
    let n = bytes(&rsa_jwk, "n");
    let number = |n: &[u8]| with(rsa_jwk.clone(), "n", json!(base64url(n)));
    let mut even = n.clone();
    even[255] &= 0xfe;
    let mut off = bytes(&ec_jwk, "x");
    off[5] ^= 1;
    let mut factor = n.clone();
    let by_three = |n: &[u8]| n.iter().fold(0u32, |rest, byte| (rest * 256 + u32::from(*byte)) % 3);
    factor[255] = [0x7b, 0x7d, 0x7f]
        .into_iter()
        .find(|last| by_three(&[&factor[..255], &[*last]].concat()) == 0)
        .expect("one of three");
    let rows: Vec<(&str, Value)> = vec![
        ("no kid", {
            let mut jwk = ec_jwk.clone();
            jwk.as_object_mut().expect("object").shift_remove("kid");
            jwk
        }),
        ("empty kid", with(ec_jwk.clone(), "kid", json!(""))),
        ("kid of a number", with(ec_jwk.clone(), "kid", json!(1))),
        ("huge kid", with(ec_jwk.clone(), "kid", json!("k".repeat(257)))),
        ("kid twice", with(ec_jwk.clone(), "kid", json!("good"))),
        ("symmetric", json!({ "kty": "oct", "kid": "s", "k": "AAAA" })),
        ("symmetric in disguise", with(ec_jwk.clone(), "k", json!("AAAA"))),
        ("private EC", ec.private_jwk()),
        ("private RSA", rsa.private_jwk()),
        ("private d alone", with(rsa_jwk.clone(), "d", json!("AQAB"))),
        ("RSA 1024", number(&n[128..])),
        ("RSA 2040", number(&n[1..])),
        ("RSA leading zero", number(&[&[0], n.as_slice()].concat())),
        ("RSA even modulus", number(&even)),
        ("RSA with a factor of 3", number(&factor)),
        ("RSA no modulus", with(rsa_jwk.clone(), "n", json!(""))),
        ("RSA 16384", number(&n.repeat(8))),
        ("RSA e=1", with(rsa_jwk.clone(), "e", json!("AQ"))),
        ("RSA e=2", with(rsa_jwk.clone(), "e", json!("Ag"))),
        ("RSA e=0", with(rsa_jwk.clone(), "e", json!("AA"))),
        ("RSA even e", with(rsa_jwk.clone(), "e", json!("AQAA"))),
        ("RSA huge e", with(rsa_jwk.clone(), "e", json!("AQAAAAAB"))),
        (
            "RSA padded n",
            with(
                rsa_jwk.clone(),
                "n",
                json!(format!("{}==", rsa_jwk["n"].as_str().expect("n"))),
            ),
        ),
        ("RSA n in plain base64", with(rsa_jwk.clone(), "n", json!("+/+/"))),
        (
            "EC point off the curve",
            with(ec_jwk.clone(), "x", json!(base64url(&off))),
        ),
        (
            "EC zero point",
            with(
                with(ec_jwk.clone(), "x", json!(base64url(&[0; 48]))),
                "y",
                json!(base64url(&[0; 48])),
            ),
        ),
        ("EC short x", with(ec_jwk.clone(), "x", json!(base64url(&[1; 47])))),
        ("EC long x", with(ec_jwk.clone(), "x", json!(base64url(&[1; 49])))),
        ("EC no y", with(ec_jwk.clone(), "y", Value::Null)),
        ("EC other curve's name", with(ec_jwk.clone(), "crv", json!("P-256"))),
        ("EC no curve", with(ec_jwk.clone(), "crv", Value::Null)),
        ("alg of another curve", with(ec_jwk.clone(), "alg", json!("ES256"))),
        ("alg of another type", with(ec_jwk.clone(), "alg", json!("RS384"))),
        ("alg of a number", with(ec_jwk.clone(), "alg", json!(1))),
        ("no kty", json!({ "kid": "x" })),
        ("not an object", json!("key")),
        ("key_ops of a text", with(ec_jwk.clone(), "key_ops", json!("verify"))),
    ];
    for (what, jwk) in rows {
        assert!(set(&[good.clone(), jwk]).is_err(), "{what}");
    }
    assert!(set(&[good, ec_jwk, rsa_jwk]).is_ok());
}

#[test]
fn t_a10_what_is_no_set_is_refused() {
    let key = SigningKey::generate(Algorithm::Es384, "k").expect("key").public_jwk();
    let many: Vec<Value> = (0..65)
        .map(|n| with(key.clone(), "kid", json!(n.to_string())))
        .collect();
    let texts = [
        String::new(),
        "{}".into(),
        "[]".into(),
        r#"{"keys":[]}"#.into(),
        r#"{"keys":{}}"#.into(),
        format!(r#"{{"keys":[{key}],"keys":[]}}"#),
        format!("{key}"),
        json!({ "keys": many }).to_string(),
        format!(r#"{{"keys":[{key}],"x":"{}"}}"#, "x".repeat(65_536)),
    ];
    for text in texts {
        assert!(
            KeySet::parse(text.as_bytes()).is_err(),
            "{}",
            &text[..text.len().min(80)]
        );
    }
}

#[test]
fn keys_for_other_purposes_are_passed_over() {
    let key = SigningKey::generate(Algorithm::Es384, "k").expect("key").public_jwk();
    let other = |name: &str, value: Value| with(with(key.clone(), "kid", json!("o")), name, value);
    for passed in [
        other("use", json!("enc")),
        other("key_ops", json!(["encrypt"])),
        other("alg", json!("ECDH-ES")),
        json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA", "kid": "o" }),
        json!({ "kty": "EC", "crv": "P-521", "x": "AAAA", "y": "AAAA", "kid": "o" }),
        json!({ "kty": "EC", "crv": "secp256k1", "x": "AAAA", "y": "AAAA", "kid": "o" }),
    ] {
        let keys = set(&[key.clone(), passed.clone()]).expect("set");
        assert!(keys.find("o").is_none() && keys.find("k").is_some(), "{passed}");
        assert!(set(std::slice::from_ref(&passed)).is_err(), "alone: {passed}");
    }
}

#[test]
fn a_roca_modulus_is_told_from_others() {
    // A number that is 1 modulo every small prime is a power of 65537 modulo each of them, as ROCA moduli are.
    let primes: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
        109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    // 2^2047 times a multiple of the primorial, plus 1, as big-endian bytes: start with 1 in 256 bytes and multiply.
    let mut n = vec![0u8; 256];
    n[255] = 1;
    for _ in 0..9 {
        for prime in primes {
            let mut carry = 0u32;
            let grown: Vec<u8> = n
                .iter()
                .rev()
                .map(|byte| {
                    let product = u32::from(*byte) * prime + carry;
                    carry = product >> 8;
                    (product & 0xff) as u8
                })
                .collect();
            if carry == 0 {
                n = grown.into_iter().rev().collect();
            }
        }
    }
    while n[0] & 0x80 == 0 {
        let mut carry = 0u32;
        let doubled: Vec<u8> = n
            .iter()
            .rev()
            .map(|byte| {
                let sum = u32::from(*byte) * 2 + carry;
                carry = sum >> 8;
                (sum & 0xff) as u8
            })
            .collect();
        n = doubled.into_iter().rev().collect();
    }
    n[255] |= 1; // even before: plus one
    let refused = set(&[json!({ "kty": "RSA", "kid": "r", "e": "AQAB", "n": base64url(&n) })])
        .err()
        .expect("refused");
    assert!(refused.contains("ROCA"), "{refused}");
}

#[test]
fn signing_keys_survive_their_jwk_and_match_their_public_part() {
    for algorithm in Algorithm::ALL {
        let key = made::key(algorithm, "k");
        let again = SigningKey::from_jwk(&key.private_jwk()).expect("private JWK");
        let keys = set(&[key.public_jwk()]).expect("set");
        let signature = again.sign_bytes(b"message").expect("signature");
        let public = keys.find("k").expect("key");
        assert!(public.verify(algorithm, b"message", &signature) && !public.verify(algorithm, b"massage", &signature));
        assert!(SigningKey::from_jwk(&key.public_jwk()).is_err());
    }
}
