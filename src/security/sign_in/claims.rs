//! From the claims of an id token to a person with roles, by the rules of `[oidc]`. Pure: it judges no token.
//!
//! A value that the configuration does not name gives nothing, and whoever has no other is nobody here.

use crate::config::OidcConfig;
use crate::error::{Failure, Fault};
use crate::security::operator::{Role, Roles, is_name};
use serde_json::Value;

/// The key of the configuration.
const ROLES: &str = "oidc.roles";

/// Which claims count, and what their values mean.
pub(super) struct ClaimRules {
    name_claim: String,
    role_claim: String,
    roles: Vec<(String, Role)>,
}

impl ClaimRules {
    /// Those of the configuration.
    ///
    /// # Errors
    /// [`Fault::ConfigInvalid`] for an item that is not `VALUE=ROLE`.
    pub(super) fn of(config: &OidcConfig) -> Result<ClaimRules, Failure> {
        let mut roles = Vec::new();
        for item in &config.roles {
            // A value may hold an equals sign, as names in directories do.
            let found = item.rsplit_once('=').and_then(|(value, role)| {
                let value = value.trim();
                let role = Role::parse(role.trim())?;
                (!value.is_empty()).then(|| (value.to_owned(), role))
            });
            roles.push(found.ok_or_else(|| {
                let known = Role::ALL.map(Role::name).join(", ");
                Failure::new(Fault::ConfigInvalid).at(ROLES).remedy(format!(
                    "Write each item of {ROLES} as VALUE=ROLE, with one of the roles {known}."
                ))
            })?);
        }
        Ok(ClaimRules {
            name_claim: config.name_claim.clone(),
            role_claim: config.role_claim.clone(),
            roles,
        })
    }

    /// The name of the person; `None` where the claim is missing or can be no operator's name, or is an address of which the provider does not say
    /// that it has verified it: at some providers people choose their address.
    pub(super) fn name(&self, claims: &Value) -> Option<String> {
        let is_address = matches!(self.name_claim.as_str(), "email" | "/email");
        if is_address && claims["email_verified"] != true {
            return None;
        }
        let name = claim(claims, &self.name_claim)?.as_str()?;
        is_name(name).then(|| name.to_owned())
    }

    /// The roles of the person; `None` where no value of the claim has one.
    pub(super) fn roles(&self, claims: &Value) -> Option<Roles> {
        let given: Vec<&str> = match claim(claims, &self.role_claim)? {
            Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
            Value::String(value) => vec![value.as_str()],
            _ => Vec::new(),
        };
        let meant = self.roles.iter().filter(|(value, _)| given.contains(&value.as_str()));
        Roles::of(&meant.map(|(_, role)| *role).collect::<Vec<_>>())
    }
}

/// The claim of this name, or at this JSON Pointer (RFC 6901).
fn claim<'v>(claims: &'v Value, name: &str) -> Option<&'v Value> {
    match name.starts_with('/') {
        true => claims.pointer(name),
        false => claims.get(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules(name_claim: &str, role_claim: &str, roles: &[&str]) -> Result<ClaimRules, Failure> {
        ClaimRules::of(&OidcConfig {
            issuer: "https://login.example".to_owned(),
            client_id: "console".to_owned(),
            client_secret_file: None,
            scopes: Vec::new(),
            name_claim: name_claim.to_owned(),
            role_claim: role_claim.to_owned(),
            roles: roles.iter().map(|item| (*item).to_owned()).collect(),
            provider_ca: Vec::new(),
        })
    }

    #[test]
    fn a_person_has_the_roles_of_the_values_that_the_configuration_names_and_no_other() {
        let listed = ["ops=operator", "ops=reviewer", "CN=audit,OU=x=auditor", "root = admin"];
        for (role_claim, claims, wanted) in [
            ("roles", json!({"roles": "ops"}), Some("operator,reviewer")),
            (
                "roles",
                json!({"roles": ["x", "root", "ops"]}),
                Some("operator,reviewer,admin"),
            ),
            ("roles", json!({"roles": ["CN=audit,OU=x"]}), Some("auditor")),
            (
                "/realm_access/roles",
                json!({"realm_access": {"roles": ["root"]}}),
                Some("admin"),
            ),
            (
                "https://payer.example/roles",
                json!({"https://payer.example/roles": ["root"]}),
                Some("admin"),
            ),
            ("roles", json!({}), None),
            ("roles", json!({"roles": []}), None),
            ("roles", json!({"roles": null}), None),
            ("roles", json!({"roles": 1}), None),
            ("roles", json!({"roles": {"ops": true}}), None),
            (
                "roles",
                json!({"roles": ["Ops", "ops ", "operator", "admin", "ops,root"]}),
                None,
            ),
            ("roles", json!({"roles": "ops root"}), None),
            ("roles", json!({"roles": [["ops"], {"a": "ops"}, 7]}), None),
            ("/roles/0", json!({"roles": "ops"}), None),
        ] {
            let rules = rules("sub", role_claim, &listed).expect("rules");
            let roles = rules.roles(&claims).map(|roles| roles.text());
            assert_eq!(roles.as_deref(), wanted, "{claims}");
        }
    }

    #[test]
    fn a_name_is_one_that_an_operator_can_have() {
        for (name_claim, claims, wanted) in [
            ("sub", json!({"sub": "00u1-x"}), Some("00u1-x")),
            (
                "email",
                json!({"email": "ana@payer.example", "email_verified": true}),
                Some("ana@payer.example"),
            ),
            (
                "/email",
                json!({"email": "ana@payer.example", "email_verified": true}),
                Some("ana@payer.example"),
            ),
            ("email", json!({"email": "ana@payer.example"}), None),
            ("/email", json!({"email": "ana@payer.example"}), None),
            (
                "email",
                json!({"email": "ana@payer.example", "email_verified": "true"}),
                None,
            ),
            (
                "email",
                json!({"email": "ana@payer.example", "email_verified": null}),
                None,
            ),
            (
                "/email",
                json!({"email": "ana@payer.example", "email_verified": false}),
                None,
            ),
            (
                "email",
                json!({"email": "ana@payer.example", "email_verified": false}),
                None,
            ),
            ("sub", json!({"sub": "auth0|7"}), None),
            ("sub", json!({"sub": "<b>ana</b>"}), None),
            ("sub", json!({"sub": ""}), None),
            ("sub", json!({"sub": 7}), None),
            ("upn", json!({"sub": "ana"}), None),
        ] {
            let rules = rules(name_claim, "roles", &["a=admin"]).expect("rules");
            assert_eq!(rules.name(&claims).as_deref(), wanted, "{claims}");
        }
    }

    #[test]
    fn an_item_without_a_value_or_with_an_unknown_role_is_refused() {
        for bad in [
            "ops",
            "=admin",
            " =admin",
            "ops=",
            "ops=king",
            "ops=operator,admin",
            "ops=Admin",
        ] {
            let refused = rules("sub", "roles", &["a=admin", bad]).err().expect(bad);
            assert_eq!(
                (refused.fault(), refused.expressions()),
                (Fault::ConfigInvalid, &[ROLES.to_owned()][..]),
                "{bad}"
            );
        }
    }
}
