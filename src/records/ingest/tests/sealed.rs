//! Bodies: whole or not at all, and readable only with the file of keys.

use super::*;
use crate::store::schema::{ingest_page, ingest_part, ingest_piece};

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn rows(bed: &Bed) -> (i64, i64) {
    let count = |db: &mut crate::store::Db| -> Result<(i64, i64), Failure> {
        Ok((
            ingest_page::table.count().get_result(db)?,
            ingest_piece::table.count().get_result(db)?,
        ))
    };
    bed.ctx().store.read_blocking(count).unwrap()
}

#[test]
fn no_name_and_no_number_of_a_member_stands_in_files_or_columns() {
    let bed = Bed::new();
    let scope = bed.scope_of("e1", "other", "their-p-ZEBRA7", "p");
    let mut person = person();
    person["id"] = "their-p-ZEBRA7".into();
    person["name"] = json!([{"family": "QUAGGA-FAMILY", "given": ["OKAPI-GIVEN"]}]);
    person["identifier"] = json!([{"system": "https://other.example/member", "value": "MEMBER-771-NARWHAL"}]);
    let mut stranger = condition("c1", "Patient/someone-ZEBRA7");
    stranger["note"] = json!([{"text": "QUAGGA-FAMILY has it"}]);
    let mut body = bundle(&[person, stranger]);
    // A link as well can name a member.
    body.insert_str(
        1,
        &format!("\"link\":[{{\"relation\":\"next\",\"url\":\"{THEIRS}/Condition?patient=their-p-ZEBRA7\"}}],"),
    );
    let landed = runtime().block_on(bed.spool(&scope, body.as_bytes())).unwrap();
    assert!(landed.part.next.is_some());
    store(&scope, &bed.writer()).unwrap();
    let folder = bed.store.folder();
    bed.ctx().store.settle();
    let mut scanned = 0;
    for place in [folder.path(), bed.keys.path()] {
        for entry in std::fs::read_dir(place).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            scanned += bytes.len();
            for word in ["QUAGGA", "OKAPI", "NARWHAL", "ZEBRA7"] {
                assert!(
                    memchr::memmem::find(&bytes, word.as_bytes()).is_none(),
                    "{word} is readable"
                );
            }
        }
    }
    assert!(scanned > 50_000, "the files of the store were read");
    let (shown, _) = quarantined(&scope, (0, -1), 9).unwrap();
    assert!(
        String::from_utf8_lossy(&shown[0].bytes).contains("QUAGGA-FAMILY"),
        "with the keys it can be shown"
    );
}

#[test]
fn a_body_counts_only_when_it_came_to_its_end() {
    let bed = Bed::new();
    let scope = bed.scope("e1");
    let mut record = vec![person()];
    record.extend((0..3_000).map(|n| condition(&format!("c{n}"), "Patient/their-p")));
    let body = bundle(&record);
    assert!(body.len() > 512 << 10, "several pieces");
    let cut = &body.as_bytes()[..body.len() - 5];
    let broken = runtime().block_on(bed.spool(&scope, cut)).expect_err("cut off");
    assert_eq!(broken.fault(), Fault::NotJson);
    assert_eq!(rows(&bed).0, 0, "there is no page");
    let landed = runtime().block_on(bed.spool(&scope, body.as_bytes())).unwrap();
    assert_eq!((landed.part.state, landed.part.entries), (PartState::Whole, 3_001));
    let pieces = i64::try_from(body.len().div_ceil(256 << 10)).unwrap();
    assert_eq!(rows(&bed), (1, pieces), "what the broken one left is gone");
    let came = arrivals(&scope).unwrap();
    assert_eq!(
        (came.bytes, came.types["Condition"], came.types["Patient"]),
        (body.len() as u64, 3_000, 1)
    );
    assert_eq!(store(&scope, &bed.writer()).unwrap().stored, 3_000);
    for wrong in ["{\"resourceType\":\"OperationOutcome\"}", "{}"] {
        let other = bed.scope(wrong);
        let refused = runtime()
            .block_on(bed.spool(&other, wrong.as_bytes()))
            .expect_err("no Bundle");
        assert_eq!(refused.fault(), Fault::PartnerNotFhir);
    }
}

