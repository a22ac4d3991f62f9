//! `causeway audit packet`: asks for an evidence packet and waits for it; and `audit verify` of one, without a store.

use super::asker::{CommandAsker, HOST};
use super::audit_keys::text_of;
use super::look::LookArgs;
use super::short;
use crate::audit::cosignature::WitnessKey;
use crate::audit::note::{Checkpoint, LogKey};
use crate::audit::packet::check::{PacketVerdict, verify_packet};
use crate::audit::shares::SharesVerdict;
use crate::audit::verify::LedgerResult;
use crate::audit::{Object, OperatorNote};
use crate::consent::WithdrawnBy;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::evidence::asks;
use crate::evidence::scope::PacketAsked;
use crate::ops::packets::PacketItem;
use crate::secret::hex;
use crate::secret::recipient::RecipientKey;
use crate::store::beginnings::IdKind;
use crate::store::evidence::{PacketRow, WAITING};
use crate::telemetry::Correlation;
use crate::terminal::{Exit, Out};
use clap::{ArgGroup, Args};
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time between two looks at a packet that waits.
const LOOK: Duration = Duration::from_millis(200);

/// What a packet is asked for.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway audit packet EXCHANGE --reason \"an audit\" --out packet.tar\n  \
    causeway audit packet --correlation ID --reason \"an audit\" --out packet.tar\n  \
    causeway audit packet --member Patient/p1 --reason \"an audit\" --out packet.tar\n  \
    causeway audit packet --from 2026-11-01 --to 2026-11-30 --reason \"an audit\" --out november.tar\n  \
    causeway audit packet --case \"Complaint 7\" --reason \"an audit\" --out case.tar"
)]
#[command(group = ArgGroup::new("about").required(true).args(["exchange", "correlation", "member", "from", "case"]))]
pub struct AuditPacketArgs {
    /// Id of an exchange, ours or theirs, or the beginning of it
    pub exchange: Option<String>,
    /// All that happened under this correlation id
    #[arg(long, value_name = "ID")]
    pub correlation: Option<String>,
    /// All that is about this member: `Patient/ID`, an id, or - for a member number on standard input
    #[arg(long)]
    pub member: Option<String>,
    /// All that happened from this date (in the payer's time zone) or RFC 3339 instant on
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// With --from: until the end of this date, or before this instant; now if it is left out
    #[arg(long, value_name = "TIME", requires = "from")]
    pub to: Option<String>,
    /// What this case has, by its id or name
    #[arg(long, value_name = "CASE")]
    pub case: Option<String>,
    /// Make it at this checkpoint of the log, not at the newest one
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Open the personal values behind the commitments of the entries: ids of members, correlation ids, operators and their reasons
    #[arg(long)]
    pub with_phi: bool,
    /// Write the packet to this file, which is not there yet; waits until it is made
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// With --out: seal the file by the public RSA key in this one, so that only the recipient opens it
    #[arg(long = "for", value_name = "FILE", requires = "out")]
    pub recipient: Option<PathBuf>,
    /// Wait until it is made
    #[arg(long)]
    pub wait: bool,
    /// Longest time to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub within: u64,
    /// Why, and who.
    #[command(flatten)]
    pub look: LookArgs,
}

