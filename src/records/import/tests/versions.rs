//! Which version is kept, when it became visible, and stores of earlier versions of the program.

use super::*;
use crate::records::visible;
use crate::store::schema::visible_state;
use std::collections::{BTreeMap, BTreeSet};

/// A version of one resource: its name, its source's time (day of January 2020) and version id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version(&'static str, Option<u8>, Option<&'static str>);

impl Version {
    fn text(self, id: &str) -> String {
        let updated = self
            .1
            .map(|day| format!(r#""lastUpdated":"2020-01-{day:02}T00:00:00Z""#));
        let number = self.2.map(|id| format!(r#""versionId":"{id}""#));
        let meta: Vec<String> = updated.into_iter().chain(number).collect();
        let meta = if meta.is_empty() {
            String::new()
        } else {
            format!(r#""meta":{{{}}},"#, meta.join(","))
        };
        format!(
            r#"{{"resourceType":"Organization","id":"{id}",{meta}"name":"{}"}}"#,
            self.0
        )
    }

    /// The rule once more: whether this version is kept when it comes after `first`.
    fn stays_after(self, first: Version) -> bool {
        if let (Some(mine), Some(its)) = (self.1, first.1)
            && mine != its
        {
            return mine > its;
        }
        let number = |version: Version| version.2.and_then(|id| id.parse::<u32>().ok());
        match (number(self), number(first)) {
            (Some(mine), Some(its)) if mine != its => mine > its,
            _ => true,
        }
    }
}

/// Names by id, of all resources but the filler.
fn kept(payer: &Payers) -> BTreeMap<String, String> {
    let rows = payer.stored().into_iter().filter(|row| row.1.starts_with('o'));
    rows.map(|row| {
        let body: serde_json::Value = serde_json::from_str(&row.4).expect("JSON");
        (row.1, body["name"].as_str().expect("a name").to_owned())
    })
    .collect()
}

/// Ids and lines in the list of superseded versions.
fn listed(payer: &Payers) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(payer.options().superseded).unwrap_or_default();
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(line["type"], "Organization", "{line}");
        let id = line["id"].as_str().expect("an id").to_owned();
        assert_eq!(found.insert(id, line["line"].as_u64().expect("a line")), None, "{line}");
    }
    found
}

#[test]
fn the_newer_version_stays_whatever_the_order_and_whoever_loses_is_named() {
    let stamps = [None, Some(1), Some(2)];
    let numbers = [None, Some("9"), Some("10"), Some("a")];
    let mut pairs = Vec::new();
    for (s1, s2) in stamps.iter().flat_map(|a| stamps.iter().map(move |b| (*a, *b))) {
        for (n1, n2) in numbers.iter().flat_map(|a| numbers.iter().map(move |b| (*a, *b))) {
            pairs.push((Version("first", s1, n1), Version("second", s2, n2)));
        }
    }
    assert_eq!(pairs.len(), 144);
    let id = |at: usize| format!("o{at}");
    let wanted: BTreeMap<String, String> = pairs
        .iter()
        .enumerate()
        .map(|(at, (first, second))| {
            (
                id(at),
                if second.stays_after(*first) { second.0 } else { first.0 }.to_owned(),
            )
        })
        .collect();
    let firsts: Vec<String> = pairs
        .iter()
        .enumerate()
        .map(|(at, pair)| pair.0.text(&id(at)))
        .collect();
    let seconds: Vec<String> = pairs
        .iter()
        .enumerate()
        .map(|(at, pair)| pair.1.text(&id(at)))
        .collect();
    let near: Vec<String> = firsts
        .iter()
        .zip(&seconds)
        .flat_map(|(a, b)| [a.clone(), b.clone()])
        .collect();
    let filler: Vec<String> = (0..600)
        .map(|n| format!(r#"{{"resourceType":"Organization","id":"f{n}","name":"f"}}"#))
        .collect();
    let far = [firsts.clone(), filler, seconds.clone()].concat();
    let entries: Vec<String> = near.iter().map(|one| format!(r#"{{"resource":{one}}}"#)).collect();
    let bundle = format!(
        r#"{{"resourceType":"Bundle","type":"collection","entry":[{}]}}"#,
        entries.join(",")
    );
    let all: BTreeSet<String> = wanted.keys().cloned().collect();

    for (name, text) in [
        ("near.ndjson", near.join("\n")),
        ("bundle.json", bundle),
        ("far.ndjson", far.join("\n")),
    ] {
        let payer = Payers::new();
        let path = payer.file(name, &text);
        let report = payer.import(std::slice::from_ref(&path));
        assert_eq!((kept(&payer), report.superseded), (wanted.clone(), 144), "{name}");
        let lost = listed(&payer);
        assert_eq!(lost.keys().cloned().collect::<BTreeSet<_>>(), all, "{name}");
        let before = payer.stored();
        if name == "far.ndjson" {
            continue;
        }
        if name == "near.ndjson" {
            for (at, line) in lost
                .iter()
                .map(|(id, line)| (id[1..].parse::<u64>().expect("a number"), *line))
            {
                let loser = if wanted[&id(at as usize)] == "second" { 1 } else { 2 };
                assert_eq!(line, 2 * at + loser, "{:?}", pairs[at as usize]);
            }
        }
        payer.import(&[path]);
        assert_eq!(payer.stored(), before, "importing {name} again changes nothing");
    }
    // Two files in one run, in the order of their paths.
    let payer = Payers::new();
    let paths = [
        payer.file("1/x.ndjson", &firsts.join("\n")),
        payer.file("2/x.ndjson", &seconds.join("\n")),
    ];
    let report = payer.import(&paths);
    assert_eq!((kept(&payer), report.superseded), (wanted.clone(), 144), "files");
    let before = payer.stored();
    payer.import(&paths);
    assert_eq!(payer.stored(), before, "importing files again changes nothing");
    // Two runs.
    let payer = Payers::new();
    payer.import(&[payer.file("x.ndjson", &firsts.join("\n"))]);
    payer.import(&[payer.file("y.ndjson", &seconds.join("\n"))]);
    assert_eq!(kept(&payer), wanted, "runs");
    let stayed: BTreeSet<String> = wanted
        .iter()
        .filter(|one| one.1 == "first")
        .map(|one| one.0.clone())
        .collect();
    assert_eq!(listed(&payer).keys().cloned().collect::<BTreeSet<_>>(), stayed);
}

/// Id, time in the column, time in the body, and time of the source, of everything stored.
fn times(payer: &Payers) -> Vec<(String, i64, String, Option<i64>)> {
    let rows = payer.ctx.store.read_blocking(|db| {
        Ok(resource::table
            .order((resource::rtype, resource::id))
            .select((
                resource::id,
                resource::last_updated_ms,
                resource::body,
                resource::source_updated_ms,
            ))
            .load::<(String, i64, Vec<u8>, Option<i64>)>(db)?)
    });
    rows.expect("read")
        .into_iter()
        .map(|(id, ms, body, source)| {
            let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            let text = body["meta"]["lastUpdated"].as_str().expect("a time").to_owned();
            (id, ms, text, source)
        })
        .collect()
}

#[test]
fn a_version_is_of_the_time_at_which_it_became_visible_here() {
    let payer = Payers::new();
    let now_ms = payer.ctx.clock.now_ms();
    let late = Version("late", Some(1), None).text("o");
    payer.import(&[payer.file("x.ndjson", &[late.clone(), patient("p", "x")].join("\n"))]);
    for (id, ms, text, source) in times(&payer) {
        assert_eq!(text, crate::clock::rfc3339_ms(ms), "{id}");
        assert!(ms >= now_ms, "{id} of 2020 is of today");
        assert_eq!(source, (id == "o").then_some(1_577_836_800_000), "{id}");
    }
    // Even when the clock goes back, a later version gets a later time; a resource that did not change keeps its time.
    let before = times(&payer);
    payer.ctx.clock.advance_ms(-86_400_000);
    payer.import(&[payer.file(
        "x.ndjson",
        &[Version("later", Some(2), None).text("o"), patient("p", "x")].join("\n"),
    )]);
    let after = times(&payer);
    assert!(
        after[0].1 > before[0].1 && after[1] == before[1],
        "{before:?} {after:?}"
    );
    assert_eq!(after[0].2, crate::clock::rfc3339_ms(after[0].1));
}

#[test]
fn a_store_of_before_is_brought_up_and_knows_what_its_sources_said() {
    let payer = Payers::new();
    let own = r#"{"resourceType":"Organization","id":"own","name":"x"}"#;
    payer.import(&[payer.file(
        "x.ndjson",
        &[
            Version("new", Some(9), None).text("o"),
            own.to_owned(),
            patient("p", "x"),
        ]
        .join("\n"),
    )]);
    let now_ms = payer.ctx.clock.now_ms();
    // As an earlier version of the program wrote it: with the source's time, if there was one, and without the source columns.
    let rewrite = |id: &'static str, text: &'static str, ms: i64| {
        payer
            .ctx
            .store
            .write_blocking(move |db| {
                let body: Vec<u8> = resource::table
                    .filter(resource::id.eq(id))
                    .select(resource::body)
                    .first(db)?;
                let mut json: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
                json["meta"]["lastUpdated"] = text.into();
                diesel::update(resource::table.filter(resource::id.eq(id)))
                    .set((
                        resource::body.eq(json.to_string().into_bytes()),
                        resource::last_updated_ms.eq(ms),
                        resource::source_updated_ms.eq(None::<i64>),
                    ))
                    .execute(db)?;
                diesel::update(visible_state::table)
                    .set((
                        visible_state::after_key.eq(Some(-1i64)),
                        visible_state::last_ms.eq(0i64),
                    ))
                    .execute(db)?;
                Ok(())
            })
            .expect("written");
    };
    rewrite("o", "2020-01-09T00:00:00Z", 1_578_528_000_000);
    rewrite("own", "2021-01-01T00:00:00.000Z", 1_609_459_200_000);
    rewrite("p", "2021-01-01T00:00:00.000Z", 1_609_459_200_000);
    payer.ctx.clock.advance_ms(5_000);
    let mut told = 0;
    visible::bring_up(&payer.ctx, &mut |done| told = done).expect("brought up");
    assert_eq!(told, 3);
    let rows = times(&payer);
    assert!(
        rows.iter()
            .all(|row| row.1 >= now_ms + 5_000 && row.2 == crate::clock::rfc3339_ms(row.1)),
        "{rows:?}"
    );
    let sources: Vec<Option<i64>> = rows.iter().map(|row| row.3).collect();
    assert_eq!(sources, [Some(1_578_528_000_000), None, None]);
    visible::bring_up(&payer.ctx, &mut |_| panic!("there is nothing left")).expect("nothing to do");
    assert_eq!(times(&payer), rows);
    // An older version that arrives now does not replace it.
    let report = payer.import(&[payer.file("y.ndjson", &Version("old", Some(8), None).text("o"))]);
    assert_eq!((kept(&payer)["o"].as_str(), report.superseded), ("new", 1));
}

#[test]
fn a_version_that_is_refused_supersedes_nothing() {
    let refused = condition("c", "nobody");
    for (lines, superseded) in [
        (vec![condition("c", "a"), refused.clone()], 0),
        // The first loses to the second, and the third is refused.
        (vec![refused.clone(), condition("c", "a"), refused.clone()], 1),
    ] {
        let payer = Payers::new();
        let text = [&[patient("a", "x")][..], &lines].concat().join("\n");
        let report = payer.import(&[payer.file("x.ndjson", &text)]);
        assert_eq!(
            (report.stored, report.unchanged, report.superseded, report.rejected),
            (2, superseded, superseded, 1),
            "{lines:?}"
        );
    }
    // When both copies are refused, none of them counts as unchanged.
    let payer = Payers::new();
    let report = payer.import(&[payer.file("x.ndjson", &format!("{refused}\n{refused}"))]);
    assert_eq!((report.unchanged, report.rejected), (0, 2));
}

#[test]
fn new_and_changed_resources_of_nobody_are_stored_in_one_commit() {
    let payer = Payers::new();
    let of = |id: &str, name: &str| format!(r#"{{"resourceType":"Organization","id":"{id}","name":"{name}"}}"#);
    payer.import(&[payer.file("x.ndjson", &of("a", "first"))]);
    let text = [of("a", "second"), of("b", "new"), of("c", "new")].join("\n");
    let report = payer.import(&[payer.file("y.ndjson", &text)]);
    assert_eq!((report.stored, report.rejected), (3, 0));
    let all: BTreeSet<i64> = times(&payer).iter().map(|row| row.1).collect();
    assert_eq!(all.len(), 1, "{:?}", times(&payer));
}
