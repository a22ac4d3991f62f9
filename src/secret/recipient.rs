//! Sealing for one recipient, by the recipient's public RSA key: CMS with AES-256-GCM (RFC 5083, RFC 5084), under a key that only the recipient
//! can open (RSAES-OAEP with SHA-256, RFC 3560). Standard tools open it.
//!
//! It opens nothing, and never has a private key.

use super::{random, seal, sha256};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// Bytes of the nonce of AES-GCM.
const NONCE: usize = 12;
/// Bytes of its authentication tag.
const TAG: usize = 16;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OCTETS: u8 = 0x04;
/// The implicit or primitive `[0]`.
const FIRST: u8 = 0x80;
/// The explicit or constructed `[0]` and `[1]`.
const INNER: [u8; 2] = [0xa0, 0xa1];

/// INTEGER 0, 2 and 16.
const ZERO: &[u8] = &[0x02, 0x01, 0x00];
const TWO: &[u8] = &[0x02, 0x01, 0x02];
const SIXTEEN: &[u8] = &[0x02, 0x01, 0x10];
const NULL: &[u8] = &[0x05, 0x00];
/// `id-ct-authEnvelopedData`, 1.2.840.113549.1.9.16.1.23.
const AUTH_ENVELOPED: &[u8] = &[
    0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x17,
];
/// `id-data`, 1.2.840.113549.1.7.1.
const DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// `id-RSAES-OAEP`, 1.2.840.113549.1.1.7.
const OAEP: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07];
/// `id-mgf1`, 1.2.840.113549.1.1.8.
const MGF1: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
/// `id-sha256`, 2.16.840.1.101.3.4.2.1.
const SHA_256: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
/// `id-aes256-GCM`, 2.16.840.1.101.3.4.1.46.
const AES_256_GCM: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2e];

/// The public key of a recipient.
pub struct RecipientKey {
    key: OaepPublicEncryptingKey,
    sha256: [u8; 32],
}

impl fmt::Debug for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecipientKey(…)")
    }
}

impl RecipientKey {
    /// Reads a public RSA key of 2,048 to 8,192 bits in its PEM form (`BEGIN PUBLIC KEY`, RFC 7468 section 13); `None` for anything else.
    pub fn from_pem(text: &str) -> Option<RecipientKey> {
        let (_, rest) = text.split_once(BEGIN)?;
        let (body, _) = rest.split_once(END)?;
        let body: String = body.split_ascii_whitespace().collect();
        let der = STANDARD.decode(body).ok()?;
        let key = PublicEncryptingKey::from_der(&der).ok()?;
        Some(RecipientKey {
            key: OaepPublicEncryptingKey::new(key).ok()?,
            sha256: sha256(&der),
        })
    }

    /// SHA-256 of the key as it stands in the PEM text (`SubjectPublicKeyInfo`, DER): by it the recipient tells that the key is the right one.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Seals `bytes` so that only the holder of the private key opens them: a CMS `ContentInfo` in DER. `None` when the library refuses, which it
    /// does not in practice.
    pub fn seal(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let content_key: [u8; 32] = random();
        let mut wrapped = vec![0; self.key.ciphertext_size()];
        let wrapped: &[u8] = self
            .key
            .encrypt(&OAEP_SHA256_MGF1SHA256, &content_key, &mut wrapped, None)
            .ok()?;
        let sealed = seal(&content_key, &[], bytes)?;
        let (nonce, rest) = sealed.split_at_checked(NONCE)?;
        let (text, tag) = rest.split_at_checked(rest.len().checked_sub(TAG)?)?;
        // The name of the key in the message (RFC 7093, section 2, method 4).
        let key_id = self.sha256.get(..20)?;

        let sha = element(SEQUENCE, &[SHA_256, NULL]);
        let mask = element(SEQUENCE, &[MGF1, &sha]);
        let terms = element(SEQUENCE, &[&element(INNER[0], &[&sha]), &element(INNER[1], &[&mask])]);
        let recipient = element(
            SEQUENCE,
            &[
                TWO,
                &element(FIRST, &[key_id]),
                &element(SEQUENCE, &[OAEP, &terms]),
                &element(OCTETS, &[wrapped]),
            ],
        );
        let gcm = element(SEQUENCE, &[&element(OCTETS, &[nonce]), SIXTEEN]);
        let content = element(
            SEQUENCE,
            &[DATA, &element(SEQUENCE, &[AES_256_GCM, &gcm]), &element(FIRST, &[text])],
        );
        let enveloped = element(
            SEQUENCE,
            &[ZERO, &element(SET, &[&recipient]), &content, &element(OCTETS, &[tag])],
        );
        Some(element(SEQUENCE, &[AUTH_ENVELOPED, &element(INNER[0], &[&enveloped])]))
    }
}

