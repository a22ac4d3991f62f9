//! The business row that an entry of the ledger must have, and what the entry must say. The function takes an entry and says what is wrong.

use super::found::{CommitmentOpens, EntryRead};
use super::matched;
use super::row_entries::Untold;
use super::told::{RowOfEntry, action, row_of};
use crate::audit::Action;
use crate::error::{Failure, Fault};
use crate::keeping::{DataKind, Periods};
use crate::review::act_digest;
use crate::secret::hex;
use crate::store::control_rows::{self, RowKind};
use crate::store::{
    Db, bulk, consents, disclosed, ends, exchanges, ledger_tree, links, opt_ins, partners, policies, reviews,
};

/// Age after which a disclosure must have its end in the ledger, microseconds. Ends that were lost are written within minutes.
const ENDED_US: i64 = 24 * 3_600_000_000;

/// What is wrong with an entry at `now_us` (UTC microseconds): it contradicts its own columns, has no place in the tree, or its row is not
/// there or is not what it says. A row whose time is over by these periods may be gone.
pub(super) fn wrong(db: &mut Db, id: &str, periods: &Periods, now_us: i64) -> Untold {
    let Some((row, exchange_id)) = control_rows::entry(db, id)? else {
        return says("it is gone");
    };
    let entry = EntryRead::of(row)?;
    if let Some(what) = entry.contradiction(exchange_id.as_deref()) {
        return Ok(Some(format!("its column for the {what} is not what its bytes say")));
    }
    if !has_place(db, id)? {
        return says("it has no place in the tree, and entries after it have");
    }
    let Some(action) = action(&entry.row.action) else {
        return says("its action is not known to this version of the program");
    };
    match row_of(action) {
        RowOfEntry::Stays(kind) if may_be_gone(&entry, kind, periods, now_us) => Ok(None),
        RowOfEntry::Stays(kind) => without_row(db, &entry, action, kind, exchange_id.as_deref()),
        RowOfEntry::Goes(kind) => gone_too_soon(db, &entry, kind),
        RowOfEntry::None(_) => match action {
            Action::DisclosureBegun => disclosure(db, &entry, periods, now_us),
            Action::DisclosureCompleted => disclosure_end(db, &entry),
            _ => Ok(None),
        },
    }
}

fn says(why: &str) -> Untold {
    Ok(Some(why.to_owned()))
}

/// Whether the entry has a place in the tree, or is too young for one.
fn has_place(db: &mut Db, id: &str) -> Result<bool, Failure> {
    let Some(log) = ledger_tree::log(db)? else {
        return Ok(true);
    };
    let settled = ledger_tree::tree(db, log.no)?.settled;
    Ok(id > settled.as_str() || ledger_tree::index_of(db, log.no, id)?.is_some())
}

fn lacks(is_there: bool, what: &str) -> Untold {
    Ok((!is_there).then(|| format!("its {what} is gone")))
}

/// Whether nothing can be said of the row any more: an erasure took it with what opens the entry, or the row's time may be over. No row's time
/// begins before its entry.
fn may_be_gone(entry: &EntryRead, kind: RowKind, periods: &Periods, now_us: i64) -> bool {
    let kept = match kind {
        RowKind::Decision => DataKind::Decisions,
        RowKind::Exchange | RowKind::OptIn => DataKind::Exchanges,
        RowKind::Consent | RowKind::Grant => DataKind::Consents,
        RowKind::Review => DataKind::Reviews,
        _ => return entry.row.salt.is_none(),
    };
    let before_ms = periods.before_ms(kept, now_us / 1000);
    entry.row.salt.is_none() || before_ms > Some(entry.row.at_us / 1000)
}

fn without_row(db: &mut Db, entry: &EntryRead, action: Action, kind: RowKind, exchange_id: Option<&str>) -> Untold {
    match (kind, exchange_id) {
        (RowKind::Decision, _) => return decision(db, entry, action),
        (RowKind::Exchange, Some(id)) => return lacks(exchanges::find(db, id)?.is_some(), "exchange"),
        _ => {}
    }
    // Where it was erased what the entry is about, only the salted commitment is left.
    let Some(subject) = entry.row.subject.clone() else {
        return Ok(None);
    };
    match kind {
        RowKind::Consent => {
            let row = consents::find(db, &subject)?;
            match (row, action) {
                (None, _) => lacks(false, "consent"),
                (Some(row), Action::ConsentRevoked) if row.revoked_ms.is_none() => {
                    says("it says that a consent was revoked, and the consent is not")
                }
                _ => Ok(None),
            }
        }
        RowKind::Grant => match consents::grant(db, &subject)? {
            None => lacks(false, "grant"),
            Some(row) => Ok(row
                .revoked_ms
                .is_none()
                .then(|| "it says that a grant was ended, and the grant is not".to_owned())),
        },
        RowKind::Review => review(db, entry, action, &subject),
        RowKind::LinkStep => lacks(is_there(links::find(db, &subject), Fault::LinkUnknown)?, "link"),
        RowKind::OptIn => opt_in(db, entry, action, &subject),
        RowKind::Partner => lacks(partners::by_id(db, &subject)?.is_some(), "partner"),
        RowKind::PolicyVersion => lacks(policies::find(db, &subject)?.is_some(), "policy version"),
        RowKind::Exchange => says("it belongs to no exchange"),
        RowKind::Entry | RowKind::Decision | RowKind::BulkJob | RowKind::Acknowledgement | RowKind::DisclosedFile => {
            Ok(None)
        }
    }
}

