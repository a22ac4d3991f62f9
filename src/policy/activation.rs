//! Acts on versions: putting one in force for everyone or for named partners, now or at a time; approving, withdrawing and going back.
//!
//! An act is one transaction with its ledger entries: one entry, or one for each named partner. With four eyes an act waits until a second
//! operator approves it. Going back one step needs no second person, because the version to which it leads was approved in that scope
//! before; but going back to other periods of retention does, because what a shorter one deletes does not come back. No row is ever deleted.
//! These functions block their thread.

use super::hand::{Acted, PolicyHand, entry};
use super::kind::{KindScope, KindTable, PolicyKind, row_of};
use super::standing::PolicyStandings;
use super::versions::{Version, find_in};
use crate::audit::{Action, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::store::activations::{self, ActivationRow, EVERYONE};
use crate::store::{Db, partners, policies};

/// Longest time ahead for which a version may be scheduled, milliseconds.
const AHEAD_MOST_MS: i64 = 366 * 86_400_000;
/// Partners that one act may name.
const PARTNERS_MOST: usize = 100;

/// For whom, and from when on.
#[derive(Clone, Debug, Default)]
pub struct ActivationWish {
    /// The partners; empty for everyone.
    pub partners: Vec<String>,
    /// From when on, UTC milliseconds; `None` for at once.
    pub at_ms: Option<i64>,
}

/// What an act led to.
#[derive(Clone, Debug)]
pub struct Activated {
    /// Id of the act: that of its first ledger entry.
    pub act_id: String,
    /// The version, as it stands after the act.
    pub version: Version,
    /// The partners that were named; empty for everyone.
    pub partners: Vec<String>,
    /// From when on it decides, UTC milliseconds.
    pub effective_ms: i64,
    /// Whether it waits for a second person.
    pub waits: bool,
}

/// Puts a version in force; later decisions cite it.
///
/// # Errors
/// [`Fault::PolicyUnknown`]; [`Fault::PolicyFixed`] for a kind whose rules are code; [`Fault::PolicyInvalid`] for partners or a time that the
/// kind does not take; [`Fault::PartnerUnknown`]; those of the store.
pub fn activate(
    ctx: &Context,
    table: KindTable,
    (kind, wanted): (Option<PolicyKind>, &str),
    wish: &ActivationWish,
    hand: &PolicyHand,
) -> Result<Activated, Failure> {
    let version = ctx.store.read_blocking(|db| find_in(ctx, table, db, kind, wanted))?;
    put_in_force(ctx, table, version, wish, hand)
}

/// The same for a version whose text is given, which is stored with the act.
///
/// # Errors
/// As [`activate`].
pub(super) fn put_in_force(
    ctx: &Context,
    table: KindTable,
    version: Version,
    wish: &ActivationWish,
    hand: &PolicyHand,
) -> Result<Activated, Failure> {
    may_change(table, version.kind)?;
    let partners = scopes(version.kind, &wish.partners)?;
    let now_ms = ctx.clock.now_ms();
    let effective_ms = wish.at_ms.unwrap_or(now_ms);
    if !(now_ms..=now_ms + AHEAD_MOST_MS).contains(&effective_ms) {
        return Err(Failure::new(Fault::PolicyInvalid)
            .at("--at")
            .remedy("Give a time that lies ahead, at most a year."));
    }
    let waits = ctx.policy_four_eyes;
    let action = match waits {
        true => Action::PolicyProposed,
        false => Action::PolicyActivated,
    };
    let act = Act {
        action,
        version,
        partners,
        now_ms,
        effective_ms,
        approved_ms: (!waits).then_some(now_ms),
    };
    act.write(ctx, table, hand)
}

/// Goes back to the version that would decide in a scope without the act that decides there now.
///
/// # Errors
/// [`Fault::ActivationUnknown`] when nothing was activated there; as [`activate`].
pub fn roll_back(
    ctx: &Context,
    table: KindTable,
    kind: PolicyKind,
    named: &[String],
    hand: &PolicyHand,
) -> Result<Activated, Failure> {
    may_change(table, kind)?;
    let partners = scopes(kind, named)?;
    let now_ms = ctx.clock.now_ms();
    let version = ctx.store.read_blocking(|db| {
        let standings = PolicyStandings::read(ctx, table, db, kind)?;
        let mut before: Vec<Option<String>> = partners.iter().map(|partner| standings.before(partner)).collect();
        before.dedup();
        match before.as_slice() {
            [Some(id)] => find_in(ctx, table, db, Some(kind), id),
            [None] => Err(Failure::new(Fault::ActivationUnknown)
                .remedy("Nothing was put in force there, so there is nothing to go back to.")),
            _ => Err(Failure::new(Fault::PolicyInvalid)
                .at("--partner")
                .remedy("Other versions decided for these partners before: go back for one partner at a time.")),
        }
    })?;
    let waits = ctx.policy_four_eyes && kind == PolicyKind::Retention;
    let act = Act {
        action: match waits {
            true => Action::PolicyProposed,
            false => Action::PolicyRolledBack,
        },
        version,
        partners,
        now_ms,
        effective_ms: now_ms,
        approved_ms: (!waits).then_some(now_ms),
    };
    act.write(ctx, table, hand)
}

/// Approves an act that waits for a second person.
///
/// # Errors
/// [`Fault::ActivationUnknown`]; [`Fault::PolicySecondNeeded`] for whoever asked for it; those of the store.
pub fn approve(ctx: &Context, table: KindTable, act_id: &str, hand: &PolicyHand) -> Result<Activated, Failure> {
    let known = known(ctx, table, act_id)?;
    if !known.waits {
        return Err(Failure::new(Fault::ActivationUnknown).remedy("This act waits for nobody."));
    }
    let first = ctx.store.read_blocking(|db| activations::operator_of(db, act_id))?;
    if first.is_none_or(|first| is_same_person(&first, &hand.note.operator)) {
        return Err(Fault::PolicySecondNeeded.into());
    }
    let at_us = ctx.clock.now_us();
    let now_ms = at_us / 1000;
    let effective_ms = known.effective_ms.max(now_ms);
    let (entries, act_id) = (
        entries(
            ctx,
            Action::PolicyApproved,
            &known.version.acted(),
            &known.partners,
            effective_ms,
            hand,
        ),
        act_id.to_owned(),
    );
    let (kind, id) = (known.version.kind, known.version.id.clone());
    let for_all = known.partners.is_empty() && effective_ms <= now_ms;
    let own = act_id.clone();
    let mut holds = hand.hold(ctx);
    ctx.store.write_blocking(move |db| {
        holds(db)?;
        let approval_id = entries.first().map(|(id, _)| id.as_str()).unwrap_or_default();
        if !activations::approve(db, &act_id, approval_id, now_ms, effective_ms)? {
            return Err(Fault::ActivationUnknown.into());
        }
        if for_all {
            policies::end_shadow_of(db, kind.code(), &id)?;
        }
        entries
            .iter()
            .try_for_each(|(id, entry)| ledger::append(db, entry, id, at_us))
    })?;
    self::known(ctx, table, &own)
}

/// Withdraws an act that does not decide yet.
///
/// # Errors
/// [`Fault::ActivationUnknown`]; those of the store.
pub fn withdraw(ctx: &Context, table: KindTable, act_id: &str, hand: &PolicyHand) -> Result<Activated, Failure> {
    let known = known(ctx, table, act_id)?;
    let at_us = ctx.clock.now_us();
    let entries = entries(
        ctx,
        Action::PolicyWithdrawn,
        &known.version.acted(),
        &known.partners,
        known.effective_ms,
        hand,
    );
    let own = act_id.to_owned();
    let mut holds = hand.hold(ctx);
    ctx.store.write_blocking(move |db| {
        holds(db)?;
        if !activations::withdraw(db, &own, at_us / 1000)? {
            return Err(Failure::new(Fault::ActivationUnknown)
                .remedy("The act decides already, or was withdrawn: go back with `causeway policy rollback`."));
        }
        entries
            .iter()
            .try_for_each(|(id, entry)| ledger::append(db, entry, id, at_us))
    })?;
    Ok(known)
}

/// An act with this id, as it stands.
fn known(ctx: &Context, table: KindTable, act_id: &str) -> Result<Activated, Failure> {
    ctx.store.read_blocking(|db| {
        let rows = activations::of_act(db, act_id)?;
        let Some(first) = rows.first() else {
            return Err(Fault::ActivationUnknown.into());
        };
        let damaged = || Failure::new(Fault::StoreDamaged).because("an activation of an unknown kind");
        let kind = PolicyKind::parse(&first.kind).ok_or_else(damaged)?;
        let named = rows.iter().map(|row| row.partner_id.clone());
        Ok(Activated {
            act_id: act_id.to_owned(),
            version: find_in(ctx, table, db, Some(kind), &first.version_id)?,
            partners: named.filter(|partner| partner != EVERYONE).collect(),
            effective_ms: first.effective_ms,
            waits: first.approved_ms.is_none() && first.withdrawn_ms.is_none(),
        })
    })
}

/// Whether another version of this kind may be put in force.
fn may_change(table: KindTable, kind: PolicyKind) -> Result<(), Failure> {
    match row_of(table, kind) {
        Some(row) if row.check.is_none() => Err(Fault::PolicyFixed.into()),
        Some(row) if !row.is_used => Err(Failure::new(Fault::PolicyFixed)
            .remedy("Nothing in this program decides by this kind yet, so that no version of it can be put in force.")),
        _ => Ok(()),
    }
}

/// The scopes that an act names: the partners in their order, or everyone.
fn scopes(kind: PolicyKind, named: &[String]) -> Result<Vec<String>, Failure> {
    let refuse = |remedy: &'static str| Failure::new(Fault::PolicyInvalid).at("--partner").remedy(remedy);
    match (kind.scope(), named.is_empty()) {
        (KindScope::Store, false) => {
            return Err(refuse(
                "This kind holds for the store as a whole: leave the partners out.",
            ));
        }
        (KindScope::NamedPartners, true) => {
            return Err(refuse(
                "Name the partners: what holds for the others is in their registration.",
            ));
        }
        _ => {}
    }
    if named.len() > PARTNERS_MOST {
        return Err(refuse("Name at most 100 partners in one act."));
    }
    if named.is_empty() {
        return Ok(vec![EVERYONE.to_owned()]);
    }
    let mut partners = named.to_vec();
    partners.sort_unstable();
    partners.dedup();
    Ok(partners)
}

/// An act that is about to be written.
struct Act {
    action: Action,
    version: Version,
    partners: Vec<String>,
    now_ms: i64,
    effective_ms: i64,
    approved_ms: Option<i64>,
}

impl Act {
    fn write(self, ctx: &Context, table: KindTable, hand: &PolicyHand) -> Result<Activated, Failure> {
        let named: Vec<String> = self.partners.iter().filter(|one| *one != EVERYONE).cloned().collect();
        let entries = entries(ctx, self.action, &self.version.acted(), &named, self.effective_ms, hand);
        let act_id = entries.first().map(|(id, _)| id.clone()).unwrap_or_default();
        let (own, at_us, inner) = (act_id.clone(), ctx.clock.now_us(), ctx.clone());
        let row = self.version.row(self.now_ms);
        let for_all = named.is_empty() && self.approved_ms.is_some() && self.effective_ms <= self.now_ms;
        let mut holds = hand.hold(ctx);
        ctx.store.write_blocking(move |db| {
            holds(db)?;
            policies::insert(db, &row)?;
            let rows = self.rows(&inner, table, db, &own)?;
            activations::add(db, &rows)?;
            if for_all {
                policies::end_shadow_of(db, &row.kind, &row.id)?;
            }
            entries
                .iter()
                .try_for_each(|(id, entry)| ledger::append(db, entry, id, at_us))
        })?;
        known(ctx, table, &act_id)
    }

    fn rows(&self, ctx: &Context, table: KindTable, db: &mut Db, act_id: &str) -> Result<Vec<ActivationRow>, Failure> {
        let kind = self.version.kind;
        let standings = PolicyStandings::read(ctx, table, db, kind)?;
        let mut rows = Vec::with_capacity(self.partners.len());
        for partner in &self.partners {
            if partner != EVERYONE && partners::by_id(db, partner)?.is_none() {
                return Err(Fault::PartnerUnknown.into());
            }
            // A version that ships is stored with the first act that leads away from it, so that the record of the act can name it.
            let before_id = standings.decides(partner).map(|(id, _)| id);
            if let Some(id) = &before_id
                && policies::find(db, id)?.is_none()
            {
                let before = find_in(ctx, table, db, Some(kind), id)?;
                policies::insert(db, &before.row(self.now_ms))?;
            }
            rows.push(ActivationRow {
                act_id: act_id.to_owned(),
                partner_id: partner.clone(),
                kind: kind.code().to_owned(),
                version_id: self.version.id.clone(),
                before_id,
                asked_ms: self.now_ms,
                effective_ms: self.effective_ms,
                approved_ms: self.approved_ms,
                approval_id: None,
                withdrawn_ms: None,
            });
        }
        Ok(rows)
    }
}

/// The entries of an act with their ids: one, or one for each named partner.
fn entries(
    ctx: &Context,
    action: Action,
    about: &Acted,
    named: &[String],
    effective_ms: i64,
    hand: &PolicyHand,
) -> Vec<(String, crate::audit::LedgerEvent)> {
    let now_ms = ctx.clock.now_ms();
    let one = |partner: Option<&String>| {
        let mut entry = entry(ctx, action, about, hand);
        entry.partner = partner.cloned();
        if let Ok(effective_ms) = u64::try_from(effective_ms) {
            entry.counts.insert("effective_ms".to_owned(), effective_ms);
        }
        (ctx.ids.new_id(now_ms), entry)
    };
    match named {
        [] => vec![one(None)],
        named => named.iter().map(|partner| one(Some(partner))).collect(),
    }
}

/// Whether two names of operators are of one person, as far as they tell: the same name of their own (what stands behind the user of the host, if
/// that does) whatever its case and spaces, or the same user of this host unless both gave an id of their own.
pub fn is_same_person(first: &str, second: &str) -> bool {
    let fold = |name: &str| name.split_whitespace().collect::<String>().to_lowercase();
    let (first, second) = (fold(first), fold(second));
    let own = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let (host_user, id) = (
        |name: &str| name.split('/').next().unwrap_or_default().to_owned(),
        |name: &str| name.contains('/'),
    );
    own(&first) == own(&second) || (host_user(&first) == host_user(&second) && !(id(&first) && id(&second)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_under_two_names_is_one_person_as_far_as_names_tell() {
        for (first, second, same) in [
            ("uid-1000/ana", "uid-1000/bo", false),
            ("uid-1000/ana", "uid-1000/ANA", true),
            ("uid-1000", "uid-1000/bo", true),
            ("uid-1000", "uid-1000", true),
            ("uid-1000", "uid-1001", false),
            ("Ana", "ana ", true),
            ("ana", "uid-1000/ana", true),
            ("bo", "uid-1000/ana", false),
        ] {
            assert_eq!(is_same_person(first, second), same, "{first} {second}");
        }
    }

    #[test]
    fn scopes_follow_the_kind() {
        let p = vec!["p".to_owned(), "o".to_owned(), "p".to_owned()];
        assert_eq!(scopes(PolicyKind::Retry, &[]).expect("everyone"), [EVERYONE]);
        assert_eq!(scopes(PolicyKind::Retry, &p).expect("two"), ["o", "p"]);
        assert!(scopes(PolicyKind::Survivorship, &p).is_err());
        assert!(scopes(PolicyKind::Dialects, &[]).is_err());
    }
}
