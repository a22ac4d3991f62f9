//! The partner of a development server that a person may act as.

use crate::security::PeerCertificate;
use causeway_jose::SigningKey;

/// The development partner, with what it takes to be it.
pub struct ActingPartner {
    /// Its client id.
    pub client_id: String,
    /// Its signing key.
    pub key: SigningKey,
    /// Its client certificate.
    pub certificate: PeerCertificate,
}
