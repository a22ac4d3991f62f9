//! A body of a bulk match that is read in pieces.

use super::*;

fn member(id: &str, family: &str, card: &str) -> String {
    format!(
        r#"{{"name":"MemberBundle","part":[{{"name":"MemberPatient","resource":{{"resourceType":"Patient","id":"{id}","name":[{{"family":"{family}"}}]}}}},{{"name":"CoverageToMatch","resource":{{"resourceType":"Coverage","subscriberId":"{card}"}}}}]}}"#
    )
}

fn body(parameters: &[String]) -> Vec<u8> {
    format!(
        r#"{{"resourceType":"Parameters","parameter":[{}]}}"#,
        parameters.join(",")
    )
    .into_bytes()
}

/// The text of all lines of a body that comes in pieces of `step` bytes, and its spool.
fn read_by(body: &[u8], members_max: usize, step: usize) -> Result<(Vec<u8>, MemberSpool), Failure> {
    let (mut reader, mut lines) = (MemberReader::new(members_max), Vec::new());
    for bytes in body.chunks(step) {
        lines.extend(reader.feed(bytes)?);
    }
    let (rest, spool) = reader.end()?;
    lines.extend(rest);
    let text = lines.iter().flat_map(|line| [line.as_slice(), b"\n"].concat());
    Ok((text.collect(), spool))
}

fn read(body: &[u8], members_max: usize) -> Result<(Vec<u8>, MemberSpool), Failure> {
    let (text, spool) = read_by(body, members_max, 7)?;
    let (whole, at_once) = read_by(body, members_max, usize::MAX)?;
    assert!(text == whole && spool.pieces == at_once.pieces && spool.repeated == at_once.repeated);
    Ok((text, spool))
}

fn fault(body: &[u8]) -> Fault {
    read(body, 10).expect_err("refused").fault()
}

#[test]
fn members_are_read_back_piece_by_piece_with_their_index() {
    let all: Vec<String> = (0..150).map(|at| member(&format!("p{at}"), "A", "1")).collect();
    let (text, spool) = read(&body(&all), 150).expect("read");
    assert_eq!(
        spool.pieces.iter().map(|one| one.members).collect::<Vec<_>>(),
        [128, 22]
    );
    let mut seen = Vec::new();
    for piece in &spool.pieces {
        seen.extend(members(&text[piece.start..piece.end]).expect("members"));
    }
    let wanted: Vec<NamedMember> = all
        .iter()
        .enumerate()
        .map(|(index, text)| NamedMember {
            index,
            is_repeated: false,
            bytes: text.clone().into_bytes(),
        })
        .collect();
    assert_eq!(seen, wanted);
}

#[test]
fn a_member_has_its_line_while_the_body_still_comes_and_one_too_many_ends_it() {
    let all: Vec<String> = (0..5_000).map(|at| member(&format!("p{at}"), "A", "1")).collect();
    let (all, mut reader, mut came) = (body(&all), MemberReader::new(4_000), Vec::new());
    let refused = all
        .chunks(10_000)
        .enumerate()
        .find_map(|(at, bytes)| match reader.feed(bytes) {
            Ok(lines) => {
                came.extend(lines);
                let waits = reader.waiting.len();
                assert!(waits < TOGETHER + 100, "{waits}");
                None
            }
            Err(failure) => Some((at, failure.fault())),
        });
    let (at, fault) = refused.expect("too many");
    assert!(fault == Fault::BulkTooMany && at * 10_000 < all.len(), "at {at}");
    assert!(came.len() > 3_000 && came.len() <= 4_000, "{}", came.len());
}

#[test]
fn other_parameters_are_passed_over_and_an_unreadable_member_stays() {
    let all = [
        r#"{"name":"other","valueString":"x"}"#.to_owned(),
        member("p1", "A", "1"),
        r#"{"name":"MemberBundle","part":null}"#.to_owned(),
    ];
    let (text, _) = read(&body(&all), 10).expect("read");
    let indexes: Vec<usize> = members(&text).expect("members").iter().map(|one| one.index).collect();
    assert_eq!(indexes, [1, 2]);
}

