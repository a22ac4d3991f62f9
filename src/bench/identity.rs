//! Measures the matcher with a store of many members: one decision with its record on one core, and a batch on all cores.
//!
//! The store is filled with the code with which an import writes the index; resources are left out, because no decision reads them. The
//! measured time begins with the person that a request describes and ends with the decision record as it would be written. Parsing the
//! request and the durable write are measured by `bench match`.

use super::folder::Folder;
use super::plan::BenchPlan;
use super::report::{BenchFigure, Limit};
use crate::app::wiring;
use crate::config::Config;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::identity::{MatchOutcome, Person, Profile};
use crate::member_match::{FirstLook, MatchBasis, WantedMember, identify};
use crate::records::index::{self, Indexer};
use crate::store::resources::{self, Compartment};
use crate::store::{StoreUrl, identity as rows};
use crate::synth::{Member, SynthOptions};
use crate::terminal::Out;
use causeway_identity::{PersonName, WrittenAddress};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

/// Members that are written in one transaction.
const CHUNK: u64 = 5_000;
/// Most requests that are measured; at most as many as there are members. The same number of others comes first to warm the cache.
const REQUESTS_MAX: u64 = 10_000;
/// How often each request is answered. The shortest time counts, because other processes may take the processor for longer than a decision
/// takes. All requests are answered before any is repeated, so that its pages are not in the database's cache.
const ROUNDS: usize = 3;
/// Seeds of the members, and of people who are not members.
const SEEDS: [u64; 2] = [1, 3];

/// Fills a store and measures it.
///
/// # Errors
/// Those of the store and the files.
pub(super) fn measure(plan: &BenchPlan, out: &mut Out) -> Result<Vec<BenchFigure>, Failure> {
    if plan.postgres.is_some() {
        out.note("identity: measured over SQLite only");
    }
    let folder = Folder::make(&plan.folder)?;
    let mut config = Config::defaults()?;
    config.store.url = StoreUrl::Sqlite(folder.path().join("causeway.db"));
    let ctx = wiring::open(&config)?;
    let members = plan.members;
    out.note(&format!("identity: filling a store with {members} members"));
    let began = Instant::now();
    fill(&ctx, members)?;
    ctx.store.settle();
    let filled = members as f64 / began.elapsed().as_secs_f64();

    let requests = members.min(REQUESTS_MAX);
    answer(&ctx, members, 0..requests)?;
    let mut times = answer(&ctx, members, requests..2 * requests)?;
    for _ in 1..ROUNDS {
        let again = answer(&ctx, members, requests..2 * requests)?;
        for (time, other) in times.us.iter_mut().zip(again.us) {
            *time = time.min(other);
        }
    }
    times.us.sort_by(f64::total_cmp);
    let at = |share: f64| {
        times
            .us
            .get((times.us.len() as f64 * share) as usize)
            .copied()
            .unwrap_or(0.0)
    };
    let measured = |name, unit, value| {
        let mut measure = BenchFigure::new(name, unit, "sqlite", value);
        measure.rows = members;
        measure
    };
    let mut median = measured("identity.decision", "us", at(0.5)).limit(Limit::AtMost(150.0));
    median.detail("p90", at(0.9));
    median.detail("candidates", times.compared as f64 / requests as f64);
    median.detail("matched", times.outcomes[0] as f64);
    median.detail("review", times.outcomes[1] as f64);
    median.detail("none", times.outcomes[2] as f64);
    let mut tail = measured("identity.decision_p99", "us", at(0.99)).limit(Limit::AtMost(1_000.0));
    tail.detail("longest", at(1.0 - 1.0 / requests as f64));
    let (mut batch_ms, cores) = batch(&ctx, members, requests)?;
    for _ in 1..ROUNDS {
        batch_ms = batch_ms.min(batch(&ctx, members, requests)?.0);
    }
    let mut batch = measured("identity.batch", "ms a request", batch_ms).limit(Limit::AtMost(0.1));
    batch.detail("cores", cores as f64);
    let fill = measured("identity.fill", "members/s", filled);
    Ok(vec![median, tail, batch, fill])
}

fn fill(ctx: &Context, members: u64) -> Result<(), Failure> {
    let indexer = Indexer::open(ctx)?;
    let options = SynthOptions {
        members,
        seed: SEEDS[0],
        ..SynthOptions::default()
    };
    let (made_in, made_out) = sync_channel::<(Vec<(i64, String)>, Vec<rows::IndexedMember>)>(2);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for from in (0..members).step_by(CHUNK as usize) {
                let (mut names, mut made) = (Vec::new(), Vec::new());
                for at in from..(from + CHUNK).min(members) {
                    let no = i64::try_from(at + 1).unwrap_or(i64::MAX);
                    let member = Member::of(&options, at);
                    made.push(indexer.indexed(no, &Profile::from(&recorded(&member))));
                    names.push((no, member.patient_id));
                }
                if made_in.send((names, made)).is_err() {
                    return;
                }
            }
        });
        for (names, made) in made_out {
            ctx.store.write_blocking(move |db| {
                let opened: Vec<Compartment<'_>> = names
                    .iter()
                    .map(|(no, patient_id)| Compartment {
                        no: *no,
                        patient_id,
                        umb: patient_id,
                        next_seq: 1,
                    })
                    .collect();
                resources::open_compartments(db, &opened)?;
                rows::put(db, &made)
            })?;
        }
        Ok::<(), Failure>(())
    })?;
    index::count(ctx)
}

