//! Correlation ids that callers chose lie sealed in the database, under keys outside it: they are found and shown as before, and an erasure
//! destroys the keys of those that are the member's, and of those that nothing has any more.

use super::kept::{Kept, NOW};
use crate::support::store::on_postgres;
use causeway::audit::correlation_sealing::{destroy_of, seal_correlations};
use causeway::audit::key_rotation;
use causeway::audit::note_sealing::NotesWrite;
use causeway::audit::{Action, Actor, LedgerEvent, Object, ledger};
use causeway::error::{Failure, Fault};
use causeway::ops::View;
use causeway::ops::decisions::{self, DecisionFilter};
use causeway::ops::trace::{TraceAsked, trace};
use causeway::store::retention::due::EvidenceKind;
use causeway::store::retention::gone;
use causeway::store::schema::{correlation_text, decision, ledger_entry};
use causeway::store::{Db, correlations, erased_decided};
use causeway::telemetry::Correlation;
use diesel::prelude::*;
use std::cell::Cell;
use std::fs;

/// A member, by an id that is long enough to be looked for inside of others.
const MEMBER: &str = "p-000001";
const OTHER: &str = "p-000002";

impl Kept {
    /// A request of a partner about this member, so many milliseconds ago. Returns the id of its entry.
    fn asked(&self, patient: Option<&str>, correlation: &str, ago_ms: i64) -> String {
        let at_ms = NOW - ago_ms;
        let [id, request, decided] = [(); 3].map(|()| self.ctx.ids.new_id(at_ms));
        let actor = Actor {
            kind: "partner",
            ..Actor::default()
        };
        let ids = Correlation::of(request.clone(), [1; 8], Some(correlation), None, None);
        let mut entry = LedgerEvent::new(Action::MatchMatched, actor, ids);
        entry.object = patient.map(|patient| Object {
            kind: "Patient",
            id: patient.to_owned(),
        });
        let (own, correlation, patient) = (id.clone(), correlation.to_owned(), patient.map(str::to_owned));
        let write = move |db: &mut Db| {
            ledger::append(db, &entry, &own, at_ms * 1_000)?;
            diesel::insert_into(decision::table)
                .values((
                    decision::id.eq(&decided),
                    decision::partner_id.eq("new-payer"),
                    decision::correlation_id.eq(&correlation),
                    decision::request_id.eq(&request),
                    decision::kind.eq("member-match"),
                    decision::outcome.eq("matched"),
                    decision::patient_id.eq(patient.as_deref()),
                    decision::policy_version.eq("v"),
                    decision::detail.eq("{\"candidates\":[]}"),
                    decision::created_ms.eq(at_ms),
                ))
                .execute(db)?;
            Ok(())
        };
        self.ctx.store.write_blocking(write).expect("written");
        id
    }

    fn seal_ids(&self) -> Result<usize, Failure> {
        seal_correlations(&self.ctx, &|write| self.ctx.store.write_blocking(write))
    }

    /// What stands in the columns of correlation ids, of entries and of decisions.
    fn columns(&self) -> (Vec<String>, Vec<String>) {
        let read = |db: &mut Db| {
            let entries: Vec<String> = ledger_entry::table
                .filter(ledger_entry::action.eq("member-match.matched"))
                .order(ledger_entry::id)
                .select(ledger_entry::correlation_id)
                .load(db)?;
            let decided: Vec<String> = decision::table
                .order(decision::id)
                .select(decision::correlation_id)
                .load(db)?;
            Ok((entries, decided))
        };
        self.ctx.store.read_blocking(read).expect("read")
    }

    fn texts(&self) -> i64 {
        let read = |db: &mut Db| Ok(correlation_text::table.count().get_result(db)?);
        self.ctx.store.read_blocking(read).expect("a number")
    }

    /// The entries and the correlation ids that a trace of this id shows.
    fn traced(&self, id: &str) -> Result<Vec<(String, Option<String>)>, Failure> {
        let asked = TraceAsked::new(id, None, 100)?;
        let keys = &self.ctx.member_keys;
        let page = self.ctx.store.read_blocking(|db| trace(db, &asked, keys))?;
        let items = page.items.into_iter();
        Ok(items.map(|item| (item.id, item.correlation_id)).collect())
    }

    /// The correlation ids of the decisions under this one.
    fn decided(&self, id: &str) -> Result<Vec<String>, Failure> {
        let filter = DecisionFilter {
            correlation: Some(id.to_owned()),
            limit: 100,
            ..DecisionFilter::default()
        };
        let keys = &self.ctx.member_keys;
        let page = self
            .ctx
            .store
            .read_blocking(|db| decisions::list(db, &filter, View::WithoutPatients, keys))?;
        Ok(page.items.into_iter().map(|item| item.correlation_id).collect())
    }

