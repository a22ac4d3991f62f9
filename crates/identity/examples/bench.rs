//! `bench member ROSTER QUERIES safe|balanced OUT` answers member-match requests; `bench link A B MAP OUT` links two files;
//! `bench train ROSTER QUERIES OUT` writes a policy that is estimated from unlabeled requests.
//! Files may be compressed with gzip. The environment variable `POLICY` names a policy to use instead of the default one.

use causeway_identity::bench::csv::{CsvTable, writer};
use causeway_identity::bench::{link, member};
use causeway_identity::compare::compare;
use causeway_identity::train::{Patterns, Strangers, train};
use causeway_identity::{Field, Level, MatchingPolicy, Point, Profile};
use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::time::Instant;

fn table(path: &str) -> Result<CsvTable, Box<dyn Error>> {
    let file = File::open(path)?;
    Ok(if path.ends_with(".gz") {
        CsvTable::read(BufReader::new(flate2::read::GzDecoder::new(file)))?
    } else {
        CsvTable::read(BufReader::new(file))?
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["member", roster, queries, point, out] => run_member(roster, queries, point, out),
        ["train", roster, queries, out] => run_train(roster, queries, out),
        ["link", a, b, map, out] => run_link(a, b, map, out),
        _ => Err("usage: bench member ROSTER QUERIES safe|balanced OUT | bench link A B MAP OUT | bench train ROSTER QUERIES OUT".into()),
    }
}

fn run_member(roster: &str, queries: &str, point: &str, out: &str) -> Result<(), Box<dyn Error>> {
    let policy = match std::env::var("POLICY") {
        Ok(path) => MatchingPolicy::parse(&std::fs::read_to_string(path)?)?,
        Err(_) => MatchingPolicy::default(),
    };
    let point = if point == "balanced" {
        Point::Balanced
    } else {
        Point::Safe
    };
    let (records, queries) = (table(roster)?, table(queries)?);
    let begun = Instant::now();
    let roster = member::roster(&records);
    println!(
        "{} records indexed in {:.0} ms, {:.1} keys each",
        records.len(),
        begun.elapsed().as_secs_f64() * 1e3,
        roster.keys() as f64 / records.len().max(1) as f64
    );
    let mut file = writer(File::create(out)?);
    let header = "query_id,outcome,roster_id,total,margin,guard,rule,top,levels";
    file.write_record(header.split(','))?;
    let mut times = Vec::with_capacity(queries.len());
    let mut compared = 0usize;
    for row in 0..queries.len() {
        // The shorter of two runs: other processes may take the processor for milliseconds, while a decision takes microseconds.
        let mut shortest = f64::INFINITY;
        let mut timed = || {
            let begun = Instant::now();
            let answer = member::answer(&roster, &queries, row, &policy, point);
            shortest = shortest.min(begun.elapsed().as_secs_f64() * 1e6);
            answer
        };
        let _ = timed();
        let answer = timed();
        times.push(shortest);
        compared += answer.candidates.len();
        let record = answer.record.map_or("", |record| records.cell(record, "roster_id"));
        let top = answer.decision.ranked.first();
        let levels = top.map_or(String::new(), |top| {
            Field::ALL
                .into_iter()
                .filter(|field| top.levels.of(*field) != Level::Missing)
                .map(|field| format!("{}={}", field.code(), top.levels.of(field).code()))
                .collect::<Vec<_>>()
                .join(" ")
        });
        file.write_record([
            queries.cell(row, "query_id"),
            member::word(answer.decision.outcome),
            record,
            &format!("{:.1}", top.map_or(f64::NAN, |top| top.score.total)),
            &format!("{:.1}", answer.decision.margin),
            &answer
                .decision
                .guard
                .map_or(String::new(), |guard| format!("{guard:?}")),
            top.and_then(|top| top.rule).unwrap_or(""),
            top.and_then(|top| answer.candidates.get(top.candidate))
                .map_or("", |number| records.cell(*number as usize, "roster_id")),
            &levels,
        ])?;
    }
    file.flush()?;
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or(0.0);
    println!(
        "{} decisions, {:.1} candidates each; microseconds: p50 {:.0}, p99 {:.0}, longest {:.0}",
        times.len(),
        compared as f64 / times.len().max(1) as f64,
        at(0.5),
        at(0.99),
        times.last().copied().unwrap_or(0.0)
    );
    Ok(())
}

fn run_link(a: &str, b: &str, map: &str, out: &str) -> Result<(), Box<dyn Error>> {
    let (mut first, mut second) = (table(a)?, table(b)?);
    let map = std::fs::read_to_string(map)?;
    link::map(&mut first, &map)?;
    link::map(&mut second, &map)?;
    let begun = Instant::now();
    let links = link::link(&first, &second, &MatchingPolicy::default());
    println!("{} links in {:.0} ms", links.len(), begun.elapsed().as_secs_f64() * 1e3);
    let mut file = writer(File::create(out)?);
    file.write_record(["a", "b", "total"])?;
    for link in &links {
        let total = format!("{:.2}", link.total);
        file.write_record([first.cell(link.a, "id"), second.cell(link.b, "id"), &total])?;
    }
    file.flush()?;
    Ok(())
}

fn run_train(roster: &str, queries: &str, out: &str) -> Result<(), Box<dyn Error>> {
    let (records, queries) = (table(roster)?, table(queries)?);
    let (roster, start) = (member::roster(&records), MatchingPolicy::default());
    let (mut pairs, mut random) = (Patterns::default(), Patterns::default());
    for row in 0..queries.len() {
        let answer = member::answer(&roster, &queries, row, &start, Point::Safe);
        answer.decision.ranked.iter().for_each(|one| pairs.add(one.levels));
        let asked = Profile::from(&member::person(&queries, row));
        for step in 0..20 {
            let held = &roster.profiles()[(row * 7_919 + step * 104_729) % roster.profiles().len()];
            random.add(compare(&asked, held, roster.facts()).levels);
        }
    }
    let found = train(&pairs, &start, &Strangers::FromRoster(random, roster.facts().records()));
    println!(
        "{} pairs, {:.1} % of one person, {} rounds",
        pairs.pairs(),
        found.same * 100.0,
        found.rounds
    );
    std::fs::write(out, found.policy.canonical())?;
    Ok(())
}
