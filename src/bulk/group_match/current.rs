//! What the file of a bulk match's result would be if it were written now, read a page of entries at a time in the turn of its partner. It writes
//! nothing.

use super::group::{self, GroupCode, GroupText};
use super::groups::{in_order, page_of, told_pages};
use crate::bulk::looks::MembersLook;
use crate::context::Context;
use crate::error::Failure;
use crate::release::MembersBehind;
use crate::secret::Sha256;
use crate::security::PartnerRef;
use crate::store::Db;
use crate::store::member_groups;
use std::collections::HashSet;
use std::sync::Arc;

/// Looks at all entries of the groups of a run of this partner, in the form of the file of this type.
///
/// # Errors
/// Those of the store.
pub(super) async fn look(
    ctx: &Context,
    partner: &PartnerRef,
    (run, form): (&str, &str),
) -> Result<MembersLook, Failure> {
    let now_ms = ctx.clock.now_ms();
    let (own, ids) = (partner.id.clone(), member_groups::ids_of(run));
    let read = move |db: &mut Db| member_groups::of_run(db, &own, &ids);
    let groups = ctx.store.read_in_turn(&partner.id, read).await?;
    let is_envelope = form == "Parameters";
    let (mut digest, mut grants) = (Sha256::default(), Vec::new());
    for (at, (code, row)) in in_order(groups).into_iter().enumerate() {
        if code == GroupCode::Match {
            let pages = told_pages(ctx, &row, now_ms, &mut HashSet::new()).await?;
            grants.extend(pages.into_iter().flatten().map(|grant| grant.id));
        }
        if is_envelope {
            digest.update(group::before_parameter(at, code).as_bytes());
        }
        let mut text = GroupText::new(row, code);
        while let Some(after) = text.wants() {
            let (npi, payer) = (partner.npi.clone(), Arc::clone(&ctx.payer));
            let read = move |db: &mut Db| {
                let page = page_of(db, text.row(), now_ms, after)?;
                text.take(page, (&npi, &payer), &mut |some| {
                    digest.update(some);
                    Ok(())
                })?;
                Ok((text, digest))
            };
            (text, digest) = ctx.store.read_in_turn(&partner.id, read).await?;
        }
        if !is_envelope {
            digest.update(b"\n");
        }
    }
    if is_envelope {
        digest.update(group::ENDS.as_bytes());
        digest.update(b"\n");
    }
    Ok(MembersLook {
        looked_ms: now_ms,
        behind: MembersBehind::under_grants(grants.into_iter()),
        gone: None,
        sha256: digest.finish().to_vec(),
    })
}
