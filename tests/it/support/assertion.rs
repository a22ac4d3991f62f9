//! Client assertions (SMART Backend Services), right by default and wrong on request.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384};
use serde_json::{Map, Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// The signing key of a client.
pub struct ClientKey {
    pair: KeyPair,
    pub kid: String,
}

impl ClientKey {
    pub fn new(kid: &str) -> ClientKey {
        ClientKey {
            pair: KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a key"),
            kid: kid.to_owned(),
        }
    }

    /// The public key set, for registration.
    pub fn jwks(&self) -> Value {
        let point = self.pair.public_key_raw();
        let (x, y) = (&point[1..49], &point[49..97]);
        json!({"keys": [{
            "kty": "EC", "crv": "P-384", "kid": self.kid, "use": "sig", "alg": "ES384", "key_ops": ["verify"],
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }]})
    }

    /// The private key as a JWK: for the client file of a program that signs by itself.
    pub fn private_jwk(&self) -> Value {
        const BEFORE: [u8; 5] = [2, 1, 1, 4, 48];
        let der = self.pair.serialize_der();
        let at = der
            .windows(BEFORE.len())
            .position(|window| window == BEFORE)
            .expect("an EC key in PKCS#8");
        let secret = &der[at + BEFORE.len()..at + BEFORE.len() + 48];
        let mut jwk = self.jwks()["keys"][0].clone();
        jwk["d"] = URL_SAFE_NO_PAD.encode(secret).into();
        jwk
    }

    pub fn pem(&self) -> String {
        self.pair.serialize_pem()
    }

    fn encoding(&self) -> EncodingKey {
        EncodingKey::from_ec_pem(self.pem().as_bytes()).expect("an EC key")
    }
}

pub fn now_s() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs() as i64
}

/// An assertion that may still be changed.
pub struct Assertion {
    pub claims: Map<String, Value>,
    pub header: Header,
}

impl Assertion {
    pub fn of(client_id: &str, audience: &str, kid: &str) -> Assertion {
        let mut header = Header::new(Algorithm::ES384);
        header.kid = Some(kid.to_owned());
        let jti = URL_SAFE_NO_PAD.encode(causeway::secret::random::<16>());
        let claims = json!({"iss": client_id, "sub": client_id, "aud": audience, "exp": now_s() + 240, "jti": jti});
        Assertion {
            claims: claims.as_object().expect("an object").clone(),
            header,
        }
    }

    #[must_use]
    pub fn with(mut self, claim: &str, value: impl Into<Value>) -> Assertion {
        self.claims.insert(claim.to_owned(), value.into());
        self
    }

    pub fn sign(&self, key: &ClientKey) -> String {
        jsonwebtoken::encode(&self.header, &self.claims, &key.encoding()).expect("a signature")
    }

    /// Signed with a shared secret, which no registration allows.
    pub fn sign_hmac(mut self) -> String {
        self.header.alg = Algorithm::HS384;
        jsonwebtoken::encode(&self.header, &self.claims, &EncodingKey::from_secret(b"a guess")).expect("a signature")
    }

    /// Not signed at all: `alg` is `none`.
    pub fn unsigned(&self) -> String {
        let header = json!({"alg": "none", "typ": "JWT", "kid": self.header.kid});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&header), part(&Value::Object(self.claims.clone())))
    }
}
