//! `causeway audit erase-subject`: erases a member from what opens the ledger, and with `--record` from the store.

use super::asker::CommandAsker;
use super::audit::{AuditArgs, AuditCommand};
use super::pages::or_dash;
use crate::context::Context;
use crate::erasure::{self, ErasureReason, ErasureReport, ErasureWish, LegalBasis};
use crate::error::{Failure, Fault};
use crate::ids::is_fhir_id;
use crate::ops::disclosures::DisclosuresAsked;
use crate::ops::viewed::patient;
use crate::terminal::{Exit, Out};

/// How it is called.
pub const EXAMPLES: &str = "Examples:\n  causeway audit erase-subject Patient/p1 --reason member-request --record --dry-run\n  \
    causeway audit erase-subject - --reason member-request --legal-basis state-law --record < number.txt\n\n\
    Give the command again if it was broken off: it finishes what was begun. docs/operators/erasure.md says what goes and what stays.";

/// Erases a member. Waits on this thread.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for a code that is none; those of [`erasure::erase`].
pub fn run(args: &AuditArgs, ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    let AuditCommand::EraseSubject {
        member,
        reason,
        legal_basis,
        record,
        dry_run,
    } = &args.command
    else {
        return Err(Fault::ParameterInvalid.into());
    };
    let codes: Vec<&str> = ErasureReason::ALL.iter().map(|one| one.code()).collect();
    let reason = ErasureReason::parse(reason).ok_or_else(|| unknown("--reason", &codes))?;
    let codes: Vec<&str> = LegalBasis::ALL.iter().map(|one| one.code()).collect();
    let parse = |code: &String| LegalBasis::parse(code).ok_or_else(|| unknown("--legal-basis", &codes));
    let legal_basis = legal_basis.as_ref().map(parse).transpose()?;
    let asked = asker.asked(Some(member), None)?;
    let wish = ErasureWish {
        patient_id: patient_of(ctx, &asked)?,
        reason,
        legal_basis,
        with_record: *record,
        operator: asker.name(),
    };
    if *dry_run {
        asker.show(ctx, "erasure", Some(patient(&wish.patient_id)))?;
    }
    let report = erasure::erase(ctx, &asker.files, &wish, *dry_run)?;
    tell(&report, ctx.store.is_remote(), out);
    Ok(Exit::Done)
}

fn unknown(place: &'static str, codes: &[&str]) -> Failure {
    Failure::new(Fault::ParameterInvalid)
        .at(place)
        .remedy(format!("Give one of {}.", codes.join(", ")))
}

/// The Patient that is asked for; an id that only the ledger knows is one too.
fn patient_of(ctx: &Context, asked: &DisclosuresAsked) -> Result<String, Failure> {
    let found = ctx.store.read_blocking(|db| asked.patient(db, &ctx.payer));
    match (found, &asked.member) {
        (Ok(Some(id)), _) => Ok(id),
        (Err(failure), Some(member)) if failure.fault() == Fault::MemberUnknown => {
            let id = member.strip_prefix("Patient/").unwrap_or(member);
            Some(id.to_owned()).filter(|id| is_fhir_id(id)).ok_or(failure)
        }
        (Err(failure), _) => Err(failure),
        (Ok(None), _) => Err(Fault::MemberUnknown.into()),
    }
}

fn tell(report: &ErasureReport, is_remote: bool, out: &mut Out) {
    if out.json {
        out.value(report);
        return;
    }
    let (done, what) = match (report.dry_run, report.with_record) {
        (true, true) => ("would be erased", "what opens the ledger, and the record"),
        (true, false) => ("would be erased", "what opens the ledger"),
        (false, true) => ("erased", "what opens the ledger, and the record"),
        (false, false) => ("erased", "what opens the ledger; the record is still there"),
    };
    out.line(&format!("{done}: {what}"));
    for (name, count) in &report.counts {
        out.line(&format!("  {count} {}", name.replace('_', " ")));
    }
    if report
        .counts
        .get("plain_correlation_ids")
        .is_some_and(|count| *count > 0)
    {
        out.note(
            "an earlier version wrote correlation ids of partners into the bytes of these entries, which the tree commits to: they stay",
        );
    }
    if let Some(id) = &report.ledger_entry {
        out.line(&format!("ledger entry: {id}"));
    }
    if is_remote {
        out.note("run VACUUM on the database, and see docs/operators/erasure.md for its log and its backups");
    }
    if report.backups.is_empty() {
        return;
    }
    out.line("still in these backups:");
    let cells = |backup: &erasure::KeptBackup| {
        vec![
            backup.made_at.clone(),
            or_dash(backup.expires_at.as_deref()),
            backup.folder.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = report.backups.iter().map(cells).collect();
    out.table(&["MADE", "DELETED BY", "FOLDER"], &rows);
}