/// An element in DER: the tag, the length and the parts of the value.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 10);
    out.push(tag);
    match u8::try_from(length) {
        Ok(short @ 0..0x80) => out.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            let count = u8::try_from(bytes.len() - zeros).unwrap_or(8);
            out.push(0x80 | count);
            out.extend_from_slice(&bytes[zeros..]);
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
    use aws_lc_rs::rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey};

    /// The tag and the value of the first element, and what follows it.
    fn first(bytes: &[u8]) -> (u8, &[u8], &[u8]) {
        let (tag, short) = (bytes[0], usize::from(bytes[1]));
        let (length, begins) = match short {
            0..0x80 => (short, 2),
            _ => {
                let count = short - 0x80;
                let length = bytes[2..2 + count]
                    .iter()
                    .fold(0, |sum, byte| sum * 256 + usize::from(*byte));
                (length, 2 + count)
            }
        };
        (tag, &bytes[begins..begins + length], &bytes[begins + length..])
    }

    fn made() -> (PrivateDecryptingKey, String) {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).expect("a key");
        let der: PublicKeyX509Der<'_> = private.public_key().as_der().expect("a key");
        let pem = format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(der.as_ref()));
        (private, pem)
    }

    #[test]
    fn only_the_private_key_opens_what_was_sealed_for_its_recipient() {
        let (private, pem) = made();
        let key = RecipientKey::from_pem(&pem).expect("a key");
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let bytes = vec![7; length];
            let sealed = key.seal(&bytes).expect("sealed");
            let (_, info, rest) = first(&sealed);
            assert!(rest.is_empty());
            assert!(info.starts_with(AUTH_ENVELOPED), "{length}");
            let (tag, outer, _) = first(&info[AUTH_ENVELOPED.len()..]);
            assert_eq!(tag, INNER[0]);
            let (_, enveloped, _) = first(outer);
            let (tag, recipients, rest) = first(&enveloped[ZERO.len()..]);
            assert_eq!(tag, SET);
            let (_, content, rest) = first(rest);
            let (_, code, _) = first(rest);
            let (_, recipient, _) = first(recipients);
            let (_, key_id, rest) = first(&recipient[TWO.len()..]);
            assert_eq!(key_id, &key.sha256()[..20]);
            let (_, terms, rest) = first(rest);
            assert!(terms.starts_with(OAEP));
            let (_, wrapped, _) = first(rest);
            let (_, algorithm, rest) = first(&content[DATA.len()..]);
            let (_, gcm, _) = first(&algorithm[AES_256_GCM.len()..]);
            let (_, nonce, _) = first(gcm);
            let (_, text, _) = first(rest);

            let opening = OaepPrivateDecryptingKey::new(private.clone()).expect("a key");
            let mut content_key = vec![0; opening.min_output_size()];
            let content_key = opening
                .decrypt(&OAEP_SHA256_MGF1SHA256, wrapped, &mut content_key, None)
                .expect("opened");
            let content_key: [u8; 32] = (&*content_key).try_into().expect("a key of 32 bytes");
            let all = [nonce, text, code].concat();
            assert_eq!(super::super::open(&content_key, &[], &all), Some(bytes), "{length}");
        }
    }

    #[test]
    fn what_is_no_public_rsa_key_is_refused() {
        let (_, pem) = made();
        assert!(RecipientKey::from_pem(&pem.replace('\n', "\r\n")).is_some());
        for wrong in [
            "",
            "ssh-rsa AAAA",
            &pem.replace("PUBLIC", "PRIVATE"),
            &pem.replace("MII", "MIJ"),
            &pem[..pem.len() / 2],
            // A key for Ed25519.
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n",
        ] {
            assert!(RecipientKey::from_pem(wrong).is_none(), "{wrong}");
        }
    }
}
