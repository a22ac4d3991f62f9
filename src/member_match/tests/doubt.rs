//! What the store keeps of a match that goes to a reviewer; and that the index follows changes of the record.

use super::*;
use crate::store::schema::{decision_candidate as candidates, identity_key as keys};

#[actix_web::test]
async fn a_doubtful_match_keeps_its_candidates_and_says_why_without_naming_them() {
    let world = World::new(&[ANA, BEN]).await;
    let other_card = but(&ANA, "/1/resource/identifier/0/value", json!("M2"));
    assert_eq!(fault(world.ask(&other_card, None).await), Fault::NoUniqueMember);
    let (id, detail, version): (String, String, String) = world
        .sql(|db| {
            let columns = (decision::id, decision::detail, decision::policy_version);
            Ok(decision::table.select(columns).first(db)?)
        })
        .await;
    let kept: Vec<(String, i64, String)> = world
        .sql(|db| {
            let columns = (candidates::decision_id, candidates::place, candidates::patient_id);
            Ok(candidates::table.order(candidates::place).select(columns).load(db)?)
        })
        .await;
    assert_eq!(kept, [(id, 0, "p1".to_owned())], "not whoever comes nowhere near");
    let detail: Value = serde_json::from_str(&detail).expect("json");
    assert_eq!(
        (&detail["outcome"], &detail["guard"]),
        (&json!("review"), &json!("id_contradicts"))
    );
    assert_eq!(detail["candidates"][0]["fields"]["member_id"], "differ");
    assert_eq!(detail["candidates"][0]["fields"]["phone"], "missing");
    assert!(
        detail["candidates"][0]["weights"]["birth"].as_f64() > Some(10.0),
        "{detail}"
    );
    assert!(detail["candidates"][0]["weights"].get("phone").is_none());
    assert_eq!(
        (&detail["roster"]["no"], &detail["roster"]["records"]),
        (&json!(1), &json!(2))
    );
    assert!(detail["thresholds"]["needed"].is_number() && detail["thresholds"]["prior"].as_f64() < Some(0.0));
    assert!(detail["thresholds"]["accept"].is_number() && version.starts_with("fs-3:safe:"));
    let traces = world.traces().await;
    for word in ["Núñez", "nunez", "Ana", "1984", "M2", "p1", "U1"] {
        assert!(!traces.contains(word), "{word} in {traces}");
    }
}

#[actix_web::test]
async fn a_changed_card_is_found_under_its_new_number_only() {
    let world = World::new(&[ANA, BEN]).await;
    let keys = |no: i64| {
        world.sql(move |db| {
            let mine = keys::table.filter(keys::compartment.eq(no));
            Ok(mine.order(keys::hash).select(keys::hash).load::<i64>(db)?)
        })
    };
    let (ana, ben) = (keys(1).await, keys(2).await);
    let indexer = crate::records::index::Indexer::open(&world.ctx).expect("an indexer");
    world
        .sql(move |db| {
            let mine = resource_identifier::table.filter(resource_identifier::value.eq("S1"));
            diesel::update(mine)
                .set(resource_identifier::value.eq("S9"))
                .execute(db)?;
            crate::records::index::renew(db, &indexer, &[1])
        })
        .await;
    let renewed = keys(1).await;
    let gone = ana.iter().filter(|key| !renewed.contains(key)).count();
    let come = renewed.iter().filter(|key| !ana.contains(key)).count();
    assert_eq!((gone, come, keys(2).await), (1, 1, ben));
    let indexer = crate::records::index::Indexer::open(&world.ctx).expect("an indexer");
    world
        .sql(move |db| {
            diesel::delete(member::table.filter(member::compartment.eq(1))).execute(db)?;
            crate::records::index::renew(db, &indexer, &[1])
        })
        .await;
    assert_eq!(keys(1).await, Vec::<i64>::new(), "whoever is gone is found by nothing");
    assert_eq!(fault(world.ask(&asking(&ANA), None).await), Fault::NoUniqueMember);
}
