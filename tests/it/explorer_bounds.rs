//! Pages of a session that end in time and size, however slow the store is and however large a record.

use crate::explorer_session::{assert_page, counted, token_of};
use crate::support::browser::Browser;
use crate::support::matched::Matched;
use crate::support::store::on_postgres;
use diesel::connection::SimpleConnection as _;
use serde_json::json;

#[tokio::test]
async fn the_start_page_is_there_when_the_types_cannot_be_counted() {
    let payer = Matched::start(1).await;
    let mut browser = Browser::new(&payer.client);
    assert_page(&browser.paste(token_of(&payer)).await, 200);
    let mut db = payer.payer.db();
    db.batch_execute("ALTER TABLE resource RENAME TO resource_away")
        .expect("renamed");
    let start = assert_page(&browser.follow("/fhir").await, 200);
    assert!(
        start.contains("could not be counted just now") && start.contains("All Observation"),
        "{start}"
    );
    db.batch_execute("ALTER TABLE resource_away RENAME TO resource")
        .expect("renamed");
    if on_postgres() {
        db.batch_execute("BEGIN; LOCK TABLE resource IN ACCESS EXCLUSIVE MODE")
            .expect("locked");
        // It comes at all: the lock is held until then.
        let start = assert_page(&browser.follow("/fhir").await, 200);
        assert!(start.contains("could not be counted just now"), "{start}");
        db.batch_execute("ROLLBACK").expect("unlocked");
    }
    counted(&mut browser).await;
}

#[tokio::test]
async fn the_page_of_a_large_record_ends_and_leads_on() {
    let payer = Matched::start(1).await;
    let data = "A".repeat(150_000);
    let lines = (0..20).map(|at| {
        let document = json!({"resourceType": "DocumentReference", "id": format!("large-{at}"), "status": "current",
            "subject": {"reference": format!("Patient/{}", payer.id)},
            "content": [{"attachment": {"contentType": "application/pdf", "data": data}}]});
        format!("{document}\n")
    });
    std::fs::write(payer.payer.home().join("large.ndjson"), lines.collect::<String>()).expect("a file");
    let said = payer.payer.json_command(&["import", "large.ndjson"]);
    assert_eq!(said["rejected"], 0, "{said}");
    let mut browser = Browser::new(&payer.client);
    assert_page(&browser.paste(token_of(&payer)).await, 200);
    let mut seen = Vec::new();
    let mut at = Some(format!("/fhir/Patient/{}", payer.id));
    let mut pages = 0;
    while let Some(path) = at.take() {
        let page = assert_page(&browser.follow(&path).await, 200);
        pages += 1;
        assert!(pages < 20, "{path}");
        if pages == 1 {
            assert!(
                page.contains("This page ends here: it shows at most 200 resources and about 1 MiB of a record."),
                "{page}"
            );
        }
        let on_page = (0..20).filter(|at| page.contains(&format!("href=\"/fhir/DocumentReference/large-{at}\"")));
        let on_page: Vec<usize> = on_page.collect();
        assert!(on_page.len() <= 7, "{on_page:?} on one page");
        seen.extend(on_page);
        let next = page
            .split("rel=\"next\"")
            .next()
            .filter(|before| before.len() < page.len());
        at = next.and_then(|before| {
            let href = before.rsplit("href=\"").next()?;
            Some(href.split('"').next()?.replace("&amp;", "&"))
        });
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
}
