//! Signing in to the console by OpenID Connect: the authorization code flow with PKCE, state and nonce, from the address at the identity provider
//! to a person with roles.
//!
//! It begins no session (`security::console` does) and keeps no token of the provider. A sign-in belongs to one browser, is taken once, and ends
//! after ten minutes; it is a row, so that any process of a store may end what another began.

mod claims;
mod handle;
mod provider;
mod settings;
mod token;

pub use handle::SignInHandle;

use super::console::session_hash;
use super::operator::Roles;
use crate::config::Config;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::secret::same;
use crate::store::sign_ins::{self, SignInRow};
use claims::ClaimRules;
use provider::IdentityProvider;
use settings::ProviderSettings;

/// How long a sign-in may take, in milliseconds.
pub const SIGN_IN_MS: i64 = 10 * 60_000;
/// Most sign-ins that are stored. Nobody needs a right to begin one, so a further one is not refused, which would lock everybody out: the oldest
/// gives way.
const OPEN_MOST: i64 = 1_000;

/// The identity provider of this server, and what its values mean here.
pub struct ConsoleSignIn {
    provider: IdentityProvider,
    rules: ClaimRules,
}

/// A sign-in that a browser has just begun.
pub struct BegunSignIn {
    /// Where the browser goes.
    pub url: String,
    /// What its cookie holds.
    pub handle: SignInHandle,
}

/// What the provider lets the browser bring back, each empty where it is missing. It has no `Debug`: code and state are for no log.
#[derive(Clone, Copy)]
pub struct SignInAnswer<'a> {
    /// The code that we exchange for a token.
    pub code: &'a str,
    /// The state that we gave.
    pub state: &'a str,
    /// Who answers (RFC 9207).
    pub issuer: &'a str,
    /// Why there is no code.
    pub error: &'a str,
}

/// Somebody of whom the provider says who it is.
#[derive(Clone, Debug)]
pub struct SignedInPerson {
    /// The name, as entries have it.
    pub name: String,
    /// What the person may do.
    pub roles: Roles,
    /// The path of the page to which the sign-in leads.
    pub place: String,
    /// The hash of the session that the browser had before.
    pub session_before: Option<[u8; 32]>,
}

/// Why somebody is not let in.
#[derive(Debug)]
pub struct SignInRefusal {
    /// The reason.
    pub failure: Failure,
    /// The name of the person, where the provider has told it.
    pub name: Option<String>,
}

impl From<Failure> for SignInRefusal {
    fn from(failure: Failure) -> SignInRefusal {
        SignInRefusal { failure, name: None }
    }
}

impl ConsoleSignIn {
    /// The one of the configuration, if it names a provider. Reads files, and asks nobody.
    ///
    /// # Errors
    /// [`Fault::ConfigInvalid`], naming the key.
    pub fn of(config: &Config) -> Result<Option<ConsoleSignIn>, Failure> {
        let Some(oidc) = &config.oidc else { return Ok(None) };
        let settings = ProviderSettings::of(oidc, config)?;
        Ok(Some(ConsoleSignIn {
            provider: IdentityProvider::new(settings),
            rules: ClaimRules::of(oidc)?,
        }))
    }

    /// The host of the provider, for people.
    pub fn host(&self) -> &str {
        self.provider.host()
    }

    /// Where a person ends the session at the provider, if it is known without asking.
    pub fn end_address(&self) -> Option<String> {
        self.provider.end_address()
    }

    /// Begins a sign-in that comes back to `redirect` and leads to `place`. `session`: what the cookie of the session holds that the browser has.
    ///
    /// # Errors
    /// [`Fault::SignInProvider`]; those of the store.
    pub async fn begin(
        &self,
        ctx: &Context,
        (redirect, place): (&str, &str),
        session: Option<&[u8; 32]>,
    ) -> Result<BegunSignIn, Failure> {
        let handle = SignInHandle::new();
        let url = self
            .provider
            .authorization(&handle, redirect, ctx.clock.now_ms())
            .await?;
        let (hash, lasting_ms) = (handle.hash(), ctx.clock.lasting_ms());
        let row = SignInRow {
            session_before: session.map(|session| session_hash(session).to_vec()),
            place: place.to_owned(),
            expires_ms: lasting_ms + SIGN_IN_MS,
        };
        ctx.store
            .reserved()
            .write(move |db| {
                sign_ins::make_room(db, OPEN_MOST)?;
                sign_ins::insert(db, &hash, &row)
            })
            .await?;
        Ok(BegunSignIn { url, handle })
    }

    /// Who it is that comes back to `redirect` with this answer, in the browser whose cookie holds `handle`.
    ///
    /// # Errors
    /// [`Fault::SignInUnfit`] for an answer that is not of this browser, was used, is too late, or has no code or no token that fits;
    /// [`Fault::SignInNoRole`]; [`Fault::SignInProvider`]; those of the store.
    pub async fn finish(
        &self,
        ctx: &Context,
        redirect: &str,
        answer: SignInAnswer<'_>,
        handle: &SignInHandle,
    ) -> Result<SignedInPerson, SignInRefusal> {
        if !same(answer.state.as_bytes(), handle.state().as_bytes()) {
            return Err(unfit("the state is not of this browser").into());
        }
        let row = taken(ctx, handle).await?;
        if !answer.issuer.is_empty() && answer.issuer != self.provider.issuer() {
            return Err(unfit("the answer is of another issuer").into());
        }
        if !answer.error.is_empty() || answer.code.is_empty() {
            return Err(unfit("the provider gives no code")
                .remedy("The identity provider did not let you in. Begin again, or ask whoever runs the provider.")
                .into());
        }
        let now_ms = ctx.clock.now_ms();
        let claims = self.provider.claims(answer.code, handle, redirect, now_ms).await?;
        let Some(name) = self.rules.name(&claims) else {
            return Err(unfit("the claim of oidc.name_claim is no name")
                .remedy("Ask whoever runs this server to name another claim in oidc.name_claim: it has to be a name of 1 to 64 letters, digits, hyphens, dots, underscores and at signs, or an address that is verified.")
                .into());
        };
        let Some(roles) = self.rules.roles(&claims) else {
            return Err(SignInRefusal {
                failure: Fault::SignInNoRole.into(),
                name: Some(name),
            });
        };
        Ok(SignedInPerson {
            name,
            roles,
            place: row.place,
            session_before: row.session_before.and_then(|hash| hash.try_into().ok()),
        })
    }
}

/// Takes the sign-in of this handle: nobody ends it a second time.
async fn taken(ctx: &Context, handle: &SignInHandle) -> Result<SignInRow, Failure> {
    let (hash, lasting_ms) = (handle.hash(), ctx.clock.lasting_ms());
    // Whoever makes a handle up takes no turn among the writes.
    let known = ctx.store.read(move |db| sign_ins::find(db, &hash)).await?;
    let mut row = None;
    if known.is_some() {
        row = ctx.store.reserved().write(move |db| sign_ins::take(db, &hash)).await?;
    }
    row.filter(|row| row.expires_ms > lasting_ms)
        .ok_or_else(|| unfit("the sign-in was used, is too late, or never was"))
}

fn unfit(why: &'static str) -> Failure {
    Failure::new(Fault::SignInUnfit).because(why)
}
