//! Evidence packets that were asked for, and the bytes of those that were made.
//!
//! A packet is asked for once and made once; what was made never changes. This module does not know what is inside.

use super::Db;
use super::many::insert;
use super::schema::{evidence_case_item, evidence_member, evidence_packet, evidence_piece, ledger_entry};
use crate::error::{Failure, Fault};
use crate::secret::member_keys::{ValueOpener, ValuePlace};
use diesel::prelude::*;

/// The state of a packet that is not made yet.
pub const WAITING: &str = "waiting";
/// The state of a packet that can be had.
pub const MADE: &str = "made";
/// The state of a packet that cannot be made.
pub const FAILED: &str = "failed";

/// The state of a packet whose bytes were erased with a member.
pub const ERASED: &str = "erased";

/// The kind of packets and of items of cases that are about a correlation id.
const CORRELATION: &str = "correlation";
/// The kind of packets of a case.
const CASE: &str = "case";

/// Bytes of a piece, before it is sealed.
const PIECE_BYTES: usize = 1 << 20;

/// A row of `evidence_packet`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = evidence_packet, treat_none_as_default_value = false)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct PacketRow {
    pub id: String,
    pub kind: String,
    pub subject: Option<String>,
    pub from_ms: Option<i64>,
    pub to_ms: Option<i64>,
    pub at_note: Option<String>,
    pub asked_by: String,
    pub asked_us: i64,
    pub state: String,
    pub fault: Option<String>,
    pub size: Option<i64>,
    pub entries: Option<i64>,
    pub bytes: Option<i64>,
    pub sha256: Option<String>,
    pub made_ms: Option<i64>,
    pub with_phi: i64,
}

/// A row of `evidence_member`: a Patient of whom a packet tells, or an entry of which it has what stands beside the bytes. Ids of entries are
/// those of no Patient.
#[derive(Clone, Debug, Insertable)]
#[diesel(table_name = evidence_member)]
struct MemberRow<'a> {
    patient_id: &'a str,
    packet_id: &'a str,
}

/// What is known of a packet once it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeFigures {
    /// How many entries its checkpoint covers.
    pub size: i64,
    /// How many entries it has.
    pub entries: i64,
    /// SHA-256 of it, hexadecimal.
    pub sha256: String,
    /// When, UTC milliseconds.
    pub made_ms: i64,
}

/// The bytes of a packet, in the pieces in which they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketPieces {
    /// How many bytes the packet has.
    pub bytes: i64,
    /// The pieces, in their order.
    pub pieces: Vec<Vec<u8>>,
    /// Whether they are sealed.
    pub is_sealed: bool,
}

impl PacketPieces {
    /// The pieces of a packet, plain.
    pub fn of(bytes: &[u8]) -> PacketPieces {
        PacketPieces {
            bytes: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            pieces: bytes.chunks(PIECE_BYTES).map(<[u8]>::to_vec).collect(),
            is_sealed: false,
        }
    }
}

/// Inserts a packet that was asked for.
///
/// # Errors
/// Those of the database.
pub fn ask(db: &mut Db, row: &PacketRow) -> Result<(), Failure> {
    diesel::insert_into(evidence_packet::table).values(row).execute(db)?;
    Ok(())
}

/// Returns a packet.
///
/// # Errors
/// Those of the database.
pub fn find(db: &mut Db, id: &str) -> Result<Option<PacketRow>, Failure> {
    Ok(evidence_packet::table
        .find(id)
        .select(PacketRow::as_select())
        .first(db)
        .optional()?)
}

/// Returns the packets after `after`, oldest first: a page, and one more row when there is a next page.
///
/// # Errors
/// Those of the database.
pub fn page(db: &mut Db, after: &str, limit: i64) -> Result<Vec<PacketRow>, Failure> {
    Ok(evidence_packet::table
        .filter(evidence_packet::id.gt(after))
        .order(evidence_packet::id)
        .limit(super::ops_queries::fetched(limit))
        .select(PacketRow::as_select())
        .load(db)?)
}

/// Returns the newest packet of a kind and subject that was made, of those that open no values.
///
/// # Errors
/// Those of the database.
pub fn newest(db: &mut Db, kind: &str, subject: &str) -> Result<Option<PacketRow>, Failure> {
    Ok(evidence_packet::table
        .filter(evidence_packet::subject.eq(subject))
        .filter(evidence_packet::kind.eq(kind))
        .filter(evidence_packet::state.eq(MADE))
        .filter(evidence_packet::with_phi.eq(0_i64))
        .order(evidence_packet::id.desc())
        .select(PacketRow::as_select())
        .first(db)
        .optional()?)
}