/// A person with the data of the record.
fn recorded(member: &Member) -> Person {
    Person {
        names: vec![PersonName {
            given: member.given.clone(),
            family: member.family.clone(),
            suffix: member.suffix.unwrap_or_default().to_owned(),
        }],
        birth_date: member.birth_date.to_string(),
        gender: member.gender.to_owned(),
        addresses: vec![WrittenAddress {
            line: member.street.clone(),
            city: member.city.to_owned(),
            state: member.state.to_owned(),
            zip: member.postal_code.to_owned(),
        }],
        phones: vec![member.phone.clone()],
        emails: member.email.iter().cloned().collect(),
        member_ids: vec![member.member_number.clone()],
        subscriber_ids: vec![member.subscriber_id.clone()],
        ..Person::default()
    }
}

/// Request number `at` of an endless series: exact cards, nicknames with a new address, typing errors, other family names, and people who
/// are not members.
fn requested(members: u64, at: u64) -> Person {
    let kind = at % 5;
    let options = SynthOptions {
        members,
        seed: if kind == 4 { SEEDS[1] } else { SEEDS[0] },
        ..SynthOptions::default()
    };
    let member = Member::of(&options, at.wrapping_mul(2_654_435_761) % members);
    let mut person = recorded(&member);
    person.own_numbers.clone_from(&person.member_ids);
    if kind != 0 {
        person.member_ids.clear();
        person.own_numbers.clear();
        person.subscriber_ids.clear();
    }
    if kind == 1 {
        if let (Some(name), Some(short)) = (person.names.first_mut(), member.nickname) {
            name.given = vec![short.to_owned()];
        }
        person.addresses.clear();
    }
    if let (2, Some(name)) = (kind, person.names.first_mut()) {
        // Two letters are swapped.
        let mut letters: Vec<char> = name.family.chars().collect();
        if letters.len() > 3 {
            letters.swap(1, 2);
        }
        name.family = letters.into_iter().collect();
        person.emails.clear();
    }
    if let (3, Some(name)) = (kind, person.names.first_mut()) {
        name.family = "Vandermeulen".to_owned();
    }
    person
}

#[derive(Default)]
struct Answers {
    us: Vec<f64>,
    compared: usize,
    outcomes: [u64; 3],
}

/// Answers a part of the series on this thread.
fn answer(ctx: &Context, members: u64, series: std::ops::Range<u64>) -> Result<Answers, Failure> {
    let (hasher, rules, store) = (ctx.store.key_hasher()?, Arc::clone(&ctx.matching), ctx.store.clone());
    ctx.store.read_blocking(|db| {
        let mut answers = Answers::default();
        for at in series {
            let person = requested(members, at);
            let began = Instant::now();
            let wanted = WantedMember {
                profile: Profile::from(&person),
                partner_id: "new-payer".into(),
                consent_digest: at.to_be_bytes().to_vec(),
                now_ms: 0,
            };
            let basis = MatchBasis::read(db, &store, hasher.clone(), &rules)?;
            let judgement = identify(db, &basis, &wanted, &mut FirstLook::default())?;
            let record = judgement.detail(&rules, Ok("regular"), "1.1");
            answers.us.push(began.elapsed().as_secs_f64() * 1e6);
            answers.compared += judgement.compared;
            let place = match judgement.outcome {
                MatchOutcome::Match(_) => 0,
                MatchOutcome::Review(_) => 1,
                MatchOutcome::None => 2,
            };
            answers.outcomes[place] += 1;
            std::hint::black_box(record);
        }
        Ok(answers)
    })
}

/// Milliseconds for each request when every core answers a part.
fn batch(ctx: &Context, members: u64, requests: u64) -> Result<(f64, usize), Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let began = Instant::now();
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..cores as u64)
            .map(|core| {
                let from = (2 + core) * requests;
                scope.spawn(move || answer(ctx, members, from..from + requests).map(|_| ()))
            })
            .collect();
        parts.into_iter().try_for_each(|part| {
            part.join()
                .unwrap_or_else(|_| Err(Failure::new(Fault::Internal).because("a worker panicked")))
        })
    })?;
    let answered = requests * cores as u64;
    Ok((began.elapsed().as_secs_f64() * 1e3 / answered as f64, cores))
}
