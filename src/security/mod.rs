//! Who is calling and what they may do: TLS, client certificates, assertions, tokens, scopes.
//!
//! Only this layer can build a [`Caller`]. It knows nothing of members or consent.

pub mod address;
pub mod assertion;
mod authority;
mod caller;
mod certificate;
pub mod dev_pki;
mod discovery;
pub mod form;
mod introspect;
pub mod json;
mod judged_again;
pub mod jwk;
pub mod keyring;
mod oauth;
pub mod operator;
pub mod refusals;
pub mod scopes;
pub mod signing;
#[cfg(test)]
mod tests;
mod throttle;
pub mod tls;
mod token;

pub use authority::Authority;
pub use caller::{Caller, Dialect, PartnerRef};
pub use certificate::PeerCertificate;
pub use discovery::{MEMBER_MATCH, davinci_configuration, jwks, smart_configuration};
pub use introspect::{introspect, revoke};
pub use judged_again::CallerState;
pub use oauth::{OauthRequest, OauthSettings, oauth_error};
pub use operator::{Operator, Role};
pub use refusals::Refusals;
pub use scopes::{Permission, Scopes};
pub use throttle::{Network, Throttle, network};
pub use tls::{ServerTls, TlsFiles};
pub use token::{TokenAnswer, TokenRequest, issue};
