//! Benchmarks on files: columns, requests against a roster, and links of two files, on files small enough to be worked out by hand.

use causeway_identity::bench::csv::CsvTable;
use causeway_identity::bench::link::{link, map};
use causeway_identity::bench::member::{answer, on_all_cores, person, roster, word};
use causeway_identity::blocking::of_file;
use causeway_identity::compare::compare;
use causeway_identity::train::{Patterns, Strangers, bits, train};
use causeway_identity::{Facts, MatchOutcome, MatchingPolicy, Person, PersonName, Point, Profile, WrittenAddress};

fn table(text: &str) -> CsvTable {
    CsvTable::read(text.as_bytes()).expect("a table")
}

#[test]
fn a_table_knows_its_columns_and_joins_them() {
    let mut one = table("a,b,c\n1,2,3\n4,,\n7\n");
    assert!(one.has("a") && one.has("c") && !one.has("d"));
    assert!(!one.is_empty() && one.len() == 3);
    one.join(&["a", "b"], "d");
    one.join(&["c"], "e");
    assert!(one.has("d") && one.has("e"));
    let row = |row: usize| ["a", "b", "c", "d", "e"].map(|column| one.cell(row, column).to_owned());
    assert_eq!(row(0), ["1", "2", "3", "1 2", "3"]);
    assert_eq!(row(1), ["4", "", "", "4", ""], "what is empty is not joined");
    assert_eq!(row(2), ["7", "", "", "7", ""], "a row that is too short");
}

#[test]
fn a_quote_that_is_never_closed_is_an_error_whatever_stood_before() {
    for (text, is_read) in [
        ("a\n\"x\"\n\"y\"\n", true),
        ("a\n\"x\"\n\"y\n", false),
        ("a\n\"x\n\"y\"\n", false),
    ] {
        assert_eq!(CsvTable::read(text.as_bytes()).is_ok(), is_read, "{text:?}");
    }
    // However the file is cut into pieces when it is read.
    let pieces = |text: &'static str, at: usize| {
        let (head, tail) = text.as_bytes().split_at(at);
        CsvTable::read(std::io::BufReader::with_capacity(1, std::io::Read::chain(head, tail)))
    };
    for at in 0..10 {
        assert!(pieces("a\n\"x\"\n\"y\"\n", at).is_ok(), "{at}");
        assert!(pieces("a\n\"x\"\n\"yy\n", at).is_err(), "{at}");
    }
}

#[test]
fn columns_get_our_names_line_by_line() {
    let mut one = table("given_name,street,number\nAna,Elm St,12\n");
    map(
        &mut one,
        "# a comment\n\n first_name = given_name \naddress_line = number + street\n",
    )
    .expect("is mapped");
    assert_eq!(one.cell(0, "first_name"), "Ana");
    assert_eq!(one.cell(0, "address_line"), "12 Elm St");
    for (line, what) in [
        ("first_name", "expected ours = theirs: first_name"),
        ("city = suburb", "no such column: city = suburb"),
        ("city = street + suburb", "no such column: city = street + suburb"),
    ] {
        let error = map(&mut one, line).expect_err(line);
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (std::io::ErrorKind::InvalidData, what)
        );
    }
    assert!(map(&mut one, "").is_ok());
}

const HEADER: &str = "first_name,middle_name,last_name,suffix,birth_date,gender,ssn,ssn_last4,address_line,city,state,zip,phone,email,\
    member_id,subscriber_id";

#[test]
fn a_row_is_a_person_by_the_names_of_its_columns() {
    let rows = table(&format!(
        "{HEADER}\nAna,Maria,Lane,Jr,1984-07-09,f,912345678,5678,12 Elm,Tampa,FL,33601,555,a@b,M7,S5\n,,,,,,,,,,,,,,,x\n"
    ));
    let ana = Person {
        names: vec![PersonName {
            given: vec!["Ana".into(), "Maria".into()],
            family: "Lane".into(),
            suffix: "Jr".into(),
        }],
        birth_date: "1984-07-09".into(),
        gender: "f".into(),
        ssn: "912345678".into(),
        ssn_last4: "5678".into(),
        addresses: vec![WrittenAddress {
            line: "12 Elm".into(),
            city: "Tampa".into(),
            state: "FL".into(),
            zip: "33601".into(),
        }],
        phones: vec!["555".into()],
        emails: vec!["a@b".into()],
        member_ids: vec!["M7".into()],
        subscriber_ids: vec!["S5".into()],
        ..Person::default()
    };
    assert_eq!(person(&rows, 0), ana);
    let empty = person(&rows, 1);
    assert!(empty.names[0].given.is_empty() && empty.phones.is_empty() && empty.subscriber_ids == ["x"]);
}

#[test]
fn work_on_all_cores_gives_each_row_once_in_order() {
    for rows in [0, 1, 2, 3, 7, 64, 101] {
        let found = on_all_cores(rows, |row| row * 3);
        assert_eq!(found, (0..rows).map(|row| row * 3).collect::<Vec<_>>(), "{rows}");
    }
}

#[test]
fn requests_are_answered_by_the_rows_of_the_roster() {
    let records = table(&format!(
        "{HEADER}\nEva,,Stone,,1990-01-02,,,,,,,,,,,\nWalter,,Doubletree,,1961-04-09,,,,12 Elm St,Tampa,FL,33601,,,,\n"
    ));
    let queries = table(&format!(
        "{HEADER}\nWalter,,Doubletree,,1961-04-09,,,,12 Elm St,Tampa,FL,33601,,,,\nWalter,,Doubletree,,1961-04-09,,,,,,,,,,,\n\
         Zed,,Roe,,1911-11-11,,,,,,,,,,,\n"
    ));
    let roster = roster(&records);
    let of = |row| {
        let found = answer(&roster, &queries, row, &MatchingPolicy::default(), Point::Safe);
        assert_eq!(found.query, row);
        (word(found.decision.outcome), found.record, found.candidates)
    };
    assert_eq!(of(0), ("match", Some(1), vec![1]));
    assert_eq!(of(1), ("review", Some(1), vec![1]));
    assert_eq!(of(2), ("none", None, vec![]));
    assert_eq!(word(MatchOutcome::None), "none");
}

