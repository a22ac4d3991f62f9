//! Evidence packets lie sealed too; what is sealed is nowhere else, is sealed to the end after a crash, and opens under a rotated key.

use super::kept::{Kept, NOW, WHY};
use crate::support::store::{connect, on_postgres};
use causeway::audit::log::key_of;
use causeway::audit::log_files::LogFiles;
use causeway::audit::note_sealing::{NotesWrite, seal_notes};
use causeway::audit::packet_sealing::{pieces, seal_packets};
use causeway::audit::sequencer::Sequencer;
use causeway::audit::stored::StoredLedger;
use causeway::audit::verify::{LedgerResult, verify};
use causeway::audit::{OperatorNote, export, key_rotation};
use causeway::error::{Failure, Fault};
use causeway::evidence::asks;
use causeway::secret::member_keys::WRAPPING_KEYS_FILE;
use causeway::store::evidence::{self, MadeFigures, PacketPieces, PacketRow, WAITING};
use causeway::store::schema::{evidence_key, evidence_packet, evidence_piece, ledger_entry};
use causeway::store::{Db, ledger_tree};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use std::cell::Cell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

impl Kept {
    fn commit(&self, write: NotesWrite) -> Result<(), Failure> {
        self.ctx.store.write_blocking(write)
    }

    fn seal_packets(&self) -> Result<usize, Failure> {
        seal_packets(&self.ctx, &|write| self.commit(write))
    }

    /// A packet that tells of p1, made in the way of this version or, when `is_old`, of one before it.
    fn packet(&self, bytes: &[u8], is_old: bool) -> String {
        let id = self.ctx.ids.new_id(NOW);
        let row = PacketRow {
            id: id.clone(),
            kind: "exchange".to_owned(),
            subject: Some("x1".to_owned()),
            from_ms: None,
            to_ms: None,
            at_note: None,
            asked_by: "ana".to_owned(),
            asked_us: NOW * 1_000,
            state: WAITING.to_owned(),
            fault: None,
            size: None,
            entries: None,
            bytes: None,
            sha256: None,
            made_ms: None,
            with_phi: 1,
        };
        let kept = match is_old {
            true => PacketPieces::of(bytes),
            false => pieces(&self.ctx, &id, bytes, &|write| self.commit(write)).expect("pieces"),
        };
        let figures = MadeFigures {
            size: 1,
            entries: 1,
            sha256: "00".to_owned(),
            made_ms: NOW,
        };
        let own = id.clone();
        let write = move |db: &mut Db| {
            evidence::ask(db, &row)?;
            evidence::made(db, &own, &figures, (&kept, &["p1".to_owned()]))
        };
        assert!(self.ctx.store.write_blocking(write).expect("made"));
        id
    }

    fn content(&self, id: &str) -> Result<Vec<u8>, Failure> {
        let keys = &self.ctx.member_keys;
        self.ctx.store.read_blocking(|db| {
            let row = asks::find(db, id)?;
            asks::content(db, &row, keys)
        })
    }

    /// How many pieces lie plain, and how many sealed.
    fn pieces(&self) -> (i64, i64) {
        let read = |db: &mut Db| {
            let [plain, sealed] = [0_i64, 1].map(|is_sealed| {
                evidence_piece::table
                    .filter(evidence_piece::sealed.eq(is_sealed))
                    .count()
                    .get_result::<i64>(db)
            });
            Ok((plain?, sealed?))
        };
        self.ctx.store.read_blocking(read).expect("numbers")
    }

    fn packet_keys(&self) -> i64 {
        let read = |db: &mut Db| Ok(evidence_key::table.count().get_result(db)?);
        self.ctx.store.read_blocking(read).expect("a number")
    }

    fn begin_on_postgres(&self) {
        if on_postgres() {
            self.put_empty_file();
        }
    }
}

/// A packet of two pieces.
fn long() -> Vec<u8> {
    let mut bytes = WHY.as_bytes().repeat((1 << 20) / WHY.len() + 1);
    bytes.extend_from_slice(b"the end");
    assert!(bytes.len() > 1 << 20 && bytes.len() < 2 << 20);
    bytes
}