    /// The sealed texts, as a backup has them.
    fn sealed_texts(&self) -> Vec<(String, Vec<u8>)> {
        let read = |db: &mut Db| {
            Ok(correlation_text::table
                .select((correlation_text::handle, correlation_text::sealed))
                .load(db)?)
        };
        self.ctx.store.read_blocking(read).expect("texts")
    }

    /// Puts sealed texts back, as a restored backup would.
    fn put_back(&self, backup: Vec<(String, Vec<u8>)>) {
        let write = move |db: &mut Db| {
            diesel::delete(correlation_text::table).execute(db)?;
            for (handle, sealed) in &backup {
                diesel::insert_into(correlation_text::table)
                    .values((correlation_text::handle.eq(handle), correlation_text::sealed.eq(sealed)))
                    .execute(db)?;
            }
            Ok(())
        };
        self.ctx.store.write_blocking(write).expect("put back");
    }

    /// Cuts rows, and lets the job look what nothing has any more.
    fn cut(&self, work: impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static) {
        self.ctx.store.write_blocking(work).expect("cut");
        self.seal_ids().expect("looked");
    }

    fn with_file() -> Kept {
        let kept = Kept::new();
        if on_postgres() {
            kept.put_empty_file();
        }
        kept
    }
}

/// A commit that fails as if the process ended: at the one with this number, before it or right after it.
fn ending(kept: &Kept, ends_at: usize, is_done: bool) -> impl Fn(NotesWrite) -> Result<(), Failure> {
    let commits = Cell::new(0);
    move |write: NotesWrite| {
        let at = commits.replace(commits.get() + 1);
        if at != ends_at {
            return kept.ctx.store.write_blocking(write);
        }
        if is_done {
            kept.ctx.store.write_blocking(write)?;
        }
        Err(Fault::StoreBusy.into())
    }
}

#[test]
fn t_f06_a_callers_correlation_id_lies_sealed_and_is_found_and_shown_as_before() {
    let kept = Kept::with_file();
    let one = kept.asked(Some(OTHER), "case:77", 600_000);
    let two = kept.asked(None, "case:77", 500_000);
    let other = kept.asked(None, "case:78", 400_000);
    assert_eq!(kept.columns().0, ["case:77", "case:77", "case:78"], "plain at first");
    let before = kept.traced("case:77").expect("traced");
    assert_eq!(kept.seal_ids().expect("sealed"), 6, "three entries and three decisions");
    assert_eq!(kept.seal_ids().expect("nothing left"), 0);
    let (entries, decided) = kept.columns();
    assert_eq!(entries, decided, "one id has one handle");
    assert!(entries.iter().all(|text| correlations::is_handle(text)), "{entries:?}");
    assert!(entries[0] == entries[1] && entries[0] != entries[2], "{entries:?}");
    assert_eq!(kept.texts(), 2);

    let shown = Some("case:77".to_owned());
    let expected = vec![(one.clone(), shown.clone()), (two.clone(), shown.clone())];
    assert_eq!(
        (before, kept.traced("case:77").expect("traced")),
        (expected.clone(), expected)
    );
    assert_eq!(kept.traced("case:78").expect("traced")[0].0, other);
    assert_eq!(
        kept.traced(&entries[0]).expect_err("no id").fault(),
        Fault::ParameterInvalid
    );
    assert_eq!(kept.decided("case:77").expect("listed"), ["case:77", "case:77"]);
    assert!(
        kept.decided(&entries[0]).expect("listed").is_empty(),
        "nobody finds anything by a handle"
    );

    // The caller goes on with its id: the new row stands plain, and both are found.
    let late = kept.asked(None, "case:77", 1_000);
    assert_eq!(kept.seal_ids().expect("too young"), 0);
    let traced: Vec<String> = kept
        .traced("case:77")
        .expect("traced")
        .into_iter()
        .map(|one| one.0)
        .collect();
    assert_eq!(traced, [one, two, late]);
    assert_eq!(kept.decided("case:77").expect("listed").len(), 3);

    // Without the file nothing is told as missing.
    let aside = kept.path.with_extension("aside");
    fs::rename(&kept.path, &aside).expect("moved");
    assert_eq!(kept.traced("case:77").expect_err("no file").fault(), Fault::SealKeys);
    assert_eq!(kept.decided("case:77").expect_err("no file").fault(), Fault::SealKeys);
    fs::rename(&aside, &kept.path).expect("put back");
    assert_eq!(kept.traced("case:77").expect("traced").len(), 3);
}