/// Two files of people whose fields all differ from each other's; each of the second is of the first, in another order.
fn people(rows: impl Iterator<Item = usize>) -> String {
    let mut text = format!("{HEADER}\n");
    for row in rows {
        let (a, b) = (row % 26, row / 26 % 26);
        let letters = |n: usize| char::from(b'a' + u8::try_from(n % 26).expect("a letter"));
        let given = format!("{}u{}o{}", letters(a), letters(b * 7 + 3), letters(a * 5 + b));
        let family = format!("{}e{}i{}a", letters(b), letters(a * 3 + 1), letters(a + b * 11));
        text.push_str(&format!(
            "{given},,{family},,19{:02}-{:02}-{:02},,9{:08},,{} {family} St,City{},{},{:05},555{:07},,,\n",
            row * 7 % 80 + 10,
            row % 12 + 1,
            row * 5 % 28 + 1,
            row * 1_234_567 % 100_000_000,
            row * 3 + 100,
            letters(row / 3),
            ["FL", "OR", "WA"][row % 3],
            row * 713 % 99_999,
            row * 76_543 % 10_000_000,
        ));
    }
    text
}

#[test]
fn each_record_of_the_second_file_is_linked_to_its_own_in_the_first() {
    let (first, second) = (table(&people(0..60)), table(&people((20..50).rev())));
    let links = link(&first, &second, &MatchingPolicy::default());
    let found: Vec<(usize, usize)> = links.iter().map(|link| (link.a, link.b)).collect();
    let expected: Vec<(usize, usize)> = (0..30).map(|row| (49 - row, row)).collect();
    assert_eq!(found, expected);
    assert!(links.iter().all(|link| link.total > 9f64.log2()));
    assert!(
        link(&first, &table(&people(70..75)), &MatchingPolicy::default()).is_empty(),
        "people of neither file"
    );
}

/// Links as the module says it: strangers are learnt from all pairs of both files. The crate draws pairs by a stride, which for these
/// numbers of rows visits each pair once.
fn totals_by_hand(first: &CsvTable, second: &CsvTable) -> Vec<(usize, usize, f64)> {
    let policy = MatchingPolicy::default();
    let profiles =
        |table: &CsvTable| -> Vec<Profile> { (0..table.len()).map(|row| Profile::from(&person(table, row))).collect() };
    let (a, b) = (profiles(first), profiles(second));
    let facts: Facts = a.iter().collect();
    let (mut all, mut found, mut pairs) = (Patterns::default(), Patterns::default(), Vec::new());
    let keys: Vec<Vec<String>> = a.iter().map(of_file).collect();
    for (row, asked) in b.iter().enumerate() {
        let own = of_file(asked);
        for (other, held) in a.iter().enumerate() {
            let levels = compare(asked, held, &facts).levels;
            all.add(levels);
            if own.iter().any(|key| keys[other].contains(key)) {
                found.add(levels);
                pairs.push((other, row, levels));
            }
        }
    }
    let found_pairs = found.pairs() as f64;
    let learnt = train(&found, &policy, &Strangers::FromRandom(all));
    let same = learnt.same * found_pairs / (a.len() * b.len()) as f64;
    let prior = (same / (1.0 - same)).log2();
    pairs
        .iter()
        .map(|(a, b, levels)| (*a, *b, bits(levels, &learnt.policy) + prior))
        .collect()
}

#[test]
fn a_link_weighs_what_the_files_teach_and_the_odds_of_any_pair() {
    for (first, second, both) in [(60, 0..30, 30), (60, 31..61, 29), (77, 0..61, 61)] {
        let (first, second) = (table(&people(0..first)), table(&people(second)));
        let by_hand = totals_by_hand(&first, &second);
        let links = link(&first, &second, &MatchingPolicy::default());
        assert_eq!(links.len(), both);
        for one in links {
            let expected = by_hand.iter().find(|(a, b, _)| (*a, *b) == (one.a, one.b));
            let (.., expected) = expected.expect("a pair that shares a key");
            assert!((one.total - expected).abs() < 1e-9, "{one:?}, expected {expected}");
        }
    }
}

#[test]
fn a_key_that_more_than_three_hundred_share_is_not_used() {
    let crowd = |count: usize| {
        let mut text = people(0..60);
        for row in 0..count {
            text.push_str(&format!(
                "Walter,,Doubletree,,1961-04-09,,,,,,,,,w{row}alter@example.com,,\n"
            ));
        }
        table(&text)
    };
    let second = table(&format!(
        "{}Walter,,Doubletree,,1961-04-09,,,,,,,,,w7alter@example.org,,\n",
        people(0..20)
    ));
    let last = |count: usize| {
        let links = link(&crowd(count), &second, &MatchingPolicy::default());
        links.iter().find(|one| one.b == 20).map(|one| one.a)
    };
    assert_eq!((last(300), last(301)), (Some(67), None));
}

#[test]
fn a_record_with_two_equal_counterparts_is_linked_to_none() {
    let first = table(&people((0..60).chain([7])));
    let links = link(&first, &table(&people(0..20)), &MatchingPolicy::default());
    let rows: Vec<usize> = links.iter().map(|link| link.b).collect();
    assert_eq!(rows, (0..20).filter(|row| *row != 7).collect::<Vec<_>>());
}
