//! Seals the bytes of evidence packets, each packet under a key of its own outside the database, and destroys the keys of packets whose bytes are
//! gone.
//!
//! A packet is sealed when it is made; those of earlier versions are sealed by the same job as operators' reasons, a piece at a time, so that
//! whoever goes on after a crash finds the pieces that are left. It decides nothing about which packet is erased.

use super::note_sealing::{CommitNotes, keys_for_work};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::secret::member_keys::{KeySlot, ValuePlace};
use crate::store::evidence::PacketPieces;
use crate::store::{Db, evidence_keys as rows, member_keys};

/// Pieces that are read at a time; one has a megabyte.
const TOGETHER: i64 = 8;
/// Keys that are destroyed at a time.
const DESTROYED: i64 = 500;

/// The pieces of a packet that was made, sealed where there is a file of keys. Its key is durable before they are stored. Blocks the thread.
///
/// # Errors
/// [`Fault::SealKeys`] when the file of keys is missing or cannot be used; those of the store and of `commit`.
pub fn pieces(ctx: &Context, packet_id: &str, bytes: &[u8], commit: CommitNotes<'_>) -> Result<PacketPieces, Failure> {
    let plain = PacketPieces::of(bytes);
    if !ctx.member_keys.is_placed() {
        return Ok(plain);
    }
    let Some((mark, reader)) = keys_for_work(ctx)? else {
        return Ok(plain);
    };
    let Some(slot) = slot_of(ctx, &mark, packet_id, commit)? else {
        return Ok(plain);
    };
    let each = (0_i64..).zip(&plain.pieces);
    let sealed = each.map(|(no, piece)| reader.seal(slot, ValuePlace::Piece(packet_id, no), piece));
    match sealed.collect::<Option<Vec<Vec<u8>>>>() {
        Some(pieces) => Ok(PacketPieces {
            bytes: plain.bytes,
            pieces,
            is_sealed: true,
        }),
        // This file is older than the store; the job warns of it.
        None => Ok(plain),
    }
}

/// Seals the pieces of packets that lie plain, and destroys the keys of packets whose bytes were erased. Returns how many pieces were sealed.
/// Blocks the thread.
///
/// # Errors
/// As [`pieces`]. What was sealed before stays so.
pub fn seal_packets(ctx: &Context, commit: CommitNotes<'_>) -> Result<usize, Failure> {
    if !ctx.member_keys.is_placed() {
        return Ok(0);
    }
    let (mut packet_id, mut no, mut sealed, mut lacking) = (String::new(), -1, 0, 0);
    loop {
        let found = ctx
            .store
            .read_blocking(|db| rows::plain(db, (&packet_id, no), TOGETHER))?;
        let Some(last) = found.last() else { break };
        (packet_id, no) = (last.packet_id.clone(), last.no);
        let Some((mark, reader)) = keys_for_work(ctx)? else {
            break;
        };
        for piece in found {
            let slot = slot_of(ctx, &mark, &piece.packet_id, commit)?;
            let place = ValuePlace::Piece(&piece.packet_id, piece.no);
            let Some(bytes) = slot.and_then(|slot| reader.seal(slot, place, &piece.content)) else {
                lacking += 1;
                continue;
            };
            let (id, no) = (piece.packet_id, piece.no);
            commit(Box::new(move |db: &mut Db| rows::seal(db, &id, no, &bytes)))?;
            sealed += 1;
        }
    }
    if lacking > 0 {
        tracing::warn!(
            pieces = lacking,
            "member.keys lacks keys of evidence packets that the store names: they stay plain until the newest member.keys is put back"
        );
    }
    // Last: a file that lacks a key that is to be destroyed keeps nothing from being sealed.
    destroy_erased(ctx, commit)?;
    Ok(sealed)
}

/// Where the key of a packet is; one that it has not yet is made, and durable before the database knows it. `None` when the packet was erased
/// meanwhile.
fn slot_of(
    ctx: &Context,
    mark: &[u8; 32],
    packet_id: &str,
    commit: CommitNotes<'_>,
) -> Result<Option<KeySlot>, Failure> {
    let known = ctx.store.read_blocking(|db| rows::slot(db, packet_id))?;
    if known.is_some() {
        return Ok(known);
    }
    let (added, own) = (ctx.member_keys.add(mark, 1)?, packet_id.to_owned());
    commit(Box::new(move |db: &mut Db| {
        added.iter().try_for_each(|slot| rows::put(db, &own, slot))
    }))?;
    // Another process may have made one first.
    ctx.store.read_blocking(|db| rows::slot(db, packet_id))
}

/// Destroys the keys of packets whose bytes were erased. The database names a key until it is gone, so that whoever goes on after a crash finds it.
///
/// # Errors
/// [`Fault::SealKeys`] when the file of keys is missing or cannot be used; those of the store and of `commit`.
pub fn destroy_erased(ctx: &Context, commit: CommitNotes<'_>) -> Result<(), Failure> {
    loop {
        let found = ctx.store.read_blocking(|db| rows::of_erased(db, DESTROYED))?;
        if found.is_empty() {
            return Ok(());
        }
        let mark = ctx.store.read_blocking(member_keys::known_mark)?;
        let mark = mark.ok_or(Fault::StoreDamaged)?;
        let (packets, slots): (Vec<String>, Vec<KeySlot>) = found.into_iter().unzip();
        ctx.member_keys.destroy(&mark, &slots)?;
        commit(Box::new(move |db: &mut Db| rows::forget(db, &packets)))?;
    }
}
