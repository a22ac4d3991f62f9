//! A store whose values beside the ledger are sealed under keys in a file of its own.

use crate::exchange::bed::context;
use crate::support::store::TestStore;
use causeway::audit::note_sealing::seal_notes;
use causeway::audit::{Action, Actor, LedgerEvent, Object, OperatorNote, ledger};
use causeway::bulk::files::BulkFiles;
use causeway::config::Config;
use causeway::context::Context;
use causeway::erasure::{ErasureReason, ErasureWish, LegalBasis, erase};
use causeway::error::{Failure, Fault};
use causeway::ops::OpsPage;
use causeway::ops::ledger::{LedgerFilter, LedgerItem, list};
use causeway::secret::member_keys::{MEMBER_KEYS_FILE, MemberKeys};
use causeway::store::Db;
use causeway::store::schema::{erasure, member_key, operator_note};
use causeway::telemetry::Correlation;
use diesel::prelude::*;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

/// 2026-01-01T00:00:00Z
pub const NOW: i64 = 1_767_225_600_000;
pub const WHY: &str = "Mrs. Lima asked who saw her record";

/// A store with a place for its file of keys.
pub struct Kept {
    pub ctx: Context,
    pub path: PathBuf,
    pub store: TestStore,
}

impl Kept {
    pub fn new() -> Kept {
        let store = TestStore::fresh();
        let path = store.place.folder.path().join("own").join(MEMBER_KEYS_FILE);
        let above = |_: bool| -> Result<Vec<(String, [u8; 32])>, Failure> { Ok(vec![("k".to_owned(), [7; 32])]) };
        let ctx = Context {
            member_keys: MemberKeys::at(path.clone(), Arc::new(above)),
            ..context(&store, NOW)
        };
        Kept { ctx, path, store }
    }

    /// An empty file, as somebody puts it where all processes of a PostgreSQL store reach it.
    pub fn put_empty_file(&self) {
        fs::create_dir_all(self.path.parent().expect("a folder")).expect("made");
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.path)
            .expect("an empty file");
    }

    /// An operator looked at this member, ten minutes ago. Returns the id of the entry.
    pub fn looked(&self, patient: Option<&str>, reason: &str) -> String {
        let at_ms = NOW - 600_000;
        let id = self.ctx.ids.new_id(at_ms);
        let actor = Actor {
            kind: "operator",
            ..Actor::default()
        };
        let mut entry = LedgerEvent::new(Action::OperatorViewed, actor, Correlation::internal(id.clone()));
        entry.object = patient.map(|patient| Object {
            kind: "Patient",
            id: patient.to_owned(),
        });
        entry.note = Some(OperatorNote {
            operator: "ana".to_owned(),
            reason: reason.to_owned(),
        });
        let own = id.clone();
        let write = move |db: &mut Db| ledger::append(db, &entry, &own, at_ms * 1_000);
        self.ctx.store.write_blocking(write).expect("appended");
        id
    }

    pub fn seal(&self) -> Result<usize, Failure> {
        seal_notes(&self.ctx, &|write| self.ctx.store.write_blocking(write))
    }

    /// What the database has of a reason.
    pub fn row(&self, id: &str) -> (String, Option<Vec<u8>>) {
        let read = |db: &mut Db| {
            Ok(operator_note::table
                .find(id)
                .select((operator_note::reason, operator_note::sealed))
                .first(db)?)
        };
        self.ctx.store.read_blocking(read).expect("a note")
    }

    /// What an auditor is shown.
    pub fn shown(&self, id: &str) -> Option<String> {
        let page = self.page().expect("a page");
        let item = page.items.into_iter().find(|item| item.id == id);
        item.expect("the entry").note
    }

    fn page(&self) -> Result<OpsPage<LedgerItem>, Failure> {
        let filter = LedgerFilter {
            limit: 100,
            ..LedgerFilter::default()
        };
        let keys = &self.ctx.member_keys;
        self.ctx.store.read_blocking(|db| list(db, &filter, keys))
    }

    /// Why an auditor is shown nothing.
    pub fn look_refused(&self) -> Fault {
        self.page().expect_err("a look is refused").fault()
    }

    /// Puts a sealed reason back, as a restored backup would.
    pub fn restore(&self, id: &str, sealed: Vec<u8>) {
        let own = id.to_owned();
        let write = move |db: &mut Db| {
            diesel::update(operator_note::table.find(&own))
                .set(operator_note::sealed.eq(Some(sealed.clone())))
                .execute(db)?;
            Ok(())
        };
        self.ctx.store.write_blocking(write).expect("restored");
    }

    pub fn keys(&self) -> i64 {
        let read = |db: &mut Db| Ok(member_key::table.count().get_result(db)?);
        self.ctx.store.read_blocking(read).expect("a number")
    }

    pub fn erasures(&self) -> i64 {
        let read = |db: &mut Db| Ok(erasure::table.count().get_result(db)?);
        self.ctx.store.read_blocking(read).expect("a number")
    }

    pub fn erase(&self, patient: &str) -> Result<(), Failure> {
        let wish = ErasureWish {
            patient_id: patient.to_owned(),
            reason: ErasureReason::TestData,
            legal_basis: Some(LegalBasis::NoDutyToKeep),
            with_record: false,
            operator: "ana".to_owned(),
        };
        let files = BulkFiles::new(&Config::load(None, []).expect("a configuration"));
        erase(&self.ctx, &files, &wish, false).map(drop)
    }
}