#[test]
fn a_packet_is_sealed_when_it_is_made_and_an_old_one_by_the_job_a_piece_at_a_time() {
    let kept = Kept::new();
    kept.begin_on_postgres();
    let (old, new) = (kept.packet(&long(), true), kept.packet(&long(), false));
    assert_eq!((kept.pieces(), kept.packet_keys()), ((2, 2), 1));
    // The job ends after each of its commits: the packet can be had all the time, and the next run goes on.
    for round in 0_usize.. {
        assert!(round < 9, "the job comes to its end");
        let commits = Cell::new(0);
        let done = seal_packets(&kept.ctx, &|write| {
            if commits.get() == 1 {
                return Err(Fault::StoreBusy.into());
            }
            commits.set(commits.get() + 1);
            kept.commit(write)
        });
        assert!(kept.content(&old).expect("readable in both forms") == long(), "{round}");
        match done {
            Ok(_) => break,
            Err(failure) => assert_eq!(failure.fault(), Fault::StoreBusy),
        }
    }
    assert_eq!((kept.pieces(), kept.packet_keys()), ((0, 4), 2));
    assert_eq!(kept.seal_packets().expect("nothing left"), 0);
    assert!(kept.content(&new).expect("opened") == long());
}

#[test]
fn t_f06_an_erasure_destroys_the_key_of_a_packet_and_a_backup_gives_it_no_more() {
    let kept = Kept::new();
    kept.begin_on_postgres();
    kept.looked(Some("p1"), WHY);
    kept.seal().expect("sealed");
    let id = kept.packet(b"the packet", false);
    let read = |db: &mut Db| Ok(evidence_piece::table.select(evidence_piece::content).first(db)?);
    let backup: Vec<u8> = kept.ctx.store.read_blocking(read).expect("a piece");
    assert_eq!(kept.content(&id).expect("opened"), b"the packet");
    kept.erase("p1").expect("erased");
    assert_eq!((kept.pieces(), kept.packet_keys()), ((0, 0), 0));
    assert_eq!(kept.content(&id).expect_err("erased").fault(), Fault::PacketErased);
    // As a restored backup has it.
    let own = id.clone();
    let write = move |db: &mut Db| {
        diesel::insert_into(evidence_piece::table)
            .values((
                evidence_piece::packet_id.eq(&own),
                evidence_piece::no.eq(0_i64),
                evidence_piece::content.eq(&backup),
                evidence_piece::sealed.eq(1_i64),
            ))
            .execute(db)?;
        diesel::update(evidence_packet::table.find(&own))
            .set(evidence_packet::state.eq(evidence::MADE))
            .execute(db)?;
        Ok(())
    };
    kept.ctx.store.write_blocking(write).expect("restored");
    assert_eq!(kept.content(&id).expect_err("no key").fault(), Fault::PacketErased);
}

#[test]
fn reasons_are_sealed_to_the_end_after_a_crash_at_each_commit() {
    for ends_at in 0..2 {
        let kept = Kept::new();
        kept.begin_on_postgres();
        let (one, other) = (kept.looked(Some("p1"), WHY), kept.looked(Some("p2"), "a complaint"));
        let commits = Cell::new(0);
        let failed = seal_notes(&kept.ctx, &|write| {
            if commits.get() == ends_at {
                return Err(Fault::StoreBusy.into());
            }
            commits.set(commits.get() + 1);
            kept.commit(write)
        });
        assert_eq!(failed.expect_err("it ends").fault(), Fault::StoreBusy);
        assert_eq!(kept.shown(&one).as_deref(), Some(WHY), "{ends_at}");
        assert_eq!(kept.seal().expect("sealed"), 2);
        for id in [&one, &other] {
            let (plain, sealed) = kept.row(id);
            assert!(plain.is_empty() && sealed.is_some(), "{ends_at}");
        }
        assert_eq!(kept.shown(&one).as_deref(), Some(WHY));
        assert_eq!((kept.shown(&other).as_deref(), kept.keys()), (Some("a complaint"), 2));
    }
}

