//! Long work goes on where the last attempt ended.

use super::sealed::runtime;
use super::*;

/// A record of 450 Conditions in one body: three batches with the Patient.
fn spooled(bed: &Bed) -> IngestScope {
    let scope = bed.scope("e1");
    let mut record = vec![person()];
    record.extend((0..450).map(|n| condition(&format!("c{n}"), "Patient/their-p")));
    runtime()
        .block_on(bed.spool(&scope, bundle(&record).as_bytes()))
        .unwrap();
    scope
}

/// A turn that is over at once, in which one batch is done.
fn short(round: u32) -> WorkTurn {
    WorkTurn::of(round, Duration::ZERO)
}

#[test]
fn storing_goes_on_after_the_last_batch_that_was_stored() {
    let bed = Bed::new();
    let scope = spooled(&bed);
    for there in [200, 400, 451] {
        assert_eq!(super::super::store(&scope, &bed.writer(), &short(1)).unwrap(), None);
        assert_eq!(bed.outcomes("e1").len(), there);
    }
    // What an attempt did that ended by a crash is not done again: nothing of the first batch is read any more.
    let spoil = |db: &mut crate::store::Db| {
        diesel::delete(ingest_resource::table.filter(ingest_resource::entry.lt(200).and(ingest_resource::page.gt(0))))
            .execute(db)?;
        Ok(())
    };
    bed.ctx().store.write_blocking(spoil).unwrap();
    let done = super::super::store(&scope, &bed.writer(), &short(1)).unwrap();
    assert_eq!(done.expect("all of it").stored, 251);
    let again = super::super::store(&scope, &bed.writer(), &short(1)).unwrap();
    assert_eq!(
        again.expect("it is done").stored,
        251,
        "a crash after the end repeats nothing"
    );
    // Another round judges all of it again.
    assert_eq!(super::super::store(&scope, &bed.writer(), &short(2)).unwrap(), None);
    assert_eq!(bed.outcomes("e1").len(), 451);
}

#[test]
fn a_check_goes_on_with_what_it_has_counted() {
    let bed = Bed::new();
    let scope = spooled(&bed);
    for _ in 0..3 {
        assert_eq!(super::super::check(&scope, &bed.writer(), &short(1)).unwrap(), None);
    }
    let whole = super::super::check(&scope, &bed.writer(), &short(1)).unwrap();
    assert_eq!(whole, Some(check(&scope, &bed.writer()).unwrap()));
    assert_eq!(whole.map(|checked| checked.good), Some(451));
}