/// Stores what was made of a packet that waits, and the ids of what it tells of: Patients, and entries of which it has what stands beside the
/// bytes. Returns whether it waited: what was made before stays.
///
/// # Errors
/// Those of the database.
pub fn made(
    db: &mut Db,
    id: &str,
    figures: &MadeFigures,
    (kept, told): (&PacketPieces, &[String]),
) -> Result<bool, Failure> {
    let waits = evidence_packet::table
        .find(id)
        .filter(evidence_packet::state.eq(WAITING));
    let moved = diesel::update(waits)
        .set((
            evidence_packet::state.eq(MADE),
            evidence_packet::size.eq(figures.size),
            evidence_packet::entries.eq(figures.entries),
            evidence_packet::bytes.eq(kept.bytes),
            evidence_packet::sha256.eq(&figures.sha256),
            evidence_packet::made_ms.eq(figures.made_ms),
        ))
        .execute(db)?;
    if moved == 0 {
        return Ok(false);
    }
    let members: Vec<MemberRow<'_>> = told
        .iter()
        .map(|patient_id| MemberRow {
            patient_id,
            packet_id: id,
        })
        .collect();
    insert!(db, evidence_member::table, members);
    for (no, piece) in (0_i64..).zip(&kept.pieces) {
        diesel::insert_into(evidence_piece::table)
            .values((
                evidence_piece::packet_id.eq(id),
                evidence_piece::no.eq(no),
                evidence_piece::content.eq(piece),
                evidence_piece::sealed.eq(i64::from(kept.is_sealed)),
            ))
            .execute(db)?;
    }
    Ok(true)
}

/// Notes that a packet that waits cannot be made. Returns whether it waited.
///
/// # Errors
/// Those of the database.
pub fn failed(db: &mut Db, id: &str, fault: &str, now_ms: i64) -> Result<bool, Failure> {
    let waits = evidence_packet::table
        .find(id)
        .filter(evidence_packet::state.eq(WAITING));
    let moved = diesel::update(waits)
        .set((
            evidence_packet::state.eq(FAILED),
            evidence_packet::fault.eq(fault),
            evidence_packet::made_ms.eq(now_ms),
        ))
        .execute(db)?;
    Ok(moved == 1)
}

/// Returns the bytes of a packet that was made.
///
/// # Errors
/// [`Fault::StoreDamaged`] when a piece is missing; [`Fault::PacketErased`] when its key was destroyed; [`Fault::SealKeys`] when its key cannot
/// be had; those of the database.
pub fn content(db: &mut Db, row: &PacketRow, opener: &ValueOpener) -> Result<Vec<u8>, Failure> {
    let pieces: Vec<(i64, Vec<u8>, i64)> = evidence_piece::table
        .filter(evidence_piece::packet_id.eq(&row.id))
        .order(evidence_piece::no)
        .select((evidence_piece::no, evidence_piece::content, evidence_piece::sealed))
        .load(db)?;
    let mut bytes = Vec::new();
    for (no, content, is_sealed) in pieces {
        if is_sealed == 0 {
            bytes.extend_from_slice(&content);
            continue;
        }
        let opened = opener.value(ValuePlace::Piece(&row.id, no), &content)?;
        bytes.extend(opened.ok_or(Fault::PacketErased)?);
    }
    match i64::try_from(bytes.len()).ok() == row.bytes {
        true => Ok(bytes),
        false => Err(Failure::new(Fault::StoreDamaged).because("an evidence packet lacks a piece")),
    }
}

/// Erases the bytes of all packets that tell of a Patient; their rows stay, without the Patient's id. Returns how many they were.
///
/// # Errors
/// Those of the database.
pub fn erase_of(db: &mut Db, patient_id: &str) -> Result<usize, Failure> {
    let packets: Vec<String> = evidence_member::table
        .filter(evidence_member::patient_id.eq(patient_id))
        .select(evidence_member::packet_id)
        .load(db)?;
    empty(db, &packets)?;
    diesel::update(evidence_packet::table.filter(evidence_packet::subject.eq(patient_id)))
        .set((
            evidence_packet::subject.eq(None::<String>),
            evidence_packet::state.eq(ERASED),
        ))
        .execute(db)?;
    Ok(packets.len())
}

/// Erases the bytes of all packets that have what stood beside an entry; their rows stay.
///
/// # Errors
/// Those of the database.
pub fn erase_opening(db: &mut Db, entry_id: &str) -> Result<(), Failure> {
    let packets: Vec<String> = evidence_member::table
        .filter(evidence_member::patient_id.eq(entry_id))
        .select(evidence_member::packet_id)
        .load(db)?;
    empty(db, &packets)
}

