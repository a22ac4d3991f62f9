//! Compact JWS and the strict JSON in it against inputs without end: never a panic, nothing read in two ways, and no signature that holds
//! for another text.

use super::made;
use crate::fuzz_tests::run;
use crate::secret::{base64url, from_base64url};
use crate::security::assertion::Assertion;
use causeway_jose::{Algorithm, KeySet, strict_object};
use serde_json::{Value, json};

const HEADER: &str = r#"{"alg":"ES384","kid":"key-1","typ":"JWT"}"#;
const CLAIMS: &str =
    r#"{"iss":"new-payer","sub":"new-payer","aud":"https://payer.example/oauth/token","exp":1798761700,"jti":"j-1"}"#;

#[rustfmt::skip]
const WORDS: &[&str] = &[
    ".", "..", "=", "-", "_", "A", "AA", "{", "}", "[", "]", ",", ":", "\"", "\\u0061", "null", "true", "1e400", "\n", " ", "\"alg\":\"none\"",
    "\"alg\":\"ES384\"", "\"alg\":\"HS256\"", "\"kid\":\"key-1\"", "\"typ\":\"JWT\"", "\"jku\":\"https://x/\"", "\"crit\":[]", "\"x5c\":[]",
    "\"iss\":\"new-payer\"", "\"iss\":1", "\"a\":{\"a\":{\"a\":", "\"exp\":1.5", "\0", "é",
];

/// Parts as they were read: each re-encodes to the text it came from, and says for serde_json what the parser says it says.
fn assert_reads_equal(text: &str, read: &Assertion<'_>) {
    let parts: Vec<&str> = text.split('.').collect();
    assert_eq!(parts.len(), 3, "what is taken has three parts");
    let decoded = parts.iter().map(|part| {
        let bytes = from_base64url(part).expect("what is taken is base64url");
        assert_eq!(base64url(&bytes), *part, "two texts for the same bytes");
        bytes
    });
    let decoded: Vec<Vec<u8>> = decoded.collect();
    let header: Value = serde_json::from_slice(&decoded[0]).expect("the header is JSON");
    let claims: Value = serde_json::from_slice(&decoded[1]).expect("the claims are JSON");
    assert_eq!(header["alg"], json!(read.algorithm.name()));
    assert_eq!(header["kid"], json!(read.kid));
    assert_eq!(header["typ"], json!("JWT"));
    assert_eq!(claims["iss"], json!(read.client_id));
    for name in ["crit", "b64", "zip", "enc", "cty", "jwk", "x5u", "x5c"] {
        assert!(header.get(name).is_none(), "{name} is taken");
    }
}

#[test]
fn a_compact_jws_is_refused_or_read_in_one_way_and_signed_for_its_own_text_only() {
    let key = made::key(Algorithm::Es384, "key-1");
    let keys = KeySet::parse(json!({ "keys": [key.public_jwk()] }).to_string().as_bytes()).expect("a key set");
    let own = key
        .assertion("new-payer", "https://payer.example/oauth/token", 1_798_761_600, "j-1")
        .expect("an assertion");
    let made = [HEADER, CLAIMS, "signature"]
        .map(|part| base64url(part.as_bytes()))
        .join(".");
    let corpus: [&[u8]; 5] = [own.as_bytes(), made.as_bytes(), b"a.b.c", b"..", b""];
    run("jws", &corpus, WORDS, |input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return "not-utf8".to_owned();
        };
        match Assertion::parse(text) {
            Ok(read) => {
                assert_reads_equal(text, &read);
                let signed = keys.find(&read.kid).is_some_and(|key| read.is_signed_by(key));
                assert!(!signed || text == own, "a signature that holds for another text");
                format!("taken, signed: {signed}")
            }
            Err(why) => why.to_owned(),
        }
    });
}

/// The same with header and claims changed before they are encoded: lines of the input.
#[test]
fn headers_and_claims_of_any_kind_are_refused_or_read_in_one_way() {
    let corpus = [
        format!("{HEADER}\n{CLAIMS}\nsignature"),
        format!(
            "{{\"typ\":\"JWT\",\"alg\":\"RS384\",\"kid\":\"é\",\"jku\":\"https://x/jwks\",\"x\":[1,{{}}]}}\n{CLAIMS}\ns"
        ),
    ];
    let corpus: Vec<&[u8]> = corpus.iter().map(|text| text.as_bytes()).collect();
    run("jws-json", &corpus, WORDS, |input| {
        let parts: Vec<String> = input.splitn(3, |byte| *byte == b'\n').map(base64url).collect();
        let text = parts.join(".");
        match Assertion::parse(&text) {
            Ok(read) => {
                assert_reads_equal(&text, &read);
                format!("taken {} {}", read.algorithm.name(), read.jku.is_some())
            }
            Err(why) => why.to_owned(),
        }
    });
}

/// Strict JSON takes nothing that serde_json reads otherwise, and no object in which a member stands twice.
#[test]
fn strict_json_is_read_as_serde_json_reads_it_and_never_with_a_member_twice() {
    let corpus: [&[u8]; 4] = [
        HEADER.as_bytes(),
        CLAIMS.as_bytes(),
        br#" {"a":[{"b":1},{"b":2}],"c":{"d":{}},"e":[],"f":1.50,"g":"\u0041\ud83d\ude00"} "#,
        br#"{"a":1,"\u0061":2}"#,
    ];
    run("strict-json", &corpus, WORDS, |input| {
        let plain = serde_json::from_slice::<Value>(input);
        let Some(object) = strict_object(input) else {
            return format!("refused {}", plain.is_ok());
        };
        let plain = plain.expect("what is taken is JSON");
        assert_eq!(Value::Object(object.clone()), plain);
        if let Some((name, value)) = object.iter().next() {
            let text = std::str::from_utf8(input).expect("UTF-8");
            let end = text.rfind('}').expect("an object ends");
            let twice = format!("{},{}:{value}}}", &text[..end], json!(name));
            assert_eq!(strict_object(twice.as_bytes()), None, "{twice}");
        }
        format!("taken {}", object.len().min(20))
    });
}
