//! Client assertions that must be refused, and the few that must be accepted: one row each.

use super::{NOW_S, TOKEN_URL, claims, made};
use crate::secret::{base64url, hmac_sha256};
use crate::security::assertion::{Assertion, RefusalWord};
use causeway_jose::SigningKey;
use causeway_jose::{Algorithm, KeySet};
use serde_json::{Value, json};

struct Bench {
    key: SigningKey,
    keys: KeySet,
}

impl Bench {
    fn new(algorithm: Algorithm) -> Bench {
        let key = made::key(algorithm, "key-1");
        let keys = KeySet::parse(json!({ "keys": [key.public_jwk()] }).to_string().as_bytes()).expect("set");
        Bench { key, keys }
    }

    fn judge(&self, text: &str) -> Result<(), RefusalWord> {
        let jku = Some("https://new-payer.example/jwks");
        Assertion::parse(text)
            .and_then(|assertion| assertion.verify(&self.keys, jku, TOKEN_URL, NOW_S))
            .map(drop)
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        self.key.sign(header, claims).expect("signature")
    }

    /// Signs exactly these texts, which need not be JSON that this program would write.
    fn signed_text(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
        format!(
            "{signed}.{}",
            base64url(&self.key.sign_bytes(signed.as_bytes()).expect("signature"))
        )
    }
}

fn with(mut value: Value, name: &str, new: Value) -> Value {
    value[name] = new;
    value
}

fn without(mut value: Value, name: &str) -> Value {
    value.as_object_mut().expect("object").shift_remove(name);
    value
}

#[test]
fn t_a08_every_algorithm_of_the_list_is_taken() {
    for algorithm in Algorithm::ALL {
        let bench = Bench::new(algorithm);
        assert_eq!(
            bench.judge(&bench.signed(&bench.key.header(), &claims())),
            Ok(()),
            "{algorithm:?}"
        );
    }
}