/// Asks for a packet. Waits on this thread.
///
/// # Errors
/// [`Fault::ParameterInvalid`] without a reason; those of [`PacketAsked::scope`]; [`Fault::PacketNotMade`] when it was not made in time; the fault for which it cannot be made; those of the store.
pub fn run(
    args: &AuditPacketArgs,
    ctx: &Context,
    cwd: &Path,
    asker: &CommandAsker,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let note = args.look.demanded(asker)?;
    let member = asker.asked(args.member.as_deref(), None)?;
    let exchange = match &args.exchange {
        Some(id) => Some(short::meant_of(ctx, &[IdKind::Exchange, IdKind::Decision], id)?),
        None => None,
    };
    let checkpoint = args.checkpoint.as_deref().map(|path| text_of(&cwd.join(path)));
    let asked = PacketAsked {
        exchange,
        correlation: args.correlation.clone(),
        member: member.member,
        member_number: member.member_number,
        from: args.from.clone(),
        to: args.to.clone(),
        case: args.case.clone(),
        checkpoint: checkpoint.transpose()?,
        with_phi: args.with_phi,
        reason: note.reason.clone(),
    };
    let recipient = args.recipient.as_deref().map(|path| recipient_of(&cwd.join(path)));
    let recipient = recipient.transpose()?;
    let file = args.out.as_deref().map(|path| cwd.join(path));
    if let Some(file) = file.as_deref().filter(|file| file.exists()) {
        return Err(unwritable(file, std::io::ErrorKind::AlreadyExists.into()));
    }
    let correlation = Correlation::internal(ctx.ids.new_id(ctx.clock.now_ms()));
    let by = WithdrawnBy::new(note.operator.clone(), HOST, &note.reason, correlation)?;
    let id = ctx.store.write_blocking(asks::ask(ctx, asked, by))?;
    ctx.bell.ring();
    let waits = args.wait || file.is_some();
    let mut row = ctx.store.read_blocking(|db| asks::find(db, &id))?;
    let until = Instant::now() + Duration::from_secs(args.within);
    while waits && row.state == WAITING && Instant::now() < until {
        std::thread::sleep(LOOK);
        row = ctx.store.read_blocking(|db| asks::find(db, &id))?;
    }
    match waits {
        true => fetch(ctx, asker, (row, note), &PacketTarget { file, recipient }, out),
        false => {
            let remedy = format!("fetch it with `causeway evidence get {id} --out FILE --reason WHY`");
            show(row, &PacketTarget::default(), out);
            out.note(&remedy);
            Ok(Exit::Done)
        }
    }
}

/// Where a packet is written, and for whom.
#[derive(Debug, Default)]
pub(super) struct PacketTarget {
    /// The file, if it is written at all.
    pub(super) file: Option<PathBuf>,
    /// Whose public key it is sealed by; none leaves it as it is.
    pub(super) recipient: Option<RecipientKey>,
}

/// The public key in a file, by which a packet is sealed.
///
/// # Errors
/// [`Fault::InputUnreadable`]; [`Fault::ParameterInvalid`] for what is no public RSA key of 2,048 bits or more.
pub(super) fn recipient_of(path: &Path) -> Result<RecipientKey, Failure> {
    let text = text_of(path)?;
    RecipientKey::from_pem(&text).ok_or_else(|| {
        let remedy = match text.contains("PRIVATE KEY") {
            true => "This is a private key. Ask the recipient for the public one (BEGIN PUBLIC KEY), and do not keep this file.",
            false => "Give a file with a public RSA key of 2,048 to 8,192 bits in PEM form (BEGIN PUBLIC KEY).",
        };
        Failure::new(Fault::ParameterInvalid).at("--for").remedy(remedy)
    })
}

/// Writes a packet that was made into a file, if one is named, sealed for its recipient, if there is one, and tells of it. The note is kept of who
/// takes it, and why.
///
/// # Errors
/// Those of [`asks::content`] and [`asks::demand_second`]; [`Fault::InputUnreadable`] for a file that is there or cannot be written.
pub(super) fn fetch(
    ctx: &Context,
    asker: &CommandAsker,
    (row, note): (PacketRow, OperatorNote),
    target: &PacketTarget,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let object = Object {
        kind: "EvidencePacket",
        id: row.id.clone(),
    };
    let bytes = ctx.store.read_blocking(|db| asks::content(db, &row, &ctx.member_keys));
    let bytes = bytes.map_err(|failure| match failure.fault() {
        Fault::PacketNotMade => failure.because(format!("packet {} waits", row.id)),
        _ => failure,
    })?;
    if let Some(file) = &target.file {
        asks::demand_second(ctx, &row, &note.operator)?;
        let shown = (asks::look_at(&row), Some(object));
        let bytes = match &target.recipient {
            Some(key) => {
                asker.show_sealed(ctx, note, shown, key.sha256())?;
                key.seal(&bytes).ok_or(Fault::Internal)?
            }
            None => {
                asker.show_to(ctx, note, shown.0, shown.1)?;
                bytes
            }
        };
        let write = || {
            let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
            made.write_all(&bytes)?;
            made.sync_all()
        };
        write().map_err(|error| unwritable(file, error))?;
    }
    show(row, target, out);
    Ok(Exit::Done)
}