/// Whether something was found, where not finding it is this fault.
fn is_there<T>(found: Result<T, Failure>, unknown: Fault) -> Result<bool, Failure> {
    match found {
        Ok(_) => Ok(true),
        Err(failure) if failure.fault() == unknown => Ok(false),
        Err(failure) => Err(failure),
    }
}

fn decision(db: &mut Db, entry: &EntryRead, action: Action) -> Untold {
    let ids = entry.row.ids();
    if action == Action::MatchBegun {
        if entry.text("/outcome/reason") == Some("replayed") {
            return Ok(None);
        }
        let all = matched::entries_of(db, &ids)?;
        return match all.iter().any(matched::tells_decision) {
            true => Ok(None),
            false => says("its request has no decision in the ledger"),
        };
    }
    if !matched::tells_decision(entry) {
        return Ok(None);
    }
    let decisions = control_rows::decisions(db, &ids)?;
    let is_told = decisions.iter().any(|row| matched::difference(entry, row).is_none());
    match (is_told, decisions.as_slice()) {
        (true, _) => Ok(None),
        (false, []) => lacks(false, "decision"),
        (false, [only]) => Ok(Some(format!(
            "the decision {} has another {} than it says",
            only.id,
            matched::difference(entry, only).unwrap_or("content")
        ))),
        (false, _) => says("none of the decisions of its request is what it says"),
    }
}

fn review(db: &mut Db, entry: &EntryRead, action: Action, id: &str) -> Untold {
    if !is_there(reviews::find(db, id), Fault::ReviewUnknown)? {
        return lacks(false, "review");
    }
    if action == Action::ReviewOpened {
        return Ok(None);
    }
    let digest = entry.text("/req_digest").unwrap_or_default().to_owned();
    let acts = reviews::acts(db, id)?;
    lacks(
        // An act without a reason was about a member who was erased.
        acts.iter()
            .any(|act| act.reason.is_empty() || hex(&act_digest(act)) == digest),
        "act, as it was done,",
    )
}

fn opt_in(db: &mut Db, entry: &EntryRead, action: Action, member: &str) -> Untold {
    let all = opt_ins::of_member(db, member)?;
    let own = all.iter().find(|row| entry.is_under(&row.id) != CommitmentOpens::No);
    match own {
        None => lacks(false, "opt-in"),
        Some(row) if action == Action::OptInRevoked && row.revoked_ms.is_none() => {
            says("it says that an opt-in was revoked, and the opt-in is not")
        }
        Some(_) => Ok(None),
    }
}

/// A row that may be gone: what is still there must be the entry's own.
fn gone_too_soon(db: &mut Db, entry: &EntryRead, kind: RowKind) -> Untold {
    let (RowKind::BulkJob, Some(id)) = (kind, entry.row.subject.as_deref()) else {
        return Ok(None);
    };
    let row = bulk::find(db, id)?;
    let is_same = row.is_none_or(|row| entry.text("/partner") == Some(row.partner_id.as_str()));
    Ok((!is_same).then(|| "its bulk job is another partner's".to_owned()))
}

fn disclosure(db: &mut Db, entry: &EntryRead, periods: &Periods, now_us: i64) -> Untold {
    if entry.row.salt.is_none() {
        // Its end is found by what it is about, which was taken out.
        return Ok(None);
    }
    let kind = entry.text("/object/kind").unwrap_or_default().to_owned();
    if let (Some(subject), Some(partner)) = (entry.row.subject.clone(), entry.row.partner_id.clone()) {
        if entry.text("/members/root").is_some() {
            let Some(file) = disclosed::file(db, &subject)? else {
                return lacks(false, "file of many members");
            };
            if entry.text("/members/root") != Some(hex(&file.root).as_str()) {
                return says("the members of its file are not those that it commits to");
            }
        } else if kind == "Patient" && !may_be_gone(entry, RowKind::Consent, periods, now_us) {
            let known = control_rows::consents_of(db, &partner, &subject)?;
            if !known
                .iter()
                .any(|consent| entry.is_under(consent) != CommitmentOpens::No)
            {
                return lacks(false, "consent");
            }
        }
    }
    let is_old = entry.row.at_us < now_us - ENDED_US;
    if is_old && !ends::ended(db, std::slice::from_ref(&entry.row))?.contains(&entry.row.id) {
        return says("it says that a disclosure began, and the ledger has no end of it");
    }
    Ok(None)
}

fn disclosure_end(db: &mut Db, entry: &EntryRead) -> Untold {
    let Some(begun) = entry.text("/begun") else {
        return says("it does not say which disclosure it ends");
    };
    match control_rows::entry(db, begun)? {
        Some((row, _)) if row.action == Action::DisclosureBegun.code() && row.partner_id == entry.row.partner_id => {
            Ok(None)
        }
        _ => says("the disclosure that it ends did not begin"),
    }
}