#[test]
fn t_a08_the_registered_key_decides_the_algorithm() {
    let benches = Algorithm::ALL.map(Bench::new);
    for bench in &benches {
        for other in [
            "none", "None", "NONE", "", "HS256", "HS384", "HS512", "RS256", "RS512", "PS256", "ES512", "ES256K",
            "EdDSA", "es384", "RS384 ",
        ] {
            let text = bench.signed(&with(bench.key.header(), "alg", json!(other)), &claims());
            assert_eq!(bench.judge(&text), Err("alg"), "{other}");
        }
        for other in Algorithm::ALL
            .into_iter()
            .filter(|other| *other != bench.key.algorithm())
        {
            let text = bench.signed(&with(bench.key.header(), "alg", json!(other.name())), &claims());
            assert_eq!(
                bench.judge(&text),
                Err("alg-of-key"),
                "{other:?} for {:?}",
                bench.key.algorithm()
            );
        }
        let unsigned = format!(
            "{}.{}.",
            base64url(br#"{"alg":"none","typ":"JWT","kid":"key-1"}"#),
            base64url(claims().to_string().as_bytes())
        );
        assert!(bench.judge(&unsigned).is_err());
        // The classic algorithm confusion: an HMAC keyed with the public key.
        let public = bench.key.public_jwk().to_string();
        let signed = format!(
            "{}.{}",
            base64url(br#"{"alg":"HS256","typ":"JWT","kid":"key-1"}"#),
            base64url(claims().to_string().as_bytes())
        );
        assert!(
            bench
                .judge(&format!(
                    "{signed}.{}",
                    base64url(&hmac_sha256(public.as_bytes(), signed.as_bytes()))
                ))
                .is_err()
        );
    }
    let stranger = Bench::new(Algorithm::Es384);
    let text = stranger.signed(&stranger.key.header(), &claims());
    assert_eq!(Bench::new(Algorithm::Es384).judge(&text), Err("signature"));
}

#[test]
fn t_a09_a10_a13_a14_headers_that_are_refused() {
    let bench = Bench::new(Algorithm::Es384);
    let jwk = bench.key.public_jwk();
    let rows: Vec<(&str, Value, RefusalWord)> = vec![
        ("jku", json!("https://evil.example/jwks"), "jku"),
        ("jku", json!("https://new-payer.example/jwks/"), "jku"),
        ("jku", json!("https://NEW-payer.example/jwks"), "jku"),
        ("jku", json!(7), "jku"),
        ("jku", Value::Null, "jku"),
        ("jwk", jwk, "embedded-key"),
        ("x5u", json!("https://evil.example/c.pem"), "embedded-key"),
        ("x5c", json!(["MIIB"]), "embedded-key"),
        ("kid", json!("../../etc/passwd"), "kid-unknown"),
        ("kid", json!("key-1' OR '1'='1"), "kid-unknown"),
        ("kid", json!("key-1\u{0}"), "kid-unknown"),
        ("kid", json!("KEY-1"), "kid-unknown"),
        ("kid", json!("key"), "kid-unknown"),
        ("kid", json!("k".repeat(300)), "kid"),
        ("kid", json!(""), "kid"),
        ("kid", json!(1), "kid"),
        ("kid", Value::Null, "kid"),
        ("typ", json!("at+jwt"), "typ"),
        ("typ", json!("JOSE"), "typ"),
        ("typ", json!(""), "typ"),
        ("typ", json!(["JWT"]), "typ"),
        ("crit", json!(["exp"]), "header-extension"),
        ("crit", json!([]), "header-extension"),
        ("b64", json!(false), "header-extension"),
        ("zip", json!("DEF"), "header-extension"),
        ("enc", json!("A256GCM"), "header-extension"),
        ("cty", json!("JWT"), "header-extension"),
        ("alg", json!(["ES384"]), "alg"),
        ("alg", Value::Null, "alg"),
    ];
    for (name, value, why) in rows {
        let text = bench.signed(&with(bench.key.header(), name, value.clone()), &claims());
        assert_eq!(bench.judge(&text), Err(why), "{name}: {value}");
    }
    for (name, why) in [("kid", "kid"), ("typ", "typ"), ("alg", "alg")] {
        assert_eq!(
            bench.judge(&bench.signed(&without(bench.key.header(), name), &claims())),
            Err(why),
            "no {name}"
        );
    }
    let registered = with(bench.key.header(), "jku", json!("https://new-payer.example/jwks"));
    assert_eq!(bench.judge(&bench.signed(&registered, &claims())), Ok(()));
}

#[test]
fn t_a12_claims_that_are_refused() {
    let bench = Bench::new(Algorithm::Es384);
    let rows: Vec<(&str, Value, RefusalWord)> = vec![
        ("iss", json!("other"), "sub"),
        ("iss", json!(""), "iss"),
        ("iss", json!(["new-payer"]), "iss"),
        ("iss", Value::Null, "iss"),
        ("sub", json!("other"), "sub"),
        ("sub", json!("new-payer "), "sub"),
        ("sub", Value::Null, "sub"),
        ("aud", json!("https://payer.example/oauth/token/"), "aud"),
        ("aud", json!("https://payer.example/oauth"), "aud"),
        ("aud", json!("https://PAYER.example/oauth/token"), "aud"),
        ("aud", json!("http://payer.example/oauth/token"), "aud"),
        ("aud", json!("https://payer.example/fhir"), "aud"),
        ("aud", json!("https://other.example/oauth/token"), "aud"),
        ("aud", json!(""), "aud"),
        ("aud", json!([]), "aud"),
        ("aud", json!([TOKEN_URL, "https://other.example"]), "aud"),
        ("aud", json!([TOKEN_URL, TOKEN_URL]), "aud"),
        ("aud", json!([[TOKEN_URL]]), "aud"),
        ("aud", json!({ "url": TOKEN_URL }), "aud"),
        ("aud", Value::Null, "aud"),
        ("exp", json!(NOW_S - 31), "expired"),
        ("exp", json!(NOW_S - 30), "expired"),
        ("exp", json!(0), "expired"),
        ("exp", json!(-1), "exp"),
        ("exp", json!(NOW_S + 331), "exp-too-far"),
        ("exp", json!(NOW_S + 86_400), "exp-too-far"),
        ("exp", json!(NOW_S * 1000), "exp-too-far"),
        ("exp", json!(i64::MAX), "exp-too-far"),
        ("exp", json!((NOW_S + 60).to_string()), "exp"),
        ("exp", json!(true), "exp"),
        ("exp", json!([NOW_S + 60]), "exp"),
        ("exp", Value::Null, "exp"),
        ("exp", json!(-0.5), "exp"),
        ("exp", json!(NOW_S as f64 - 30.5), "expired"),
        ("exp", json!(NOW_S as f64 + 330.5), "exp-too-far"),
        ("iat", json!(NOW_S + 31), "iat"),
        ("iat", json!(NOW_S as f64 + 30.5), "iat"),
        ("iat", json!(-1), "iat"),
        ("iat", json!("now"), "iat"),
        ("iat", Value::Null, "iat"),
        ("nbf", json!(NOW_S + 31), "nbf"),
        ("nbf", json!("soon"), "nbf"),
        ("jti", json!(""), "jti"),
        ("jti", json!("j".repeat(129)), "jti"),
        ("jti", json!(7), "jti"),
        ("jti", json!(["j"]), "jti"),
        ("jti", Value::Null, "jti"),
    ];
    for (name, value, why) in rows {
        let text = bench.signed(&bench.key.header(), &with(claims(), name, value.clone()));
        assert_eq!(bench.judge(&text), Err(why), "{name}: {value}");
    }
    for name in ["iss", "sub", "aud", "exp", "jti"] {
        assert_eq!(
            bench.judge(&bench.signed(&bench.key.header(), &without(claims(), name))),
            Err(name),
            "no {name}"
        );
    }
    for (exp, why) in [
        ("1.8e9", "exp-too-far"),
        ("1e400", "exp"),
        ("-1e400", "exp"),
        ("1e308", "exp-too-far"),
        ("1e-400", "expired"),
        ("99999999999999999999", "exp-too-far"),
        ("-0.0", "exp"),
        ("-1e-9", "exp"),
    ] {
        let text = claims().to_string().replace(&(NOW_S + 240).to_string(), exp);
        assert_eq!(
            bench.judge(&bench.signed_text(&bench.key.header().to_string(), &text)),
            Err(why),
            "{exp}"
        );
    }
}

#[test]
fn t_a12_claims_that_are_taken() {
    let bench = Bench::new(Algorithm::Es384);
    for (name, value) in [
        ("aud", json!([TOKEN_URL])),
        ("exp", json!(NOW_S - 29)),
        ("exp", json!(NOW_S + 1)),
        // A fraction of a second is a valid number (RFC 7519 section 2).
        ("exp", json!(NOW_S as f64 + 60.5)),
        ("exp", json!(NOW_S as f64 + 329.999)),
        ("exp", json!(NOW_S as f64 - 29.5)),
        ("iat", json!(NOW_S as f64 - 0.25)),
        ("nbf", json!(NOW_S as f64 + 29.75)),
        ("iat", json!(NOW_S + 30)),
        // SMART compares `exp` with the clock; when the assertion was made does not matter.
        ("iat", json!(NOW_S - 61)),
        ("iat", json!(NOW_S - 86_400)),
        ("iat", json!(0)),
        ("nbf", json!(NOW_S + 30)),
        ("jti", json!("j".repeat(128))),
        ("extensions", json!({ "other": 1 })),
    ] {
        let taken = with(
            without(claims(), if name == "exp" { "iat" } else { "" }),
            name,
            value.clone(),
        );
        assert_eq!(
            bench.judge(&bench.signed(&bench.key.header(), &taken)),
            Ok(()),
            "{name}: {value}"
        );
    }
    assert_eq!(
        bench.judge(&bench.signed(&bench.key.header(), &without(claims(), "iat"))),
        Ok(())
    );
    // A client whose clock is ten seconds ahead is not refused.
    let ahead = with(with(claims(), "iat", json!(NOW_S + 10)), "exp", json!(NOW_S + 310));
    assert_eq!(bench.judge(&bench.signed(&bench.key.header(), &ahead)), Ok(()));
}

#[test]
fn t_a12_an_id_is_remembered_to_the_end_of_a_fraction() {
    let bench = Bench::new(Algorithm::Es384);
    for (exp, expires_s) in [
        ("1798761660", NOW_S + 60),
        ("1798761660.0", NOW_S + 60),
        ("1798761660.001", NOW_S + 61),
    ] {
        let text = claims().to_string().replace(&(NOW_S + 240).to_string(), exp);
        let signed = bench.signed_text(&bench.key.header().to_string(), &text);
        let verified = Assertion::parse(&signed)
            .and_then(|assertion| assertion.verify(&bench.keys, None, TOKEN_URL, NOW_S))
            .expect(exp);
        assert_eq!(verified.expires_s, expires_s, "{exp}");
    }
}

#[test]
fn t_a13_forms_that_are_refused() {
    let bench = Bench::new(Algorithm::Es384);
    let good = bench.signed(&bench.key.header(), &claims());
    let parts: Vec<&str> = good.split('.').collect();
    let (header, body, signature) = (parts[0], parts[1], parts[2]);
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let rows = [
        String::new(),
        "a".into(),
        "..".into(),
        format!("{header}.{body}"),
        format!("{header}.{body}."),
        format!(".{body}.{signature}"),
        format!("{header}..{signature}"),
        format!("{good}.{signature}"),
        format!("{good}="),
        format!("{good} "),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{header}=.{body}.{signature}"),
        format!("{header}.{body}.{flipped}{}", &signature[1..]),
        format!("{header}.{body}.{}", &signature[..signature.len() - 4]),
        format!("{header}.{body}.{signature}AAAA"),
        format!(
            "{header}.{}.{signature}",
            base64url(with(claims(), "jti", json!("other")).to_string().as_bytes())
        ),
        format!(
            "{}.{body}.{signature}",
            base64url(bench.key.header().to_string().replace(':', ": ").as_bytes())
        ),
        good.replace('.', "+"),
        "x".repeat(20_000),
        json!({ "payload": body, "signatures": [{ "protected": header, "signature": signature }] }).to_string(),
        format!("{header}.{body}.{signature}.{signature}.{signature}"),
    ];
    for text in rows {
        assert!(bench.judge(&text).is_err(), "{text}");
    }
    let header = bench.key.header().to_string();
    let body = claims().to_string();
    let double = |text: &str, member: &str| format!("{},{member}}}", &text[..text.len() - 1]);
    for (header, body) in [
        (double(&header, r#""alg":"ES384""#), body.clone()),
        (double(&header, r#""\u0061lg":"none""#), body.clone()),
        (double(&header, r#""kid":"key-1""#), body.clone()),
        (header.clone(), double(&body, r#""sub":"new-payer""#)),
        (header.clone(), double(&body, r#""exp":9999999999"#)),
        (header.clone(), double(&body, r#""x":{"a":1,"a":2}"#)),
        (format!("{header} x"), body.clone()),
        (header.clone(), format!("\u{feff}{body}")),
        (header.clone(), format!("[{body}]")),
        ("null".into(), body.clone()),
        (header.clone(), "\"text\"".into()),
    ] {
        assert!(
            bench.judge(&bench.signed_text(&header, &body)).is_err(),
            "{header} {body}"
        );
    }
    // ECDSA signatures in DER form, and all zeros.
    let signed = &good[..good.rfind('.').expect("dot")];
    for signature in [vec![0u8; 96], vec![0xff; 96], [vec![0x30, 0x64], vec![1; 100]].concat()] {
        assert!(bench.judge(&format!("{signed}.{}", base64url(&signature))).is_err());
    }
}