#[test]
fn one_id_stands_for_one_patient_and_equal_members_count_once() {
    let twice = [member("p1", "A", "1"), member("p1", "A", "1"), member("p1", "A", "2")];
    let (text, spool) = read(&body(&twice), 10).expect("read");
    let in_lines: Vec<(usize, bool)> = members(&text)
        .expect("members")
        .iter()
        .map(|one| (one.index, one.is_repeated))
        .collect();
    assert_eq!(
        (in_lines, spool.members),
        (vec![(0, false), (2, true)], 2),
        "the first has its line already"
    );
    assert_eq!(marked(marks(&spool.repeated).as_bytes()).expect("marks"), [0].into());
    assert!(marked(b"x\n").is_err());
    let other = body(&[member("p1", "A", "1"), member("p1", "B", "1")]);
    let refused = read(&other, 10).expect_err("refused");
    assert_eq!(refused.fault(), Fault::BulkContradicts);
    assert_eq!(refused.expressions(), ["Parameters.parameter[1]"]);
}

#[test]
fn a_member_becomes_a_single_match_and_its_failures_are_placed_in_the_whole() {
    let text = r#"{"name":"MemberBundle","part":[{"name":"other"},{"name":"Consent","resource":{"a":1}},{"name":"MemberPatient"}]}"#;
    let named = |bytes: &[u8]| NamedMember {
        index: 3,
        is_repeated: false,
        bytes: bytes.to_vec(),
    };
    let request = named(text.as_bytes()).request();
    assert_eq!(
        String::from_utf8_lossy(&request.body),
        r#"{"resourceType":"Parameters","parameter":[{"name":"Consent","resource":{"a":1}},{"name":"MemberPatient"}]}"#
    );
    let failure = Failure::new(Fault::MatchInvalid)
        .at("Parameters.parameter[1].resource")
        .at("Parameters.parameter.where(name = 'Consent')")
        .at("resourceType")
        .remedy("See Parameters.parameter[0].resource.");
    let placed = request.placed(&failure);
    assert_eq!(
        placed.expressions(),
        [
            "Parameters.parameter[3].part[2].resource",
            "Parameters.parameter[3].part.where(name = 'Consent')",
            "Parameters.parameter[3]",
        ]
    );
    assert_eq!(placed.remedy_text(), "See Parameters.parameter[3].part[1].resource.");
    let nothing = named(br#"{"name":"MemberBundle"}"#).request();
    assert_eq!(nothing.body, br#"{"resourceType":"Parameters"}"#);
    let null = named(br#"{"name":"MemberBundle","part":null}"#).request();
    assert!(null.parts.is_none_or(|parts| parts.is_empty()));
}

#[test]
fn a_line_end_in_a_string_is_not_made_to_something_that_was_not_sent() {
    let good = member("p1", "A", "1");
    for end in ["\n", "\r", "\r\n"] {
        // Between tokens it is a blank, and the member is the same.
        let spread = good.replacen(',', &format!(",{end}"), 1);
        let (text, _) = read(&body(&[spread]), 10).expect("read");
        let request = members(&text).expect("members").remove(0).request();
        assert!(request.parts.is_some(), "{end:?}: it can be read");
        let broken = good.replacen("\"A", &format!("\"{end}A"), 1);
        assert_ne!(broken, good);
        let (text, spool) = read(&body(&[broken, good.clone()]), 10).expect("read");
        let two = members(&text).expect("members");
        let readable: Vec<bool> = two.iter().map(|one| one.request().parts.is_some()).collect();
        assert_eq!((readable, spool.members), (vec![false, true], 2), "{end:?} in a string");
    }
}

#[test]
fn a_body_that_names_nobody_too_many_or_is_cut_is_refused_as_a_whole() {
    assert_eq!(fault(b""), Fault::NotJson);
    assert_eq!(fault(b"{}"), Fault::ResourceInvalid);
    assert_eq!(
        fault(br#"{"resourceType":"Bundle","parameter":[]}"#),
        Fault::ResourceInvalid
    );
    assert_eq!(fault(br#"{"resourceType":"Parameters"}"#), Fault::MatchParameterMissing);
    let whole = body(&[member("p1", "A", "1")]);
    assert_eq!(fault(&whole[..whole.len() - 40]), Fault::NotJson);
    let all: Vec<String> = (0..11).map(|at| member(&format!("p{at}"), "A", "1")).collect();
    assert_eq!(fault(&body(&all)), Fault::BulkTooMany);
    assert!(members(b"1 x {}\n").is_err());
}