#[test]
fn rotated_keys_open_what_was_sealed_before_and_the_ledger_says_who_rotated_them() {
    let kept = Kept::new();
    kept.begin_on_postgres();
    let by = || OperatorNote {
        operator: "ana".to_owned(),
        reason: "each year".to_owned(),
    };
    let early = key_rotation::rotate(&kept.ctx, by()).expect_err("nothing is sealed");
    assert_eq!(early.fault(), Fault::NotFound);
    assert_eq!(
        key_rotation::check(&kept.ctx).expect_err("nothing").fault(),
        Fault::NotFound
    );
    let one = kept.looked(Some("p1"), WHY);
    kept.seal().expect("sealed");
    let id = kept.packet(b"the packet", false);
    let before = kept.row(&one);
    let done = key_rotation::rotate(&kept.ctx, by()).expect("rotated");
    assert_eq!((done.keys, key_rotation::check(&kept.ctx).expect("right")), (2, 2));
    assert_eq!(kept.row(&one), before, "only wrapped keys are written again");
    assert_eq!(kept.shown(&one).as_deref(), Some(WHY));
    assert_eq!(kept.content(&id).expect("opened"), b"the packet");
    let read = |db: &mut Db| {
        let rotated = ledger_entry::table.filter(ledger_entry::action.eq("ledger.keys-rotated"));
        Ok(rotated.count().get_result::<i64>(db)?)
    };
    assert_eq!(kept.ctx.store.read_blocking(read).expect("a number"), 1);

    // Without the new key, or with another one, nothing is shown, taken for erased, or erased.
    let path = kept.path.with_file_name(WRAPPING_KEYS_FILE);
    let key = fs::read_to_string(&path).expect("a key");
    let other = format!("{} {}\n", done.key_id, "A".repeat(43));
    for wrong in [None, Some(other)] {
        match &wrong {
            None => fs::remove_file(&path).expect("removed"),
            Some(other) => fs::write(&path, other).expect("written"),
        }
        assert_eq!(kept.look_refused(), Fault::SealKeys, "{wrong:?}");
        assert_eq!(kept.content(&id).expect_err("sealed").fault(), Fault::SealKeys);
        assert_eq!(kept.erase("p1").expect_err("refused").fault(), Fault::SealKeys);
        let refused = key_rotation::rotate(&kept.ctx, by()).expect_err("refused");
        assert_eq!(refused.fault(), Fault::SealKeys);
        fs::write(&path, &key).expect("put back");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("for its owner");
        assert_eq!(kept.shown(&one).as_deref(), Some(WHY));
    }
    assert_eq!(kept.erasures(), 0);
}

/// The files under a folder that have this text.
fn having(folder: &Path, text: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            having(&path, text, found);
            continue;
        }
        // The room that is kept for a full disk has no content.
        if path.extension().is_some_and(|end| end == "reserve") {
            continue;
        }
        let bytes = fs::read(&path).unwrap_or_default();
        if bytes.windows(text.len()).any(|part| part == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
}

#[test]
fn before_any_erasure_no_file_of_the_store_and_no_export_has_what_is_sealed() {
    let kept = Kept::new();
    kept.begin_on_postgres();
    let (store, folder) = (&kept.ctx.store, kept.store.place.folder.path());
    let one = kept.looked(Some("p1"), WHY);
    let sequencer = Sequencer::new(LogFiles::new(folder.join("log")), None);
    // Each round signs whatever is new.
    sequencer.close();
    let sequence = || {
        while sequencer
            .round(&kept.ctx, &|write| store.write_blocking(write))
            .expect("sequenced")
        {}
    };
    let has = || {
        let mut found = Vec::new();
        having(folder, WHY, &mut found);
        found
    };
    if !on_postgres() {
        assert!(!has().is_empty(), "plain at first: the search finds it");
    }
    kept.seal().expect("sealed");
    let id = kept.packet(WHY.as_bytes(), false);
    sequence();
    let log = store.read_blocking(ledger_tree::log).expect("read").expect("a log");
    export::export(store, &log, &folder.join("export")).expect("exported");
    if !on_postgres() {
        // What the write-ahead log had goes when it is emptied.
        connect(&kept.store.place.url)
            .batch_execute("PRAGMA wal_checkpoint(TRUNCATE)")
            .expect("emptied");
        assert_eq!(has(), Vec::<String>::new());
    }
    assert_eq!(kept.row(&one).0, "");
    assert_eq!(
        (kept.pieces(), kept.content(&id).expect("opened")),
        ((0, 1), WHY.as_bytes().to_vec())
    );
    kept.erase("p1").expect("erased");
    sequence();
    let mut stored = StoredLedger::open(store, log.no).expect("opened");
    let verdict = verify(&mut stored, &key_of(&log).expect("a key"), None, None).expect("verified");
    assert_eq!(verdict.result, LedgerResult::Ok, "{verdict:?}");
    assert_eq!(verdict.entries, 2, "the look, and the erasure");
}
