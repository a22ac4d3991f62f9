//! Who is calling and what they may do: TLS, client certificates, assertions, tokens, scopes.
//!
//! Only this module can build a [`Caller`]. It knows nothing about members or consent.

pub mod address;
pub mod assertion;
mod authority;
mod caller;
mod certificate;
pub mod console;
pub mod dev_pki;
mod discovery;
pub mod form;
mod introspect;
mod judged_again;
pub mod keyring;
mod oauth;
mod oauth_request;
pub mod operator;
pub mod receipt_keys;
pub mod refusals;
mod scarce;
pub mod scopes;
pub mod secret_file;
pub mod sign_in;
#[cfg(test)]
pub(crate) mod tests;
mod throttle;
pub mod tls;
mod token;
pub mod vault;

pub use authority::{Authority, PartnerStanding};
pub use caller::{Caller, Dialect, JobCaller, PartnerRef};
pub use certificate::PeerCertificate;
pub use discovery::{MEMBER_MATCH, davinci_configuration, jwks, smart_configuration};
pub use introspect::{introspect, revoke};
pub use judged_again::CallerState;
pub use oauth::{OauthSettings, keys_of_partner, oauth_error};
pub use oauth_request::OauthRequest;
pub use operator::{Operator, Role, Roles};
pub use refusals::Refusals;
pub use scopes::{Permission, Scopes};
pub use throttle::{ClientNetwork, Throttle, network};
pub use tls::{ServerTls, TlsFiles};
pub use token::{TokenAnswer, TokenRequest, issue};