#[test]
fn pages_that_lead_back_are_noticed() {
    let bed = Bed::new();
    let scope = bed.scope("e1");
    runtime().block_on(async {
        let parts = open(&scope, &bed.writer(), "search", &["Goal".to_owned()])
            .await
            .unwrap();
        let part = parts[0].clone();
        let mut page = PageWriter::begin(&scope, &bed.writer(), part.clone(), "https://a/1")
            .await
            .unwrap();
        page.write(br#"{"resourceType":"Bundle","link":[{"relation":"next","url":"https://a/1"}]}"#)
            .await
            .unwrap();
        let landed = page.finish(0).await.unwrap();
        assert_eq!(landed.part.state, PartState::Open);
        let again = PageWriter::begin(&scope, &bed.writer(), landed.part, "https://a/1").await;
        assert_eq!(
            again.err().map(|failure| failure.fault()),
            Some(Fault::PartnerPagesLoop)
        );
        mark_part(
            &scope,
            &bed.writer(),
            "Goal",
            PartState::Broken,
            Some(Fault::PartnerPagesLoop),
            false,
        )
        .await
        .unwrap();
        let part = &parts_of(&scope)[0];
        assert_eq!((part.state, part.pages), (PartState::Broken, 1), "what came is kept");
        mark_part(&scope, &bed.writer(), "Goal", PartState::Open, None, true)
            .await
            .unwrap();
        let part = &parts_of(&scope)[0];
        assert_eq!((part.state, part.pages, part.next.clone()), (PartState::Open, 0, None));
        assert_eq!(rows(&bed), (1, 1), "what came before is kept");
        let again = PageWriter::begin(&scope, &bed.writer(), part.clone(), "https://a/1").await;
        assert!(again.is_ok(), "asked for anew, it begins anew");
    });
}

fn parts_of(scope: &IngestScope) -> Vec<RecordPart> {
    parts(scope).unwrap()
}

#[test]
fn fewer_resources_than_were_announced_are_told() {
    let bed = Bed::new();
    let scope = bed.scope("e1");
    let text = bundle(&[condition("c1", "Patient/their-p")]).replacen('{', "{\"total\":3,", 1);
    let landed = runtime().block_on(bed.spool(&scope, text.as_bytes())).unwrap();
    assert_eq!(landed.part.state, PartState::Short);
    let short = Shortfall::of(&landed.part).unwrap();
    assert_eq!((short.count, short.page), (Some(2), None));
}

#[test]
fn a_later_page_does_not_take_back_how_many_were_announced() {
    let bed = Bed::new();
    let scope = bed.scope("e1");
    let page = |total: u32, id: &str, next: &str| {
        let said = format!("{{\"total\":{total},{next}");
        bundle(&[condition(id, "Patient/their-p")]).replacen('{', &said, 1)
    };
    let next = r#""link":[{"relation":"next","url":"https://other.example/fhir/2"}],"#;
    let first = runtime()
        .block_on(bed.spool(&scope, page(3, "c1", next).as_bytes()))
        .unwrap();
    assert_eq!((first.part.state, first.part.expected), (PartState::Open, Some(3)));
    let last = runtime()
        .block_on(bed.spool(&scope, page(2, "c2", "").as_bytes()))
        .unwrap();
    assert_eq!(last.part.state, PartState::Short);
    assert_eq!(Shortfall::of(&last.part).unwrap().count, Some(1));
}

type Spoil = fn(&mut crate::store::Db) -> diesel::QueryResult<usize>;

#[test]
fn a_piece_that_was_changed_moved_or_lost_is_noticed() {
    let bed = Bed::new();
    let mut record = vec![person()];
    record.extend((0..3_000).map(|n| condition(&format!("c{n}"), "Patient/their-p")));
    let spoil: [Spoil; 3] = [
        |db| {
            diesel::update(ingest_piece::table.filter(ingest_piece::piece.eq(1)))
                .set(ingest_piece::sealed.eq(vec![7; 400]))
                .execute(db)
        },
        |db| diesel::delete(ingest_piece::table.filter(ingest_piece::piece.eq(1))).execute(db),
        |db| {
            let last: Vec<u8> = ingest_piece::table
                .filter(ingest_piece::piece.eq(0))
                .select(ingest_piece::sealed)
                .first(db)?;
            diesel::update(ingest_piece::table.filter(ingest_piece::piece.eq(1)))
                .set(ingest_piece::sealed.eq(last))
                .execute(db)
        },
    ];
    for (n, spoil) in spoil.into_iter().enumerate() {
        let scope = bed.scope(&format!("e{n}"));
        runtime()
            .block_on(bed.spool(&scope, bundle(&record).as_bytes()))
            .unwrap();
        check(&scope, &bed.writer()).expect("whole");
        bed.ctx().store.write_blocking(move |db| Ok(spoil(db)?)).unwrap();
        assert_eq!(
            check(&scope, &bed.writer()).expect_err("spoiled").fault(),
            Fault::SealBroken
        );
        let all = |db: &mut crate::store::Db| -> Result<(), Failure> {
            diesel::delete(ingest_piece::table).execute(db)?;
            diesel::delete(ingest_page::table).execute(db)?;
            diesel::delete(ingest_part::table).execute(db)?;
            Ok(())
        };
        bed.ctx().store.write_blocking(all).unwrap();
    }
}

#[test]
fn a_body_that_is_lost_comes_again_and_what_it_brought_can_be_taken_out() {
    let bed = Bed::new();
    let before = bed.dump();
    let scope = bed.scope("e1");
    bed.bring(&scope, &[person(), condition("c1", "Patient/their-p")]);
    let spoil: Spoil = |db| {
        diesel::update(ingest_piece::table)
            .set(ingest_piece::sealed.eq(vec![7; 400]))
            .execute(db)
    };
    bed.ctx().store.write_blocking(move |db| Ok(spoil(db)?)).unwrap();
    assert_eq!(
        check(&scope, &bed.writer()).expect_err("spoiled").fault(),
        Fault::SealBroken
    );
    assert_eq!(open_lost(&scope, &bed.writer()).unwrap(), 1);
    let part = parts_of(&scope).remove(0);
    assert_eq!((part.state, part.pages), (PartState::Open, 0), "it is asked for again");
    assert_eq!(arrivals(&scope).unwrap().bytes, 0);
    let counts = bed.bring(&scope, &[person(), condition("c1", "Patient/their-p")]);
    assert_eq!((counts.stored, counts.unchanged), (0, 2), "{counts:?}");
    assert_eq!(open_lost(&scope, &bed.writer()).unwrap(), 0);
    retract(bed.ctx(), &bed.vault(), &bed.writer(), "e1").unwrap();
    assert_eq!(bed.dump(), before);
}

/// Lets all of the record come again.
fn begin_anew(bed: &Bed, scope: &IngestScope) {
    let writer = bed.writer();
    let marked = mark_part(scope, &writer, "$everything", PartState::Open, None, true);
    runtime().block_on(marked).unwrap();
}

#[test]
fn what_comes_again_because_its_part_began_anew_counts_once() {
    let bed = Bed::new();
    let scope = bed.scope("e1");
    let record = [
        person(),
        condition("c1", "Patient/their-p"),
        condition("c2", "Patient/their-p"),
        condition("s1", "Patient/somebody-else"),
    ];
    let first = bed.bring(&scope, &record);
    assert_eq!(
        (first.stored, first.unchanged, first.quarantined.values().sum::<u64>()),
        (2, 1, 1),
        "{first:?}"
    );
    for again in 1..=2 {
        begin_anew(&bed, &scope);
        assert_eq!(bed.bring(&scope, &record), first, "{again}");
        let checked = check(&scope, &bed.writer()).unwrap();
        assert_eq!(
            (checked.good, checked.quarantined.values().sum::<u64>()),
            (3, 1),
            "{again}"
        );
    }
    // One of them does not come again: it is still stored, and still counts.
    begin_anew(&bed, &scope);
    assert_eq!(bed.bring(&scope, &record[..2]), first);
}

#[test]
fn a_page_that_comes_twice_counts_once_and_entries_have_a_limit() {
    let bed = Bed::new();
    let scope = bed.scope("e1");
    let text = bundle(&[condition("c1", "Patient/their-p")]);
    runtime().block_on(async {
        bed.spool(&scope, text.as_bytes()).await.unwrap();
        let again = bed.spool(&scope, text.as_bytes()).await.expect_err("the same body");
        assert_eq!(again.fault(), Fault::PartnerPagesLoop);
        assert_eq!(arrivals(&scope).unwrap().types["Condition"], 1);
        let part = parts(&scope).unwrap().remove(0);
        let mut page = PageWriter::begin(&scope, &bed.writer(), part, "https://a/9")
            .await
            .unwrap();
        page.at_most(2);
        let many: Vec<Json> = (0..3).map(|n| condition(&format!("d{n}"), "Patient/their-p")).collect();
        let refused = page.write(bundle(&many).as_bytes()).await.expect_err("too many");
        assert_eq!(refused.fault(), Fault::PartnerTooMuch);
    });
    assert_eq!(size(&scope).unwrap().pages, 1);
    // Set aside, it counts no more, and still takes up room.
    begin_anew(&bed, &scope);
    assert_eq!(arrivals(&scope).unwrap().bytes, 0);
    assert_eq!(size(&scope).unwrap().bytes, text.len() as u64);
}
