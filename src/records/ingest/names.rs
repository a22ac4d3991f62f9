//! The ids that resources of a partner get here: derived from partner, member, type and the partner's id under a secret of the store. So the
//! same resource always has the same id, references can be rewritten before what they mean has come, and nobody outside can choose an id.
//! What comes for one member has no name by which it could mean what came for another one (threats E06).

use super::super::compartment::{self, OwnerRule};
use crate::context::Context;
use crate::error::Failure;
use crate::secret::{Mac, hex};
use crate::store::release_rule::RECEIVED;
use crate::store::secrets;

/// The name of the secret.
const SECRET: &str = "received-names";

/// Makes the ids of what one partner sends for one member.
#[derive(Clone, Debug)]
pub struct Names {
    mac: Mac,
    partner_id: String,
    member_id: String,
}

impl Names {
    /// Opens the names of a partner for the member with this Patient id; makes the secret when there is none. Blocks this thread.
    ///
    /// # Errors
    /// Those of the store.
    pub fn open(ctx: &Context, partner_id: &str, member_id: &str) -> Result<Names, Failure> {
        // Read first: each step of an exchange opens them, and a write transaction would be made durable each time.
        let key = match ctx.store.read_blocking(|db| secrets::find(db, SECRET))? {
            Some(key) => key,
            None => ctx.store.write_blocking(|db| secrets::get_or_make(db, SECRET))?,
        };
        Ok(Names {
            mac: Mac::new(&key),
            partner_id: partner_id.to_owned(),
            member_id: member_id.to_owned(),
        })
    }

    /// The id here of the partner's resource `rtype/id`. What belongs to nobody has one for all members.
    pub fn id(&self, rtype: &str, id: &str) -> String {
        let is_shared = matches!(compartment::kind(rtype), Some(OwnerRule::Shared));
        let member = if is_shared { "" } else { self.member_id.as_str() };
        self.derived(&["resource", member, rtype, id])
    }

    /// The id of a Provenance that this server makes for what came at this place of an exchange.
    pub fn custodian_id(&self, exchange_id: &str, page: i64, entry: i64) -> String {
        self.derived(&["custodian", exchange_id, &page.to_string(), &entry.to_string()])
    }

    fn derived(&self, parts: &[&str]) -> String {
        let mut text = self.partner_id.clone();
        for part in parts {
            text.push('\n');
            text.push_str(part);
        }
        format!("{RECEIVED}{}", hex(&self.mac.first_16(text.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::is_fhir_id;
    use crate::store::release_rule::is_received;

    #[test]
    fn t_e06_ids_are_of_one_partner_one_member_one_type_and_one_id() {
        let of_member = |key: u8, partner: &str, member: &str| Names {
            mac: Mac::new(&[key; 32]),
            partner_id: partner.into(),
            member_id: member.into(),
        };
        let names = |key: u8, partner: &str| of_member(key, partner, "m");
        let one = names(1, "a");
        let id = one.id("Goal", "1");
        assert!(is_fhir_id(&id) && is_received(&id), "{id}");
        assert_eq!(id, names(1, "a").id("Goal", "1"));
        let others = [
            one.id("Goal", "2"),
            one.id("Group", "1"),
            names(1, "b").id("Goal", "1"),
            names(2, "a").id("Goal", "1"),
            of_member(1, "a", "n").id("Goal", "1"),
            one.custodian_id("Goal", 1, 1),
        ];
        assert!(others.iter().all(|other| *other != id));
        let organization = |member: &str| of_member(1, "a", member).id("Organization", "1");
        assert_eq!(organization("m"), organization("n"), "it belongs to no member");
        for own in ["px.", "px.1", "p1", &"px.".repeat(12), &format!("{id}0")] {
            assert!(!is_received(own), "{own}");
        }
    }
}
