//! Search judged by an oracle: a naive evaluation in memory, of our own reading of the standard, over what the caller may see.
//!
//! Nothing of the server's extraction or matching is used here. Random searches go over HTTP; both must give the same.

mod ask;
pub mod awkward;
mod chance;
mod exports;
mod generate;
mod hand_cases;
mod judge;
mod order;
pub mod readings;
mod search;
mod targets;
pub mod values;
mod world;

use crate::support::payer::TestPayer;
use chance::Chance;
use generate::Generator;
use std::collections::BTreeMap;
use world::World;

/// Random searches of a run.
const SEARCHES: usize = 2_000;
/// Differences that are printed.
const SHOWN: usize = 12;

/// Runs the searches and fails with what differs, by the parameters of the searches that differ.
async fn run(world: &World, seed: u64, searches: usize) {
    let mut generator = Generator::new(world, Chance::of(seed));
    let (mut wrong, mut blamed, mut found) = (Vec::new(), BTreeMap::<String, usize>::new(), 0);
    for number in 0..searches {
        let (caller, search) = generator.next();
        let now_ms = chrono::Utc::now().timestamp_millis();
        found += usize::from(!search.matches(caller, &world.base, now_ms).is_empty());
        if let Err(difference) = ask::check(world, caller, &search).await {
            let pairs = search.wire(&world.base);
            let text: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            for (name, _) in pairs {
                *blamed.entry(format!("{}?{name}", search.rtype)).or_default() += 1;
            }
            let difference: String = difference.chars().take(700).collect();
            wrong.push(format!(
                "{number}. {}: {}?{}\n   {difference}",
                caller.name,
                search.rtype,
                text.join("&")
            ));
        }
    }
    println!("{searches} searches, {found} of them find something");
    let shown = wrong.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n");
    assert!(
        wrong.is_empty(),
        "CAUSEWAY_TEST_SEED={seed}: {} of {searches} searches differ\n{shown}\nby parameter: {blamed:?}",
        wrong.len()
    );
    assert!(
        found * 3 > searches,
        "only {found} searches find anything: the generator is blind"
    );
}

#[tokio::test]
async fn every_declared_parameter_has_a_reading() {
    let (_payer, client) = TestPayer::start(1);
    let (all, mut unknown) = (world::declared(&client).await, Vec::new());
    assert!(!all.is_empty());
    for (rtype, declared) in &all {
        for (name, kind) in &declared.parameters {
            match readings::reading(rtype, name) {
                Some(reading) if reading.kind.code() == kind => {}
                other => unknown.push(format!("{rtype} {name} ({kind}): {other:?}")),
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
    for (rtype, names) in readings::COMBINATIONS {
        for name in *names {
            let declared = all.get(*rtype).map_or(&[][..], |one| &one.parameters);
            assert!(
                declared.iter().any(|(own, _)| own == name),
                "{rtype}?{name} is not declared"
            );
        }
    }
}

#[tokio::test]
async fn random_searches_give_what_the_oracle_gives() {
    let seed = Chance::seed();
    let world = World::synthetic().await;
    run(&world, seed, SEARCHES).await;
}

/// The same over published records, when `CAUSEWAY_TEST_DATA` names their folder.
#[tokio::test]
async fn random_searches_over_published_records_give_what_the_oracle_gives() {
    let Some(folder) = std::env::var_os("CAUSEWAY_TEST_DATA") else {
        return;
    };
    let seed = Chance::seed();
    let world = World::of_folder(folder.as_ref(), &mut Chance::of(seed)).await;
    run(&world, seed, SEARCHES).await;
}