#[test]
fn t_f06_an_erasure_destroys_the_keys_of_correlation_ids_that_are_the_members_or_that_nothing_has_any_more() {
    let kept = Kept::with_file();
    let number = format!("call:{MEMBER}");
    kept.asked(Some(OTHER), &number, 600_000);
    kept.asked(Some(MEMBER), "case:77", 500_000);
    kept.asked(Some(MEMBER), "shared", 400_000);
    kept.asked(Some(OTHER), "shared", 300_000);
    kept.asked(Some(OTHER), &format!("call:{OTHER}"), 200_000);
    assert_eq!(kept.seal_ids().expect("sealed"), 10);
    assert_eq!(kept.texts(), 4);
    let (entries, _) = kept.columns();
    let backup = kept.sealed_texts();

    kept.erase(MEMBER).expect("erased");
    assert_eq!(kept.texts(), 2, "the number and the case are gone");
    let (left, decided) = kept.columns();
    assert!(left[..3].iter().all(|text| !correlations::is_handle(text)), "{left:?}");
    assert_eq!(left[3..], entries[3..], "others' stay");
    assert_eq!(left, decided);
    for gone in [number.as_str(), "case:77"] {
        assert_eq!(
            kept.traced(gone).expect_err("gone").fault(),
            Fault::TraceUnknown,
            "{gone}"
        );
    }
    assert_eq!(kept.traced("shared").expect("traced").len(), 1);

    // A backup from before gives the texts no more.
    kept.put_back(backup);
    let write = move |db: &mut Db| {
        diesel::update(ledger_entry::table.filter(ledger_entry::request_id.is_null()))
            .set((
                ledger_entry::request_id.eq(Some("restored")),
                ledger_entry::correlation_id.eq(&entries[0]),
            ))
            .execute(db)?;
        Ok(())
    };
    kept.ctx.store.write_blocking(write).expect("restored");
    let traced = kept.traced(&number).expect("its handle is found");
    assert!(
        !traced.is_empty()
            && traced
                .iter()
                .all(|(_, shown)| shown.as_deref() != Some(number.as_str())),
        "{traced:?}"
    );
    assert_eq!(kept.traced("shared").expect("traced")[0].1.as_deref(), Some("shared"));
}

#[test]
fn an_id_goes_with_the_last_row_that_has_it_in_whatever_way_that_goes() {
    for is_retention in [true, false] {
        let kept = Kept::with_file();
        let entry = kept.asked(Some(MEMBER), "case:77", 600_000);
        assert_eq!(kept.seal_ids().expect("sealed"), 2);
        let read = |db: &mut Db| Ok(decision::table.select(decision::id).first(db)?);
        let decided: String = kept.ctx.store.read_blocking(read).expect("a decision");
        kept.cut(move |db| gone::delete(db, EvidenceKind::Ledger, std::slice::from_ref(&entry), NOW));
        assert_eq!(kept.texts(), 1, "the decision has it");
        assert_eq!(kept.decided("case:77").expect("listed"), ["case:77"]);
        match is_retention {
            true => kept.cut(move |db| gone::delete(db, EvidenceKind::Decisions, std::slice::from_ref(&decided), NOW)),
            false => kept.cut(|db| erased_decided::drop_decided(db, MEMBER)),
        }
        assert_eq!(kept.texts(), 0, "by retention: {is_retention}");
    }
    // The entry stands plain yet, and its decision was moved before it.
    let kept = Kept::with_file();
    let entry = kept.asked(Some(MEMBER), "case:77", 600_000);
    kept.seal_ids().expect("sealed");
    let write = move |db: &mut Db| {
        diesel::update(ledger_entry::table.find(&entry))
            .set(ledger_entry::correlation_id.eq("case:77"))
            .execute(db)?;
        Ok(())
    };
    kept.ctx.store.write_blocking(write).expect("plain again");
    kept.erase(MEMBER).expect("erased");
    assert_eq!(kept.texts(), 0);
}