/// Erases the bytes of these packets; their rows stay.
fn empty(db: &mut Db, packets: &[String]) -> Result<(), Failure> {
    for some in packets.chunks(super::many::ROWS) {
        diesel::delete(evidence_piece::table.filter(evidence_piece::packet_id.eq_any(some))).execute(db)?;
        diesel::delete(evidence_member::table.filter(evidence_member::packet_id.eq_any(some))).execute(db)?;
        diesel::update(evidence_packet::table.filter(evidence_packet::id.eq_any(some)))
            .set(evidence_packet::state.eq(ERASED))
            .execute(db)?;
    }
    Ok(())
}

/// Returns the correlation ids that packets and cases are about.
///
/// # Errors
/// Those of the database.
pub fn correlations(db: &mut Db) -> Result<Vec<String>, Failure> {
    let asked: Vec<Option<String>> = evidence_packet::table
        .filter(evidence_packet::kind.eq(CORRELATION))
        .filter(evidence_packet::subject.is_not_null())
        .select(evidence_packet::subject)
        .distinct()
        .load(db)?;
    let grouped: Vec<String> = evidence_case_item::table
        .filter(evidence_case_item::kind.eq(CORRELATION))
        .select(evidence_case_item::item)
        .distinct()
        .load(db)?;
    Ok(asked.into_iter().flatten().chain(grouped).collect())
}

/// Takes a correlation id out of packets and cases: the bytes of the packets about it, and of those of cases that have it, are erased; in a case
/// the id of the entry that added it takes its place. Packets that open it lose their bytes with its entries ([`erase_opening`]).
///
/// # Errors
/// Those of the database.
pub fn erase_correlation(db: &mut Db, id: &str) -> Result<(), Failure> {
    let own: Vec<String> = evidence_packet::table
        .filter(evidence_packet::kind.eq(CORRELATION))
        .filter(evidence_packet::subject.eq(id))
        .select(evidence_packet::id)
        .load(db)?;
    empty(db, &own)?;
    for some in own.chunks(super::many::ROWS) {
        diesel::update(evidence_packet::table.filter(evidence_packet::id.eq_any(some)))
            .set(evidence_packet::subject.eq(None::<String>))
            .execute(db)?;
    }
    let cases: Vec<String> = evidence_case_item::table
        .filter(evidence_case_item::item.eq(id))
        .select(evidence_case_item::case_id)
        .load(db)?;
    for some in cases.chunks(super::many::ROWS) {
        let packets: Vec<String> = evidence_packet::table
            .filter(evidence_packet::kind.eq(CASE))
            .filter(evidence_packet::subject.eq_any(some))
            .select(evidence_packet::id)
            .load(db)?;
        empty(db, &packets)?;
    }
    diesel::update(evidence_case_item::table.filter(evidence_case_item::item.eq(id)))
        .set(evidence_case_item::item.eq(evidence_case_item::entry_id))
        .execute(db)?;
    Ok(())
}

/// Erases the bytes of these packets, whose time is over; their rows stay. Returns how many of them had any.
///
/// # Errors
/// Those of the database.
pub fn expire(db: &mut Db, packets: &[String]) -> Result<usize, Failure> {
    let mut gone = 0;
    for some in packets.chunks(super::many::ROWS) {
        let made = evidence_packet::table
            .filter(evidence_packet::id.eq_any(some))
            .filter(evidence_packet::state.eq(MADE));
        gone += diesel::update(made)
            .set(evidence_packet::state.eq(ERASED))
            .execute(db)?;
    }
    empty(db, packets)?;
    Ok(gone)
}

/// Erases the bytes of all packets that tell of a Patient whom one of these entries is about, or have what stands beside one of these entries,
/// but of those that are `held`. Call it while the entries can still be opened.
///
/// # Errors
/// Those of the database.
pub fn erase_told(db: &mut Db, entries: &[String], held: &[String]) -> Result<(), Failure> {
    for some in entries.chunks(super::many::ROWS) {
        let about: Vec<Option<String>> = ledger_entry::table
            .filter(ledger_entry::id.eq_any(some))
            .filter(ledger_entry::subject.is_not_null())
            .select(ledger_entry::subject)
            .distinct()
            .load(db)?;
        let about: Vec<String> = about.into_iter().flatten().chain(some.iter().cloned()).collect();
        let mut packets: Vec<String> = evidence_member::table
            .filter(evidence_member::patient_id.eq_any(&about))
            .select(evidence_member::packet_id)
            .distinct()
            .load(db)?;
        packets.retain(|packet| !held.contains(packet));
        empty(db, &packets)?;
    }
    Ok(())
}