fn unwritable(file: &Path, error: std::io::Error) -> Failure {
    Failure::new(Fault::InputUnreadable)
        .at(file.display().to_string())
        .remedy("Name a file that is not there yet, in a folder that can be written.")
        .because(error)
}

fn show(row: PacketRow, target: &PacketTarget, out: &mut Out) {
    let item = PacketItem::of(row);
    let sealed_for = target.recipient.as_ref().map(|key| hex(key.sha256()));
    if out.json {
        let mut value = json!(item);
        if let Some(file) = &target.file {
            value["file"] = json!(file.display().to_string());
        }
        if let Some(digest) = &sealed_for {
            value["sealed_for"] = json!(digest);
        }
        out.value(&value);
        return;
    }
    let Some(digest) = &item.sha256 else {
        out.line(&format!("packet {} of {}: {}", item.id, item.kind, item.state));
        return;
    };
    let (entries, size) = (item.entries.unwrap_or(0), item.checkpoint.unwrap_or(0));
    out.line(&format!(
        "packet {} of {}: {entries} entries, proved by a checkpoint of {size}; SHA-256 {digest}",
        item.id, item.kind
    ));
    if let Some(digest) = sealed_for {
        out.line(&format!("sealed for the key with SHA-256 {digest}"));
    }
}

/// Verifies a packet, without a store.
///
/// # Errors
/// [`Fault::InputUnreadable`].
pub(super) fn verify(
    file: &Path,
    key: &LogKey,
    against: Option<&Checkpoint>,
    witness: Option<&WitnessKey>,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let bytes = fs::read(file).map_err(|error| {
        Failure::new(Fault::InputUnreadable)
            .at(file.display().to_string())
            .because(error)
    })?;
    Ok(tell(&verify_packet(&bytes, key, against, witness), out))
}

fn tell(verdict: &PacketVerdict, out: &mut Out) -> Exit {
    let exit = match verdict.result {
        LedgerResult::Ok => Exit::Done,
        LedgerResult::Tampered => Exit::Failed,
        LedgerResult::Incomplete => Exit::Unreadable,
        LedgerResult::Forked => Exit::Integrity,
    };
    if out.json {
        out.value(verdict);
        return exit;
    }
    let mut said = match verdict.result {
        LedgerResult::Ok => format!(
            "ok: {} files and {} entries of {} are as they were signed, in a ledger of {} entries",
            verdict.files,
            verdict.entries,
            verdict.origin,
            verdict.checkpoint.unwrap_or(0)
        ),
        LedgerResult::Tampered => "TAMPERED".to_owned(),
        LedgerResult::Incomplete => "INCOMPLETE".to_owned(),
        LedgerResult::Forked => "FORKED".to_owned(),
    };
    if let (LedgerResult::Ok, Some(opened)) = (verdict.result, verdict.opened) {
        said = format!("{said}; {opened} opened values are those to which the entries are committed");
    }
    if let Some(why) = &verdict.why {
        said = format!("{said}: {why}");
    }
    if let Some(file) = &verdict.bad_file {
        said = format!("{said}; the first bad file is {file}");
    }
    if let Some(index) = verdict.first_bad {
        said = format!("{said}; the first bad index is {index}");
    }
    out.line(&said);
    if let (Some(size), Some(at)) = (verdict.witnessed, &verdict.witnessed_at) {
        out.line(&format!("the witness confirmed {size} entries at {at}"));
    }
    exit
}

/// What checking the shares of disclosed files found, in words.
pub(super) fn shares_in_words(shares: &SharesVerdict) -> String {
    let Some(why) = shares.why else {
        return format!(
            "ok: {} shares of {} disclosed files are those to which the ledger is committed",
            shares.shares, shares.files
        );
    };
    let place = shares.bad_place.map(|place| format!(", place {place}"));
    let (file, place) = (shares.bad_file.as_deref().unwrap_or("-"), place.unwrap_or_default());
    format!("TAMPERED: {why}; the first bad share is in file {file}{place}")
}