#[test]
fn an_id_whose_key_was_destroyed_after_the_backup_that_is_restored_is_sealed_anew() {
    let kept = Kept::with_file();
    kept.asked(Some(MEMBER), "case:77", 600_000);
    assert_eq!(kept.seal_ids().expect("sealed"), 2);
    let backup = kept.sealed_texts();
    kept.erase(MEMBER).expect("erased");
    assert_eq!(kept.texts(), 0);
    kept.put_back(backup.clone());
    // The handle has a text that nothing opens any more, and the caller goes on with its id.
    let late = kept.asked(Some(OTHER), "case:77", 300_000);
    assert_eq!(kept.seal_ids().expect("sealed"), 2);
    let (entries, decided) = kept.columns();
    assert!(correlations::is_handle(&entries[1]) && entries[1] == decided[1]);
    let traced = kept.traced("case:77").expect("traced");
    assert_eq!(traced, [(late, Some("case:77".to_owned()))]);
    let anew = kept.sealed_texts();
    assert!(anew.len() == 1 && anew[0].0 == backup[0].0 && anew[0].1 != backup[0].1);
}

#[test]
fn with_an_older_file_of_keys_no_id_is_lost_and_nobody_is_erased() {
    let kept = Kept::with_file();
    kept.asked(Some(MEMBER), "case:77", 600_000);
    kept.seal_ids().expect("sealed");
    let older = fs::read(&kept.path).expect("keys");
    kept.asked(Some(OTHER), "case:78", 500_000);
    kept.seal_ids().expect("sealed");
    let newest = fs::read(&kept.path).expect("keys");
    assert!(newest.len() > older.len());
    fs::write(&kept.path, older).expect("put back");
    kept.asked(None, "case:78", 400_000);
    assert_eq!(kept.seal_ids().expect_err("an older file").fault(), Fault::SealKeys);
    assert_eq!(kept.columns().0[2], "case:78", "it stays plain");
    assert_eq!(
        key_rotation::check(&kept.ctx).expect_err("an older file").fault(),
        Fault::SealKeys
    );
    // The id whose key is lacking may be the number of any member.
    assert_eq!(kept.erase(MEMBER).expect_err("an older file").fault(), Fault::SealKeys);
    assert_eq!((kept.erasures(), kept.texts()), (0, 2), "nothing was begun");
    fs::write(&kept.path, newest).expect("put back");
    assert_eq!(key_rotation::check(&kept.ctx).expect("checked"), 2);
    assert_eq!(kept.seal_ids().expect("sealed"), 2);
    assert_eq!(kept.traced("case:78").expect("traced").len(), 2);
    kept.erase(MEMBER).expect("erased");
    assert_eq!(kept.texts(), 1);
}

#[test]
fn ids_are_sealed_and_taken_out_to_the_end_after_a_crash_around_each_commit() {
    for (ends_at, is_done) in [(0, false), (0, true), (1, false), (1, true)] {
        let when = format!("commit {ends_at}, done: {is_done}");
        let kept = Kept::with_file();
        kept.asked(Some(MEMBER), "case:77", 600_000);
        kept.asked(Some(OTHER), "case:78", 500_000);
        // The commits are that of the entries and that of the decisions.
        let ended = seal_correlations(&kept.ctx, &ending(&kept, ends_at, is_done));
        assert_eq!(ended.expect_err("it ends").fault(), Fault::StoreBusy, "{when}");
        for id in ["case:77", "case:78"] {
            let traced = kept.traced(id).expect("traced");
            assert_eq!(traced[0].1.as_deref(), Some(id), "{when}");
            assert_eq!(kept.decided(id).expect("listed"), [id], "{when}");
        }
        kept.seal_ids().expect("sealed");
        let (entries, decided) = kept.columns();
        assert_eq!(entries, decided, "{when}");
        assert!(entries.iter().all(|text| correlations::is_handle(text)), "{when}");
        assert_eq!(kept.texts(), 2, "{when}");

        // The commits are that which dooms the text and that which cuts its rows; the key goes between them.
        let values = ["case:77".to_owned()];
        let ended = destroy_of(&kept.ctx, &values, &ending(&kept, ends_at, is_done));
        assert_eq!(ended.expect_err("it ends").fault(), Fault::StoreBusy, "{when}");
        destroy_of(&kept.ctx, &values, &|write| kept.ctx.store.write_blocking(write)).expect("destroyed");
        assert_eq!(kept.texts(), 1, "{when}");
        let (left, decided) = kept.columns();
        assert_eq!(left, decided, "{when}");
        assert!(!correlations::is_handle(&left[0]) && left[1] == entries[1], "{when}");
        assert_eq!(
            kept.traced("case:77").expect_err("gone").fault(),
            Fault::TraceUnknown,
            "{when}"
        );
        assert_eq!(kept.decided("case:78").expect("listed"), ["case:78"], "{when}");
    }
}
