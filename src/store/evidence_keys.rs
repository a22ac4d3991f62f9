//! The rows beside the keys of evidence packets: in which line of the file of members' keys ([`crate::secret::member_keys`]) the key of a packet is,
//! and the pieces that lie plain. It seals and opens nothing itself.

use super::Db;
use super::evidence::ERASED;
use super::schema::{evidence_key, evidence_packet, evidence_piece};
use super::statement::{Bind, Statement, run};
use crate::error::{Failure, Fault};
use crate::secret::member_keys::KeySlot;
use diesel::prelude::*;

/// Packets that one statement names.
const PACKETS: usize = 500;

/// A piece of a packet that is not sealed.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub struct PlainPiece {
    /// Id of the packet.
    pub packet_id: String,
    /// Its number in the packet.
    pub no: i64,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// Where the key of a packet is, if it has one.
///
/// # Errors
/// [`Fault::StoreDamaged`] for what is no place of a key; those of the database.
pub fn slot(db: &mut Db, packet_id: &str) -> Result<Option<KeySlot>, Failure> {
    let found: Option<Vec<u8>> = evidence_key::table
        .find(packet_id)
        .select(evidence_key::slot)
        .first(db)
        .optional()?;
    found.map(|bytes| slot_of(&bytes)).transpose()
}

fn slot_of(bytes: &[u8]) -> Result<KeySlot, Failure> {
    KeySlot::of(bytes).ok_or_else(|| Fault::StoreDamaged.into())
}

struct Put;

/// Keeps where the key of a packet is. A packet that has a key keeps it.
///
/// # Errors
/// Those of the database.
pub fn put(db: &mut Db, packet_id: &str, slot: &KeySlot) -> Result<(), Failure> {
    let text = "INSERT INTO evidence_key (packet_id, slot) VALUES (?, ?) ON CONFLICT DO NOTHING";
    let slot = slot.bytes();
    let binds = vec![Bind::Text(packet_id), Bind::Blob(&slot)];
    run(db, Statement::<Put>::new(text, binds))?;
    Ok(())
}

/// Returns the next pieces that lie plain, after the one with this packet and number, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn plain(db: &mut Db, (packet_id, no): (&str, i64), limit: i64) -> Result<Vec<PlainPiece>, Failure> {
    let later = evidence_piece::packet_id
        .gt(packet_id)
        .or(evidence_piece::packet_id.eq(packet_id).and(evidence_piece::no.gt(no)));
    Ok(evidence_piece::table
        .filter(evidence_piece::sealed.eq(0_i64))
        .filter(later)
        .order((evidence_piece::packet_id, evidence_piece::no))
        .limit(limit)
        .select((evidence_piece::packet_id, evidence_piece::no, evidence_piece::content))
        .load(db)?)
}

/// Puts sealed bytes into the place of a piece that lies plain. One that was sealed or erased meanwhile stays as it is.
///
/// # Errors
/// Those of the database.
pub fn seal(db: &mut Db, packet_id: &str, no: i64, sealed: &[u8]) -> Result<(), Failure> {
    let piece = evidence_piece::table
        .find((packet_id, no))
        .filter(evidence_piece::sealed.eq(0_i64));
    diesel::update(piece)
        .set((evidence_piece::content.eq(sealed), evidence_piece::sealed.eq(1_i64)))
        .execute(db)?;
    Ok(())
}

/// Where the keys of packets are whose bytes were erased, with the ids of the packets, at most `limit`.
///
/// # Errors
/// [`Fault::StoreDamaged`] for what is no place of a key; those of the database.
pub fn of_erased(db: &mut Db, limit: i64) -> Result<Vec<(String, KeySlot)>, Failure> {
    let rows: Vec<(String, Vec<u8>)> = evidence_key::table
        .inner_join(evidence_packet::table.on(evidence_packet::id.eq(evidence_key::packet_id)))
        .filter(evidence_packet::state.eq(ERASED))
        .limit(limit)
        .select((evidence_key::packet_id, evidence_key::slot))
        .load(db)?;
    let found = rows.into_iter().map(|(id, slot)| slot_of(&slot).map(|slot| (id, slot)));
    found.collect()
}

/// Forgets where the keys of these packets were.
///
/// # Errors
/// Those of the database.
pub fn forget(db: &mut Db, packets: &[String]) -> Result<(), Failure> {
    for some in packets.chunks(PACKETS) {
        diesel::delete(evidence_key::table.filter(evidence_key::packet_id.eq_any(some))).execute(db)?;
    }
    Ok(())
}
